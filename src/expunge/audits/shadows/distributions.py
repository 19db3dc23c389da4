r"""Unlearned against retrained models, example by example: many models of each, one signal of each model.

The challenge of NeurIPS 2023 asks how well attacks on one example's signals tell the two kinds of model apart. An attack with
false positive rate FPR and false negative rate FNR shows at least

    eps = max( log(1 - delta - FPR) - log FNR,  log(1 - delta - FNR) - log FPR )

infinity where both rates are 0; an attack with exactly one rate of 0 is left out, and so are logarithms that do not exist. An
example's eps is that of its strongest attack, at least 0, and

    H(s) = 2 / 2^n(s),      F = mean_s H(s),      score = F * (RA_u / RA_r) * (TA_u / TA_r)

with n(s) the number of the bin that eps is in, from 1, all bins 0.5 wide; RA and TA are accuracies on retained and test data.

KLoM compares the distributions of an example's margin over the two kinds of model:

    phi = logit_y - log sum_{c != y} exp(logit_c),      KLoM(x) = KL( histogram of unlearned phi || histogram of oracle phi )

Verified: eps and what is left out (Algorithm 1), H, bins of 0.5 over [0, 6.5), which are 13, F and the score are as in the
challenge's evaluation document of August 2023. It leaves delta, the signal and the attacks open; thresholds on either side, a
test of two Gaussians and delta = 0.01 are chosen here. Clipping at 100, 20 bins over the range of both sides, and the floor of
1e-5 under the oracle's share alone, where the unlearned one is not 0, are those of a public implementation of KLoM; here the
greatest margin counts too, in the last bin.

References: E. Triantafillou et al. "Are We Making Progress in Unlearning? Findings From the First NeurIPS Unlearning
Competition", 2024, arXiv 2406.09073. K. Georgiev et al. "Attribute-to-Delete: Machine Unlearning via Datamodel Matching", ICLR
2025, arXiv 2410.23232.
"""

from typing import Any

import numpy as np

from expunge.audits.shadows.scores import Array
from expunge.errors import BadSetting

_SMALLEST = 1e-6  # of a Gaussian's deviation


def epsilon_per_example(unlearned: Any, retrained: Any, delta: float = 0.01) -> Array:
    """How far the strongest of simple attacks tells unlearned from retrained models, for each example.

    It is infinite where one always does. The strongest of many attacks shows something by chance: read it beside that of two
    sets of retrained models.

    Args:
        unlearned: signals of N unlearned models, shape (N, examples).
        retrained: signals of M retrained models, shape (M, examples).
        delta: of (eps, delta)-unlearning, from 0 to below 1.

    Returns:
        shape (examples,), 0 or more.
    """
    if not 0 <= delta < 1:
        raise BadSetting(f"delta must be from 0 to below 1, not {delta}")
    ours, theirs = _pair(unlearned, retrained)
    rates = [_threshold_rates(ours, theirs), _gaussian_rates(ours, theirs)]
    false, missed = (np.concatenate(column) for column in zip(*rates, strict=True))
    return np.maximum(_epsilon(false, missed, delta).max(0), 0.0)


def forgetting_quality(epsilons: Any, width: float = 0.5, bins: int = 13) -> float:
    """F of the challenge, from 2 / 2^bins to 1, which is best; the last bin takes all that is above it, infinity too.

    >>> forgetting_quality([0.1, 0.6, np.inf], bins=3)
    0.5833333333333334
    """
    values = np.asarray(epsilons, dtype=float)
    if values.size == 0 or width <= 0 or bins < 1 or not (values >= 0).all():
        raise BadSetting("forgetting quality needs one or more epsilons, all 0 or more, width > 0 and 1 or more bins")
    number = np.minimum(np.floor(values / width) + 1, bins)
    return float((2 / 2**number).mean())


def challenge_score(quality: float, retain: tuple[float, float], test: tuple[float, float]) -> float:
    """The challenge's score: forgetting quality times what is left of accuracy, each given as (unlearned, retrained).

    >>> challenge_score(0.5, (0.9, 1.0), (0.4, 0.8))
    0.225
    """
    if retain[1] <= 0 or test[1] <= 0:
        raise BadSetting(f"the retrained models' accuracies must be above 0, not {retain[1]} and {test[1]}")
    return quality * (retain[0] / retain[1]) * (test[0] / test[1])


def klom(unlearned: Any, oracle: Any, bins: int = 20, clip: float = 100.0, floor: float = 1e-5) -> Array:
    """KL divergence (nats) of margins, unlearned from oracle models, for each example.

    Args:
        unlearned: margins of N unlearned models, shape (N, examples); see `logit_confidence`.
        oracle: margins of M models retrained without the data, shape (M, examples).
        bins: of equal width, from the least to the greatest margin of both sides.
        clip: largest absolute margin.
        floor: least share of the oracle's in a bin that holds unlearned ones.

    Returns:
        shape (examples,).
    """
    if bins < 1 or clip <= 0 or not 0 < floor < 1:
        raise BadSetting(f"KLoM needs 1 or more bins, clip > 0 and 0 < floor < 1, not {bins}, {clip} and {floor}")
    ours, theirs = (values.clip(-clip, clip) for values in _pair(unlearned, oracle))
    low = np.minimum(ours.min(0), theirs.min(0))
    span = np.maximum(ours.max(0), theirs.max(0)) - low
    share, other = (_histogram((values - low) / np.where(span > 0, span, 1.0), bins) for values in (ours, theirs))
    terms = share * (np.log(np.where(share > 0, share, 1.0)) - np.log(np.maximum(other, floor)))
    divergence: Array = terms.sum(0)
    return divergence


def _histogram(values: Array, bins: int) -> Array:
    """Shares of values between 0 and 1 in each bin, shape (bins, examples); the last bin holds 1."""
    number = np.minimum((values * bins).astype(int), bins - 1)
    return np.stack([(number == each).mean(0) for each in range(bins)])


def _threshold_rates(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """FPR and FNR, (2 (N + M - 1), examples) each, of saying "unlearned" above, or below, a threshold; NaN between equals."""
    values = np.concatenate([ours, theirs])
    order = values.argsort(0, kind="stable")
    ranked, mine = np.take_along_axis(values, order, 0), order < len(ours)
    usable = ranked[:-1] < ranked[1:]
    missed = np.where(usable, mine.cumsum(0)[:-1] / len(ours), np.nan)
    rejected = np.where(usable, (~mine).cumsum(0)[:-1] / len(theirs), np.nan)
    return np.concatenate([1 - rejected, rejected]), np.concatenate([missed, 1 - missed])


def _gaussian_rates(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """FPR and FNR, (1, examples) each, of saying "unlearned" where a Gaussian fitted to those models is the likelier one."""
    fits = [(side.mean(0), np.maximum(side.std(0), _SMALLEST)) for side in (ours, theirs)]

    def says(values: Array) -> Array:
        mine, other = (-(((values - mean) / deviation) ** 2) / 2 - np.log(deviation) for mean, deviation in fits)
        return mine > other

    return says(theirs).mean(0, keepdims=True), 1 - says(ours).mean(0, keepdims=True)


def _epsilon(false: Array, missed: Array, delta: float) -> Array:
    """The eps that each attack shows, of the rates' shape; -inf for those that are left out."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.fmax(np.log(1 - delta - false) - np.log(missed), np.log(1 - delta - missed) - np.log(false))
    found = np.where((false == 0) & (missed == 0), np.inf, np.where((false == 0) | (missed == 0), -np.inf, found))
    return np.nan_to_num(found, nan=-np.inf, posinf=np.inf, neginf=-np.inf)


def _pair(unlearned: Any, retrained: Any) -> tuple[Array, Array]:
    ours, theirs = np.asarray(unlearned, dtype=float), np.asarray(retrained, dtype=float)
    if ours.ndim != 2 or theirs.ndim != 2 or ours.shape[1:] != theirs.shape[1:] or not len(ours) or not len(theirs):
        raise BadSetting(
            "signals must have shape (models, examples), with the same examples and one or more models of each kind, not "
            f"{ours.shape} and {theirs.shape}"
        )
    return ours, theirs

r"""What attacks make of the signals of many models: one score for each example, from plain arrays.

A signal is one number that a model gives for an example; of classifiers, the logit of its confidence in the true class y,

    phi = log p_y - log sum_{c != y} p_c

Signals have shape (models, examples), or (models, examples, d) where the answer is d numbers; `held` (models, examples) says
which model was trained on which example. Scores are higher for members.

    LiRA, online    log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out)
    LiRA, offline   (phi - mu_out) / s_out
    RMIA            Pr_z[ (p(x | theta) / p(x)) / (p(z | theta) / p(z)) > gamma ],   p the likelihood, z the population
                    online p(x) = (mean p_in + mean p_out) / 2, offline p(x) = ((1 + a) mean p_out + 1 - a) / 2

Offline LiRA ranks as the published probability 1 - Pr[N(mu_out, s_out) > phi] does, whose logarithm ends at 0.

References: N. Carlini, S. Chien, M. Nasr, S. Song, A. Terzis, F. Tramer. "Membership Inference Attacks From First Principles",
S&P 2022, arXiv 2112.03570. S. Zarifzadeh, P. Liu, R. Shokri. "Low-Cost High-Power Membership Inference Attacks", ICML 2024,
arXiv 2312.03262; the offline approximation, gamma = 1 and ">" are those of the authors' code.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from expunge.errors import BadSetting

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Variance = Literal["global", "per-example"]
VARIANCES: tuple[Variance, ...] = ("global", "per-example")
_SMALLEST = 1e-6  # of deviations and of likelihoods: models that all agree would make any other infinitely unlikely


def logit_confidence(logits: Tensor, targets: Tensor) -> Tensor:
    """Logit of the confidence in the true class, without forming probabilities.

    Args:
        logits: shape (..., classes).
        targets: the true classes, shape (...).

    Returns:
        shape (...).

    >>> import torch
    >>> logit_confidence(torch.tensor([[0.0, 0.0, 0.0], [200.0, 0.0, 0.0]]), torch.tensor([1, 0])).round(decimals=4)
    tensor([ -0.6931, 199.3068])
    """
    index = targets.long().unsqueeze(-1)
    others = logits.scatter(-1, index, -math.inf)
    return logits.gather(-1, index).squeeze(-1) - others.logsumexp(-1)


def lira_online(target: Any, signals: Any, held: Any, variance: Variance = "global") -> Array:
    """Log likelihood ratio of the target model's signals, of a model trained on the example over one that was not.

    Args:
        target: the target model's signals, shape (examples,) or (examples, d); of d numbers the mean ratio is taken.
        signals: the shadow models', shape (models, examples) or (models, examples, d).
        held: shape (models, examples).
        variance: "global" for one deviation of all examples, of which few shadows tell little; or "per-example".

    Returns:
        shape (examples,).
    """
    said, shadows, mask = _checked(target, signals, held)
    ratio = _log_normal(said, *_normal(shadows, mask, variance)) - _log_normal(said, *_normal(shadows, ~mask, variance))
    return ratio.reshape(len(said), -1).mean(1)


def lira_offline(target: Any, signals: Any, held: Any, variance: Variance = "global") -> Array:
    """Deviations that the target's signal lies above those of models which were not trained on the example, shape (examples,).

    The arguments are those of :func:`lira_online`; signals of models that held the example are not used.
    """
    said, shadows, mask = _checked(target, signals, held)
    mean, deviation = _normal(shadows, ~mask, variance)
    return ((said - mean) / deviation).reshape(len(said), -1).mean(1)


def rmia(
    target: Any,
    signals: Any,
    held: Any,
    population_target: Any,
    population_signals: Any,
    population_held: Any = None,
    *,
    gamma: float = 1.0,
    offline_a: float | None = None,
) -> Array:
    """Share of the population that is less likely under the target model than the example is, both set against other models.

    Args:
        target: likelihoods p(x | theta) under the target model, between 0 and 1, shape (examples,).
        signals: those under the shadow models, shape (models, examples).
        held: shape (models, examples).
        population_target: as `target`, of the population, shape (population,).
        population_signals: as `signals`, shape (models, population).
        population_held: which shadows were trained on the population; none were when None.
        gamma: how many times as likely counts, 1 or more.
        offline_a: a of the offline form, between 0 and 1; None for the online form.

    Returns:
        shape (examples,), between 0 and 1.
    """
    if gamma < 1:
        raise BadSetting(f"RMIA needs gamma >= 1, not {gamma}")
    if offline_a is not None and not 0 <= offline_a <= 1:
        raise BadSetting(f"RMIA needs offline_a between 0 and 1, not {offline_a}")
    never = np.zeros(np.shape(population_signals), dtype=bool) if population_held is None else population_held
    ratio = _lift(*_checked(target, signals, held), offline_a)
    others = np.sort(_lift(*_checked(population_target, population_signals, never), offline_a))
    return np.searchsorted(others, ratio / gamma) / len(others)  # those below it: no example counts against itself


def _lift(said: Array, shadows: Array, held: Mask, offline_a: float | None) -> Array:
    """p(x | theta) / p(x), shape (examples,)."""
    inside, outside = _mean(shadows, held), _mean(shadows, ~held)
    if offline_a is not None:
        usual = ((1 + offline_a) * outside + 1 - offline_a) / 2
    else:
        usual = (inside + outside) / 2
        usual = np.where(held.any(0) & ~held.all(0), usual, inside + outside)  # one of the two is 0 for want of models
    lifted: Array = said / np.maximum(usual, _SMALLEST)
    return lifted


def _normal(shadows: Array, mask: Mask, variance: Variance) -> tuple[Array, Array]:
    """Means of each example over the models of `mask`, and deviations that broadcast to them."""
    if variance not in VARIANCES:
        raise BadSetting(f"variance must be 'global' or 'per-example', not {variance!r}")
    mean = _mean(shadows, mask)
    counts = _weights(mask, shadows)
    squares = counts * (shadows - mean) ** 2
    if variance == "per-example":
        spread = squares.sum(0) / np.maximum(counts.sum(0), 1)
    else:
        told = (counts * (counts.sum(0) > 1)).sum() * np.prod(shadows.shape[2:])  # one signal has no spread
        spread = squares.sum() / max(told, 1)
    return mean, np.maximum(np.sqrt(spread), _SMALLEST)


def _mean(shadows: Array, mask: Mask) -> Array:
    """Mean over the models of `mask`, 0 where there is none."""
    weights = _weights(mask, shadows)
    mean: Array = (weights * shadows).sum(0) / np.maximum(weights.sum(0), 1)
    return mean


def _weights(mask: Mask, shadows: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (shadows.ndim - 2)).astype(float)


def _log_normal(value: Array, mean: Array, deviation: Array) -> Array:
    """Log density, less log sqrt(2 pi)."""
    return -((value - mean) ** 2) / (2 * deviation**2) - np.log(deviation)


def _checked(target: Any, signals: Any, held: Any) -> tuple[Array, Array, Mask]:
    said, shadows = np.asarray(target, dtype=float), np.asarray(signals, dtype=float)
    mask = np.asarray(held, dtype=bool)
    if shadows.shape[1:] != said.shape or mask.shape != shadows.shape[:2]:
        raise BadSetting(
            f"signals of shape {shadows.shape} need a mask of shape {shadows.shape[:2]} and a target's signals of shape "
            f"{shadows.shape[1:]}, not {mask.shape} and {said.shape}"
        )
    return said, shadows, mask

"""The figures of TOFU and MUSE: pure functions of losses, of other figures, and of areas under curves.

With loss(.) the mean loss per token of an answer (:func:`expunge.language.token_scores.mean_loss`), so that exp(-loss) is its
probability, and wrong_1 .. wrong_k answers that are false:

    truth ratio             R = exp(-1/k sum_j loss(wrong_j)) / exp(-loss(paraphrased))
    closeness               min(R, 1/R)                        on what must go: 1 if true and wrong answers are alike
    preference              max(0, 1 - R)                      on what stays: 1 if only the true answer is likely
    normalised probability  exp(-loss(true)) / (exp(-loss(true)) + sum_j exp(-loss(wrong_j)))
    forget quality          p-value of the two-sample Kolmogorov-Smirnov test: R of this model, R of the retrained one
    model utility           harmonic mean of {probability, ROUGE, truth ratio} x {retain, real authors, world facts}
    privacy leakage         100 ((1 - AUC) - (1 - AUC_ref)) / (1 - AUC_ref)

Wrong answers are averaged as losses, hence as a geometric mean of probabilities. Losses come in nats per token and shape (n,).

References: P. Maini, Z. Feng, A. Schwarzschild, Z. C. Lipton, J. Z. Kolter. "TOFU: A Task of Fictitious Unlearning for LLMs",
COLM 2024, arXiv 2401.06121; with the averages of V. Dorna et al. "OpenUnlearning: Accelerating LLM Unlearning via Unified
Benchmarking of Methods and Metrics", NeurIPS 2025 Datasets and Benchmarks, arXiv 2506.12618. Privacy leakage: W. Shi, J. Lee,
Y. Huang, S. Malladi, J. Zhao, A. Holtzman, D. Liu, L. Zettlemoyer, N. A. Smith, C. Zhang. "MUSE: Machine Unlearning Six-Way
Evaluation for Language Models", ICLR 2025, arXiv 2407.06460.
"""

from collections.abc import Mapping
from statistics import harmonic_mean

import torch
from scipy.stats import ks_2samp
from torch import Tensor

from expunge.errors import BadSetting

UTILITY_PARTS = tuple(
    f"{of}_{measure}" for of in ("retain", "real_authors", "world_facts") for measure in ("probability", "rouge", "truth_ratio")
)
"""What model utility is made of."""


def truth_ratio(paraphrased_loss: Tensor, wrong_losses: Tensor) -> Tensor:
    """How likely wrong answers are beside the right one in other words: below 1 if the model knows, above 1 if it errs.

    The right answer is asked for in words that were not trained on, lest their wording be what is recognised.

    Args:
        paraphrased_loss: of the right answer in other words, shape (n,).
        wrong_losses: of k wrong answers, shape (n, k).

    Returns:
        shape (n,), at least 0; infinite beyond what the type holds.

    Raises:
        BadSetting: if the shapes do not fit.

    >>> truth_ratio(torch.tensor([1.0]), torch.tensor([[1.0, 3.0]])).round(decimals=4)
    tensor([0.3679])
    """
    _check_losses(paraphrased_loss, wrong_losses)
    # A quotient of the two probabilities would be 0 / 0 where both underflow.
    return (paraphrased_loss - wrong_losses.mean(1)).exp()


def closeness(ratio: Tensor) -> Tensor:
    """How much alike true and wrong answers are, of what must go: min(R, 1/R), between 0 and 1, of the ratio's shape.

    >>> closeness(torch.tensor([0.5, 1.0, 4.0]))
    tensor([0.5000, 1.0000, 0.2500])
    """
    return torch.minimum(ratio, 1 / ratio)


def preference(ratio: Tensor) -> Tensor:
    """How much the true answer is preferred, of what stays: max(0, 1 - R), between 0 and 1, of the ratio's shape.

    >>> preference(torch.tensor([0.25, 1.0, 4.0]))
    tensor([0.7500, 0.0000, 0.0000])
    """
    return (1 - ratio).clamp_min(0)


def normalised_probability(true_loss: Tensor, wrong_losses: Tensor) -> Tensor:
    """Probability of the true answer among it and the wrong ones, for facts that were never trained on.

    Args:
        true_loss: of the true answer, shape (n,).
        wrong_losses: of k wrong answers, shape (n, k).

    Returns:
        shape (n,), between 0 and 1; 1 / (k + 1) for a model that does not care.

    Raises:
        BadSetting: if the shapes do not fit.

    >>> normalised_probability(torch.tensor([2.0]), torch.tensor([[2.0, 2.0, 2.0]]))
    tensor([0.2500])
    """
    _check_losses(true_loss, wrong_losses)
    return torch.cat([true_loss[:, None], wrong_losses], 1).neg().softmax(1)[:, 0]


def forget_quality(ratios: Tensor, reference_ratios: Tensor) -> float:
    """p-value of the Kolmogorov-Smirnov test that both sets of truth ratios on the forget set are drawn alike.

    1 if the model cannot be told from the one that was retrained without the forget set; below 0.05 it usually is. The p-value
    falls with the number of questions, and a collapsed model is as far from the reference as one that forgot nothing: compare
    it between models on the same questions, and read it beside utility. It is the same for R and 1/R.

    Args:
        ratios: of the model, shape (n,).
        reference_ratios: of the retrained model, shape (m,).

    Returns:
        between 0 and 1.

    Raises:
        BadSetting: if a set of ratios is empty, of another shape, or holds NaN.

    >>> round(forget_quality(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.7, 0.8, 0.9])), 4)
    0.1
    """
    for name, given in (("ratios", ratios), ("reference ratios", reference_ratios)):
        if given.dim() != 1 or not len(given):
            raise BadSetting(f"the {name} have shape {tuple(given.shape)}; expected (n,), with at least one")
        if given.isnan().any():
            raise BadSetting(
                f"{int(given.isnan().sum()):,} of {len(given):,} {name} are NaN: leave out what has no truth ratio"
            )
    first, second = (given.detach().cpu().double().numpy() for given in (ratios, reference_ratios))
    return float(ks_2samp(first, second).pvalue)


def model_utility(parts: Mapping[str, float]) -> float:
    """Harmonic mean of nine figures of what must stay: near the worst of them, and 0 if one is 0.

    Args:
        parts: `retain_probability`, `retain_rouge`, `retain_truth_ratio`, and the same of `real_authors` and `world_facts`.
            Probabilities are normalised but for `retain`, ROUGE is ROUGE-L recall, truth ratios are turned into
            :func:`preference`; each is a mean over questions, between 0 and 1.

    Returns:
        between 0 and 1.

    Raises:
        BadSetting: if a figure is missing, unknown, or not between 0 and 1.

    >>> round(model_utility({name: 0.5 for name in UTILITY_PARTS} | {"world_facts_rouge": 0.1}), 4)
    0.3462
    """
    missing, unknown = (
        [name for name in one if name not in other] for one, other in ((UTILITY_PARTS, parts), (parts, UTILITY_PARTS))
    )
    if missing or unknown:
        lists = [f"{what}: {', '.join(names)}" for what, names in (("missing", missing), ("unknown", unknown)) if names]
        raise BadSetting(f"model utility needs exactly nine figures; {'; '.join(lists)}")
    for name, value in parts.items():
        _check_share(name, value)
    return float(harmonic_mean(parts.values()))


def privacy_leakage(auc: float, reference_auc: float) -> float:
    """How much more, or less, the forget set looks like training data than it does to the retrained model, in percent.

    Args:
        auc: how well an attack tells the forget set from held-out data; 1 if what must go looks like members.
        reference_auc: the same of the retrained model.

    Returns:
        0 if alike; below 0, to -100, if the forget set still looks trained on; above 0 if it stands out as what was forgotten.

    Raises:
        BadSetting: if an area is not between 0 and 1, or the reference's is 1, beside which nothing can be measured.

    >>> privacy_leakage(0.75, 0.5), privacy_leakage(0.25, 0.5)
    (-50.0, 50.0)
    """
    _check_share("auc", auc)
    _check_share("reference_auc", reference_auc)
    if reference_auc == 1:
        raise BadSetting(
            "the reference's AUC is 1: to the retrained model too the forget set looks like members; is it the right one?"
        )
    return 100 * ((1 - auc) - (1 - reference_auc)) / (1 - reference_auc)


def _check_losses(one: Tensor, wrong: Tensor) -> None:
    if one.dim() != 1 or wrong.dim() != 2 or len(one) != len(wrong) or not wrong.shape[1]:
        raise BadSetting(
            f"losses of shape {tuple(one.shape)} and of wrong answers of shape {tuple(wrong.shape)} do not fit; "
            "expected (n,) and (n, k), with at least one wrong answer"
        )


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise BadSetting(f"{name} is {value}; expected a number between 0 and 1")

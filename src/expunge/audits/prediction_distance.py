"""Distance to the retrained model in predictions, where they are real numbers.

    W1 = integral |F(t) - F_retrained(t)| dt       between the distributions of predictions on a part (Wasserstein-1)
    d  = mean_x |p(x) - p_retrained(x)|,           r(x) = |p(x) - p_retrained(x)| / |target(x)|

W1 sees whether answers are spread as the retrained model's are, d whether each answer is the same. Two models retrained from
different seeds already differ in both: read them beside the second retrained model's (the noise floor). Of vectors and
forecasts each number is compared by itself and the mean over them is taken.

Reference: A. Tarun, V. Chundawat, M. Mandal, M. Kankanhalli. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196 (W1,
and the distribution of relative differences).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from expunge.audits.audit import Audit, Figure, Part, References, Subject
from expunge.tasks import RegressionTask


@dataclass(frozen=True)
class PredictionDistance(Audit):
    """Wasserstein-1, absolute and relative distance to the retrained model's predictions; needs one."""

    takes = (RegressionTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "forget_wasserstein": "Wasserstein-1 distance to the retrained model's predictions on the forget set; ideal: 0",
        "holdout_forget_wasserstein": "Wasserstein-1 distance to its predictions, on unseen examples like these; ideal: 0",
        "forget_distance": "mean distance to the retrained model's prediction for each example of the forget set; ideal: 0",
        "holdout_distance": "mean distance to its prediction for each unseen example like those that stay; ideal: 0",
        "forget_relative_difference": "median distance to the retrained model's prediction, as a share of the target; ideal: 0",
        "forget_relative_difference_90": "90th percentile of the distance as a share of the target, forget set; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        gold = references.gold
        if gold is None:
            return {}
        found: dict[str, Figure] = {}
        for part in ("forget", "holdout_forget", "holdout"):
            ours, theirs = predictions(subject, part), predictions(gold, part)
            if len(ours) == 0:
                continue
            if part != "holdout":
                found[f"{part}_wasserstein"] = Figure(wasserstein(ours, theirs), 0.0)
            if part != "holdout_forget":
                found[f"{part}_distance"] = Figure((ours - theirs).abs().mean().item(), 0.0)
        relative = relative_differences(subject, gold)
        if len(relative):
            for name, level in (("", 0.5), ("_90", 0.9)):
                found[f"forget_relative_difference{name}"] = Figure(torch.quantile(relative, level).item(), 0.0)
        return found


def predictions(subject: Subject, part: Part) -> Tensor:
    """What a subject predicts on a part, in the target's own unit, shape (n, d); empty where there is no such part."""
    task = subject.task
    assert isinstance(task, RegressionTask)
    outputs = subject.outputs(part)
    return task.in_unit(task.predictions(outputs).double()) if len(outputs) else outputs


def wasserstein(first: Tensor, second: Tensor) -> float:
    """Mean over columns of the Wasserstein-1 distance between the values of two tensors, shapes (n, d) and (m, d).

    >>> wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([[5.0], [4.0]]))
    4.0
    """
    pairs = zip(first.T.numpy(), second.T.numpy(), strict=True)
    return float(torch.tensor([wasserstein_distance(ours, theirs) for ours, theirs in pairs]).mean())


def relative_differences(subject: Subject, gold: Subject) -> Tensor:
    """|p - p_retrained| / |target| of each example of the forget set whose target is not 0, shape (n,)."""
    task = subject.task
    assert isinstance(task, RegressionTask)
    if len(subject.outputs("forget")) == 0:
        return torch.empty(0)
    wanted = task.in_unit(subject.targets("forget").double())
    difference = (predictions(subject, "forget") - predictions(gold, "forget")).abs()
    sizes = wanted.abs().mean(1)
    return (difference.mean(1) / sizes)[sizes > 0]

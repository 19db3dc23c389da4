"""Error on what went, on what stayed and on what was never seen, each held against the retrained model.

    mae(part) = mean_{x in part} |prediction(x) - target|,      gap(part) = mae(part) - mae_retrained(part)

The aim is the retrained model's error, not a large one: an error above it on data like the forgotten is over-forgetting, and
makes the forgotten stand out. After a whole band has gone, the retrained model extrapolates there, and its error depends on
the seed: read it beside the second retrained model's.

Reference: A. Tarun, V. Chundawat, M. Mandal, M. Kankanhalli. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.accuracy import mean_scores
from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.tasks import RegressionTask


@dataclass(frozen=True)
class Error(Audit):
    """Mean absolute error on each part of the split, in the target's own unit, and its gap to retraining."""

    takes = (RegressionTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "forget_mae": "mean absolute error on the training examples that must go; ideal: the retrained model's",
        "retain_mae": "mean absolute error on the training examples that stay; ideal: the retrained model's",
        "holdout_mae": "mean absolute error on unseen examples like those that stay; ideal: the retrained model's",
        "holdout_forget_mae": "mean absolute error on unseen examples like those that must go; ideal: the retrained model's",
        "forget_mae_gap": "forget_mae less the retrained model's; ideal: 0",
        "retain_mae_gap": "retain_mae less the retrained model's; ideal: 0",
        "holdout_mae_gap": "holdout_mae less the retrained model's; ideal: 0",
        "holdout_forget_mae_gap": "holdout_forget_mae less the retrained model's; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        return mean_scores(subject, references)

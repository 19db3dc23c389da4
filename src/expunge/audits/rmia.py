"""RMIA: does training on an example explain its likelihood better than training on any other of its kind would?

    s(x) = Pr_z[ (p(x | theta) / p(x)) / (p(z | theta) / p(z)) > gamma ],      p(x | theta) = exp(-loss(x; theta))

p(x) is the mean likelihood of the example under shadow models: of those that held it and of those that did not, in equal
parts; or, offline, ((1 + a) p_out + 1 - a) / 2 from the latter alone. The population z are the unseen examples. A score asks
only for means over shadow models, not for deviations, of which few shadows tell little. The retrained model's value is the
ideal.

Reference: S. Zarifzadeh, P. Liu, R. Shokri. "Low-Cost High-Power Membership Inference Attacks", ICML 2024, arXiv 2312.03262.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.membership import Trial
from expunge.audits.shadows.attacking import check_settings, figures_of, read_of, trial_of
from expunge.audits.shadows.scores import rmia
from expunge.audits.shadows.training import shadows_of
from expunge.errors import BadSetting
from expunge.tasks import ClassificationTask, RegressionTask


@dataclass(frozen=True)
class RMIA(Audit):
    """The robust attack. It trains `shadows` models, the same as LiRA's, so it is left out unless it is asked for.

    Args:
        shadows: models to train; 0 leaves the audit out.
        batch_size: of their training; the original's, or they are not of its recipe.
        unseen: most unseen examples to take, from the first on; shadows are trained on half of them.
        fpr: false positive rate at which the true positive rate is read.
        gamma: how many times as likely counts.
        offline_a: a of the offline form; None for the online form.
    """

    shadows: int = 0
    batch_size: int = 256
    unseen: int = 1000
    fpr: float = 0.01
    gamma: float = 1.0
    offline_a: float | None = None

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "rmia_auc": "AUC of the robust attack (RMIA), forget against unseen; ideal: the retrained model's, about 0.5",
        "rmia_tpr": "true positives of the robust attack (RMIA) at 1 % false positives; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        check_settings("RMIA", self.shadows, self.batch_size, self.unseen, self.fpr)
        if self.gamma < 1 or not 0 <= (self.offline_a or 0.0) <= 1:
            raise BadSetting(f"RMIA needs gamma >= 1 and 0 <= offline_a <= 1, not {self.gamma} and {self.offline_a}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        return figures_of("rmia", self.trial, self.fpr, subject, references) if self.shadows else {}

    def trial(self, subject: Subject, references: References) -> Trial:
        """Attack one subject."""
        if ("rmia", self) not in subject.memory:
            task, goes = subject.task, len(subject.scores("forget"))

            def likelihoods(outputs: Tensor, batch: Any) -> Tensor:
                return task.losses(outputs, batch).double().neg().exp()

            said = read_of(subject, self.unseen, likelihoods).numpy()
            shadows = shadows_of(subject, references, self.shadows, self.batch_size, self.unseen)
            signals, held = shadows.collect(task, len(said), likelihoods).numpy(), shadows.held[:, : len(said)].numpy()
            population = said[goes:], signals[:, goes:], held[:, goes:]
            score = rmia(said, signals, held, *population, gamma=self.gamma, offline_a=self.offline_a)
            subject.memory["rmia", self] = trial_of(subject, self.unseen, score)
        found: Trial = subject.memory["rmia", self]
        return found

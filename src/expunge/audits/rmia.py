"""RMIA: does training on an example explain its likelihood better than training on any other of its kind would?

    s(x) = Pr_z[ (p(x | theta) / p(x)) / (p(z | theta) / p(z)) > gamma ],      p(x | theta) = exp(-loss(x; theta))

p(x) is the mean likelihood of the example under shadow models: of those that held it and of those that did not, in equal
parts; or, offline, ((1 + a) p_out + 1 - a) / 2 from the latter alone. The population z are the unseen examples. A score asks
only for means over shadow models, not for deviations, of which few shadows tell little. Of questions with their answers
p is the likelihood of a token, as a geometric mean. The retrained model's value is the ideal.

Reference: S. Zarifzadeh, P. Liu, R. Shokri. "Low-Cost High-Power Membership Inference Attacks", ICML 2024, arXiv 2312.03262.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.membership import Trial
from expunge.audits.shadows.attacking import ATTACKED, Asked, check_settings, figures_of, trial_of
from expunge.audits.shadows.scores import rmia
from expunge.audits.shadows.training import shadows_of
from expunge.errors import BadSetting


@dataclass(frozen=True)
class RMIA(Audit):
    """The robust attack. It trains `shadows` models, the same as LiRA's, so it is left out unless it is asked for.

    Args:
        shadows: models to train; 0 leaves the audit out.
        batch_size: of their training; the original's, or they are not of its recipe. Streams of nodes, edges, pairs and facts
            say it themselves.
        unseen: most unseen examples to take, from the first on; shadows are trained on half of them.
        fpr: false positive rate at which the true positive rate is read.
        gamma: how many times as likely counts.
        offline_a: a of the offline form; None for the online form.
        workers: of Ray, which train shadows at a time; 1 for this process alone.
    """

    shadows: int = 0
    batch_size: int = 256
    unseen: int = 1000
    fpr: float = 0.01
    gamma: float = 1.0
    offline_a: float | None = None
    workers: int = field(default=1, repr=False, compare=False)  # figures do not depend on it

    takes = ATTACKED
    figures: ClassVar[Mapping[str, str]] = {
        "rmia_auc": "AUC of the robust attack (RMIA), forget against unseen; ideal: the retrained model's, about 0.5",
        "rmia_tpr": "true positives of the robust attack (RMIA) at 1 % false positives; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        check_settings("RMIA", self.shadows, self.batch_size, self.unseen, self.fpr, self.workers)
        if self.gamma < 1 or not 0 <= (self.offline_a or 0.0) <= 1:
            raise BadSetting(f"RMIA needs gamma >= 1 and 0 <= offline_a <= 1, not {self.gamma} and {self.offline_a}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        return figures_of("rmia", self.trial, self.fpr, subject, references) if self.shadows else {}

    def trial(self, subject: Subject, references: References) -> Trial:
        """Attack one subject."""
        if ("rmia", self) not in subject.memory:
            task, asked = subject.task, Asked.of(subject, self.unseen)

            def likelihoods(outputs: Tensor, batch: Any) -> Tensor:
                return task.losses(outputs, batch).double().neg().exp()

            said = asked.said(subject, likelihoods)
            shadows = shadows_of(subject, references, self.shadows, self.batch_size, self.unseen, self.workers)
            signals, held = asked.signals(shadows, task, likelihoods)
            population = said[asked.goes :], signals[:, asked.goes :], held[:, asked.goes :]
            score = rmia(said, signals, held, *population, gamma=self.gamma, offline_a=self.offline_a)
            subject.memory["rmia", self] = trial_of(subject, self.unseen, score)
        found: Trial = subject.memory["rmia", self]
        return found

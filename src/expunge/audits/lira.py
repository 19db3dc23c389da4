"""LiRA: is this answer what a model that was trained on the example gives, or one that was not?

    s(x) = log N(phi(x); mu_in(x), s_in) - log N(phi(x); mu_out(x), s_out)
    phi(x) = log p_y - log sum_{c != y} p_c  of a classifier,      prediction(x) - target(x)  of a regression

Shadow models are trained by the original's recipe, each on a random half of training set and unseen examples together. The
example's own means come from the shadows that held it and from those that did not; the deviations, of which few shadows tell
little, are shared by all examples. It is a stronger attack than loss alone, since it knows how hard each example is. Of
vectors and forecasts the mean over their numbers is taken. The retrained model's value is the ideal.

Reference: N. Carlini, S. Chien, M. Nasr, S. Song, A. Terzis, F. Tramer. "Membership Inference Attacks From First Principles",
S&P 2022, arXiv 2112.03570 (online attack, global variance); for regression with the residual in place of the logit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.membership import Trial
from expunge.audits.shadows.attacking import check_settings, figures_of, read_of, signed, trial_of
from expunge.audits.shadows.scores import VARIANCES, Variance, lira_online
from expunge.audits.shadows.training import shadows_of
from expunge.errors import BadSetting
from expunge.tasks import ClassificationTask, RegressionTask


@dataclass(frozen=True)
class LiRA(Audit):
    """The likelihood-ratio attack. It trains `shadows` models, so it is left out unless it is asked for.

    Args:
        shadows: models to train; 0 leaves the audit out. 16 tell something, published runs have 256.
        batch_size: of their training; the original's, or they are not of its recipe.
        unseen: most unseen examples to take, from the first on; shadows are trained on half of them.
        fpr: false positive rate at which the true positive rate is read.
        variance: "global", or "per-example" where there are 64 shadows or more.
    """

    shadows: int = 0
    batch_size: int = 256
    unseen: int = 1000
    fpr: float = 0.01
    variance: Variance = "global"

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "lira_auc": "AUC of the likelihood-ratio attack, forget against unseen; ideal: the retrained model's, about 0.5",
        "lira_tpr": "true positives of the likelihood-ratio attack at 1 % false positives; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        check_settings("LiRA", self.shadows, self.batch_size, self.unseen, self.fpr)
        if self.variance not in VARIANCES:
            raise BadSetting(f"LiRA needs variance 'global' or 'per-example', not {self.variance!r}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        return figures_of("lira", self.trial, self.fpr, subject, references) if self.shadows else {}

    def trial(self, subject: Subject, references: References) -> Trial:
        """Attack one subject."""
        if ("lira", self) not in subject.memory:
            read = partial(signed, subject.task)
            said = read_of(subject, self.unseen, read).numpy()
            shadows = shadows_of(subject, references, self.shadows, self.batch_size, self.unseen)
            signals = shadows.collect(subject.task, len(said), read).numpy()
            score = lira_online(said, signals, shadows.held[:, : len(said)].numpy(), self.variance)
            subject.memory["lira", self] = trial_of(subject, self.unseen, score)
        found: Trial = subject.memory["lira", self]
        return found

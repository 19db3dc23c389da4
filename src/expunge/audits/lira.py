"""LiRA: is this answer what a model that was trained on the example gives, or one that was not?

    s(x) = log N(phi(x); mu_in(x), s_in) - log N(phi(x); mu_out(x), s_out)
    phi(x) = log p_y - log sum_{c != y} p_c        of a classifier, of images, rows or nodes
             prediction(x) - target(x)             of a regression
             log p - log (1 - p)                   of a link, p the probability that it is there
             mean_j y(u, i) - y(u, j)              of a user and an item, against items j that the user did not choose
             mean_t log p(token_t)                 of a question with its answer

Shadow models are trained by the original's recipe, each on a random half of training set and unseen examples together. The
example's own means come from the shadows that held it and from those that did not; the deviations, of which few shadows tell
little, are shared by all examples. It is a stronger attack than loss alone, since it knows how hard each example is. Of
vectors and forecasts the mean over their numbers is taken. Asked of links or pairs, a shadow reads those that it holds, as the
original does; but nothing that is asked where the model under audit reads what goes no more. The retrained model's value is the
ideal.

Reference: N. Carlini, S. Chien, M. Nasr, S. Song, A. Terzis, F. Tramer. "Membership Inference Attacks From First Principles",
S&P 2022, arXiv 2112.03570 (online attack, global variance); the signals of all but classifiers are chosen here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.membership import Trial
from expunge.audits.shadows.attacking import ATTACKED, Asked, check_settings, figures_of, signed, trial_of
from expunge.audits.shadows.scores import VARIANCES, Variance, lira_online
from expunge.audits.shadows.training import shadows_of
from expunge.errors import BadSetting


@dataclass(frozen=True)
class LiRA(Audit):
    """The likelihood-ratio attack. It trains `shadows` models, so it is left out unless it is asked for.

    Args:
        shadows: models to train; 0 leaves the audit out. 16 tell something, published runs have 256.
        batch_size: of their training; the original's, or they are not of its recipe. Streams of nodes, edges, pairs and facts
            say it themselves.
        unseen: most unseen examples to take, from the first on; shadows are trained on half of them.
        fpr: false positive rate at which the true positive rate is read.
        variance: "global", or "per-example" where there are 64 shadows or more.
        workers: of Ray, which train shadows at a time; 1 for this process alone.
    """

    shadows: int = 0
    batch_size: int = 256
    unseen: int = 1000
    fpr: float = 0.01
    variance: Variance = "global"
    workers: int = field(default=1, repr=False, compare=False)  # figures do not depend on it

    takes = ATTACKED
    figures: ClassVar[Mapping[str, str]] = {
        "lira_auc": "AUC of the likelihood-ratio attack, forget against unseen; ideal: the retrained model's, about 0.5",
        "lira_tpr": "true positives of the likelihood-ratio attack at 1 % false positives; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        check_settings("LiRA", self.shadows, self.batch_size, self.unseen, self.fpr, self.workers)
        if self.variance not in VARIANCES:
            raise BadSetting(f"LiRA needs variance 'global' or 'per-example', not {self.variance!r}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        return figures_of("lira", self.trial, self.fpr, subject, references) if self.shadows else {}

    def trial(self, subject: Subject, references: References) -> Trial:
        """Attack one subject."""
        if ("lira", self) not in subject.memory:
            task, asked, read = subject.task, Asked.of(subject, self.unseen), partial(signed, subject.task)
            shadows = shadows_of(subject, references, self.shadows, self.batch_size, self.unseen, self.workers)
            score = lira_online(asked.said(subject, read), *asked.signals(shadows, task, read), self.variance)
            subject.memory["lira", self] = trial_of(subject, self.unseen, score)
        found: Trial = subject.memory["lira", self]
        return found

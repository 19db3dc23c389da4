"""Membership inference: can an attacker who sees losses tell what was trained on?

    s(x) = -loss(model, x),      AUC = P( s(x_forget) > s(x_unseen) ),      TPR at 1 % FPR

Forget examples stand against unseen examples of the same kind: each unseen example weighs so that every group (class) has the
same share on both sides, or else difficulty would be taken for membership; a group without unseen examples is left out. The
threshold of the attack's accuracy is learned on other data, members from the retain set against unseen examples that are not
scored. A retrained model shows about 0.5; the *retrained model's own value* is the ideal, for below it examples stand out as
forgotten. An attacker who knows that takes either side: two-sided, the AUC is max(AUC, 1 - AUC). One attack on one model is a
lower bound on what leaks, not a proof of absence.

Reference: S. Yeom, I. Giacomelli, M. Fredrikson, S. Jha. "Privacy Risk in Machine Learning: Analyzing the Connection to
Overfitting", CSF 2018, arXiv 1709.01604; low false-positive rates as in N. Carlini et al. "Membership Inference Attacks From
First Principles", S&P 2022, arXiv 2112.03570.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.errors import BadSetting
from expunge.matching import matching_weights

Array = NDArray[np.float64]
_LARGE = 1e6


@dataclass(frozen=True)
class Trial:
    """What the attack scored: higher means "member". Weights make the groups' shares alike on both sides."""

    member: NDArray[np.bool_]
    score: Array
    weight: Array
    accuracy: float

    def auc(self) -> float:
        """Area under the ROC curve."""
        return float(roc_auc_score(self.member, self.score, sample_weight=self.weight))

    def roc(self) -> tuple[Array, Array]:
        """False and true positive rates."""
        false, true, _ = roc_curve(self.member, self.score, sample_weight=self.weight, drop_intermediate=False)
        return false, true

    def tpr(self, fpr: float) -> float:
        """True positive rate at the largest threshold set whose false positive rate is at most `fpr`."""
        false, true = self.roc()
        return float(true[false <= fpr].max(initial=0.0))


@dataclass(frozen=True)
class Membership(Audit):
    """The loss attack.

    Args:
        fpr: false positive rate at which the true positive rate is read.
        resamples: bootstrap resamples for the 95 % intervals.
        calibration: share of the unseen examples that teach the threshold and are not scored.
    """

    fpr: float = 0.01
    resamples: int = 200
    calibration: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.fpr < 1 or not 0 <= self.calibration < 1:
            raise BadSetting(f"membership needs 0 < fpr < 1 and 0 <= calibration < 1, not {self.fpr} and {self.calibration}")

    figures: ClassVar[Mapping[str, str]] = {
        "membership_auc": "AUC of the loss attack, forget against unseen; ideal: the retrained model's, about 0.5",
        "membership_tpr": "true positives of the loss attack at 1 % false positives; ideal: the retrained model's",
        "membership_two_sided": "the greater of the loss attack's AUC and 1 - AUC, for an attacker who also looks for examples "
        "stranger than unseen ones; ideal: the retrained model's",
        "membership_accuracy": "accuracy of the attack, its threshold learned elsewhere; ideal: the retrained model's",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        trial = self.trial(subject)
        if trial is None:
            return {}
        gold = None if references.gold is None else self.trial(references.gold)
        aucs, tprs = self._bootstrap(trial, subject)
        return {
            "membership_auc": Figure(trial.auc(), None if gold is None else gold.auc(), _interval(aucs)),
            "membership_tpr": Figure(trial.tpr(self.fpr), None if gold is None else gold.tpr(self.fpr), _interval(tprs)),
            "membership_two_sided": Figure(_two_sided(trial), None if gold is None else _two_sided(gold)),
            "membership_accuracy": Figure(trial.accuracy, None if gold is None else gold.accuracy),
        }

    def trial(self, subject: Subject) -> Trial | None:
        """Attack one subject; None when the split has no unseen examples. Kept, since every model is held against the gold."""
        if ("trial", self) not in subject.memory:
            subject.memory["trial", self] = self._attack(subject)
        return subject.memory["trial", self]

    def _attack(self, subject: Subject) -> Trial | None:
        part = subject.unseen_part()
        unseen, groups = _losses(subject, part), subject.groups(part).numpy()
        if len(unseen) == 0:
            return None
        teaches = self._rng(subject, "calibration").random(len(unseen)) < self.calibration
        if teaches.all():  # so few that none would be left to score
            teaches[:] = False
        wanted, forget, known = subject.groups("forget").numpy(), _losses(subject, "forget"), _losses(subject, "retain")
        comparable = np.isin(wanted, groups[~teaches])  # a group without unseen examples has nothing to stand against
        wanted, forget = wanted[comparable], forget[comparable]
        if len(forget) == 0:
            return None
        weight = np.concatenate([np.ones(len(forget)), matching_weights(wanted, groups[~teaches])])
        member = np.repeat([True, False], [len(forget), (~teaches).sum()])
        score = -np.concatenate([forget, unseen[~teaches]])
        keep = weight > 0
        member, score, weight = member[keep], score[keep], weight[keep]
        said = _threshold_rule(known, unseen[teaches])(score)
        rates = [np.average(said[member == side] == side, weights=weight[member == side]) for side in (True, False)]
        return Trial(member, score, weight, float(np.mean(rates)))

    def _bootstrap(self, trial: Trial, subject: Subject) -> tuple[Array, Array]:
        """AUC and true positive rate of resamples, shape (resamples,) each; both sides are drawn by themselves."""
        rng = self._rng(subject, "bootstrap")
        times_drawn = np.empty((self.resamples, len(trial.member)))
        for side in (trial.member, ~trial.member):
            even = np.full(side.sum(), 1 / side.sum())
            times_drawn[:, side] = rng.multinomial(side.sum(), even, size=self.resamples)
        false, true = _rates(trial.member, trial.score, times_drawn * trial.weight)
        aucs: Array = np.asarray(np.trapezoid(true, false, axis=1))
        return aucs, np.where(false <= self.fpr, true, 0.0).max(axis=1)

    def _rng(self, subject: Subject, purpose: str) -> np.random.Generator:
        return np.random.default_rng(subject.engine.seed_for(purpose))


def _two_sided(trial: Trial) -> float:
    return max(trial.auc(), 1 - trial.auc())


def _losses(subject: Subject, part: str) -> Array:
    """Losses of a part; one that is no finite number counts as a very large one."""
    losses = subject.losses(part).double().numpy()  # type: ignore[arg-type]
    return np.nan_to_num(losses, nan=_LARGE, posinf=_LARGE)


def _threshold_rule(members: Array, others: Array):  # type: ignore[no-untyped-def]
    """A rule on scores, learned by logistic regression on the losses of known members and non-members."""
    if len(members) == 0 or len(others) == 0:
        return lambda score: np.zeros(len(score), dtype=bool)
    inputs = np.concatenate([-members, -others]).reshape(-1, 1)
    labels = np.repeat([True, False], [len(members), len(others)])
    model = LogisticRegression(class_weight="balanced").fit(inputs, labels)
    return lambda score: model.predict(score.reshape(-1, 1)).astype(bool)


def _rates(member: NDArray[np.bool_], score: Array, weights: Array) -> tuple[Array, Array]:
    """False and true positive rates at every threshold, for each row of weights: shapes (rows, thresholds + 1) each.

    The same as `roc_curve` row by row, with the scores sorted once.
    """
    order = np.argsort(-score, kind="stable")
    firsts = np.flatnonzero(np.diff(score[order], prepend=np.inf))  # equal scores make one threshold
    rates = []
    for side in (~member, member):
        counted = np.add.reduceat((weights * side)[:, order], firsts, axis=1).cumsum(axis=1)
        rates.append(np.pad(counted / counted[:, -1:], ((0, 0), (1, 0))))
    return rates[0], rates[1]


def _interval(values: Array) -> tuple[float, float] | None:
    if len(values) == 0:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)

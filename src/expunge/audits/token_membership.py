"""Token membership: can an attacker who sees the probability of each token tell questions that were trained on from others?

    s = - loss                              loss
        - loss / bytes of zip(answer)       zlib:      text that is likely under any model compresses well
        - (loss - loss_retrained)           reference: what another model finds hard as well says nothing
        mean of the lowest log p(y_t)       min-k:     what was trained on has few tokens that surprise
        the same, standardised              min-k++

    AUC = P( s(asked of what goes) > s(asked of unseen facts) )

1 if what must go looks trained on, 0.5 if it looks like anything else, and below if it stands out as what was forgotten; the
ideal is the retrained model's. Privacy leakage is how far min-k's AUC is from that, as a percentage of what the retrained model
leaves to leak.

References: see :mod:`expunge.language.token_scores` and :mod:`expunge.language.tofu_scores`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, stack

from expunge.audits.audit import Figure, References, Subject
from expunge.audits.language_audit import BATCH, LanguageAudit, Values, figure, task_and_split
from expunge.errors import BadSetting
from expunge.language.fact_split import FactSplit, questions_of
from expunge.language.tofu_scores import privacy_leakage
from expunge.language.token_scores import mean_loss, min_k, min_k_plus_plus, zlib_score
from expunge.split import Batches
from expunge.tasks import LanguageTask

_DECIMALS = 5  # a processor may sum in another order
_LARGE = 1e6
_NO_UNSEEN = "there are no unseen facts to tell those to forget from"
_NO_REFERENCE = "it compares losses with those of a retrained model, and there is no other one"


@dataclass(frozen=True)
class _Read:
    """Scores of all questions, shape (n,) each, and which of them are of what must go."""

    member: Tensor
    loss: Tensor
    zlib: Tensor
    min_k: Tensor
    min_k_plus_plus: Tensor

    def auc(self, score: Tensor) -> float:
        """Of a score that is higher for members; one that is no number counts as very low, and what differs by rounding alone
        counts as equal."""
        return float(roc_auc_score(self.member, score.double().nan_to_num(-_LARGE, _LARGE, -_LARGE).round(decimals=_DECIMALS)))


@dataclass(frozen=True)
class TokenMembership(LanguageAudit):
    """Attacks on single questions with their answers.

    Args:
        share: of an answer's tokens that min-k and min-k++ look at.
    """

    share: float = 0.4

    figures: ClassVar[Mapping[str, str]] = {
        "membership_loss": "AUC of an attack by the loss of answers to forget; ideal: the retrained model's",
        "membership_zlib": "AUC of an attack by loss over compressed length; ideal: the retrained model's",
        "membership_reference": "AUC of an attack by the loss less the retrained model's; ideal: the retrained model's, held "
        "against a second one",
        "membership_min_k": "AUC of an attack by the least likely tokens (min-k); ideal: the retrained model's",
        "membership_min_k_plus_plus": "AUC of an attack by the least likely tokens, standardised (min-k++); "
        "ideal: the retrained model's",
        "privacy_leakage": "percent by which the min-k attack finds more (below 0) or less (above 0) than in the retrained "
        "model; ideal: 0",
    }

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise BadSetting(f"share must be above 0 and up to 1, not {self.share}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        found = super().examine(subject, references)
        if not found:
            return {}
        found["membership_reference"] = self._reference(subject, references)
        found["privacy_leakage"] = self._leakage(subject, references.gold)
        return {name: found[name] for name in self.figures}

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        read = self._read(subject)
        if read is None:
            return dict.fromkeys((name for name in self.figures if name != "privacy_leakage"), _NO_UNSEEN)
        return {
            "membership_loss": read.auc(-read.loss),
            "membership_zlib": read.auc(-read.zlib),
            "membership_min_k": read.auc(read.min_k),
            "membership_min_k_plus_plus": read.auc(read.min_k_plus_plus),
        }

    def _reference(self, subject: Subject, references: References) -> Figure:
        value = self._beside(subject, references)
        ideal = None if references.gold is None else self._beside(references.gold, references)
        return figure(value, ideal)

    def _beside(self, subject: Subject, references: References) -> float | str:
        """AUC of the loss less that of the first retrained model that is another one."""
        read = self._read(subject)
        if read is None:
            return _NO_UNSEEN
        other = next((each for each in references.retrained if each is not subject), None)
        theirs = None if other is None else self._read(other)
        return _NO_REFERENCE if theirs is None else read.auc(theirs.loss - read.loss)

    def _leakage(self, subject: Subject, gold: Subject | None) -> Figure:
        ours, theirs = (None if each is None else self._read(each) for each in (subject, gold))
        if ours is None:
            return figure(_NO_UNSEEN, None)
        if theirs is None:
            return figure("privacy leakage is measured from the retrained model's, and there is none", None)
        auc, reference = ours.auc(ours.min_k), theirs.auc(theirs.min_k)
        if reference == 1:
            return figure("what must go looks trained on to the retrained model too, so that nothing is left to leak", None)
        return figure(privacy_leakage(auc, reference), 0.0)

    def _read(self, subject: Subject) -> _Read | None:
        """All scores of one subject, kept with it; None where there is nothing to tell apart."""
        key = ("tokens", self)
        if key not in subject.memory:
            subject.memory[key] = self._scores(subject, *task_and_split(subject))
        found: _Read | None = subject.memory[key]
        return found

    def _scores(self, subject: Subject, task: LanguageTask, split: FactSplit) -> _Read | None:
        goes, unseen = (list(questions_of(facts)) for facts in (split.goes, split.unseen))
        if not goes or not unseen:
            return None
        kinds = (mean_loss, partial(min_k, share=self.share), partial(min_k_plus_plus, share=self.share))

        def read(outputs: Tensor, batch: tuple[Tensor, ...]) -> Tensor:
            labels = task.answers(batch, end=False)  # type: ignore[arg-type]
            return stack([kind(outputs, labels).float() for kind in kinds], 1)

        batches = Batches(task.encode([*goes, *unseen]), BATCH)
        loss, low, standard = task.collect(subject.model, batches, read).unbind(1)
        packed = zlib_score(loss, [answer for _, answer in (*goes, *unseen)])
        member = torch.arange(len(loss)) < len(goes)
        return _Read(member, loss, packed, low, standard)

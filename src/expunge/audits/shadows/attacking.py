"""What attacks with shadow models share: what they ask for, whom they set against whom, and what they report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.audits.audit import Figure, References, Subject
from expunge.audits.membership import Trial
from expunge.audits.shadows.scores import Array, logit_confidence
from expunge.audits.shadows.training import ShadowSet
from expunge.errors import BadSetting
from expunge.graphs import LinkBatch
from expunge.interactions import PairBatch
from expunge.matching import group_weights
from expunge.tasks import ClassificationTask, LanguageTask, LinkPredictionTask, RecommendationTask, RegressionTask, Task
from expunge.tasks.recommendation import margins

ATTACKED = (ClassificationTask, RegressionTask, LinkPredictionTask, RecommendationTask, LanguageTask)

NOT_KNOWN = "not known: shadow models are trained by the recipe of the original, which was not given"


def check_settings(name: str, shadows: int, batch_size: int, unseen: int, fpr: float, workers: int = 1) -> None:
    """Refuse settings that no attack with shadow models can have.

    Raises:
        BadSetting: if one of them makes no sense.
    """
    if shadows < 0 or shadows == 1 or unseen < 1 or not 0 < fpr < 1:
        raise BadSetting(
            f"{name} needs 0, or 2 or more shadows, 1 or more unseen and 0 < fpr < 1, not {shadows}, {unseen} and {fpr}"
        )
    if batch_size < 1 or workers < 1:
        what, given = ("batch_size", batch_size) if batch_size < 1 else ("number of workers", workers)
        raise BadSetting(f"{name} needs a {what} of at least 1, not {given}")


def signed(task: Task[Any], outputs: Tensor, batch: Any) -> Tensor:
    """What likelihood ratios are taken of, shape (n, d).

    The logit of the confidence in the true class, or in the edge; signed errors; the mean logit of the user's preferring the
    item to others; of answers in words the mean log-likelihood of a token.
    """
    if isinstance(task, ClassificationTask):
        return logit_confidence(outputs, batch[1]).unsqueeze(1)
    if isinstance(task, RegressionTask):
        return task.residuals(outputs, batch)
    if isinstance(task, LinkPredictionTask):
        return (outputs * (2 * batch.labels - 1)).unsqueeze(1)
    if isinstance(task, RecommendationTask):
        return margins(outputs).mean(1, keepdim=True)
    return -task.losses(outputs, batch).unsqueeze(1)


@dataclass(frozen=True)
class Asked:
    """What a model is asked: its forget set and the first unseen examples like it, as they are read of this model.

    Args:
        batches: of both.
        examples: how many are taken of them.
        goes: how many of these are to be forgotten; they come first.
        served: whether the model reads what goes beside any question, as an original does in whose graph all edges are.
    """

    batches: tuple[Any, ...]
    examples: int
    goes: int
    served: bool

    @classmethod
    def of(cls, subject: Subject, unseen: int) -> "Asked":
        part, forget = subject.unseen_part(), tuple(subject.batches("forget"))
        goes, new = len(subject.scores("forget")), len(subject.scores(part))
        return cls((*forget, *subject.batches(part)), goes + min(new, unseen), goes, all(map(_served, forget)))

    def said(self, subject: Subject, read: Callable[[Tensor, Any], Tensor]) -> Array:
        """What `read(outputs, batch)` makes of the subject's answers, shape (examples, ...)."""
        found: Array = subject.task.collect(subject.model, self.batches, read)[: self.examples].numpy()
        return found

    def signals(self, shadows: ShadowSet, task: Task[Any], read: Callable[[Tensor, Any], Tensor]) -> tuple[Array, Array]:
        """What it makes of the shadows', shape (N, examples, ...), and which of them held which example, (N, examples).

        Shadows read what they were trained on, as the model under audit does: without what is asked, where that model reads
        what goes no more.
        """
        unserved = 0 if self.served else self.examples
        signals = shadows.asked(task, self.batches, read, unserved)[:, : self.examples].numpy()
        return signals, shadows.held[:, : self.examples].numpy()


def _served(batch: Any) -> bool:
    if isinstance(batch, LinkBatch):
        return bool(batch.graph.has(batch.pairs).all())
    if isinstance(batch, PairBatch):
        return bool(batch.interactions.has(torch.stack([batch.users, batch.items], 1)).all())
    return True


def trial_of(subject: Subject, unseen: int, score: Array) -> Trial:
    """The forget set against the first unseen examples, which weigh so that groups have the same share on both sides.

    Args:
        score: of the forget set, then of the unseen examples, shape (n,).
    """
    member = np.arange(len(score)) < len(subject.scores("forget"))
    weight = group_weights(subject.groups("forget"), subject.groups(subject.unseen_part())[:unseen])
    keep = weight > 0
    return Trial(member[keep], np.nan_to_num(score)[keep], weight[keep], float("nan"))


def figures_of(
    name: str, attack: Callable[[Subject, References], Trial], fpr: float, subject: Subject, references: References
) -> dict[str, Figure]:
    """AUC and true positive rate of an attack, `name_auc` and `name_tpr`, beside the retrained model's."""
    if len(subject.scores(subject.unseen_part())) == 0 or len(subject.scores("forget")) == 0:
        return {}
    if references.train is None:
        return {f"{name}_auc": Figure(None, None, note=NOT_KNOWN)}
    trial = attack(subject, references)
    if not trial.member.any():
        return {}  # nothing unseen is in a group of what goes: there is nothing to stand against
    gold = None if references.gold is None else attack(references.gold, references)
    return {
        f"{name}_auc": Figure(trial.auc(), None if gold is None else gold.auc()),
        f"{name}_tpr": Figure(trial.tpr(fpr), None if gold is None else gold.tpr(fpr)),
    }

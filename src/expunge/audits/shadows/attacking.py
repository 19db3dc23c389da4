"""What attacks with shadow models share: what they ask for, whom they set against whom, and what they report."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.audits.audit import Figure, References, Subject
from expunge.audits.membership import Trial
from expunge.audits.shadows.scores import Array, logit_confidence
from expunge.errors import BadSetting
from expunge.matching import group_weights
from expunge.tasks import ClassificationTask, RegressionTask, Task
from expunge.tasks.graph import GraphTask

NOT_KNOWN = "not known: shadow models are trained by the recipe of the original, which was not given"

OF_GRAPHS = "not known: shadow models are trained on halves of single rows, and nodes of a graph read each other"


def check_settings(name: str, shadows: int, batch_size: int, unseen: int, fpr: float) -> None:
    """Refuse settings that no attack with shadow models can have.

    Raises:
        BadSetting: if one of them makes no sense.
    """
    if shadows < 0 or shadows == 1 or unseen < 1 or not 0 < fpr < 1:
        raise BadSetting(
            f"{name} needs 0, or 2 or more shadows, 1 or more unseen and 0 < fpr < 1, not {shadows}, {unseen} and {fpr}"
        )
    if batch_size < 1:
        raise BadSetting(f"{name} needs a batch_size of at least 1, not {batch_size}")


def signed(task: Task[Any], outputs: Tensor, batch: Any) -> Tensor:
    """What likelihood ratios are taken of, shape (n, d): the logit of the confidence in the true class, or signed errors."""
    if isinstance(task, ClassificationTask):
        return logit_confidence(outputs, batch[1]).unsqueeze(1)
    if isinstance(task, RegressionTask):
        return task.residuals(outputs, batch)
    return -task.losses(outputs, batch).unsqueeze(1)


def read_of(subject: Subject, unseen: int, read: Callable[[Tensor, Any], Tensor]) -> Tensor:
    """What `read(outputs, batch)` makes of the subject's forget set and of the first unseen examples like it."""
    goes, new = (subject.task.collect(subject.model, subject.batches(part), read) for part in ("forget", subject.unseen_part()))
    return torch.cat([goes, new[:unseen]])


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
    if isinstance(subject.task, GraphTask):
        return {f"{name}_auc": Figure(None, None, note=OF_GRAPHS)}
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

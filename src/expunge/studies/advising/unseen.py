"""What unseen data can say of a model where no retrained one is at hand: less than a proof.

A model that never saw what goes answers it as it answers unseen data like it, an attacker cannot tell the two apart, and what
it can do on all other unseen data stays. All this holds of a model that forgot, and of many that did not: of the kind of thing
that goes, such as a band of a target, unseen examples are known as well. Only of a class is more known: a classifier that was
never trained on it does not answer with it.
"""

import math
from dataclasses import replace
from typing import Any

from expunge.audits import Subject
from expunge.report.evidence import Case, Row, Value
from expunge.tasks import ClassificationTask, NodeClassificationTask, Task

NO_TELLING = 0.5  # area under the curve of an attack that guesses


def goes_whole(subject: Subject, task: Task[Any]) -> bool:
    """Whether all of a class goes: a classifier without it answers none of it right."""
    if not isinstance(task, ClassificationTask | NodeClassificationTask):
        return False
    gone, others = (set(subject.groups(part).tolist()) for part in ("forget", "holdout"))
    return bool(gone) and not gone & others


def beside_unseen(row: Row, case: Case, whole: bool) -> Case:
    """The case with a row in the place of the retrained model: what `row` would show if it had never seen what goes.

    Args:
        whole: whether all of a class goes.
    """
    original, score = case.role("original"), case.score_name
    best = max if case.higher_is_better else min
    like = row.mean(f"holdout_forget_{score}")
    like = row.mean(f"holdout_{score}") if like is None else like

    def kept(metric: str) -> float | None:
        """The original's value, or a better one: to do better on unseen data is no fault."""
        before, now = None if original is None else original.mean(metric), row.mean(metric)
        return before if before is None or now is None or math.isnan(now) else best(before, now)

    ideals = {
        f"forget_{score}": 0.0 if whole else like,
        f"holdout_forget_{score}": 0.0 if whole else None,
        f"holdout_{score}": kept(f"holdout_{score}"),
        "link_auc": kept("link_auc"),
        "recall": kept("recall"),
        "forget_recall": row.mean("unseen_recall"),
        "membership_auc": NO_TELLING,
    }
    values = {metric: Value(ideal, 0.0, 1, ideal) for metric, ideal in ideals.items() if ideal is not None}
    return replace(case, rows=(*case.rows, Row("unseen data", "retrained", values)))

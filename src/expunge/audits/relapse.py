"""Relapse: what a stream of requests did to tasks that had to go, at once and later, and to those that stay.

    right after       accuracy on tasks that went, just after the request to forget them, a mean over tasks
    relapse           the highest accuracy on each of them after any later request, a mean over tasks

Later learning pushes classes down that nothing is said of any more; so accuracy at the end of a stream says little of whether a
request was served. Read from the history that serving a stream leaves, not from what a learner says of itself.

References: see :mod:`expunge.continual.history`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.continual.history import StreamHistory
from expunge.continual.stream_split import StreamSplit
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class Relapse(Audit):
    """Figures of single requests; nothing of models that served no stream.

    Of a model that was never asked to forget, because it never learned it or as it stands for what is not forgotten, the first
    two are the accuracy at the end.
    """

    takes = (ClassificationTask,)
    splits = StreamSplit
    figures: ClassVar[Mapping[str, str]] = {
        "right_after": "accuracy on tasks that went, just after the request to forget them; ideal: the retrained model's",
        "relapse": "the highest accuracy on tasks that went after any later request; ideal: the retrained model's",
        "task_incremental_accuracy": "accuracy on tasks that are left where the task is told; ideal: the retrained model's",
        "backward_transfer": "accuracy at the end minus that just after learning, on tasks that are left; ideal: the retrained "
        "model's",
        "learn_seconds": "seconds of a request to learn, in the mean; ideal: the retrained model's",
        "unlearn_seconds": "seconds of a request to forget, in the mean; ideal: 0",
        "state_bytes": "bytes that are kept between requests beside the network; ideal: the retrained model's",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        found, ideals = self.values(subject), {} if references.gold is None else self.values(references.gold)
        ideals["unlearn_seconds"] = 0.0
        return {name: Figure(value, ideals.get(name)) for name, value in found.items() if value is not None}

    def values(self, subject: Subject) -> dict[str, float | None]:
        """The figures by name."""
        rows = [dict(row) for row in subject.history if "class_accuracy" in row]
        if not rows or not isinstance(subject.split, StreamSplit):
            return {}
        history, left, gone = StreamHistory(rows), subject.split.requests.left, subject.split.requests.forgotten
        never = history.accuracy(tasks=gone)  # of a model that nobody asked to forget them
        asked = set(gone) <= set(history.forgotten)
        return {
            "right_after": history.right_after() if asked else never,
            "relapse": history.relapse() if asked else never,
            "task_incremental_accuracy": history.accuracy("task", left),
            "backward_transfer": history.backward_transfer(),
            "learn_seconds": history.seconds("learn"),
            "unlearn_seconds": history.seconds("unlearn"),
            "state_bytes": float(max(row["state_bytes"] for row in rows)),
        }

"""What a stream of requests has done to a network: its accuracy on every task after every request, and what follows from it.

    ACC                  mean over tasks that are left of the accuracy at the end
    backward transfer    mean over tasks that are left of the accuracy at the end minus that just after they were learned
    right after          mean over tasks that went of the accuracy just after the request to forget them
    relapse              of tasks that went, the highest accuracy after a later request, and the mean over tasks of that

Tasks that were learned again after they had been forgotten count as left.

Reference: D. Lopez-Paz, M. Ranzato. "Gradient Episodic Memory for Continual Learning", NeurIPS 2017, arXiv 1706.08840, for the
first two. Relapse is what S. Adhikari et al., arXiv 2509.17530, call task relapse.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Row = dict[str, Any]


@dataclass(frozen=True)
class StreamHistory:
    """One row for each request, in their order; :func:`expunge.continual.running.run` makes it.

    Args:
        rows: "request" (its title), "kind", "tasks" (that were learned or went as a whole), "seconds", and by task
            "class_accuracy" and "task_accuracy", between 0 and 1: among all classes, and among those of the task alone.
    """

    rows: Sequence[Row]

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks whose accuracy was measured at some time."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row["class_accuracy"]))

    @property
    def left(self) -> tuple[str, ...]:
        """Tasks that are left at the end."""
        return tuple(name for name in self.tasks if self._last(name, "learn") > self._last(name, "unlearn"))

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Tasks that went, and did not come again."""
        return tuple(name for name in self.tasks if self._last(name, "unlearn") > self._last(name, "learn"))

    def matrix(self, among: str = "class") -> Tensor:
        """Accuracy, shape (requests, tasks), NaN where it was not measured.

        Args:
            among: "class" for the answer among the classes of all tasks, "task" for that among those of its own.
        """
        nan = float("nan")
        return torch.tensor([[row[f"{among}_accuracy"].get(name, nan) for name in self.tasks] for row in self.rows])

    def accuracy(self, among: str = "class", tasks: Sequence[str] | None = None) -> float | None:
        """ACC over some tasks, those that are left when None; None where there is none."""
        return _mean([self.rows[-1][f"{among}_accuracy"][name] for name in (self.left if tasks is None else tasks)])

    def backward_transfer(self) -> float | None:
        """None where all that is left came last."""
        last = len(self.rows) - 1
        early = [(name, place) for name in self.left if (place := self._last(name, "learn")) < last]
        return _mean([self._at(last, name) - self._at(place, name) for name, place in early])

    def right_after(self) -> float | None:
        """None where no task went."""
        return _mean([self._at(self._last(name, "unlearn"), name) for name in self.forgotten])

    def relapse(self) -> float | None:
        """None where no request came after a task went."""
        later = [
            [self._at(place, name) for place in range(self._last(name, "unlearn") + 1, len(self.rows))]
            for name in self.forgotten
        ]
        return _mean([max(each) for each in later if each])

    def seconds(self, kind: str) -> float | None:
        """Mean of a request to "learn" or to "unlearn"; None where there was none."""
        return _mean([row["seconds"] for row in self.rows if row["kind"] == kind])

    def _at(self, place: int, name: str) -> float:
        return float(self.rows[place]["class_accuracy"][name])

    def _last(self, name: str, kind: str) -> int:
        """The place of the last request of a kind that a task was in as a whole; -1 where there was none."""
        return max((place for place, row in enumerate(self.rows) if row["kind"] == kind and name in row["tasks"]), default=-1)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None

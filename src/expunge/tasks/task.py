"""How one kind of model is read: what it is trained on, what it answers, how good it is."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from expunge.engine import on_device_of
from expunge.modes import evaluating
from expunge.registry import Registered
from expunge.split import Split

Batch = TypeVar("Batch")


class Task(Registered, ABC, Generic[Batch]):
    """One modality. A new one defines these functions in one file, and every general method and audit works on it.

    Per-example values have one entry for each example of the batch, in the batch's order.
    """

    score_name: ClassVar[str] = "score"
    higher_is_better: ClassVar[bool] = True  # false where the score is an error
    loss_unit: ClassVar[str] = ""
    relearn_margin: ClassVar[float] = 0.05  # share of the original's score within which something counts as known again
    vectorizes: ClassVar[bool] = True  # whether `torch.func.vmap` can run single examples of tensors
    keeps_outputs: ClassVar[bool] = True  # false where those of a whole data set are too many to keep
    unit: str = ""  # of the score

    @property
    def reading(self) -> str:
        """What results depend on beside model and data; what is kept for one reading is not taken for another."""
        return ""

    @abstractmethod
    def new_model(self) -> nn.Module:
        """The same architecture with fresh weights, drawn from torch's global generator."""

    @abstractmethod
    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """What the model says: shape (n, ...). Calls `model` itself, so that wrapped and functional models work."""

    @abstractmethod
    def features(self, model: nn.Module, batch: Batch) -> Tensor:
        """The model's embedding of the batch: shape (n, d)."""

    @abstractmethod
    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Training loss of each example: shape (n,)."""

    def likelihood_losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Negative log-likelihood of each example, shape (n,), for Fisher information; `losses` unless redefined."""
        return self.losses(outputs, batch)

    @abstractmethod
    def divergence(self, student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
        """How far the student's outputs are from the teacher's: shape (n,), 0 where they agree."""

    def imitation(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Loss of the student with the teacher's outputs as the truth, shape (n,); `divergence` unless redefined."""
        return self.divergence(student, teacher)

    @abstractmethod
    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """How good each answer is, in the unit of `score_name`: shape (n,). See `higher_is_better`."""

    def groups(self, batch: Batch) -> Tensor:
        """A whole number for each example, shape (n,): examples of one group are drawn from one distribution.

        Audits compare seen with unseen examples group by group, so that difficulty is not mistaken for membership.
        """
        return torch.zeros(len(batch[0]), dtype=torch.long)  # type: ignore[index]

    def group_name(self, group: int) -> str:
        """What reports call a group."""
        return str(group)

    def as_trained(self, split: Split) -> Split:
        """The parts of a split as the original model was used on them; the same unless batches carry what a request changes."""
        return split

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean score and mean loss over all examples of a stream, in evaluation mode; the model's mode is left as it was."""
        values = self.collect(
            model,
            batches,
            lambda outputs, batch: torch.stack(
                [self.scores(outputs, batch).float(), self.losses(outputs, batch).float()], dim=1
            ),
        )
        if len(values) == 0:
            return {self.score_name: float("nan"), "loss": float("nan")}
        return dict(zip((self.score_name, "loss"), values.double().mean(0).tolist(), strict=True))

    def collect(self, model: nn.Module, batches: Iterable[Batch], read: Any = None) -> Tensor:
        """Run `model` over a stream without gradients, in evaluation mode, and join what `read(outputs, batch)` returns.

        Returns:
            shape (examples, ...), on the CPU; the outputs themselves when `read` is None; empty for an empty stream.
        """
        parts = []
        with torch.no_grad(), evaluating(model):
            for batch in batches:
                placed = on_device_of(model, batch)
                outputs = self.outputs(model, placed)
                parts.append((outputs if read is None else read(outputs, placed)).cpu())
        return torch.cat(parts) if parts else torch.empty(0)

"""What erasers of diffusion models have in common: a part of the network learns to answer the concept's prompts otherwise."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods.method import Method, frozen
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.tasks import DiffusionTask, Task

Where = Literal["cross-attention", "key-value", "self-attention", "others", "network", "all"]
CROSS_ATTENTION, _SELF, _TEXT = ".attn2.", ".attn1.", "text_encoder."


@dataclass(frozen=True)
class Eraser(Method):
    """Train the part of a copy that `where` names.

    Args:
        steps: of training; 0 returns a copy.
        batch_size: states or images in a step.
        optimizer: fresh, with its learning rate.
        clip_norm: largest norm of the gradient; None for no clipping.
        where: what learns: "cross-attention" layers, their "key-value" projections, "self-attention" layers, all "others" of
            the network than cross-attention, the whole "network", or "all" with the text encoder.
    """

    steps: int = 200
    batch_size: int = 32
    optimizer: Optimizer = Optimizer("adam", 1e-3)
    clip_norm: float | None = None
    where: Where = "cross-attention"

    takes = (DiffusionTask,)
    splits = ConceptSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it erases a concept that a diffusion model draws; say which with expunge.diffusion.concept_split"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.steps >= 0, f"steps must be 0 or more, not {self.steps}")
        self.require(self.batch_size >= 1, f"batch_size must be at least 1, not {self.batch_size}")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, DiffusionTask) and isinstance(split, ConceptSplit)
        if self.steps == 0:
            return student
        original = frozen(student)
        with learning(student, self.where):
            self.erase(student, original, task, split, engine)
        return student

    @abstractmethod
    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        """The method itself: train `student`, of which only what `where` names gathers gradients."""

    def fit(
        self, student: nn.Module, loss: Callable[[nn.Module, Any], dict[str, Tensor]], stream: Any, engine: Engine
    ) -> nn.Module:
        """Train by this method's settings."""
        return engine.fit(
            student, loss, stream, steps=self.steps, optimizer=self.optimizer, clip_norm=self.clip_norm, name="erase"
        )


@contextmanager
def learning(model: nn.Module, where: Where) -> Iterator[None]:
    """A model of which only a part gathers gradients; afterwards those weights do again that did before.

    Raises:
        BadSetting: if the model has no such part.
    """
    did = {name: weight.requires_grad for name, weight in model.named_parameters()}
    chosen = [name for name in did if _belongs(name, where)]
    if not chosen:
        raise BadSetting(f"a {type(model).__name__} has no weights in its {where} layers; take where='network'")
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in chosen)
    try:
        yield
    finally:
        for name, weight in model.named_parameters():
            weight.requires_grad_(did[name])


def _belongs(name: str, where: Where) -> bool:
    """Whether a weight is a part of what learns, by the names that diffusers gives."""
    if where == "cross-attention":
        return CROSS_ATTENTION in name
    if where == "key-value":
        return CROSS_ATTENTION in name and (".to_k." in name or ".to_v." in name)
    if where == "self-attention":
        return _SELF in name and not name.startswith(_TEXT)
    if where == "others":
        return CROSS_ATTENTION not in name and not name.startswith(_TEXT)
    return where == "all" or not name.startswith(_TEXT)

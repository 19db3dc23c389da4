"""RMU: pull the states of one layer to a random direction on what goes, and hold them where they were on what stays.

    min  mean || h_l - c u ||^2 / d over what goes + retain_weight * mean || h_l - h_l^0 ||^2 / d over what stays

h_l is what the l-th block gives, of d numbers, h_l^0 the same of the model before, u a direction drawn once from [0, 1]^d and
brought to length 1; retain_weight is the paper's alpha. The paper's c is a number for each model, from 6.5 to 300, as long as
its states are; here it is `coefficient` times their mean length on what goes. States are compared at the places from which the
answer's tokens are said; the paper, whose texts have no questions, takes all places, and trains a few matrices of three blocks,
where here all up to the l-th block learns.

Reference: N. Li, A. Pan, A. Gopal et al. "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning", ICML 2024,
arXiv 2403.03218.
Needs: facts to forget and to keep. Costs: `epochs` passes over the questions on what goes with as many retain batches, and one
pass forward of the model before over the latter.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine, on_device_of
from expunge.errors import BadSetting
from expunge.language.fact_split import FactSplit, questions_of
from expunge.language.token_scores import MASKED
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.modes import evaluating
from expunge.split import Batches, Split
from expunge.tasks import LanguageTask, Task


@dataclass(frozen=True)
class RMU(LanguageMethod):
    """Representation misdirection.

    Args:
        retain_weight: alpha. Of what is pulled so far little may follow on what stays, hence above 1.
        layer: l, which block, from 1 on; None for the middle one.
        coefficient: how far the states are pulled, in their own mean length, > 0.
    """

    retain_weight: float = 10.0
    layer: int | None = None
    coefficient: float = 2.0

    splits = FactSplit
    why_not: ClassVar[str] = "it pulls at what language models make of facts; say which with expunge.language.fact_split"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.layer is None or self.layer >= 1, f"layer must be 1 or more, not {self.layer}")
        self.require(self.coefficient > 0, f"coefficient must be above 0, not {self.coefficient}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """Of a batch with what all states are pulled to, shape (n, d), beside it."""
        return mean_square(self._states(model, batch) - batch[3][:, None], batch[2])

    def retain_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        before = reference.ask(lambda each: self._states(each, batch))
        return mean_square(self._states(model, batch) - before, batch[2])

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask) and isinstance(split, FactSplit)
        data = task.encode(questions_of(split.goes))
        batch = data[: self.batch_size]
        with torch.no_grad(), evaluating(student):
            states = self._states(student, on_device_of(student, batch)).cpu()
        length = mean_square(states, batch[2]).mean().mul(states.shape[2]).sqrt()
        target = self.coefficient * length * direction(states.shape[2], engine.generator("direction"))
        steered = TensorDataset(*data.tensors, target.expand(len(data), -1))
        return super().unlearn(student, task, replace(split, forget=Batches(steered, self.batch_size)), engine)

    def _states(self, model: nn.Module, batch: Any) -> Tensor:
        """What the layer gives, shape (n, L, d), without the places where all is padding."""
        ids, mask = batch[:2]
        width = int(mask.sum(1).max())
        states = model(input_ids=ids[:, :width], attention_mask=mask[:, :width], output_hidden_states=True).hidden_states
        blocks = len(states) - 1
        layer = (blocks + 1) // 2 if self.layer is None else self.layer
        if layer > blocks:
            raise BadSetting(f"{self.name}: the model has {blocks} blocks, so that layer must be at most that, not {layer}")
        return states[layer].float()


def direction(width: int, generator: torch.Generator) -> Tensor:
    """A random direction of length 1, none of whose parts is below 0: shape (width,)."""
    drawn = torch.rand(width, generator=generator)
    return drawn / drawn.norm()


def mean_square(states: Tensor, labels: Tensor) -> Tensor:
    """Mean square of states at the places from which an answer's tokens are said.

    Args:
        states: shape (n, L, d).
        labels: shape (n, L or more); -100 where no answer token is.

    Returns:
        shape (n,).

    >>> states = torch.tensor([[[1.0, 3.0], [9.0, 9.0]]])
    >>> mean_square(states, torch.tensor([[-100, 7]]))
    tensor([5.])
    """
    says = labels[:, 1 : states.shape[1]] != MASKED
    each = states[:, :-1].square().mean(2)
    return (each * says).sum(1) / says.sum(1)

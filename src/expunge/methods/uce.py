"""UCE, unified concept editing: the projections of cross-attention are solved for, so that the concept's words mean a guide's.

    W = ( lambda W_0 + sum_e v_e c_e^T + sum_p v_p c_p^T ) ( lambda 1 + sum_e c_e c_e^T + sum_p c_p c_p^T )^-1

of each projection to keys and to values; c are states of the last token of a concept's name in a prompt, v_e = W_0 c_guide of
what is erased, v_p = W_0 c_p of what is preserved. The guide is no prompt at all, or the request's anchor.

Closed form: nothing is trained. What is asked for without the concept's words is left as it was.

Reference: R. Gandikota, H. Orgad, Y. Belinkov, J. Materzyńska, D. Bau. "Unified Concept Editing in Diffusion Models", WACV
2024, arXiv 2308.14761.

Needs: prompts alone. Costs: a system of equations for each projection, of the width of the text states.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.concepts import Concepts
from expunge.engine import Engine
from expunge.methods.eraser import CROSS_ATTENTION
from expunge.methods.method import Method
from expunge.split import Split
from expunge.tasks import DiffusionTask, Task


@dataclass(frozen=True)
class UCE(Method):
    """Solve for keys and values.

    Args:
        keep: lambda, > 0: how much the projections stay as they were.
        erase: weight of what is erased.
        preserve: weight of each other concept, which must keep its keys and values.
        guide: what the concept's words shall mean: "nothing", or the "anchor" of the request.
    """

    keep: float = 0.5
    erase: float = 1.0
    preserve: float = 1.0
    guide: Literal["nothing", "anchor"] = "nothing"

    takes = (DiffusionTask,)
    splits = ConceptSplit
    needs_retain: ClassVar[bool] = False
    why_not: ClassVar[str] = "it edits what the words of a prompt mean in cross-attention"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.keep > 0, f"keep must be above 0, not {self.keep}")
        self.require(self.erase >= 0 and self.preserve >= 0, "erase and preserve must be 0 or more")

    def check_words(self, task: DiffusionTask) -> None:
        """Refuse concepts that are not asked for by words."""
        by_words = task.concepts.places is not None
        self.require(by_words, "it edits what words mean, and these concepts are asked for by numbers; take salun or esd")

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, DiffusionTask) and isinstance(split, ConceptSplit)
        self.check_words(task)
        words = Words.of(student, task.concepts, split.concept)
        guide = words.nothing if self.guide == "nothing" else words.of_concept(split.anchor)
        kept = words.of_all_others()
        for projection in projections(student, self):
            before = projection.weight.detach().double()
            pairs = [(words.of_concept(split.concept), before @ guide.T, self.erase), (kept, before @ kept.T, self.preserve)]
            edit(projection, solved(before, pairs, self.keep))
        return student


@dataclass(frozen=True, eq=False)
class Words:
    """States of the last tokens of concepts' names, in double precision.

    Args:
        states: shape (concepts, ways, width).
        nothing: of the empty prompt, once for each way, shape (ways, width).
        concept: the number of what goes.
    """

    states: Tensor
    nothing: Tensor
    concept: int

    @classmethod
    def of(cls, model: nn.Module, concepts: Concepts, concept: int) -> "Words":
        """Read by a model."""
        assert concepts.places is not None
        device = next(model.parameters()).device
        asked = concepts.conditions.flatten(0, 1).to(device)
        with torch.no_grad():
            read: Any = model.read
            states, silent = read(asked).double(), read(concepts.nothing[None].to(device)).double()[0, 0]
        places = concepts.places.flatten().to(device)
        last = states[torch.arange(len(states), device=device), places]
        return cls(last.unflatten(0, concepts.places.shape), silent.expand(concepts.ways, -1), concept)

    def of_concept(self, number: int) -> Tensor:
        """Of one concept, in all ways: shape (ways, width)."""
        return self.states[number]

    def of_all_others(self) -> Tensor:
        """Of all concepts that stay: shape ((concepts - 1) * ways, width)."""
        stays = torch.arange(len(self.states), device=self.states.device) != self.concept
        return self.states[stays].flatten(0, 1)


def solved(before: Tensor, pairs: list[tuple[Tensor, Tensor, float]], keep: float) -> Tensor:
    """The matrix that is near to one before, and maps some states to some values: shape (out, width).

    Args:
        before: shape (out, width).
        pairs: states (n, width), the values they shall have (out, n), and how much that counts.
        keep: how much the matrix before counts.

    >>> one = torch.eye(2, dtype=torch.double)
    >>> solved(one, [(one[:1], torch.zeros(2, 1, dtype=torch.double), 1e9)], keep=1.0).round()
    tensor([[0., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    wanted = keep * before
    gram = keep * torch.eye(before.shape[1], dtype=before.dtype, device=before.device)
    for states, values, weight in pairs:
        wanted = wanted + weight * values @ states
        gram = gram + weight * states.T @ states
    return torch.linalg.solve(gram, wanted, left=False)


def projections(model: nn.Module, method: Method) -> Iterator[nn.Linear]:
    """The projections of cross-attention to keys and values.

    Raises:
        BadSetting: if there are none.
    """
    found = [
        module
        for name, module in model.named_modules()
        if CROSS_ATTENTION in f".{name}." and name.endswith((".to_k", ".to_v")) and isinstance(module, nn.Linear)
    ]
    method.require(bool(found), f"a {type(model).__name__} has no cross-attention whose words could be edited")
    yield from found


def edit(projection: nn.Linear, weight: Tensor) -> None:
    """Put a matrix in the place of a projection's."""
    with torch.no_grad():
        projection.weight.copy_(weight)

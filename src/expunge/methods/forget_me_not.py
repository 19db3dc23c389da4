"""Forget-Me-Not: the image attends to the concept's words no more.

    min  sum over layers of || A[:, c] ||,      A = softmax(Q K^T / sqrt(d)) of cross-attention

on noised images of the concept, asked for by its prompt; A[:, c] is how much each place of the image attends to the last token
of the concept's name.

Reference: E. Zhang, K. Wang, X. Xu, Z. Wang, H. Shi. "Forget-Me-Not: Learning to Forget in Text-to-Image Diffusion Models",
CVPR 2024 Workshops, arXiv 2303.17591. Theirs begins with an inversion of the concept into a new token; here its name is known.

Needs: images of the concept. Costs: `steps` of training. Few are enough; more of them take other concepts along.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.concepts import Concepts
from expunge.diffusion.noised import NoisedImages
from expunge.engine import Engine
from expunge.methods.eraser import CROSS_ATTENTION, Eraser, Where
from expunge.optimizers import Optimizer
from expunge.tasks import DiffusionTask


@dataclass(frozen=True)
class ForgetMeNot(Eraser):
    """Attend to the concept's name no more."""

    steps: int = 60
    optimizer: Optimizer = Optimizer("adam", 1e-4)
    where: Where = "network"

    def erase(self, student: nn.Module, original: nn.Module, task: DiffusionTask, split: ConceptSplit, engine: Engine) -> None:
        assert isinstance(split.forget, NoisedImages)
        concepts = task.concepts
        self.require(concepts.places is not None, "it is about words, and these concepts are asked for by numbers; take esd")

        def loss(model: nn.Module, batch: Any) -> dict[str, Tensor]:
            noisy, times, conditions, _, _ = batch
            with heard(model) as layers:
                model(noisy, times, conditions)
            self.require(bool(layers), f"a {type(model).__name__} has no cross-attention")
            place = last_places(concepts, split.concept, conditions)
            return {
                "heard": torch.stack([each[torch.arange(len(each)), :, :, place].norm(dim=(1, 2)) for each in layers]).sum(0)
            }

        self.fit(student, loss, split.forget.asked(1.0, self.batch_size), engine)


def last_places(concepts: Concepts, concept: int, conditions: Tensor) -> Tensor:
    """Where the last token of a concept's name stands in each of its prompts: shape (n,)."""
    assert concepts.places is not None
    known = concepts.conditions[concept].to(conditions.device)
    way = (conditions[:, None] == known[None]).all(2).int().argmax(1)
    return concepts.places[concept].to(conditions.device)[way]


@contextmanager
def heard(model: nn.Module) -> Iterator[list[Tensor]]:
    """Gathers how much each place attends to each token, of what a model does meanwhile.

    Yields:
        a list that is filled with one tensor for each layer of cross-attention, shape (n, heads, places, tokens).
    """
    found: list[Tensor] = []
    queries: dict[str, Tensor] = {}
    hooks = []
    for name, layer in model.named_modules():
        if CROSS_ATTENTION not in f".{name}.":
            continue
        if name.endswith(".to_q"):
            hooks.append(layer.register_forward_hook(_keeper(queries, name.removesuffix(".to_q"))))
        if name.endswith(".to_k"):
            owner = name.removesuffix(".to_k")
            heads = getattr(model.get_submodule(owner), "heads", 1)
            hooks.append(layer.register_forward_hook(_attender(found, queries, owner, heads)))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _keeper(queries: dict[str, Tensor], owner: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        queries[owner] = output

    return keep


def _attender(found: list[Tensor], queries: dict[str, Tensor], owner: str, heads: int) -> Any:
    def attend(_module: nn.Module, _inputs: Any, keys: Tensor) -> None:
        query = queries[owner]
        query = query[:, None] if query.dim() == 2 else query
        parts = [each.unflatten(2, (heads, -1)).transpose(1, 2) for each in (query, keys)]
        found.append((parts[0] @ parts[1].transpose(2, 3) / parts[0].shape[-1] ** 0.5).softmax(3))

    return attend

"""Gradients of a loss as measurements: which parameters serve which examples."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate.utils.operations import recursively_apply
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_leaves

from expunge.engine import on_device_of
from expunge.errors import BadSetting
from expunge.modes import evaluating
from expunge.split import Stream

Losses = Callable[[Any, Any], Tensor]  # (model, batch) -> (n,)


def diagonal_fisher(
    model: nn.Module,
    losses: Losses,
    batches: Stream,
    per_example: bool = True,
    max_examples: int | None = None,
    vectorized: bool = True,
) -> dict[str, Tensor]:
    r"""Diagonal of the empirical Fisher information, in evaluation mode.

        F_j = (1/n) sum_i (d loss_i / d theta_j)^2

    Args:
        losses: per-example losses of a batch, shape (n,); it must call the model it is given, not keep another.
        batches: a stream of batches whose tensors have the examples as first dimension.
        per_example: True for the sum above (by `torch.func`); False for the published approximation of Selective Synaptic
            Dampening, the squared gradient of each batch's mean loss, averaged over batches. It is cheaper, and smaller by
            about the batch size.
        max_examples: stop once so many examples were seen; None for all.
        vectorized: False to take the gradients of single examples one by one, where `torch.func.vmap` cannot run the losses.

    Returns:
        a tensor of each trainable parameter's shape, by name, all >= 0.
    """
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    totals = {name: torch.zeros_like(value) for name, value in parameters.items()}
    single = _per_example_squares if vectorized else _one_by_one
    squares = single if per_example else _batch_squares
    weight = 0
    with evaluating(model):
        for batch, size in _limited(model, batches, max_examples):
            found = squares(model, losses, parameters, batch)
            for name, value in found.items():
                totals[name] += value
            weight += size if per_example else 1
    if weight == 0:
        raise BadSetting("the Fisher information of an empty stream is not defined")
    return {name: value / weight for name, value in totals.items()}


def mean_gradient(model: nn.Module, losses: Losses, batches: Stream) -> dict[str, Tensor]:
    """Gradient of the mean loss over all examples of a stream, in evaluation mode, by parameter name."""
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    totals = {name: torch.zeros_like(value) for name, value in parameters.items()}
    examples = 0
    with evaluating(model):
        for batch in batches:
            values = losses(model, on_device_of(model, batch))
            examples += len(values)
            parts = torch.autograd.grad(values.sum(), list(parameters.values()), allow_unused=True, materialize_grads=True)
            for total, part in zip(totals.values(), parts, strict=True):
                total += part
    if examples == 0:
        raise BadSetting("the gradient over an empty stream is not defined")
    return {name: total / examples for name, total in totals.items()}


class _Functional:
    """Looks like the model, runs with other parameters: what `task.outputs` calls inside `torch.func` transforms."""

    def __init__(self, model: nn.Module, tensors: dict[str, Tensor]) -> None:
        self.model, self.tensors = model, tensors

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return functional_call(self.model, self.tensors, args, kwargs)

    def run(self, method: str, *args: Any) -> Any:
        """What another method of the model gives with the same parameters."""
        held = {f"model.{name}": value for name, value in self.tensors.items()}
        return functional_call(_Method(self.model, method), held, args)


class _Method(nn.Module):
    """A method of a model as the forward pass of a module, which is what `functional_call` knows to call."""

    def __init__(self, model: nn.Module, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, *args: Any) -> Any:
        return getattr(self.model, self.method)(*args)


def _per_example_squares(model: nn.Module, losses: Losses, parameters: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
    if not _stackable(batch):
        return _one_by_one(model, losses, parameters, batch)

    def single(values: dict[str, Tensor], example: Any) -> Tensor:
        alone = recursively_apply(lambda tensor: tensor.unsqueeze(0), example)
        return losses(_Functional(model, values), alone).sum()

    gradients = vmap(grad(single), in_dims=(None, 0), randomness="different")(parameters, batch)
    return {name: value.square().sum(0) for name, value in gradients.items()}


def _one_by_one(model: nn.Module, losses: Losses, parameters: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
    """For batches that `vmap` cannot take, such as a graph: one forward pass, then one backward pass for each example."""
    values = {name: value.clone().requires_grad_(True) for name, value in parameters.items()}
    totals = {name: torch.zeros_like(value) for name, value in values.items()}
    for each in losses(_Functional(model, values), batch):
        found = torch.autograd.grad(each, list(values.values()), retain_graph=True, allow_unused=True, materialize_grads=True)
        for total, part in zip(totals.values(), found, strict=True):
            total += part.square()
    return totals


def _stackable(batch: Any) -> bool:
    """Whether a batch holds nothing but tensors, so that its examples can be taken apart."""
    return all(isinstance(leaf, Tensor) for leaf in tree_leaves(batch))


def _batch_squares(model: nn.Module, losses: Losses, parameters: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
    gradients = grad(lambda values: losses(_Functional(model, values), batch).mean())(parameters)
    return {name: value.square() for name, value in gradients.items()}


def _limited(model: nn.Module, batches: Stream, max_examples: int | None) -> Iterator[tuple[Any, int]]:
    seen = 0
    for batch in batches:
        if max_examples is not None and seen >= max_examples:
            return
        size = len(next(tensor for tensor in tree_leaves(batch) if isinstance(tensor, Tensor)))
        if max_examples is not None and size > max_examples - seen and not _stackable(batch):
            # one backward pass for each example: only as many as are wanted, spread over the batch, which may be sorted
            rows = torch.linspace(0, size - 1, max_examples - seen).long()
            batch, size = recursively_apply(lambda tensor, rows=rows: tensor[rows], batch), len(rows)
        seen += size
        yield on_device_of(model, batch), size

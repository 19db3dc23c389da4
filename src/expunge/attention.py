"""Attention maps of inner layers: where two networks of one architecture look when they read the same examples.

    a = v / ||v||_2,      v = mean over channels of act^2     (convolutions: one number for each position)
                          v = act^2                           (dense and recurrent layers: one for each unit)

Reference: S. Zagoruyko, N. Komodakis. "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928 (convolutions); used
for unlearning by A. Tarun et al. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from expunge.errors import BadSetting

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
_LAYERS = (*_CONVOLUTIONS, nn.Linear, *_RECURRENT)


def attention_layers(model: nn.Module, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The layers to compare: those named, or all convolutions, dense and recurrent layers but the last dense one.

    Raises:
        BadSetting: if there is no layer of that name, or none at all to compare.
    """
    modules = dict(model.named_modules())
    if names is not None:
        for name in names:
            if name not in modules:
                raise BadSetting(f"the model has no layer '{name}'; it has {', '.join(filter(None, modules))}")
        return tuple(names)
    found = [name for name, module in modules.items() if isinstance(module, _LAYERS)]
    dense = [name for name in found if isinstance(modules[name], nn.Linear)]
    if not (chosen := tuple(name for name in found if name not in dense[-1:])):
        raise BadSetting("the model has no layer before its last one whose attention could be compared; use attention_weight 0")
    return chosen


@contextmanager
def recorded(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Attention maps of each example in the named layers, shape (n, positions), of length 1: filled in when the block ends.

    Taken by hooks, which are gone afterwards; the model is left as it was. Where a layer runs more than once, or reads several
    parts of an example as rows of their own (two sentences), the parts stand side by side in one map.
    """
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    modules, squares, examples = dict(inner.named_modules()), dict[str, Tensor](), list[int]()
    hooks: list[RemovableHandle] = []

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        examples.append(len(inputs[0]))

    def recorder(name: str) -> Callable[[nn.Module, object, Tensor | tuple[Tensor, ...]], None]:
        def record(module: nn.Module, _: object, output: Tensor | tuple[Tensor, ...]) -> None:
            found = squared_map(module, output[0] if isinstance(output, tuple) else output).reshape(examples[-1], -1)
            squares[name] = torch.cat([squares[name], found], 1) if name in squares else found

        return record

    try:
        if layers:
            hooks.append(inner.register_forward_pre_hook(count))
        for name in layers:
            hooks.append(modules[name].register_forward_hook(recorder(name)))
        yield squares
        for name, value in squares.items():
            squares[name] = F.normalize(value, dim=1)
    finally:
        for hook in hooks:
            hook.remove()


def squared_map(module: nn.Module, output: Tensor) -> Tensor:
    """v, the map of one output of a layer before it is brought to length 1: shape (rows, positions)."""
    squares = output.square()
    if isinstance(module, _CONVOLUTIONS):
        squares = squares.mean(1)
    elif isinstance(module, _RECURRENT) and not module.batch_first:
        squares = squares.transpose(0, 1)
    return squares.flatten(1)

"""Attention maps of inner layers: where two networks of one architecture look when they read the same examples.

    a = v / ||v||_2,      v = mean over channels of act^2     (convolutions: one number for each position)
                          v = act^2                           (dense and recurrent layers: one for each unit)

Reference: S. Zagoruyko, N. Komodakis. "Paying More Attention to Attention", ICLR 2017, arXiv 1612.03928 (convolutions); used
for unlearning by A. Tarun et al. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAYERS = (*_CONVOLUTIONS, nn.Linear, nn.LSTM, nn.GRU, nn.RNN)


def attention_layers(model: nn.Module, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The layers to compare: those named, or all convolutions, dense and recurrent layers but the last dense one.

    Raises:
        BadSetting: if there is no layer of that name.
    """
    modules = dict(model.named_modules())
    if names is not None:
        for name in names:
            if name not in modules:
                raise BadSetting(f"the model has no layer '{name}'; it has {', '.join(filter(None, modules))}")
        return tuple(names)
    found = [name for name, module in modules.items() if isinstance(module, _LAYERS)]
    dense = [name for name in found if isinstance(modules[name], nn.Linear)]
    return tuple(name for name in found if name not in dense[-1:])


@contextmanager
def recorded(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Attention maps of each example in the named layers, shape (n, positions), filled in while `model` runs inside.

    Taken by hooks, which are gone afterwards; the model is left as it was. Of a layer that runs more than once (an encoder that
    two inputs share) the maps stand side by side.
    """
    inner = getattr(model, "module", model)  # the model inside a wrapper for several processes
    modules, maps, hooks = dict(inner.named_modules()), dict[str, Tensor](), []

    def recorder(name: str):  # type: ignore[no-untyped-def]
        def record(module: nn.Module, _: object, output: object) -> None:
            found = attention_map(module, output[0] if isinstance(output, tuple) else output)  # type: ignore[arg-type]
            maps[name] = torch.cat([maps[name], found], 1) if name in maps else found

        return record

    for name in layers:
        hooks.append(modules[name].register_forward_hook(recorder(name)))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def attention_map(module: nn.Module, output: Tensor) -> Tensor:
    """The normalised map of a layer's output, shape (n, positions)."""
    squares = output.square()
    squares = squares.mean(1) if isinstance(module, _CONVOLUTIONS) else squares
    return F.normalize(squares.flatten(1), dim=1)

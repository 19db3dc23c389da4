"""Candidate operations on an edge of a cell: each keeps the number of channels, and the size of the image or its half.

    none            0
    max_pool_3x3    the largest of 3x3 pixels
    avg_pool_3x3    the mean of 3x3 pixels, padding not counted
    skip_connect    x; at stride 2 two 1x1 convolutions, the second on the image shifted by a pixel, side by side
    sep_conv_kxk    twice: ReLU, k x k convolution of each channel by itself, 1x1 convolution, normalisation
    dil_conv_kxk    ReLU, k x k convolution of each channel by itself with dilation 2, 1x1 convolution, normalisation

While a search is on, normalisations have no weights of their own, which would make up for the weights of the operations, and
pools are normalised too, so that no operation is preferred for the size of its values.

Reference: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, section
3.1.1.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting

NONE, SKIP = "none", "skip_connect"
Builder = Callable[[int, int, bool], nn.Module]


def norm(channels: int, affine: bool) -> nn.BatchNorm2d:
    """Batch normalisation; without weights of its own it always takes the statistics of the batch."""
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=affine)


class Zero(nn.Module):
    """0, in the shape that any other operation has: (n, c, h, w) -> (n, c, h / stride, w / stride), rounded up."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs[:, :, :: self.stride, :: self.stride] * 0.0


class Halve(nn.Module):
    """Half of the size without loss of every other pixel: ReLU, two 1x1 convolutions with stride 2, normalisation.

    Shapes: (n, before, h, w) -> (n, after, h / 2, w / 2), rounded up.
    """

    def __init__(self, before: int, after: int, affine: bool) -> None:
        super().__init__()
        self.even = nn.Conv2d(before, after - after // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(before, after // 2, 1, stride=2, bias=False)
        self.norm = norm(after, affine)

    def forward(self, inputs: Tensor) -> Tensor:
        active = inputs.relu()
        shifted = F.pad(active, (0, 1, 0, 1))[:, :, 1:, 1:]  # padded, so that both halves of an odd image are of one size
        normed: Tensor = self.norm(torch.cat([self.even(active), self.odd(shifted)], dim=1))
        return normed


def pointwise(before: int, after: int, affine: bool) -> nn.Module:
    """ReLU, 1x1 convolution, normalisation."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(before, after, 1, bias=False), norm(after, affine))


def _depthwise(channels: int, kernel: int, stride: int, dilation: int, affine: bool) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    each = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    return [nn.ReLU(), each, nn.Conv2d(channels, channels, 1, bias=False), norm(channels, affine)]


def _separable(kernel: int) -> Builder:
    def build(channels: int, stride: int, affine: bool) -> nn.Module:
        first = _depthwise(channels, kernel, stride, 1, affine)
        return nn.Sequential(*first, *_depthwise(channels, kernel, 1, 1, affine))

    return build


def _dilated(kernel: int) -> Builder:
    return lambda channels, stride, affine: nn.Sequential(*_depthwise(channels, kernel, stride, 2, affine))


def _pool(kind: Callable[[int], nn.Module]) -> Builder:
    def build(channels: int, stride: int, affine: bool) -> nn.Module:
        return kind(stride) if affine else nn.Sequential(kind(stride), norm(channels, affine))

    return build


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else Halve(channels, channels, affine)


OPERATIONS: dict[str, Builder] = {
    NONE: lambda channels, stride, affine: Zero(stride),
    "max_pool_3x3": _pool(lambda stride: nn.MaxPool2d(3, stride, padding=1)),
    "avg_pool_3x3": _pool(lambda stride: nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)),
    SKIP: _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
}
DARTS_OPERATIONS = tuple(OPERATIONS)


def register_operation(name: str, build: Builder) -> None:
    """Make an operation of your own known under a name, for a `CellSpace` to list.

    Args:
        name: how genotypes call it.
        build: from channels, stride (1 or 2) and `affine` (whether normalisations have weights: False while a search is on)
            to a module (n, channels, h, w) -> (n, channels, h / stride, w / stride), rounded up.

    Raises:
        BadSetting: if the name is taken, or what is built returns another shape.
    """
    if name in OPERATIONS:
        raise BadSetting(f"there is an operation '{name}' already; choose another name")
    for stride, side in ((1, 5), (2, 3)):
        with torch.no_grad():
            shape = tuple(build(4, stride, True)(torch.zeros(2, 4, 5, 5)).shape)
        if shape != (2, 4, side, side):
            raise BadSetting(
                f"operation '{name}' at stride {stride} makes {shape} of (2, 4, 5, 5); it must make {(2, 4, side, side)}"
            )
    OPERATIONS[name] = build


def operation(name: str, channels: int, stride: int, affine: bool = True) -> nn.Module:
    """A candidate operation with fresh weights.

    Raises:
        BadSetting: if there is none of that name.

    >>> operation("sep_conv_3x3", 8, stride=2)(torch.zeros(1, 8, 7, 7)).shape
    torch.Size([1, 8, 4, 4])
    """
    if name not in OPERATIONS:
        raise BadSetting(f"unknown operation '{name}'; there are {', '.join(OPERATIONS)}, or use register_operation")
    return OPERATIONS[name](channels, stride, affine)

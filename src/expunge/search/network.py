"""The network that a genotype stands for: a stem, cells one behind another, the mean over pixels, and a linear layer.

    s_0 = s_1 = stem(x),    s_{k+1} = cell_k(s_{k-1}, s_k),    logits = head(mean over pixels of s_{L+1})

The stem is a 3x3 convolution to `stem` * C channels; each reduction doubles the channels, and halves the image, as a stem of
stride 2 does before the first cell. One of stride 4 is two convolutions of stride 2, the first to half as many channels.

Drop path sets the output of an operation (other than a skip connection) to 0 for single examples, with a probability that rises
as training goes on. The auxiliary head reads the cell at two thirds of the depth, and lends it a loss of its own in training.
It is no part of what is saved, counted or exported.

References: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, appendix
A; drop path: G. Larsson, M. Maire, G. Shakhnarovich. "FractalNet", ICLR 2017, arXiv 1605.07648.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from expunge.models.convolutions import convolution
from expunge.search.genotype import Gene, Genotype
from expunge.search.operations import Halve, norm, operation, pointwise

STEM_STRIDES = (1, 2, 4)


def stem_of(before: int, after: int, stride: int, affine: bool = True) -> nn.Sequential:
    """What stands before the first cell: (n, before, h, w) -> (n, after, h / stride, w / stride), rounded up.

    Args:
        stride: one of `STEM_STRIDES`.
        affine: whether normalisation has weights.
    """
    widths = [after] if stride < 4 else [-(-after // 2), after]
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.ReLU()] if layers else []
        layers += [nn.Conv2d(before, width, 3, min(stride, 2), padding=1, bias=False), norm(width, affine)]
        before = width
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Place:
    """Where a cell stands.

    Args:
        kind: "normal" or "reduction".
        before: channels of its two inputs.
        channels: of each of its nodes.
        after_reduction: whether the second input is half as large as the first.
    """

    kind: str
    before: tuple[int, int]
    channels: int
    after_reduction: bool

    def stride(self, source: int) -> int:
        """Of an operation that reads input `source`: a reduction halves its inputs, not its nodes."""
        return 2 if self.kind == "reduction" and source < 2 else 1


def reductions(cells: int) -> tuple[int, ...]:
    """Which of so many cells are reductions: those at one and two thirds; the first cell never is.

    >>> [reductions(cells) for cells in (2, 3, 8)]
    [(1,), (1, 2), (2, 5)]
    """
    return tuple(sorted({cells // 3, 2 * cells // 3} - {0}))


def places(cells: int, channels: int, nodes: int, stem: int) -> list[Place]:
    """Where the cells of a network stand, first to last."""
    found: list[Place] = []
    before, after_reduction = (stem * channels, stem * channels), False
    for index in range(cells):
        kind = "reduction" if index in reductions(cells) else "normal"
        channels *= 2 if kind == "reduction" else 1
        found.append(Place(kind, before, channels, after_reduction))
        before, after_reduction = (before[1], nodes * channels), kind == "reduction"
    return found


class Inputs(nn.Module):
    """Brings the two inputs of a cell to its channels, and to one size.

    Shapes: (n, before_0, h', w') and (n, before_1, h, w) -> twice (n, channels, h, w).
    """

    def __init__(self, place: Place, affine: bool) -> None:
        super().__init__()
        build = Halve if place.after_reduction else pointwise
        self.first = build(place.before[0], place.channels, affine)
        self.second = pointwise(place.before[1], place.channels, affine)

    def forward(self, first: Tensor, second: Tensor) -> list[Tensor]:
        return [self.first(first), self.second(second)]


class Cell(nn.Module):
    """A cell as its genes say. Shapes: as `Inputs` -> (n, nodes * channels, h, w), halved by a reduction."""

    def __init__(self, place: Place, genes: tuple[Gene, ...]) -> None:
        super().__init__()
        self.inputs = Inputs(place, affine=True)
        self.sources = tuple(source for _, source in genes)
        self.operations = nn.ModuleList(operation(name, place.channels, place.stride(source)) for name, source in genes)

    def forward(self, first: Tensor, second: Tensor, drop_path: float = 0.0) -> Tensor:
        states = self.inputs(first, second)
        made = iter(zip(self.operations, self.sources, strict=True))
        for (one, source), (other, other_source) in zip(made, made, strict=True):
            parts = [self._applied(one, states[source], drop_path), self._applied(other, states[other_source], drop_path)]
            states.append(parts[0] + parts[1])
        return torch.cat(states[2:], dim=1)

    def _applied(self, layer: nn.Module, inputs: Tensor, drop_path: float) -> Tensor:
        made: Tensor = layer(inputs)
        if not self.training or drop_path == 0.0 or isinstance(layer, nn.Identity):
            return made
        kept = torch.rand(len(made), 1, 1, 1, device=made.device) >= drop_path
        return made * kept / (1.0 - drop_path)


class CellNetwork(nn.Module):
    """A network of cells; see the module. Features are the input of `head`.

    Shapes: (n, in_channels, h, w) -> (n, classes).

    Args:
        genotype: what the cells are made of.
        cells: how many, L.
        channels: C, of each node before the first reduction.
        in_channels: of the images.
        classes: how many there are.
        stem: the stem's channels are so many times C.
        drop_path: probability of leaving an operation out at the end of training; `drop_path_now` is what holds at the moment.
        auxiliary: whether there is a second head in training.
        stem_stride: of the stem.
    """

    def __init__(
        self,
        genotype: Genotype,
        cells: int,
        channels: int,
        in_channels: int,
        classes: int,
        stem: int = 3,
        drop_path: float = 0.0,
        auxiliary: bool = False,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        self.genotype, self.drop_path, self.drop_path_now = genotype, drop_path, drop_path
        self.in_channels = in_channels
        self.stem = stem_of(in_channels, stem * channels, stem_stride)
        self.places = places(cells, channels, genotype.nodes, stem)
        self.cells = nn.ModuleList(Cell(place, genotype.cell(place.kind)) for place in self.places)
        self.head = nn.Linear(genotype.nodes * self.places[-1].channels, classes)
        self.tapped = 2 * cells // 3
        width = genotype.nodes * self.places[self.tapped].channels
        self.auxiliary = AuxiliaryHead(width, classes) if auxiliary else None

    def forward(self, inputs: Tensor) -> Tensor:
        return self._run(inputs)[0]

    def with_auxiliary(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits (n, classes) of the head, and of the auxiliary head where there is one."""
        logits, tapped = self._run(inputs)
        return logits, None if self.auxiliary is None else self.auxiliary(tapped)

    def _run(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        first = second = tapped = self.stem(inputs)
        for index, cell in enumerate(self.cells):
            first, second = second, cell(first, second, self.drop_path_now)
            tapped = second if index == self.tapped else tapped
        return self.head(second.mean(dim=(2, 3))), tapped


class AuxiliaryHead(nn.Module):
    """A small classifier on what a cell in the middle makes: (n, channels, h, w) -> (n, classes)."""

    def __init__(self, channels: int, classes: int, hidden: int = 128) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            *convolution(channels, hidden, 1, kernel_size=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * hidden, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(inputs))
        return logits

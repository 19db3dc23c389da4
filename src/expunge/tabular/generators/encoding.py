"""Tables as what networks read and write: scalars, and classes that are one of a few.

A row has one scalar for each number and blocks of classes: first one for each category, then those that belong to numbers.
With modes every number has a block, in which a gap is a class; with ranks only numbers with gaps have one, of two classes.

Needs: one class a category, of at most 201. Costs: an integer a block, and a one-hot vector for each row of a batch alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from expunge.tabular.coded import Array, Coded
from expunge.tabular.generators.columns import Classes, Modes, Ranks
from expunge.tabular.generators.generator import known
from expunge.tabular.schema import TableSchema

Numbers = Literal["modes", "ranks"]
_EDGE = 1e-5  # ranks nearer to 0 or 1 have no quantile worth learning


@dataclass(frozen=True)
class Layout:
    """What a network writes for one row: `scalars` numbers, then a block of logits for each of `sizes`."""

    scalars: int
    sizes: tuple[int, ...]

    @property
    def width(self) -> int:
        return self.scalars + sum(self.sizes)

    def split(self, outputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Scalars, shape (n, s), and blocks of them, each of shape (n, K)."""
        scalars, *blocks = outputs.split([self.scalars, *self.sizes], dim=1)
        return scalars, tuple(blocks)

    def blocks(self, classes: Tensor) -> tuple[Tensor, ...]:
        """One-hot classes, shape (n, sum of sizes), by blocks."""
        return tuple(classes.split(list(self.sizes), dim=1)) if self.sizes else ()

    def one_hot(self, classes: Tensor) -> Tensor:
        """Classes, shape (n, blocks), as ones among zeros, shape (n, sum of sizes)."""
        found = torch.zeros(len(classes), sum(self.sizes), device=classes.device)
        return found.scatter_(1, classes + self.starts(classes.device), 1.0)

    def starts(self, device: torch.device) -> Tensor:
        """Where each block begins among all classes, shape (blocks,)."""
        return torch.tensor([0, *np.cumsum(self.sizes)[:-1]] if self.sizes else [], dtype=torch.long, device=device)


@dataclass(frozen=True)
class Encoding:
    """How a table's columns are encoded; see the module.

    Args:
        schema: of the table.
        categories: one for each of the schema's categories.
        numbers: one for each of its numbers; all are `Modes`, or all are `Ranks`.
    """

    schema: TableSchema
    categories: tuple[Classes, ...]
    numbers: tuple[Modes | Ranks, ...]

    @classmethod
    def of(cls, real: Coded, numbers: Numbers) -> "Encoding":
        """Learn how to encode a table."""
        categories = tuple(Classes.of(codes, size) for codes, size in zip(real.codes.T, real.sizes, strict=True))
        kind: type[Modes | Ranks] = Modes if numbers == "modes" else Ranks
        return cls(real.schema, categories, tuple(kind.of(values) for values in real.numbers.T))

    @property
    def layout(self) -> Layout:
        return Layout(len(self.numbers), (*(each.size for each in self.categories), *self._number_sizes))

    @property
    def with_gaps(self) -> tuple[int, ...]:
        """The numbers, by their places, that ranks give a block to."""
        return tuple(place for place, column in enumerate(self.schema.numbers) if column.gap_count)

    @property
    def _number_sizes(self) -> tuple[int, ...]:
        modes = tuple(each.size for each in self.numbers if isinstance(each, Modes))
        return modes if len(modes) == len(self.numbers) else (2,) * len(self.with_gaps)

    def classes(self, real: Coded) -> list[Array]:
        """Classes of the categories, each of shape (n,)."""
        return [each.encode(codes) for each, codes in zip(self.categories, real.codes.T, strict=True)]

    def encode_modes(self, real: Coded, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Scalars (n, p), from -1 to 1, and classes (n, blocks); modes are drawn by their probability."""
        pairs = [
            each.encode(values, generator)
            for each, values in zip(self.numbers, real.numbers.T, strict=True)
            if isinstance(each, Modes)
        ]
        scalars, modes = zip(*pairs, strict=True) if pairs else ((), ())
        return _floats(scalars, len(real)), _longs([*self.classes(real), *modes], len(real))

    def encode_ranks(self, real: Coded) -> tuple[Tensor, Tensor, Tensor]:
        """The least and the largest rank of each number, both (n, p), from 0 to 1, and classes (n, blocks)."""
        pairs = [
            each.encode(values) for each, values in zip(self.numbers, real.numbers.T, strict=True) if isinstance(each, Ranks)
        ]
        low, high = zip(*pairs, strict=True) if pairs else ((), ())
        gaps = [np.isnan(real.numbers[:, place]) for place in self.with_gaps]
        return _floats(low, len(real)), _floats(high, len(real)), _longs([*self.classes(real), *gaps], len(real))

    def decode(self, scalars: Tensor, classes: Tensor, generator: np.random.Generator) -> Coded:
        """Rows of a table.

        Args:
            scalars: places in modes, or ranks from 0 to 1; shape (n, p).
            classes: shape (n, blocks).
            generator: draws among categories of one class.
        """
        values, found = scalars.double().cpu().numpy(), classes.cpu().numpy()
        first, count = len(self.categories), len(values)
        codes = [each.decode(found[:, place], generator) for place, each in enumerate(self.categories)]
        numbers = np.full((count, len(self.numbers)), np.nan)
        for place, each in enumerate(self.numbers):
            if isinstance(each, Modes):
                numbers[:, place] = each.decode(values[:, place], found[:, first + place])
            else:
                numbers[:, place] = each.decode(values[:, place])
        if self.numbers and isinstance(self.numbers[0], Ranks):
            for place, column in enumerate(self.with_gaps):
                numbers[found[:, first + place] == 1, column] = np.nan
        return known(self.schema, numbers, np.stack(codes, axis=1) if codes else np.empty((count, 0)))

    def tensors(self) -> dict[str, Tensor]:
        """All of it but the schema; :meth:`from_tensors` reads it."""
        columns: dict[str, tuple[Any, ...]] = {"category": self.categories, "number": self.numbers}
        return {
            f"{kind}.{place}.{name}": torch.from_numpy(np.ascontiguousarray(array))
            for kind, found in columns.items()
            for place, column in enumerate(found)
            for name, array in column.arrays().items()
        }

    @classmethod
    def from_tensors(cls, schema: TableSchema, tensors: Mapping[str, Tensor], numbers: Numbers) -> "Encoding":
        """What :meth:`tensors` gave; KeyError or TypeError where one is missing."""
        kind: type[Modes | Ranks] = Modes if numbers == "modes" else Ranks
        categories = tuple(
            Classes.from_arrays(_under(f"category.{place}.", tensors)) for place in range(len(schema.categories))
        )
        columns = tuple(kind.from_arrays(_under(f"number.{place}.", tensors)) for place in range(len(schema.numbers)))
        return cls(schema, categories, columns)


def normal_of(ranks: Tensor) -> Tensor:
    """Normal quantiles of ranks, Phi^-1(r), any shape; at most 4.3 from 0."""
    return torch.special.ndtri(ranks.clamp(_EDGE, 1 - _EDGE))


def draw_classes(n: int, logits: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """One class of each block, by its probability: blocks of shape (n, K) -> (n, blocks)."""
    if not logits:
        return torch.empty(n, 0, dtype=torch.long, device=generator.device)
    joined = torch.cat(logits, dim=1)
    noise = torch.empty_like(joined).exponential_(generator=generator).log()
    blocks = (joined - noise).split([block.shape[1] for block in logits], dim=1)  # argmax of Gumbel noise: a draw
    return torch.stack([block.argmax(dim=1) for block in blocks], dim=1)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name.removeprefix(prefix): tensor.numpy() for name, tensor in tensors.items() if name.startswith(prefix)}


def _floats(columns: tuple[Array, ...] | list[Array], count: int) -> Tensor:
    return torch.from_numpy(np.stack(columns, axis=1) if len(columns) else np.empty((count, 0))).float()


def _longs(columns: list[Array], count: int) -> Tensor:
    return torch.from_numpy(np.stack(columns, axis=1).astype(np.int64) if columns else np.empty((count, 0), np.int64))

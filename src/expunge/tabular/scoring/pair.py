"""Two tables that are compared, and what a part of the score says of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from expunge.tabular.coded import Array, Coded
from expunge.tabular.schema import ColumnSchema, TableSchema

Mode = Literal["robust", "paper", "official"]
Task = Literal["regression", "classification"]
EPSILON = 1e-6


@dataclass(frozen=True)
class Pair:
    """A real and a synthetic table, coded by the schema of the real one.

    Args:
        real: n_r rows.
        synthetic: n_s rows.
    """

    real: Coded
    synthetic: Coded

    @property
    def schema(self) -> TableSchema:
        return self.real.schema

    @cached_property
    def scored(self) -> tuple[ColumnSchema, ...]:
        """Columns that are scored, in the order of the real table."""
        return tuple(column for column in self.schema if column not in self.schema.left_out)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.scored)


@dataclass(frozen=True)
class Part:
    """One of the five parts of a score.

    Args:
        value: 0 to 1; None where the tables don't allow to tell.
        columns: what each column has for itself, 0 to 1.
        details: figures that it was computed from, by name.
        warnings: what a reader must know, in words.
        matrices: of the correlation: associations of the real and of the synthetic table, shape (n, n) each.
    """

    value: float | None
    columns: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    matrices: tuple[Array, Array] | None = None


def relative_error(real: Array, synthetic: Array) -> Array:
    """min(|a - b| / |a + 1e-6|, 1), of any shape."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.abs(real - synthetic) / np.abs(real + EPSILON), 0, 1)


def as_numbers(coded: Coded) -> Array:
    """All scored columns as numbers, shape (n, columns), as the published score reads them.

    Numbers as they are; a category whose values are numbers by these, any other by its place in the order of the real values;
    its gap by the number after the last; values that the real table lacks by their own number, or those that follow.
    """
    columns = {each.name: coded.numbers[:, place] for place, each in enumerate(coded.schema.numbers)}
    for place, (column, unknown) in enumerate(zip(coded.schema.categories, coded.unknown, strict=True)):
        if all(isinstance(value, int | float) for value in column.values):
            known = [float(value) for value in column.values]
            table = [*known, known[-1] + 1, *(_number(key, known[-1] + 2 + more) for more, key in enumerate(unknown))]
        else:
            table = list(range(len(column.values) + 1 + len(unknown)))
        columns[column.name] = np.array(table, dtype=np.float64)[coded.codes[:, place]]
    return np.stack([columns[each.name] for each in coded.schema if each.name in columns], axis=1)


def _number(key: str, otherwise: float) -> float:
    try:
        return float(key)
    except ValueError:
        return otherwise

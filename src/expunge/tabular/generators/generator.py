"""What all generators of tables have in common: fit, sample, save, load."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from torch import Tensor

from expunge.engine import Engine
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.registry import Registered
from expunge.storage import read_weights, write_weights
from expunge.tabular.coded import Array, Coded, as_written, check_squares, code, decode
from expunge.tabular.schema import ColumnSchema, Kind, TableSchema, days_of, key_of

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

_TRIES = 50  # rounds of drawing rows and keeping those that satisfy the conditions
_FEWEST_DRAWN = 1_000  # rows in each of them
_FORMAT = "1"


@dataclass
class Generator(Registered, ABC):
    """Learns a table and makes rows like its rows. Fields are its settings.

    Attributes:
        trains: whether it trains a network, so that `engine` and `monitor` matter.
        schema: what the columns are; there once it was fitted.
    """

    trains: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._schema: TableSchema | None = None

    @property
    def schema(self) -> TableSchema:
        if self._schema is None:
            raise BadSetting(f"{self.name} was not fitted yet: call fit with the real table first")
        return self._schema

    def fit(
        self,
        real: "pd.DataFrame",
        engine: Engine | None = None,
        *,
        schema: TableSchema | None = None,
        categorical: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
        monitor: "Monitor | None" = None,
    ) -> Self:
        """Learn a table.

        Args:
            real: the table, shape (n, columns); texts, numbers, dates and gaps.
            engine: where and from which seed networks are trained; a CPU engine of seed 0 when None.
            schema: what its columns are; inferred when None.
            categorical: columns whose numbers name categories.
            kinds: what some columns are, whatever their values look like.
            monitor: judges the generator as it trains; says when to stop and which epoch's weights to keep.

        Raises:
            BadFile: if the table has too few rows, no column that can be learned, or a value that `schema` doesn't know.
            BadSetting: if kinds make no sense.
        """
        schema = schema or TableSchema.infer(real, categorical, kinds)
        coded = code(real, schema, "the real table")
        if not schema.numbers and not schema.categories:
            raise BadFile("the real table has no column that can be learned: all are identifiers or empty")
        check_squares(coded, "the real table")
        for column, unknown in zip(schema.categories, coded.unknown, strict=True):
            if unknown:
                raise BadFile(f"the real table: column '{column.name}' has a value {unknown[0]!r} that the schema doesn't know")
        self._schema = schema
        try:
            self._fit(coded, engine or Engine(progress=False), monitor)
        except BaseException:
            self._schema = None
            raise
        return self

    def sample(self, n: int, conditions: Mapping[str, Any] | None = None, seed: int = 0) -> "pd.DataFrame":
        """Make `n` rows.

        Args:
            n: how many, at least 1.
            conditions: by column what its values must be: one value or a list of values of a category; of a number or a date
                one value, or a tuple of the least and the largest. None stands for a gap.
            seed: all randomness follows from it.

        Returns:
            a table with the real one's columns, order and types; gaps where the generator makes some.

        Raises:
            BadSetting: if `n` is below 1, or the generator was not fitted.
            BadRequest: if a condition names no column, a value that the real table lacks, or rows that it never makes.
        """
        if n < 1:
            raise BadSetting(f"a sample has at least 1 row, not {n}")
        wanted, generator = Conditions.of(self.schema, conditions or {}), np.random.default_rng(seed)
        return decode(self._sample_given(n, generator, wanted) if conditions else self._sample(n, generator))

    def save(self, path: str | Path) -> None:
        """Write all that sampling needs as one safetensors file, whose metadata is JSON."""
        schema = self.schema.as_json()
        tensors, facts = self._state()
        about = {
            "format": _FORMAT,
            "generator": self.name,
            "settings": {field.name: getattr(self, field.name) for field in fields(self)},
            "schema": schema,
            "facts": facts,
        }
        write_weights(path, tensors, {"expunge": json.dumps(about, allow_nan=False)})

    @classmethod
    def load(cls, path: str | Path) -> "Generator":
        """Read what :meth:`save` wrote, whichever generator that was.

        Raises:
            BadFile: if the file is missing or damaged, or not a generator of this kind (any kind, for `Generator` itself).
        """
        from expunge.tabular import GENERATORS

        tensors, metadata = read_weights(path)
        try:
            about = json.loads(metadata["expunge"])
            kind = GENERATORS[about["generator"]]
            found = kind(**about["settings"])
            found._schema = TableSchema.from_json(about["schema"])
            found._restore(tensors, about["facts"])
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise BadFile(f"{path} is no generator that expunge wrote: {error}") from error
        if not isinstance(found, cls):
            raise BadFile(f"{path} holds {found.name}, not {cls.name}")
        return found

    @abstractmethod
    def _fit(self, real: Coded, engine: Engine, monitor: "Monitor | None") -> None:
        """Learn rows; `self.schema` is there."""

    @abstractmethod
    def _sample(self, n: int, generator: np.random.Generator) -> Coded:
        """Make rows. No code is above K: a generator makes no value that the real table lacks."""

    def _sample_given(self, n: int, generator: np.random.Generator, conditions: "Conditions") -> Coded:
        """Make rows that satisfy conditions: of those it makes, the ones that do."""
        kept: list[Coded] = []
        found = drawn = 0
        for _ in range(_TRIES):
            rows = self._candidates(max(n, _FEWEST_DRAWN), generator, conditions)
            satisfied = rows.rows(conditions.satisfied(rows))
            kept.append(satisfied)
            found, drawn = found + len(satisfied), drawn + len(rows)
            if found >= n:
                return joined(kept).rows(np.arange(n))
        raise BadRequest(
            f"{self.name} made {found:,} of {n:,} rows with {conditions} among {drawn:,}; "
            "ask for fewer rows, or for less at once"
        )

    def _candidates(self, n: int, generator: np.random.Generator, conditions: "Conditions") -> Coded:
        """Make rows of which those are kept that satisfy conditions; a generator that can steer makes them likely to."""
        return self._sample(n, generator)

    @abstractmethod
    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that :meth:`_sample` needs: tensors, and plain values that JSON holds."""

    @abstractmethod
    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take what :meth:`_state` gave."""


class Monitor(ABC):
    """Judges a generator as it trains.

    Attributes:
        patience: stop after so many epochs without a better score; never when None.
    """

    patience: int | None = None

    @abstractmethod
    def judge(self, generator: Generator, epoch: int) -> float:
        """How good the generator is after an epoch (from 0): more is better. In epochs that it passes over, minus infinity."""


@dataclass(frozen=True)
class Conditions:
    """What rows must be, in the arrays of :class:`Coded`.

    Args:
        numbers: by place of the column the least and the largest value; both not a number for a gap.
        codes: by place of the column the codes that may be.
        words: what the user asked for.
    """

    numbers: Mapping[int, tuple[float, float]]
    codes: Mapping[int, tuple[int, ...]]
    words: str

    def __str__(self) -> str:
        return self.words

    @classmethod
    def of(cls, schema: TableSchema, conditions: Mapping[str, Any]) -> "Conditions":
        """Check conditions as :meth:`Generator.sample` takes them.

        Raises:
            BadRequest: as there.
        """
        numbers: dict[int, tuple[float, float]] = {}
        codes: dict[int, tuple[int, ...]] = {}
        learned = [each.name for each in (*schema.numbers, *schema.categories)]
        for name, wanted in conditions.items():
            if name not in learned:
                raise BadRequest(f"no column '{name}' to set: there are {', '.join(learned)}")
            if schema[name].kind == "category":
                codes[[each.name for each in schema.categories].index(name)] = _codes_wanted(schema[name], wanted)
            else:
                numbers[[each.name for each in schema.numbers].index(name)] = _range_wanted(schema[name], wanted)
        return cls(numbers, codes, ", ".join(f"{name} = {wanted!r}" for name, wanted in conditions.items()))

    def satisfied(self, rows: Coded) -> Array:
        """Which rows satisfy all conditions, shape (n,), bool. Numbers count as the table would write them."""
        found = np.ones(len(rows), bool)
        for place, (low, high) in self.numbers.items():
            values, column = rows.numbers[:, place], rows.schema.numbers[place]
            if np.isnan(low):
                found &= np.isnan(values)
                continue
            shown = as_written(values, column)
            found &= (shown >= low) & (shown <= high)
        for place, wanted in self.codes.items():
            found &= np.isin(rows.codes[:, place], wanted)
        return found


def joined(parts: Sequence[Coded]) -> Coded:
    """The rows of all parts."""
    first = parts[0]
    return Coded(
        first.schema,
        np.concatenate([each.numbers for each in parts]),
        np.concatenate([each.codes for each in parts]),
        first.unknown,
    )


def known(schema: TableSchema, numbers: Array, codes: Array) -> Coded:
    """Rows without unknown values; `numbers` shape (n, p), `codes` shape (n, q)."""
    return Coded(schema, numbers.astype(np.float64), codes.astype(np.int64), ((),) * len(schema.categories))


def _codes_wanted(column: ColumnSchema, wanted: Any) -> tuple[int, ...]:
    values = wanted if isinstance(wanted, list | tuple | set | frozenset) else [wanted]
    places = {key: place for place, key in enumerate(column.keys)}
    found = []
    for value in values:
        if value is None and column.gap_count:
            found.append(len(column.values))
        elif value is not None and key_of(value) in places:
            found.append(places[key_of(value)])
        else:
            raise BadRequest(
                f"column '{column.name}' has no value {value!r} in the real table; it has {', '.join(column.keys)}"
            )
    return tuple(found)


def _range_wanted(column: ColumnSchema, wanted: Any) -> tuple[float, float]:
    import pandas as pd

    if wanted is None:
        if not column.gap_count:
            raise BadRequest(f"column '{column.name}' has no gap in the real table")
        return np.nan, np.nan
    low, high = wanted if isinstance(wanted, tuple | list) and len(wanted) == 2 else (wanted, wanted)
    try:
        ends = days_of(pd.Series([str(low), str(high)])) if column.kind == "date" else np.array([low, high], dtype=np.float64)
    except (TypeError, ValueError):
        ends = np.array([np.nan, np.nan])
    if np.isnan(ends).any() or ends[0] > ends[1]:
        raise BadRequest(f"column '{column.name}' can't be {wanted!r}; give a value, or the least and the largest in order")
    if ends[1] < column.low or ends[0] > column.high:
        raise BadRequest(f"column '{column.name}' is {column.low:g} to {column.high:g} in the real table, never {wanted!r}")
    return float(ends[0]), float(ends[1])

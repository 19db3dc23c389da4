"""One figure of a report on a synthetic table: a value, the value that it should have, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from expunge.errors import BadSetting
from expunge.tabular.coded import Coded

Better = Literal["higher", "lower", "nearer"]


@dataclass(frozen=True)
class Figure:
    """A named value.

    Args:
        name: of the measure, in plain words.
        value: what was measured; None where it can't be had, and then `meaning` says what is lacking.
        ideal: what a perfect generator gets, that is new rows of the same population; None where `value` only describes.
        better: whether more is better, less is better, or what is nearer to `ideal`.
        meaning: one sentence.
        low: least value of the 95 % interval, where there is one.
        high: its largest.
    """

    name: str
    value: float | None
    ideal: float | None
    better: Better
    meaning: str
    low: float | None = None
    high: float | None = None


def check_tables(tables: Sequence[Coded]) -> None:
    """Refuse tables that can't be compared.

    Raises:
        BadSetting: if they aren't coded by one schema, one has no rows, or no column is scored.
    """
    for table in tables:
        if table.schema != tables[0].schema:
            raise BadSetting("the tables are coded by different schemas; code all of them by that of the real table")
        if len(table) < 2:
            raise BadSetting(f"a table has {len(table)} row{'s' * (len(table) != 1)}; expected at least 2")
    if not tables[0].schema.numbers and not tables[0].schema.categories:
        raise BadSetting("no column can be compared: all are identifiers or empty")

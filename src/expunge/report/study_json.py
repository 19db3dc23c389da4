"""A study's figures as one JSON object, for tables that are made from many of them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from expunge.report.evidence import Evidence


def study_json(
    name: str,
    data: str,
    budget: str,
    seeds: Any,
    evidence: Evidence,
    machine: Mapping[str, Any],
    seconds: Mapping[str, float | None],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Every figure of every model, as plain values that JSON has words for.

    Where there is more than one case, a metric's name starts with the case's title: `class 3/forget_accuracy`. What is
    not defined, and what is not a finite number, is None.

    Args:
        name: of the study.
        data: the data set's name.
        budget: how much was spent: "small", "full".
        seeds: how many, or which.
        evidence: the figures.
        machine: where it ran.
        seconds: mean wall time of each method, by its name.
        settings: everything that was chosen.
    """
    several = len(evidence.cases) > 1
    rows = [
        {
            "method": row.name,
            "metric": f"{case.title}/{metric}" if several else metric,
            "mean": plain(value.mean),
            "std": plain(value.std),
            "n": value.n,
            "ideal": plain(value.ideal),
        }
        for case in evidence.cases
        for row in case.rows
        for metric, value in row.values.items()
    ]
    return {
        "study": name,
        "data": data,
        "budget": budget,
        "seeds": plain(seeds),
        "machine": plain(machine),
        "rows": rows,
        "seconds": plain(seconds),
        "settings": plain(settings),
    }


def plain(value: Any) -> Any:
    """The value in JSON's own kinds; numbers that are not finite become None, what JSON does not know becomes its text.

    >>> plain({1: (0.5, float("nan")), "path": frozenset({"a"})})
    {'1': [0.5, None], 'path': ['a']}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((plain(each) for each in value), key=str)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of numpy's or torch's
        return plain(value.item())
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)

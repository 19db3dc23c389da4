"""The page of a valuation: one HTML file, no network, no scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from expunge.report.page import KeyFigure, duration
from expunge.report.templating import flat, template
from expunge.report.valued import Valued, doubts, finding, loss_words, number, written
from expunge.storage import write_text
from expunge.valuation.points import Array

SHOWN = 10  # rows at either end
COLUMNS = 16  # of a table, that have room
CLUSTERS = 24  # that are all shown


@dataclass(frozen=True)
class Line:
    """One row of the data: what it is worth, what stands in it, and what it looks like."""

    rank: int
    row: int
    value: str
    label: str
    cells: tuple[str, ...]
    image: str = ""


def render(valued: Valued) -> str:
    """The whole page."""
    order, names = valued.values.order(), list(valued.columns)[:COLUMNS]
    ends = [
        ("Most valuable", lines(valued, order[::-1][:SHOWN], names)),
        ("Least valuable", lines(valued, order[:SHOWN], names)),
    ]
    from expunge.report.valuation_plots import drawings  # brings matplotlib

    page = template("valuation.html").render(
        valued=valued,
        finding=finding(valued),
        doubts=doubts(valued),
        figures=key_figures(valued),
        loss="" if valued.request is None else loss_words(valued.request, valued),
        plots=drawings(valued),
        ends=ends,
        names=names,
        hidden=len(valued.columns) - len(names),
        clusters=_clusters(valued),
        settings=[("seed", str(valued.seed)), ("model", valued.model), ("metric", valued.metric), *flat(valued.settings)],
        machine=list(flat(valued.machine)) if valued.machine else [],
    )
    return page.strip() + "\n"


def write_valuation(valued: Valued, path: str | Path) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    path = Path(path)
    write_text(path, render(valued))
    return path


def key_figures(valued: Valued) -> tuple[KeyFigure, ...]:
    """What was valued, for what, and what it cost."""
    cost = valued.values.cost
    metric = valued.metric_words
    return (
        KeyFigure(
            "rows valued", f"{len(valued.rows):,}", detail=f"{valued.validation:,} to judge on, {valued.holdout:,} held out"
        ),
        KeyFigure(
            f"{metric}, validation rows",
            written(valued.full, valued.metric),
            written(valued.empty, valued.metric),
            "trained on no row, and on all",
        ),
        KeyFigure(
            "models trained", f"{cost.trainings:,}", detail="beside those kept from a run before" if valued.resumed else ""
        ),
        KeyFigure(
            "processor time" if valued.jobs is None else "processor time of this process",  # and of none that it started
            duration(cost.cpu_seconds),
            detail=f"{duration(cost.seconds)} by the clock",
        ),
    )


def lines(valued: Valued, places: Sequence[int] | Array, names: Sequence[str]) -> list[Line]:
    """Some rows, with the columns that are shown."""
    ranks = valued.ranks
    return [
        Line(
            int(ranks[place]),
            int(valued.rows[place]),
            number(valued.values.values[place]),
            str(valued.labels[place]),
            tuple(_cell(valued.columns[name][place]) for name in names),
            "" if valued.images is None else _png(valued.images[place]),
        )
        for place in places
    ]


def _clusters(valued: Valued) -> list[Mapping[str, Any]]:
    """From the most to the least valuable; of many those at either end."""
    found = sorted(valued.clusters, key=lambda each: -each["value"])
    if len(found) > CLUSTERS:
        found = found[: CLUSTERS // 2] + found[-CLUSTERS // 2 :]
    return [{**each, "value": number(each["value"]), "image": _picture(valued, each["typical_row"])} for each in found]


def _picture(valued: Valued, row: int) -> str:
    return "" if valued.images is None else _png(valued.images[int(np.flatnonzero(valued.rows == row)[0])])


def _cell(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, np.number) else str(value)


def _png(image: Array) -> str:
    """In base64; brightness from 0 to 1, or from an image's darkest to its brightest where it has another scale."""
    from expunge.audits.drawing import as_png

    if image.min() < 0 or image.max() > 1:
        image = (image - image.min()) / max(float(np.ptp(image)), 1e-12)
    return as_png(torch.from_numpy(np.ascontiguousarray(image)).float() * 2 - 1)

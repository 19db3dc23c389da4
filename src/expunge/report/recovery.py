"""What diffusion models draw when the original has begun: curves over the share that it did, and the images themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from expunge.report.canvas import NORMAL, WIDE, figure, head, inline, style
from expunge.report.evidence import Case, Recovery, Row
from expunge.report.panels import drawn, lines, name_lines

_WORST_FIRST = ("not removed", "concealed", "damaged", "removed")


@dataclass(frozen=True)
class Drawn:
    """One model's images in a grid.

    Args:
        row: the model.
        verdict: what the audit says of it; of several seeds the worst, and in how many; empty where it says nothing.
        mark: that in one word.
        cells: for each share of the process, images with whether they show what went.
    """

    row: Row
    verdict: str
    mark: str
    cells: tuple[tuple[tuple[str, bool], ...], ...]


@dataclass(frozen=True)
class Grid:
    """Images of all models, for shares of the process as they stand at the heads of the columns."""

    heads: tuple[str, ...]
    lines: tuple[Drawn, ...]


def image_grid(case: Case) -> Grid | None:
    """The images of all models, the references first; None where there are none."""
    known = [(row, found) for row in drawn(case) if (found := _recovery(row)) is not None and found.images]
    if not known:
        return None
    first = known[0][1]
    heads = tuple(
        f"{100 * psi:g} % ({steps})" if steps else "the prompt alone" for psi, steps in zip(first.psi, first.steps, strict=True)
    )
    return Grid(heads, tuple(Drawn(row, *_verdict(row), _cells(found)) for row, found in known))


def recovery_curves(case: Case, key: str = "") -> str | None:
    """Share of images that show what went, over the share of the process that the original did; None without curves."""
    rows = [(row, found) for row in drawn(case) if (found := _recovery(row)) is not None]
    if not rows:
        return None
    title = "Recovery: images begun by the original that show what went"
    with style():
        drawing = figure(WIDE, 4.6)
        head(drawing, title)
        panels = drawing.subplots(1, 2, sharey=True)
        looks, named = lines(case, all_named=True), []
        for row, found in rows:
            for axes, shares in zip(panels, (found.asked, found.unasked), strict=True):
                line = axes.plot(found.psi, shares, clip_on=False, **looks[row.name])[0]
            named.append((-sum(found.asked), row, line, " (ideal)" * (row.role == "retrained")))
        for axes, words in zip(panels, ("asked for it", "asked for nothing"), strict=True):
            _scale(axes, rows[0][1].psi, words)
        panels[0].set_ylabel("images that show it")
        name_lines(drawing, named)
        return inline(drawing, title, f"recovery curves {key or case.title}")


def _scale(axes: Axes, psi: Sequence[float], words: str) -> None:
    percent = FuncFormatter(lambda value, _: f"{100 * value:g} %")
    axes.set(xlim=(psi[0], psi[-1]), ylim=(0, 1))
    axes.set_xlabel("share of the process that the original did")
    axes.set_title(words, fontsize=NORMAL, loc="left")
    axes.xaxis.set_major_formatter(percent)
    axes.yaxis.set_major_formatter(percent)


def _recovery(row: Row) -> Recovery | None:
    return None if row.curves is None else row.curves.recovery


def _cells(found: Recovery) -> tuple[tuple[tuple[str, bool], ...], ...]:
    return tuple(tuple(zip(images, shows, strict=True)) for images, shows in zip(found.images, found.shows, strict=True))


def _verdict(row: Row) -> tuple[str, str]:
    """What the audit says, from the notes of the area, and its mark; the worst where seeds differ."""
    area = row.values.get("recovery_area")
    said = [] if area is None else [part.partition("verdict: ")[2] for part in area.note.split("; ")]
    known = [each for each in _WORST_FIRST if each in said]
    if not known:
        return "", ""
    return " / ".join(known), known[0].replace(" ", "-")

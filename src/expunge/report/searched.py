"""What a search found, as its files, its page and the terminal tell it; and the page: one HTML file without scripts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge.report.page import KeyFigure, duration
from expunge.report.templating import flat, template
from expunge.search import CostReport, Found, Genotype, draw
from expunge.search.faces import IntendedUse, Scores
from expunge.storage import write_text

FOUND, RANDOM, HAND_MADE, REFERENCE = "found", "random", "hand-made", "reference"
LATENCY = (1, 1)  # batch and threads
_FEW_STEPS = 100  # the running means of batch normalisation need some dozens alone
_FEWEST_RANDOM = 2  # of which there is a standard deviation


@dataclass(frozen=True)
class Judged:
    """One network.

    Args:
        name: what it is called.
        role: "found", "random", "hand-made", or "reference", whose cost alone was measured.
        cost: what it costs.
        scores: on the test part; None for a reference.
        genotype: of a network of cells.
        seconds: that training took, by the clock.
    """

    name: str
    role: str
    cost: CostReport
    scores: Scores | None = None
    genotype: Genotype | None = None
    seconds: float = 0.0

    @property
    def accuracy(self) -> float:
        """On the test part; not a number for a reference."""
        return float("nan") if self.scores is None else self.scores.accuracy

    @property
    def latency(self) -> float:
        """Seconds for one image on one thread."""
        return self.cost.latency_seconds[LATENCY]


@dataclass(frozen=True)
class Searched:
    """A search, and all that stands beside it.

    Args:
        data: what the data is called.
        classes: the name of each class.
        rows: images of the training and of the test part.
        persons: in the training and in the test part; None where that isn't known.
        shape: (channels, height, width) of an image.
        faces: whether the images are faces.
        settings: of space, search and training, by name.
        found: what the search found.
        models: all networks, the found one first.
        seed: of all that was drawn.
        seconds: that all of it took, by the clock, over all restarts.
        steps: in which each network was trained.
        warn_below: decidedness below which a search is said to be undecided; None where the method has none.
        notes: what a reader should know of the data.
        use: what a model of faces is for, where the images are faces.
        command: that makes it again.
        machine: where it ran.
    """

    data: str
    classes: tuple[str, ...]
    rows: tuple[int, int]
    persons: tuple[int, int] | None
    shape: tuple[int, int, int]
    faces: bool
    settings: Mapping[str, Any]
    found: Found
    models: tuple[Judged, ...]
    seed: int
    seconds: float
    steps: int
    warn_below: float | None = None
    notes: tuple[str, ...] = ()
    use: IntendedUse | None = None
    command: str = ""
    machine: Mapping[str, Any] | None = None

    def of(self, role: str) -> tuple[Judged, ...]:
        """The networks of a role."""
        return tuple(model for model in self.models if model.role == role)

    @property
    def best(self) -> Judged:
        """The found network."""
        return self.of(FOUND)[0]

    @property
    def random_accuracies(self) -> np.ndarray:
        """Of the networks of random cells."""
        return np.array([model.accuracy for model in self.of(RANDOM)])

    @property
    def margin(self) -> float | None:
        """Accuracy of the found cell above the mean of random ones; None where there are none."""
        found = self.random_accuracies
        return self.best.accuracy - float(found.mean()) if len(found) else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the random cells' accuracy; None where there are fewer than two."""
        found = self.random_accuracies
        return float(found.std(ddof=1)) if len(found) >= _FEWEST_RANDOM else None

    @property
    def beats_chance(self) -> bool | None:
        """Whether the margin is larger than the deviation; None where that can't be told."""
        margin, deviation = self.margin, self.deviation
        return None if margin is None or deviation is None else margin > deviation

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before trusting the figures."""
        own = ("The output is an expression class: what a face looks like, not what somebody feels.",) if self.faces else ()
        right = self.best.scores
        assert right is not None
        most = float(right.support.max() / right.support.sum())
        blind = f"The found network is no better than always telling the largest class, which is right for {percent(most)}."
        guessed = (blind,) if right.accuracy <= most else ()
        short = f"Networks were trained in {self.steps:,} steps, too few to rank them: raise --retrain-epochs."
        hasty = (short,) if self.steps < _FEW_STEPS else ()
        few = f"The test has {self.rows[1]:,} images: one of them is {100 / self.rows[1]:.1f} points of accuracy."
        small = (few,) if self.rows[1] < 100 else ()
        return (
            *own,
            *(each[:1].upper() + each[1:] + "." * (each[-1] != ".") for each in self.found.warnings),
            *guessed,
            *hasty,
            *small,
        )


def finding(searched: Searched) -> list[str]:
    """A short verdict, in sentences."""
    return [compared(searched), *beside_hand_made(searched), *decided(searched)]


def compared(searched: Searched) -> str:
    """Whether the search gained anything over drawing cells by chance."""
    best, others, margin = searched.best.accuracy, searched.random_accuracies, searched.margin
    reaches = f"The found cell tells {percent(best)} of the test images right"
    if margin is None:
        return f"{reaches}. No random cells were trained, so what searching gained can't be told."
    if searched.deviation is None:
        return f"{reaches}, one random cell {percent(others[0])}, too few to tell what searching gained."
    chance = f"{len(others)} random cells of the same budget tell {percent(others.mean())} (standard deviation "
    chance += f"{points(searched.deviation)})"
    if searched.beats_chance:
        return f"{reaches}, {points(margin)} more than cells drawn by chance: {chance}, and the margin is larger than that."
    return f"{reaches}, which doesn't beat chance: {chance}, and the found one isn't above their mean by more than that."


def beside_hand_made(searched: Searched) -> list[str]:
    """The found network beside one that people made."""
    lines = []
    for other in searched.of(HAND_MADE):
        found, share = searched.best, searched.best.cost.macs / other.cost.macs
        lines.append(
            f"The {other.name} tells {percent(other.accuracy)}; the found network takes {share:.2f} times its "
            f"multiply-accumulates ({millions(found.cost.macs)} and {millions(other.cost.macs)}) and "
            f"{found.latency / other.latency:.1f} times as long for an image."
        )
    return lines


def decided(searched: Searched) -> list[str]:
    """How decided the architecture weights are."""
    found = searched.found
    if not found.decidedness:
        return []
    values = ", ".join(f"{kind} {value:.3f}" for kind, value in found.decidedness.items())
    below = searched.warn_below is not None and min(found.decidedness.values()) < searched.warn_below
    says = "is undecided" if below else "has decided"
    return [f"The search {says} (of 1: {values}) after {found.steps:,} architecture steps."]


def percent(value: float) -> str:
    """A share in words.

    >>> percent(0.9312)
    '93.1 %'
    """
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of shares.

    >>> points(0.021)
    '2.1 points'
    """
    return f"{100 * value:.1f} points"


def millions(count: int) -> str:
    """A large count.

    >>> millions(3_570_000)
    '3.57 M'
    """
    return f"{count / 1e6:,.2f} M"


def model_rows(searched: Searched) -> list[tuple[str, ...]]:
    """Name, accuracy, UF1, UAR, parameters, MACs, file, latency and time of training of each network, as texts."""
    rows: list[tuple[str, ...]] = []
    for model in searched.models:
        found, cost = model.scores, model.cost
        told = ("–",) * 3 if found is None else (percent(found.accuracy), f"{found.uf1:.3f}", f"{found.uar:.3f}")
        size, time = f"{cost.file_bytes / 1e3:,.0f} kB", f"{1e3 * model.latency:.2f} ms"
        trained = "–" if found is None else duration(model.seconds)
        rows.append((model.name, *told, f"{cost.parameters:,}", millions(cost.macs), size, time, trained))
    return rows


def class_rows(searched: Searched) -> list[tuple[str, str, str, str]]:
    """Name, test images, recall and F1 of each class, by the found network."""
    found = searched.best.scores
    assert found is not None
    rows = []
    for name, count, recall, f1 in zip(searched.classes, found.support, found.recall, found.f1, strict=True):
        told = ("–", "–") if np.isnan(recall) else (f"{recall:.3f}", f"{f1:.3f}")
        rows.append((name, f"{count:,}", *told))
    return rows


def key_figures(searched: Searched) -> tuple[KeyFigure, ...]:
    """What stands at the head of the page."""
    best, mean = searched.best, searched.random_accuracies
    chance = f"random cells {percent(mean.mean())}" if len(mean) else "no random cells"
    return (
        KeyFigure("accuracy", percent(best.accuracy), detail=chance),
        KeyFigure("parameters", f"{best.cost.parameters:,}", detail=f"{best.cost.file_bytes / 1e3:,.0f} kB on disk"),
        KeyFigure("multiply-accumulates", millions(best.cost.macs), detail=f"{1e3 * best.latency:.2f} ms for an image"),
        KeyFigure("searching took", duration(searched.found.seconds), detail=f"training it {duration(best.seconds)}"),
    )


def render(searched: Searched) -> str:
    """The whole page."""
    from expunge.report.searched_plots import confusion_plot, pareto_plots, search_plots  # brings matplotlib

    first, *others = finding(searched)
    best = searched.best
    assert best.genotype is not None
    page = template("searched.html").render(
        searched=searched,
        first=first,
        others=others,
        figures=key_figures(searched),
        cells=draw(best.genotype, standalone=False),
        rows=model_rows(searched),
        classes=class_rows(searched),
        pareto=pareto_plots(searched),
        curves=search_plots(searched),
        confusion=confusion_plot(searched),
        settings=settings(searched),
        machine=list(flat(searched.machine)) if searched.machine else [],
    )
    return page.strip() + "\n"


def settings(searched: Searched) -> list[tuple[str, str]]:
    """What was asked for."""
    took = [("all of it took", duration(searched.seconds)), ("method", searched.found.method), ("seed", str(searched.seed))]
    return [*took, *flat(searched.settings)]


def write_searched(searched: Searched, path: str | Path) -> Path:
    """Write the page to `path`, whole or not at all, and return the path."""
    path = Path(path)
    write_text(path, render(searched))
    return path


def model_card(searched: Searched) -> str:
    """The card that goes with the model, in Markdown."""
    train, test = searched.rows
    size = " x ".join(map(str, searched.shape))
    lines = ["# Model card", "", *finding(searched), "", "## Model", ""]
    lines += [f"- A network of cells, found by {searched.found.method} on {searched.data}: images of {size} into "
              f"{len(searched.classes)} classes ({', '.join(searched.classes)})."]  # fmt: skip
    lines += [f"- Trained on {train:,} images, judged on {test:,} others{_apart(searched)}."]
    lines += [f"- {name}: {value}" for name, value in searched.best.cost.rows().items()]
    lines += [f"- Caution: {warning}" for warning in searched.warnings]
    card = "\n".join(lines) + "\n"
    return card if searched.use is None else f"{card}\n{searched.use.markdown()}"


def _apart(searched: Searched) -> str:
    if searched.persons is None:
        return ""
    return f"; of {searched.persons[0]:,} and {searched.persons[1]:,} persons, none of them in both"

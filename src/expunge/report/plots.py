"""The drawings of a report. Each takes a :class:`~expunge.report.evidence.Case` and returns an inline SVG, or None.

None means that the case has nothing to draw there. `key` makes the ids of two drawings differ where cases have the same
title.
"""

from dataclasses import dataclass

from expunge.report.answers import forgotten_answers, relative_difference
from expunge.report.attack import loss_histograms, membership_roc
from expunge.report.bars import per_class, time
from expunge.report.evidence import Case
from expunge.report.measures import drawings_judged
from expunge.report.recovery import recovery_curves
from expunge.report.scatter import forget_against_retain, near_the_target

__all__ = [
    "Plot",
    "all_plots",
    "forget_against_retain",
    "forgotten_answers",
    "loss_histograms",
    "membership_roc",
    "near_the_target",
    "per_class",
    "recovery_curves",
    "relative_difference",
    "time",
]

_CAPTIONS = {
    recovery_curves: (
        "The original does a share of the process and hands over; what the model makes of it is looked at. A model that never "
        "saw what went finishes it as well where it is handed enough (retrained, in black). A line above that one, on the left "
        "or on the right, is of a model that hides what it still knows. From the first seed."
    ),
    forget_against_retain: (
        "Up is better kept; left and right of the star is less and more known than after retraining. A method should "
        "land in the box around the star, not as far left as it can. A cross inside the box misses another check. Bars "
        "are one standard deviation over seeds."
    ),
    near_the_target: (
        "The dotted part of the figure before, enlarged. Where a second retrained model is shown, its distance to the "
        "first is what chance does by itself."
    ),
    membership_roc: (
        "An attacker sees only the loss of each example. A line far above the dotted one, at its left end above all, "
        "means that some forgotten examples are found with few false alarms. The ideal is the line of the retrained "
        "model; of many methods only those that come nearest to it on all checks have a colour. From the first seed."
    ),
    relative_difference: (
        "The farther left a curve, the closer the model's answers lie to the retrained one's, example by example. Where "
        "a second retrained model is shown (dashed), its curve is what chance does by itself: no method need be better. "
        "From the first seed."
    ),
    time: "Wall time of making each model, in the same run on the same machine. Searching for settings is not counted.",
    loss_histograms: (
        "If forgotten examples (filled) have lower losses than unseen ones (line), the model remembers them; if "
        "higher, they stand out as forgotten. Losses beyond the axis are counted in the outermost bins. From the "
        "first seed."
    ),
    forgotten_answers: (
        "The retrained model (line) shows how one answers that never saw the data. A method whose answers (filled) are "
        "spread otherwise can be told from it without knowing any target. Answers beyond the axis are counted in the "
        "outermost bins. From the first seed."
    ),
    per_class: (
        "Colour says how far a model is from the target, the figure what it scores. An ideal row has no colour. "
        "From the first seed."
    ),
}
_CAPTIONS_OF_ERRORS = {  # where less is better
    forget_against_retain: (
        "Down is better kept; left and right of the star is more and less known than after retraining. A method should "
        "land in the box around the star, not as far right as it can: farther right than the box it over-forgets. A "
        "cross inside the box misses another check. Bars are one standard deviation over seeds."
    ),
}


@dataclass(frozen=True)
class Plot:
    """A drawing, and what to see in it."""

    name: str
    svg: str
    caption: str

    @property
    def wide(self) -> bool:
        """Whether it needs the whole width of a page."""
        return 'class="plot wide"' in self.svg


def all_plots(case: Case, key: str = "") -> list[Plot]:
    """Every drawing that the case has figures for, in reading order."""
    captions = _CAPTIONS if case.higher_is_better or drawings_judged(case) else _CAPTIONS | _CAPTIONS_OF_ERRORS
    drawn = ((draw.__name__, draw(case, key), caption) for draw, caption in captions.items())
    return [Plot(name, svg, caption) for name, svg, caption in drawn if svg is not None]

"""Reports on concepts that a diffusion model must not draw: what is judged, the grid of images, and the curves."""

import pytest

from expunge.report.evidence import Case, Curves, Evidence, Recovery, Row, Value
from expunge.report.measures import main_columns, other_columns
from expunge.report.page import key_figures, render
from expunge.report.plots import all_plots
from expunge.report.recovery import image_grid, recovery_curves
from expunge.report.scatter import axes_of
from expunge.report.terminal import table_text
from expunge.report.verdict import can_tell, failures

GOLD = {"concept_drawn": 0.0, "others_drawn": 0.95, "recovery_area": 0.25, "unasked_area": 0.3, "forget_mse": 0.2}
KNOWS = {"concept_drawn": 0.98, "others_drawn": 0.96, "recovery_area": 0.99, "unasked_area": 0.5, "forget_mse": 0.1}
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def recovery(*asked):
    return Recovery(
        (0.0, 0.25, 0.5), (0, 2, 5), asked, asked[::-1], ((DOT, DOT),) * 3, ((False, share > 0.5) for share in asked)
    )


def row(name, role="method", said="", asked=(0.0, 0.1, 0.4), **figures):
    made = (KNOWS if role == "original" else GOLD) | figures
    values = {metric: Value(mean, 0.0, 1, GOLD.get(metric)) for metric, mean in made.items()}
    values["recovery_area"] = Value(made["recovery_area"], 0.0, 1, 0.25, note=said)
    found = recovery(*asked)
    drawn = Recovery(found.psi, found.steps, found.asked, found.unasked, found.images, tuple(found.shows))
    return Row(name, role, values, Curves(None, [], [], {}, recovery=drawn))


def case(*methods):
    rows = (row("original", "original", asked=(0.9, 1.0, 1.0)), row("retrained", "retrained"), *methods)
    return Case("seven", "'seven'", rows, "mse", higher_is_better=False)


@pytest.mark.parametrize(
    ("figures", "metrics"),
    [
        ({}, []),
        ({"concept_drawn": 0.05, "recovery_area": 0.35, "unasked_area": 0.4, "others_drawn": 0.92}, []),
        ({"recovery_area": 0.0, "unasked_area": 0.0, "others_drawn": 1.0}, []),  # to draw it less, or others more, is no fault
        ({"concept_drawn": 0.06}, ["concept_drawn"]),
        ({"others_drawn": 0.91}, ["others_drawn"]),
        ({"recovery_area": 0.36}, ["recovery_area"]),
        ({"unasked_area": 0.41}, ["unasked_area"]),
        ({"forget_mse": 9.0}, []),  # the loss of single images is not judged
    ],
)
def test_how_far_a_figure_may_lie_from_the_retrained_models(figures, metrics):
    each = row("mine", **figures)
    assert [failure.metric for failure in failures(each, case(each))] == metrics
    assert can_tell(case(each))


def test_what_is_drawn_stands_first_and_losses_among_the_details():
    each = case(row("mine"))
    assert [column.metric for column in main_columns(each)][:3] == ["concept_drawn", "others_drawn", "recovery_area"]
    assert "forget_mse" in {column.metric for column in other_columns(each)}
    assert [axis.metric for axis in axes_of(each)] == ["recovery_area", "others_drawn"]
    assert "recovered" in key_figures(each)[1][0].label
    text = " ".join(table_text(Evidence("Drawings", (each,), {}, {}, {}), width=160).split())
    assert "the share of images asked for what had to go that show it from 98.0% to 0.0%; retraining, to 0.0%" in text


def test_the_grid_shows_each_model_with_its_verdict_and_frames_what_shows_it():
    each = case(row("mine", said="verdict: concealed; verdict: removed; verdict: concealed", asked=(0.0, 0.9, 0.9)))
    grid = image_grid(each)
    assert grid.heads == ("the prompt alone", "25 % (2)", "50 % (5)")
    assert [line.row.name for line in grid.lines] == ["original", "retrained", "mine"]
    assert [line.verdict for line in grid.lines] == ["", "", "concealed / removed"]
    assert [line.mark for line in grid.lines] == ["", "", "concealed"]
    assert [[shows for _, shows in cell] for cell in grid.lines[2].cells] == [[False, False], [False, True], [False, True]]
    page = render(Evidence("Drawings", (each,), {}, {}, {}))
    assert page.count('class="shows"') == 5 and page.count("data:image/png;base64,") == 18  # 3 of the original, 2 of mine
    assert "the prompt alone" in page and "concealed / removed" in page


def test_curves_are_drawn_for_whoever_has_them():
    each = case(row("mine"))
    drawing = recovery_curves(each)
    assert "asked for nothing" in drawing and "retrained (ideal)" in drawing and "mine" in drawing
    plots = all_plots(each)
    assert plots[0].name == "recovery_curves" and plots[1].caption.startswith("Up is better kept")  # what stays, not its loss
    without = Case("x", "x", (Row("mine", "method", {}),), "mse", higher_is_better=False)
    assert recovery_curves(without) is None and image_grid(without) is None

"""The drawings of answers that are numbers, and the older drawings where the score is an error."""

import dataclasses
import math
import re
from xml.etree import ElementTree

import pytest

from expunge.report.plots import (
    all_plots,
    forget_against_retain,
    forgotten_answers,
    loss_histograms,
    near_the_target,
    per_class,
    relative_difference,
)

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def answering(case, **answers):
    """The case with other answers for the rows that are named; None takes the curves away."""
    rows = []
    for row in case.rows:
        curves = row.curves
        if row.name in answers:
            given = answers[row.name]
            curves = None if given is None else dataclasses.replace(curves, forget_answers=given)
        rows.append(dataclasses.replace(row, curves=curves))
    return dataclasses.replace(case, rows=tuple(rows))


@pytest.fixture(scope="module")
def case(make):
    return make.errors_case(
        make.errors_row("near", forget_mae=0.43, seconds_ratio=0.1),
        make.errors_row("far", forget_mae=0.7, holdout_mae=0.3, seconds_ratio=0.2),
        unit="°C",
        drawn=True,
    )


def test_a_regression_has_all_drawings_and_each_is_the_same_every_time(case):
    plots = all_plots(case)
    assert {"forgotten_answers", "relative_difference", "per_class", "forget_against_retain"} <= {plot.name for plot in plots}
    assert [plot.svg for plot in all_plots(case)] == [plot.svg for plot in plots]
    ids = [name for plot in plots for name in re.findall(r'\bid="([^"]+)"', plot.svg)]
    assert len(ids) == len(set(ids))
    for plot in plots:
        fixed = set(re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\([^)]*\)", "", plot.svg)))
        assert fixed == set(), "a colour that no theme can change"


def test_answers_have_a_panel_for_each_model_and_an_axis_in_the_targets_unit(case):
    drawn = texts(forgotten_answers(case))
    assert {"original", "retrained (target)", "retrained-2", "near", "far"} <= set(drawn)
    assert "answer on one forgotten example, °C" in drawn
    assert "answer on one forgotten example" in texts(forgotten_answers(dataclasses.replace(case, unit="")))


@pytest.mark.parametrize("draw", [forgotten_answers, relative_difference])
def test_without_answers_to_compare_there_is_no_drawing(make, case, draw):
    empty = {row.name: () for row in case.rows}
    assert draw(case) is not None
    assert draw(answering(case, **empty)) is None
    assert draw(answering(case, retrained=())) is None
    assert draw(answering(case, retrained=None)) is None
    alone = dict(empty)
    del alone["retrained"]
    assert draw(answering(case, **alone)) is None
    assert draw(make.case(make.row("m"), drawn=True)) is None


def test_models_beyond_the_twelfth_are_left_out(make):
    methods = [make.errors_row(f"m{index}") for index in range(12)]
    drawn = texts(forgotten_answers(make.errors_case(*methods, drawn=True)))
    assert "m8" in drawn and "m9" not in drawn, "three references and nine methods"


def test_neither_a_wild_method_nor_a_stray_answer_moves_the_axis(case):
    def axis(made):
        return [text for text in texts(forgotten_answers(made)) if re.fullmatch(r"[\d.,\N{MINUS SIGN}]+", text)][:3]

    wild = answering(case, far=[1e9, math.inf, -math.inf, math.nan] * 20)
    assert axis(wild) == axis(case) and "far" in texts(relative_difference(wild))
    stray = answering(case, original=[*case.role("original").curves.forget_answers[:-1], 1e9])
    assert axis(stray) == axis(case)


def test_the_curves_are_ordered_and_those_of_other_examples_left_out(case):
    gold = list(case.role("retrained").curves.forget_answers)
    close, off = [value * 1.001 for value in gold], [value * 3 for value in gold]
    drawn = texts(relative_difference(answering(case, far=close, near=off)))
    order = [text for text in drawn if text in ("far", "near", "original", "retrained-2 (chance)")]
    assert order[0] == "far" and order[-1] == "near" and len(order) == 4
    shorter = texts(relative_difference(answering(case, near=gold[:-1])))
    assert "near" not in shorter and "far" in shorter


def test_the_curve_is_the_share_of_examples_by_hand(case):
    rest = {row.name: () for row in case.rows if row.name not in ("retrained", "near")}
    made = answering(case, retrained=[1.0, 2.0, 4.0, 0.0], near=[1.1, 2.02, 4.4, 5.0], **rest)
    (path,) = [
        element.attrib["d"]
        for element in ElementTree.fromstring(relative_difference(made)).iter(f"{SVG}path")
        if "1.4" in element.attrib.get("style", "") and "clip-path" in element.attrib
    ]
    heights = [float(y) for _, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]
    steps = sorted({round(height, 1) for height in heights}, reverse=True)
    bottom, third, top = steps[0], steps[1], steps[-1]
    assert len(steps) == 3, "a difference of 1 %, then two of 10 %; the target of zero has none"
    assert (bottom - third) / (bottom - top) == pytest.approx(1 / 3, abs=0.01)
    bare = answering(case, retrained=[1.0, 2.0, 4.0], near=[1.1, 2.02, 4.4], **rest)
    assert relative_difference(made) == relative_difference(bare)


def test_equal_answers_can_be_drawn(case):
    same = {row.name: [2.0] * 80 for row in case.rows}
    constant = answering(case, **same)
    assert forgotten_answers(constant) is not None and relative_difference(constant) is not None


def test_losses_without_a_unit_have_an_axis_that_fits_them(case):
    def axis(loss, unit):
        curves = [dataclasses.replace(row.curves, forget_losses=[loss, 2 * loss], unseen_losses=[loss]) for row in case.rows]
        rows = tuple(dataclasses.replace(row, curves=each) for row, each in zip(case.rows, curves, strict=True))
        return texts(loss_histograms(dataclasses.replace(case, rows=rows, loss_unit=unit)))

    large = axis(20_000.0, "")
    assert "≤ 10⁴" in large and "≤ 10⁻⁶" not in large
    assert "loss of one example (logarithmic)" in large
    assert "≤ 10⁻⁶" in axis(20_000.0, "nats") and "loss of one example, nats (logarithmic)" in axis(0.5, "nats")
    assert "≤ 10⁻⁶" in axis(0.0, ""), "no loss above zero to fit to"


def test_bands_not_classes_and_short_figures(case):
    scores = {"0 to 37,000": 37_210.4, "37,000 to 120,000": 0.42}
    rows = tuple(dataclasses.replace(row, curves=dataclasses.replace(row.curves, group_scores=scores)) for row in case.rows)
    drawn = texts(per_class(dataclasses.replace(case, rows=rows, unit="USD")))
    assert "MAE on unseen examples of every band" in drawn and "band; in the cells: MAE, USD" in drawn
    assert {"37,200", "0.420", "37,000 to 120,000", "above retrained"} <= set(drawn)
    assert not any("class" in text for text in drawn)


def test_a_band_is_marked_by_the_share_that_retraining_changes(case):
    def marked(before):
        rows = []
        for row in case.rows:
            scores = {"low": 40_000.0 if row.role != "original" else before, "high": 40_000.0}
            rows.append(dataclasses.replace(row, curves=dataclasses.replace(row.curves, group_scores=scores)))
        return "low ▼" in texts(per_class(dataclasses.replace(case, rows=tuple(rows))))

    assert marked(20_000.0) and not marked(39_000.0)


def test_the_scatter_says_which_way_is_better(make, case):
    captions = {plot.name: plot.caption for plot in all_plots(case)}
    assert captions["forget_against_retain"].startswith("Down is better kept; left and right of the star is more and less")
    classes = {plot.name: plot.caption for plot in all_plots(make.case(make.row("m")))}
    assert classes["forget_against_retain"].startswith("Up is better kept; left and right of the star is less and more")
    overview, close = texts(forget_against_retain(case)), texts(near_the_target(case))
    assert "MAE on forgotten data, °C" in overview and "far" in overview
    assert {"near", "retrained"} <= set(close) and "far" not in close

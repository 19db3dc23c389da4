import dataclasses
import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import rcParams

from expunge.report import attack, canvas, scatter
from expunge.report.plots import (
    all_plots,
    forget_against_retain,
    loss_histograms,
    membership_roc,
    near_the_target,
    per_class,
    relative_difference,
    time,
)

DRAWINGS = (forget_against_retain, near_the_target, membership_roc, loss_histograms, per_class, time)
SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def case(make):
    methods = (
        make.row("near", forget_accuracy=(0.12, 0.01), n=2, seconds_ratio=0.1),
        make.row("nearer", forget_accuracy=0.11, seconds_ratio=0.011),
        make.row("far", forget_accuracy=0.7, holdout_accuracy=0.6, seconds_ratio=0.4),
    )
    return make.case(*methods, drawn=True)


@pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)
def test_a_drawing_is_an_xml_element_with_a_title_and_named_colours(case, draw):
    svg = draw(case)
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["aria-label"] in texts(svg)
    assert "viewBox" in root.attrib and "width" not in root.attrib
    assert "var(--ink" in svg and "var(--sans" in svg
    fixed = set(re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\([^)]*\)", "", svg)))
    assert fixed == set(), "a colour that no theme can change"


@pytest.mark.parametrize("draw", DRAWINGS, ids=lambda draw: draw.__name__)
def test_a_drawing_is_the_same_each_time_and_names_no_date_or_address(case, draw):
    svg = draw(case)
    assert draw(case) == svg
    assert "metadata" not in svg and "<style" not in svg and "<!" not in svg
    assert re.findall(r"https?://[^\"'\s<]+", svg) == ["http://www.w3.org/2000/svg"]


def test_ids_are_unique_on_a_page_even_where_cases_are_alike(case):
    drawings = [plot.svg for key in ("one", "two") for plot in all_plots(case, key)]
    ids = [name for svg in drawings for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(drawings) == 2 * len(DRAWINGS)
    assert len(ids) == len(set(ids)) > 0
    for svg in drawings:
        own = set(re.findall(r'\bid="([^"]+)"', svg))
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) != set()
        assert {one or two for one, two in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)} <= own


def test_drawing_leaves_the_global_settings_alone(case):
    before = dict(rcParams)
    all_plots(case)
    assert dict(rcParams) == before


def test_points_near_the_target_are_named_in_the_close_up_and_the_others_in_the_overview(case):
    overview, close = texts(forget_against_retain(case)), texts(near_the_target(case))
    assert {"far", "original"} <= set(overview) and "near" not in overview
    assert {"near", "nearer", "retrained", "retrained-2"} <= set(close) and "far" not in close


def test_labels_of_coinciding_points_do_not_cover_each_other(make):
    methods = [make.row(f"method-{index}", forget_accuracy=0.10 + 0.002 * index) for index in range(9)]
    found = {}
    for element in ElementTree.fromstring(near_the_target(make.case(*methods))).iter(f"{SVG}text"):
        if (element.text or "").strip().startswith(("method-", "retrained")) and "(" not in (element.text or ""):
            name = element.text.strip()
            if re.fullmatch(r"method-\d|retrained(-2)?", name):
                place = element.attrib.get("transform", "")
                x, y = (
                    map(float, re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", place).groups())
                    if "translate" in place
                    else (float(element.attrib["x"]), float(element.attrib["y"]))
                )
                found[name] = (x, y)
    assert len(found) == 11
    places = list(found.values())
    for index, (x, y) in enumerate(places):
        for other_x, other_y in places[index + 1 :]:
            assert abs(y - other_y) >= 7 or abs(x - other_x) >= 40, "labels 8.5 units high, 9 characters wide"


def test_the_label_of_the_close_up_lies_beside_what_is_enlarged(make, monkeypatch):
    found = {}

    def placed(axes, labels, obstacles):
        place(axes, labels, obstacles)
        box = next(text for text in axes.texts if text.get_text() == "retrained + 3 more: see the close up").get_window_extent()
        window = next(patch for patch in axes.patches if patch.get_linestyle() in (":", "dotted")).get_window_extent()
        found["apart"] = not box.overlaps(window)
        found["inside"] = axes.get_window_extent().contains(box.x0, box.y0) and axes.get_window_extent().contains(
            box.x1, box.y1
        )
        found["gap"] = max(window.x0 - box.x1, box.x0 - window.x1, window.y0 - box.y1, box.y0 - window.y1)

    place = scatter.place
    monkeypatch.setattr(scatter, "place", placed)
    methods = [
        make.row(f"method-{index}", forget_accuracy=forget, holdout_accuracy=0.88) for index, forget in enumerate((0.11, 0.12))
    ]
    forget_against_retain(make.case(*methods, make.row("far", forget_accuracy=0.3, holdout_accuracy=0.7)))
    assert found["apart"] and found["inside"] and found["gap"] < 40


@pytest.mark.parametrize("name", ["$\\frac{1}{$", "<script>alert(1)</script>", "_hidden", "a\x00b\x1b[31m", "x" * 300, "猫"])
def test_any_name_can_be_drawn(make, name):
    methods = (make.row(name, seconds_ratio=0.2), make.row("plain", seconds_ratio=0.3))
    case = make.case(*methods, drawn=True)
    rows = [
        dataclasses.replace(each, curves=dataclasses.replace(each.curves, group_scores={name: 0.5, "other": 0.25}))
        for each in case.rows
    ]
    for plot in all_plots(dataclasses.replace(case, rows=tuple(rows))):
        ElementTree.fromstring(plot.svg)
        assert "<script" not in plot.svg and len(plot.svg) < 400_000
    roc = "".join(texts(membership_roc(case)))
    assert name[:5].replace("\x00", "").replace("\x1b", "") in roc


def test_what_is_missing_is_left_out(make):
    bare = make.case(make.row("a"), make.row("b"))
    assert [plot.name for plot in all_plots(bare)] == ["forget_against_retain", "near_the_target"]
    empty = type(bare)("t", "f", ())
    assert all_plots(empty) == []
    lone = make.case(make.row("a", forget_accuracy=None, seconds_ratio=math.nan), drawn=True)
    assert time(lone) is None
    assert "a" not in texts(forget_against_retain(lone))


def test_without_a_retrained_model_there_is_a_picture_but_no_target(make):
    case = make.case(make.row("a", forget_accuracy=0.4, seconds_ratio=None), gold=False, drawn=True)
    drawn = texts(forget_against_retain(case))
    assert {"a", "original"} <= set(drawn)
    assert not any("target" in text or "ideal" in text for text in drawn)
    assert near_the_target(case) is None and time(case) is None
    assert not any("ideal" in text for text in texts(per_class(case)))


def test_curves_with_gaps_are_drawn_without_them(make):
    case = make.case(make.row("a"), drawn=True)
    broken = dataclasses.replace(
        case.rows[0].curves, roc=([], []), forget_losses=[math.inf, math.nan, 0.0, 1e9], unseen_losses=[-1e-9, 2.0]
    )
    rows = (dataclasses.replace(case.rows[0], curves=broken), *case.rows[1:])
    damaged = dataclasses.replace(case, rows=rows)
    assert "original" in texts(loss_histograms(damaged))
    drawn = texts(membership_roc(damaged))
    assert "original" not in drawn and "a" in "".join(drawn)
    none = dataclasses.replace(broken, forget_losses=[])
    alone = dataclasses.replace(case, rows=(dataclasses.replace(case.rows[0], curves=none),))
    assert loss_histograms(alone) is None and membership_roc(alone) is None


def test_losses_that_are_not_numbers_do_not_count(make):
    case = make.case(make.row("a"), drawn=True)

    def with_losses(*losses):
        drawn = dataclasses.replace(case.rows[0].curves, forget_losses=[0.5, *losses])
        return dataclasses.replace(case, rows=(dataclasses.replace(case.rows[0], curves=drawn), *case.rows[1:]))

    assert loss_histograms(with_losses(math.nan)) == loss_histograms(with_losses())
    assert loss_histograms(with_losses(math.inf)) == loss_histograms(with_losses(10.0)) != loss_histograms(with_losses())


def histograms(make, monkeypatch, losses):
    """The panels by model, of forgotten and unseen losses by model, and the drawing."""
    found = {}

    def drawn(panels, *rest):
        found.update({panel.row.name: panel for panel in panels})
        return draw(panels, *rest)

    draw, rows = attack.draw_panels, []
    for each in make.case(make.row("a")).rows:
        forget, unseen = losses.get(each.name, losses["retrained"])
        curves = dataclasses.replace(make.curves(1), forget_losses=[*map(float, forget)], unseen_losses=[*map(float, unseen)])
        rows.append(dataclasses.replace(each, curves=curves))
    with monkeypatch.context() as patched:
        patched.setattr(attack, "draw_panels", drawn)
        return found, loss_histograms(dataclasses.replace(make.case(), rows=tuple(rows)))


def test_losses_near_one_value_are_spread_over_bins_of_their_own(make, monkeypatch):
    draw = np.random.default_rng(0)
    losses = {
        "original": (np.exp(draw.normal(-3, 1, 900)), np.exp(draw.normal(-1, 1, 90))),
        "retrained": (draw.normal(0.69, 0.02, 900), draw.normal(0.69, 0.02, 90)),
        "a": ([*draw.normal(0.69, 0.001, 900), *[0.05] * 40], [*draw.normal(0.69, 0.001, 90), math.inf, 0.0]),
    }
    found, svg = histograms(make, monkeypatch, losses)
    assert "each panel has a range of its own" in "".join(texts(svg))
    for panel in found.values():
        assert max(*panel.area, *panel.line) < 0.3 and sum(panel.area) == pytest.approx(1) == sum(panel.line)
    assert found["a"].area[0] == pytest.approx(40 / 940, abs=0.01), "what lies far out is counted in the outermost bin"
    few, _ = histograms(make, monkeypatch, {"retrained": (losses["retrained"][0], losses["retrained"][1][:16])})
    assert len(few["a"].area) == 8 < len(found["a"].area), "of few losses there are few bins"


def test_losses_that_are_spread_have_the_bins_of_every_report(make, monkeypatch):
    draw = np.random.default_rng(0)
    wide = np.exp(draw.normal(-3, 1, 900))
    found, svg = histograms(make, monkeypatch, {"retrained": (wide, wide), "a": ([0.69] * 90, [0.69] * 90)})
    assert all(np.allclose(panel.edges, np.geomspace(1e-6, 10, 29)) for panel in found.values())
    assert "of its own" not in "".join(texts(svg)) and "(logarithmic)" in "".join(texts(svg))


def test_losses_that_are_all_the_same_can_be_drawn(make, monkeypatch):
    found, _ = histograms(make, monkeypatch, {"retrained": ([0.69] * 9, [0.69] * 9), "a": ([0.0, math.inf], [0.0])})
    assert max(found["retrained"].area) == 1 == sum(found["a"].line)


@pytest.mark.parametrize(("count", "named"), [(8, 8), (9, 5), (20, 5)])
def test_of_many_methods_the_attack_names_those_nearest_to_the_retrained_model(make, count, named):
    methods = [make.row(f"method-{index}", forget_accuracy=0.9 - 0.01 * index) for index in range(count)]
    case = make.case(*methods, drawn=True)
    drawn = texts(membership_roc(case))
    nearest = {f"method-{index}" for index in range(count - named, count)}
    assert {text for text in drawn if text.startswith("method-")} == nearest
    assert {"original", "retrained (ideal)", "retrained-2", "guessing"} <= set(drawn)
    assert (f"{count - named} other methods" in drawn) == (named < count)


def test_differences_name_every_method(make):
    methods = [make.errors_row(f"method-{index}") for index in range(20)]
    case = make.errors_case(*methods)
    rows = [dataclasses.replace(each, curves=make.answering(index)) for index, each in enumerate(case.rows)]
    drawn = texts(relative_difference(dataclasses.replace(case, rows=tuple(rows))))
    assert {row.name for row in methods} <= set(drawn) and not any("other" in text for text in drawn)


def test_groups_of_recommendations_have_labels_of_two_lines_that_tell_them_apart(make):
    spans = ("0", "1-2", "3-9", "10-29", "30-99", "100+")
    names = tuple(f"item {item}, user {user}" for item in spans for user in spans)
    case = make.rankings_case(make.rankings_row("a"))
    rows = [dataclasses.replace(each, curves=make.curves(index, names)) for index, each in enumerate(case.rows)]
    drawn = texts(per_class(dataclasses.replace(case, rows=tuple(rows))))
    labels = [f"{text}, {user.removesuffix(' ▼')}" for text, user in pairwise(drawn) if text.startswith("item ")]
    assert len(set(labels)) == 14 and set(labels) <= set(names)
    assert "Pair AUC on unseen examples of the 14 of 36 groups that differ most" in drawn
    assert any(text.startswith("group (times that the item was chosen, items that the user chose)") for text in drawn)
    assert not any("class" in text for text in drawn)


@pytest.mark.parametrize(
    ("made", "group"), [("case", "class"), ("errors_case", "band"), ("links_case", "group"), ("rankings_case", "group")]
)
def test_what_is_no_class_is_not_called_one(make, made, group):
    case = getattr(make, made)()
    rows = tuple(dataclasses.replace(each, curves=make.curves(index)) for index, each in enumerate(case.rows))
    (title,) = (text for text in texts(per_class(dataclasses.replace(case, rows=rows))) if "unseen examples" in text)
    assert title.endswith(f"of every {group}")


@pytest.mark.parametrize("count", [2, 3, 14, 100])
def test_classes_from_two_to_a_hundred(make, count):
    names = tuple(f"kind {index}" for index in range(count))
    case = make.case(make.row("a"), make.row("b"), drawn=False)
    rows = []
    for each in case.rows:
        scores = dict.fromkeys(names, 0.9)
        if each.role == "original":
            scores["kind 1"] = 0.95
        else:
            scores["kind 1"] = 0.0
        rows.append(dataclasses.replace(each, curves=dataclasses.replace(make.curves(1), group_scores=scores)))
    drawn = texts(per_class(dataclasses.replace(case, rows=tuple(rows))))
    assert "kind 1 ▼" in drawn, "the class that retraining lost is there and marked"
    assert sum(text.startswith("kind ") for text in drawn) == min(count, 14)
    assert ("of 100 classes" in drawn[-1] or any("of 100 classes" in text for text in drawn)) == (count == 100)


def test_one_class_is_no_comparison(make):
    case = make.case(make.row("a"))
    rows = [dataclasses.replace(each, curves=make.curves(1, classes=("only",))) for each in case.rows]
    assert per_class(dataclasses.replace(case, rows=tuple(rows))) is None


def test_times_are_sorted_and_retraining_is_marked(make):
    narrow = make.case(make.row("slow", seconds_ratio=0.9), make.row("fast", seconds_ratio=0.5))
    wide = make.case(make.row("slow", seconds_ratio=2.5), make.row("fast", seconds_ratio=0.01))
    for case, logarithmic in ((narrow, False), (wide, True)):
        drawn = texts(time(case))
        assert drawn.index("fast") < drawn.index("slow")
        assert "retraining = 1" in drawn
        assert any("logarithmic" in text for text in drawn) == logarithmic


def test_every_name_of_a_colour_has_its_own_stand_in():
    codes = [canvas.INK, canvas.MUTED, canvas.LINE, canvas.PAPER, canvas.GOOD, canvas.BAD, *canvas.SERIES]
    assert len(set(codes)) == len(codes) == len(canvas.LIGHT)

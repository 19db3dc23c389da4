import dataclasses
import math
import re
from xml.etree import ElementTree

import pytest
from matplotlib import rcParams

from expunge.report import canvas
from expunge.report.plots import (
    all_plots,
    forget_against_retain,
    loss_histograms,
    membership_roc,
    near_the_target,
    per_class,
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

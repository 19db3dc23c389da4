"""The page of a synthetic table: what it says, what it shows, and that nothing on it runs or is loaded."""

import dataclasses
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from expunge.report.scored import Made, Scored, Training, figure_text, finding, pairs, placed, short, weakest
from expunge.report.table_columns import MOST_BARS, views
from expunge.report.table_columns_plots import column_plot
from expunge.report.table_score import COLUMNS, drawn, key_figures, part_rows, render
from expunge.report.table_score_plots import MOST_COLUMNS, association_plot, parts_plots, training_plots
from expunge.studies.table_scoring import Tables, judge
from expunge.tabular import TabSynDex
from expunge.tabular.coded import code
from expunge.tabular.schema import TableSchema
from expunge.tabular.score import Comparison, Reference
from tabular.scored import again, people, uniform

SVG = "{http://www.w3.org/2000/svg}"
COUNT = 120
SCRIPT = "<script>alert('a & b')</script>"
LONG = "a name that is so long that no drawing has room for it"


def nasty(seed):
    table = people(COUNT, seed)
    table["job"] = table["job"].map({"chief": "<b>chief</b>", "clerk": "$x^2$", "none": "年齢" * 20})
    names = {"age": SCRIPT, "income": LONG, "noise": "収入 \"quoted\" 'name'", "town": "الاسم"}
    return table.rename(columns=names).assign(key=[f"{seed}-{place}" for place in range(COUNT)])


def judged(real, synthetic, **settings) -> Scored:
    return judge(Tables(real, synthetic, None, ("<real>.csv", "<made>.csv")), TabSynDex(**settings), notes=["Mind <this>."])


@pytest.fixture(scope="module")
def scored() -> Scored:
    return judged(nasty(0), nasty(1))


@pytest.fixture(scope="module")
def page(scored) -> str:
    return render(dataclasses.replace(scored, command=f"expunge score --target '{SCRIPT}'"))


class Text(HTMLParser):
    """The words of a page, and which tags it has; they must close in order."""

    def __init__(self, page):
        super().__init__()
        self.words, self.open, self.tags = [], [], set()
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        assert not any(name.startswith("on") for name, _ in attributes)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] != "style":
            self.words.append(text)

    @property
    def all(self):
        return " ".join(" ".join(self.words).split())


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def with_parts(scored, total, split, shuffled) -> Scored:
    """The same with other values of the five parts."""
    names = ("basic", "correlation", "ml", "support", "pmse")

    def of(values):
        known = [value for value in values if value is not None]
        return dataclasses.replace(
            scored.score, total=float(np.mean(known)), components=dict(zip(names, values, strict=True)), details={}
        )

    reference = Reference(of(split), of(split), of(shuffled))
    return dataclasses.replace(scored, comparison=Comparison(of(total), reference))


def test_nothing_runs_and_nothing_is_loaded(page):
    found = Text(page)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_the_verdict_says_that_trees_tell_the_tables_apart():
    real = people(300)[["age", "income", "job"]]
    apart, alike = (judged(real, other) for other in (uniform(real), people(300, 1)[["age", "income", "job"]]))
    assert any("boosted trees tell its rows" in sentence for sentence in finding(apart))
    assert not any("boosted trees" in sentence for sentence in finding(alike))


def test_names_are_text_whatever_they_look_like(page, scored):
    said = Text(page).all
    for name in (SCRIPT, LONG, "収入 \"quoted\" 'name'", "الاسم", "Mind <this>.", "<made>.csv", f"--target '{SCRIPT}'"):
        assert name in said
    assert "<script" not in page and "<b>chief" not in page and "&lt;script&gt;" in page
    assert "Column 'key' is an identifier, and not scored." in said


def test_the_page_says_what_was_found(page, scored):
    said = Text(page).all
    for sentence in finding(scored):
        assert sentence in said
    for row in part_rows(scored):
        assert " ".join((row.name, *row.robust, *row.paper)) in said
    for figure in scored.measures.figures:
        assert figure.name in said and figure.meaning in said
    column, other, real, made = pairs(scored)[0]
    assert f"{column} {other} {figure_text(real)} {figure_text(made)}" in said
    assert "How the training went" not in said and "copies real rows" not in said


def test_the_table_of_parts_is_that_of_the_score(scored):
    rows = {row.name: row for row in part_rows(scored)}
    found = scored.comparison
    scores = (found.score, found.reference.split, found.reference.bootstrap, found.reference.shuffled)
    assert rows["total"].robust == tuple(f"{score.total:.3f}" for score in scores)
    assert rows["support"].robust == tuple(f"{score.components['support']:.3f}" for score in scores)
    assert rows["propensity"].paper[0] == f"{found.paper.components['pmse']:.3f}"
    assert rows["ML efficacy"].robust == ("–",) * 4
    alone = dataclasses.replace(scored, comparison=Comparison(found.score, found.reference))
    assert all(row.paper == () for row in part_rows(alone))


def test_a_copy_is_called_one_first():
    real = people(COUNT)
    copy = judged(real, again(real))
    said = Text(render(copy)).all
    assert "✗ copies real rows" in said and "copies found" in said
    assert said.index("The table is a copy: its scores are no praise.") < said.index("TabSynDex comes to")
    assert not any(praise in said for praise in ("as good as real rows by", "close to real rows", "No part lies"))


def test_the_grade_follows_the_place(scored):
    real, floor = (1.0,) * 5, (1.0, 0.0, 0.0, 1.0, 1.0)  # 1 and 0.6
    for part, words in (
        (1.0, "as good as real rows by this score"),
        (0.9, "close to real rows: "),
        (0.6, "nearer to real rows than to shuffled columns"),
        (0.3, "nearer to shuffled columns than to real rows"),
        (0.0, "no better than shuffled columns"),
    ):
        found = with_parts(scored, (1.0, part, part, 1.0, 1.0), real, floor)
        assert found.place == pytest.approx(part)
        assert words in placed(found)
        assert (f"{100 * part:.0f} % of the way between them" in placed(found)) == (0 < part < 1)


def test_references_that_are_not_apart_tell_nothing(scored):
    found = with_parts(scored, (0.9,) * 5, (0.92,) * 5, (0.9,) * 5)
    assert found.place is None and "which says little" in placed(found)
    turned = with_parts(scored, (0.9,) * 5, (0.7,) * 5, (0.9,) * 5)
    assert turned.place is None and "not enough above" in placed(turned)


def test_totals_of_different_parts_are_not_compared(scored):
    found = with_parts(scored, (0.9, 0.9, 0.0, 0.9, 0.9), (1.0, 1.0, None, 1.0, 1.0), (0.7, 0.7, 0.0, 0.7, 0.7))
    assert (found.level, found.floor, found.ceiling) == pytest.approx((0.9, 0.7, 1.0))
    assert found.place == pytest.approx(2 / 3)
    assert "TabSynDex is 0.720" in placed(found)
    assert "All of them have the parts but ML efficacy; by these it scores 0.900." in placed(found)
    other = with_parts(scored, (0.9, 0.9, 0.0, 0.9, 0.9), (1.0, 1.0, 0.5, 1.0, 1.0), (0.7, 0.7, None, 0.7, 0.7))
    assert (other.floor, other.ceiling) == pytest.approx((0.7, 1.0))


def test_the_weakest_part_is_the_one_that_lacks_most_to_real_rows(scored):
    found = with_parts(scored, (0.5, 0.4, 0.9, 0.9, 0.9), (0.95, 0.45, 0.9, 0.9, 0.9), (0.9,) * 5)
    assert weakest(found).startswith("Weakest part: basic statistics, 0.500 where real rows have 0.950")
    near = with_parts(scored, (0.94, 0.44, 0.9, 0.9, 0.9), (0.95, 0.45, 0.9, 0.9, 0.9), (0.9,) * 5)
    assert weakest(near) == "No part lies notably below that of real rows."


@pytest.fixture(scope="module")
def faulty() -> Scored:
    """One number is shifted, one goes with nothing."""
    noise = people(COUNT, 2)["noise"] + 4
    return judged(people(COUNT), people(COUNT, 1).assign(income=np.linspace(5_000, 70_000, COUNT), noise=noise))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("basic", "column 'noise' is farthest off, with a me"),
        ("correlation", "'income'"),
        ("support", "column 'town' fills its real categories to 50 %."),
        ("pmse", "column 'noise' is the most unlike"),
    ],
)
def test_the_weakest_part_names_a_column(faulty, part, said):
    parts = dict.fromkeys(("basic", "correlation", "ml", "support", "pmse"), 0.9)
    columns = {**faulty.score.columns, "support": {"noise": 0.9, "town": 0.5}}
    score = dataclasses.replace(faulty.score, components=parts | {part: 0.1}, columns=columns)
    split = dataclasses.replace(score, components=parts)
    reference = dataclasses.replace(faulty.comparison.reference, split=split)
    assert said in weakest(dataclasses.replace(faulty, comparison=Comparison(score, reference)))


def test_a_training_has_its_own_section(scored):
    score = scored.score
    better = dataclasses.replace(score, total=0.99)
    training = Training({5: score, 10: better}, 10, {"critic": tuple(range(12)), "generator": (1.0,) * 12})
    made = Made("ctgan", "A generator against a critic.", {"epochs": 12}, "age = 30", "", training, 3.0)
    said = Text(render(dataclasses.replace(scored, made=made))).all
    assert "How the training went" in said and "Made by ctgan" in said
    assert "epoch 10, whose weights were kept" in said and "Losses as it trained" in said
    assert "A generator against a critic." in said and "ctgan.epochs 12" in said
    assert "age = 30" in said
    assert [plot.name for plot in training_plots(training)] == ["scores", "losses"]
    assert [plot.name for plot in training_plots(dataclasses.replace(training, scores={}, chosen=None))] == ["losses"]
    one = Training({}, None, {"loss": (1.0,)})
    assert "loss" in texts(training_plots(one)[0].svg)


def test_a_generator_that_trains_nothing_has_no_such_section(scored):
    said = Text(render(dataclasses.replace(scored, made=Made("bootstrap", "Real rows again.", {}, loaded="g.safetensors")))).all
    assert "How the training went" not in said and "g.safetensors" in said


def test_key_figures_depend_on_the_holdout(scored):
    assert [figure.value for figure in key_figures(scored)][1:] == ["no sign", f"{COUNT}", "none"]
    held = dataclasses.replace(scored, rows=(COUNT, COUNT, 1_234))
    assert key_figures(held)[-1].value == "1,234"


def test_every_part_is_drawn(scored):
    radar, bars = (texts(plot.svg) for plot in parts_plots(scored))
    assert "ML efficacy" not in " ".join(radar + bars)
    for name in ("basic statistics", "correlation", "support", "propensity"):
        assert name in " ".join(radar) and name in bars
    assert f"{scored.score.components['correlation']:.3f}" in " ".join(radar)


def test_wide_tables_are_shown_in_part():
    draw = np.random.default_rng(0)
    wide = pd.DataFrame(draw.normal(size=(40, 25)), columns=[f"measure number {place}" for place in range(25)])
    found = judged(wide, wide + draw.normal(size=wide.shape) * np.arange(25) / 10)
    plot = association_plot(found)
    assert "5 more columns, in whose pairs the tables differ least, are not drawn" in plot.caption
    shown = [text for text in texts(plot.svg) if text.startswith("measure")]
    assert len(set(shown)) == MOST_COLUMNS
    assert len(found.columns) - COLUMNS == 1


def test_names_below_the_maps_stand_inside_the_drawing(scored):
    """Rotated texts end at their anchor, and reach down as far as they are long."""
    widest = dataclasses.replace(scored.score, names=("W" * 16,) * 6)
    svg = ElementTree.fromstring(association_plot(dataclasses.replace(scored, comparison=Comparison(widest, None))).svg)
    height = float(svg.attrib["viewBox"].split()[3])
    turned = [element for element in svg.iter(f"{SVG}text") if "rotate(-90" in element.get("transform", "")]
    below = [element for element in turned if "".join(element.itertext()).strip() == "W" * 16]
    assert len(below) == 3 * 6
    for element in below:
        assert "text-anchor: end" in element.get("style", "")
        (y,) = re.findall(r"translate\([\d.]+ ([\d.]+)\)|rotate\(-90 [\d.]+ ([\d.]+)\)", element.get("transform"))
        assert float(y[0] or y[1]) + 8.5 * 0.98 * 16 < height  # a W is 0.98 of its size wide


def test_one_column_has_no_map():
    one = people(COUNT)[["income"]]
    found = judged(one, people(COUNT, 1)[["income"]])
    assert association_plot(found) is None and pairs(found) == []


def drawing_of(real, synthetic, **kinds):
    schema = TableSchema.infer(pd.DataFrame({"x": real}), (), kinds)
    (view,) = views(*(code(pd.DataFrame({"x": values}), schema, "it") for values in (real, synthetic)))
    return view, texts(column_plot(view))


def test_categories_are_drawn_by_their_shares():
    real = ["a"] * 60 + ["b"] * 30 + [None] * 10
    view, words = drawing_of(real, ["a"] * 20 + ["b"] * 50 + ["new"] * 30)
    assert [(bar.label, bar.real, bar.synthetic) for bar in view.bars] == [
        ("a", 0.6, 0.2),
        ("b", 0.3, 0.5),
        ("gap", 0.1, 0.0),
        ("not in the real table", 0.0, 0.3),
    ]
    assert view.difference == "with 'a' in 20.0 % of its rows, in the real table in 60.0 %"
    assert "gap" in words


def test_of_many_categories_the_rest_stand_together():
    values = [f"v{place:04d}" for place in range(3_000)]
    view, words = drawing_of(values, values, x="category")
    assert len(view.bars) == MOST_BARS + 1 and f"{3_000 - MOST_BARS:,} others" in words
    assert sum(bar.real for bar in view.bars) == pytest.approx(1)


def test_numbers_are_drawn_by_their_shares():
    draw = np.random.default_rng(0)
    real = np.where(np.arange(400) < 100, 0.0, draw.normal(10, 2, 400).round(1))
    real[-40:] = np.nan
    view, _ = drawing_of(real, draw.normal(10, 2, 400).round(1))
    assert [(bar.label, bar.real) for bar in view.bars] == [("0", 0.25), ("gap", 0.1)]
    assert view.real.sum() == pytest.approx(0.65) and view.synthetic.sum() == pytest.approx(1)
    assert np.diff(view.edges) == pytest.approx(np.diff(view.edges)[0])
    assert view.difference.startswith("with a median of ") or view.difference.startswith("with a mean of ")


def test_dates_are_written_as_dates():
    days = pd.Series(pd.date_range("2020-01-01", periods=200).astype(str))
    view, words = drawing_of(days, days)
    assert view.kind == "date" and any(re.fullmatch(r"2020-\d\d", word) for word in words)


def test_a_column_is_drawn_with_what_it_scores(scored):
    found = drawn(scored, scored.columns[0])
    values = {"shape": scored.measures.fidelity.shapes[SCRIPT]}
    for name, part in (("basic statistics", "basic"), ("support", "support"), ("correlation", "correlation")):
        values[name] = scored.score.columns[part][SCRIPT]
    assert found.figures == ", ".join(f"{name} {value:.3f}" for name, value in values.items())


@pytest.mark.parametrize("name", ["age", "x" * 100, "measure number 12", " two\n lines "])
def test_short_names_fit_and_keep_their_ends(name):
    found = short(name)
    assert len(found) <= 16 and "\n" not in found
    assert found[-2:] == name.split()[-1][-2:]

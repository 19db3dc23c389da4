import dataclasses
import re
from html.parser import HTMLParser

import pytest

from expunge.report.canvas import LIGHT
from expunge.report.evidence import Value
from expunge.report.page import render, write_report

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Tags, attributes and texts; complains of tags that are not closed in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.cells, self.chips, self.words = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append((tag, dict(attributes)))

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, text):
        if self.open and self.open[-1][0] != "style":
            self.words.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\xa0", " ").split())


def rows_of(html):
    """Names of the models in the first table, with the texts of their cells."""
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.S)[1]
    found = {}
    for line in re.findall(r"<tr.*?</tr>", body, re.S):
        name = re.search(r'<th class="name" scope="row">([^<]*)', line)[1]
        found[name] = re.findall(r"<td.*?</td>", line, re.S)
    return found


@pytest.fixture(scope="module")
def full(make):
    undefined = Value(None, 0.0, 0, 1.0, "not defined: the retrained models know it all")
    attacked = Value(0.58, 0.01, 2, 0.5, interval=(0.55, 0.61))
    methods = (
        make.row("good", seconds_ratio=0.08, seconds=16.0, anamnesis_index=undefined, foreign_metric=3.0),
        make.row("bad", membership_auc=attacked, forget_accuracy=(0.62, 0.03), n=2, seconds_ratio=0.5, seconds=100.0),
    )
    return make.evidence(
        make.case(*methods, drawn=True),
        make.case(*methods, title="class 5", drawn=True),
        notes=("Only a part of the data was used.",),
    )


@pytest.fixture(scope="module")
def html(full):
    return render(full)


def test_the_page_is_well_formed_and_ids_are_unique(html):
    assert html.startswith("<!doctype html>")
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert targets == {"case-1", "case-2"} and targets <= set(ids)


def test_nothing_is_loaded_and_nothing_runs(html):
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "img", "image", "base"}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "@import" not in html and "@font-face" not in html
    assert re.findall(r"url\((?!#)", html) == []
    assert set(re.findall(r"https?://[^\"'\s<)]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_hostile_names_are_words(make):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    drawn = dataclasses.replace(make.curves(1), group_scores={evil: 0.5, "b": 0.4})
    method = make.row(evil, drawn=drawn, tow=Value(None, 0.0, 0, 1.0, evil), **{evil: 1.0})
    failing = make.row(f"{evil}2", forget_accuracy=0.9)
    html = render(
        make.evidence(
            make.case(method, failing, title=evil),
            title=evil,
            explanations={"forget_accuracy": evil, evil: evil},
            settings={evil: {evil: evil}, "list": [evil]},
            machine={evil: evil},
            notes=(evil,),
            command=evil,
        )
    )
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert page.text.count("<script>alert(1)</script>") > 10


def test_every_model_stands_in_the_table_the_references_first(html):
    assert list(rows_of(html)) == ["original", "retrained", "retrained-2", "good", "bad"]


def test_failing_cells_carry_a_sign_and_no_others_do(html):
    marked = {name: sum('class="missed"' in cell for cell in cells) for name, cells in rows_of(html).items()}
    assert marked == {"original": 3, "retrained": 0, "retrained-2": 0, "good": 0, "bad": 2}
    for cells in rows_of(html).values():
        for cell in cells[1:]:
            assert ("✗" in cell) == ('class="missed"' in cell)


def test_spread_and_interval_are_in_the_cell(html):
    cells = " ".join(rows_of(html)["bad"])
    assert "62.0" in cells and "± 3.0" in cells and "0.550 to 0.610" in cells
    assert "±" not in " ".join(rows_of(html)["good"])


def test_undefined_is_said_with_its_reason(html):
    (cell,) = (cell for cell in rows_of(html)["good"] if "not defined" in cell.partition(">")[2])
    assert 'title="not defined: the retrained models know it all; ideal 1.00"' in cell and "<sup>a</sup>" in cell
    assert "a not defined: the retrained models know it all" in Page(html).text


def test_the_page_says_what_happened_in_words(html):
    text = Page(html).text
    assert "Only a part of the data was used." in text
    assert "class 3: 100 of 1,000 training examples" in text
    assert "1 of 2 match" in text
    assert "1 of 2 methods matches the retrained model on every check: good; it was 12 times as fast" in text
    assert "Accuracy on the forgotten data is 62.0 %, retrained 10.0 %: it still answers" in text
    assert "99.0 % → 10.0 %" in text and "16 s instead of 3.3 min" in text
    assert "What this audit can and cannot prove" in text and "lower bound" in text and "backups" in text
    assert "expunge study something --seeds 2" in text
    assert "recipe.epochs 12" in text and "processor a processor" in text and "seeds 2" in text


def test_metrics_that_have_no_column_stand_below_and_only_measured_ones_are_explained(html):
    assert html.count("foreign metric") >= 2
    assert "a metric that no model has" not in html
    assert "Accuracy on what must go; ideal: the retrained model&#39;s." in html


def test_a_page_on_errors_never_speaks_of_accuracy(make):
    methods = (
        make.errors_row("good", seconds_ratio=0.08, lira_auc=0.5),
        make.errors_row("wild", forget_mae=0.6, holdout_mae=0.3, forget_wasserstein=0.2, lira_auc=0.4, forget_distance=0.3),
    )
    explained = {"forget_wasserstein": "distance between answers; ideal: 0"}
    html = render(make.evidence(make.errors_case(*methods, unit="USD", drawn=True), explanations=explained))
    text = Page(html).text
    assert "accuracy" not in html.lower() and "nats" not in html
    assert "MAE (USD) on data that was" in text and "at most 1.6 × chance" in text
    assert "0.170 USD → 0.420 USD" in text and "retrained: 0.420 USD" in text
    assert "wild over-forgets: its error on the forgotten data is 0.600 USD, retrained 0.420 USD (+43 %)." in text
    assert "MAE on unseen data is 0.300 USD, retrained 0.200 USD (+50 %): it lost ability that should have stayed." in text
    assert "Answers on the forgotten data" in text and "Down is better kept" in text
    assert "distance to retrained: Wasserstein, USD forget_wasserstein Distance between answers" in text
    cells = rows_of(html)
    assert {name: sum('class="missed"' in cell for cell in row) for name, row in cells.items()} == {
        "original": 4,
        "retrained": 0,
        "retrained-2": 0,
        "good": 0,
        "wild": 3,
    }


@pytest.mark.parametrize(
    ("figures", "gold", "badge", "state"),
    [
        ({}, True, "matches retraining", "matches"),
        ({"forget_accuracy": 0.5}, True, "differs from retraining", "differs"),
        ({}, False, "not proven", "not-proven"),
        ({"membership_auc": None}, True, "not proven", "not-proven"),
    ],
)
def test_the_badge_has_words_besides_colour(make, figures, gold, badge, state):
    html = render(make.evidence(make.case(make.row("only", **figures), gold=gold)))
    head = html.partition("<main>")[0]
    assert f'class="chip {state}"' in head and badge in Page(html).text


def test_without_gold_without_curves_without_methods_without_cases_there_is_a_page(make):
    for evidence in (
        make.evidence(make.case(make.row("m"), gold=False)),
        make.evidence(make.case()),
        make.evidence(),
        make.evidence(make.case(make.row("m")), settings={}, machine={}, command="", explanations={}, seeds=1),
        make.evidence(make.case(dataclasses.replace(make.row("bare"), values={}))),
    ):
        assert "What this audit can and cannot prove" in Page(render(evidence)).text


def test_every_colour_that_drawings_name_is_defined_in_light_and_in_dark(html):
    style = re.search(r"<style>(.*?)</style>", html, re.S)[1]
    light, dark = (set(re.findall(r"--([\w-]+): #", part)) for part in style.split("prefers-color-scheme: dark")[:2])
    assert light >= set(LIGHT) and dark >= set(LIGHT)
    assert "@media print" in style and "overflow-x: auto" in style


def test_wide_tables_and_drawings_scroll_in_their_own_box(html):
    assert len(re.findall(r'<div class="scroll"[^>]*>\s*(?:<table|<svg)', html)) == html.count("<table") + html.count("<svg")


def test_writing_is_atomic_and_the_same_each_time(full, tmp_path, monkeypatch):
    path = write_report(full, tmp_path / "deep" / "report.html")
    assert path == tmp_path / "deep" / "report.html"
    assert [each.name for each in path.parent.iterdir()] == ["report.html"]
    first = path.read_text(encoding="utf-8")
    assert write_report(full, path).read_text(encoding="utf-8") == first

    def dies(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", dies)
    with pytest.raises(OSError, match="disk full"):
        write_report(dataclasses.replace(full, title="Another"), path)
    assert path.read_text(encoding="utf-8") == first

"""The page of a search: what it says, what it shows, and that nothing on it runs or is loaded."""

import dataclasses
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from expunge.report.searched import FOUND, RANDOM, compared, decided, finding, model_card, model_rows, render
from expunge.report.searched_plots import confusion_plot, pareto_plots, search_plots
from expunge.search import Found
from expunge.search.faces import scores
from expunge.studies.searching import search_images
from expunge.studies.searching_files import record
from tiny_pictures import TINY, save

SCRIPT = "<script>alert('a & b')</script>"
LONG = "$x^2$ " + "年齢" * 30


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    plan = dataclasses.replace(TINY, random=2)
    found = search_images(str(save(folder / "faces.npz", classes=np.array([SCRIPT, LONG]))), plan, folder)
    return dataclasses.replace(found, data="<b>data</b>", command=f"expunge search '{SCRIPT}'", notes=("Mind <this>.",))


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


def with_accuracies(searched, found, randoms):
    """The same with other accuracies, of 100 images each."""

    def told(model, right):
        return dataclasses.replace(model, scores=scores([0] * right + [1] * (100 - right), [0] * 100, ("a", "b")))

    best, other = searched.of(FOUND)[0], searched.of(RANDOM)[0]
    others = [told(other, right) for right in randoms]
    rest = [model for model in searched.models if model.role not in (FOUND, RANDOM)]
    return dataclasses.replace(searched, models=(told(best, found), *others, *rest))


def test_nothing_runs_and_nothing_is_loaded(searched):
    page = render(searched)
    found = Text(page)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in page and "<b>data" not in page
    for words in (SCRIPT, LONG, "Mind <this>.", "<b>data</b>", *finding(searched), *searched.warnings):
        assert " ".join(words.split()) in found.all
    for row in model_rows(searched):
        assert " ".join(row) in found.all
    assert "What it is for, and what it is not" in found.all and "none of whom is in both" in found.all


def test_drawings_are_whole_and_their_ids_differ(searched):
    plots = [*pareto_plots(searched), *search_plots(searched), confusion_plot(searched)]
    assert [plot.name for plot in plots] == ["macs", "latency", "decidedness", "entropy", "losses", "cost", "confusion"]
    ids = [element.get("id") for plot in plots for element in ElementTree.fromstring(plot.svg).iter() if element.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("found", "randoms", "beats", "words"),
    [
        (95, (90, 91, 92), True, "95.0 % of the test images right, 4.0 points more than cells drawn by chance"),
        (92, (90, 91, 94), False, "doesn't beat chance: 3 random cells of the same budget tell 91.7 %"),
        (80, (90, 91), False, "doesn't beat chance"),
        (90, (90, 90), False, "doesn't beat chance"),
        (95, (90,), None, "one random cell 90.0 %, too few to tell"),
        (95, (), None, "No random cells were trained"),
    ],
)
def test_the_verdict_is_honest(searched, found, randoms, beats, words):
    changed = with_accuracies(searched, found, randoms)
    assert changed.beats_chance is beats and words in compared(changed)
    chip = {True: "✓ better than", False: "✗ not better than", None: "? not held against"}[beats]
    assert chip in Text(render(changed)).all


def test_what_was_not_decided_is_said(searched):
    (said,) = decided(searched)
    assert "is undecided" in said and any("Undecided" in warning for warning in searched.warnings)
    sure = dataclasses.replace(searched.found, decidedness={"normal": 0.4, "reduction": 0.3}, warnings=())
    assert "has decided" in decided(dataclasses.replace(searched, found=sure))[0]


def test_figures_that_say_little_come_with_a_warning(searched):
    blind = with_accuracies(searched, 60, (50, 60))
    assert any("raise --retrain-epochs" in warning for warning in searched.warnings)
    blind = dataclasses.replace(blind, steps=1000, rows=(400, 100))
    assert not any("--retrain-epochs" in warning or "The test has" in warning for warning in blind.warnings)
    assert any("no better than always telling the largest class, which is right for 60.0 %" in each for each in blind.warnings)


def test_methods_without_architecture_show_their_candidates(searched):
    genotype = searched.found.genotype
    found = Found(genotype, scores=((genotype, 3.0), (genotype, 1.0), (genotype, -np.inf)), method="zero-cost")
    changed = dataclasses.replace(searched, found=found, warn_below=None)
    assert [plot.name for plot in search_plots(changed)] == ["candidates"] and decided(changed) == []
    assert [each["score"] for each in record(changed)["candidates"]] == [3.0, 1.0, None]
    assert "How the search went" in Text(render(changed)).all


def test_what_shows_no_faces_comes_without_their_rules(searched):
    plain = dataclasses.replace(searched, faces=False, use=None, persons=None)
    said = Text(render(plain)).all
    assert "What it is for" not in said and "isn’t known" in said and "expression class" not in said
    assert "AI Act" in model_card(searched) and "AI Act" not in model_card(plain)

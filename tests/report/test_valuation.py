"""The page of a valuation: what it says, what it shows, and that it is one whole file."""

import dataclasses
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from expunge.report.valuation import key_figures, lines, render, write_valuation
from expunge.report.valuation_plots import curves, drawings, histogram
from expunge.report.valued import Basis, Loss, Valued, doubts, finding, loss_words
from expunge.valuation.evaluation import Curves
from expunge.valuation.values import Cost, Values

SVG = "{http://www.w3.org/2000/svg}"
FALL = np.linspace(0.9, 0.45, 10)
STAY = np.linspace(0.9, 0.81, 10)
MIDDLE = np.linspace(0.9, 0.63, 10)
GOOD = Curves(FALL, STAY, STAY[::-1], FALL[::-1])
LOSS = Loss(named=3, rows=np.array([100, 104]), value=0.3, share=0.06, before=0.9, after=0.85)


def valued(count=20, **changes) -> Valued:
    found = np.linspace(-0.2, 1.0, count)
    values = Values("ecoval", found, Cost(123, 4.0, 7.5), lambda X, y: y, np.arange(count) % 2, np.array([2.0, -1.0]))
    usual = Valued(
        data="shop <1>",
        values=values,
        about="EcoVal: clusters first. A reconstruction.",
        settings={"folds": 5, "embed": None},
        metric="accuracy",
        model="a logistic regression",
        seed=7,
        rows=np.arange(100, 100 + count),
        labels=np.array(["stays", "leaves"] * (count // 2)),
        target="churn",
        classes=2,
        columns={"age": np.arange(count) + 20.5, "city & street": np.array([f"<b>{number}" for number in range(count)])},
        images=None,
        validation=5,
        holdout=6,
        full=0.9,
        empty=0.5,
        curves=GOOD,
        chance=np.stack([MIDDLE[::-1] - 0.01, MIDDLE[::-1] + 0.01]),
        clusters=(
            {"cluster": 0, "class": "stays", "members": 10, "value": 2.0, "typical_row": 104},
            {"cluster": 1, "class": "leaves", "members": 10, "value": -1.0, "typical_row": 105},
        ),
        command="expunge value shop.csv",
        machine={"cores": 2},
    )
    return dataclasses.replace(usual, **changes)


class Text(HTMLParser):
    """The words of a page, and whether tags close in order."""

    def __init__(self, page):
        super().__init__()
        self.words, self.open, self.images = [], [], 0
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.images += tag == "img"
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] != "style":
            self.words.append(text)

    @property
    def all(self):
        return " ".join("".join(self.words).replace("\xa0", " ").split())


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_the_finding_compares_the_halves():
    assert finding(valued()) == (
        "Trained on the most valuable half of the rows, the model's accuracy on unseen rows is 85.0 %; on the least valuable "
        "half it is 65.0 %, on a random half 75.0 %, and on all rows 90.0 %."
    )


def test_good_values_raise_no_doubts_and_others_do():
    assert doubts(valued()) == []
    turned = Curves(STAY, FALL, FALL[::-1], STAY[::-1])
    high, low = doubts(valued(curves=turned))
    assert high.startswith("Taking away the most valuable rows first does no more harm") and "no less harm" in low
    for shift, count in ((0, 2), (0.009, 2), (0.011, 0)):  # random orders are 0.01 off their mean
        high, low = MIDDLE - shift, MIDDLE + shift
        assert len(doubts(valued(curves=Curves(high, low, low[::-1], high[::-1])))) == count
    assert "no better than one that knows nothing" in doubts(valued(full=0.5))[0]


@pytest.mark.parametrize(("count", "said"), [(1, "1 class is one cluster: its"), (3, "3 classes are one cluster each: the")])
def test_classes_of_one_cluster_are_a_doubt(count, said):
    found = valued()
    found = dataclasses.replace(found, values=dataclasses.replace(found.values, facts={"classes_of_one_cluster": float(count)}))
    assert doubts(found)[0].startswith(said)


NO_MODEL, NO_JUDGES = Basis(model=False, zero=False), Basis(validation=False, zero=False)


@pytest.mark.parametrize(
    ("basis", "said", "unsaid"),
    [
        (
            Basis(),
            ("for the accuracy of a logistic regression", "judged the models that values follow from", "less than nothing"),
            ("no part",),
        ),
        (
            NO_MODEL,
            ("20 rows, whatever the model", "compared with to find their values", "For no model", "on 5 validation rows"),
            ("for the accuracy of", "values follow from", "harm than good to", "less than nothing", "A value below 0"),
        ),
        (
            NO_JUDGES,
            ("20 rows, with a logistic regression", "they play no part in the values", "or from chance. Look", "A low value"),
            ("for the accuracy of", "values follow from", "less than nothing", "A value below 0", "compared with"),
        ),
        (Basis(model=False), ("did more harm than good on this validation set", "4 of 20 rows"), ("good to this model",)),
        (Basis(False, False, False), ("whatever the model", "they play no part"), ("on 5 validation rows", "compared with")),
    ],
)
def test_the_page_says_only_what_is_true_of_the_method(basis, said, unsaid):
    text = Text(render(valued(basis=basis))).all
    for words in said:
        assert words in text, words
    for words in unsaid:
        assert words not in text, words
    share_out = doubts(valued(basis=basis, full=0.5))[0]
    assert ("nothing to share out" in share_out) == basis.utility


def test_processor_time_is_that_of_one_process():
    assert key_figures(valued())[3].label == "processor time"
    assert key_figures(valued(jobs=4))[3].label == "processor time of this process"


def test_ranks_count_from_the_most_valuable():
    ranks = valued().ranks
    assert ranks[-1] == 1 and ranks[0] == 20 and sorted(ranks) == list(range(1, 21))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "Deleting these 2 rows takes away a value of 0.300, 6.00 % of the value of all 20. Trained without them, the "
            "model's accuracy on the validation rows falls from 90.0 % to 85.0 %. 1 more of the 3 rows named has no value: no "
            "model was trained on what is held out or judged on. Nothing has been deleted.",
        ),
        ({"after": 0.95}, "rises from 90.0 % to 95.0 %"),
        ({"after": 0.9}, "on the validation rows stays as it is."),
        ({"before": 0.78571, "after": 0.78528}, "falls from 78.57 % to 78.53 %."),
        ({"before": 0.7855, "after": 0.785512}, "rises from 78.550 % to 78.551 %."),
        ({"before": 0.7855, "after": 0.785501}, "on the validation rows stays at 78.550 %."),
        ({"share": None}, "a value of 0.300. Trained"),
        ({"named": 5}, "3 more of the 5 rows named have no value"),
        (
            {"rows": np.array([100]), "named": 1},
            "Deleting this row takes away a value of 0.300, 6.00 % of the value of all 20. T",
        ),
        ({"value": -0.3, "share": -0.06}, "a value of −0.300, −6.00 %"),
    ],
)
def test_a_request_in_words(changes, said):
    words = loss_words(dataclasses.replace(LOSS, **changes), valued())
    assert said in words and words.endswith("Nothing has been deleted.")


def test_the_page_says_what_was_done_and_what_it_does_not_mean():
    text = Text(render(valued(request=LOSS, notes=("a note",)))).all
    for words in (
        "What the rows of shop <1> are worth",
        "a note",
        finding(valued()),
        loss_words(LOSS, valued()),
        "20 rows were trained on, and have values. 5 others, a fifth of the training rows drawn by the seed, of each class",
        "6 held-out rows judged the curves",
        "A reconstruction.",
        "Compare ranks, not numbers.",
        "No proof of harm.",
        "Values tell about single people",
        "expunge value shop.csv",
        "50.0 % → 90.0 %",
        "123",
        "7.5 s",
        "<b>19",
    ):
        assert words in text, words


def test_the_page_is_one_file():
    page = render(valued(request=LOSS))
    assert "<script" not in page and "<b>" not in page and "url(http" not in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_what_is_not_there_leaves_no_trace():
    text = Text(render(valued(clusters=(), command="", machine=None))).all
    assert "Clusters of alike rows" not in text and "What the request" not in text and "To make it again" not in text
    assert "Machine and versions" not in text
    assert "Before you trust the values" not in text
    assert "Before you trust the values" in Text(render(valued(full=0.5))).all


def test_rows_at_either_end_with_their_columns():
    text = Text(render(valued(count=40))).all
    most, least = text.index("Most valuable rows"), text.index("Least valuable rows")
    assert most < text.index("<b>39") < least < text.index("<b>0 ")
    assert "<b>20" not in text
    first = lines(valued(), [19], ["age", "city & street"])[0]
    assert (first.rank, first.row, first.value, first.label, first.cells) == (1, 119, "1.00", "leaves", ("39.5", "<b>19"))


def test_wide_tables_and_many_clusters_are_cut_and_that_is_said():
    columns = {f"column {number}": np.arange(20) for number in range(30)}
    many = tuple(
        {"cluster": n, "class": "stays", "members": 1, "value": float(n), "typical_row": 100 + n % 20} for n in range(60)
    )
    text = Text(render(valued(columns=columns, clusters=many))).all
    assert "column 15" in text and "column 16" not in text and "14 more columns of the data are not shown." in text
    assert "Of 60 clusters those at either end" in text and "30.0" not in text and "59.0" in text


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_shown_instead_of_columns(channels):
    images = np.random.default_rng(0).normal(size=(20, channels, 4, 5)).astype(np.float32)
    page = render(valued(images=images))
    assert Text(page).images == 22 and page.count("data:image/png;base64,") == 22
    assert Text(render(valued(images=np.zeros((20, channels, 4, 5))))).images == 22


def test_key_figures_say_where_others_were_kept():
    trained = {figure.label: figure for figure in key_figures(valued())}["models trained"]
    assert (trained.value, trained.detail) == ("123", "")
    assert key_figures(valued(resumed=True))[2].detail == "beside those kept from a run before"


@pytest.mark.parametrize("metric", ["accuracy", "log-loss", "probability", "r2"])
def test_drawings_are_whole_and_have_named_colours(metric):
    for plot in drawings(valued(metric=metric)):
        root = ElementTree.fromstring(plot.svg)
        assert root.attrib["aria-label"] in texts(plot.svg) and plot.wide and plot.caption
        assert not re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\([^)]*\)", "", plot.svg))
    assert Text(render(valued(metric=metric, classes=0 if metric == "r2" else 2)))


def test_curves_have_both_ends_and_chance():
    said = texts(curves(valued()))
    assert {"taken away", "added", "most valuable first", "least valuable first", "at random, mean and range"} <= set(said)
    assert "share of the 20 rows that have gone" in said and "90 %" in said


@pytest.mark.parametrize(
    ("values", "title"),
    [
        (np.linspace(-0.2, 1, 20), "4 of 20 rows are worth less than nothing"),
        (np.linspace(0.1, 1, 20), "No row is worth less than nothing"),
        (np.zeros(20), "No row is worth less than nothing"),
        (np.full(20, -1.0), "20 of 20 rows are worth less than nothing"),
    ],
)
def test_histograms_of_all_kinds_of_values(values, title):
    found = valued()
    svg = histogram(dataclasses.replace(found, values=dataclasses.replace(found.values, values=values)))
    assert title in texts(svg) and "value of a row, by ecoval" in texts(svg)


@pytest.mark.parametrize("values", [np.linspace(3, 5, 20), np.zeros(20), np.full(20, -7.5), np.linspace(-1, 1, 300)])
def test_histograms_where_0_is_no_border(values):
    found = dataclasses.replace(valued(), basis=NO_JUDGES)
    svg = histogram(dataclasses.replace(found, values=dataclasses.replace(found.values, values=values)))
    assert f"How the values of {len(values)} rows are spread" in texts(svg)


def test_the_page_is_written_whole(tmp_path):
    path = write_valuation(valued(), tmp_path / "report.html")
    assert path.read_text() == render(valued())

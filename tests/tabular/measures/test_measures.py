"""All measures of a table at once, and the figures that reports print."""

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.tabular.measures import measure


def test_every_figure_is_complete(draw, coded):
    found = measure(*coded(*(draw(200, seed) for seed in range(3))), "rich")
    names = [figure.name for figure in found.figures]
    assert len(set(names)) == len(names) == 22
    assert names[0] == "Column shapes" and names[-1].startswith("Disclosure of rich")
    for figure in found.figures:
        assert figure.value is not None and np.isfinite(figure.value) and np.isfinite(figure.ideal)
        assert figure.better in ("higher", "lower", "nearer")
        assert figure.meaning.endswith(".")
        assert figure.low is None or figure.low <= figure.value <= figure.high


def test_without_a_holdout_what_needs_one_is_none_and_says_so(draw, coded):
    found = measure(*coded(*(draw(200, seed) for seed in range(2))), target="rich")
    lacking = [figure for figure in found.figures if figure.value is None]
    assert len(lacking) == 4
    assert all("give real rows that the generator never saw" in figure.meaning for figure in lacking)


def test_without_a_target_nothing_is_trained_or_disclosed(draw, coded):
    pair = coded(draw(100, 0), draw(100, 1))
    found = measure(*pair)
    assert found.teaching is None and found.privacy.disclosure is None
    assert measure(*pair, sensitive="town").privacy.disclosure.column == "town"
    other = measure(*pair, target="rich", sensitive="town")
    assert (other.teaching.target, other.privacy.disclosure.column) == ("rich", "town")


def test_a_copy_scores_best_and_is_called_one(draw, coded):
    real, fresh, holdout = (draw(300, seed) for seed in range(3))
    copy, new = (measure(*coded(real, each, holdout), "rich") for each in (real, fresh))
    assert copy.fidelity.quality == 1.0 > new.fidelity.quality
    assert copy.privacy.is_copy and not new.privacy.is_copy


def test_a_table_of_one_column_is_measured(draw, coded):
    for name in ("pay", "job"):
        found = measure(*coded(draw(100, 0)[[name]], draw(100, 1)[[name]]), target=name)
        assert found.teaching is None and found.fidelity.trend is None
        assert 0.7 < found.fidelity.quality <= 1


def test_the_same_seed_gives_the_same_figures(draw, coded):
    three = coded(*(draw(150, seed) for seed in range(3)))
    assert measure(*three, "rich", seed=1).figures == measure(*three, "rich", seed=1).figures


@pytest.mark.parametrize("names", [{"target": "weight"}, {"sensitive": "weight"}])
def test_columns_that_are_not_there_are_refused(draw, coded, names):
    with pytest.raises(BadSetting, match="'weight' isn't scored: there are age, pay, height, job, town, rich"):
        measure(*coded(draw(60, 0), draw(60, 1)), **names)

"""Alpha-precision, beta-recall and authenticity where their values are known."""

from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.measures.precision_recall import precision_recall

MODULE = import_module("expunge.tabular.measures.precision_recall")  # the package gives its name to the function


def normal(n: int, seed: int, scale: float = 1.0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(0, scale, (n, 4))
    return pd.DataFrame({name: values[:, place] for place, name in enumerate("abcd")})


def test_a_copy_has_all_but_authenticity(draw, coded):
    real = draw(300, 0)
    found = precision_recall(*coded(real, real))
    assert found.precision == pytest.approx(1.0)
    assert found.recall == pytest.approx(1.0)
    assert found.authenticity < 0.01
    assert found.authenticity_of_real > 0.3


def test_the_order_of_rows_does_not_matter(draw, coded):
    real, other = draw(200, 0), draw(150, 1)[:150]
    one = precision_recall(*coded(real[:150], other))
    two = precision_recall(*coded(real[:150].sample(frac=1, random_state=0), other.sample(frac=1, random_state=1)))
    for name in ("precision", "recall", "authenticity", "authenticity_of_real"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_new_rows_have_half_the_recall_and_the_authenticity_of_real_rows(coded, seed):
    found = precision_recall(*coded(normal(1500, seed), normal(1500, seed + 10)))
    assert found.precision > 0.93
    assert found.recall == pytest.approx(0.5, abs=0.06)
    assert found.authenticity == pytest.approx(found.authenticity_of_real, abs=0.06)


def test_rows_far_away_are_neither_realistic_nor_cover_anything(coded):
    real = normal(300, 0)
    found = precision_recall(*coded(real, normal(300, 1) + 20))
    # no synthetic row within any ball: 1 - 2 * integral of a
    assert found.precision == pytest.approx(0.0, abs=0.01)
    assert found.recall == pytest.approx(0.0, abs=0.01)
    assert found.authenticity == 1.0


def test_typical_rows_alone_lose_precision_and_recall(coded):
    real = normal(800, 0)
    fresh, narrow = (precision_recall(*coded(real, normal(800, 1, scale))) for scale in (1.0, 0.3))
    assert narrow.precision < fresh.precision - 0.3
    assert narrow.recall < fresh.recall - 0.2


def test_precision_by_hand():
    ours = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    # centre 0, distances 2 1 1 2: balls hold a half up to the radius 1, all from 2 on. Of theirs a quarter is within 1,
    # half within 2. Radii by level: 1 up to 1/3, then rising to 2 at 2/3
    theirs = np.array([[0.5], [1.9], [5.0], [9.0]])
    levels = np.linspace(0, 1, 31)
    radius = np.quantile([2, 1, 1, 2], levels)
    gap = np.where(radius >= 2, 1 - 0.5, np.where(radius >= 1.9, 0.5 - 0.5, 0.5 - 0.25))
    assert MODULE._precision(ours, theirs) == pytest.approx(1 - 2 * np.trapezoid(gap, dx=1 / 30))


def test_equally_many_rows_are_compared(draw, coded, monkeypatch):
    monkeypatch.setattr(MODULE, "ROWS", 100)
    assert precision_recall(*coded(draw(300, 0), draw(150, 1))).rows == 100
    assert precision_recall(*coded(draw(300, 0), draw(60, 1))).rows == 60


@pytest.mark.parametrize("columns", [["age", "pay", "height"], ["job", "town"]])
def test_tables_of_one_kind_of_column_with_gaps_and_unknown_values(draw, coded, columns):
    real, other = draw(200, 0)[columns], draw(200, 1)[columns]
    if "town" in columns:
        other = other.assign(town=other["town"].replace("west", "abroad"))
    found = precision_recall(*coded(real, other))
    assert 0 <= found.recall <= 1 and 0.5 < found.precision <= 1

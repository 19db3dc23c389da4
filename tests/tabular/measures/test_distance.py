"""The mixed distance by hand, nearest rows against all pairs, and the inputs of models."""

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.measures import distance
from expunge.tabular.measures.distance import nearest
from expunge.tabular.measures.features import MOST_SLOTS, Features, sample

NAN = np.nan


def ten(**columns):
    """Columns, filled up to 10 rows by repeating the last one."""
    return pd.DataFrame({name: [*values, *[values[-1]] * (10 - len(values))] for name, values in columns.items()})


def test_distances_by_hand(coded):
    real = ten(x=[0.0, 10.0, NAN, 3.0], c=["a", "b", None, "c"])
    made = ten(x=[4.0, NAN, 35.0, NAN], c=["a", "b", "never seen", None])
    known, asked = coded(real, made)
    # by column: |4 - 0| / 10 and 0; a gap against 0 or 3, and b; both far away; both gaps
    distances, places = nearest(asked, known)
    assert distances[:4, 0] == pytest.approx([0.2, 0.5, 1.0, 0.0])
    assert places[[0, 1, 3], 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("widest", [1, 64])
def test_unknown_values_equal_nothing(coded, monkeypatch, widest):
    monkeypatch.setattr(distance, "_WIDEST", widest)
    real, one, other = ten(c=["a", "b"]), ten(c=["new", "a"]), ten(c=["other", "a"])
    _, asked, among = coded(real, one, other)
    assert nearest(asked, among)[0][:2, 0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("cells", [1, 700, 1_000_000])
@pytest.mark.parametrize("without", [None, "pay", "town"])
def test_nearest_rows_are_those_of_all_pairs(draw, coded, monkeypatch, cells, without):
    monkeypatch.setattr(distance, "_CELLS", cells)
    monkeypatch.setattr(distance, "_WIDEST", 5)  # so that jobs are compared one by one
    real, other = draw(70, 0), draw(40, 1)
    other.loc[3, "pay"] = 1e5  # beyond the range, by far
    other.loc[4, "town"] = "abroad"
    known, asked = coded(real, other)
    parts = []
    for place, column in enumerate(known.schema.numbers):
        left, right = asked.numbers[:, [place]], known.numbers[:, place]
        apart = np.minimum(np.abs(left - right) / (column.high - column.low), 1)
        gaps = np.isnan(left).astype(int) + np.isnan(right)
        parts.append((column.name, np.where(gaps == 1, 1.0, np.where(gaps == 2, 0.0, apart))))
    for place, column in enumerate(known.schema.categories):
        parts.append((column.name, (asked.codes[:, [place]] != known.codes[:, place]).astype(float)))
    wanted = np.mean([part for name, part in parts if name != without], axis=0)
    distances, places = nearest(asked, known, k=3, without=without)
    assert distances == pytest.approx(np.sort(wanted, axis=1)[:, :3], abs=1e-12)
    assert np.take_along_axis(wanted, places, 1) == pytest.approx(distances, abs=1e-12)


@pytest.mark.parametrize("cells", [120, 1_000_000])
def test_a_row_set_apart_does_not_count(draw, coded, monkeypatch, cells):
    monkeypatch.setattr(distance, "_CELLS", cells)
    (table,) = coded(draw(50, 0))
    rows = np.arange(50)[::-1]
    itself, _ = nearest(table.rows(rows), table)
    others, places = nearest(table.rows(rows), table, apart=rows)
    assert itself.max() < 1e-12 < others.min()
    assert (places[:, 0] != rows).all()


def test_the_unit_of_numbers_does_not_matter(draw, coded):
    real, other = draw(80, 0), draw(30, 1)
    one = nearest(*reversed(coded(real, other)))
    two = nearest(*reversed(coded(*(each.assign(pay=each["pay"] * 8 - 64) for each in (real, other)))))
    assert two[0] == pytest.approx(one[0])


def test_numbers_are_standardised_by_the_real_table(coded):
    real = ten(x=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, NAN])
    other = real.assign(x=[5.0, NAN, *[1e300] * 8])
    known, asked = coded(real, other)
    features = Features.of(known)
    flat = features.flat(known)
    assert flat[:9, 0].mean() == pytest.approx(0) and flat[:9, 0].std() == pytest.approx(1)
    assert flat[:, 1].tolist() == [0.0] * 9 + [1.0]
    assert features.flat(asked)[:2].tolist() == [[0.0, 0.0], [0.0, 1.0]]
    assert np.isfinite(features.flat(asked)).all()
    assert np.isnan(features.tree(asked)[1, 0]) and features.tree(asked)[0, 0] == 5.0


def test_rare_categories_share_a_slot_and_unknown_ones_another(coded):
    texts = [f"v{value:02d}" for value in range(70) for _ in range(80 - value)]
    real = pd.DataFrame({"c": texts})
    other = pd.DataFrame({"c": ["v00", "v48", "v49", "v69", None, "never", "seen", "v01", "v02", "v03"]})
    known, asked = coded(real, other)
    features = Features.of(known)
    assert features.widths == (MOST_SLOTS + 1,)
    slots = features.tree(asked)[:, 0].astype(int).tolist()
    assert slots[:2] == [0, 48]
    assert slots[2] == slots[3] == slots[4] == 49
    assert slots[5] == slots[6] == 50
    flat = features.flat(asked, category=0.5**0.5)
    assert np.linalg.norm(flat[0] - flat[1]) == pytest.approx(1.0)
    assert features.tree_categories.tolist() == [True]


def test_samples_are_drawn_once_each_and_by_seed(draw, coded):
    (table,) = coded(draw(60, 0))
    assert sample(table, 60, 0) is table
    some, same, others = sample(table, 20, 1), sample(table, 20, 1), sample(table, 20, 2)
    assert len(np.unique(some.numbers[:, 1])) == 20
    assert np.array_equal(some.codes, same.codes) and not np.array_equal(some.numbers, others.numbers)

"""Associations, against closed forms and what chance does."""

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.coded import code
from expunge.tabular.schema import TableSchema
from expunge.tabular.scoring.association import associations


def of(corrected=False, **columns):
    table = pd.DataFrame(columns)
    return associations(code(table, TableSchema.infer(table), "table"), corrected).values


def test_worked_by_hand():
    kind = np.array(list("aabb") * 3)
    size = np.array([1.0, 3.0, 5.0, 7.0] * 3)  # means 2 and 6 around 4: 12 * 4 of 12 * 5
    found = of(kind=kind, size=size)
    assert found[0, 1] == found[1, 0] == pytest.approx(np.sqrt(4 / 5))
    fine = np.array(list("abcd") * 3)  # tells kind wholly; kind tells one of its two bits
    found = of(kind=kind, fine=fine)
    assert found[0, 1] == pytest.approx(1) and found[1, 0] == pytest.approx(0.5)


def test_order_is_that_of_the_table():
    generator = np.random.default_rng(0)
    x = generator.normal(size=50)
    found = of(a=np.where(x > 0, "u", "v"), b=x, c=generator.choice(["p", "q", "r"], 50), d=-x)
    assert found[1, 3] == pytest.approx(-1)
    assert found[0, 1] > 0.7 and found[0, 1] == found[1, 0]
    assert np.diag(found) == pytest.approx(np.ones(4))


def test_gaps_leave_pairs_of_known_values():
    generator = np.random.default_rng(0)
    x = generator.normal(size=300)
    y, z = x + generator.normal(size=300), generator.normal(size=300) + 5
    x[::3], y[::4], z[::7] = np.nan, np.nan, np.nan
    found = of(x=x, y=y, z=z)
    assert found == pytest.approx(pd.DataFrame({"x": x, "y": y, "z": z}).corr().to_numpy(), abs=1e-9)
    kind = np.where(np.nan_to_num(x) > 0, "a", "b")
    known = ~np.isnan(y)
    assert of(y=y, kind=kind)[0, 1] == pytest.approx(of(y=y[known], kind=kind[known])[0, 1])


def test_a_constant_goes_with_nothing_not_even_itself():
    found = of(x=np.arange(20.0), flat=np.full(20, 2.0), kind=np.array(["a"] * 20))
    assert found.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("count", [200, 2_000])
def test_what_chance_adds_comes_off(count):
    generator = np.random.default_rng(count)
    plain, corrected = [], []
    for _ in range(30):
        columns = {"x": generator.normal(size=count), "kind": generator.integers(0, 40, count).astype(str)}
        columns["other"] = generator.integers(0, 20, count).astype(str)
        plain.append(of(**columns))
        corrected.append(np.square(of(True, **columns)))
    assert np.mean(plain, axis=0)[0, 1] > 0.8 * np.sqrt(39 / count)
    assert np.mean(corrected, axis=0)[0, 1] < 0.3 * 39 / count
    assert np.mean(corrected, axis=0)[1, 2] < 0.5 * np.mean(plain, axis=0)[1, 2]


def test_ten_thousand_categories_are_counted_as_few_are():
    generator = np.random.default_rng(0)
    first = generator.integers(0, 10_000, 30_000)
    found = of(first=first.astype(str), second=(first // 2).astype(str), third=(first % 3).astype(str))
    assert found[1, 0] == pytest.approx(1) and found[2, 0] == pytest.approx(1)
    assert 0.9 < found[0, 1] < 1

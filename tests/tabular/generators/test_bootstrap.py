"""Rows drawn with replacement: each is a real one."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadRequest
from expunge.tabular import Bootstrap, Generator
from tabular.mixed import mixed


def rows(table):
    """Rows but for names, which are made anew, as texts; numbers in one spelling."""
    plain = table.drop(columns="name").reset_index(drop=True)
    numbers = {name: values.astype(float) for name, values in plain.items() if values.dtype.kind in "iuf"}
    return ["|".join(map(str, row)) for row in plain.assign(**numbers).astype(str).itertuples(index=False)]


def test_all_rows_are_real_ones_with_their_gaps():
    sample = Bootstrap().fit(mixed()).sample(1_000)
    assert set(rows(sample)) <= set(rows(mixed()))
    assert sample["weight"].isna().any() and sample["city"].isna().any()


def test_about_a_share_of_1_over_e_is_never_drawn():
    drawn = len(set(rows(Bootstrap().fit(mixed(2_000)).sample(2_000))))
    assert abs(drawn / 2_000 - (1 - np.exp(-1))) < 0.04  # 5 standard errors are 0.035


def test_rows_are_drawn_equally_often():
    table = pd.DataFrame({"row": np.arange(20) / 2})
    counts = Bootstrap().fit(table).sample(40_000)["row"].value_counts()
    assert len(counts) == 20 and (counts - 2_000).abs().max() < 5 * np.sqrt(2_000)


def test_a_condition_that_one_row_satisfies_gives_that_row():
    table = mixed(2_000).assign(rare=["rare", *["frequent"] * 1_999])
    sample = Bootstrap().fit(table).sample(30, {"rare": "rare"})
    assert set(rows(sample)) == {rows(table)[0]}


def test_conditions_that_no_row_satisfies_are_refused():
    table = pd.DataFrame({"size": ["large", "small"] * 10, "weight": [9.0, 1.0] * 9 + [8.5, 2.5]})
    with pytest.raises(BadRequest, match="none of the real table's 20 rows has size = 'large', weight = \\(1, 3\\)"):
        Bootstrap().fit(table).sample(5, {"size": "large", "weight": (1, 3)})


def test_the_file_holds_all_rows(tmp_path):
    Bootstrap().fit(mixed()).save(tmp_path / "rows.safetensors")
    assert set(rows(Generator.load(tmp_path / "rows.safetensors").sample(5_000))) == set(rows(mixed()))

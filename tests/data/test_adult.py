"""Adult, from a table of a few people."""

import pytest

from expunge.data import available, load
from expunge.errors import BadFile

HEADER = " sex, hours-per-week,age, income"


def test_people_are_read_by_either_name_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    (tmp_path / "tabular").mkdir()
    assert not available("adult")
    with pytest.raises(BadFile, match=r"adult\.csv or income_evaluation\.csv"):
        load("adult")
    people = [f" {('Male', 'Female')[row % 2]},{30 + row},{20 + row}, {('<=50K', '>50K')[row % 3 == 0]}" for row in range(30)]
    (tmp_path / "tabular" / "income_evaluation.csv").write_text("\n".join([HEADER, *people]) + "\n")
    source = load("adult")
    assert (source.name, source.classes, len(source.train), len(source.holdout)) == ("adult", ("<=50K", ">50K"), 24, 6)
    assert "A sample of Adult" in source.note and available("adult")

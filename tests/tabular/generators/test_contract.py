"""What every generator must do. A new one needs nothing here, unless its training must be made short."""

import json
from dataclasses import fields
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.storage import read_weights, write_weights
from expunge.tabular import GENERATORS, Generator, TableSchema
from expunge.tabular.coded import code
from tabular.mixed import CATEGORICAL, mixed

SHORT = {"epochs": 2, "steps": 20, "timesteps": 20, "sampling_steps": 5}
EVERY = pytest.mark.parametrize("name", list(GENERATORS))


def new(name):
    """A generator that is quickly trained."""
    cls = GENERATORS[name]
    return cls(**{field.name: SHORT[field.name] for field in fields(cls) if field.name in SHORT})


@cache
def fitted(name):
    return new(name).fit(mixed(), Engine(progress=False), categorical=CATEGORICAL)


def categories(values):
    return set(values.dropna())


@EVERY
def test_samples_have_the_columns_and_types_of_the_real_table(name):
    real, sample = mixed(), fitted(name).sample(300, seed=1)
    assert list(sample) == list(real) and len(sample) == 300
    for column in ("height", "income", "weight", "grade", "member", "seen"):
        assert sample[column].dtype.kind == real[column].dtype.kind, column
    assert sample["born"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
    assert sample["nothing"].isna().all()
    assert sample["name"].nunique() == 300


@EVERY
def test_samples_have_no_value_outside_of_the_real_table(name):
    real, sample = mixed(), fitted(name).sample(500, seed=1)
    for column in ("city", "grade", "member"):
        assert categories(sample[column]) <= categories(real[column])
    for column in ("height", "income", "weight", "born", "seen"):
        assert sample[column].dropna().min() >= real[column].dropna().min()
        assert sample[column].dropna().max() <= real[column].dropna().max()
    assert not sample[["height", "income", "grade", "member", "born"]].isna().any(axis=None)
    assert np.allclose(sample["weight"].dropna(), sample["weight"].dropna().round(1), atol=1e-9)


@EVERY
def test_the_same_seed_gives_the_same_rows_and_another_others(name):
    first, second, third = (fitted(name).sample(50, seed=seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(first, second)
    assert not first.drop(columns="name").equals(third.drop(columns="name"))


@EVERY
def test_the_same_engine_seed_gives_the_same_generator(name):
    again = new(name).fit(mixed(), Engine(progress=False), categorical=CATEGORICAL)
    pd.testing.assert_frame_equal(again.sample(50), fitted(name).sample(50))


@EVERY
def test_nobodys_random_state_is_moved_and_the_real_table_stays(name):
    torch.manual_seed(0)
    np.random.seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    real = mixed()
    new(name).fit(real, Engine(progress=False)).sample(20)
    pd.testing.assert_frame_equal(real, mixed())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


@EVERY
def test_a_file_gives_the_generator_back(name, tmp_path):
    path = tmp_path / "generator.safetensors"
    fitted(name).save(path)
    for kind in (Generator, GENERATORS[name]):
        found = kind.load(path)
        assert type(found) is GENERATORS[name] and found == fitted(name) and found.schema == fitted(name).schema
        pd.testing.assert_frame_equal(found.sample(60, seed=2), fitted(name).sample(60, seed=2))
    some = found.sample(20, {"city": "Oslo"}, seed=3)
    pd.testing.assert_frame_equal(some, fitted(name).sample(20, {"city": "Oslo"}, seed=3))


@EVERY
def test_files_are_safetensors_with_json(name, tmp_path):
    path = tmp_path / "generator.safetensors"
    fitted(name).save(path)
    start = path.read_bytes()[:9]
    assert start[8:] == b"{" and not start.startswith((b"\x80", b"PK"))
    assert json.loads(read_weights(path)[1]["expunge"])["generator"] == name


@EVERY
def test_a_file_of_another_generator_or_without_tensors_is_refused(name, tmp_path):
    path = tmp_path / "generator.safetensors"
    fitted(name).save(path)
    other = next(cls for cls in GENERATORS.values() if cls.name != name)
    with pytest.raises(BadFile, match=f"holds {name}, not {other.name}"):
        other.load(path)
    write_weights(path, {"foreign": torch.zeros(1)}, read_weights(path)[1])
    with pytest.raises(BadFile, match="no generator that expunge wrote"):
        Generator.load(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"layer": torch.zeros(2)})
    with pytest.raises(BadFile, match="no generator that expunge wrote"):
        Generator.load(path)
    path.write_bytes(b"\x80\x04. a pickle")
    with pytest.raises(BadFile, match="pickle"):
        Generator.load(path)
    with pytest.raises(BadFile, match="not found"):
        Generator.load(tmp_path / "nothing")


@EVERY
@pytest.mark.parametrize("wanted", ["Oslo", "New Delhi", ["Bern", "Oslo"], [None, "Oslo"]])
def test_categories_can_be_set(name, wanted):
    found = fitted(name).sample(30, {"city": wanted}, seed=1)["city"]
    wanted = wanted if isinstance(wanted, list) else [wanted]
    assert set(found.where(found.notna(), None)) <= set(wanted) and len(found) == 30


@EVERY
def test_a_gap_can_be_set(name):
    real = mixed()
    for column in ("city", "weight"):
        half_gaps = real.assign(**{column: real[column].where(np.arange(200) % 2 == 0)})
        found = new(name).fit(half_gaps, Engine(progress=False)).sample(30, {column: None}, seed=1)
        assert found[column].isna().all() and len(found) == 30


@EVERY
def test_ranges_can_be_set(name):
    found = fitted(name).sample(40, {"height": (160, 180.0), "weight": (50, 90)}, seed=1)
    assert found["height"].between(160, 180).all() and found["weight"].between(50, 90).all() and len(found) == 40
    assert (fitted(name).sample(10, {"height": (165, np.inf)})["height"] >= 165).all()


@EVERY
def test_a_range_of_dates_can_be_set(name):
    found = fitted(name).sample(20, {"born": ("1975-06-01", "1995-01-01"), "seen": ("2024-01-15", "2024-12-31T12:00")}, seed=1)
    assert found["born"].between("1975-06-01", "1995-01-01").all()
    assert found["seen"].between(pd.Timestamp("2024-01-15"), pd.Timestamp("2024-12-31T12:00")).all()


@EVERY
def test_a_frequent_number_and_a_category_can_be_set_together(name):
    found = fitted(name).sample(20, {"income": (0, 2_500), "grade": [5, 6.0], "member": False}, seed=1)
    assert found["income"].between(0, 2_500).all() and set(found["grade"]) <= {5, 6} and not found["member"].any()


@EVERY
@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({"age": 3}, "no column 'age'"),
        ({"name": "person 1"}, "no column 'name'"),
        ({"nothing": None}, "no column 'nothing'"),
        ({"city": "Rome"}, "no value 'Rome'"),
        ({"city": ["Bern", "Rome"]}, "no value 'Rome'"),
        ({"member": None}, "no value None"),
        ({"height": None}, "no gap"),
        ({"height": (180, 160)}, "can't be"),
        ({"height": "tall"}, "can't be 'tall'"),
        ({"height": (500, 600)}, "never"),
        ({"born": ("1900-01-01", "1901-01-01")}, "never"),
        ({"born": "yesterday"}, "can't be 'yesterday'"),
    ],
)
def test_what_never_occurs_is_refused(name, conditions, said):
    with pytest.raises(BadRequest, match=said):
        fitted(name).sample(5, conditions)


@EVERY
def test_wrong_calls_are_refused(name, tmp_path):
    with pytest.raises(BadSetting, match="not fitted yet"):
        new(name).sample(5)
    with pytest.raises(BadSetting, match="not fitted yet"):
        new(name).save(tmp_path / "generator.safetensors")
    for count in (0, -3):
        with pytest.raises(BadSetting, match=f"at least 1 row, not {count}"):
            fitted(name).sample(count)
    with pytest.raises(BadFile, match="at least 10"):
        new(name).fit(mixed(9))
    with pytest.raises(BadFile, match="no column that can be learned"):
        new(name).fit(mixed()[["name", "nothing"]])
    with pytest.raises(BadFile, match="'Rome' that the schema doesn't know"):
        new(name).fit(mixed().replace({"city": {"Oslo": "Rome"}}), schema=TableSchema.infer(mixed()))


@EVERY
@pytest.mark.parametrize("columns", [["height", "income", "weight"], ["city", "grade", "member"], ["city"], ["height"]])
def test_tables_of_numbers_only_and_of_categories_only_are_learned(name, columns, tmp_path):
    generator = new(name).fit(mixed()[columns], Engine(progress=False), categorical=[*set(CATEGORICAL) & set(columns)])
    sample = generator.sample(30)
    assert list(sample) == columns and len(sample) == 30
    generator.save(tmp_path / "generator.safetensors")
    pd.testing.assert_frame_equal(Generator.load(tmp_path / "generator.safetensors").sample(30), sample)


@EVERY
def test_constant_columns_stay_constant(name):
    real = mixed().assign(year=2024, country="India", zone=["UTC"] * 200)
    sample = new(name).fit(real, Engine(progress=False), kinds={"zone": "category"}).sample(40)
    assert (sample["year"] == 2024).all() and (sample["country"] == "India").all() and (sample["zone"] == "UTC").all()


@EVERY
def test_a_second_table_makes_the_first_one_forgotten(name):
    generator = new(name).fit(mixed(), Engine(progress=False))
    other = pd.DataFrame({"colour": ["red", "blue", "green"] * 10, "size": np.arange(30) / 4})
    generator.fit(other, Engine(progress=False))
    sample = generator.sample(25)
    assert list(sample) == ["colour", "size"] and categories(sample["colour"]) <= {"red", "blue", "green"}
    pd.testing.assert_frame_equal(sample, new(name).fit(other, Engine(progress=False)).sample(25))


@EVERY
def test_a_sample_can_be_coded_by_the_schema_it_came_from(name):
    generator = fitted(name)
    coded = code(generator.sample(100), generator.schema, "the sample")
    assert coded.unknown == ((),) * 3


@EVERY
def test_it_says_what_it_is(name):
    assert len(GENERATORS[name].summary()) > 20 and GENERATORS[name].name == name


@EVERY
@pytest.mark.filterwarnings("error")
def test_a_column_may_be_empty_in_what_is_learned_of_a_table(name):
    real = mixed()
    part = real.assign(weight=np.nan, city=None, seen=pd.NaT)
    sample = new(name).fit(part, Engine(progress=False), schema=TableSchema.infer(real)).sample(30)
    assert sample[["weight", "city", "seen"]].isna().all(axis=None) and sample["height"].notna().all()


@EVERY
def test_numbers_too_large_for_a_variance_are_refused(name):
    with pytest.raises(BadFile, match="column 'height' has numbers above"):
        new(name).fit(mixed().assign(height=mixed()["height"] * 1e200))

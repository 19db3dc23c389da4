"""Hours of a transformer: windows that never cross from training to holdout, seasons that cover every hour of a window."""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.data import available, load
from expunge.data.etth import COLUMNS, ETTH1, read_hours
from expunge.errors import BadFile, BadSetting

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")


def hours(count: int = 500, start: str = "2020-11-25") -> pd.DataFrame:
    """Column k of hour t is 1000 k + t, so that every value tells where it was taken from."""
    frame = pd.DataFrame({"date": pd.date_range(start, periods=count, freq="h").strftime("%Y-%m-%d %H:%M:%S")})
    for place, name in enumerate(COLUMNS):
        frame[name] = 1000.0 * place + np.arange(count)
    return frame


def written(tmp_path, frame: pd.DataFrame, name: str = "ETTh1.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def unscaled(source, values: torch.Tensor) -> np.ndarray:
    return values.numpy() * source.target.scale + source.target.mean


def test_a_target_is_the_day_that_follows_the_week(tmp_path):
    source = read_hours(written(tmp_path, hours()), train_hours=250)
    assert source.train.inputs.shape == (20, 168, 5) and source.train.targets.shape == (20, 24)
    assert source.train.inputs.dtype == source.train.targets.dtype == torch.float32
    assert (source.input_shape, source.classes, source.target.name, source.target.unit) == ((168, 5), (), "OT", "°C")
    for part, first in ((source.train, 0), (source.holdout, 250)):
        for row in (0, 1, len(part) - 1):
            start = first + 3 * row
            assert np.allclose(unscaled(source, part.inputs[row, :, 0]), 6000 + start + np.arange(168), atol=0.01)
            assert np.allclose(unscaled(source, part.targets[row]), 6000 + start + 168 + np.arange(24), atol=0.01)


def test_the_loads_come_last_and_only_when_asked_for(tmp_path):
    frame = hours()
    for power, name in enumerate(COLUMNS, start=1):
        frame[name] = (np.arange(500) / 100) ** power  # no column is another one scaled
    path = written(tmp_path, frame)
    short, full = read_hours(path, train_hours=250), read_hours(path, train_hours=250, loads=True)
    assert short.input_shape == ETTH1.shape and full.input_shape == (168, 11)
    for one, other in ((short.train, full.train), (short.holdout, full.holdout)):
        assert torch.equal(one.inputs, other.inputs[:, :, :5]) and torch.equal(one.targets, other.targets)
    training = frame[list(COLUMNS[:6])].to_numpy()[:250]
    expected = (training[:168] - training.mean(0)) / training.std(0)
    assert np.allclose(full.train.inputs[0, :, 5:], expected, atol=1e-5)


def test_scaling_is_by_the_training_hours_alone(tmp_path):
    frame = hours()
    source = read_hours(written(tmp_path, frame), train_hours=250, loads=True)
    assert source.target.mean == pytest.approx(6000 + 249 / 2)
    assert source.target.scale == pytest.approx(np.sqrt((250**2 - 1) / 12))  # of 250 numbers in a row
    frame.loc[250:, list(COLUMNS)] = 1e5
    other = read_hours(written(tmp_path, frame), train_hours=250, loads=True)
    assert torch.equal(source.train.inputs, other.train.inputs) and source.target == other.target


@pytest.mark.parametrize(("stride", "expected"), [(1, (59, 59)), (3, (20, 20)), (58, (2, 2)), (59, (1, 1))])
def test_windows_lie_wholly_in_their_part(tmp_path, stride, expected):
    source = read_hours(written(tmp_path, hours()), train_hours=250, stride=stride)
    assert (len(source.train), len(source.holdout)) == expected
    assert unscaled(source, source.train.targets).max() < 6250 - 0.5
    assert unscaled(source, source.holdout.inputs[:, :, 0]).min() > 6250 - 0.5


def test_the_calendar_is_told_as_angles(tmp_path):
    inputs = read_hours(written(tmp_path, hours(start="2021-01-01")), train_hours=250).train.inputs[0]
    sine, cosine, day_sine, day_cosine = inputs[:, 1:].T
    assert torch.allclose(sine[[0, 6, 12, 18, 24]], torch.tensor([0.0, 1, 0, -1, 0]), atol=1e-6)
    assert torch.allclose(cosine[[0, 6, 12, 18, 24]], torch.tensor([1.0, 0, -1, 0, 1]), atol=1e-6)
    assert day_sine[0] == 0 and torch.allclose(day_sine[24 * 2], torch.tensor(4 * np.pi / 365.25).sin())
    assert torch.allclose(day_sine**2 + day_cosine**2, torch.ones(168))


def test_a_season_is_named_for_every_hour_that_a_window_holds(tmp_path):
    # From November 25th, December begins at hour 144: the windows that start at 0 hold hours of it in input and target.
    source = read_hours(written(tmp_path, hours()), train_hours=250)
    columns = source.train.columns
    assert columns["start"][:2].tolist() == ["2020-12-02T00:00", "2020-12-02T03:00"]
    assert set(columns["season"]) == {"winter"} and set(columns["winter"]) == {"yes"}
    assert set(columns["autumn"]) == {"yes"}  # the last window starts at hour 57 of November
    assert set(columns["spring"]) == set(columns["summer"]) == {"no"}
    assert set(source.holdout.columns["autumn"]) == {"no"}


@pytest.mark.parametrize(("before", "expected"), [(191, "yes"), (192, "no")])
def test_one_hour_of_winter_is_enough(tmp_path, before, expected):
    start = pd.Timestamp("2020-12-01") - pd.Timedelta(hours=before)
    source = read_hours(written(tmp_path, hours(start=str(start))), train_hours=250)
    assert source.train.columns["winter"][0] == expected and source.train.columns["season"][0] == "autumn"


@pytest.mark.parametrize(
    ("month", "season"),
    [(1, "winter"), (2, "winter"), (3, "spring"), (5, "spring"), (6, "summer"), (8, "summer"), (9, "autumn"), (12, "winter")],
)
def test_seasons_follow_the_months(tmp_path, month, season):
    source = read_hours(written(tmp_path, hours(start=f"2021-{month:02}-01")), train_hours=250)
    assert source.train.columns["season"][0] == season and source.train.columns[season][0] == "yes"


def test_a_load_that_never_changes_is_no_trouble(tmp_path):
    frame = hours()
    frame["HUFL"] = 5.0
    source = read_hours(written(tmp_path, frame), train_hours=250, loads=True)
    assert source.train.inputs[:, :, 5].unique().tolist() == [0]


def break_at(row: int, name: str, value: object):
    def broken(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype(object)
        frame.loc[row, name] = value
        return frame

    return broken


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame.drop(columns="LULL"), "has no column LULL; expected date, HUFL, HULL, MUFL, MULL, LUFL, LULL, OT"),
        (
            lambda frame: frame.drop(index=7),
            "the hour 2020-11-25 06:00:00 is followed by 2020-11-25 08:00:00; expected one line",
        ),
        (break_at(9, "date", "soon"), "the hour 2020-11-25 08:00:00 is followed by soon"),
        (break_at(0, "date", "soon"), "the hour soon is followed by 2020-11-25 01:00:00"),
        (break_at(9, "OT", "warm"), "2020-11-25 09:00:00: OT is warm; expected a finite number"),
        (break_at(9, "HULL", np.nan), "2020-11-25 09:00:00: HULL is nan"),
        (lambda frame: frame[:441], "has 441 hours; expected at least 442: 250 to train on and a window of 192 to hold out"),
        (break_at(slice(None), "OT", 3.0), "OT is 3 in all training hours; expected values that differ"),
        (lambda frame: frame.iloc[:0, :0], "cannot be read: "),
    ],
)
def test_a_damaged_file_says_where(tmp_path, damage, message):
    path = written(tmp_path, damage(hours()))
    with pytest.raises(BadFile, match=message) as raised:
        read_hours(path, train_hours=250)
    assert str(path) in str(raised.value)


def test_a_stride_is_at_least_an_hour(tmp_path):
    with pytest.raises(BadSetting, match="stride must be at least 1 hour, not 0"):
        read_hours(tmp_path / "ETTh1.csv", stride=0)


def test_it_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    (tmp_path / "ettsmall").mkdir()
    written(tmp_path / "ettsmall", hours(8760 + 192), "ETTh2.csv")
    source = load("etth2", train=10)
    assert (source.name, len(source.train), len(source.holdout)) == ("etth2", 10, 1)
    assert available("etth2") and not available("etth1")
    with pytest.raises(BadFile, match=r"ETTh1: file ETTh1\.csv was looked for in .*ettsmall; the owners publish it at github"):
        load("etth1")


@pytest.mark.data
@real_data
def test_the_real_transformer():
    source = load("etth1")
    assert (len(source.train), len(source.holdout), source.input_shape) == (2_857, 2_823, (168, 5))
    assert source.train.columns["start"][[0, -1]].tolist() == ["2016-07-08T00:00", "2017-06-30T00:00"]
    assert source.holdout.columns["start"][0] == "2017-07-08T00:00"
    assert unscaled(source, source.train.inputs[0, 0, 0]) == pytest.approx(30.531, abs=1e-3)  # the first hour of the file
    seen = source.train.columns["season"] == "winter"
    assert set(source.train.columns["winter"][seen]) == {"yes"} and (source.train.columns["winter"] == "yes").sum() > seen.sum()

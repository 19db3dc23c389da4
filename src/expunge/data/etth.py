"""ETTh1 and ETTh2: two years of hourly loads and oil temperature of an electricity transformer, to forecast a day from a week.

A row is a window of hours: the model reads 168 hours of the oil temperature `OT` and of the calendar, and forecasts `OT` of
the 24 hours that follow. The first year (8,760 hours) is trained on, the rest is held out; every window lies wholly inside
its part, so no hour is in both.

The six loads are left out unless asked for. How they go with the temperature does not last: what a network learns of them in
one part of the record misleads it in a later one, which is seen inside the training year already.

Source: H. Zhou, S. Zhang, J. Peng, S. Zhang, J. Li, H. Xiong, W. Zhang. "Informer: Beyond Efficient Transformer for Long
Sequence Time-Series Forecasting", AAAI 2021, arXiv 2012.07436.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from expunge.data.published import PublicSet, missing, read_failed
from expunge.data.records import Records, Source, Target
from expunge.errors import BadFile, BadSetting

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

# The folder of both is named after their repository.
ETTH1, ETTH2 = (
    PublicSet("ettsmall", title, "github.com/zhouhaoyi/ETDataset (ETT-small)", (), (168, 5), (2857, 2823))
    for title in ("ETTh1", "ETTh2")
)
LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")
TARGET = "OT"
COLUMNS = (*LOADS, TARGET)
TRAIN_HOURS = 8760  # twelve months of 2016 and 2017
INPUT_HOURS = 168
TARGET_HOURS = 24
STRIDE = 3
SEASONS = ("winter", "spring", "summer", "autumn")


def find_files(folder: Path, public: PublicSet = ETTH1) -> Path:
    """The path of the file.

    Raises:
        BadFile: if it is not there.
    """
    path = folder / f"{public.title}.csv"
    if not path.is_file():
        raise missing(public, path.name, folder)
    return path


def read_source(folder: Path, public: PublicSet = ETTH1) -> Source:
    """Read the file of one set in a folder, as :func:`read_hours` does.

    Raises:
        BadFile: if the file is missing or not what it should be.
    """
    return read_hours(find_files(folder, public), public.title.lower())


def read_hours(
    path: Path, name: str | None = None, stride: int = STRIDE, train_hours: int = TRAIN_HOURS, loads: bool = False
) -> Source:
    """Cut the hours of a file into windows.

    Inputs have shape (n, 168, 5), float32: `OT` standardised by the training hours, then sine and cosine of the hour of the
    day and of the day of the year; with `loads` (n, 168, 11), the six loads last, standardised too. Targets have shape
    (n, 24), float32, standardised as channel 0 is.

    The columns are `start` (ISO time of the first hour of the target), `season` of that hour (winter is December to February,
    spring March to May, and so on), and one for each season, `winter` to `autumn`: "yes" where any hour of the window, be it
    of the input or of the target, lies in that season. So a request for `winter` = yes removes every window that saw winter.
    Neighbouring windows share hours: to take out an hour, all windows that hold it must go.

    Args:
        path: CSV with the columns `date`, one hour a line without gaps, and :data:`COLUMNS`.
        name: what reports call the data; the name of the file when None.
        stride: hours from the start of one window to the start of the next.
        train_hours: the first so many hours are trained on, the rest is held out.
        loads: whether the model reads :data:`LOADS` as well.

    Raises:
        BadFile: if the file is not such a file, or has too few hours for a window in both parts.
        BadSetting: if `stride` is not at least 1.
    """
    if stride < 1:
        raise BadSetting(f"stride must be at least 1 hour, not {stride}")
    times, values = _read(path)
    window = INPUT_HOURS + TARGET_HOURS
    if min(train_hours, len(values) - train_hours) < window:
        raise BadFile(
            f"{path} has {len(values):,} hours; expected at least {train_hours + window:,}: "
            f"{train_hours:,} to train on and a window of {window} to hold out"
        )
    mean, scale = values[:train_hours].mean(0), values[:train_hours].std(0)
    varies = np.ptp(values[:train_hours], axis=0) > 0
    if not varies[-1]:
        raise BadFile(f"{path}: {TARGET} is {mean[-1]:g} in all training hours; expected values that differ")
    scaling = Target(TARGET, float(mean[-1]), float(scale[-1]), "°C")
    values = (values - mean) / np.where(varies, scale, 1)
    channels = [values[:, -1:], _calendar(times)] + ([values[:, :-1]] if loads else [])
    hours = np.concatenate(channels, axis=1).astype(np.float32)
    starts = [np.arange(first, last - window + 1, stride) for first, last in ((0, train_hours), (train_hours, len(values)))]
    parts = [_windows(hours, times, part) for part in starts]
    note = (
        f"Windows of {INPUT_HOURS} + {TARGET_HOURS} hours, one every {stride} hours; the first {train_hours:,} hours are "
        f"trained on, the other {len(values) - train_hours:,} held out. Neighbouring windows share hours."
    )
    return Source(name or path.stem, parts[0], parts[1], (), note, tuple(parts[0].inputs.shape[1:]), scaling)


def _read(path: Path) -> tuple["pd.DatetimeIndex", np.ndarray]:
    """The time of each hour, and its values in the order of :data:`COLUMNS`, the target last: shape (hours, 7)."""
    import pandas as pd  # half a second's import

    try:
        frame = pd.read_csv(path, index_col=False)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise read_failed(path, error) from error
    if absent := [name for name in ("date", *COLUMNS) if name not in frame]:
        raise BadFile(f"{path} has no column {absent[0]}; expected date, {', '.join(COLUMNS)}")
    times = pd.to_datetime(frame["date"], format="ISO8601", errors="coerce")
    steps = np.flatnonzero(times.diff()[1:] != pd.Timedelta(hours=1))
    if len(steps):
        before, after = frame["date"][steps[0]], frame["date"][steps[0] + 1]
        raise BadFile(f"{path}: the hour {before} is followed by {after}; expected one line for every hour")
    values = frame[list(COLUMNS)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    rows, places = np.nonzero(~np.isfinite(values))
    if len(rows):
        name = COLUMNS[places[0]]
        raise BadFile(f"{path}, {frame['date'][rows[0]]}: {name} is {frame[name][rows[0]]}; expected a finite number")
    return pd.DatetimeIndex(times), values


def _calendar(times: "pd.DatetimeIndex") -> np.ndarray:
    """Hour of the day and day of the year as angles: shape (hours, 4) of sine and cosine of each."""
    angles = [np.asarray(times.hour) / 24, (np.asarray(times.day_of_year) - 1) / 365.25]
    return np.stack([function(2 * math.pi * angle) for angle in angles for function in (np.sin, np.cos)], axis=1)


def _windows(hours: np.ndarray, times: "pd.DatetimeIndex", starts: np.ndarray) -> Records:
    reach = starts[:, None] + np.arange(INPUT_HOURS + TARGET_HOURS)
    season = np.asarray(times.month) % 12 // 3  # December, January and February are 0
    first = starts + INPUT_HOURS
    columns = {
        "start": np.asarray(times[first].strftime("%Y-%m-%dT%H:%M"), dtype=str),
        "season": np.array(SEASONS)[season[first]],
    }
    for index, name in enumerate(SEASONS):
        columns[name] = np.where((season[reach] == index).any(axis=1), "yes", "no")
    inputs, targets = hours[reach[:, :INPUT_HOURS]], hours[reach[:, INPUT_HOURS:], 0]
    return Records(torch.from_numpy(inputs), torch.from_numpy(targets), columns)

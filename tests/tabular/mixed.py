"""A small table with a column of every kind, whose columns hang together."""

import numpy as np
import pandas as pd


def mixed(n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Height, whole and 0-inflated numbers, gaps in numbers, categories and dates, names, and an empty column."""
    draw = np.random.default_rng(seed)
    height = draw.normal(170, 10, n)
    income = np.where(draw.random(n) < 0.6, 0, draw.integers(1, 5_000, n))
    weight = (0.9 * (height - 100) + draw.normal(0, 5, n)).round(1)
    weight[draw.random(n) < 0.15] = np.nan
    city = np.array(["Bern", "New Delhi", "Oslo"], dtype=object)[np.digitize(height + draw.normal(0, 5, n), [163, 176])]
    city[draw.random(n) < 0.1] = None
    born = np.datetime64("1970-01-01") + draw.integers(0, 12_000, n).astype("timedelta64[D]")
    seen = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 10**7, n), unit="s"))
    return pd.DataFrame(
        {
            "name": [f"person {row}" for row in range(n)],
            "height": height.round(2),
            "income": income,
            "weight": weight,
            "city": city,
            "grade": draw.choice([4, 5, 6], n, p=[0.2, 0.5, 0.3]),
            "member": draw.random(n) < 0.3,
            "born": born.astype(str),
            "seen": seen.mask(draw.random(n) < 0.05),
            "nothing": np.full(n, np.nan),
        }
    )


CATEGORICAL = ("grade",)

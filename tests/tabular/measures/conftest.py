"""Tables drawn from a known population, and their coding by the first one's schema."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.coded import Coded, code
from expunge.tabular.schema import TableSchema

JOBS = np.array(["clerk", "cook", "driver", "nurse", "smith", "tailor"])


def people(n: int, seed: int) -> pd.DataFrame:
    """Persons: numbers and categories that depend on one another, with gaps in both."""
    generator = np.random.default_rng(seed)
    skill = generator.normal(size=n)
    age = np.round(40 + 8 * skill + 6 * generator.normal(size=n))
    pay = np.round(np.exp(0.6 * skill + 0.3 * generator.normal(size=n)) * 2000, 2)
    job = JOBS[np.clip(np.round(2.5 + 1.5 * skill + 0.7 * generator.normal(size=n)), 0, 5).astype(int)].astype(object)
    rich = np.where(pay + 400 * generator.normal(size=n) > 2300, "yes", "no")
    town = np.array(["north", "south", "west"])[generator.choice(3, n, p=[0.6, 0.3, 0.1])]
    table = pd.DataFrame(
        {"age": age, "job": job, "pay": pay, "town": town, "height": generator.normal(170, 9, n), "rich": rich}
    )
    table.loc[generator.random(n) < 0.05, "height"] = np.nan
    table.loc[generator.random(n) < 0.05, "job"] = None
    table["height"] = table["height"].round(1)
    return table


def tables(*frames: pd.DataFrame, categorical: tuple[str, ...] = ()) -> tuple[Coded, ...]:
    """All coded by the schema of the first."""
    schema = TableSchema.infer(frames[0], categorical)
    return tuple(code(each, schema, "the table") for each in frames)


@pytest.fixture(scope="session")
def draw() -> Callable[[int, int], pd.DataFrame]:
    return people


@pytest.fixture(scope="session")
def coded() -> Callable[..., tuple[Coded, ...]]:
    return tables


@pytest.fixture(scope="session")
def shuffled() -> Callable[[pd.DataFrame, int], pd.DataFrame]:
    """Each column in an order of its own: no column changed, no dependence left."""

    def shuffle(table: pd.DataFrame, seed: int) -> pd.DataFrame:
        generator = np.random.default_rng(seed)
        return pd.DataFrame({name: table[name].to_numpy()[generator.permutation(len(table))] for name in table})

    return shuffle

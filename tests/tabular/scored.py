"""Tables for scores."""

import numpy as np
import pandas as pd


def people(count=400, seed=0):
    """Two numbers that go together, one that doesn't, categories that go with them, and a class that follows from all."""
    generator = np.random.default_rng(seed)
    age = generator.normal(40, 12, count).clip(17, 90).round()
    income = 800 * age + generator.normal(0, 6_000, count) + 5_000
    noise = generator.normal(0, 1, count)
    job = np.where(
        income > np.median(income), generator.choice(["chief", "clerk"], count), generator.choice(["clerk", "none"], count)
    )
    town = generator.choice(["north", "south"], count, p=[0.7, 0.3])
    happy = np.where(noise + (job == "chief") + 0.02 * (age - 40) + generator.normal(0, 0.5, count) > 0.4, "yes", "no")
    return pd.DataFrame({"age": age.astype(int), "income": income, "noise": noise, "job": job, "town": town, "happy": happy})


def coded_people(count=400, seed=0):
    """The same with a number for each text, as the released code wants it."""
    table = people(count, seed)
    for name in ("job", "town", "happy"):
        table[name] = np.unique(table[name], return_inverse=True)[1]
    return table


def again(table, seed=0):
    """As many rows of a table, drawn with replacement."""
    return table.sample(frac=1, replace=True, random_state=seed).reset_index(drop=True)


def shuffled(table, seed=0):
    """Each column shuffled by itself."""
    generator = np.random.default_rng(seed)
    return pd.DataFrame({name: table[name].to_numpy()[generator.permutation(len(table))] for name in table})


def uniform(table, seed=0):
    """Noise over the range of each column."""
    generator = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            name: generator.uniform(column.min(), column.max(), len(table))
            if column.dtype.kind in "if"
            else generator.choice(column.unique(), len(table))
            for name, column in table.items()
        }
    )

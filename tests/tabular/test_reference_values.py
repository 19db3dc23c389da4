"""Values of the released code, run unmodified with the libraries of its time on tables that anybody can make again."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from sklearn.model_selection import train_test_split

from expunge.data.table import read_frame
from expunge.tabular import TabSynDex

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set"),
]
ADULT = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
]
# total, basic, correlation, ml, support, pmse
EXPECTED = {
    ("concrete", "itself"): (0.966667, 1, 1, 1, 1, 0.833333),
    ("concrete", "split"): (0.931597, 0.972011, 0.808019, 0.923442, 0.992899, 0.961615),
    ("concrete", "boot"): (0.956792, 0.974659, 0.867866, 0.985347, 0.991042, 0.965048),
    ("concrete", "copula"): (0.894948, 0.979746, 0.709277, 0.868986, 0.974161, 0.942572),
    ("concrete", "shuffle"): (0.722714, 1, 0.059054, 0.721184, 1, 0.833333),
    ("concrete", "uniform"): (0.458039, 0.549350, 0.047476, 0.693371, 1, 0),
    ("concrete", "reversed"): (0.964421, 1, 1, 0.988774, 1, 0.833333),
    ("wine", "itself"): (0.966667, 1, 1, 1, 1, 0.833333),
    ("wine", "split"): (0.938150, 0.987725, 0.828367, 0.998979, 0.920666, 0.955012),
    ("wine", "boot"): (0.963051, 0.993588, 0.940247, 0.999872, 0.956952, 0.924596),
    ("wine", "copula"): (0.937100, 0.992831, 0.794340, 0.998565, 0.953204, 0.946562),
    ("wine", "shuffle"): (0.797421, 1, 0.155904, 0.997868, 1, 0.833333),
    ("wine", "uniform"): (0.459927, 0.325191, 0.097819, 0.876626, 1, 0),
    ("adult5k", "shuffle"): (0.772518, 1, 0.337408, 0.691850, 1, 0.833333),
    ("adult5k", "reversed"): (0.961456, 1, 1, 0.973946, 1, 0.833333),
}
# where the released code stops in its ML part: basic, correlation, support, pmse
WITHOUT_ML = {
    ("adult5k", "split"): (0.979175, 0.912339, 0.958159, 0.71831),
    ("adult5k", "boot"): (0.991916, 0.933356, 0.957554, 0.96785),
    ("adult5k", "copula"): (0.986498, 0.534257, 0.956502, 0.97222),
    ("adult5k", "uniform"): (0.494035, 0.326788, 1, 0),
    ("adult", "split"): (0.993628, 0.954992, 0.986822, 0.91855),
    ("adult", "boot"): (0.995736, 0.971785, 0.981724, 0.94143),
    ("adult", "copula"): (0.995446, 0.476568, 0.985816, 0.96291),
    ("adult", "shuffle"): (1, 0.221637, 1, 0.8333),
    ("adult", "uniform"): (0.510897, 0.185374, 1, 0),
}


def real_table(name):
    folder = Path(os.environ["EXPUNGE_DATA"]) / "tabular"
    if name in ("concrete", "wine"):
        return pd.read_csv(folder / {"concrete": "concrete.csv", "wine": "whitewines.csv"}[name])
    table = read_frame(folder / "adult.csv")[ADULT].reset_index(drop=True)
    for column in table:
        if table[column].dtype.kind not in "iuf":
            table[column] = np.unique(table[column].astype(str), return_inverse=True)[1]
    return table.iloc[:5000] if name == "adult5k" else table


def settings(name):
    texts = [
        "workclass",
        "education",
        "marital-status",
        "occupation",
        "relationship",
        "race",
        "sex",
        "native-country",
        "income",
    ]
    return {
        "concrete": {"categorical": [], "target": "strength", "task": "regression"},
        "wine": {"categorical": ["quality"], "target": "quality", "task": "classification"},
    }.get(name, {"categorical": texts, "target": "income", "task": "classification"})


def variant(real, name):
    count = len(real)
    if name == "split":
        return train_test_split(real, test_size=0.5, random_state=0)
    if name == "boot":
        return real, real.sample(n=count, replace=True, random_state=1)
    if name == "reversed":
        return real, real.iloc[::-1]
    if name == "shuffle":
        columns = enumerate(real)
        return real, pd.DataFrame(
            {c: real[c].to_numpy()[np.random.default_rng(100 + i).permutation(count)] for i, c in columns}
        )
    if name == "copula":
        normal = norm.ppf(np.stack([rankdata(real[column]) / (count + 1) for column in real]))
        drawn = np.random.default_rng(7).multivariate_normal(
            np.zeros(len(normal)), np.corrcoef(normal), count, method="cholesky"
        )
        shares = norm.cdf(drawn)
        quantiles = {c: np.quantile(real[c], shares[:, i], method="inverted_cdf") for i, c in enumerate(real)}
        return real, pd.DataFrame({c: values.astype(real[c].dtype) for c, values in quantiles.items()})
    if name == "uniform":
        generator = np.random.default_rng(3)
        return real, pd.DataFrame({c: uniform(real[c], generator) for c in real})
    return real, real


def uniform(column, generator):
    low, high = column.min(), column.max()
    return (
        generator.integers(low, high + 1, len(column))
        if column.dtype.kind == "i"
        else generator.uniform(low, high, len(column))
    )


@pytest.mark.parametrize(("name", "which"), EXPECTED)
def test_official_equals_the_released_code(name, which):
    found = TabSynDex(**settings(name), mode="official").score(*variant(real_table(name), which))
    total, basic, correlation, ml, support, pmse = EXPECTED[name, which]
    exact = [found.components[part] for part in ("basic", "correlation", "support")]
    assert exact == pytest.approx([basic, correlation, support], abs=1e-6)
    assert found.components["ml"] == pytest.approx(ml, abs=1e-3)
    assert found.components["pmse"] == pytest.approx(pmse, abs=5e-3)
    assert found.total == pytest.approx(total, abs=1.3e-3)


@pytest.mark.parametrize(("name", "which"), WITHOUT_ML)
def test_official_goes_on_where_the_released_code_stops(name, which):
    score = TabSynDex(**settings(name), mode="official", components=["basic", "correlation", "support", "pmse"])
    found = score.score(*variant(real_table(name), which)).components
    exact = [found[part] for part in ("basic", "correlation", "support")]
    assert exact == pytest.approx(WITHOUT_ML[name, which][:3], abs=1e-6)
    assert found["pmse"] == pytest.approx(WITHOUT_ML[name, which][3], abs=5e-3)


def test_robust_on_adult():
    real = real_table("adult5k")
    score = TabSynDex(**settings("adult"))
    reference = score.reference(real)
    assert score.score(real, real).total >= 0.999
    assert reference.split.total >= 0.9
    assert score.score(*variant(real, "uniform")).total <= 0.35
    lower = [part for part, value in reference.shuffled.components.items() if value < reference.split.components[part] - 0.3]
    assert len(lower) >= 2

"""The published formulas, against a second computation of them: one row, one pair, one bin at a time."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression

from expunge.tabular import TabSynDex
from tabular.scored import again, coded_people, shuffled, uniform

CATEGORIES = ["job", "town", "happy"]
LIGHT = ("basic", "correlation", "support", "pmse")


def relative(a, b):
    return min(abs(a - b) / abs(a + 1e-6), 1)


def slow_basic(real, fake):
    statistics = [lambda column: column.mean(), lambda column: column.median(), lambda column: column.std(ddof=0)]
    return 1 - np.mean([relative(each(real[name]), each(fake[name])) for name in real for each in statistics])


def slow_eta(groups, values):
    means = values.groupby(groups).transform("mean")
    return np.sqrt(((means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def entropy(shares):
    shares = np.asarray(shares, dtype=float).ravel()
    shares = shares[shares > 0]
    return -(shares * np.log(shares)).sum()


def slow_theil(x, y):
    joint = pd.crosstab(x, y, normalize=True).to_numpy()
    conditional = sum(joint[:, each].sum() * entropy(joint[:, each] / joint[:, each].sum()) for each in range(joint.shape[1]))
    whole = entropy(joint.sum(1))
    return (whole - conditional) / whole


def slow_association(table, x, y):
    kinds = (x in CATEGORIES, y in CATEGORIES)
    if kinds == (True, True):
        return slow_theil(table[x], table[y])
    if kinds == (False, False):
        return pearsonr(table[x], table[y])[0]
    return slow_eta(table[x if kinds[0] else y], table[y if kinds[0] else x])


def slow_correlation(real, fake):
    errors = []
    for x in real:
        for y in real:
            if x != y:
                r, s = (slow_association(table, x, y) for table in (real, fake))
                errors.append(relative(np.sign(r) * np.log(abs(r)), np.sign(s) * np.log(abs(s))))
    return 1 - np.mean(errors)


def slow_support(real, fake, beta=2.0):
    columns = []
    for name in real:
        if name in CATEGORIES:
            cells = [(real[name] == value, fake[name] == value) for value in real[name].unique()]
        else:
            cut, edges = pd.cut(real[name], 20, labels=range(20), retbins=True)
            cut_fake = pd.cut(fake[name], edges, labels=range(20))
            cells = [(cut == each, cut_fake == each) for each in range(20) if (cut == each).any()]
        ratios = [min(mine.sum() / own.sum() * len(real) / len(fake), beta) for own, mine in cells]
        columns.append(min(np.mean(ratios), 1))
    return np.mean(columns)


def slow_pmse(real, fake):
    low, width = real.min(), real.max() - real.min()
    rows = pd.concat([(real - low) / width, (fake - low) / width], ignore_index=True)
    labels = np.repeat([0, 1], [len(real), len(fake)])
    chances = LogisticRegression(max_iter=50_000, tol=1e-10).fit(rows, labels).predict_proba(rows)[:, 1]
    share = labels.mean()
    expected = rows.shape[1] * (1 - share) ** 2 * share / len(rows)
    return 1.2 ** -abs(1 - np.mean((chances - share) ** 2) / expected)


def variants():
    real = coded_people()
    half = real.iloc[::2].reset_index(drop=True)
    return {
        "again": again(real),
        "shuffled": shuffled(real),
        "uniform": uniform(real),
        "half": half,
        "double": pd.concat([real] * 2),
    }


@pytest.mark.parametrize("name", variants())
@pytest.mark.parametrize("mode", ["official", "paper"])
def test_parts_are_those_of_a_second_computation(name, mode):
    real, fake = coded_people(), variants()[name]
    if name == "uniform":
        fake[CATEGORIES] = fake[CATEGORIES].round().astype(int)
    found = TabSynDex(CATEGORIES, mode=mode, components=LIGHT).score(real, fake).components
    assert found["basic"] == pytest.approx(slow_basic(real, fake), abs=1e-9)
    assert found["correlation"] == pytest.approx(slow_correlation(real, fake), abs=1e-9)
    assert found["support"] == pytest.approx(slow_support(real, fake), abs=1e-9)
    if mode == "official":
        assert found["pmse"] == pytest.approx(slow_pmse(real, fake), abs=1e-3)


def test_a_table_beside_itself_scores_five_sixths_in_pmse_alone():
    real = coded_people()
    found = TabSynDex(CATEGORIES, target="happy", mode="official").score(real, real)
    assert found.components == pytest.approx({"basic": 1, "correlation": 1, "ml": 1, "support": 1, "pmse": 1 / 1.2}, abs=1e-6)


def test_a_constant_column_takes_all_correlations_from_official_alone():
    real = coded_people().assign(flat=3.0)
    official, paper = (
        TabSynDex(CATEGORIES, mode=mode, components=["correlation"]).score(real, real) for mode in ("official", "paper")
    )
    assert official.total == 0 and any("exactly 0" in warning for warning in official.warnings)
    assert paper.total == pytest.approx(1)


def test_labels_swapped_by_the_order_of_rows_are_a_fault_that_can_be_mended():
    real = coded_people()
    other = real.sort_values("happy", ascending=real["happy"].iloc[0] == 1, ignore_index=True)  # another label comes first
    score = TabSynDex(CATEGORIES, target="happy", task="classification", mode="official", components=["ml"])
    mended = TabSynDex(
        CATEGORIES, target="happy", task="classification", mode="official", components=["ml"], defects=["target"]
    )
    assert score.score(real, other).total < 0.5
    assert mended.score(real, other).total > 0.9


def test_the_last_dummy_is_predicted_for_a_target_of_three_unless_that_is_mended():
    real = coded_people()[["age", "income", "noise", "town", "happy", "job"]]
    fake = shuffled(real)
    wrong = TabSynDex(CATEGORIES, target="job", task="classification", mode="official", components=["ml"])
    right = TabSynDex(CATEGORIES, target="job", task="classification", mode="official", components=["ml"], defects=[])
    assert wrong.score(real, fake).total > 0.88  # the other dummies tell it
    assert right.score(real, fake).total < 0.7


def test_a_lost_category_stops_the_released_code_and_is_said():
    real = coded_people()
    fake = real[real["job"] != 2].reset_index(drop=True)
    found = TabSynDex(CATEGORIES, target="happy", mode="official").score(real, fake)
    assert found.components["ml"] is not None
    assert any("stops here" in warning for warning in found.warnings)
    assert any("'job' lost 1" in warning for warning in found.warnings)


def test_alpha_is_the_base_and_beta_the_cap():
    real, fake = coded_people(), again(coded_people())
    ratio = -np.log(TabSynDex(CATEGORIES, mode="official", components=["pmse"]).score(real, fake).total) / np.log(1.2)
    found = TabSynDex(CATEGORIES, mode="official", components=["pmse"], alpha=3.0).score(real, fake).total
    assert found == pytest.approx(3.0**-ratio)
    capped = TabSynDex(CATEGORIES, mode="official", components=["support"], beta=1.0).score(real, fake).total
    assert capped == pytest.approx(slow_support(real, fake, beta=1.0)) and capped < slow_support(real, fake)

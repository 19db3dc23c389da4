"""The verdict: copies are caught, whole or in part, and honest tables aren't, whatever the seed."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from expunge.tabular.measures.privacy import privacy

SEEDS = range(4)
HOLDOUT = pytest.mark.parametrize("held_out", [True, False], ids=["holdout", "no holdout"])


def perturbed(table: pd.DataFrame, seed: int, noise: float = 0.002) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    return table.assign(
        **{
            name: table[name] + noise * table[name].std() * generator.normal(size=len(table))
            for name in ("age", "pay", "height")
        }
    )


def copula(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A Gaussian copula with the marginals of the table, which are real values, put together anew."""
    generator = np.random.default_rng(seed)
    ranks = table.apply(lambda column: column.rank(method="first", na_option="top"))
    made = generator.multivariate_normal(np.zeros(table.shape[1]), ranks.corr(), len(table))
    places = made.argsort(0).argsort(0)
    return pd.DataFrame(
        {name: table[name].sort_values(na_position="first").to_numpy()[places[:, place]] for place, name in enumerate(table)}
    )


HONEST = {
    "new rows": lambda real, draw, seed: draw(len(real), 1000 + seed),
    "copula": lambda real, draw, seed: copula(real, seed),
    "typical rows": lambda real, draw, seed: real.assign(
        **{name: real[name].mean() + 0.2 * (copula(real, seed)[name] - real[name].mean()) for name in ("age", "pay", "height")},
        town="north",
    ),
    "twenty rows, again and again": lambda real, draw, seed: draw(20, 3000 + seed).sample(
        len(real), replace=True, random_state=0
    ),
    "few of them": lambda real, draw, seed: draw(60, 2000 + seed),
}
COPIES = {
    "itself": lambda real, draw, seed: real.sample(frac=1, random_state=seed),
    "bootstrap": lambda real, draw, seed: real.sample(frac=1, replace=True, random_state=seed),
    "a tenth, among new rows": lambda real, draw, seed: pd.concat(
        [real.sample(frac=0.1, random_state=seed), draw(len(real), 1000 + seed)[: int(0.9 * len(real))]]
    ),
    "a tenth, in a copula": lambda real, draw, seed: pd.concat(
        [real.sample(frac=0.1, random_state=seed), copula(real, seed)[: int(0.9 * len(real))]]
    ),
    "perturbed": lambda real, draw, seed: perturbed(real, seed),
    "perturbed bootstrap": lambda real, draw, seed: perturbed(real.sample(frac=1, replace=True, random_state=seed), seed),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", HONEST)
def test_honest_tables_are_not_accused(draw, coded, kind, seed):
    real = draw(400, seed)
    three = coded(real, HONEST[kind](real, draw, seed), draw(400, 500 + seed))
    found = privacy(*three)
    assert found.reasons == () and not found.is_copy
    assert "no guarantee" in found.verdict
    # far from the 4 deviations that accuse
    assert max(found.matches.rare.deviations, found.records.near_copies.deviations, found.records.nearer.deviations) < 3.2
    assert not privacy(*three[:2]).is_copy


@HOLDOUT
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", COPIES)
def test_copies_are_caught(draw, coded, kind, seed, held_out):
    real = draw(400, seed)
    three = coded(real, COPIES[kind](real, draw, seed), draw(400, 500 + seed))
    found = privacy(*three[: 2 + held_out])
    assert found.is_copy
    # more than enough deviations for one of the measures
    assert max(found.matches.rare.deviations, found.records.near_copies.deviations) > 5
    whole = "tenth" not in kind
    assert found.verdict.startswith("The table is a copy" if whole else "The table holds rows of the real table")
    assert "no praise" in found.verdict and found.reasons[0] in found.verdict


def test_copies_in_a_larger_table_are_caught_by_their_share(draw, coded):
    real, holdout = draw(1500, 0), draw(1500, 1)
    found = privacy(*coded(real, perturbed(real, 2, noise=0.1), holdout))
    assert any("nearer to the real table than to the holdout" in reason for reason in found.reasons)
    assert any("An attacker tells who was in" in reason for reason in found.reasons)


def test_a_table_of_few_possible_rows_is_not_accused(coded):
    generator = np.random.default_rng(0)
    real, new = (pd.DataFrame(generator.integers(0, 2, (300, 3)).astype(str), columns=list("abc")) for _ in range(2))
    for synthetic in (new, real):
        found = privacy(*coded(real, synthetic))
        assert found.matches.all.value == 1.0 and not found.is_copy


@pytest.mark.parametrize("columns", [["age", "pay", "height"], ["job", "town", "rich", "age"]])
def test_tables_of_one_kind_of_column(draw, coded, columns):
    real, fresh = draw(300, 0)[columns], draw(300, 1)[columns]
    categorical = ("age",) if "job" in columns else ()
    assert not privacy(*coded(real, fresh, categorical=categorical)).is_copy
    assert privacy(*coded(real, real, categorical=categorical)).is_copy


def test_the_more_is_copied_the_more_is_seen(draw, coded):
    real, fresh = draw(400, 0), draw(400, 1)
    shares = []
    for count in (0, 40, 120, 400):
        found = privacy(*coded(real, pd.concat([real[:count], fresh[count:]])))
        shares.append((found.matches.rare.excess, found.records.near_copies.excess))
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(shares))


def test_without_a_holdout_the_verdict_says_what_is_lacking(draw, coded):
    real, synthetic = coded(draw(60, 0), draw(60, 1))
    assert "Without a holdout much can't be seen" in privacy(real, synthetic).verdict
    assert "Without" not in privacy(real, synthetic, coded(draw(60, 0), draw(60, 2))[1]).verdict

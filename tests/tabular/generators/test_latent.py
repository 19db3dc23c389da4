"""Latent normal variables, against closed forms."""

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from expunge.tabular.generators.latent import Blocks, correlation, ordered, truncated


def latent(rho, n=40_000, seed=0):
    """Draws of two normal variables that correlate by exactly `rho`, shape (n, 2)."""
    found = np.random.default_rng(seed).standard_normal((n, 2))
    found -= found.mean(0)
    found = found @ np.linalg.inv(np.linalg.cholesky(found.T @ found / n)).T
    return found @ np.linalg.cholesky([[1, rho], [rho, 1]]).T


def test_block_means_are_those_of_the_truncated_normal_distribution():
    found = Blocks.of_numbers(np.array([1.0] * 2 + [2.0] * 5 + [9.0] * 3))
    edges = norm.ppf([0, 0.2, 0.7, 1])
    assert found.means == pytest.approx([truncnorm.mean(*edges[at : at + 2]) for at in range(3)], abs=1e-9)
    assert found.means @ found.shares == pytest.approx(0, abs=1e-12)


def test_rows_without_a_value_have_no_block():
    found = Blocks.of_numbers(np.array([3.0, np.nan, 1.0, np.nan]))
    assert found.places.tolist() == [1, -1, 0, -1] and found.shares.tolist() == [0.5, 0.5]
    scores = found.rows(found.means)
    assert scores[1] == 0 and scores[0] > 0
    gaps = Blocks.of_gaps(np.array([3.0, np.nan, 1.0, np.nan, 2.0]))
    assert gaps.places.tolist() == [0, 1, 0, 1, 0] and gaps.shares == pytest.approx([0.6, 0.4])


def test_the_series_of_a_sign_is_that_of_the_arcsine():
    # of s = sqrt(2 / pi) sign(z), E[s s'] = (2 / pi)^2 arcsin(rho)
    blocks = Blocks.of_numbers(np.array([0.0, 1.0]))
    series = blocks.series(blocks.means)
    rho = np.array([-0.8, -0.3, 0.0, 0.5, 0.8])
    found = (series**2 * rho[:, None] ** np.arange(1, len(series) + 1)).sum(1)
    assert found == pytest.approx((2 / np.pi) ** 2 * np.arcsin(rho), abs=1e-5)


def test_the_series_of_a_number_without_repeats_is_the_number_itself():
    blocks = Blocks.of_numbers(np.arange(20_000.0))
    series = blocks.series(blocks.means)
    assert series[0] == pytest.approx(1, abs=1e-3) and np.abs(series[1:6]).max() < 1e-3


@pytest.mark.parametrize("rho", [-0.9, -0.4, 0.0, 0.2, 0.7, 0.95])
@pytest.mark.parametrize("cuts", [None, [0.0], [-0.5, 1.2], [1.5]])
def test_the_correlation_is_found_through_whatever_blocks(rho, cuts):
    first, second = latent(rho).T
    seen = [first if cuts is None else np.digitize(first, cuts), np.digitize(second, [-1.0, 0.3])]
    found = correlation([Blocks.of_numbers(values.astype(float)) for values in seen])
    assert found[0, 1] == pytest.approx(rho, abs=0.035)
    assert found.diagonal() == pytest.approx([1, 1]) and found[0, 1] == found[1, 0]


def test_the_series_of_a_lognormal_variable_is_known():
    # exp(z) = sqrt(e) * sum_m h_m(z) / sqrt(m!), and its variance is e (e - 1)
    blocks = Blocks.of_numbers(np.exp(norm.ppf((np.arange(50_000) + 0.5) / 50_000)))
    assert blocks.series(blocks.values)[:4] == pytest.approx(1 / np.sqrt((np.e - 1) * np.array([1, 2, 6, 24])), abs=0.01)


def test_the_correlation_of_values_is_kept_where_it_is_not_that_of_ranks():
    # the larger half of the values goes along, the smaller doesn't: ranks correlate less than values do
    first, second = latent(0.0).T
    high = first > 0
    values = [np.exp(first), np.exp(np.where(high, 0.6 * first + 0.8 * second, second))]
    blocks = [Blocks.of_numbers(each) for each in values]
    rho = correlation(blocks)[0, 1]
    found = (blocks[0].series(blocks[0].values) * blocks[1].series(blocks[1].values) * rho ** np.arange(1, 31)).sum()
    assert found == pytest.approx(np.corrcoef(values)[0, 1], abs=0.02)


def test_gaps_do_not_weaken_a_correlation():
    columns = latent(0.7).T
    columns[np.random.default_rng(1).random(columns.shape) < 0.5] = np.nan
    assert correlation([Blocks.of_numbers(each) for each in columns])[0, 1] == pytest.approx(0.7, abs=0.04)


def test_a_few_far_values_do_not_decide():
    first, second = latent(0.0, 5_000).T
    far = np.exp(4 * first)
    far[np.argmin(second)] = 100 * far.max()
    second = second - (np.arange(5_000) == np.argmin(second)) * 5
    found = correlation([Blocks.of_numbers(far), Blocks.of_numbers(second)])
    assert -0.25 < found[0, 1] < 0


def test_a_column_of_one_value_correlates_with_nothing():
    found = correlation(
        [Blocks.of_numbers(np.ones(50)), Blocks.of_numbers(np.arange(50.0)), Blocks.of_numbers(np.arange(50.0))]
    )
    assert found[0].tolist() == [1, 0, 0] and found[1, 2] > 0.999


def test_contradicting_correlations_become_positive_definite():
    draw, n = np.random.default_rng(0), 3_000
    columns = draw.standard_normal((n, 3))
    columns[: n // 3, 0] = columns[: n // 3, 1]
    columns[n // 3 : 2 * n // 3, 1] = columns[n // 3 : 2 * n // 3, 2]
    columns[2 * n // 3 :, 0] = -columns[2 * n // 3 :, 2]
    for at in range(3):  # so that each pair is seen alone
        columns[at * n // 3 : (at + 1) * n // 3, [2, 0, 1][at]] = np.nan
    found = correlation([Blocks.of_numbers(values) for values in columns.T])
    assert np.linalg.eigvalsh(found).min() > 0
    assert found.diagonal() == pytest.approx([1, 1, 1])
    assert found[0, 1] > 0.3 and found[1, 2] > 0.3 and found[0, 2] < -0.3


def test_the_order_of_categories_is_found_again():
    first, second = latent(0.8, 5_000).T
    names = np.array([3, 0, 4, 1, 2])  # of blocks from the lowest
    codes = names[np.digitize(second, [-1, -0.3, 0.4, 1.1])]
    (blocks,), (order,) = ordered([Blocks.of_numbers(first)], codes[:, None])
    assert order.tolist() in (names.tolist(), names[::-1].tolist())
    assert (order[blocks.places] == codes).all()
    assert blocks.shares == pytest.approx(np.bincount(codes)[order] / 5_000)


def test_categories_are_ordered_by_one_another_where_there_is_no_number():
    first, second = latent(0.8, 5_000).T
    names = np.array([3, 0, 4, 1, 2])
    codes = np.stack([names[np.digitize(values, [-1, -0.3, 0.4, 1.1])] for values in (first, second)], axis=1)
    _, orders = ordered([], codes)
    for order in orders:
        assert order.tolist() in (names.tolist(), names[::-1].tolist())


def test_codes_that_never_occur_have_no_block():
    blocks, orders = ordered([], np.array([[5, 1], [5, 2], [2, 1], [5, 1]]))
    assert sorted(orders[0]) == [2, 5] and sorted(orders[1]) == [1, 2]
    assert all(each.shares.min() > 0 for each in blocks)


def test_one_variable_within_bounds_is_drawn_exactly():
    bounds = np.array([[0.1, 0.2], [0.7, 0.75]])
    found = norm.cdf(truncated(np.eye(1), [bounds], 40_000, np.random.default_rng(0))[:, 0])
    low = found < 0.5
    assert low.mean() == pytest.approx(2 / 3, abs=0.012)
    for part, (start, end) in zip((found[low], found[~low]), bounds, strict=True):
        assert part.min() >= start - 1e-12 and part.max() <= end + 1e-12
        assert part.mean() == pytest.approx((start + end) / 2, abs=0.005 * (end - start) * 10)


def test_two_variables_within_bounds_are_drawn_as_by_rejection():
    draws = latent(0.8, 400_000)
    bounds = [np.array([[0.5, 1.0]]), np.array([[0.0, 0.3]])]
    kept = draws[(draws[:, 0] > 0) & (draws[:, 1] < norm.ppf(0.3))]
    found = truncated(np.array([[1, 0.8], [0.8, 1]]), bounds, 20_000, np.random.default_rng(0))
    assert found.mean(0) == pytest.approx(kept.mean(0), abs=0.02)
    assert np.corrcoef(found.T)[0, 1] == pytest.approx(np.corrcoef(kept.T)[0, 1], abs=0.04)


@pytest.mark.parametrize("rho", [-0.999, 0.0, 0.999])
def test_far_and_unlikely_bounds_are_kept(rho):
    bounds = [np.array([[0.0, 1e-7]]), np.array([[1 - 1e-7, 1.0]]), np.array([[0.4, 0.5]])]
    inner = np.array([[1, rho, 0], [rho, 1, 0], [0, 0, 1.0]])
    shares = norm.cdf(truncated(inner, bounds, 200, np.random.default_rng(0)))
    assert np.isfinite(shares).all()
    for values, ((low, high),) in zip(shares.T, bounds, strict=True):
        assert values.min() >= low - 1e-12 and values.max() <= high + 1e-12

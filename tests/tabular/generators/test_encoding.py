"""Columns as classes, modes and ranks, and back; the mixture that finds the modes."""

import numpy as np
import pytest
import torch

from expunge.tabular import TableSchema
from expunge.tabular.coded import code, decode
from expunge.tabular.generators.columns import MOST_CLASSES, Classes, Modes, Ranks
from expunge.tabular.generators.encoding import Encoding, Layout, draw_classes
from expunge.tabular.generators.mixture import Mixture, fit_mixture
from tabular.mixed import CATEGORICAL, mixed


def draws(seed=0):
    return np.random.default_rng(seed)


class TestMixture:
    def test_two_far_modes_are_found_where_they_are(self):
        values = np.concatenate([draws().normal(-5, 0.5, 3_000), draws(1).normal(20, 2, 1_000)])
        found = fit_mixture(values, 2)
        assert found.means == pytest.approx([-5, 20], abs=0.2)
        assert found.deviations == pytest.approx([0.5, 2], rel=0.1)
        assert found.weights == pytest.approx([0.75, 0.25], abs=0.01)

    def test_modes_of_a_repeated_table_weigh_as_much(self):
        values = np.round(draws().normal(0, 1, 500), 1)
        once, often = fit_mixture(values, 3), fit_mixture(np.repeat(values, 1_000), 3)
        assert once.weights.sum() == pytest.approx(1) and often.weights.sum() == pytest.approx(1)

    def test_shifts_and_scales_move_the_modes_along(self):
        values = draws().gamma(2, 1, 1_000)
        plain, moved = fit_mixture(values, 4), fit_mixture(1e6 + 50 * values, 4)
        assert moved.means == pytest.approx(1e6 + 50 * plain.means, rel=1e-6)
        assert moved.deviations == pytest.approx(50 * plain.deviations, rel=1e-3)

    def test_many_distinct_values_are_thinned_out_without_bias(self):
        found = fit_mixture(draws().normal(3, 2, 50_000), 1)
        assert found.means == pytest.approx([3], abs=0.05) and found.deviations == pytest.approx([2], rel=0.03)

    def test_responsibilities_by_hand(self):
        # at 0: densities 0.5 / 1 and 0.5 / 2 * exp(-(2 / 2)^2 / 2)
        second = 0.5 * np.exp(-0.5)
        found = Mixture(np.array([0.5, 0.5]), np.array([0.0, 2.0]), np.array([1.0, 2.0])).responsibilities(np.array([0.0]))
        assert found[0] == pytest.approx([1 / (1 + second), second / (1 + second)])


class TestClasses:
    def test_every_code_comes_back(self):
        codes = draws().integers(0, 7, 300)
        column = Classes.of(codes, 9)
        assert column.size == 7
        assert np.array_equal(column.decode(column.encode(codes), draws()), codes)

    def test_frequencies_are_those_of_the_table(self):
        column = Classes.of(np.array([4, 4, 4, 1]), 6)
        assert column.frequencies.tolist() == [1, 3] and column.codes.tolist() == [1, 4]

    def test_ten_thousand_values_share_a_class_and_come_back_by_frequency(self):
        codes = np.concatenate([np.repeat(np.arange(MOST_CLASSES), 60), np.repeat(9_999, 30), np.arange(200, 9_999)])
        column = Classes.of(codes, 10_001)
        assert column.size == MOST_CLASSES + 1
        assert column.frequencies[-1] == 30 + 9_799 and column.frequencies[0] == 60
        drawn = column.decode(np.full(200_000, MOST_CLASSES), draws())
        assert drawn.min() == 200 and (drawn == 9_999).mean() == pytest.approx(30 / 9_829, rel=0.15)
        assert len(np.unique(drawn)) == 9_800
        frequent = np.arange(MOST_CLASSES)
        assert np.array_equal(column.decode(column.encode(frequent), draws()), frequent)


class TestModes:
    def test_places_by_hand(self):
        column = Modes(np.array([np.nan, 7.0]), Mixture(np.array([1.0]), np.array([10.0]), np.array([0.5])))
        places, classes = column.encode(np.array([11.0, 7.0, np.nan, 9.5, 100.0]), draws())
        assert classes.tolist() == [2, 1, 0, 2, 2]
        assert places.tolist() == [0.5, 0, 0, -0.25, 1]  # (x - 10) / (4 * 0.5)
        decoded = column.decode(places, classes)
        assert decoded[:4] == pytest.approx([11, 7, np.nan, 9.5], nan_ok=True) and decoded[4] == 12

    def test_a_zero_of_most_rows_is_a_mode_and_no_other_value_is(self):
        values = np.where(draws().random(2_000) < 0.7, 0.0, draws(1).lognormal(5, 1, 2_000))
        column = Modes.of(values)
        assert column.spikes.tolist() == [0.0] and 1 <= len(column.mixture.means) <= 10
        assert (column.mixture.means > 0).all()

    def test_the_value_that_stands_out_of_whole_numbers_is_a_mode(self):
        values = np.concatenate([draws().integers(20, 60, 1_000), np.full(400, 40)]).astype(float)
        assert Modes.of(values).spikes.tolist() == [40]

    def test_frequent_values_of_a_smooth_column_are_no_modes(self):
        assert len(Modes.of(np.round(draws().normal(0, 1, 5_000), 1)).spikes) == 0

    def test_few_values_are_all_modes(self):
        column = Modes.of(np.array([3.0, 1.0, 1.0, 2.0, np.nan]))
        assert column.spikes[1:].tolist() == [1, 2, 3] and np.isnan(column.spikes[0]) and column.size == 4

    def test_modes_are_drawn_by_their_probability(self):
        twins = Mixture(np.array([0.25, 0.75]), np.zeros(2), np.ones(2))
        _, classes = Modes(np.empty(0), twins).encode(np.zeros(20_000), draws())
        assert classes.mean() == pytest.approx(0.75, abs=0.02)


class TestRanks:
    def test_by_hand(self):
        column = Ranks.of(np.array([5.0, 5.0, 5.0, 8.0]))
        low, high = column.encode(np.array([5.0, 8.0, np.nan]))
        assert low.tolist() == [0, 0.75, 0] and high.tolist() == [0.75, 1, 1]
        assert column.decode(np.array([0.0, 0.3, 0.74, 0.76, 1.0])).tolist() == [5, 5, 5, 8, 8]

    @pytest.mark.parametrize("distinct", [30, 50_000])
    def test_ranks_drawn_in_their_stretch_are_even_and_come_back(self, distinct):
        values = np.floor(draws().gamma(2, 1, 20_000) * distinct / 10)
        column = Ranks.of(values)
        low, high = column.encode(values)
        ranks = low + draws(1).random(len(low)) * (high - low)
        assert np.quantile(ranks, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
        assert column.decode(ranks) == pytest.approx(values, abs=1e-6 * distinct)

    def test_even_ranks_make_the_columns_distribution(self):
        values = np.where(draws().random(5_000) < 0.9, 0.0, draws(1).exponential(100, 5_000))
        found = Ranks.of(values).decode(draws(2).random(50_000))
        assert (found == 0).mean() == pytest.approx((values == 0).mean(), abs=0.01)
        assert np.quantile(found, [0.95, 0.99]) == pytest.approx(np.quantile(values, [0.95, 0.99]), rel=0.08)

    def test_a_constant_comes_back(self):
        column = Ranks.of(np.full(10, 3.0))
        assert column.decode(np.array([0.0, 0.5, 1.0])).tolist() == [3, 3, 3]


class TestEncoding:
    @pytest.mark.parametrize("numbers", ["modes", "ranks"])
    def test_tables_come_back(self, numbers):
        schema = TableSchema.infer(mixed(), CATEGORICAL)
        real = code(mixed(), schema, "the table")
        encoding = Encoding.of(real, numbers)
        if numbers == "modes":
            scalars, classes = encoding.encode_modes(real, draws())
        else:
            low, high, classes = encoding.encode_ranks(real)
            scalars = (low + high) / 2
        found = encoding.decode(scalars, classes, draws())
        assert np.array_equal(found.codes, real.codes)
        assert np.array_equal(np.isnan(found.numbers), np.isnan(real.numbers))
        written = decode(found)
        for column in ("height", "weight", "income"):
            near = (written[column] - mixed()[column]).abs().fillna(0) <= 0.011
            assert near.mean() > 0.97, column  # places beyond four deviations of their mode are cut off
        assert (written["income"] == 0).equals(mixed()["income"] == 0)

    @pytest.mark.parametrize("numbers", ["modes", "ranks"])
    def test_tensors_give_it_back(self, numbers):
        schema = TableSchema.infer(mixed(), CATEGORICAL)
        real = code(mixed(), schema, "the table")
        encoding = Encoding.of(real, numbers)
        again = Encoding.from_tensors(schema, encoding.tensors(), numbers)
        assert again.layout == encoding.layout
        scalars = torch.rand(50, encoding.layout.scalars)
        classes = torch.stack([torch.randint(size, (50,)) for size in encoding.layout.sizes], dim=1)
        first, second = encoding.decode(scalars, classes, draws()), again.decode(scalars, classes, draws())
        assert np.array_equal(first.numbers, second.numbers, equal_nan=True) and np.array_equal(first.codes, second.codes)

    def test_one_hot_by_hand(self):
        layout = Layout(1, (2, 3))
        assert layout.width == 6
        assert layout.one_hot(torch.tensor([[1, 0], [0, 2]])).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]

    def test_classes_are_drawn_by_their_probability(self):
        logits = torch.tensor([0.1, 0.2, 0.7]).log().repeat(50_000, 1), torch.tensor([0.0, -50.0]).repeat(50_000, 1)
        found = draw_classes(50_000, logits, torch.Generator().manual_seed(0))
        assert (torch.bincount(found[:, 0]) / 50_000).tolist() == pytest.approx([0.1, 0.2, 0.7], abs=0.01)
        assert not found[:, 1].any()

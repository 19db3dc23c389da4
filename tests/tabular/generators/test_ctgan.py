"""CTGAN: training by sampling, the condition's cross-entropy, and rows that are drawn by real frequencies."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.tabular import CTGAN
from expunge.tabular.generators.columns import Classes
from expunge.tabular.generators.ctgan import EvenDraws, condition_loss, draw_conditions


def rare(n=600, seed=0):
    """A number that follows a category, of which one value is rare."""
    draw = np.random.default_rng(seed)
    kind = np.where(np.arange(n) % 20 == 0, "rare", "common")
    value = np.where(kind == "rare", 10.0, 0.0) + draw.normal(0, 1, n)
    return pd.DataFrame({"kind": kind, "value": value.round(3), "other": draw.choice(["x", "y"], n)})


def small(**settings):
    defaults = {"epochs": 40, "batch_size": 60, "latent": 8, "hidden": (32,), "learning_rate": 5e-3}
    return CTGAN(**(defaults | settings))


@pytest.fixture(scope="module")
def learned():
    return small().fit(rare(), Engine(seed=1, progress=False))


class TestSampling:
    codes = np.array([[0, 0]] * 800 + [[1, 0]] * 150 + [[2, 1]] * 50)

    def draws(self):
        categories = tuple(Classes.of(column, 4) for column in self.codes.T)
        return EvenDraws(torch.arange(1000.0)[:, None], torch.from_numpy(self.codes), categories)

    def test_conditions_are_even_over_columns_and_logarithmic_over_categories(self):
        _, _, column, category = self.draws()(60_000, torch.Generator().manual_seed(0))
        assert column.float().mean().item() == pytest.approx(0.5, abs=0.01)
        found = torch.bincount(category[column == 0]) / (column == 0).sum()
        logs = [math.log(801), math.log(151), math.log(51)]
        assert found.tolist() == pytest.approx([each / sum(logs) for each in logs], abs=0.01)

    def test_rows_satisfy_their_conditions_and_are_any_that_do(self):
        places, classes, column, category = self.draws()(60_000, torch.Generator().manual_seed(0))
        assert torch.equal(classes.gather(1, column[:, None]).squeeze(1), category)
        assert torch.equal(torch.from_numpy(self.codes)[places.squeeze(1).long()], classes)
        assert len(places[(column == 0) & (category == 2)].unique()) == 50
        assert len(places.unique()) == 1000

    def test_without_categories_rows_are_drawn_evenly(self):
        draws = EvenDraws(torch.arange(4.0)[:, None], torch.empty(4, 0, dtype=torch.long), ())
        places, *_ = draws(8_000, torch.Generator().manual_seed(0))
        assert (torch.bincount(places.squeeze(1).long()) / 8_000).tolist() == pytest.approx([0.25] * 4, abs=0.02)

    def test_what_has_no_weight_is_not_drawn(self):
        weights = [np.array([0.0, 1.0, 0.0]), np.array([3.0, 0.0])]
        column, category = draw_conditions(3_000, [0, 1], weights, torch.Generator().manual_seed(0))
        assert torch.equal(category, (column == 0).long())


def test_the_condition_counts_in_its_own_column_alone():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    found = condition_loss(logits, torch.tensor([0, 1]), torch.tensor([1, 2]))
    assert found.item() == pytest.approx((math.log(4) + math.log(3)) / 2)


def test_even_chances_of_training_dont_show_in_rows(learned):
    sample = learned.sample(4_000)
    assert (sample["kind"] == "rare").mean() == pytest.approx(0.05, abs=0.03)


def test_a_number_follows_its_category(learned):
    means = learned.sample(4_000).groupby("kind")["value"].mean()
    assert means["common"] == pytest.approx(0, abs=1) and means["rare"] > 4


def test_conditions_steer_so_that_rare_rows_are_made_at_once(learned):
    drawn = []
    plain = learned._drawn

    def counted(n, *rest):
        drawn.append(n)
        return plain(n, *rest)

    learned._drawn = counted
    try:
        found = learned.sample(1_000, {"kind": "rare"})
    finally:
        del learned._drawn
    assert (found["kind"] == "rare").all() and drawn == [1_000]
    assert found["value"].mean() == pytest.approx(10, abs=2)


def test_the_rarest_of_several_conditions_steers(learned):
    found = learned.sample(300, {"kind": "rare", "other": "x", "value": (5, 20)})
    assert (found["kind"] == "rare").all() and (found["other"] == "x").all() and found["value"].between(5, 20).all()


def test_batches_are_whole_packs():
    with pytest.raises(BadSetting, match="multiple of pack, not 55 with a pack of 10"):
        CTGAN(batch_size=55)
    with pytest.raises(BadSetting, match="at least 2"):
        CTGAN(batch_size=1, pack=1)


def test_ten_thousand_categories_take_no_more_than_201_classes():
    real = pd.DataFrame({"city": [f"city {row % 9_000}" for row in range(12_000)], "value": np.arange(12_000) % 7})
    generator = small(epochs=0, batch_size=500).fit(real, Engine(progress=False))
    assert generator.encoding.categories[0].size == 201
    sample = generator.sample(3_000)
    assert set(sample["city"]) <= set(real["city"]) and sample["city"].nunique() > 1_500

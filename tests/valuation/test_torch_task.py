"""Torch tasks as what a utility trains."""

import numpy as np
import pytest
import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.optimizers import Optimizer
from expunge.tasks import ClassificationTask, RegressionTask
from expunge.valuation import EcoVal, LeaveOneOut, TorchTask, Utility
from valuation.games import blobs, line


class Straight(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.head = nn.Linear(3, outputs)

    def forward(self, inputs):
        return self.head(inputs.flatten(1))


def classifier(**settings):
    task = ClassificationTask(lambda: Straight(2), 2, ("no", "yes"))
    return TorchTask(task, epochs=4, optimizer=Optimizer("adam", 0.05), batch_size=16, **settings)


def test_a_task_learns_and_what_is_unlike_the_others_is_worth_less():
    X, y = blobs(24)
    X, y = np.concatenate([X, [[0.0, 8.0, 0.0]]]), np.append(y, 0)  # far on the other class's side
    found = LeaveOneOut(Utility(classifier(), valid=blobs(60, 1), metric="log-loss")).fit(X, y)
    assert found.cost.trainings == 26
    assert found.values.argmin() == 24


def test_one_seed_trains_the_same_models_and_torchs_generator_is_left_alone():
    X, y = blobs(20)
    masks = np.random.default_rng(0).random((3, 20)) < 0.6
    utility = Utility(classifier(), valid=blobs(30, 1))
    torch.manual_seed(5)
    first = utility.on(X, y).answers(masks, X)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    np.testing.assert_array_equal(first, utility.on(X, y).answers(masks, X))
    np.testing.assert_allclose(first.sum(2), 1, atol=1e-6)


def test_real_targets():
    X, y = line(60)
    task = TorchTask(RegressionTask(lambda: Straight(1)), epochs=150, optimizer=Optimizer("adam", 0.05))
    game = Utility(task, valid=line(40, 1), metric="r2").on(X, y)
    assert game.full > 0.7 > game.empty


def test_a_valuation_of_a_task_pays_unseen_points():
    X, y = blobs(30)
    method = EcoVal(Utility(classifier(), valid=blobs(30, 1)), subsets=1, folds=2)
    method.fit(X, y)
    assert method.value_of(X[:5].astype(np.float32), y[:5]).shape == (5,)


def test_recipes_that_make_no_sense_are_refused():
    with pytest.raises(BadSetting, match="at least 1"):
        TorchTask(classifier().task, epochs=0)

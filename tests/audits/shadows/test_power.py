"""The attacks on real digits: a network that learned its rows by heart is found out, and retrained ones are not."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

from expunge.audits import RMIA, LiRA, Membership, References, Subject
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask

ATTACKS = [
    LiRA(16, 32),
    LiRA(16, 32, variance="per-example"),
    RMIA(16, 32),
    RMIA(16, 32, offline_a=0.3),
]


@pytest.fixture(scope="module")
def digits() -> References:
    """A network trained for far too long on 200 digits, of which 100 must go, and two that never saw those."""
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(1))[:400]
    data = TensorDataset(torch.tensor(found.data / 16, dtype=torch.float32)[order], torch.tensor(found.target)[order])
    split = Split(*(Batches(data, 32, range(*span)) for span in ((0, 100), (100, 200), (200, 400))))
    task = ClassificationTask(lambda: MLP((64,), 10, (32,)), 10)
    recipe, engine = Retrain(epochs=60, optimizer=Optimizer("adam", 5e-3)), Engine(seed=1, progress=False)

    def subject(name: str, rows: Batches) -> Subject:
        with engine.scope(name):
            return Subject(name, recipe.train(task, rows, engine), task, split, engine)

    original = subject("original", Batches(data, 32, range(200)))
    return References(original, (subject("first", split.retain), subject("second", split.retain)), recipe.train)


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_a_network_that_overfits_is_flagged_and_two_retrained_ones_are_not(digits, attack):
    name = f"{attack.name}_auc"
    found = attack(digits.original, digits)
    assert found[name].value > 0.6
    for gold in digits.retrained:
        assert abs(attack(gold, digits)[name].value - 0.5) < 0.1
    assert found[name].ideal == attack(digits.gold, digits)[name].value


def test_they_see_more_than_one_threshold_for_all_examples_does(digits):
    plain = Membership(resamples=2)(digits.original)["membership_auc"].value
    for attack in ATTACKS:
        assert attack(digits.original, digits)[f"{attack.name}_auc"].value > plain + 0.05

"""Canaries: how they are drawn, what ranks say on paper, and what models know that learned, forgot or never saw them."""

import math
from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import Canary, References, Subject, plant
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods import Finetune, Retrain
from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask, RegressionTask

RECIPE = Retrain(epochs=150, optimizer=Optimizer("adam", 5e-3))


def engine(seed: int = 0) -> Engine:
    return Engine(seed=seed, progress=False)


def numbers(count: int = 50) -> TensorDataset:
    """Each value of the records says which record and column it is of."""
    return TensorDataset(torch.arange(count * 4.0).view(count, 2, 2), torch.arange(count) % 10)


class Told(nn.Module):
    """Says the number that it is given: its squared error is that number's square, where targets are 0."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.weight


def ranked(canaries: list[float], controls: list[float]) -> dict:
    """Figures of canaries and controls with these losses."""
    from expunge.audits.canary import Planted

    values = torch.tensor([9.0, *canaries])[:, None]
    data = TensorDataset(values, torch.zeros(len(values), 1))
    others = TensorDataset(torch.tensor(controls)[:, None], torch.zeros(len(controls), 1))
    planted = Planted(data, 1, others)
    subject = Subject("told", Told(), RegressionTask(Told), planted.split(), engine())
    return Canary(planted)(subject, References(None, (subject,)))


def test_canaries_are_put_together_from_columns_of_different_records():
    data = numbers()
    planted = plant(data, 20, engine())
    inputs, targets = planted.data.tensors
    assert torch.equal(inputs[:50], data.tensors[0]) and torch.equal(targets[:50], data.tensors[1])
    made = torch.cat([inputs[50:], planted.controls.tensors[0]]).flatten(1)
    assert made.shape == (120, 4) and torch.equal(made % 4, torch.arange(4.0).expand(120, 4)), "each value from its own column"
    assert (made // 4).var(1).min() > 0, "and from records of their own"
    assert set(targets[50:].tolist()) <= set(range(10)) and targets.dtype == torch.long
    assert len(planted.controls) == 100 and planted.rows == list(range(50, 70))


def test_the_seed_of_the_engine_draws_them():
    first, same, other = (plant(numbers(), 5, engine(seed)).data.tensors[0] for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_what_is_trained_on_and_what_must_go():
    planted = plant(numbers(), 3, engine(), times=2)
    assert planted.training().indices.tolist() == [*range(50), 50, 51, 52, 50, 51, 52]
    split = planted.split(rows=[7, 3])
    assert split.forget.indices.tolist() == [3, 7, 50, 51, 52, 50, 51, 52]
    assert split.retain.indices.tolist() == [row for row in range(50) if row not in (3, 7)]
    with pytest.raises(BadRequest, match="there is no record 51; the records are 0 to 49"):
        planted.split(rows=[51])


def test_ranks_on_paper():
    found = ranked([1.0, 4.5], [2.0, 3.0, 4.0])
    assert found["canary_auc"].value == pytest.approx(0.5), "one is below all three, one above"
    assert found["canary_exposure"].value == pytest.approx((math.log2(4 / 1) + math.log2(4 / 4)) / 2)
    assert ranked([1.0], [2.0, 3.0, 4.0])["canary_exposure"].value == pytest.approx(2.0), "log2 n, the most there is"
    assert ranked([3.0], [2.0, 3.0, 4.0])["canary_auc"].value == pytest.approx(0.5), "a tie counts half"
    assert ranked([math.nan], [2.0, 3.0])["canary_auc"].value == 0.0
    assert found["canary_auc"].ideal == found["canary_auc"].value


def test_even_ranks_have_a_mean_exposure_of_log2_e():
    """Over ranks 1 to n the mean of log2 n - log2 rank goes to log2 e (Stirling)."""
    found = ranked([float(place) for place in range(400)], [place + 0.5 for place in range(399)])
    assert found["canary_auc"].value == pytest.approx(0.5)
    assert found["canary_exposure"].value == pytest.approx(math.log2(math.e), abs=0.02)


@cache
def models() -> dict[str, dict]:
    """Figures of an original that knows canaries by heart, one finetuned on what stays, and one retrained."""
    found, draw = load_digits(), torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(found.target), generator=draw)[:200]
    data = TensorDataset(torch.tensor(found.data / 16, dtype=torch.float32)[chosen], torch.tensor(found.target)[chosen])
    task, made = ClassificationTask(lambda: MLP((64,), 10, (64,)), 10), engine()
    planted = plant(data, 30, made, controls=150)
    split = planted.split(batch_size=32)
    original = RECIPE.train(task, planted.training(32), made)
    tuned = Finetune(epochs=20, optimizer=Optimizer("adam", 2e-2))(original, task, split, made)
    golds = [Subject("retrained", RECIPE(original, task, split, engine(seed)), task, split, made) for seed in (1, 2)]
    references = References(None, tuple(golds))
    subjects = {"original": original, "finetuned": tuned, "retrained": golds[1].model}
    return {name: Canary(planted)(Subject(name, each, task, split, made), references) for name, each in subjects.items()}


def test_what_was_learned_is_found_what_never_was_is_not_and_a_little_forgetting_lies_between():
    aucs, bits = ({name: each[f"canary_{what}"].value for name, each in models().items()} for what in ("auc", "exposure"))
    assert aucs["original"] > 0.97 and abs(aucs["retrained"] - 0.5) < 0.15
    assert aucs["retrained"] + 0.1 < aucs["finetuned"] < aucs["original"] - 0.01
    assert bits["original"] > bits["finetuned"] > bits["retrained"] and bits["original"] > 5


def test_intervals_hold_the_value_and_that_of_the_retrained_model_holds_a_guess():
    for found in models().values():
        for figure in found.values():
            low, high = figure.interval
            assert low <= figure.value <= high and figure.ideal is not None
    low, high = models()["retrained"]["canary_auc"].interval
    assert low < 0.5 < high < models()["original"]["canary_auc"].interval[0]


def test_nothing_was_planted():
    stream = Batches(TensorDataset(torch.zeros(2, 1), torch.zeros(2, 1)))
    subject = Subject("told", Told(), RegressionTask(Told), Split(stream, stream), engine())
    assert Canary()(subject) == {}


def test_what_cannot_be_planted():
    with pytest.raises(BadSetting, match="not 0, 0 and 1"):
        plant(numbers(), 0, engine())
    with pytest.raises(BadSetting, match="not 5, 4 and 1"):
        plant(numbers(), 5, engine(), controls=4)
    with pytest.raises(BadSetting, match="2 records or more, not of 1"):
        plant(numbers(1), 1, engine())


def test_its_name_in_a_store_of_results_is_short_and_tells_canaries_apart():
    first, same, other = (repr(Canary(plant(numbers(), 5, engine(seed)))) for seed in (0, 0, 1))
    assert first == same != other and len(first) < 300

"""Linear CKA: what it does not see, what it sees, its ideal, and where there is nothing to compare."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import FeatureSimilarity, References, Subject
from expunge.audits.feature_similarity import cka
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask, RegressionTask


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Mapped(nn.Module):
    """Features are the inputs times a matrix."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__()
        self.matrix, self.head = nn.Parameter(matrix.float()), nn.Linear(matrix.shape[1], 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(inputs @ self.matrix)


def subject(matrix: torch.Tensor, task: type = ClassificationTask) -> Subject:
    data = TensorDataset(
        drawn(40, 3, seed=9).float(), torch.arange(40) % 2 if task is ClassificationTask else torch.zeros(40, 2)
    )
    made = (
        ClassificationTask(lambda: Mapped(matrix), 2) if task is ClassificationTask else RegressionTask(lambda: Mapped(matrix))
    )
    parts = [Batches(data, 16, range(start, start + 10)) for start in (0, 10, 20)]
    return Subject("model", Mapped(matrix), made, Split(*parts), Engine(progress=False))


@pytest.mark.parametrize("samples", [50, 5], ids=["more samples than features", "fewer"])
def test_rotations_shifts_and_one_scale_are_not_seen(samples):
    features = drawn(samples, 8)
    rotation, _ = torch.linalg.qr(drawn(8, 8, seed=1))
    assert cka(features, features) == pytest.approx(1.0)
    assert cka(features, 3.0 * features @ rotation + 7.0) == pytest.approx(1.0)
    stretched = features * torch.tensor([100.0] + [1.0] * 7)
    assert cka(features, stretched) < 0.9, "another scale for each direction is seen"


def test_a_value_worked_out_on_paper():
    """X'X = 2, Y'Y = diag(2, 2), Y'X = (2, 0)': 4 / (2 * sqrt 8) = 1 / sqrt 2."""
    first = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    second = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert cka(first, second) == cka(second, first) == pytest.approx(0.5**0.5)


def test_features_that_have_nothing_in_common_and_such_that_are_constant():
    first, second = torch.tensor([[1.0], [-1.0], [0.0], [0.0]]), torch.tensor([[0.0], [0.0], [1.0], [-1.0]])
    assert cka(first, second) == 0.0
    assert cka(first, torch.ones(4, 2)) is None


def test_both_ways_to_the_norms_agree():
    """The matrices of samples are smaller where there are fewer samples than features; the value is the same."""
    few, wide = drawn(6, 5), drawn(6, 7, seed=1)
    by_hand = (wide - wide.mean(0)).T @ (few - few.mean(0))
    sizes = [((each - each.mean(0)).T @ (each - each.mean(0))).norm() for each in (few, wide)]
    assert cka(few, wide) == pytest.approx((by_hand.square().sum() / (sizes[0] * sizes[1])).item())


@pytest.mark.parametrize("task", [ClassificationTask, RegressionTask])
def test_the_ideal_is_that_of_two_retrained_models(task):
    same, other, third = torch.eye(3), torch.diag(torch.tensor([3.0, 1.0, 0.1])), torch.diag(torch.tensor([0.1, 1.0, 3.0]))
    golds = subject(same, task), subject(other, task)
    found = FeatureSimilarity()(subject(third, task), References(None, golds))
    assert found.keys() == {"forget_cka", "holdout_cka"}
    inputs = golds[0].split.forget.dataset.tensors[0].double()
    for part, rows in (("forget", slice(0, 10)), ("holdout", slice(20, 30))):
        assert found[f"{part}_cka"].value == pytest.approx(cka(inputs[rows], inputs[rows] @ third.double()), abs=1e-5)
        assert found[f"{part}_cka"].ideal == pytest.approx(cka(inputs[rows], inputs[rows] @ other.double()), abs=1e-5)
    assert FeatureSimilarity()(golds[0], References(None, golds))["forget_cka"].value == pytest.approx(1.0)
    assert FeatureSimilarity()(golds[1], References(None, golds[:1]))["forget_cka"].ideal is None


def test_a_dead_layer_gives_no_value_and_says_why():
    found = FeatureSimilarity()(subject(torch.zeros(3, 3)), References(None, (subject(torch.eye(3)),)))["forget_cka"]
    assert found.value is None and "the same for all examples" in found.note


def test_it_needs_a_retrained_model_and_two_samples():
    assert FeatureSimilarity()(subject(torch.eye(3))) == {}
    with pytest.raises(BadSetting, match="samples must be at least 2, not 1"):
        FeatureSimilarity(samples=1)

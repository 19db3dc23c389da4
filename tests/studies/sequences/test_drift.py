"""Drift, by hand."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.errors import BadSetting
from expunge.split import Batches, Split
from expunge.studies.sequences.drift import drifts
from expunge.tasks import RegressionTask

# ---- drift -------------------------------------------------------------------------------------------------------------------


class Says(nn.Module):
    """One number for every input."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.value.expand(len(inputs), 1)


def of_rows(rows: int) -> Batches:
    return Batches(TensorDataset(torch.zeros(rows, 1), torch.zeros(rows, 1)), 2)


def test_drift_by_hand():
    """Golds at 0 and 2 are 2 apart; a model at 5 is 5 and 3 from them, 4 in the mean: twice chance."""
    told = RegressionTask(lambda: Says(0.0), "l2")
    split = Split(of_rows(3), of_rows(2), of_rows(5))
    golds = [Says(0.0), Says(2.0)]
    found = drifts([Says(5.0), Says(1.0)], golds, told, split)
    assert found[0] == pytest.approx({"forget": 2.0, "holdout": 2.0, "drift": 2.0})
    assert found[1]["drift"] == pytest.approx(0.5)
    three = drifts([Says(5.0)], [*golds, Says(4.0)], told, split)[0]
    assert three["drift"] == pytest.approx((5 + 3 + 1) / 3 / ((2 + 4 + 2) / 3))
    assert "holdout" not in drifts([Says(1.0)], golds, told, Split(of_rows(3), of_rows(2)))[0]


def test_drift_where_retrained_models_agree_or_are_too_few():
    told, split = RegressionTask(lambda: Says(0.0), "l2"), Split(of_rows(3), of_rows(2), of_rows(5))
    same, other = drifts([Says(1.0), Says(2.0)], [Says(1.0), Says(1.0)], told, split)
    assert same["drift"] == 1.0 and other["drift"] == math.inf
    with pytest.raises(BadSetting, match="takes 2 retrained models or more, not 1"):
        drifts([Says(1.0)], [Says(1.0)], told, split)

"""The linear probe: features that tell classes apart, features that don't, and where there is nothing to ask."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import Probe, References, Subject
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask


class Half(nn.Module):
    """Passes on the first half of its inputs, and answers nothing but class 0."""

    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(2, 3)
        self.blind = blind
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, inputs):
        return self.head(inputs[:, :2] * (0.0 if self.blind else 1.0))


def split(noise: float = 0.1) -> Split:
    generator = torch.Generator().manual_seed(0)

    def of(classes: list[int], count: int = 50) -> Batches:
        labels = torch.tensor(classes).repeat_interleave(count)
        centres = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
        inputs = torch.cat([centres[labels], torch.zeros(len(labels), 2)], 1)
        return Batches(TensorDataset(inputs + noise * torch.randn(inputs.shape, generator=generator), labels), 32)

    return Split(of([2]), of([0, 1]), of([0, 1], 30), of([2], 40), kind=True)


def subject(model: nn.Module, given: Split | None = None) -> Subject:
    task = ClassificationTask(lambda: Half(), 3)
    return Subject("model", model, task, given or split(), Engine(progress=False))


def test_what_is_answered_no_more_may_still_be_seen():
    model = subject(Half())
    assert model.scores("holdout_forget").sum() == 0
    assert Probe()(model)["probe_accuracy"].value == 1.0


def test_features_that_tell_nothing_give_chance_and_the_ideal_is_the_retrained_model_s():
    blind = subject(Half(blind=True))
    found = Probe()(blind, References(None, (subject(Half()),)))["probe_accuracy"]
    assert found.value < 1.0 and found.ideal == 1.0
    mixed = replace(split(), forget=split().retain, retain=split().forget, holdout_forget=split().holdout)
    assert Probe()(subject(Half(blind=True), mixed))["probe_accuracy"].value <= 0.5


def test_it_is_not_asked_where_no_class_goes():
    assert Probe()(subject(Half(), replace(split(), holdout_forget=None))) == {}
    assert Probe()(subject(Half(), replace(split(), forget=()))) == {}
    assert Probe()(subject(Half(), replace(split(), holdout_forget=()))) == {}
    several = Half()
    several.has_features = False
    assert Probe()(subject(several)) == {}


def test_few_samples_are_enough_where_classes_lie_apart():
    assert Probe(samples=20)(subject(Half()))["probe_accuracy"].value == 1.0
    with pytest.raises(BadSetting, match="samples must be at least 1, not 0"):
        Probe(samples=0)


def test_the_model_is_left_as_it_was():
    model = Half().train()
    Probe()(subject(model))
    assert model.training and not model.head._forward_pre_hooks

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
from expunge.tasks import ClassificationTask, RegressionTask


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


def test_features_that_hold_what_was_seen_are_told_apart_and_others_are_not():
    """A mark in the features of what was trained on, where answers and their losses are the same for all."""

    def marked(mark: float) -> Split:
        given = split(noise=1.0)
        unseen = split(noise=1.0)
        inputs, labels = (torch.cat([each.forget.dataset.tensors[index] for each in (given, unseen)]) for index in (0, 1))
        inputs[:50, 1] += mark
        rows = torch.randperm(100, generator=torch.Generator().manual_seed(1))
        data = TensorDataset(inputs[rows], labels[rows])
        of = [(rows < 50).nonzero().flatten().tolist(), (rows >= 50).nonzero().flatten().tolist()]
        return replace(given, forget=Batches(data, 32, of[0]), holdout_forget=Batches(data, 32, of[1]))

    blank = TensorDataset(torch.randn(100, 4, generator=torch.Generator().manual_seed(7)), torch.full((100,), 2))
    alike = replace(split(), forget=Batches(blank, 32, range(50)), holdout_forget=Batches(blank, 32, range(50, 100)))
    found = Probe()(subject(Half(), marked(8.0)), References(None, (subject(Half(blind=True), marked(8.0)),)))["probe_auc"]
    assert found.value > 0.99 and found.ideal == pytest.approx(0.5)
    assert abs(Probe()(subject(Half(), alike))["probe_auc"].value - 0.5) < 0.15


def test_a_probe_for_membership_is_scored_on_samples_that_it_was_not_taught():
    """Of more features than samples any probe tells what it was taught; on others it guesses."""

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(200, 3)

        def forward(self, inputs):
            return self.head(inputs)

    data = TensorDataset(torch.randn(80, 200, generator=torch.Generator().manual_seed(0)), torch.zeros(80, dtype=torch.long))
    parts = (Batches(data, 16, range(start, start + 40)) for start in (0, 40))
    given = Split(next(parts), Batches(data, 16, range(40)), next(parts))
    assert abs(Probe()(subject(Wide(), given))["probe_auc"].value - 0.5) < 0.2


def test_the_classes_mix_is_not_taken_for_membership():
    """Forget is mostly class 0 and unseen mostly class 1, which features tell apart; within a class nothing does."""
    given = split(noise=1.0)
    labels = torch.cat([torch.tensor([0] * 150 + [1] * 30), torch.tensor([0] * 30 + [1] * 150)])
    inputs = torch.randn(360, 4, generator=torch.Generator().manual_seed(3))
    inputs[:, 0] += 6.0 * labels
    data = TensorDataset(inputs, labels)
    mixed = replace(
        given, forget=Batches(data, 32, range(180)), holdout=Batches(data, 32, range(180, 360)), holdout_forget=None
    )
    assert abs(Probe()(subject(Half(), mixed))["probe_auc"].value - 0.5) < 0.1


def test_real_numbers_for_targets_are_asked_for_membership_alone():
    inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    inputs[:30, 0] += 8.0
    data = TensorDataset(inputs, torch.zeros(60, 3))
    task = RegressionTask(lambda: Half())
    of = [Batches(data, 16, range(start, start + 30)) for start in (0, 30)]
    found = Probe()(Subject("model", Half(), task, Split(of[0], of[1], of[1]), Engine(progress=False)))
    assert found.keys() == {"probe_auc"} and found["probe_auc"].value == 1.0


def test_few_samples_are_enough_where_classes_lie_apart():
    assert Probe(samples=20)(subject(Half()))["probe_accuracy"].value == 1.0
    with pytest.raises(BadSetting, match="samples must be at least 1, not 0"):
        Probe(samples=0)
    with pytest.raises(BadSetting, match="folds must be 2 to 10, not 1"):
        Probe(folds=1)


def test_the_model_is_left_as_it_was():
    model = Half().train()
    Probe()(subject(model))
    assert model.training and not model.head._forward_pre_hooks

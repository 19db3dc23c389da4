"""Distance of input gradients: closed forms of linear models, and where there is no gradient to take."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import InputGradientDistance, References, Subject
from expunge.audits.input_gradient_distance import gradient_distance
from expunge.engine import Engine
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask, RegressionTask

NAME = "forget_input_gradient_distance"
INPUTS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, -1.0]])


def linear(*rows: tuple[float, float]) -> nn.Linear:
    model = nn.Linear(2, len(rows), bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(rows))
    return model


def of_numbers(model: nn.Module, inputs: torch.Tensor = INPUTS, target: float = -9.0) -> Subject:
    stream = Batches(TensorDataset(inputs, torch.full((len(inputs),), target)), 2)
    return Subject(
        "model", model, RegressionTask(lambda: linear((0.0, 0.0)), "l2"), Split(stream, stream), Engine(progress=False)
    )


def of_classes(model: nn.Module) -> Subject:
    stream = Batches(TensorDataset(INPUTS, torch.tensor([0, 1, 0])), 2)
    return Subject(
        "model", model, ClassificationTask(lambda: linear((0.0, 0.0)), 2), Split(stream, stream), Engine(progress=False)
    )


def distance(ours: Subject, theirs: Subject) -> float:
    figure = InputGradientDistance()(ours, References(None, (theirs,)))[NAME]
    assert figure.ideal == 0.0 and figure.value is not None
    return figure.value


def test_of_a_linear_model_it_is_the_angle_between_weights():
    """The gradient of (w x - y)^2 is 2 (w x - y) w, and all residuals are above 0 here."""
    angle = torch.deg2rad(torch.tensor(60.0))
    turned = linear((float(angle.cos()), float(angle.sin())))
    assert distance(of_numbers(turned), of_numbers(linear((1.0, 0.0)))) == pytest.approx(1 - 0.5, abs=1e-6)
    assert distance(of_numbers(linear((3.0, 0.0))), of_numbers(linear((1.0, 0.0)))) == pytest.approx(0.0, abs=1e-6)
    assert distance(of_numbers(linear((-1.0, 0.0))), of_numbers(linear((1.0, 0.0)))) == pytest.approx(2.0, abs=1e-6)


def test_of_logits_it_is_the_angle_between_what_pushes_to_the_label():
    """W'(p - onehot(y)) is (w_1 - w_0) times p_1 or -p_0: two classes have one direction, whatever the example."""
    first, second = of_classes(linear((0.0, 0.0), (1.0, 0.0))), of_classes(linear((0.0, 0.0), (1.0, 1.0)))
    assert distance(first, second) == pytest.approx(1 - 0.5**0.5, abs=1e-6)
    gradients = InputGradientDistance().gradients(first)
    share = (1 / (1 + torch.exp(-INPUTS[:, 0])))[:, None] - torch.tensor([[0.0], [1.0], [0.0]])
    torch.testing.assert_close(gradients, share * torch.tensor([[1.0, 0.0]]))


def test_gradients_that_vanish():
    """Where the loss of both models is flat they agree; where that of one is, nothing is shared."""
    at_target = torch.tensor([[0.0, 0.0]])
    flat, steep = of_numbers(linear((0.0, 0.0)), at_target, 0.0), of_numbers(linear((1.0, 0.0)), at_target, -1.0)
    assert distance(flat, of_numbers(linear((0.0, 0.0)), at_target, 0.0)) == 0.0
    assert distance(flat, steep) == 1.0
    tiny = torch.full((1, 3), 1e-30)
    assert gradient_distance(tiny, 2 * tiny).item() == pytest.approx(0.0, abs=1e-6), "small ones have a direction as well"


def test_inputs_that_are_no_real_numbers_have_no_gradient():
    rows = Batches(TensorDataset(torch.arange(4), torch.zeros(4)), 2)
    task = RegressionTask(lambda: nn.Embedding(4, 1))
    subject = Subject("model", nn.Embedding(4, 1), task, Split(rows, rows), Engine(progress=False))
    assert InputGradientDistance()(subject, References(None, (subject,))) == {}


def test_it_needs_a_retrained_model_and_leaves_the_model_alone():
    model = linear((1.0, 0.0)).train()
    subject = of_numbers(model)
    assert InputGradientDistance()(subject) == {}
    with torch.no_grad():  # whoever audits may have switched gradients off
        distance(subject, of_numbers(linear((0.0, 1.0))))
    assert model.weight.grad is None and model.training and not INPUTS.requires_grad

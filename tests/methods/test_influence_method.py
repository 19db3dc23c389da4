"""Influence: both solvers against dense algebra, and retraining where the loss is quadratic."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.data import Target
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Influence
from expunge.methods.influence import woodbury
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask, RegressionTask
from tiny import class_split, original, same_weights, task

ROWS, GONE, WIDTH = 60, 12, 5


def numbers(seed=0):
    """A line over 5 inputs, with noise."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)
    slope = torch.arange(1.0, WIDTH + 1, dtype=torch.float64)
    noise = torch.randn(ROWS, generator=generator, dtype=torch.float64)
    return inputs, inputs @ slope + 2 + noise


def parts(inputs, targets):
    data = TensorDataset(inputs, targets)
    return Split(Batches(data, 5, range(GONE)), Batches(data, 7, range(GONE, ROWS)))


def line() -> nn.Module:
    return nn.Linear(WIDTH, 1).double()


def line_task() -> RegressionTask:
    return RegressionTask(line, "l2", target=Target("y", mean=0.0, scale=1.0))


def least_squares(inputs, targets):
    """Weights and intercept, (6,), that fit best."""
    design = np.concatenate([inputs.numpy(), np.ones((len(inputs), 1))], 1)
    return np.linalg.lstsq(design, targets.numpy(), rcond=None)[0]


def fitted(solution):
    model = line()
    with torch.no_grad():
        model.weight.copy_(torch.tensor(solution[None, :-1])), model.bias.fill_(float(solution[-1]))
    return model


def vector(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()]).numpy()


def run(method, model, task, split, seed=0):
    return method(model, task, split, Engine(seed=seed, progress=False))


def exact(**settings):
    return Influence(solver="conjugate-gradients", damping=0.0, iterations=50, **settings)


def test_on_least_squares_the_step_ends_where_retraining_does():
    inputs, targets = numbers()
    model = fitted(least_squares(inputs, targets))
    result = run(exact(), model, line_task(), parts(inputs, targets.unsqueeze(1)))
    np.testing.assert_allclose(vector(result), least_squares(inputs[GONE:], targets[GONE:]), rtol=2e-3)
    assert np.abs(vector(model) - vector(result)).max() > 0.02


def test_a_step_of_half_the_length_goes_half_the_way():
    inputs, targets = numbers()
    model, split = fitted(least_squares(inputs, targets)), parts(inputs, targets.unsqueeze(1))
    whole, half = (vector(run(exact(step=step), model, line_task(), split)) for step in (1.0, 0.5))
    np.testing.assert_allclose(half - vector(model), (whole - vector(model)) / 2)
    assert same_weights(run(exact(step=0.0), model, line_task(), split), model)


def logistic():
    """A logistic model of two classes that is not at its optimum, with its data."""
    inputs, targets = numbers(3)
    labels = (targets > targets.median()).long()
    model = nn.Linear(WIDTH, 2).double()
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(5), dtype=value.dtype) / 3)
    return model, ClassificationTask(lambda: nn.Linear(WIDTH, 2).double(), classes=2), inputs, labels


def derivatives(model, inputs, labels):
    """Gradients of single examples (n, 12), and the Hessian of their mean, in numpy, weights first."""
    rows, weight, bias = inputs.numpy(), *(value.detach().numpy() for value in model.parameters())
    logits = rows @ weight.T + bias
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = chances - np.eye(2)[labels.numpy()]
    gradients = np.concatenate([(wrong[:, :, None] * rows[:, None]).reshape(len(rows), -1), wrong], 1)
    hessian = np.zeros((12, 12))
    for row, chance in zip(rows, chances, strict=True):
        inner = np.diag(chance) - np.outer(chance, chance)
        reading = np.concatenate([np.kron(np.eye(2), row), np.eye(2)], 1)  # (2, 12): how the logits follow the weights
        hessian += reading.T @ inner @ reading / len(rows)
    return gradients, hessian


def test_conjugate_gradients_make_the_newton_step_of_a_logistic_model():
    model, task, inputs, labels = logistic()
    goes, _ = derivatives(model, inputs[:GONE], labels[:GONE])
    _, hessian = derivatives(model, inputs[GONE:], labels[GONE:])
    step = np.linalg.solve(hessian + 0.05 * np.eye(12), goes.sum(0) / (ROWS - GONE))
    method = Influence(solver="conjugate-gradients", damping=0.05)
    result = run(method, model, task, parts(inputs, labels))
    np.testing.assert_allclose(vector(result) - vector(model), step, rtol=1e-3, atol=1e-5)


def test_woodbury_is_the_dense_inverse_of_the_damped_fisher():
    model, task, inputs, labels = logistic()
    goes, _ = derivatives(model, inputs[:GONE], labels[:GONE])
    stays, _ = derivatives(model, inputs[GONE:], labels[GONE:])
    fisher = stays.T @ stays / len(stays)
    step = np.linalg.solve(fisher + 0.02 * np.eye(12), goes.sum(0) / (ROWS - GONE))
    result = run(Influence(damping=0.02), model, task, parts(inputs, labels))
    np.testing.assert_allclose(vector(result) - vector(model), step, rtol=1e-8)


def test_the_recursion_is_exact_for_fewer_gradients_than_weights():
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(7, 30, generator=generator, dtype=torch.float64)
    target = torch.randn(30, generator=generator, dtype=torch.float64)
    dense = gradients.T @ gradients / 7 + 1e-3 * torch.eye(30, dtype=torch.float64)
    torch.testing.assert_close(woodbury(gradients, target, 1e-3), torch.linalg.solve(dense, target))


def test_a_fisher_of_batches_takes_as_many_as_asked_for():
    model, task, inputs, labels = logistic()
    split = parts(inputs, labels)
    settings = ({}, {"fisher_batches": 10}, {"fisher_batch_size": 16})
    results = [vector(run(Influence(damping=0.1, **each), model, task, split)) for each in settings]
    assert len({tuple(each.round(8)) for each in results}) == 3


@pytest.mark.parametrize("method", [Influence(), Influence(step=2.0, solver="conjugate-gradients")], ids=lambda m: m.solver)
def test_a_network_forgets_a_class_and_keeps_the_rest(method):
    model, split = original(Engine(progress=False)), class_split()
    result = run(method, model, task(), split)
    losses = [task().evaluate(each, split.forget)["loss"] for each in (model, result)]
    assert losses[1] > 5 * losses[0]
    assert task().evaluate(result, split.retain)["accuracy"] > 0.9


def test_frozen_parameters_stay_where_they_are():
    model, split = original(Engine(progress=False)), class_split()
    model = copy.deepcopy(model)
    model[0].requires_grad_(False)
    for method in (Influence(), Influence(solver="conjugate-gradients")):
        result = run(method, model, task(), split)
        assert torch.equal(result[0].weight, model[0].weight) and not torch.equal(result[3].weight, model[3].weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": -1.0}, "step must be 0 or more, not -1.0"),
        ({"step": math.nan}, "step must be 0 or more, not nan"),
        ({"solver": "lissa"}, "solver must be 'woodbury' or 'conjugate-gradients', not 'lissa'"),
        ({"damping": -1.0}, "damping must be 0 or more, not -1.0"),
        ({"damping": 0.0}, "damping must be above 0 for woodbury, not 0"),
        ({"iterations": 0}, "iterations must be at least 1, not 0"),
        ({"fisher_batches": 0}, "fisher_batches must be at least 1, not 0"),
        ({"fisher_batch_size": 0}, "fisher_batch_size must be at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^influence: {message}$"):
        Influence(**settings)

"""Many models at once: each as scikit-learn, or the model alone, finds it."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from expunge.errors import BadSetting
from expunge.valuation.logistic import Logistic, principal_axes
from expunge.valuation.network import Network
from expunge.valuation.ridge import RidgeRegression
from valuation.games import blobs, line

EXACT = {"tolerance": 1e-6, "steps": 2000}


def tensors(*arrays):
    return tuple(torch.as_tensor(each) for each in arrays)


def answers(model, X, y, masks, asked, classes):
    inputs, weights, questions = tensors(X, masks.astype(float), asked)
    return model.train(inputs, torch.as_tensor(y), classes, weights)(questions).numpy()


def scikit(X, y, mask, asked, classes, C=1.0, intercept=True):
    """The same by scikit-learn; classes that it does not see have probability 0."""
    found = np.zeros((len(asked), classes))
    model = LogisticRegression(C=C, fit_intercept=intercept, tol=1e-8, max_iter=5000).fit(X[mask], y[mask])
    found[:, model.classes_] = model.predict_proba(asked)
    return found


def subsets(count, models, seed=0):
    return np.random.default_rng(seed).random((models, count)) < np.linspace(0.3, 1.0, models)[:, None]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_logistic_regressions_are_those_of_scikit_learn(classes, intercept, C):
    (X, y), (asked, _) = blobs(60, classes=classes, features=5), blobs(20, 1, classes, features=5)
    masks = subsets(60, 8)
    found = answers(Logistic(C, intercept, **EXACT), X, y, masks, asked, classes)
    for mask, each in zip(masks, found, strict=True):
        assert each == pytest.approx(scikit(X, y, mask, asked, classes, C, intercept), abs=1e-3)


def test_features_of_very_different_scales_change_nothing():
    (X, y), (asked, _) = blobs(60, classes=3), blobs(20, 1, 3)
    scale = np.array([1.0, 30.0, 0.1])
    masks = subsets(60, 4)
    found = answers(Logistic(**EXACT), X * scale + 5, y, masks, asked * scale + 5, 3)
    for mask, each in zip(masks, found, strict=True):
        assert each == pytest.approx(scikit(X * scale + 5, y, mask, asked * scale + 5, 3), abs=1e-3)


@pytest.mark.parametrize("present", [(0, 1), (1, 3), (0, 2, 3)])
def test_classes_that_a_subset_lacks_have_no_probability(present):
    (X, y), (asked, _) = blobs(60, classes=4, features=5), blobs(20, 1, 4, features=5)
    masks = np.stack([np.isin(y, present), np.ones(60, bool)])
    lacking, whole = answers(Logistic(**EXACT), X, y, masks, asked, 4)
    assert lacking[:, ~np.isin(range(4), present)].max() == 0
    assert whole == pytest.approx(scikit(X, y, masks[1], asked, 4), abs=1e-3)
    small = np.searchsorted(present, y[masks[0]])
    if len(present) > 2:
        assert lacking == pytest.approx(scikit(X, y, masks[0], asked, 4), abs=1e-3)
    else:  # two softmax vectors that share one penalty are a binary model with half of it
        binary = answers(Logistic(2.0, **EXACT), X[masks[0]], small, np.ones((1, masks[0].sum()), bool), asked, 2)[0]
        assert lacking[:, list(present)] == pytest.approx(binary, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", [Logistic, Network])
def test_a_subset_of_one_class_is_sure_of_it_and_an_empty_one_of_nothing(classes, kind):
    (X, y), (asked, _) = blobs(30, classes=classes), blobs(9, 1, classes)
    masks = np.stack([y == classes - 1, np.zeros(30, bool), np.ones(30, bool)])
    one, none, whole = answers(kind(), X, y, masks, asked, classes)
    assert one[:, -1] == pytest.approx(np.ones(9))
    assert whole.sum(1) == pytest.approx(np.ones(9))
    if kind is Logistic:
        assert none == pytest.approx(np.full((9, classes), 1 / classes))


def test_only_subsets_of_one_class_are_answered_too():
    (X, y), (asked, _) = blobs(30, classes=3), blobs(9, 1, 3)
    found = answers(Logistic(), X, y, np.stack([y == 0, y == 2]), asked, 3)
    assert found.argmax(2).tolist() == [[0] * 9, [2] * 9]


@pytest.mark.parametrize("intercept", [True, False])
def test_points_that_occur_twice_count_twice(intercept):
    (X, y), (asked, _) = blobs(40, classes=3), blobs(9, 1, 3)
    twice = np.concatenate([np.arange(40), np.arange(0, 40, 3)])
    mask = np.ones((1, len(twice)), bool)
    found = answers(Logistic(intercept=intercept, **EXACT), X[twice], y[twice], mask, asked, 3)[0]
    assert found == pytest.approx(scikit(X[twice], y[twice], mask[0], asked, 3, intercept=intercept), abs=1e-3)
    weights = 1.0 + (np.arange(40) % 3 == 0)
    inputs, rows, questions = tensors(X, weights[None], asked)
    weighted = Logistic(intercept=intercept, **EXACT).train(inputs, torch.as_tensor(y), 3, rows)(questions)[0]
    assert weighted.numpy() == pytest.approx(found, abs=1e-3)


def test_more_features_than_points_are_no_matter():
    (X, y), (asked, _) = blobs(12, features=40), blobs(9, 1, features=40)
    masks = subsets(12, 3, seed=3)
    found = answers(Logistic(**EXACT), X, y, masks, asked, 2)
    for mask, each in zip(masks, found, strict=True):
        assert each == pytest.approx(scikit(X, y, mask, asked, 2), abs=1e-3)


def test_answers_do_not_depend_on_who_is_trained_beside():
    (X, y), (asked, _) = blobs(60, classes=3), blobs(20, 1, 3)
    masks = subsets(60, 6)
    together = answers(Logistic(**EXACT), X, y, masks, asked, 3)
    alone = np.concatenate([answers(Logistic(**EXACT), X, y, mask[None], asked, 3) for mask in masks])
    assert together == pytest.approx(alone, abs=1e-3)


def test_principal_axes_are_orthogonal_and_have_no_correlations():
    points = torch.as_tensor(blobs(50, features=4)[0])
    axes, variances = principal_axes(points)
    assert (axes.T @ axes).numpy() == pytest.approx(np.eye(4), abs=1e-9)
    assert (axes.T @ (points.T @ points / 50) @ axes).numpy() == pytest.approx(np.diag(variances.numpy()), abs=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("alpha", [0.01, 1.0, 100.0])
def test_ridge_regressions_are_those_of_scikit_learn(intercept, alpha):
    (X, y), (asked, _) = line(30), line(9, 1)
    masks = subsets(30, 5)
    masks[0] = np.arange(30) == 4
    inputs, targets, weights, questions = tensors(X, y, masks.astype(float), asked)
    found = RidgeRegression(alpha, intercept).train(inputs, targets, weights)(questions).numpy()
    for mask, each in zip(masks, found, strict=True):
        expected = Ridge(alpha=alpha, fit_intercept=intercept).fit(X[mask], y[mask]).predict(asked)
        assert each == pytest.approx(expected, abs=1e-8)


def test_many_networks_are_each_what_it_is_alone():
    (X, y), (asked, _) = blobs(40, classes=3), blobs(9, 1, 3)
    masks = subsets(40, 4)
    model = Network(8, 40)
    together = answers(model, X, y, masks, asked, 3)
    alone = np.concatenate([answers(model, X, y, mask[None], asked, 3) for mask in masks])
    assert together == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("kind", [Logistic(**EXACT), Network(8, 40)])
def test_weights_of_zero_are_rows_left_out(kind):
    (X, y), (asked, _) = blobs(40, classes=3), blobs(9, 1, 3)
    mask = subsets(40, 3)[0]
    weighted = answers(kind, X, y, mask[None], asked, 3)
    dropped = answers(kind, X[mask], y[mask], np.ones((1, mask.sum()), bool), asked, 3)
    assert weighted == pytest.approx(dropped, abs=1e-3)


def test_a_network_learns():
    (X, y), (asked, labels) = blobs(60, classes=3), blobs(60, 1, 3)
    found = answers(Network(16, 80), X, y, np.ones((1, 60), bool), asked, 3)[0]
    assert (found.argmax(1) == labels).mean() > 0.6


@pytest.mark.parametrize(("name", "value"), [("hidden", 0), ("steps", 0)])
def test_wrong_settings_of_a_network_are_refused(name, value):
    with pytest.raises(BadSetting, match=f"network: {name} must be at least 1, not 0"):
        Network(**{name: value})

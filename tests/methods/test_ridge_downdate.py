"""Ridge downdate: what is taken out is out, exactly, whatever the order and the way."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge
from torch import nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.methods import RidgeDowndate
from expunge.methods.ridge_downdate import RidgeStatistics, last_layer_rows, ridge_statistics
from expunge.split import Batches, Split
from expunge.storage import write_weights
from expunge.tasks import RegressionTask
from tiny import band_split, regression_original, regression_task, same_weights


def rows(count: int, width: int, outputs: int = 1, seed: int = 0):
    """Features that lie off 0, so that a bias matters, and targets with noise."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, width, generator=generator, dtype=torch.float64) + 2
    true = torch.randn(width, outputs, generator=generator, dtype=torch.float64)
    return features, features @ true + 5 + torch.randn(count, outputs, generator=generator, dtype=torch.float64)


def close(first, second, tolerance: float = 1e-8):
    """Everything that the statistics hold and say."""
    assert first.rows == second.rows
    for name in ("inverse", "moment", "weights"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), rtol=tolerance, atol=tolerance)


# ---- statistics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 50.0])
@pytest.mark.parametrize(("count", "width", "outputs"), [(20, 1, 1), (60, 5, 1), (60, 5, 3), (500, 30, 2)])
def test_the_solution_is_sklearns_whose_bias_is_not_penalised(count, width, outputs, penalty):
    features, targets = rows(count, width, outputs)
    found = RidgeStatistics.of(features, targets, penalty)
    model = Ridge(penalty) if penalty else LinearRegression()
    model.fit(features.numpy(), targets.numpy())
    assert found.weights.shape == (width + 1, outputs) and found.rows == count
    np.testing.assert_allclose(found.weights[:-1].T, model.coef_.reshape(outputs, width), atol=1e-6)
    np.testing.assert_allclose(found.weights[-1], np.reshape(model.intercept_, outputs), atol=1e-6)


def test_however_strong_the_penalty_the_bias_is_the_mean():
    features, targets = rows(50, 3)
    weights = RidgeStatistics.of(features, targets, 1e9).weights
    assert weights[:-1].abs().max() < 1e-6 and weights[-1].item() == pytest.approx(targets.mean().item(), rel=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 1e-3, 50.0])
@pytest.mark.parametrize(
    ("count", "width", "outputs", "gone"), [(20, 1, 1, 1), (60, 5, 1, 20), (60, 5, 3, 50), (500, 30, 2, 100), (500, 30, 1, 460)]
)
def test_taking_rows_out_is_refitting_without_them(count, width, outputs, gone, penalty):
    features, targets = rows(count, width, outputs)
    everything = RidgeStatistics.of(features, targets, penalty)
    left = everything.without(features[:gone], targets[:gone])
    close(left, RidgeStatistics.of(features[gone:], targets[gone:], penalty))
    assert not torch.allclose(left.weights, everything.weights, atol=1e-4)


def test_one_row_after_the_other_is_all_rows_at_once_in_any_order():
    features, targets = rows(60, 5, 2)
    everything = RidgeStatistics.of(features, targets, 0.1)
    at_once = everything.without(features[:20], targets[:20])
    in_two = everything.without(features[:7], targets[:7]).without(features[7:20], targets[7:20])
    turned = everything.without(features[7:20].flip(0), targets[7:20].flip(0)).without(features[:7], targets[:7])
    each = everything
    for row in range(20):
        each = each.without(features[row : row + 1], targets[row : row + 1])
    for other in (in_two, turned, each):
        close(at_once, other)


def test_taking_out_nothing_changes_nothing():
    features, targets = rows(20, 3)
    everything = RidgeStatistics.of(features, targets, 0.1)
    close(everything, everything.without(features[:0], targets[:0]), 0.0)


def test_statistics_are_left_as_they_were():
    features, targets = rows(20, 3)
    everything = RidgeStatistics.of(features, targets, 0.1)
    inverse, moment = everything.inverse.clone(), everything.moment.clone()
    everything.without(features[:5], targets[:5])
    assert torch.equal(everything.inverse, inverse) and torch.equal(everything.moment, moment) and everything.rows == 20


def test_features_of_single_precision_are_added_up_in_double():
    features, targets = (1000 * values.float() for values in rows(2000, 5))
    found = RidgeStatistics.of(features, targets, 1.0)
    close(found, RidgeStatistics.of(features.double(), targets.double(), 1.0), 0.0)
    assert found.inverse.dtype == found.moment.dtype == torch.float64


@pytest.mark.parametrize("gone", [20, 25])
def test_all_rows_cannot_go(gone):
    features, targets = rows(25, 3)
    everything = RidgeStatistics.of(features[:20], targets[:20], 0.1)
    message = f"^{gone} rows cannot be removed from statistics of 20: none would be left$"
    with pytest.raises(BadRequest, match=message):
        everything.without(features[:gone], targets[:gone])


DEPENDENT = "^the features are linearly dependent, so regression has no unique solution; use regularisation$"


def dependent(kind: str, seed: int):
    features, targets = rows(30, 5, seed=seed)
    if kind == "doubled":
        features[:, 4] = 2 * features[:, 3]
    if kind == "sum":
        features[:, 4] = features[:, :4].sum(1)
    if kind == "silent":
        features[:, 4] = 0.0
    if kind == "constant":
        features[:, 4] = 3.0  # as the column of ones that the bias has
    return (features[:5], targets[:5]) if kind == "few" else (features, targets)


@pytest.mark.parametrize("kind", ["doubled", "sum", "silent", "constant", "few"])
def test_dependent_features_have_no_unique_solution_without_a_penalty(kind):
    for seed in range(20):  # rounding may hide a dependence by chance
        features, targets = dependent(kind, seed)
        with pytest.raises(BadSetting, match=DEPENDENT):
            RidgeStatistics.of(features, targets)
        assert RidgeStatistics.of(features, targets, 0.1).weights.isfinite().all()


def test_what_is_left_must_have_a_unique_solution():
    for seed in range(20):
        features, targets = rows(30, 5, seed=seed)
        everything = RidgeStatistics.of(features, targets)
        assert everything.without(features[:24], targets[:24]).weights.isfinite().all()  # 6 rows for 6 weights
        with pytest.raises(BadRequest, match=r"^without these rows regression has no unique solution, or they are not among"):
            everything.without(features[:25], targets[:25])


def test_a_row_that_weighs_more_than_all_rows_was_not_among_them():
    features, targets = rows(30, 5)
    everything = RidgeStatistics.of(features, targets, 0.1)
    with pytest.raises(BadRequest, match=r"or they are not among the rows of the statistics$"):
        everything.without(1000 * features[:1], targets[:1])


# ---- files --------------------------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded_bit_for_bit(tmp_path):
    found = RidgeStatistics.of(*rows(60, 5, 2), 0.1)
    found.save(tmp_path / "statistics.safetensors")
    close(RidgeStatistics.load(str(tmp_path / "statistics.safetensors")), found, 0.0)


@pytest.mark.parametrize(
    ("tensors", "facts"),
    [
        ({"inverse": torch.eye(2)}, {"rows": "3"}),
        ({"inverse": torch.eye(2), "moment": torch.ones(2, 1), "more": torch.ones(1)}, {"rows": "3"}),
        ({"inverse": torch.eye(2), "moment": torch.ones(2, 1)}, {}),
        ({"inverse": torch.eye(2), "moment": torch.ones(2, 1)}, {"rows": "many"}),
        (nn.Linear(2, 1).state_dict(), {}),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, tensors, facts):
    path = tmp_path / "foreign.safetensors"
    write_weights(path, tensors, facts)
    message = f"^{path} does not hold ridge statistics: expected tensors 'inverse' and 'moment' and a number of rows$"
    with pytest.raises(BadFile, match=message):
        RidgeStatistics.load(path)


@pytest.mark.parametrize(
    ("inverse", "moment"),
    [
        (torch.eye(3), torch.ones(2, 1)),
        (torch.ones(3, 2), torch.ones(3, 1)),
        (torch.eye(3), torch.ones(3)),
    ],
)
def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path, inverse, moment):
    write_weights(tmp_path / "odd.safetensors", {"inverse": inverse, "moment": moment}, {"rows": "9"})
    with pytest.raises(BadFile, match="does not hold ridge statistics"):
        RidgeStatistics.load(tmp_path / "odd.safetensors")


def test_a_damaged_or_missing_file_is_refused(tmp_path):
    with pytest.raises(BadFile, match="weights file not found"):
        RidgeStatistics.load(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    with pytest.raises(BadFile, match="is not a whole safetensors file"):
        RidgeStatistics.load(tmp_path / "cut.safetensors")


# ---- the method on a linear model ---------------------------------------------------------------------------------------


def linear(outputs: int = 1, width: int = 5) -> RegressionTask:
    return RegressionTask(lambda: nn.Linear(width, outputs), "l2")


def linear_split(count: int = 200, gone: int = 60, outputs: int = 1) -> Split:
    features, targets = (values.float() for values in rows(count, 5, outputs))
    data = TensorDataset(features, targets)
    return Split(Batches(data, 32, range(gone)), Batches(data, 32, range(gone, count)))


def unlearned(parts, task=None, model=None, **settings):
    task = task or linear()
    return RidgeDowndate(**settings)(model or task.new_model(), task, parts, Engine(progress=False))


def solution(weights):
    return weights[:-1].T.float(), weights[-1].float()


@pytest.mark.parametrize("outputs", [1, 3])
def test_without_penalty_it_is_linear_regression_on_what_stays(outputs):
    parts = linear_split(outputs=outputs)
    result = unlearned(parts, linear(outputs), regularisation=0.0)
    features, targets = (values[60:] for values in parts.retain.dataset.tensors)
    fit = LinearRegression().fit(features.numpy(), targets.numpy())
    np.testing.assert_allclose(result.weight.detach(), fit.coef_.reshape(outputs, 5), atol=1e-5)
    np.testing.assert_allclose(result.bias.detach(), np.reshape(fit.intercept_, outputs), atol=1e-5)


@pytest.mark.parametrize("regularisation", [1e-4, 0.1, 10.0])
def test_it_is_what_the_same_recipe_gives_on_what_stays(regularisation):
    """The penalty is stated for each example, so with fewer examples it is lighter in all."""
    parts, task = linear_split(), linear()
    result = unlearned(parts, task, regularisation=regularisation)
    retrained = ridge_statistics(task.new_model(), task, parts.retain, regularisation)
    for found, expected in zip((result.weight, result.bias), solution(retrained.weights), strict=True):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-5)


def test_the_solution_does_not_depend_on_the_model_nor_on_batches():
    parts = linear_split()
    first = unlearned(parts)
    smaller = Split(parts.forget.with_batch_size(7), parts.retain.with_batch_size(200))
    for other in (unlearned(parts, model=nn.Linear(5, 1)), unlearned(smaller)):
        torch.testing.assert_close(other.weight, first.weight)
        torch.testing.assert_close(other.bias, first.bias)


class OneLook:
    """A stream that can be asked whether it is empty, and nothing else."""

    def __iter__(self):
        yield torch.zeros(1, 5), torch.zeros(1, 1)
        raise AssertionError("the retained data was read")


def test_kept_statistics_stand_in_for_the_retained_data(tmp_path):
    parts, task, path = linear_split(), linear(), tmp_path / "statistics.safetensors"
    model = task.new_model()
    everything = [*parts.forget, *parts.retain]
    ridge_statistics(model, task, everything, 0.01).save(path)
    expected = unlearned(parts, task, model, regularisation=0.01)
    found = unlearned(Split(parts.forget, OneLook()), task, model, regularisation=0.01, statistics=path)
    torch.testing.assert_close(found.weight, expected.weight)
    torch.testing.assert_close(found.bias, expected.bias)


def test_with_kept_statistics_the_retained_data_may_be_gone(tmp_path):
    parts, task, path = linear_split(), linear(), tmp_path / "statistics.safetensors"
    ridge_statistics(task.new_model(), task, [*parts.forget, *parts.retain]).save(path)
    found = unlearned(Split(parts.forget, []), task, statistics=path)
    torch.testing.assert_close(found.weight, unlearned(parts, task).weight)


def test_statistics_of_a_model_of_another_width_are_refused(tmp_path):
    path = tmp_path / "statistics.safetensors"
    RidgeStatistics.of(*rows(200, 3), 0.1).save(path)
    with pytest.raises((BadFile, BadRequest, BadSetting)):
        unlearned(linear_split(), statistics=path)


def test_statistics_of_other_targets_are_refused(tmp_path):
    path = tmp_path / "statistics.safetensors"
    RidgeStatistics.of(*rows(200, 5, outputs=3), 0.1).save(path)
    with pytest.raises((BadFile, BadRequest, BadSetting)):
        unlearned(linear_split(), statistics=path)


# ---- the last layer of a deep model -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    return regression_original(Engine(progress=False))


def same_features(model, batches, task=None):
    return last_layer_rows(model, task or regression_task(), batches)


def test_of_a_deep_model_the_last_layer_alone_is_made_anew(trained):
    parts, task = band_split(), regression_task()
    result = unlearned(parts, task, trained)
    assert torch.equal(result[0].weight, trained[0].weight) and torch.equal(result[0].bias, trained[0].bias)
    assert not torch.equal(result[3].weight, trained[3].weight)
    features, targets = same_features(trained, parts.retain)
    fit = Ridge(1.0).fit(features.numpy(), targets.numpy())
    outputs = torch.cat([task.outputs(result, batch) for batch in parts.retain])
    np.testing.assert_allclose(outputs.detach(), fit.predict(features.numpy()).reshape(-1, 1), atol=2e-3)


def test_features_are_read_without_dropout_and_the_mode_is_left(trained):
    model = copy.deepcopy(trained).train()
    first, second = (same_features(model, band_split().retain)[0] for _ in range(2))
    assert torch.equal(first, second) and model.training and first.shape == (120, 16)


def test_a_layer_named_for_the_embedding_is_not_taken_for_the_inputs_of_the_last(trained):
    named = regression_task()
    named.feature_layer = "0"  # before the ReLU: as wide as what goes into the last layer, and something else
    assert same_weights(unlearned(band_split(), named, trained), unlearned(band_split(), regression_task(), trained))


def test_a_silent_unit_is_no_trouble_with_a_penalty_and_named_without(trained):
    model = copy.deepcopy(trained)
    with torch.no_grad():
        model[0].weight[3], model[0].bias[3] = 0.0, -1.0  # a ReLU that never fires
    assert unlearned(band_split(), regression_task(), model)[3].weight.isfinite().all()
    with pytest.raises(BadSetting, match=DEPENDENT):
        unlearned(band_split(), regression_task(), model, regularisation=0.0)


def test_what_goes_is_unlearned_and_the_rest_kept(trained):
    parts, task = band_split(), regression_task()
    result = unlearned(parts, task, trained)
    assert task.evaluate(result, parts.forget)["mae"] > 1.2 * task.evaluate(trained, parts.forget)["mae"]
    assert task.evaluate(result, parts.retain)["mae"] < 1.2 * task.evaluate(trained, parts.retain)["mae"]


# ---- what it refuses ----------------------------------------------------------------------------------------------------


def test_quantiles_are_refused():
    quantiles = RegressionTask(lambda: nn.Linear(5, 3), "pinball")
    message = "^ridge-downdate: quantiles have no closed form; the task's loss must not be pinball$"
    with pytest.raises(BadSetting, match=message):
        unlearned(linear_split(), quantiles)


def test_a_last_layer_without_bias_is_refused():
    with pytest.raises(BadSetting, match=r"^ridge-downdate: the last layer has no bias$"):
        unlearned(linear_split(), RegressionTask(lambda: nn.Linear(5, 1, bias=False)))


def test_a_model_without_a_dense_layer_is_refused():
    with pytest.raises(BadSetting, match=r"^the model has no nn\.Linear"):
        unlearned(linear_split(), RegressionTask(lambda: nn.Sequential(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 1, 5))))


def test_a_last_layer_whose_answer_is_changed_afterwards_is_refused():
    """The solution would be for targets that the model no longer gives."""
    with pytest.raises(BadSetting, match="ridge-downdate"):
        unlearned(linear_split(), RegressionTask(lambda: nn.Sequential(nn.Linear(5, 1), nn.Softplus())))


def test_a_negative_penalty_is_refused():
    with pytest.raises(BadSetting, match=r"^ridge-downdate: regularisation must be 0 or more, not -1$"):
        RidgeDowndate(regularisation=-1)

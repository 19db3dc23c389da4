"""Regression: losses, errors and bands by hand, and shapes that must not broadcast."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.data import Records, Target
from expunge.errors import BadSetting
from expunge.tasks import TASKS, RegressionTask
from expunge.tasks.regression import band_edges

PRICE = Target("price", mean=200.0, scale=50.0, unit="USD")


def task(loss="l1", **settings) -> RegressionTask:
    return RegressionTask(lambda: nn.Linear(4, 1), loss, **settings)


def beside(targets, width: int = 4):
    """A batch with these targets; the inputs do not matter."""
    targets = torch.tensor(targets)
    return torch.zeros(len(targets), width), targets


def says(*rows):
    """A model that gives these outputs whatever it reads."""
    return lambda inputs: torch.tensor(rows)


def of(targets) -> TensorDataset:
    targets = torch.tensor(targets)
    return TensorDataset(torch.zeros(len(targets), 1), targets)


# ---- losses -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("l1", [0.5, 2.0, 3.0, 0.0]),
        ("l2", [0.25, 4.0, 9.0, 0.0]),
        ("huber", [0.125, 1.5 * (2.0 - 0.75), 1.5 * (3.0 - 0.75), 0.0]),
    ],
)
def test_losses_by_hand(loss, expected):
    outputs = torch.tensor([[1.5], [-1.0], [4.0], [2.0]])
    batch = beside([[1.0], [1.0], [1.0], [2.0]])
    assert task(loss, delta=1.5).losses(outputs, batch).tolist() == pytest.approx(expected)


def test_huber_is_smooth_where_squares_turn_into_absolute_values():
    error = torch.tensor([[0.999], [1.001], [5.0], [-5.0]], requires_grad=True)
    losses = task("huber", delta=1.0).losses(error, beside([[0.0]] * 4))
    losses.sum().backward()
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=0.003)
    assert error.grad.flatten().tolist() == pytest.approx([0.999, 1.0, 1.0, -1.0])


def test_pinball_by_hand():
    # Target 10, quantiles 8, 11, 14 at levels 0.1, 0.5, 0.9: 0.1 * 2, 0.5 * 1 and 0.1 * 4. Target 0 lies below all of 1, 2, 3:
    # 0.9 * 1, 0.5 * 2, 0.1 * 3.
    outputs = torch.tensor([[[8.0, 11.0, 14.0]], [[1.0, 2.0, 3.0]]])
    found = task("pinball").losses(outputs, beside([[10.0], [0.0]]))
    assert found.tolist() == pytest.approx([(0.2 + 0.5 + 0.4) / 3, (0.9 + 1.0 + 0.3) / 3])


def test_pinball_asks_for_the_quantile_that_its_level_names():
    targets = torch.arange(1.0, 101.0)
    candidates = torch.arange(1.0, 101.0)
    for level in (0.1, 0.5, 0.9):
        quantile = task("pinball", quantiles=(level,))
        losses = [quantile.losses(value.expand(100, 1, 1), (targets, targets)).mean().item() for value in candidates]
        assert candidates[np.argmin(losses)].item() == pytest.approx(100 * level, abs=1)


def test_the_median_alone_is_half_the_absolute_error():
    outputs, batch = torch.tensor([[3.0], [-1.0]]), beside([[1.0], [1.0]])
    median = task("pinball", quantiles=(0.5,)).losses(outputs.unsqueeze(-1), batch)
    assert median.tolist() == (task().losses(outputs, batch) / 2).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("loss", "expected"), [("l1", 2.0), ("l2", 14 / 3), ("huber", (0.5 + 1.5 + 2.5) / 3)])
def test_losses_of_a_vector_are_its_mean(loss, expected):
    outputs, batch = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]]), beside([[0.0, 0.0, 0.0]] * 2)
    assert task(loss).losses(outputs, batch).tolist() == pytest.approx([expected, 0.0])


def test_pinball_of_a_vector_is_the_mean_over_numbers_and_quantiles():
    outputs = torch.tensor([[[0.0, 2.0], [1.0, 1.0]]])  # one example, two numbers, two quantiles
    found = task("pinball", quantiles=(0.25, 0.75)).losses(outputs, beside([[1.0, 3.0]]))
    assert found.tolist() == pytest.approx([(0.25 * 1 + 0.25 * 1 + 0.25 * 2 + 0.75 * 2) / 4])


def test_targets_of_several_dimensions_are_laid_out_in_a_row():
    batch = beside([[[1.0, 2.0], [3.0, 4.0]]])
    outputs = task().outputs(says([[1.0, 2.0], [3.0, 8.0]]), batch)
    assert outputs.shape == (1, 4) and task().losses(outputs, batch).tolist() == [1.0]


def test_whole_numbers_are_targets_like_others():
    assert task("l2").losses(torch.tensor([[1.5]]), beside([1])).tolist() == [0.25]


# ---- shapes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [[0.0, 10.0, 20.0], [[0.0], [10.0], [20.0]]], ids=["(n,)", "(n, 1)"])
@pytest.mark.parametrize("given", [[1.0, 10.0, 20.0], [[1.0], [10.0], [20.0]]], ids=["(n,)", "(n, 1)"])
@pytest.mark.parametrize("loss", ["l1", "l2", "huber"])
def test_outputs_and_targets_never_broadcast(loss, given, targets):
    batch = beside(targets)
    outputs = task(loss).outputs(lambda _: torch.tensor(given), batch)
    assert outputs.shape == (3, 1)
    expected = 0.5 if loss == "huber" else 1.0
    assert task(loss).losses(outputs, batch).tolist() == [expected, 0.0, 0.0]
    assert task(loss).scores(outputs, batch).tolist() == [1.0, 0.0, 0.0]
    assert task(loss).residuals(outputs, batch).tolist() == [[1.0], [0.0], [0.0]]
    assert task(loss).likelihood_losses(outputs, batch).tolist() == [0.5, 0.0, 0.0]


@pytest.mark.parametrize("loss", ["l1", "l2", "huber", "pinball"])
@pytest.mark.parametrize("targets", [[5.0], [[5.0]]], ids=["(1,)", "(1, 1)"])
def test_a_batch_of_one_is_a_batch(targets, loss):
    regression = RegressionTask(lambda: nn.Linear(4, 3 if loss == "pinball" else 1), loss)
    batch = beside(targets)
    outputs = regression.outputs(regression.new_model(), batch)
    values = [
        regression.losses(outputs, batch),
        regression.scores(outputs, batch),
        regression.likelihood_losses(outputs, batch),
        regression.divergence(outputs, outputs),
        regression.imitation(outputs, outputs),
        regression.groups(batch),
    ]
    assert [value.shape for value in values] == [(1,)] * 6
    assert regression.predictions(outputs).shape == regression.residuals(outputs, batch).shape == (1, 1)
    assert regression.features(regression.new_model(), batch).shape == (1, 4)


@pytest.mark.parametrize("loss", ["l1", "pinball"])
def test_a_batch_of_none_is_a_batch(loss):
    """As a process gets it where a batch has fewer examples than there are processes."""
    regression = RegressionTask(lambda: nn.Linear(4, 3 if loss == "pinball" else 1), loss)
    batch = torch.zeros(0, 4), torch.zeros(0, 1)
    outputs = regression.outputs(regression.new_model(), batch)
    assert regression.losses(outputs, batch).shape == (0,)
    assert regression.imitation(outputs, outputs).shape == (0,)


def test_a_batch_of_none_is_not_taken_for_a_wrong_number_of_outputs():
    with pytest.raises(BadSetting, match=r"^the model gives 2 numbers for an example; its targets need 1$"):
        task().outputs(nn.Linear(4, 2), (torch.zeros(0, 4), torch.zeros(0)))


@pytest.mark.parametrize(
    ("regression", "model", "targets", "message"),
    [
        (task(), nn.Linear(4, 3), [0.0, 0.0], "the model gives 3 numbers for an example; its targets need 1"),
        (task(), nn.Linear(4, 1), [[0.0, 0.0]], "the model gives 1 numbers for an example; its targets need 2"),
        (task(), nn.Linear(4, 2), [[[0.0] * 3] * 2], "the model gives 2 numbers for an example; its targets need 6"),
        (
            task("pinball"),
            nn.Linear(4, 1),
            [[0.0, 0.0]],
            "the model gives 1 numbers for an example; its targets need 6 for 3 quantiles of each",
        ),
    ],
)
def test_a_wrong_number_of_outputs_is_refused(regression, model, targets, message):
    with pytest.raises(BadSetting, match=f"^{message}$"):
        regression.outputs(model, beside(targets))
    with pytest.raises(BadSetting, match=f"^{message}$"):
        regression.evaluate(model, [beside(targets)])


def test_quantiles_of_one_number_stand_side_by_side():
    regression = task("pinball")
    batch = beside([[0.0, 0.0]])
    outputs = regression.outputs(says([1.0, 2.0, 3.0, 10.0, 20.0, 30.0]), batch)
    assert outputs.tolist() == [[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]]
    assert regression.predictions(outputs).tolist() == [[2.0, 20.0]]


@pytest.mark.parametrize(("quantiles", "chosen"), [((0.1, 0.4, 0.9), 2.0), ((0.45, 0.8, 0.9), 1.0), ((0.01, 0.02, 0.1), 3.0)])
def test_the_prediction_is_the_quantile_nearest_to_the_median(quantiles, chosen):
    assert task("pinball", quantiles=quantiles).predictions(torch.tensor([[[1.0, 2.0, 3.0]]])).tolist() == [[chosen]]


# ---- scores, distances, likelihood --------------------------------------------------------------------------------------


def test_scores_are_in_the_targets_unit_and_losses_are_not():
    outputs, batch = torch.tensor([[0.0, 1.0], [2.0, 2.0]]), beside([[1.0, -2.0], [2.0, 2.0]])
    assert task(target=PRICE).losses(outputs, batch).tolist() == [2.0, 0.0]
    assert task(target=PRICE).scores(outputs, batch).tolist() == [100.0, 0.0]
    assert task(target=PRICE).unit == "USD"
    assert RegressionTask.score_name == "mae" and RegressionTask.higher_is_better is False


@pytest.mark.parametrize("loss", ["l2", "huber", "pinball"])
def test_scores_are_absolute_errors_whatever_the_loss(loss):
    outputs = torch.tensor([[[-9.0, 3.0, 9.0]]]) if loss == "pinball" else torch.tensor([[3.0]])
    assert task(loss, target=PRICE).scores(outputs, beside([1.0])).tolist() == [100.0]


def test_in_unit_undoes_scaling():
    values = [-3.0, 0.0, 200.0, 1234.5]
    stored = torch.tensor([PRICE.scaled(value) for value in values], dtype=torch.float64)
    assert task(target=PRICE).in_unit(stored).tolist() == pytest.approx(values, rel=1e-12)
    assert task().in_unit(stored).tolist() == stored.tolist()


def test_divergence_is_the_mean_squared_distance_of_outputs():
    student, teacher = torch.tensor([[1.0, 2.0], [3.0, 3.0]]), torch.tensor([[1.0, 5.0], [3.0, 3.0]])
    assert task().divergence(student, teacher).tolist() == [4.5, 0.0]
    assert task("l2").divergence(student, teacher, temperature=7.0).tolist() == [4.5, 0.0]


def test_divergence_by_huber_grows_no_faster_than_the_distance():
    student, teacher = torch.tensor([[0.5], [10.0], [0.0]]), torch.zeros(3, 1)
    far = task(distance="huber", delta=2.0)
    assert far.divergence(student, teacher).tolist() == [0.125, 2.0 * (10.0 - 1.0), 0.0]
    assert far.divergence(teacher, student).tolist() == far.divergence(student, teacher).tolist()


@pytest.mark.parametrize(("loss", "expected"), [("l1", 1.5), ("l2", 4.5), ("huber", 1.25)])
def test_imitation_is_the_loss_with_the_teacher_for_a_target(loss, expected):
    student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 5.0]])
    found = task(loss).imitation(student, teacher)
    assert found.tolist() == [expected] == task(loss).losses(student, (torch.zeros(1, 4), teacher)).tolist()


def test_imitation_of_quantiles_is_their_absolute_distance():
    student, teacher = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[1.0, 4.0, 2.0]]])
    assert task("pinball").imitation(student, teacher).tolist() == [1.0]
    assert task("pinball").divergence(student, teacher).tolist() == pytest.approx([5 / 3])
    assert task("pinball").imitation(teacher, teacher).tolist() == [0.0]


@pytest.mark.parametrize("loss", ["l1", "huber", "l2"])
def test_the_gradient_of_the_likelihood_grows_with_the_error(loss):
    outputs = torch.tensor([[1.0], [10.0], [-100.0]], requires_grad=True)
    batch = beside([[0.0]] * 3)
    task(loss).likelihood_losses(outputs, batch).sum().backward()
    assert outputs.grad.flatten().tolist() == [1.0, 10.0, -100.0]


def test_the_likelihood_of_quantiles_is_that_of_the_prediction():
    outputs = torch.tensor([[[0.0, 3.0, 9.0]]], requires_grad=True)
    task("pinball").likelihood_losses(outputs, beside([1.0])).sum().backward()
    assert outputs.grad.tolist() == [[[0.0, 2.0, 0.0]]]


def test_the_likelihood_of_a_vector_is_the_sum_over_its_numbers():
    assert task().likelihood_losses(torch.tensor([[1.0, 2.0]]), beside([[0.0, 0.0]])).tolist() == [2.5]


def test_residuals_have_a_sign():
    assert task().residuals(torch.tensor([[1.0], [-2.0]]), beside([0.0, 0.0])).tolist() == [[1.0], [-2.0]]


# ---- bands --------------------------------------------------------------------------------------------------------------


def test_a_target_on_an_edge_belongs_to_the_band_above():
    banded = task(bands=(-1.0, 0.0, 2.0))
    assert banded.groups(beside([-5.0, -1.0, -0.5, 0.0, 1.9, 2.0, 99.0])).tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_a_vector_falls_in_the_band_of_its_mean():
    assert task(bands=(0.0, 2.0)).groups(beside([[-4.0, 2.0], [0.0, 2.0], [1.0, 5.0]])).tolist() == [0, 1, 2]


def test_without_bands_all_are_of_one_group():
    assert task().groups(beside([-5.0, 5.0])).tolist() == [0, 0]
    assert task().group_name(0) == "all"


def test_bands_are_named_in_the_targets_unit():
    banded = task(target=PRICE, bands=(-1.0, 0.0, 20.0))
    assert [banded.group_name(group) for group in range(4)] == ["below 150", "150 to 200", "200 to 1,200", "1,200 and above"]
    assert [task(bands=(0.5,)).group_name(group) for group in range(2)] == ["below 0.5", "0.5 and above"]


def test_edges_divide_into_equally_many():
    targets = torch.randperm(1000, generator=torch.Generator().manual_seed(0)).float()
    edges = band_edges(of(targets.tolist()))
    assert len(edges) == 9
    assert task(bands=edges).groups((targets, targets)).bincount().tolist() == [100] * 10
    assert len(band_edges(of(targets.tolist()), bands=4)) == 3 and band_edges(of([1.0, 2.0]), bands=1) == ()


@pytest.mark.parametrize(
    "targets",
    [
        [0.0] * 8 + [1.0, 2.0],  # most lie at the lowest value
        [0.0, 1.0] + [2.0] * 8,  # or at the highest
        [0.0, 1.0] * 5,
        [0.0] + [1.0] * 98 + [2.0],
        [0.0] * 99 + [1.0],
    ],
)
def test_ties_make_fewer_bands_of_which_none_is_empty(targets):
    edges = band_edges(of(targets))
    assert list(edges) == sorted(set(edges))
    counts = task(bands=edges).groups(beside(targets)).bincount(minlength=len(edges) + 1)
    assert (counts > 0).all(), counts


def test_fewer_targets_than_bands_make_no_empty_band():
    edges = band_edges(of([0.0, 1.0, 5.0]))
    assert task(bands=edges).groups(beside([0.0, 1.0, 5.0])).bincount(minlength=len(edges) + 1).min() > 0


def test_edges_of_vectors_are_those_of_their_means():
    targets = [[-9.0, 9.0], [5.0, 5.0], [0.0, 2.0], [9.0, 3.0]]  # means 0, 5, 1, 6
    assert task(bands=band_edges(of(targets), bands=2)).groups(beside(targets)).tolist() == [0, 1, 0, 1]


def test_equal_targets_have_no_bands():
    with pytest.raises(BadSetting, match=r"^all 1,200 targets are 3\.5: there is nothing to learn, and nothing to forget$"):
        band_edges(of([3.5] * 1200))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_edges_need_finite_targets(bad):
    with pytest.raises(BadSetting, match=f"^the target of row 1 is {bad}; every target must be a finite number$"):
        band_edges(of([0.0, bad, 1.0]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_records_need_finite_targets(bad):
    with pytest.raises(BadSetting, match=f"^the target of row 2 is {bad}, no finite number; correct or remove the row$"):
        Records(torch.zeros(3, 1), torch.tensor([0.0, 1.0, bad]))
    with pytest.raises(BadSetting, match=rf"^the target of row 1 is \[0.0, {bad}\], no finite number"):
        Records(torch.zeros(2, 1), torch.tensor([[0.0, 1.0], [0.0, bad]]))


# ---- evaluate, features -------------------------------------------------------------------------------------------------


def test_evaluate_gives_the_error_in_the_targets_unit_and_the_loss_as_trained():
    stream = [beside([1.0, 1.0, 3.0]), beside([2.0])]
    found = task("l2", target=PRICE).evaluate(nn.Sequential(nn.Linear(4, 1, bias=False)), stream)  # inputs are 0
    assert found == {"mae": pytest.approx(50 * 7 / 4), "loss": pytest.approx((1 + 1 + 9 + 4) / 4)}


def test_evaluate_of_nothing_is_not_a_number():
    found = task().evaluate(nn.Linear(4, 1), [])
    assert found.keys() == {"mae", "loss"} and all(math.isnan(value) for value in found.values())


def test_features_are_what_goes_into_the_last_linear_layer():
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    inputs = torch.randn(5, 4)
    batch = inputs, torch.zeros(5)
    torch.testing.assert_close(task().features(model, batch), model[:2](inputs))
    torch.testing.assert_close(task(feature_layer="0").features(model, batch), model[0](inputs))


# ---- settings -----------------------------------------------------------------------------------------------------------


def test_it_is_registered_by_its_files_name():
    assert TASKS["regression"] is RegressionTask and RegressionTask.name == "regression"


def test_quantiles_mean_nothing_to_other_losses():
    assert task("l1", quantiles=(0.2, 0.8)).quantiles == ()
    assert task("pinball", quantiles=(0.2, 0.8)).quantiles == (0.2, 0.8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: task("mse"), "loss must be one of l1, l2, huber, pinball, not 'mse'"),
        (lambda: task(distance="kl"), "distance must be 'squared' or 'huber', not 'kl'"),
        (lambda: task("huber", delta=0.0), "delta must be above 0, not 0.0"),
        (lambda: task("huber", delta=math.nan), "delta must be above 0, not nan"),
        (lambda: task("pinball", quantiles=()), r"quantiles must rise between 0 and 1, not \(\)"),
        (lambda: task("pinball", quantiles=(0.5, 0.1)), r"quantiles must rise between 0 and 1, not \(0.5, 0.1\)"),
        (lambda: task("pinball", quantiles=(0.5, 0.5)), r"quantiles must rise between 0 and 1, not \(0.5, 0.5\)"),
        (lambda: task("pinball", quantiles=(0.0, 0.5)), r"quantiles must rise between 0 and 1, not \(0.0, 0.5\)"),
        (lambda: task("pinball", quantiles=(0.5, 1.0)), r"quantiles must rise between 0 and 1, not \(0.5, 1.0\)"),
        (lambda: task("pinball", quantiles=(math.nan,)), r"quantiles must rise between 0 and 1, not \(nan,\)"),
        (lambda: task(bands=(2.0, 1.0)), r"the edges of bands must rise, not \(2.0, 1.0\)"),
        (lambda: task(bands=(1.0, 1.0)), r"the edges of bands must rise, not \(1.0, 1.0\)"),
        (lambda: task(bands=(0.0, math.nan)), r"the edges of bands must rise, not \(0.0, nan\)"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=f"^{message}$"):
        make()

"""Gaussian-Amnesiac: the noise has the statistics that were asked for, is drawn once, and stays with its examples."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from expunge.data import Target
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Finetune, GaussianAmnesiac, SalUn
from expunge.methods.gaussian_amnesiac import with_gaussian_targets
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import RegressionTask
from tiny import band_split, regression_original, regression_task, same_weights

LINEAR = RegressionTask(lambda: nn.Linear(1, 1), "l2")


def split_of(goes, stays, width: int = 1, batch_size: int = 64) -> Split:
    """Inputs are the rows' own numbers."""
    goes, stays = torch.as_tensor(goes), torch.as_tensor(stays)
    inputs = torch.arange(float(len(goes) + len(stays))).unsqueeze(1).expand(-1, width)
    data = TensorDataset(inputs, torch.cat([goes, stays]))
    rows = range(len(goes)), range(len(goes), len(inputs))
    return Split(Batches(data, batch_size, rows[0]), Batches(data, batch_size, rows[1]))


def drawn(parts, task=LINEAR, seed: int = 0, **settings):
    """Inputs and noise in the order of the inputs."""
    inputs, targets = with_gaussian_targets(task, parts, Engine(seed=seed, progress=False), **settings).dataset.tensors
    order = inputs[:, 0].argsort()
    return inputs[order], targets[order]


@pytest.fixture(scope="module")
def trained():
    return regression_original(Engine(progress=False))


# ---- the noise ----------------------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_all_targets_or_of_the_retained():
    parts = split_of(torch.full((4000, 1), 10.0), torch.tensor([[-1.0], [1.0]] * 2000))
    # All: mean 5, variance 1/2 + (5^2 + 5^2) / 2. Retained: mean 0, variance 1.
    for statistics, mean, deviation in (("all", 5.0, 25.5**0.5), ("retained", 0.0, 1.0)):
        noise = drawn(parts, statistics=statistics)[1]
        assert noise.mean().item() == pytest.approx(mean, abs=4 * deviation / 4000**0.5)
        assert noise.std().item() == pytest.approx(deviation, rel=0.05)


def test_the_draws_of_both_statistics_differ_by_place_and_width_alone():
    goes, stays = torch.tensor([[10.0], [20.0], [60.0]]), torch.tensor([[1.0], [2.0], [6.0]])
    parts = split_of(goes, stays)
    everything = torch.cat([goes, stays])
    standard = [
        (drawn(parts, statistics=statistics)[1] - known.mean()) / known.std()
        for statistics, known in (("all", everything), ("retained", stays))
    ]
    torch.testing.assert_close(*standard)


def test_retained_statistics_do_not_look_at_what_goes():
    stays = torch.tensor([[1.0], [2.0], [6.0]])
    one, two = split_of([[10.0], [20.0]], stays), split_of([[-7.0], [1e6]], stays)
    assert torch.equal(drawn(one, statistics="retained")[1], drawn(two, statistics="retained")[1])
    assert not torch.equal(drawn(one)[1], drawn(two)[1])


def test_each_number_of_a_vector_has_its_own_statistics():
    goes = torch.tensor([[0.0, 100.0, 7.0]] * 3000)
    stays = torch.tensor([[0.0, 90.0, 7.0], [2.0, 110.0, 7.0]] * 1500)
    noise = drawn(split_of(goes, stays), statistics="retained")[1]
    assert noise.shape == (3000, 3)
    assert noise.mean(0).tolist() == pytest.approx([1.0, 100.0, 7.0], abs=0.8)
    assert noise.std(0).tolist() == pytest.approx([1.0, 10.0, 0.0], rel=0.05)
    assert noise[:, :2].T.corrcoef()[0, 1].abs() < 0.1


def test_targets_without_a_second_dimension_stay_so():
    parts = split_of([1.0, 2.0, 3.0], [4.0, 5.0])
    assert drawn(parts)[1].shape == (3,)
    result = GaussianAmnesiac()(LINEAR.new_model(), LINEAR, parts, Engine(progress=False))
    assert all(parameter.isfinite().all() for parameter in result.parameters())


def test_whole_numbers_are_targets_like_others():
    """Ages, as a folder of files gives them."""
    goes, stays = torch.tensor([[70], [80], [90]]), torch.tensor([[10], [20], [60], [20]])
    whole, real = split_of(goes, stays), split_of(goes.float(), stays.float())
    torch.testing.assert_close(drawn(whole)[1], drawn(real)[1])


def test_clipping_brings_the_noise_into_the_tasks_range():
    bounded = RegressionTask(lambda: nn.Linear(1, 1), target=Target("age", mean=40.0, scale=20.0, lowest=0.0, highest=50.0))
    parts = split_of(torch.zeros(500, 1), torch.tensor([[-1.0], [1.0]] * 250))
    free, clipped = (drawn(parts, bounded, clip=clip)[1] for clip in (False, True))
    assert free.min() < -2 and free.max() > 0.5
    assert (clipped.min().item(), clipped.max().item()) == (-2.0, 0.5)  # 0 and 50 years as they are stored
    torch.testing.assert_close(clipped, free.clamp(-2.0, 0.5))


def test_clipping_without_a_range_changes_nothing():
    parts = split_of([[1.0], [2.0]], [[4.0], [5.0]])
    assert torch.equal(drawn(parts, clip=True)[1], drawn(parts)[1])


def test_clip_is_passed_on(trained):
    narrow = copy.copy(regression_task())
    narrow.target = Target("level", lowest=-0.01, highest=0.01)
    first, second = (
        GaussianAmnesiac(clip=clip)(trained, narrow, band_split(), Engine(progress=False)) for clip in (False, True)
    )
    assert not same_weights(first, second)


def test_the_inputs_are_those_of_what_goes_each_once():
    parts = split_of(torch.zeros(10, 1), torch.ones(30, 1), batch_size=4)
    batches = with_gaussian_targets(LINEAR, parts, Engine(progress=False))
    assert sorted(batches.dataset.tensors[0].flatten().tolist()) == list(range(10))
    assert batches.batch_size == 4 and batches.examples == 10


def test_the_same_seed_draws_the_same_noise_and_another_does_not():
    parts = split_of(torch.zeros(10, 1), torch.tensor([[-1.0], [1.0]] * 5))
    assert torch.equal(drawn(parts)[1], drawn(parts)[1])
    assert not torch.equal(drawn(parts)[1], drawn(parts, seed=1)[1])
    state = torch.get_rng_state()
    drawn(parts)
    assert torch.equal(torch.get_rng_state(), state)


# ---- training -----------------------------------------------------------------------------------------------------------


class Listening(RegressionTask):
    """Takes down the targets that the network is trained towards, by input."""

    def losses(self, outputs, batch):
        for number, target in zip(batch[0][:, 0].tolist(), batch[1].flatten().tolist(), strict=True):
            self.heard.setdefault(number, []).append(target)
        return super().losses(outputs, batch)


def test_every_epoch_teaches_the_same_noise_and_true_targets_for_what_stays():
    task = Listening(lambda: nn.Linear(1, 1))
    task.heard = {}
    parts = split_of(torch.full((8, 1), 5.0), torch.tensor([[-1.0], [1.0]] * 12), batch_size=6)
    GaussianAmnesiac(epochs=3)(task.new_model(), task, parts, Engine(progress=False))
    assert sorted(task.heard) == list(range(32))
    for number, targets in task.heard.items():
        assert len(targets) == 3 and len(set(targets)) == 1, number
    assert [task.heard[number][0] for number in range(8, 32)] == [-1.0, 1.0] * 12
    noise = [task.heard[number][0] for number in range(8)]
    assert len(set(noise)) == 8 and 5.0 not in noise


@pytest.mark.parametrize(
    ("goes", "stays", "batch_size"), [(25, 100, 10), (10, 100, 64), (35, 100, 10), (1, 50, 8), (30, 10, 4)]
)
def test_one_epoch_teaches_noise_for_every_example_that_goes(goes, stays, batch_size):
    task = Listening(lambda: nn.Linear(1, 1))
    task.heard = {}
    parts = split_of(torch.zeros(goes, 1), torch.tensor([[-1.0], [1.0]] * (stays // 2)), batch_size=batch_size)
    GaussianAmnesiac(epochs=1)(task.new_model(), task, parts, Engine(progress=False))
    assert len(task.heard) == goes + stays


def test_both_terms_are_weighed_by_their_shares_of_the_training_set():
    model = nn.Linear(1, 1)
    parts = split_of(torch.zeros(10, 1), torch.tensor([[-1.0], [1.0]] * 15))
    engine = Engine(progress=False)
    GaussianAmnesiac(epochs=1, statistics="retained")(model, LINEAR, parts, engine)
    other = Engine(progress=False)
    with other.scope("gaussian-amnesiac"):
        noise = with_gaussian_targets(LINEAR, parts, other, "retained").dataset.tensors
    stays = next(iter(parts.retain))
    with torch.no_grad():
        expected = {
            "retain": 0.75 * (model(stays[0]) - stays[1]).square().mean().item(),
            "forget": 0.25 * (model(noise[0]) - noise[1]).square().mean().item(),
        }
    assert engine.history[0]["terms"] == {name: pytest.approx(value, rel=1e-5) for name, value in expected.items()}


def test_the_true_targets_of_what_goes_are_never_learned(trained):
    parts = band_split()
    inputs, targets = (tensor.clone() for tensor in parts.forget.dataset.tensors)
    targets[120:] = 1e6
    other = replace(parts, forget=Batches(TensorDataset(inputs, targets), 16, range(120, 160)))
    method = GaussianAmnesiac(statistics="retained")
    first, second = (method(trained, regression_task(), given, Engine(progress=False)) for given in (parts, other))
    assert same_weights(first, second)


def test_a_band_is_forgotten_and_the_rest_kept(trained):
    parts, task = band_split(), regression_task()
    result = GaussianAmnesiac(epochs=10, optimizer=Optimizer("adam", 5e-3))(trained, task, parts, Engine(progress=False))
    tuned = Finetune(epochs=10, optimizer=Optimizer("adam", 5e-3))(trained, task, parts, Engine(progress=False))
    old, kept, new = (task.evaluate(model, parts.forget)["mae"] for model in (trained, tuned, result))
    assert new > 2 * old and new > 1.3 * kept
    assert task.evaluate(result, parts.retain)["mae"] < 1.5 * task.evaluate(trained, parts.retain)["mae"]


def test_a_loader_serves_as_well(trained):
    parts = band_split()
    data = parts.forget.dataset
    loaders = Split(
        DataLoader(TensorDataset(*(tensor[120:] for tensor in data.tensors)), 16, shuffle=True),
        DataLoader(TensorDataset(*(tensor[:120] for tensor in data.tensors)), 16, shuffle=True),
    )
    first, second = (GaussianAmnesiac()(trained, regression_task(), loaders, Engine(progress=False)) for _ in range(2))
    assert same_weights(first, second) and not same_weights(first, trained)


def test_salun_teaches_noise_drawn_in_the_same_way():
    task = Listening(lambda: nn.Linear(1, 1))
    task.heard = {}
    parts, engine = split_of(torch.full((8, 1), 5.0), torch.tensor([[-1.0], [1.0]] * 12)), Engine(progress=False)
    SalUn(epochs=4)(task.new_model(), task, parts, engine)
    with engine.scope("salun"):
        inputs, noise = with_gaussian_targets(LINEAR, parts, engine).dataset.tensors
    for number, target in zip(inputs.flatten().tolist(), noise.flatten().tolist(), strict=True):
        assert task.heard[number] == [5.0] + [target] * 4  # the true target once, for the mask


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"statistics": "forget"}, "statistics must be 'all' or 'retained', not 'forget'"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^gaussian-amnesiac: {message}$"):
        GaussianAmnesiac(**settings)

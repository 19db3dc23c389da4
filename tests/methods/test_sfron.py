"""SFRon: which weights its fast steps move, which examples they push, and what is mended between."""

import itertools
from dataclasses import replace

import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import SFRon
from expunge.methods.sfron import Alternating, adaptive_weights, more_important
from expunge.optimizers import Optimizer
from expunge.split import Batches, one_epoch
from tiny import band_split, class_split, original, regression_original, regression_task, same_weights, task


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def score(model, stream):
    return task().evaluate(model, stream)["accuracy"]


def test_a_class_goes_and_the_others_stay(trained):
    split = class_split()
    result = SFRon(push=3.0)(trained, task(), split, Engine(progress=False))
    assert score(result, split.forget) < 0.5 and score(result, split.retain) > 0.93


def test_a_band_of_real_numbers_goes():
    split, numbers = band_split(), regression_task()
    model = regression_original(Engine(progress=False))
    result = SFRon()(model, numbers, split, Engine(progress=False))
    before, after = ([numbers.evaluate(each, part)["mae"] for part in (split.forget, split.retain)] for each in (model, result))
    assert after[0] > 2 * before[0] and after[1] < 2 * before[1]


def test_hard_pushed_examples_are_those_with_a_small_loss():
    losses = torch.tensor([0.01, 1.0, 4.0], requires_grad=True)
    weights = adaptive_weights(losses, 1.0)
    assert torch.allclose(weights, torch.tensor([100.0, 1.0, 0.25]) / 33.75) and not weights.requires_grad
    assert adaptive_weights(losses, 0.0).tolist() == pytest.approx([1, 1, 1])
    assert torch.isfinite(adaptive_weights(torch.tensor([0.0, 1.0, -1e-7]), 0.5)).all()


def test_fast_steps_move_salient_weights_alone(trained):
    """Losses of what stays are made zero, so that what moves is what fast steps move."""
    split, classes = class_split(), task()
    honest = classes.losses
    classes.losses = lambda outputs, batch: honest(outputs, batch) * (batch[1] == 3)
    result = SFRon(gamma=3.0, optimizer=Optimizer("sgd", 0.05))(trained, classes, split, Engine(progress=False))
    method, engine = SFRon(gamma=3.0), Engine(progress=False)
    with engine.scope("sfron"):
        mask = method._mask(trained, classes, split, engine)
    moved = [before != after for before, after in zip(trained.parameters(), result.parameters(), strict=True)]
    assert any(each.any() for each in moved)
    assert not any((each & ~salient).any() for each, salient in zip(moved, mask, strict=True))


def test_a_higher_gamma_leaves_fewer_weights():
    generator = torch.Generator().manual_seed(0)
    goes, stays = ({"w": torch.rand(100, generator=generator)} for _ in range(2))
    counts = [int(more_important(goes, stays, gamma)["w"].sum()) for gamma in (0.0, 0.5, 1.0, 5.0)]
    assert counts[0] == 100 and counts == sorted(counts, reverse=True) and counts[-1] < 20


def test_the_length_of_a_fast_step_is_bounded(trained):
    split, recipe = class_split(), Optimizer("sgd", 1.0)
    whole = replace(split, forget=split.forget.with_batch_size(40))
    still = task()
    still.losses = lambda outputs, batch: task().losses(outputs, batch) * (batch[1] == 3)
    settings = {"epochs": 1, "mend": 1, "optimizer": recipe, "schedule": "constant", "push": 1000.0}
    result = SFRon(clip_norm=0.01, **settings)(trained, still, whole, Engine(progress=False))
    pairs = zip(trained.parameters(), result.parameters(), strict=True)
    length = torch.cat([(before - after).flatten() for before, after in pairs]).norm().item()
    assert length == pytest.approx(0.01, rel=1e-3)


def test_fast_and_slow_steps_take_turns_and_the_push_falls():
    split = class_split()
    turns = []
    for number in range(2):
        plan = Alternating(split.forget, split.retain, 2, 8.0, number, 2)
        found = list(one_epoch(plan, torch.Generator().manual_seed(number)))
        assert len(found) == len(plan) == 9
        turns += found
    assert [turn.push is None for turn in turns] == [False, True, True] * 6
    pushes = [turn.push for turn in turns if turn.push is not None]
    assert pushes[0] == 8 and all(first > second > 0 for first, second in itertools.pairwise(pushes))
    assert all(set(turn.batch[1].tolist()) == {3} for turn in turns if turn.push is not None)
    assert not any(3 in turn.batch[1].tolist() for turn in turns if turn.push is None)
    stays = torch.cat([turn.batch[0] for turn in turns[:9] if turn.push is None])
    assert len(stays.unique(dim=0)) == len(stays), "a retained batch came twice within one pass"


def test_a_killed_run_goes_on(trained, tmp_path):
    class Mortal(type(task())):
        steps = 0

        def losses(self, outputs, batch):
            Mortal.steps += torch.is_grad_enabled() and len(batch[1]) > 1
            if Mortal.steps == 12:
                raise KeyboardInterrupt
            return super().losses(outputs, batch)

    split, method = class_split(), SFRon(mend=2, epochs=2)
    whole = method(trained, task(), split, Engine(progress=False))
    with pytest.raises(KeyboardInterrupt):
        method(trained, Mortal(task().factory, 4), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=1))
    assert list(tmp_path.rglob("*.safetensors"))
    resumed = method(trained, task(), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=1))
    assert same_weights(whole, resumed)


def test_streams_that_are_plain_lists_serve_as_well(trained):
    split = class_split()
    plain = replace(split, forget=list(split.forget), retain=list(split.retain))
    assert not same_weights(SFRon(epochs=1)(trained, task(), plain, Engine(progress=False)), trained)
    assert isinstance(split.forget, Batches)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": -1}, "gamma must be 0 or more, not -1"),
        ({"adapt": -0.5}, "adapt must be 0 or more, not -0.5"),
        ({"push": -2}, "push must be 0 or more, not -2"),
        ({"mend": 0}, "mend must be at least 1, not 0"),
        ({"clip_norm": 0}, "clip_norm must be above 0, not 0"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"sfron: {message}"):
        SFRon(**settings)

"""MMRecUN: both moves do what they say, and it stops where it should."""

import copy
from dataclasses import replace

import pytest
import torch

import tiny_interactions as tiny
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods import MMRecUN
from expunge.methods.mmrecun import _drawn, never_seen, reversed_losses
from expunge.rows import reset
from expunge.tasks.recommendation import margins


def mean_margin(model, stream) -> float:
    return tiny.task().collect(model, stream, lambda outputs, _: margins(outputs).mean(1)).mean().item()


def unlearned(split, **settings):
    settings = {"cycles": 1, "reverse_epochs": 2, "forward_epochs": 0, "stop": "never"} | settings
    return MMRecUN(**settings)(tiny.trained(), tiny.task(), split, Engine(0, progress=False))


def test_a_backward_move_lowers_what_goes():
    split = tiny.parts().without(tiny.removal("pairs"))
    assert mean_margin(unlearned(split), split.forget) < mean_margin(tiny.trained(), split.forget) - 0.1


@pytest.mark.parametrize("reverse", ["swap", "negate"])
def test_a_step_against_the_reversed_loss_lowers_the_margin(reverse):
    outputs = torch.tensor([[2.0, 0.5, 0.0], [-1.0, 1.0, 0.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(reversed_losses(outputs, reverse).sum(), outputs)
    assert (gradient[:, 0] > 0).all() and (gradient[:, 1] < 0).all()
    well_learned, forgotten = gradient[:, 0]
    assert (well_learned > forgotten) == (reverse == "swap"), "swap fades as a pair is forgotten, negate grows"


def test_a_forward_move_is_fine_tuning_and_lowers_the_loss_of_what_stays():
    split = tiny.parts().without(tiny.removal("users"))
    before = tiny.task().evaluate(tiny.trained(), split.retain)["loss"]
    found = unlearned(split, reverse_epochs=0, forward_epochs=5)
    assert tiny.task().evaluate(found, split.retain)["loss"] < before


def test_backward_moves_alone_destroy_and_forward_moves_repair():
    split = tiny.parts().without(tiny.removal("users"))
    alone, repaired = (unlearned(split, cycles=4, reverse_epochs=20, forward_epochs=epochs) for epochs in (0, 5))
    kept = [tiny.task().evaluate(model, split.retain)["loss"] for model in (alone, repaired, tiny.trained())]
    assert kept[0] > kept[1] and kept[0] > 1.1 * kept[2]


@pytest.mark.parametrize("kind", ["users", "items", "pairs"])
def test_it_stops_at_the_level_of_what_was_never_seen(kind):
    split = tiny.parts().without(tiny.removal(kind))
    level = never_seen(tiny.task(), split, tiny.trained(), Engine(0))
    assert level is not None and not level(tiny.trained())
    if kind != "pairs":
        fresh = Engine(0).new_model(tiny.task().new_model, "never seen")
        assert level(reset(copy.deepcopy(tiny.trained()), fresh, split.retain.interactions))
    engine = Engine(0, progress=False)
    MMRecUN(cycles=20, reverse_epochs=5, forward_epochs=1)(tiny.trained(), tiny.task(), split, engine)
    turns = {entry["fit"] for entry in engine.history if "reverse-" in entry["fit"]}
    assert 1 <= len(turns) < 20


def test_it_stops_by_nothing_that_test_pairs_say():
    parts = tiny.parts()
    both = [replace(parts, test=test).without(tiny.removal("pairs")) for test in (parts.test, parts.test[:1])]
    for name in ("forget", "validation_forget"):
        first, second = (_drawn(getattr(split, name))[0] for split in both)
        audited = [next(iter(getattr(split, name))) for split in both]
        assert torch.equal(first.negatives, second.negatives)
        assert not torch.equal(audited[0].negatives, audited[1].negatives)


def test_without_validation_pairs_nothing_can_tell_when_to_stop():
    split = replace(tiny.parts().without(tiny.removal("pairs")), validation_forget=())
    assert never_seen(tiny.task(), split, tiny.trained(), Engine(0)) is None


def test_where_no_pair_goes_there_is_nothing_to_turn_round():
    with pytest.raises(BadRequest, match="no pair goes"):
        unlearned(tiny.parts().without(tiny.removal("features")))


def test_no_turn_changes_nothing():
    split = tiny.parts().without(tiny.removal("users"))
    found = unlearned(split, cycles=0)
    assert all(torch.equal(*pair) for pair in zip(found.parameters(), tiny.trained().parameters(), strict=True))


def test_wrong_settings_are_refused():
    with pytest.raises(BadSetting, match="reverse is 'swap' or 'negate'"):
        MMRecUN(reverse="turn")
    with pytest.raises(BadSetting, match="cycles"):
        MMRecUN(cycles=-1)

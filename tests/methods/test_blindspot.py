"""Blindspot: whom the student listens to, what the teacher never sees, and limits in which it is another method."""

import copy
import itertools

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.attention import recorded
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Blindspot, Finetune, Retrain
from expunge.methods.method import frozen
from expunge.methods.shrink_perturb import blended
from expunge.models.pair_lstm import PairLSTM
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import RegressionTask
from tiny import same_weights

SGD = Optimizer("sgd", 0.05)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


def task() -> RegressionTask:
    return RegressionTask(network, "l2")


def curve(rows: int = 128) -> TensorDataset:
    """A rise that grows steeper, y = exp(2 x) / 4 for x in -1..1, sorted by x and so by y: the end can't be guessed."""
    inputs = torch.linspace(-1, 1, rows).unsqueeze(1)
    return TensorDataset(inputs, (2 * inputs).exp() / 4)


def split(batch_size: int = 32) -> Split:
    """The highest quarter must go."""
    return Split(Batches(curve(), batch_size, range(96, 128)), Batches(curve(), batch_size, range(96)))


def original(seed: int = 0) -> nn.Module:
    recipe = Retrain(epochs=60, optimizer=Optimizer("adam", 1e-2))
    engine = Engine(seed=seed, progress=False)
    with engine.scope("original"):
        return recipe.train(task(), Batches(curve(), 32), engine)


@pytest.fixture(scope="module")
def trained():
    return original()


def error(model, stream):
    return task().evaluate(model, stream)["mae"]


def close_weights(first, second):
    for ours, theirs in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def terms(engine, name="fit"):
    return [row["terms"] for row in engine.history if row["fit"] == f"blindspot/{name}"]


def teacher_of(method, model, parts):
    """The network that the student listened to, made again."""
    engine = Engine(progress=False)
    with engine.scope("blindspot"):
        return method._teacher(copy.deepcopy(model), task(), parts, engine)


# ---- limits -------------------------------------------------------------------------------------------------------------


def test_without_forget_weight_it_is_fine_tuning(trained):
    settings = {"epochs": 3, "optimizer": SGD, "schedule": "cosine"}
    parts = split()
    result = Blindspot(forget_weight=0.0, teacher_epochs=1, **settings)(trained, task(), parts, Engine(progress=False))
    expected, engine = copy.deepcopy(trained), Engine(progress=False)
    with engine.scope("blindspot"):  # the same stream of batches
        Finetune(**settings).unlearn(expected, task(), parts, engine)
    close_weights(result, expected)
    assert not same_weights(result, trained)


def test_without_forget_weight_no_step_depends_on_the_teacher(trained):
    results = [
        Blindspot(forget_weight=0.0, teacher_epochs=epochs, warm_start=warm, attention_weight=5.0)(
            trained, task(), split(), Engine(progress=False)
        )
        for epochs, warm in ((0, 0.0), (4, 0.9))
    ]
    assert same_weights(*results)


def test_with_forget_weight_alone_the_student_comes_to_say_what_the_teacher_says(trained):
    method = Blindspot(forget_weight=1.0, teacher_epochs=0, warm_start=0.0, epochs=100, optimizer=Optimizer("adam", 1e-2))
    parts = split()
    result, teacher = method(trained, task(), parts, Engine(progress=False)), teacher_of(method, trained, parts)
    inputs = curve().tensors[0][96:]
    before = task().divergence(trained(inputs), teacher(inputs)).mean()
    assert task().divergence(result(inputs), teacher(inputs)).mean() < before / 100


def test_a_teacher_that_is_the_original_has_nothing_to_teach(trained):
    engine = Engine(progress=False)
    method = Blindspot(teacher_epochs=0, warm_start=1.0, attention_weight=1.0, epochs=3)
    method(trained, task(), split(batch_size=96), engine)  # one step an epoch
    first, second = terms(engine)[:2]
    assert first["forget"] == 0.0 == first["attention"] and first["retain"] > 0
    assert second["forget"] > 0 and second["attention"] > 0  # the retained data has moved the student meanwhile
    other = Engine(progress=False)
    Blindspot(teacher_epochs=0, warm_start=0.9, attention_weight=1.0, epochs=1)(trained, task(), split(96), other)
    assert terms(other)[0]["forget"] > 0 and terms(other)[0]["attention"] > 0


def test_no_epochs_train_no_teacher(trained):
    engine = Engine(progress=False)
    assert same_weights(Blindspot(epochs=0)(trained, task(), split(), engine), trained)
    assert engine.history == []


# ---- the loss -----------------------------------------------------------------------------------------------------------


def whole(parts):
    """Both streams as one batch each."""
    return next(iter(parts.forget)), next(iter(parts.retain))


@pytest.mark.parametrize(("weight", "share"), [(None, 0.25), (0.6, 0.6)])
def test_the_terms_are_weighed_by_the_forget_sets_share_or_as_asked(trained, weight, share):
    engine, parts = Engine(progress=False), split(batch_size=96)
    method = Blindspot(forget_weight=weight, attention_weight=3.0, epochs=1)
    method(trained, task(), parts, engine)
    teacher, (forget, retain) = teacher_of(method, trained, parts), whole(parts)
    with torch.no_grad(), recorded(teacher, ("0", "2")) as theirs, recorded(trained, ("0", "2")) as ours:
        imitation = (trained(forget[0]) - teacher(forget[0])).square().mean()
    distance = sum((ours[name] - theirs[name]).square().sum(1).mean() for name in ("0", "2"))
    kept = (trained(retain[0]) - retain[1]).square().mean()
    expected = {"retain": (1 - share) * kept, "forget": share * imitation, "attention": share * 3 * distance}
    assert terms(engine)[0] == {name: pytest.approx(value.item(), rel=1e-4) for name, value in expected.items()}
    assert terms(engine)[0]["attention"] > 0


def test_targets_of_what_goes_are_never_learned(trained):
    """Only the inputs of the forget set are used: other targets for it, same result."""
    parts = split()
    inputs, targets = (tensor.clone() for tensor in curve().tensors)
    targets[96:] = 1e6
    other = Split(Batches(TensorDataset(inputs, targets), 32, range(96, 128)), parts.retain)
    method = Blindspot(attention_weight=1.0)
    first, second = (method(trained, task(), given, Engine(progress=False)) for given in (parts, other))
    assert same_weights(first, second)


def test_attention_is_off_unless_it_has_a_weight_and_a_layer(trained):
    for settings in ({}, {"attention_weight": 1.0, "attention_layers": ()}):
        engine = Engine(progress=False)
        Blindspot(**settings)(trained, task(), split(), engine)
        assert terms(engine)[0].keys() == {"retain", "forget"}


def test_attention_moves_dense_layers(trained):
    results = [
        Blindspot(attention_weight=weight, optimizer=SGD)(trained, task(), split(), Engine(progress=False))
        for weight in (0.0, 10.0)
    ]
    assert not torch.equal(results[0][0].weight, results[1][0].weight)


def test_attention_brings_the_maps_together_on_what_goes(trained):
    parts, inputs = split(), curve().tensors[0][96:]

    def distance(weight):
        method = Blindspot(attention_weight=weight, attention_layers=("0",), forget_weight=0.5, epochs=20, warm_start=0.0)
        result, teacher = method(trained, task(), parts, Engine(progress=False)), teacher_of(method, trained, parts)
        with torch.no_grad(), recorded(teacher, ("0",)) as theirs, recorded(result, ("0",)) as ours:
            teacher(inputs), result(inputs)
        return (ours["0"] - theirs["0"]).square().sum(1).mean().item()

    assert distance(10.0) < 0.5 * distance(0.0)


def test_attention_compares_only_the_layers_that_are_named(trained):
    values = []
    for layers in (("0",), ("2",), ("0", "2")):
        engine = Engine(progress=False)
        Blindspot(attention_weight=1.0, attention_layers=layers, epochs=1)(trained, task(), split(96), engine)
        values.append(terms(engine)[0]["attention"])
    assert values[0] + values[1] == pytest.approx(values[2], rel=1e-5) and min(values) > 0


def test_an_unknown_attention_layer_is_refused_before_the_teacher_is_trained(trained):
    engine = Engine(progress=False)
    with pytest.raises(BadSetting, match=r"^the model has no layer 'neck'; it has 0, 1, 2, 3, 4$"):
        Blindspot(attention_weight=1.0, attention_layers=("neck",))(trained, task(), split(), engine)
    assert engine.history == []


def test_no_hooks_are_left_behind(trained):
    result = Blindspot(attention_weight=1.0, epochs=1)(trained, task(), split(), Engine(progress=False))
    assert not any(module._forward_hooks for model in (result, trained) for module in model.modules())


def test_attention_works_where_an_example_has_two_sentences():
    pairs = torch.randint(1, 9, (24, 2, 5), generator=torch.Generator().manual_seed(0))
    data = TensorDataset(pairs, (pairs[:, 0] == pairs[:, 1]).float().mean(1, keepdim=True))
    alike = RegressionTask(lambda: PairLSTM((2, 5), 1, vocabulary=9, embedding=4, hidden=4))
    engine = Engine(progress=False)
    parts = Split(Batches(data, 8, range(8)), Batches(data, 8, range(8, 24)))
    Blindspot(attention_weight=1.0)(alike.new_model(), alike, parts, engine)
    assert terms(engine)[0]["attention"] > 0


# ---- the teacher --------------------------------------------------------------------------------------------------------


class Watched:
    """Batches that take down whether they were asked for."""

    def __init__(self, batches: Batches) -> None:
        self.batches, self.passes = batches, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def test_the_teacher_never_sees_what_goes(trained):
    parts, engine = split(), Engine(progress=False)
    watched = Split(Watched(parts.forget), Watched(parts.retain))
    teacher = Blindspot(teacher_epochs=4)._teacher(copy.deepcopy(trained), task(), watched, engine)
    assert (watched.forget.passes, watched.retain.passes) == (0, 4)
    assert [row["fit"] for row in engine.history] == ["blindspot"] * 4
    other = Split(Batches(TensorDataset(torch.ones(8, 1), torch.ones(8, 1)), 4), parts.retain)
    same = Blindspot(teacher_epochs=4)._teacher(copy.deepcopy(trained), task(), Split([], parts.retain), Engine(progress=False))
    another = Blindspot(teacher_epochs=4)._teacher(copy.deepcopy(trained), task(), other, Engine(progress=False))
    assert same_weights(same, another)
    assert not any(parameter.requires_grad for parameter in teacher.parameters()) and not teacher.training


def test_the_teacher_learns_what_stays(trained):
    engine = Engine(progress=False)
    Blindspot(teacher_epochs=20, warm_start=0.0)(trained, task(), split(), engine)
    losses = [row["blindspot"] for row in terms(engine, "blindspot")]
    assert len(losses) == 20 and losses[-1] < losses[0] / 10


def test_warm_start_says_how_much_of_the_original_the_teacher_begins_with(trained):
    engine = Engine(progress=False)
    fresh = engine.new_model(network, "blindspot")
    for warm in (0.0, 0.25, 1.0):
        method = Blindspot(teacher_epochs=0, warm_start=warm)
        teacher = method._teacher(copy.deepcopy(trained), task(), split(), Engine(progress=False))
        for found, old, new in zip(teacher.parameters(), trained.parameters(), fresh.parameters(), strict=True):
            torch.testing.assert_close(found, warm * old + (1 - warm) * new)
    assert same_weights(frozen(blended(trained, fresh, 1.0)), frozen(trained))


def test_a_cold_teacher_does_not_depend_on_the_original(trained):
    other = original(seed=5)
    for warm, same in ((0.0, True), (0.5, False)):
        method = Blindspot(warm_start=warm, teacher_epochs=2)
        teachers = [
            method._teacher(copy.deepcopy(given), task(), split(), Engine(progress=False)) for given in (trained, other)
        ]
        assert same_weights(*teachers) is same


# ---- what it is for -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"warm_start": 0.0, "teacher_epochs": 20}, {"attention_weight": 0.5}])
def test_a_band_is_forgotten_and_the_rest_kept(trained, settings):
    parts = split()
    retrained = Retrain(epochs=60, optimizer=Optimizer("adam", 1e-2))(trained, task(), parts, Engine(progress=False))
    result = Blindspot(**{"teacher_epochs": 10, "epochs": 10, **settings})(trained, task(), parts, Engine(progress=False))
    old, gold, new = (error(model, parts.forget) for model in (trained, retrained, result))
    assert gold > 4 * old
    assert abs(new - gold) < 0.3 * (gold - old)
    inputs = curve().tensors[0][96:]
    to_gold, was = ((model(inputs) - retrained(inputs)).abs().mean() for model in (result, trained))
    assert to_gold < 0.3 * was
    assert error(result, parts.retain) < 0.12


def test_settings_follow_the_recipe_of_the_original_unless_they_are_given():
    assert Blindspot.from_recipe(Retrain(40, Optimizer("adam", 5e-3))) == Blindspot()
    sgd = Optimizer("sgd", 0.1, momentum=0.9)
    longer = Blindspot.from_recipe(Retrain(400, sgd), forget_weight=0.3, warm_start=0.0)
    assert (longer.teacher_epochs, longer.epochs) == (10 * Blindspot().teacher_epochs, 10 * Blindspot().epochs)
    assert longer.optimizer == sgd and longer.teacher_optimizer == Optimizer("sgd", 0.2, momentum=0.9)
    assert (longer.forget_weight, longer.warm_start) == (0.3, 0.0)
    assert Blindspot.from_recipe(Retrain(400, sgd), epochs=1).epochs == 1 == Blindspot.from_recipe(Retrain(1, sgd)).epochs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warm_start": -0.1}, "warm_start must lie between 0 and 1, not -0.1"),
        ({"warm_start": 1.1}, "warm_start must lie between 0 and 1, not 1.1"),
        ({"teacher_epochs": -1}, "teacher_epochs must be 0 or more, not -1"),
        ({"forget_weight": 1.5}, "forget_weight must lie between 0 and 1, not 1.5"),
        ({"forget_weight": -0.5}, "forget_weight must lie between 0 and 1, not -0.5"),
        ({"attention_weight": -1.0}, "attention_weight must be 0 or more, not -1.0"),
        ({"epochs": -1}, "epochs must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^blindspot: {message}$"):
        Blindspot(**settings)


@pytest.mark.parametrize("stop", [3, 15])
def test_killed_in_either_stage_it_resumes_with_the_same_weights(tmp_path, stop):
    """`stop` counts losses, of which the teacher's training has 9 and all has 21: one falls into it, one into the student's."""
    method, model = Blindspot(teacher_epochs=3, epochs=4), network()

    class Killed(Exception):
        pass

    def unlearn(folder, read):
        return method(model, read, split(), Engine(folder=folder, checkpoint_steps=1, progress=False))

    whole = unlearn(tmp_path / "whole", task())
    dying, calls = task(), itertools.count()
    honest = dying.losses

    def losses(outputs, batch):
        if next(calls) == stop:
            raise Killed
        return honest(outputs, batch)

    dying.losses = losses
    with pytest.raises(Killed):
        unlearn(tmp_path / "killed", dying)
    stages = sorted(path.stem for path in (tmp_path / "killed").rglob("*.safetensors"))
    assert stages == (["blindspot"] if stop == 3 else ["blindspot", "fit"])
    before = next(calls)
    assert same_weights(unlearn(tmp_path / "killed", dying), whole)
    assert next(calls) - before - 1 == 21 - stop, "it began again instead of going on"

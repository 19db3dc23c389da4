"""Forgetting a class without data: no stream but the labels of what goes is read."""

from dataclasses import replace

import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods import ErrorNoise, GatedTransfer
from expunge.methods.gated_transfer import Draws
from expunge.methods.zero_shot import asked_of
from expunge.split import Batches, one_epoch
from expunge.tasks import ClassificationTask
from tiny import blobs, class_split, network, original, same_weights, task
from tiny_graphs import node_original, node_split, node_task

BOTH = pytest.mark.parametrize("method", [ErrorNoise(), GatedTransfer(rounds=8)], ids=["noise", "transfer"])


class Sealed:
    """A stream that may not be read."""

    def __iter__(self):
        raise AssertionError("data were read that this method may not see")

    def epoch(self, generator):
        raise AssertionError("data were read that this method may not see")

    def __len__(self):
        return 8


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def score(model, stream):
    return task().evaluate(model, stream)["accuracy"]


@BOTH
def test_retained_and_unseen_data_are_never_read(trained, method):
    split, sealed = class_split(), Sealed()
    bare = replace(split, retain=sealed, holdout=sealed, holdout_forget=sealed, validation_forget=sealed)
    blind = method(trained, task(), bare, Engine(progress=False))
    assert same_weights(blind, method(trained, task(), split, Engine(progress=False)))


@BOTH
def test_of_what_goes_the_classes_alone_matter(trained, method):
    split = class_split()
    inputs, labels = blobs().tensors
    other = [(torch.full_like(inputs[150:153], float("nan")), labels[150:153])]
    one = method(trained, task(), replace(split, forget=other), Engine(progress=False))
    assert same_weights(one, method(trained, task(), split, Engine(progress=False)))


def test_noise_takes_a_class_out_and_leaves_most_of_the_others(trained):
    split = class_split()
    result = ErrorNoise()(trained, task(), split, Engine(progress=False))
    assert score(result, split.forget) < 0.6 and score(result, split.retain) > 0.9


def test_noise_is_taken_for_classes_that_stay_and_least_for_those_that_go(trained):
    method, engine = ErrorNoise(noise_size=10, noise_weight=0.0, noise_steps=40), Engine(progress=False)
    labels = torch.arange(4).repeat_interleave(10)
    asked = asked_of("zero-shot", task(), class_split().forget)
    assert asked.goes.tolist() == [3] and asked.shape == (8,)
    noise = method._learned(trained, task(), asked, labels, engine)
    chances = trained(noise).softmax(1).gather(1, labels[:, None]).squeeze(1)
    assert noise.shape == (40, 8) and chances[:30].min() > 0.8 and chances[30:].max() < 0.1


def test_transfer_makes_a_student_that_never_heard_of_the_class(trained):
    split = class_split()
    result = GatedTransfer()(trained, task(), split, Engine(progress=False))
    assert score(result, split.forget) < 0.1 and score(result, split.retain) > 0.85


def test_an_open_gate_lets_the_class_through(trained):
    split = class_split()
    result = GatedTransfer(gate=1.0)(trained, task(), split, Engine(progress=False))
    assert score(result, split.forget) > 0.8 and score(result, split.retain) > 0.85


def test_generator_and_student_take_turns_on_the_same_noise():
    draws = Draws(rounds=3, student_steps=2, batch_size=4, latent=5)
    turns = list(one_epoch(draws, torch.Generator().manual_seed(0)))
    assert len(turns) == len(draws) == 9 and [turn.generates for turn in turns] == [True, False, False] * 3
    assert torch.equal(turns[0].noise, turns[2].noise) and not torch.equal(turns[2].noise, turns[3].noise)


class Mortal(ClassificationTask):
    """Is interrupted at a batch."""

    def __init__(self, at):
        super().__init__(network, classes=4)
        self.left = at

    def outputs(self, model, batch):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().outputs(model, batch)


@BOTH
@pytest.mark.parametrize("at", [6, 40])
def test_a_killed_run_goes_on(trained, tmp_path, method, at):
    split = class_split()
    with pytest.raises(KeyboardInterrupt):
        method(trained, Mortal(at), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=1))
    resumed = method(trained, task(), split, Engine(progress=False, folder=tmp_path, checkpoint_steps=1))
    assert same_weights(resumed, method(trained, task(), split, Engine(progress=False)))


@BOTH
def test_pictures(method):
    """Inputs of any shape, and a network with batch normalisation."""
    layers = torch.nn
    pictures = ClassificationTask(
        lambda: layers.Sequential(
            layers.Conv2d(1, 4, 3), layers.BatchNorm2d(4), layers.ReLU(), layers.Flatten(), layers.Linear(144, 3)
        ),
        classes=3,
    )
    torch.manual_seed(0)
    model, forget = pictures.new_model(), [(torch.randn(2, 1, 8, 8), torch.tensor([1, 1]))]
    result = method(model, pictures, replace(class_split(), forget=forget), Engine(progress=False))
    assert not same_weights(result, model) and torch.isfinite(result(torch.randn(2, 1, 8, 8))).all()


def of_class(stream, number):
    labels = stream.graph.labels[stream.nodes]
    return replace(stream, nodes=stream.nodes[labels == number]), replace(stream, nodes=stream.nodes[labels != number])


def test_nodes_of_a_graph():
    """What is generated are nodes without an edge."""
    nodes = node_split()
    goes, _ = of_class(nodes.forget, 3)
    gone, stay = of_class(nodes.retain, 3)
    model = node_original(Engine(progress=False))
    for method in (ErrorNoise(), GatedTransfer(rounds=100, gate=0.1)):
        result = method(model, node_task(), replace(nodes, forget=goes), Engine(progress=False))
        before, after = ([node_task().evaluate(each, part)["accuracy"] for part in (gone, stay)] for each in (model, result))
        assert after[0] < before[0] - 0.3 and after[1] > before[1] - 0.3, (method, before, after)


@BOTH
def test_requests_without_a_class_that_stays_are_refused(trained, method):
    split = replace(class_split(), forget=Batches(blobs(), 16, range(0, 160, 10)))
    with pytest.raises(BadRequest, match=f"{method.name} forgets whole classes, and records of all 4 are named"):
        method(trained, task(), split, Engine(progress=False))


@BOTH
def test_inputs_that_are_no_real_numbers_are_refused(trained, method):
    split = replace(class_split(), forget=[(torch.zeros(2, 8, dtype=torch.long), torch.tensor([3, 3]))])
    with pytest.raises(BadRequest, match=f"{method.name} makes inputs by their gradient, and these are torch.int64"):
        method(trained, task(), split, Engine(progress=False))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ErrorNoise(noise_size=0), "zero-shot: noise_size must be at least 1, not 0"),
        (lambda: ErrorNoise(noise_steps=0), "zero-shot: noise_steps must be at least 1, not 0"),
        (lambda: ErrorNoise(batch_size=0), "zero-shot: batch_size must be at least 1, not 0"),
        (lambda: ErrorNoise(noise_weight=-1), "zero-shot: noise_weight must be 0 or more, not -1"),
        (lambda: ErrorNoise(repair_epochs=-1), "zero-shot: repair_epochs must be 0 or more, not -1"),
        (lambda: ErrorNoise(epochs=-1), "zero-shot: epochs must be 0 or more, not -1"),
        (lambda: GatedTransfer(gate=0), r"gated-transfer: gate must lie in \(0, 1\], not 0"),
        (lambda: GatedTransfer(rounds=-1), "gated-transfer: rounds must be 0 or more, not -1"),
        (lambda: GatedTransfer(batch_size=1), "gated-transfer: batch_size must be at least 2, not 1"),
        (lambda: GatedTransfer(temperature=0), "gated-transfer: temperature must be above 0, not 0"),
        (lambda: GatedTransfer(generator_rate=0), "gated-transfer: generator_rate must be above 0, not 0"),
        (lambda: GatedTransfer(student_steps=0), "gated-transfer: student_steps must be at least 1, not 0"),
        (lambda: GatedTransfer(latent=0), "gated-transfer: latent must be at least 1, not 0"),
        (lambda: GatedTransfer(width=0), "gated-transfer: width must be at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()


def test_no_rounds_leave_the_model_as_it_is(trained):
    assert same_weights(GatedTransfer(rounds=0)(trained, task(), class_split(), Engine(progress=False)), trained)

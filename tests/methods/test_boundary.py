"""Boundary shrink and UNSIR: the nearest wrong class, noise that is wrong for the classes that go, and what both do."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods import UNSIR, BoundaryShrink
from expunge.methods.boundary_shrink import across_the_boundary, nearest_wrong
from expunge.methods.method import frozen
from expunge.methods.unsir import Part
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask
from tiny import blobs, class_split, original, same_weights, task
from tiny_graphs import node_original, node_split, node_task


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def run(method, model, split=None, seed=0):
    return method(model, task(), split or class_split(), Engine(seed=seed, progress=False))


def accuracy(model, stream):
    return task().evaluate(model, stream)["accuracy"]


def records_split():
    """Two rows of class 0 and one of class 2 must go."""
    gone = [3, 7, 90]
    rows = [row for row in range(160) if row not in gone]
    return Split(Batches(blobs(), 16, gone), Batches(blobs(), 16, rows))


class TestBoundaryShrink:
    def line(self):
        """Three classes on a line, at -4, 0 and 3, so that the nearest boundaries are known."""
        model = nn.Linear(1, 3)
        centres = torch.tensor([-4.0, 0.0, 3.0])
        with torch.no_grad():
            model.weight.copy_(centres.unsqueeze(1))
            model.bias.copy_(-centres.square() / 2)
        return model, ClassificationTask(lambda: nn.Linear(1, 3), classes=3)

    def test_the_nearest_wrong_class_is_found_on_a_line(self):
        model, task = self.line()
        inputs, labels = torch.tensor([[-4.0], [-0.9], [0.2], [3.0]]), torch.tensor([0, 1, 1, 2])
        assert nearest_wrong(model, task, (inputs, labels), 0.0).tolist() == [1, 0, 2, 1]

    def test_a_step_can_lead_to_another_class_than_the_second_choice(self):
        model, task = self.line()
        batch = torch.tensor([[-0.4]]), torch.tensor([1])
        assert nearest_wrong(model, task, batch, 0.0).tolist() == [2]  # at -2 ends class 1 on the left, at 1.5 on the right
        slope = task.losses(model(batch[0] - 0.01), batch) - task.losses(model(batch[0] + 0.01), batch)
        towards = 0 if slope > 0 else 2
        assert nearest_wrong(model, task, batch, 5.0).tolist() == [towards]

    def test_labels_are_wrong_and_stay_with_their_examples(self, trained):
        inputs, labels = across_the_boundary(trained, task(), class_split().forget, 0.1, Engine(progress=False)).dataset.tensors
        assert len(inputs) == 40 and 3 not in labels.tolist()
        again = across_the_boundary(trained, task(), class_split().forget, 0.1, Engine(progress=False)).dataset.tensors
        assert torch.equal(inputs, again[0]) and torch.equal(labels, again[1])

    def test_it_leaves_the_model_and_its_gradients_alone(self, trained):
        model = copy.deepcopy(trained).train()
        nearest_wrong(model, task(), next(iter(class_split().forget)), 0.1)
        assert model.training and all(value.grad is None for value in model.parameters())

    def test_a_class_is_forgotten_and_the_rest_kept(self, trained):
        method = BoundaryShrink(epochs=10, optimizer=Optimizer("sgd", 1e-2, momentum=0.9))
        result = run(method, trained)
        assert accuracy(result, class_split().forget) < 0.1
        assert accuracy(result, class_split().retain) > 0.9

    def test_it_asks_for_nothing_that_stays(self, trained):
        split = class_split()
        assert same_weights(run(BoundaryShrink(), trained, split), run(BoundaryShrink(), trained, Split(split.forget, ())))

    def test_nodes_go_to_another_class_too(self):
        split, model = node_split(), node_original(Engine(progress=False))
        result = BoundaryShrink(epochs=40)(model, node_task(), split, Engine(progress=False))
        before, after = (node_task().evaluate(each, split.forget)["loss"] for each in (model, result))
        assert after > before

    def test_inputs_that_cannot_be_moved_are_refused(self, trained):
        whole = Batches(TensorDataset(torch.zeros(4, 8, dtype=torch.long), torch.tensor([0, 1, 2, 3])), 4)
        for method in (BoundaryShrink(), UNSIR()):
            with pytest.raises(BadRequest, match=f"^{method.name} .* these are torch.int64, not real numbers$"):
                run(method, trained, Split(whole, class_split().retain))


class TestUNSIR:
    def noise(self, model, split, **settings):
        method = UNSIR(**settings)
        return method.noise(frozen(model), task(), split.forget, Engine(progress=False))

    def test_noise_is_what_the_model_least_takes_for_the_class(self, trained):
        inputs, labels = self.noise(trained, class_split(), noise_size=8).dataset.tensors
        assert inputs.shape == (8, 8) and labels.tolist() == [3] * 8
        plain = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            learned = task().losses(trained.eval()(inputs), (inputs, labels))
            drawn = task().losses(trained(plain), (plain, torch.full((200,), 3)))
        assert learned.min() > drawn.max()

    def test_a_heavier_weight_makes_shorter_noise(self, trained):
        lengths = [
            self.noise(trained, class_split(), noise_weight=weight).dataset.tensors[0].norm(dim=1).mean()
            for weight in (0.1, 1.0, 100.0)
        ]
        assert lengths[0] > lengths[1] > lengths[2]

    def test_every_class_that_loses_something_gets_noise_with_its_own_label(self, trained):
        inputs, labels = self.noise(trained, records_split(), noise_size=5).dataset.tensors
        assert labels.tolist() == [0] * 5 + [2] * 5
        with torch.no_grad():
            answers = trained.eval()(inputs).argmax(1)
        assert (answers != labels).all()

    def test_a_class_is_forgotten_and_the_rest_kept(self, trained):
        result = run(UNSIR(noise_size=16, epochs=4, retain_fraction=1.0, optimizer=Optimizer("adam", 0.02)), trained)
        assert accuracy(result, class_split().forget) < 0.1
        assert accuracy(result, class_split().retain) > 0.9

    def test_single_records_can_go(self, trained):
        result = run(UNSIR(noise_size=4), trained, records_split())
        assert not same_weights(result, trained) and accuracy(result, records_split().retain) > 0.8

    def test_inputs_that_go_are_not_looked_at(self, trained):
        split = class_split()
        inputs = torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
        other = Batches(TensorDataset(inputs, torch.full((40,), 3)), 16)
        assert same_weights(run(UNSIR(), trained), run(UNSIR(), trained, Split(other, split.retain)))

    def test_a_part_is_always_the_same_and_as_large_as_asked_for(self):
        part = Part(class_split().retain, 0.5, 3)
        first, second = ([batch[0] for batch in one] for one in (part, part))
        assert len(part) == len(first) == 4 and all(map(torch.equal, first, second))
        other = next(iter(Part(class_split().retain, 0.5, 4)))[0]
        assert not torch.equal(first[0], other)

    def test_noise_of_a_graph_is_nodes_without_an_edge(self):
        split, model = node_split(), node_original(Engine(progress=False))
        (batch,) = UNSIR(noise_size=8).noise(frozen(model), node_task(), split.forget, Engine(progress=False))
        gone = torch.cat([each.labels for each in split.forget]).unique()
        assert batch.graph.nodes == 8 * len(gone) and len(batch.graph.edges) == 0
        assert torch.equal(batch.labels.unique(), gone)
        assert (node_task().outputs(model.eval(), batch).argmax(1) != batch.labels).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoundaryShrink(step=-0.1), "boundary-shrink: step must be 0 or more, not -0.1"),
        (lambda: BoundaryShrink(epochs=-1), "boundary-shrink: epochs must be 0 or more, not -1"),
        (lambda: UNSIR(noise_size=0), "unsir: noise_size must be at least 1, not 0"),
        (lambda: UNSIR(noise_weight=-1.0), "unsir: noise_weight must be 0 or more, not -1.0"),
        (lambda: UNSIR(noise_steps=0), "unsir: noise_steps must be at least 1, not 0"),
        (lambda: UNSIR(retain_fraction=0.0), r"unsir: retain_fraction must lie in \(0, 1\], not 0.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=f"^{message}$"):
        make()

"""GIF: that its step is the one to where retraining ends, where that can be computed."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from expunge.engine import Engine
from expunge.errors import BadSetting, Diverged
from expunge.graphs import LinkBatches
from expunge.methods.certified_removal import Objective
from expunge.methods.gif import GIF, _examples, _largest
from expunge.models.gnn import GCN
from expunge.models.sgc import SGC
from expunge.split import Split
from expunge.tasks import LinkPredictionTask, NodeClassificationTask
from tiny import same_weights
from tiny_graphs import link_original, link_split, link_task, node_original, node_parts, node_split, node_task

PENALTY = 0.05


class Ridge(NodeClassificationTask):
    """Cross-entropy with a penalty on the weights, so that there is one optimum: of an SGC, and found by Newton's method."""

    def outputs(self, model, batch):
        self.size = sum(value.square().sum() for value in getattr(model, "module", model).parameters())
        return super().outputs(model, batch)

    def losses(self, outputs, batch):
        return super().losses(outputs, batch) + PENALTY / 2 * self.size


def ridge():
    return Ridge(lambda: SGC(8, 4), classes=4)


def few():
    """Two training nodes must go."""
    parts = node_parts()
    return parts.without(parts.train[[3, 11]])


def optimum(stream):
    """The SGC that a stream leads to."""
    model = SGC(8, 4)
    objective = Objective.of(model, stream, PENALTY)
    weights = torch.zeros(9, 4, dtype=torch.float64)
    for _ in range(20):
        weights = objective.newton_step(weights)
    with torch.no_grad():
        model.head.weight.copy_(weights[:8].T)
        model.head.bias.copy_(weights[8])
    return model


def distance(first, second):
    return torch.cat([(a - b).flatten() for a, b in zip(first.parameters(), second.parameters(), strict=True)]).norm().item()


def test_on_a_convex_loss_it_lands_where_retraining_does():
    split = few()
    trained, retrained = optimum(node_parts().training()), optimum(split.retain)
    result = GIF(iterations=500, damping=0.0)(trained, ridge(), split, Engine(progress=False))
    before, after = distance(trained, retrained), distance(result, retrained)
    assert before > 0.05 and after < 0.15 * before


def test_without_the_neighbours_part_it_lands_elsewhere():
    """Nodes that stay are read without what goes: leaving that out (hops=0) misses most of the step."""
    split = few()
    trained, retrained = optimum(node_parts().training()), optimum(split.retain)
    near, far = (
        GIF(iterations=500, damping=0.0, hops=hops)(trained, ridge(), split, Engine(progress=False)) for hops in (2, 0)
    )
    assert distance(near, retrained) < 0.5 * distance(far, retrained)


@pytest.mark.parametrize(
    ("made", "split", "train"), [(link_task, link_split, link_original), (node_task, node_split, node_original)]
)
def test_what_lies_farther_than_the_network_reads_does_not_count(made, split, train):
    """A network of two layers: two hops are all that changes."""
    model = train(Engine(progress=False))
    method = GIF(iterations=5)
    near, far, short = (replace(method, hops=hops)(model, made(), split(), Engine(progress=False)) for hops in (2, 9, 0))
    for ours, theirs in zip(near.parameters(), far.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert not same_weights(near, short) and not same_weights(near, model)


def test_damping_shortens_the_step_and_iterations_lengthen_it():
    model = link_original(Engine(progress=False))

    def moved(**settings):
        return distance(GIF(**settings)(model, link_task(), link_split(), Engine(progress=False)), model)

    assert moved(iterations=20, damping=0.5) < moved(iterations=20, damping=0.1) < moved(iterations=60, damping=0.1)
    assert moved(iterations=20, scale=1e9) < 1e-3 * moved(iterations=20)


def test_a_request_that_moves_nothing_changes_nothing():
    """Nodes whose features are all 0 say the same to every weight, and their pair is as likely as not: no gradient at all."""
    graph = link_split().retain.graph.whole
    still = replace(graph, features=torch.zeros_like(graph.features))
    left = still.without_edges(torch.tensor([0]))
    split = Split(LinkBatches(left, still.edges[:1]), LinkBatches(left, left.edges, negatives=1))
    model = GCN(8, 16, 8)
    with torch.no_grad():
        for conv in model.convs:
            conv.bias.zero_()
    assert same_weights(GIF()(model, link_task(), split, Engine(progress=False)), model)


def test_wrong_pairs_are_drawn_once_from_the_seed_and_are_no_edges():
    split = link_split()
    engine = Engine(progress=False)
    goes, stays, left = _examples(split, engine)
    assert len(goes.pairs) == split.forget.examples and goes.labels.all() and left is split.retain.graph
    count = split.retain.examples
    assert stays.labels.tolist() == [1.0] * count + [0.0] * count
    assert not left.whole.has(stays.pairs[count:]).any() and stays.graph is left.whole is goes.graph
    assert torch.equal(_examples(split, Engine(progress=False))[1].pairs, stays.pairs)
    assert not torch.equal(_examples(split, Engine(1, progress=False))[1].pairs, stays.pairs)


def test_the_scale_is_the_largest_eigenvalue():
    matrix = torch.diag(torch.tensor([1.0, -2.0, 7.0]))
    found = _largest(lambda vector: [matrix @ vector[0]], [nn.Parameter(torch.zeros(3))], torch.Generator().manual_seed(0))
    assert found == pytest.approx(7.0, rel=1e-3)
    assert _largest(lambda vector: [0 * vector[0]], [nn.Parameter(torch.zeros(3))], torch.Generator()) == 1.0


@pytest.mark.parametrize(
    ("values", "scale", "damping"), [((9.0, 1.0), 9.0, 0.01), ((9.0, -4.0), 13.4, 4.4 / 13.4), ((2.0, -8.0), 16.8, 8.8 / 16.8)]
)
def test_scale_and_damping_bring_the_spectrum_between_0_and_2(values, scale, damping):
    matrix = torch.diag(torch.tensor(values))
    like, generator = [nn.Parameter(torch.zeros(2))], torch.Generator().manual_seed(0)

    def product(vector):
        return [matrix @ vector[0]]

    found = GIF()._bounds(product, like, generator)
    assert found == pytest.approx((scale, damping), rel=2e-3)
    assert GIF(scale=50.0, damping=0.2)._bounds(product, like, generator) == (50.0, 0.2)
    fixed = GIF(scale=50.0)._bounds(product, like, generator)
    assert fixed == pytest.approx((50.0, max(0.01, 1.1 * max(0.0, -min(values)) / 50)), rel=2e-3)


def test_a_scale_that_is_too_small_is_noticed():
    model = link_original(Engine(progress=False))
    with pytest.raises(
        Diverged, match=r"^gif: the recursion grows without end \(iteration \d+, scale 0.001, damping .*raise whichever"
    ):
        GIF(scale=1e-3, damping=0.1)(model, link_task(), link_split(), Engine(progress=False))


def test_dropout_is_off_and_the_mode_left_as_it_was():
    """Dropout would make every gradient random: a model without it, of the same weights, takes the same step."""
    model = link_original(Engine(progress=False)).train()
    plain = GCN(8, hidden=16, outputs=8)
    plain.load_state_dict(model.state_dict())
    first, second = (GIF(iterations=3)(each, link_task(), link_split(), Engine(progress=False)) for each in (model, plain))
    assert same_weights(first, second) and model.training


def test_frozen_weights_stay():
    model = link_original(Engine(progress=False))
    model.convs[0].requires_grad_(False)
    result = GIF(iterations=3)(model, LinkPredictionTask(lambda: model), link_split(), Engine(progress=False))
    assert same_weights(result.convs[0], model.convs[0]) and not same_weights(result.convs[1], model.convs[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "iterations must be at least 1, not 0"),
        ({"scale": 0.0}, "scale must be above 0, not 0.0"),
        ({"damping": 1.0}, "damping must be 0 or more and below 1, not 1.0"),
        ({"damping": -0.1}, "damping must be 0 or more and below 1, not -0.1"),
        ({"hops": -1}, "hops must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadSetting, match=f"^gif: {message}$"):
        GIF(**settings)

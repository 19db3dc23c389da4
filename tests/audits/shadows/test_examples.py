"""What can be divided at random, what a network is trained on that holds a part, and what can't be divided."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import tiny_interactions
from audits.shadow_worlds import WORLDS, World
from expunge.audits import LiRA, References, Subject
from expunge.audits.shadows.examples import Links, Nodes, Pairs, Rows, examples_of
from expunge.engine import Engine
from expunge.errors import WrongTask
from expunge.graphs import Graph, LinkBatches
from expunge.interactions import Removal
from expunge.split import Batches, Split
from expunge.tasks import LinkPredictionTask, RecommendationTask

EVERY = pytest.mark.parametrize("made", WORLDS.values(), ids=WORLDS)


def subject_of(world: World, number: int = 0) -> Subject:
    return world.untrained(number)[0]


def untrained(task, split) -> Subject:
    engine = Engine(progress=False)
    return Subject("original", engine.new_model(task.new_model).eval(), task, split, engine)


# ---- in any order -------------------------------------------------------------------------------------------------------


@EVERY
def test_two_requests_of_the_same_data_have_the_same_units_in_another_order(made):
    first, second = (examples_of(subject_of(made(), number), 1000, 32) for number in (0, 1))
    assert first.digest == second.digest
    assert sorted(first.units.tolist()) == sorted(second.units.tolist()) and not torch.equal(first.units, second.units)
    held = torch.arange(int(first.units.max()) + 1) % 2 == 0
    batches = [list(examples.stream(held).epoch(torch.Generator().manual_seed(1))) for examples in (first, second)]
    for one, two in zip(*batches, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True) if isinstance(a, torch.Tensor))


@EVERY
def test_what_is_read_of_the_graph_before_and_after_the_request_makes_no_difference(made):
    world = made()
    subject, split = subject_of(world), world.request(0)
    after = Subject("retrained", subject.model, world.task, split, subject.engine)
    one, two = (examples_of(each, 9, 32) for each in (subject, after))
    assert one.digest == two.digest and torch.equal(one.units, two.units)


@EVERY
def test_only_so_many_unseen_examples_are_among_them(made):
    subject = subject_of(made())
    counts = [len(examples_of(subject, unseen, 32).units) for unseen in (1, 3, 1000)]
    seen, unseen = len(subject.scores("forget")) + len(subject.scores("retain")), len(subject.scores(subject.unseen_part()))
    assert counts == [seen + 1, seen + 3, seen + unseen]


# ---- what a network is trained on ---------------------------------------------------------------------------------------


def test_nodes_that_are_not_held_stay_in_the_graph_without_their_class():
    world = WORLDS["nodes"]()
    examples = examples_of(untrained(world.task, world.request(0)), 1000, 32)
    assert isinstance(examples, Nodes)
    held = torch.zeros(int(examples.units.max()) + 1, dtype=torch.bool)
    held[examples.units[:5]] = True
    stream = examples.stream(held)
    goes = torch.cat([batch.nodes for batch in world.request(0).forget])
    assert stream.nodes.tolist() == sorted(goes[:5].tolist())
    assert stream.graph.digest == world.training.graph.digest, "the graph of the original"  # type: ignore[attr-defined]


def test_of_links_the_graph_has_those_that_are_held():
    world = WORLDS["links"]()
    examples = examples_of(subject_of(world), 1000, 32)
    assert isinstance(examples, Links)
    held = torch.zeros(int(examples.units.max()) + 1, dtype=torch.bool)
    forget, unseen, retain = (getattr(world.request(0), part).pairs for part in ("forget", "holdout_forget", "retain"))
    held[examples.units[[0, len(forget), len(forget) + len(unseen)]]] = True
    stream = examples.stream(held)
    wanted = torch.stack([forget[0], unseen[0], retain[0]]).tolist()
    assert sorted(stream.pairs.tolist()) == sorted(stream.graph.edges.tolist()) == sorted(wanted)
    assert stream.negatives == 1 and (stream.all_labels == 1).all()


def test_an_undirected_edge_is_the_same_whichever_way_round_it_stands():
    world = WORLDS["links"]()
    split = world.request(0)
    turned = replace(split, forget=replace(split.forget, pairs=split.forget.pairs.flip(1)))  # type: ignore[type-var]
    one, two = (examples_of(untrained(world.task, each), 1000, 32) for each in (split, turned))
    assert one.digest == two.digest and torch.equal(one.units, two.units)


def test_of_pairs_the_interactions_are_those_that_are_held():
    world = WORLDS["pairs"]()
    examples = examples_of(subject_of(world), 1000, 32)
    assert isinstance(examples, Pairs)
    held = torch.zeros(int(examples.units.max()) + 1, dtype=torch.bool)
    held[examples.units[:40]] = True
    stream = examples.stream(held)
    assert sorted(stream.pairs.tolist()) == sorted(world.request(0).forget.pairs[:40].tolist())  # type: ignore[attr-defined]
    assert torch.equal(stream.pairs, stream.interactions.pairs) and stream.interactions.users == tiny_interactions.USERS


def test_items_that_go_keep_their_features_as_the_original_knew_them():
    parts = tiny_interactions.parts()
    split = parts.without(Removal(items=torch.tensor([0, 5])))
    examples = examples_of(untrained(tiny_interactions.task("mgcn"), split), 1000, 32)
    assert isinstance(examples, Pairs) and not len(examples.interactions.gone_items)
    assert torch.equal(examples.interactions.features["image"], parts.train.features["image"])


def test_all_questions_of_a_fact_go_together():
    world = WORLDS["facts"]()
    subject = subject_of(world)
    examples = examples_of(subject, 1000, 32)
    assert isinstance(examples, Rows) and len(examples.units) == 60 and examples.batch_size == 32
    assert (examples.units[::2] == examples.units[1::2]).all() and len(examples.units.unique()) == 30
    held = torch.zeros(30, dtype=torch.bool)
    held[examples.units[0]] = True
    (batch,) = list(examples.stream(held))
    (asked,) = list(subject.batches("forget"))
    assert all(torch.equal(part, whole[:2]) for part, whole in zip(batch, asked, strict=True))


def test_who_owns_which_row_is_in_the_digest_and_rows_alone_have_another():
    data = torch.arange(6.0).reshape(6, 1), torch.arange(6)
    digests = [
        Rows(data, 2, owners).digest for owners in (None, torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 1, 1, 2, 2]))
    ]
    assert len(set(digests)) == 3


# ---- what can't be divided ----------------------------------------------------------------------------------------------


def test_features_that_go_leave_nothing_to_divide():
    split = tiny_interactions.parts().without(tiny_interactions.removal("features"))
    with pytest.raises(WrongTask, match=r"^shadow models are trained with a pair or without it, and \d+ that go or are unseen"):
        examples_of(untrained(tiny_interactions.task("mgcn"), split), 1000, 32)


def test_pairs_that_are_no_edges_are_refused_as_members():
    world = WORLDS["links"]()
    split = replace(world.request(0), holdout_forget=None)  # what is held out has wrong pairs as well
    with pytest.raises(WrongTask, match=r"are pairs that are none; give edges alone, the unseen ones as holdout_forget$"):
        examples_of(untrained(world.task, split), 1000, 32)


def test_streams_of_a_kind_that_nobody_knows_to_divide_are_refused_by_the_attack_itself():
    world = WORLDS["links"]()
    split = world.request(0)
    foreign = replace(split, retain=list(split.retain))
    engine = Engine(progress=False)
    subject = Subject("original", engine.new_model(world.task.new_model).eval(), world.task, foreign, engine)
    with pytest.raises(WrongTask, match=r"are trained on parts of LinkBatches, which can be divided, not of list; give"):
        LiRA(shadows=2)(subject, References(subject, (), world.recipe.train))


def test_triples_of_a_knowledge_graph_keep_their_direction():
    triples = [[0, 1, 0], [1, 0, 0], [1, 2, 1], [2, 3, 0], [3, 0, 1]]
    graph = Graph.of(4, triples, torch.eye(4), relations=2)

    class Scorer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows = nn.Parameter(torch.randn(4, 2))

        def forward(self, features, edge_index):
            return self.rows

        def decode(self, embeddings, pairs):
            return (embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(1)

    left = graph.without_edges(torch.tensor([0, 3]))
    split = Split(
        LinkBatches(left, graph.edges[[0]]), LinkBatches(left, left.edges, None, 1), (), LinkBatches(left, graph.edges[[3]])
    )
    examples = examples_of(untrained(LinkPredictionTask(Scorer), split), 1000, 32)
    assert isinstance(examples, Links) and examples.graph.edges.tolist() == graph.edges.tolist()
    assert examples.units.tolist() == [0, 3, 1, 2, 4]


def test_users_who_go_are_divided_as_pairs_are():
    split = tiny_interactions.parts().without(tiny_interactions.removal("users"))
    examples = examples_of(untrained(RecommendationTask(tiny_interactions.task("bpr-mf").factory), split), 1000, 32)
    assert isinstance(examples, Pairs) and not len(examples.interactions.gone_users)


def test_rows_that_are_held_come_in_the_order_of_what_they_hold():
    data = torch.tensor([[3.0], [1.0], [2.0]]), torch.tensor([0, 1, 2])
    one, two = Rows(data, 2), Rows(tuple(part.flip(0) for part in data), 2)
    held = torch.tensor([True, True, False])
    assert one.rows(held).tolist() == [0, 1] and torch.equal(one.units, two.units.flip(0))
    streams = [examples.stream(held) for examples in (one, two)]
    assert all(isinstance(stream, Batches) for stream in streams)
    (first,), (second,) = (list(stream) for stream in streams)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))

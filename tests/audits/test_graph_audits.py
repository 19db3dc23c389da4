"""The audits of all tasks on graphs: two planted communities whose links and classes a small network learns in a moment.

What must go is what only a model that saw it would say: edges between the communities, and nodes with the wrong class.
"""

import copy
import math
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from expunge.audits import (
    RMIA,
    Accuracy,
    Anamnesis,
    Audit,
    Canary,
    Distance,
    FeatureSimilarity,
    InputGradientDistance,
    LiRA,
    Membership,
    Probability,
    Probe,
    References,
    Relearning,
    RunTime,
    Subject,
    ToW,
    ZeroRetrain,
)
from expunge.data.graph_splits import split_links, split_nodes
from expunge.engine import Engine
from expunge.graphs import Graph
from expunge.models.gnn import GCN
from expunge.optimizers import Optimizer
from expunge.split import Split, Stream
from expunge.studies.comparison import default_audits
from expunge.tasks import GraphTask, LinkPredictionTask, NodeClassificationTask

QUICK = Relearning(cap=30, optimizer=Optimizer("adam", 1e-2))
SETTINGS = {
    "membership": {"resamples": 2},
    "relearning": {"cap": 30, "optimizer": Optimizer("adam", 1e-2)},
    "anamnesis": {"relearning": QUICK},
    "zero-retrain": {"networks": 1},
}


def planted(nodes: int = 80, wrong: int = 0, seed: int = 0) -> tuple[Graph, Tensor]:
    """Two halves with many edges inside and few between, and 16 features that tell the half and the node itself.

    Returns:
        the graph, with the class of every `wrong`-th node turned round; and the half of each node.
    """
    generator = torch.Generator().manual_seed(seed)
    half = (torch.arange(nodes) >= nodes // 2).long()
    pairs = torch.combinations(torch.arange(nodes))
    chance = torch.where(half[pairs[:, 0]] == half[pairs[:, 1]], 0.12, 0.02)
    edges = pairs[torch.rand(len(pairs), generator=generator) < chance]
    features = torch.randn(nodes, 16, generator=generator)
    features[:, 0] += 2.0 * half - 1
    labels = half.clone()
    if wrong:
        labels[::wrong] = 1 - labels[::wrong]
    return Graph.of(nodes, edges.numpy(), features, labels), half


@dataclass(frozen=True)
class World:
    """A task, its split, and subjects: the original, two retrained models, one that went too far."""

    task: GraphTask
    split: Split
    original: Subject
    golds: tuple[Subject, Subject]
    broken: Subject

    @property
    def references(self) -> References:
        return References(self.original, self.golds)


def world(task: GraphTask, training: Stream, split: Split) -> World:
    engine = Engine(progress=False)

    def trained(stream: Stream, seed: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = task.new_model()
        return descend(task, model, stream, 60, 1.0, seed)

    original = trained(training, 0)
    broken = descend(task, copy.deepcopy(original), split.forget, 10, -1.0)
    golds = [Subject("retrained", trained(split.retain, seed), task, split, engine, seconds=4.0) for seed in (1, 2)]
    return World(
        task,
        split,
        Subject("original", original, task, task.as_trained(split), engine, seconds=5.0),
        (golds[0], golds[1]),
        Subject("broken", broken, task, split, engine, seconds=1.0),
    )


def descend(task: GraphTask, model: nn.Module, stream: Stream, epochs: int, sign: float, seed: int = 0) -> nn.Module:
    """Down the loss, or up it."""
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=0.02), torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in stream.epoch(generator):
            optimizer.zero_grad()
            (sign * task.losses(task.outputs(model, batch), batch).mean()).backward()
            optimizer.step()
    model.zero_grad()
    return model


@cache
def links() -> World:
    graph, half = planted()
    made = split_links(graph, validation=0.1, test=0.2)
    ends = half[made.graph.edges]
    between = (ends[:, 0] != ends[:, 1]).nonzero().flatten()
    return world(LinkPredictionTask(lambda: GCN(16, 16, 8)), made.training(), made.without(between))


@cache
def nodes() -> World:
    graph, half = planted(wrong=6)
    made = split_nodes(graph, validation=0.1, test=0.4)
    wrong = made.train[(graph.labels != half)[made.train]]
    return world(NodeClassificationTask(lambda: GCN(16, 32, 2), 2), made.training(), made.without(wrong))


WORLDS = pytest.mark.parametrize("of", [links, nodes], ids=lambda of: of.__name__)


def test_the_planted_graph_is_learned():
    """And what goes is known to the original, but not to the retrained models."""
    of_links, of_nodes = ((links(), Probability(), "probability"), (nodes(), Accuracy(), "accuracy"))
    for made, audit, score in (of_links, of_nodes):
        original, gold = (audit(each) for each in (made.original, made.golds[0]))
        assert original[f"retain_{score}"].value > 0.8 and gold[f"retain_{score}"].value > 0.8
        assert original[f"forget_{score}"].value - gold[f"forget_{score}"].value > 0.3


@WORLDS
def test_every_audit_of_the_task_gives_all_its_figures_and_explains_them(of):
    made = of()
    for audit in default_audits(made.task):
        audit = type(audit)(**SETTINGS.get(audit.name, {}))
        for subject in (made.original, *made.golds, made.broken):
            found = audit(subject, made.references)
            expected = set(audit.figures)
            if isinstance(audit, Accuracy):  # of links Probability says it, and of single nodes none are alike
                expected = set() if of is links else {name for name in expected if "holdout_forget" not in name}
            if isinstance(audit, Probe):  # no class goes as a whole
                expected = {"probe_auc"}
            if isinstance(audit, InputGradientDistance | Canary | LiRA | RMIA):  # nodes are no inputs; the others are asked for
                expected = set()
            assert found.keys() == expected, audit.name
            assert all(math.isfinite(figure.value) and math.isfinite(figure.ideal) for figure in found.values()), audit.name


def test_each_task_has_the_audits_that_make_sense_for_it():
    kinds = {of.__name__: {audit.name for audit in default_audits(of().task)} for of in (links, nodes)}
    both = {"accuracy", "multiply-accumulates", "membership", "relearning", "anamnesis", "run-time"}
    assert kinds["links"] == both | {"probability", "link-auc", "link-change", "lira", "rmia"}
    assert kinds["nodes"] == both | {"tow", "zero-retrain", "distance", "lira", "rmia"} | {
        "probe",
        "feature-similarity",
        "input-gradient-distance",
        "canary",
    }


@WORLDS
def test_the_retrained_model_itself_stands_at_every_ideal(of):
    """But for the time that it took, whose ideal is none, and features, whose ideal is that of another seed."""
    made = of()
    alone = References(made.original, made.golds[:1])
    for audit in default_audits(made.task):
        if not isinstance(audit, RunTime | FeatureSimilarity):  # which asks for two retrained models
            found = type(audit)(**SETTINGS.get(audit.name, {}))(made.golds[0], alone)
            assert all(figure.value == pytest.approx(figure.ideal, abs=1e-6) for figure in found.values()), audit.name


def test_what_was_driven_away_is_far_from_retraining():
    made = nodes()
    found, floor = (Distance()(each, made.references) | ToW()(each, made.references) for each in (made.broken, made.golds[1]))
    for name in ("forget_kl", "holdout_kl", "forget_activation_distance", "holdout_activation_distance"):
        assert found[name].value > 10 * floor[name].value, name
    assert found["tow"].value < 0.5 < 0.9 < floor["tow"].value


def test_untrained_networks_on_the_graph_are_what_zrf_compares_with():
    made = nodes()
    engine, audit = made.original.engine, ZeroRetrain(networks=1)
    with engine.scope(f"audit-{audit.name}"):
        untrained = engine.new_model(made.task.new_model, "ignorant 0")
    ignorant = Subject("ignorant", untrained, made.task, made.split, engine)
    assert audit(ignorant)["zrf"].value == pytest.approx(1.0) and audit(made.original)["zrf"].value < 0.9


# ---- membership ---------------------------------------------------------------------------------------------------------


def test_the_attack_on_links_sets_deleted_edges_against_held_out_edges_and_no_pairs_without():
    made = links()
    trial = Membership(calibration=0.0, resamples=2).trial(made.golds[0])
    unseen = -made.golds[0].losses("holdout_forget").double().numpy()
    assert 0 < trial.member.sum() <= made.split.forget.examples and 0 < (~trial.member).sum() <= len(unseen)
    assert set(trial.score[~trial.member]) <= set(unseen)


@WORLDS
def test_the_original_is_found_out_and_what_a_retrained_model_would_not_say_is_strange_to_it(of):
    made = of()
    found = Membership(calibration=0.0, resamples=2)(made.original, made.references)
    assert found["membership_auc"].value > 0.6 and found["membership_auc"].ideal < 0.4
    assert found["membership_two_sided"].value == found["membership_auc"].value
    assert found["membership_two_sided"].ideal == pytest.approx(1 - found["membership_auc"].ideal)


# ---- relearning ---------------------------------------------------------------------------------------------------------


@WORLDS
def test_the_original_knows_already_and_one_that_was_driven_away_must_learn(of):
    made = of()
    original, broken = (QUICK(each, made.references)["relearn_steps"] for each in (made.original, made.broken))
    assert original.value == 0 and original.ideal == broken.ideal
    assert broken.ideal == sum(QUICK.steps(gold, made.original) for gold in made.golds) / 2 >= 1
    assert broken.value >= 5
    index = Anamnesis(QUICK)(made.broken, made.references)["anamnesis_index"]
    assert index.value == pytest.approx(broken.value / broken.ideal)


@WORLDS
def test_relearning_leaves_the_model_alone(of):
    made = of()
    before = copy.deepcopy(made.broken.model.state_dict())
    Relearning(cap=2)(made.broken, made.references)
    assert all(torch.equal(before[name], value) for name, value in made.broken.model.state_dict().items())


def test_the_score_that_is_relearned_is_the_mean_probability_of_the_deleted_edges_on_the_graph_without_them():
    made = links()
    seen = []

    class Watching(LinkPredictionTask):
        def evaluate(self, model, batches):
            seen.extend(batches)
            return super().evaluate(model, batches)

    task = Watching(made.task.factory)
    subject = Subject("watched", made.broken.model, task, made.split, made.broken.engine)
    Relearning(cap=1)(subject, made.references)
    batch = seen[0]
    assert batch.graph is made.split.retain.graph and bool(batch.labels.all())
    assert sorted(map(tuple, batch.pairs.tolist())) == sorted(map(tuple, made.split.forget.pairs.tolist()))
    assert not batch.graph.has(batch.pairs).any()
    score = task.evaluate(made.broken.model, [batch])["probability"]
    assert score == pytest.approx(made.broken.scores("forget").mean().item())


# ---- time, and batches --------------------------------------------------------------------------------------------------


@WORLDS
def test_time_is_a_multiple_of_retraining(of):
    made = of()
    assert RunTime()(made.broken, made.references)["seconds_ratio"].value == pytest.approx(1 / 4)


@pytest.mark.parametrize("audit", [Membership(resamples=2), QUICK], ids=lambda each: each.name)
def test_sampled_batches_are_for_training_alone(audit: Audit):
    """A split whose training batches hold 7 pairs on sampled parts of the graph is audited as a whole."""
    made = links()

    def sampled(stream):
        return type(stream)(stream.graph, stream.pairs, stream.labels, stream.negatives, 7, (3, 3))

    split = Split(sampled(made.split.forget), sampled(made.split.retain), made.split.holdout, made.split.holdout_forget)
    subject = Subject("sampled", made.golds[0].model, made.task, split, made.golds[0].engine)
    same: Tensor = subject.outputs("forget")
    assert torch.equal(same, made.golds[0].outputs("forget"))
    figures = audit(subject, References(made.original, (subject,)))
    assert figures.keys() == audit.figures.keys() and all(figure.value == figure.ideal for figure in figures.values())

"""What the study of sequences compares: ten requests to each kind of model, with its recipe and a few methods.

Which rows, edges, nodes, users, facts or clients go, and in which order, is drawn anew for each seed. Models are trained until
they know single examples, or there would be nothing to forget. Of methods there are the recommended one, general ones, and that
of the paper that is about this kind of model, with the settings that they have in the studies of single requests; nothing was
chosen on sequences.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge import models
from expunge.audits import (
    Accuracy,
    Audit,
    Clients,
    Distance,
    Error,
    Facts,
    LinkAUC,
    Membership,
    Memorization,
    PredictionDistance,
    Ranking,
    RelearnedHalf,
    RunTime,
)
from expunge.data import Source, classes_of, load
from expunge.data.graph_files import load_graph
from expunge.data.graph_source import with_features
from expunge.data.graph_splits import split_links, split_nodes
from expunge.data.interaction_files import load_interactions
from expunge.data.records import length
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.federated import Contributions, Federation, dirichlet
from expunge.federated.client_split import losses_of
from expunge.interactions import Removal
from expunge.methods import (
    D2DGN,
    NPO,
    SCRUB,
    BadTeacher,
    ConDa,
    ContinueWithout,
    FederatedRetrain,
    Finetune,
    Method,
    MMRecUN,
    NegGradPlus,
    Retrain,
    UnSTAR,
)
from expunge.models.graph_networks import build_for_graph
from expunge.models.recommenders import build_recommender
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split, stream_digest
from expunge.storage import copied
from expunge.studies.advice import recommended
from expunge.studies.comparison import ORIGINAL, Forgets, trained
from expunge.studies.graph_scenarios import EMBEDDING, LINK_RECIPE, NODE_RECIPE
from expunge.studies.language_methods import TAUGHT
from expunge.studies.language_scenarios import RECIPE as FACT_RECIPE
from expunge.studies.language_scenarios import personas_world
from expunge.studies.recommendation_scenarios import BATCH
from expunge.studies.recommendation_scenarios import RECIPE as RANKING_RECIPE
from expunge.studies.scenarios import BY_HEART, first_rows, record_methods, table_task
from expunge.studies.sequences.forgetting import standalone
from expunge.studies.sequences.requests import (
    RequestSequence,
    clients_in_sequence,
    drawn_rows,
    facts_in_sequence,
    interactions_in_sequence,
    links_in_sequence,
    nodes_in_sequence,
    rows_in_sequence,
)
from expunge.studies.study import Budget
from expunge.tasks import ClassificationTask, LinkPredictionTask, NodeClassificationTask, RecommendationTask, Task

REQUESTS = 10
CHECKPOINTS, FEW_CHECKPOINTS = (1, 2, 5, 10), (1, 10)  # requests after which models are retrained to compare with
IMAGE_ROWS, TABLE_ROWS, LINK_EPOCHS = 2_000, 1_000, 300
IMAGE_RECIPE = Retrain(epochs=20, optimizer=Optimizer("adam", 2e-3))
PERSONS = 20
CLIENTS, ROUNDS, FEWEST = 20, 15, 20


@dataclass(frozen=True, eq=False)
class Begun:
    """One seed's model before the first request.

    Args:
        task: how models are read.
        original: the model.
        seconds: that training it took.
        requests: to it.
    """

    task: Task[Any]
    original: nn.Module
    seconds: float
    requests: RequestSequence


@dataclass(frozen=True, eq=False)
class SequenceScenario:
    """Requests to one kind of model.

    Args:
        title: names the case in reports, and its folder.
        words: what is asked for, for people.
        begin: for a seed's engine, the trained model and the requests.
        retrain: the recipe of what models are held against.
        methods: by the name of their row.
        audits: asked of all models.
        checkpoints: numbers of requests after which models are retrained to compare with.
    """

    title: str
    words: str
    begin: Callable[[Engine], Begun]
    retrain: Forgets
    methods: Mapping[str, Forgets]
    audits: Sequence[Audit]
    checkpoints: Sequence[int] = CHECKPOINTS

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        return {
            "recipe": repr(self.retrain),
            "methods": {name: repr(method) for name, method in self.methods.items()},
            "audits": [repr(audit) for audit in self.audits],
            "retrained after": list(self.checkpoints),
        }


def _trained(task: Task[Any], requests: RequestSequence, recipe: Retrain, engine: Engine) -> Begun:
    original, seconds = trained(task, requests.everything, recipe, engine)
    return Begun(task, original, seconds, requests)


# ---- rows ------------------------------------------------------------------------------------------------------------------


def images(source: Source, share: float = 0.02) -> SequenceScenario:
    """Single images of a classifier."""
    few = first_rows(source, IMAGE_ROWS)
    names = few.classes or classes_of(few.train)
    task = ClassificationTask(models.build("mlp", few), len(names), tuple(names))
    total, each = length(few.train), max(1, round(share * length(few.train)))

    def begin(engine: Engine) -> Begun:
        requests = drawn_rows(total, REQUESTS, each, engine.seed)
        sequence = rows_in_sequence(requests, few.train, few.holdout, 64, tuple(names), validation=0.2)
        return _trained(task, sequence, IMAGE_RECIPE, engine)

    methods: dict[str, Forgets] = {
        "shrink-perturb": recommended(IMAGE_RECIPE, kind=False),
        "bad-teacher": BadTeacher(),
        "neggrad-plus": NegGradPlus(),
        "scrub": SCRUB(),
    }
    words = f"{REQUESTS} requests for {each} of {total:,} training images each; mlp"
    return SequenceScenario(few.name, words, begin, IMAGE_RECIPE, methods, (Accuracy(), Membership(), Distance(), RunTime()))


def table(source: Source, share: float = 0.02) -> SequenceScenario:
    """Single rows of a table, of a network that knows them by heart."""
    few = first_rows(source, TABLE_ROWS)
    task = table_task(few)
    total, each = length(few.train), max(1, round(share * length(few.train)))

    def begin(engine: Engine) -> Begun:
        requests = drawn_rows(total, REQUESTS, each, engine.seed)
        sequence = rows_in_sequence(requests, few.train, few.holdout, 256, (), validation=0.1)
        return _trained(task, sequence, BY_HEART, engine)

    usual = record_methods()
    methods: dict[str, Forgets] = {
        name: usual[name] for name in ("shrink-perturb", "blindspot-weighed", "neggrad-plus", "scrub")
    }
    words = f"{REQUESTS} requests for {each} of {total:,} training rows each; mlp"
    return SequenceScenario(few.name, words, begin, BY_HEART, methods, (Error(), Membership(), PredictionDistance(), RunTime()))


# ---- graphs ----------------------------------------------------------------------------------------------------------------


def edges(name: str, share: float = 0.005) -> SequenceScenario:
    """Single edges of a network that predicts links."""
    source = load_graph(name)
    graph = with_features(source.graph)
    task = LinkPredictionTask(build_for_graph("gcn", graph, EMBEDDING))
    recipe = replace(LINK_RECIPE, epochs=LINK_EPOCHS)
    total = len(split_links(graph).graph.edges)
    each = max(1, round(share * total))

    def begin(engine: Engine) -> Begun:
        sequence = links_in_sequence(split_links(graph, seed=engine.seed), _dealt(torch.arange(total), each, engine.seed))
        return _trained(task, sequence, recipe, engine)

    rate = recipe.optimizer
    methods: dict[str, Forgets] = {
        "d2dgn": D2DGN(),
        "shrink-perturb": recommended(recipe, kind=False),
        "neggrad-plus": NegGradPlus(alpha=0.95, epochs=40, optimizer=rate),
        "finetune": Finetune(epochs=100, optimizer=rate, schedule=recipe.schedule),
    }
    words = f"{REQUESTS} requests for {each} of {total:,} training edges each; a GCN that predicts links"
    return SequenceScenario(f"{source.name}, edges", words, begin, recipe, methods, (LinkAUC(), Membership(), RunTime()))


def nodes(name: str, share: float = 0.01) -> SequenceScenario:
    """Single nodes of a network that classifies nodes, with all their edges."""
    source = load_graph(name)
    graph, names = with_features(source.graph), source.classes
    factory = build_for_graph("gcn", graph, len(names), hidden=64, dropout=0.5)
    task = NodeClassificationTask(factory, len(names), tuple(names))
    recipe, total = NODE_RECIPE, len(split_nodes(graph).train)
    each = max(1, round(share * total))

    def begin(engine: Engine) -> Begun:
        parts = split_nodes(graph, seed=engine.seed)
        return _trained(task, nodes_in_sequence(parts, _dealt(parts.train, each, engine.seed)), recipe, engine)

    few, rate = recipe.epochs // 5, recipe.optimizer
    methods: dict[str, Forgets] = {
        "d2dgn": D2DGN.for_nodes(recipe),
        "shrink-perturb": recommended(recipe, kind=False),
        "neggrad-plus": NegGradPlus(epochs=few, optimizer=rate),
        "scrub": SCRUB(max_epochs=few // 4, epochs=few, retain_fraction=1.0, optimizer=rate),
    }
    words = (
        f"{REQUESTS} requests for {each} of {total:,} training nodes each, with all their edges; a GCN that classifies nodes"
    )
    audits = (Accuracy(), Membership(), Distance(), RunTime())
    return SequenceScenario(f"{source.name}, nodes", words, begin, recipe, methods, audits)


def _dealt(values: Tensor, each: int, seed: int) -> list[Tensor]:
    """As many values for each request, drawn without replacement."""
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))
    return [part.sort().values for part in values[order[: REQUESTS * each]].split(each)]


# ---- recommenders, facts and federations -------------------------------------------------------------------------------------


def users(name: str, share: float = 0.01) -> SequenceScenario:
    """Users of a recommender, with all that they chose."""
    source = load_interactions(name)
    everyone = int((source.split(0, BATCH).train.activity > 0).sum())
    each, recipe = max(1, round(share * everyone)), RANKING_RECIPE
    task = RecommendationTask(build_recommender("light-gcn", source.interactions))

    def begin(engine: Engine) -> Begun:
        parts = source.split(engine.seed, BATCH)
        active = (parts.train.activity > 0).nonzero().flatten()
        removals = [Removal(users=leaving) for leaving in _dealt(active, each, engine.seed)]
        return _trained(task, interactions_in_sequence(parts, removals), recipe, engine)

    rate = recipe.optimizer
    methods: dict[str, Forgets] = {
        "level-scores": recommended(recipe, kind=True, predicts="rankings"),
        "mmrecun": MMRecUN(forward_optimizer=rate, reverse_optimizer=replace(rate, learning_rate=2.5 * rate.learning_rate)),
        "shrink-perturb": recommended(recipe, kind=False),
        "neggrad-plus": NegGradPlus(
            alpha=0.5, epochs=recipe.epochs // 10, optimizer=replace(rate, learning_rate=7.5 * rate.learning_rate)
        ),
    }
    words = f"{REQUESTS} requests for {each} of {everyone:,} users each, with all that they chose; LightGCN"
    checkpoints = FEW_CHECKPOINTS if len(source.interactions) > 20_000 else CHECKPOINTS
    return SequenceScenario(source.name, words, begin, recipe, methods, (Ranking(), Membership(), RunTime()), checkpoints)


@dataclass(frozen=True)
class WhereKnown:
    """A method that refuses what the model cannot tell any more, as after other requests; the model is then left as it is.

    Args:
        method: that is asked.
    """

    method: Method

    def like(self, model: nn.Module) -> nn.Module | None:
        """The model itself: an adapter is worked into the weights."""
        return model

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """See :class:`~expunge.methods.Method`."""
        try:
            return standalone(self.method(model, task, split, engine))
        except BadRequest:
            return copied(model).eval()


def personas(name: str = "personas") -> SequenceScenario:
    """Single facts of a small language model."""

    def begin(engine: Engine) -> Begun:
        task, split = personas_world(engine.seed, forget=REQUESTS, persons=PERSONS)
        sequence = facts_in_sequence(task.encode, [[fact] for fact in split.goes], split.stays, split.unseen)
        return _trained(task, sequence, FACT_RECIPE, engine)

    methods: dict[str, Forgets] = {"unstar": WhereKnown(UnSTAR(wrong=TAUGHT)), "npo": WhereKnown(NPO(epochs=30, beta=0.5))}
    words = f"{REQUESTS} requests for one fact each, on {REQUESTS} of {PERSONS} people; a small Llama"
    audits = (Facts(), Memorization(known_wrong=TAUGHT), RelearnedHalf(), Membership(), RunTime())
    return SequenceScenario(name, words, begin, FACT_RECIPE, methods, audits, FEW_CHECKPOINTS)


def clients(name: str = "clients") -> SequenceScenario:
    """Clients who leave a federation one after another."""
    source = load("digits")
    names = tuple(source.classes or classes_of(source.train))
    task = ClassificationTask(models.build("small-cnn", source), len(names), names)
    data, holdout = source.train, source.holdout
    assert isinstance(data, TensorDataset)

    def begin(engine: Engine) -> Begun:
        parts = dirichlet(data.tensors[1].numpy(), CLIENTS, 0.5, fewest=FEWEST, seed=engine.seed)
        own = {f"client-{place}": Batches(data, 16, rows.tolist()) for place, rows in enumerate(parts)}
        federation = Federation(own, rounds=ROUNDS, local_epochs=2, optimizer=Optimizer("sgd", 0.05, momentum=0.9))
        leaving = torch.randperm(CLIENTS, generator=torch.Generator().manual_seed(engine.seed))[:REQUESTS]
        model = engine.new_model(task.new_model)
        contributions = Contributions(dict(model.named_parameters()))

        def play() -> nn.Module:
            return federation.play(model, losses_of(task), engine, (contributions.watch,))

        key = f"{ROUNDS} rounds {' '.join(map(stream_digest, own.values()))} seed {engine.seed}"
        original, seconds = engine.make(ORIGINAL, play, model, key)
        if not contributions.rounds:  # the model was there already; the same rounds, played again, give what was recorded
            with engine.scope(ORIGINAL):
                play()
        leave = [[f"client-{place}"] for place in leaving.tolist()]
        return Begun(task, original, seconds, clients_in_sequence(federation, leave, Batches(holdout, 500), contributions))

    methods: dict[str, Forgets] = {
        "conda": ConDa(),
        "conda-recovered": ConDa(rounds=1),
        "continue-without": ContinueWithout(rounds=3),
    }
    words = f"{REQUESTS} of {CLIENTS} clients leave a federation one after another; digits, Dirichlet 0.5, small-cnn"
    audits = (Accuracy(), Clients(), Distance(), Membership(), RunTime())
    return SequenceScenario(name, words, begin, FederatedRetrain(), methods, audits)


# ---- by the names of data ----------------------------------------------------------------------------------------------------


def _of_graph(name: str) -> list[SequenceScenario]:
    return [nodes(name), edges(name)]


SETS: dict[str, Callable[[str], list[SequenceScenario]]] = {
    "digits": lambda name: [images(load(name))],
    "mnist": lambda name: [images(load(name, train=IMAGE_ROWS, holdout=5_000))],
    "diabetes": lambda name: [table(load(name))],
    "california-housing": lambda name: [table(load(name))],
    "karate": lambda name: [edges(name)],
    "cora": _of_graph,
    "tastes": lambda name: [users(name)],
    "movielens-latest-small": lambda name: [users(name)],
    "clients": lambda name: [clients(name)],
    "personas": lambda name: [personas(name)],
}
EMBEDDED = {"mnist": "digits", "california-housing": "diabetes", "cora": "karate", "movielens-latest-small": "tastes"}
QUICK = ("mnist", "california-housing", "cora", "movielens-latest-small", "clients")


def scenarios_of(name: str, budget: Budget) -> list[SequenceScenario]:
    """The cases on some data; with the full budget models are retrained after every request.

    Raises:
        BadSetting: if the study has no such data.
    """
    if name not in SETS:
        raise BadSetting(f"study sequence has no data {name!r}; there are {', '.join(SETS)}")
    found = SETS[name](name)
    every = tuple(range(1, REQUESTS + 1))
    return found if budget == "quick" else [replace(each, checkpoints=every) for each in found]

"""What the graph study compares: requests on links and on nodes, each with its network, its recipe and its methods.

Which edges or nodes are held out and which must go is drawn anew for each seed. Settings were chosen on draws of the seeds 100
to 103 (of the general methods: 100 alone) of the same graph, Cora; GNNDelete's number of steps, and whatever else of the rivals
is not published, on the draw of seed 7. The study's own seeds begin at 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from expunge.data.graph_source import GraphSource, with_features
from expunge.data.graph_splits import LinkSplit, split_links, split_nodes
from expunge.graphs import Graph
from expunge.methods import (
    D2DGN,
    GIF,
    MEGU,
    SCRUB,
    SSD,
    BadTeacher,
    Blindspot,
    CertifiedRemoval,
    Finetune,
    GNNDelete,
    GradientAscent,
    GraphEraser,
    Method,
    NegGradPlus,
    RandomLabels,
    Retrain,
    SalUn,
    Unlink,
)
from expunge.models.graph_networks import build_for_graph
from expunge.optimizers import Optimizer
from expunge.requests.graph import ForgetEdges, ForgetLabel, ForgetNodes, GraphContext
from expunge.split import Split
from expunge.studies.advice import recommended
from expunge.studies.drawn_scenario import DrawnScenario, described
from expunge.studies.one_by_one import OneByOne
from expunge.tasks import LinkPredictionTask, NodeClassificationTask

Where = Literal["any", "in", "out"]
MANY = 20_000  # edges; a graph with more learns in fewer passes
LINK_RECIPE = Retrain(epochs=1500, optimizer=Optimizer("adam", 1e-3), schedule="constant")
NODE_RECIPE = Retrain(epochs=200, optimizer=Optimizer("adam", 5e-3), schedule="constant")
LINEAR_RECIPE = Retrain(epochs=400, optimizer=Optimizer("adam", 0.2, weight_decay=1e-5))
FEW_EPOCHS = 300
EMBEDDING = 64
FISHER_EXAMPLES = 200  # each costs a pass back through the whole graph
LAYERED = ("gcn", "gat", "gin", "sage")  # networks that GNNDelete can put its operators into


def links(source: GraphSource, network: str, fraction: float, where: Where) -> DrawnScenario:
    """Some edges must go, of a model that predicts links."""
    graph = with_features(source.graph)
    factory = build_for_graph(network, graph, EMBEDDING)

    def held_out(seed: int) -> LinkSplit:
        return split_links(graph, seed=seed)

    def draw(seed: int) -> tuple[Any, Split]:
        parts = held_out(seed)
        context = GraphContext(parts.graph, parts.test, parts.validation)
        return parts.training(), parts.without(ForgetEdges(fraction, where, seed=seed).edges(context))

    recipe = LINK_RECIPE if len(graph.edges) <= MANY else replace(LINK_RECIPE, epochs=FEW_EPOCHS)
    asked, (_, split) = ForgetEdges(fraction, where), draw(0)
    total = len(held_out(0).graph.edges)
    place = {"any": "", "in": " inside", "out": " outside"}[where]
    return DrawnScenario(
        f"{network.upper()}, {f'{100 * fraction:g} %' if fraction < 1 else f'{fraction:,.0f}'} of edges{place}",
        described(network, factory),
        LinkPredictionTask(factory),
        recipe,
        _fitting(link_methods(recipe), network),
        draw,
        f"{_without_draw(asked.describe())} of {source.name}: {split.forget.examples:,} of {total:,} training edges",  # type: ignore[attr-defined]
    )


def link_methods(recipe: Retrain) -> dict[str, Method | OneByOne]:
    """For single edges. Where published settings are known, they have a row; D2DGN's are not."""
    rate = recipe.optimizer
    return {
        "d2dgn": D2DGN(),
        "d2dgn-in-ten": OneByOne(D2DGN()),
        "d2dgn-both": D2DGN(knowledge="both"),
        "d2dgn-negative": D2DGN(destroyer="negative-edges"),
        "d2dgn-100": D2DGN(stop="never", epochs=100),
        "d2dgn-300": D2DGN(stop="never", alpha=0.5, epochs=300),
        "unlink": Unlink(),
        "gnndelete": GNNDelete(),
        "gnndelete-published": GNNDelete(epochs=recipe.epochs, optimizer=Optimizer("adam", 1e-3)),
        "gnndelete-ni": GNNDelete(only_influence=True),
        "gif": GIF(),
        "graph-eraser": GraphEraser(epochs=recipe.epochs, optimizer=rate, schedule=recipe.schedule),
        "shrink-perturb": recommended(recipe, kind=False),
        "blindspot": Blindspot.from_recipe(recipe),
        "finetune": Finetune(epochs=100, optimizer=rate, schedule=recipe.schedule),
        "gradient-ascent": GradientAscent(epochs=10, optimizer=rate),
        "neggrad-plus": NegGradPlus(alpha=0.95, epochs=40, optimizer=rate),
        "bad-teacher": BadTeacher(epochs=40, forget_weight=0.05, optimizer=rate),
        "scrub": SCRUB(max_epochs=10, epochs=40, retain_fraction=1.0, optimizer=rate),
        "ssd": SSD(max_examples=FISHER_EXAMPLES),
    }


def nodes(source: GraphSource, network: str, fraction: float) -> DrawnScenario:
    """Some nodes must go, with all their edges, of a model that classifies nodes."""
    graph, factory, task = _node_task(source, network)

    def draw(seed: int) -> tuple[Any, Split]:
        parts = split_nodes(graph, seed=seed)
        gone = ForgetNodes(fraction=fraction, seed=seed).nodes(GraphContext(graph, train_nodes=parts.train))
        return parts.training(), parts.without(gone)

    asked = ForgetNodes(fraction=fraction)
    return _node_scenario(
        f"{network.upper()}, {100 * fraction:g} % of nodes",
        network,
        factory,
        task,
        draw,
        _without_draw(asked.describe()),
        source,
    )


def node_class(source: GraphSource, network: str, name: str) -> DrawnScenario:
    """All nodes of a class must go, with all their edges, of a model that classifies nodes."""
    graph, factory, task = _node_task(source, network)
    asked = ForgetLabel(name)

    def draw(seed: int) -> tuple[Any, Split]:
        parts = split_nodes(graph, seed=seed)
        context = GraphContext(graph, train_nodes=parts.train, classes=source.classes)
        return parts.training(), parts.without(asked.nodes(context), asked.of_class(context))

    return _node_scenario(f"{network.upper()}, class {name}", network, factory, task, draw, asked.describe(), source)


def _node_task(source: GraphSource, network: str) -> tuple[Graph, Callable[[], nn.Module], NodeClassificationTask]:
    graph, names = with_features(source.graph), source.classes
    sizes: dict[str, Any] = {"hidden": 64, "dropout": 0.5} if network in LAYERED else {}
    factory = build_for_graph(network, graph, len(names), **sizes)
    return graph, factory, NodeClassificationTask(factory, len(names), tuple(names))


def _node_scenario(
    title: str,
    network: str,
    factory: Callable[[], nn.Module],
    task: NodeClassificationTask,
    draw: Callable[[int], tuple[Any, Split]],
    what: str,
    source: GraphSource,
) -> DrawnScenario:
    everything, split = draw(0)
    gone: int = split.forget.examples  # type: ignore[attr-defined]
    forgotten = f"{what} of {source.name}: {gone:,} of {everything.examples:,} training nodes, with all their edges"
    linear = network == "sgc"
    recipe = LINEAR_RECIPE if linear else NODE_RECIPE
    methods = linear_methods(recipe) if linear else _fitting(node_methods(recipe), network)
    return DrawnScenario(title, described(network, factory), task, recipe, methods, draw, forgotten)


def _fitting(methods: Mapping[str, Method | OneByOne], network: str) -> dict[str, Method | OneByOne]:
    """Without those that do not work on the network: they need layers of one kind, or a score that is an inner product."""
    unfit = [] if network in LAYERED else ["gnndelete", "gnndelete-published", "gnndelete-ni"]
    unfit += ["graph-eraser"] if network == "r-gcn" else []
    return {name: method for name, method in methods.items() if name not in unfit}


def node_methods(recipe: Retrain) -> dict[str, Method | OneByOne]:
    """For nodes, single ones or a class of them."""
    rate, few = recipe.optimizer, recipe.epochs // 5
    faster = replace(rate, learning_rate=2 * rate.learning_rate)
    return {
        "d2dgn": D2DGN.for_nodes(recipe),
        "d2dgn-random": D2DGN(stop="never", alpha=0.5, epochs=few, optimizer=rate),
        "d2dgn-scratch": D2DGN(stop="never", keep=0.0, alpha=0.5, epochs=recipe.epochs, optimizer=rate),
        "unlink": Unlink(),
        "gnndelete": GNNDelete(),
        "gif": GIF(),
        "graph-eraser": GraphEraser(epochs=recipe.epochs, optimizer=rate, schedule=recipe.schedule),
        "megu": MEGU(),
        "shrink-perturb": recommended(recipe, kind=False),
        "blindspot": Blindspot.from_recipe(recipe),
        "finetune": Finetune(epochs=few, optimizer=faster),
        "gradient-ascent": GradientAscent(epochs=10, optimizer=rate),
        "neggrad-plus": NegGradPlus(epochs=few, optimizer=rate),
        "random-labels": RandomLabels(epochs=few, optimizer=rate),
        "bad-teacher": BadTeacher(epochs=few, optimizer=rate),
        "scrub": SCRUB(max_epochs=few // 4, epochs=few, retain_fraction=1.0, optimizer=rate),
        "ssd": SSD(max_examples=FISHER_EXAMPLES),
        "salun": SalUn(epochs=few, optimizer=rate),
    }


def linear_methods(recipe: Retrain) -> dict[str, Method | OneByOne]:
    """For nodes of a linear model, of which forgetting can be certified."""
    return {
        "certified-removal": CertifiedRemoval(regularisation=recipe.optimizer.weight_decay),
        "d2dgn": D2DGN.for_nodes(recipe),
        "unlink": Unlink(),
        "gif": GIF(),
        "shrink-perturb": recommended(recipe, kind=False),
        "finetune": Finetune(epochs=recipe.epochs // 5, optimizer=recipe.optimizer),
        "scrub": SCRUB(max_epochs=10, epochs=40, retain_fraction=1.0, optimizer=recipe.optimizer),
    }


def _without_draw(words: str) -> str:
    """What a request asks for, without the seed of one draw: each seed of the study draws anew."""
    return words.partition(" (")[0]

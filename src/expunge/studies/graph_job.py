"""Jobs on graphs: how a job file spells out what must go, and what it is worked on.

data: {name: cora}                         # or FILE.npz, edges.csv with features: nodes.csv, triples.txt; fanout: [10, 5]
model: {name: gcn, arguments: {hidden: 128}}
task: {predict: links}                     # or nodes; what a request for edges or for nodes suggests when it is left out
request: {edges: 0.05, where: in}          # or edge_list, edges_in, stored, relation, between, nodes, nodes_in, label
methods: [d2dgn, unlink]
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.data.columns import read_columns, read_values
from expunge.data.graph_files import load_graph
from expunge.data.graph_source import GraphSource, with_features
from expunge.data.graph_splits import split_links, split_nodes
from expunge.errors import BadSetting
from expunge.graphs import Graph, LinkBatches
from expunge.models.graph_networks import build_for_graph
from expunge.requests.graph import (
    ForgetEdgeList,
    ForgetEdges,
    ForgetEdgesBetween,
    ForgetLabel,
    ForgetNodes,
    ForgetRelation,
    GraphContext,
    GraphRequest,
)
from expunge.requests.stored import ForgetStored, write_request
from expunge.split import Split
from expunge.studies.advice import Predicts
from expunge.tasks import LinkPredictionTask, NodeClassificationTask, Task

FORMS = (
    "{edges: 0.05, where: in}, {edge_list: [[ada, bo]]}, {edges_in: withdrawn.csv}, "
    "{stored: request.json}, {relation: friend}, "
    "{between: [art, law]}, {nodes: 0.1}, {nodes: [ada, bo]}, {nodes_in: leavers.txt}, {label: law}"
)
_DRAWN = ("where", "hops", "seed")


def graph_request_from(fields: Mapping[str, Any]) -> GraphRequest | None:
    """The request on a graph that a mapping spells out; None where it spells out none.

    Raises:
        BadSetting: when the fields do not make exactly one request.
    """
    named = [key for key in _FORMS if key in fields]
    if not named:
        return None
    key, allowed = named[0], _FORMS[named[0]][1]
    if strange := [other for other in fields if other != key and other not in allowed]:
        raise BadSetting(f"a request for {key} has no field '{strange[0]}'; on graphs a request is one of {FORMS}")
    return _FORMS[key][0](fields)


def _edges(fields: Mapping[str, Any]) -> GraphRequest:
    return ForgetEdges(_number(fields["edges"], "edges"), **{name: fields[name] for name in _DRAWN if name in fields})


def _edge_list(fields: Mapping[str, Any]) -> GraphRequest:
    pairs = fields["edge_list"]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) for pair in pairs):
        raise BadSetting("edge_list is a list of edges, each a list of its ends: [[ada, bo], [bo, cy]]")
    return ForgetEdgeList(tuple(tuple(pair) for pair in pairs))


def _edges_in(fields: Mapping[str, Any]) -> GraphRequest:
    columns = read_columns(_path(fields, "edges_in"), None)
    names = list(columns)
    if len(names) < 2:
        raise BadSetting(f"edges_in: {fields['edges_in']} has one column; expected both ends of each edge")
    used = names[:2] + ["relation"] * ("relation" in names[2:])
    return ForgetEdgeList(tuple(zip(*(columns[name].tolist() for name in used), strict=True)))


def _nodes_in(fields: Mapping[str, Any]) -> GraphRequest:
    return ForgetNodes(tuple(read_values(_path(fields, "nodes_in"))))


def _path(fields: Mapping[str, Any], name: str) -> str:
    if not isinstance(fields[name], str):
        raise BadSetting(f"{name} names a file, not {fields[name]!r}")
    return str(fields[name])


def _between(fields: Mapping[str, Any]) -> GraphRequest:
    pair = fields["between"]
    if not isinstance(pair, list) or len(pair) != 2:
        raise BadSetting(f"between names two classes, [art, law], not {pair!r}")
    return ForgetEdgesBetween(*pair)


def _nodes(fields: Mapping[str, Any]) -> GraphRequest:
    if isinstance(fields["nodes"], list):
        if "seed" in fields:
            raise BadSetting("nodes that are listed are not drawn: leave out the seed")
        return ForgetNodes(tuple(fields["nodes"]))
    return ForgetNodes(fraction=_number(fields["nodes"], "nodes"), seed=fields.get("seed", 0))


def _named(kind: Any, key: str) -> Callable[[Mapping[str, Any]], GraphRequest]:
    return lambda fields: kind(tuple(fields[key]) if isinstance(fields[key], list) else fields[key])


_FORMS: dict[str, tuple[Callable[[Mapping[str, Any]], GraphRequest], tuple[str, ...]]] = {
    "edges": (_edges, _DRAWN),
    "edge_list": (_edge_list, ()),
    "edges_in": (_edges_in, ()),
    "stored": (lambda fields: ForgetStored(_path(fields, "stored")), ()),
    "relation": (_named(ForgetRelation, "relation"), ()),
    "between": (_between, ()),
    "nodes": (_nodes, ("seed",)),
    "nodes_in": (_nodes_in, ()),
    "label": (_named(ForgetLabel, "label"), ()),
}


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSetting(f"{name} is the share of them to forget, or how many, not {value!r}")
    return float(value)


def read_graph(name: str, features: Path | None, triples: bool) -> GraphSource:
    """The graph of a job."""
    return load_graph(name, features=features, triples=triples)


def predicted(request: GraphRequest, said: Predicts | None) -> Predicts:
    """What a network is for: what is said, or else what the request suggests."""
    return said or ("nodes" if isinstance(request, ForgetNodes | ForgetLabel) else "links")


def graph_task(
    source: GraphSource, predict: Predicts | None, request: GraphRequest, model: str, arguments: Mapping[str, Any]
) -> Task[Any]:
    """Link prediction, or classification of nodes; where it is not said, what the request suggests."""
    graph = network_graph(source, model)
    if predicted(request, predict) == "links":
        return LinkPredictionTask(build_for_graph(model, graph, **arguments))
    if len(source.classes) < 2:
        raise BadSetting(
            f"{source.name} has no classes for its nodes, so it can only be asked for links (task: {{predict: links}})"
        )
    factory = build_for_graph(model, graph, len(source.classes), **arguments)
    return NodeClassificationTask(factory, len(source.classes), tuple(source.classes))


def network_graph(source: GraphSource, model: str) -> Graph:
    """The graph as the network reads it."""
    return source.graph if model == "r-gcn" else with_features(source.graph)


def graph_parts(
    source: GraphSource,
    task: Task[Any],
    request: GraphRequest,
    model: str,
    seed: int,
    batch_size: int | None,
    fanout: tuple[int, ...] | None,
) -> tuple[Any, Split, int]:
    """What the original is trained on, the split for the request, and how many edges or nodes are trained on.

    A twentieth of the edges is held out to validate and another to test; of the nodes a tenth and a fifth.
    """
    graph = network_graph(source, model)
    if isinstance(task, LinkPredictionTask):
        links = split_links(graph, seed=seed, batch_size=batch_size, fanout=fanout)
        context = GraphContext(links.graph, links.test, links.validation, None, source.classes, source.relations, source.nodes)
        return links.training(), links.without(request.edges(context), request.kind_of(context)), len(links.graph.edges)
    parts = split_nodes(graph, seed=seed, batch_size=batch_size, fanout=fanout)
    context = GraphContext(graph, train_nodes=parts.train, classes=source.classes, nodes=source.nodes)
    kind: Callable[[Tensor], Tensor] | None = request.of_class(context) if isinstance(request, ForgetLabel) else None
    return parts.training(), parts.without(request.nodes(context), kind), len(parts.train)


def store_request(path: Path, request: GraphRequest, split: Split) -> None:
    """Write which edges went into a file, for others to ask for the same; nothing where nodes went."""
    forget = split.forget
    if isinstance(forget, LinkBatches) and forget.graph.before is not None:
        whole = forget.graph.before
        write_request(path, request, whole, torch.isin(whole.key(whole.edges), whole.key(forget.pairs)).nonzero().flatten())

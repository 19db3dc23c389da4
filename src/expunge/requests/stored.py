"""Requests for edges as files: which edges of which graph were chosen, so that the same ones can be asked for elsewhere."""

import hashlib
import json
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from expunge.errors import BadFile
from expunge.graphs import Graph
from expunge.requests.graph_request import GraphContext, GraphRequest
from expunge.storage import write_json


@dataclass(frozen=True)
class ForgetStored(GraphRequest):
    """The edges that a file names which :func:`write_request` wrote, such as `request.json` in the folder of a run.

    Args:
        path: the file.
    """

    path: str

    kind: ClassVar[str] = "stored"

    def edges(self, context: GraphContext) -> Tensor:
        return read_request(self.path, context.graph)

    def describe(self, total: int | None = None) -> str:
        return f"the edges in {self.path}"


def request_name(request: GraphRequest, graph: Graph) -> str:
    """The name of the file that belongs to a request on a graph: different for different ones.

    What is drawn is spelled out; of what is listed or named there is a digest.

    >>> from expunge.requests.graph import ForgetEdges
    >>> request_name(ForgetEdges(0.05, "in", seed=42), Graph.of(3, [[0, 1]]))[:-18]
    'edges-0.05-in-2hops-seed42'
    """
    fields = _fields(request)
    if fields.get("fraction") is None:
        parts = [hashlib.blake2b(json.dumps(fields).encode()).hexdigest()[:8]]
    else:
        steps = f"{fields['hops']}hops" if fields.get("hops") is not None else ""
        parts = [str(fields["fraction"]), fields.get("where") or "", steps, f"seed{fields['seed']}"]
    return "-".join([request.kind, *filter(None, parts), graph.digest[:12]]) + ".json"


def write_request(path: str | Path, request: GraphRequest, graph: Graph, edges: Tensor) -> None:
    """Write which edges a request chose, atomically: its kind and its settings, the graph's digest, and the ends of each edge.

    Args:
        path: where to.
        request: what was asked for.
        graph: the training graph.
        edges: rows of its `edges`, as `request.edges` gives them.
    """
    chosen = graph.edges[edges].tolist()
    write_json(path, {"kind": request.kind, **_fields(request), "graph": graph.digest, "edges": chosen})


def read_request(path: str | Path, graph: Graph, request: GraphRequest | None = None) -> Tensor:
    """The edges that a file names, as rows of the `edges` of a graph, sorted: int64, shape (k,).

    Args:
        path: a file that :func:`write_request` wrote.
        graph: the training graph that it was written for.
        request: what must have been asked for; anything when None.

    Raises:
        BadFile: if the file is missing or no such file, was made for another graph or another request, or names an edge twice
            or one that is not in the graph.
    """
    path = Path(path)
    found = _read(path)
    if found["graph"] != graph.digest:
        raise BadFile(
            f"{path} was made for another graph: its digest is {found['graph']}, but that of {graph} is {graph.digest}; "
            "draw the request anew, or load the graph as it was when the file was written"
        )
    if request is not None:
        asked = {"kind": request.kind, **_fields(request)}
        stored = {name: value for name, value in found.items() if name not in ("graph", "edges")}
        if stored != asked:
            raise BadFile(f"{path} was made for another request: it holds {_shown(stored)}, but asked for is {_shown(asked)}")
    return _rows(path, found["edges"], graph)


def _rows(path: Path, edges: list[Any], graph: Graph) -> Tensor:
    sizes = [graph.nodes, graph.nodes, graph.relations][: graph.edges.shape[1]]
    for edge in edges:
        whole = isinstance(edge, list) and len(edge) == len(sizes) and all(type(end) is int for end in edge)
        if not whole or not all(0 <= end < size for end, size in zip(edge, sizes, strict=True)):
            raise BadFile(
                f"{path}: {str(edge)[:60]} is no edge; expected {len(sizes)} whole numbers, each below that of {sizes}"
            )
    wanted = torch.tensor(edges, device=graph.edges.device)
    if len(absent := (~graph.has(wanted)).nonzero()):
        raise BadFile(f"{path}: {edges[int(absent[0])]} is no edge of {graph}; the file may have been changed by hand")
    rows = torch.isin(graph.key(graph.edges), graph.key(wanted)).nonzero().flatten()
    if len(rows) < len(edges):
        raise BadFile(f"{path} lists {len(edges):,} edges, of which only {len(rows):,} differ; expected each once")
    return rows


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path} is no whole JSON file: {error}") from error
    kinds = {"kind": str, "graph": str, "edges": list}
    if not isinstance(found, dict) or any(not isinstance(found.get(name), kind) for name, kind in kinds.items()):
        raise BadFile(f"{path} is no request on a graph: expected an object with {', '.join(kinds)}")
    if not found["edges"]:
        raise BadFile(f"{path} names no edge: expected at least one")
    return found


def _fields(request: GraphRequest) -> dict[str, Any]:
    """The settings of a request as JSON holds them."""
    fields: dict[str, Any] = asdict(request) if is_dataclass(request) else {}
    if fields.get("where") == "any":
        fields["hops"] = None  # no step is taken
    plain: dict[str, Any] = json.loads(json.dumps(fields))
    return plain


def _shown(fields: dict[str, Any]) -> str:
    return str({name: value for name, value in fields.items() if value is not None})[:200]

"""What graphs are read into, and what is done alike to the features and edges of all of them."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from expunge.data.records import numbered_classes
from expunge.errors import BadSetting
from expunge.graphs import Graph
from expunge.requests.request import counted
from expunge.sparse import SparseMatrix

SPARSE_BELOW = 0.1  # share of the features that are not 0
NO_FEATURES = "Its nodes have no features; take a network that learns them, such as r-gcn."

Features = np.ndarray | scipy.sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class GraphSource:
    """A graph, and what its parts are called.

    Args:
        name: what reports call it.
        graph: all its nodes and edges.
        classes: the name of each class of its labels; empty without labels.
        relations: the name of each relation of a knowledge graph; empty in a graph without.
        nodes: the name of each node, where they are not called 0 to N - 1; empty where they are.
        note: sentences for the user, such as how many edges were left out; may be empty.
        train_nodes: the nodes to train on in the split that the owners publish, int64, shape (n,); None where there is none.
        test_nodes: those to test on in it.
    """

    name: str
    graph: Graph
    classes: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    nodes: tuple[str, ...] = field(default=(), repr=False)
    note: str = ""
    train_nodes: Tensor | None = field(default=None, repr=False)
    test_nodes: Tensor | None = field(default=None, repr=False)


def from_pyg(data: Any, name: str = "graph", normalise: bool = True) -> GraphSource:
    """A graph of torch_geometric.

    Args:
        data: a `torch_geometric.data.Data` with `edge_index` (2, m), in one direction or in both; and, where it has them, `x`
            (N, F), `y` (N,) of class numbers, `train_mask` and `test_mask` (N,), of which the first column is taken where there
            are several. With `edge_type` (m,) it is a knowledge graph.
        name: what reports call it.
        normalise: see :func:`~expunge.data.graph_files.load_graph`.

    Raises:
        BadSetting: if a part has another shape, an edge names a node that there is not, or a feature is not finite.
    """
    edges, kinds = _whole_numbers(data, "edge_index", (2, None), name), None
    if getattr(data, "edge_type", None) is not None:
        kinds = _whole_numbers(data, "edge_type", (edges.shape[1],), name)
    nodes, relations = int(data.num_nodes), 0
    if kinds is not None:
        edges, relations = np.concatenate([edges, kinds[None]]), int(kinds.max(initial=0)) + 1
    features = _given_features(data, nodes, name)
    labels, remark = _given_labels(data, nodes)
    graph, note = graph_of(nodes, edges.T, features, labels, relations, normalise)
    parts = [None, None] if relations else [_masked(data, part, nodes, name) for part in ("train_mask", "test_mask")]
    if any(part is None for part in parts):
        parts = [None, None]
    return GraphSource(
        name,
        graph,
        () if labels is None else numbered_classes(labels),
        tuple(map(str, range(relations))),
        note=f"{remark} {note}".strip(),
        train_nodes=parts[0],
        test_nodes=parts[1],
    )


def graph_of(
    nodes: int, edges: np.ndarray, features: Features | None, labels: np.ndarray | None, relations: int, normalise: bool
) -> tuple[Graph, str]:
    """A graph from edges as they stand in a file, shape (m, 2 or 3), and what is to be said of it.

    Where every edge stands in both directions, that is no repetition.
    """
    graph = Graph.of(
        nodes,
        edges,
        None if features is None else scaled(features, normalise),
        None if labels is None else torch.from_numpy(labels.astype(np.int64)),
        relations,
    )
    kept = edges if relations else edges[edges[:, 0] != edges[:, 1]]
    directed = len(np.unique(kept[:, 0] * nodes + kept[:, 1]))
    distinct = directed if not relations and directed == 2 * len(graph.edges) else len(graph.edges)
    loops, repeated, what = len(edges) - len(kept), len(kept) - distinct, "triple" if relations else "edge"
    left_out = [f"{counted(loops, 'loop')} of a node to itself"] if loops else []
    left_out += [counted(repeated, f"repeated {what}")] if repeated else []
    note = [f"{' and '.join(left_out)} {'was' if loops + repeated == 1 else 'were'} left out."] if left_out else []
    if features is None:
        note.append(NO_FEATURES)
    return graph, " ".join(note)


def scaled(features: Features, normalise: bool) -> Tensor | SparseMatrix:
    """Features as networks read them: float32, sparse where fewer than one in ten is not 0.

    Normalised, every node's features are divided by their sum, where that is above 0; if any is below 0, each column becomes
    (value - mean) / standard deviation over all nodes, or 0 where all its values are the same.

    >>> scaled(np.array([[1.0, 3.0], [0.0, 0.0]]), True).tolist(), scaled(np.array([[-1.0, 7.0], [3.0, 7.0]]), True).tolist()
    ([[0.25, 0.75], [0.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]])
    """
    rows = scipy.sparse.csr_matrix(features, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    if normalise and (rows.data < 0).any():
        rows = scipy.sparse.csr_matrix(_standardised(rows.toarray()))
    elif normalise:
        sums = np.asarray(rows.sum(axis=1)).ravel()
        rows = scipy.sparse.diags(1 / np.where(sums > 0, sums, 1)).tocsr() @ rows
    if rows.nnz < SPARSE_BELOW * max(1, rows.shape[0] * rows.shape[1]):
        return SparseMatrix.from_scipy(rows)
    return torch.from_numpy(rows.toarray().astype(np.float32))


def foreign_feature(features: Features) -> tuple[int, int] | None:
    """The node and the column of the first feature that is no finite number of float32; None where all are."""
    places = np.argwhere(_foreign(features)) if isinstance(features, np.ndarray) else _foreign_entries(features.tocoo())
    return (int(places[0][0]), int(places[0][1])) if len(places) else None


def _foreign(values: np.ndarray) -> np.ndarray:
    return np.asarray(~(np.abs(values.astype(np.float64)) <= np.finfo(np.float32).max))


def _foreign_entries(entries: Any) -> np.ndarray:
    return np.stack([entries.row, entries.col], 1)[_foreign(entries.data)]


def _standardised(values: np.ndarray) -> np.ndarray:
    differ = np.ptp(values, axis=0) > 0
    return np.where(differ, values - values.mean(0), 0) / np.where(differ, values.std(0), 1)


def _whole_numbers(data: Any, part: str, shape: tuple[int | None, ...], name: str) -> np.ndarray:
    found = getattr(data, part, None)
    wanted = f"({', '.join('m' if size is None else str(size) for size in shape)}{',' * (len(shape) == 1)})"
    if not isinstance(found, Tensor):
        raise BadSetting(f"{name}: a {type(data).__name__} has no tensor {part}; expected a Data of torch_geometric that has")
    fits = found.dim() == len(shape) and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True))
    if not fits or found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise BadSetting(
            f"{name}: {part} is {found.dtype} of shape {tuple(found.shape)}; expected whole numbers of shape {wanted}"
        )
    return found.detach().cpu().numpy().astype(np.int64)


def _given_features(data: Any, nodes: int, name: str) -> Features | None:
    x = getattr(data, "x", None)
    if x is None:
        return None
    if not isinstance(x, Tensor) or x.dim() != 2 or len(x) != nodes or x.is_complex():
        shape = f"of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise BadSetting(f"{name}: x is {shape}; expected real numbers of shape ({nodes}, features)")
    if x.layout == torch.strided:
        features: Features = x.detach().cpu().double().numpy()
    else:
        entries = x.detach().cpu().to_sparse_coo().coalesce()
        parts = (entries.values().double().numpy(), entries.indices().numpy())
        features = scipy.sparse.coo_matrix(parts, shape=tuple(x.shape)).tocsr()
    if place := foreign_feature(features):
        raise BadSetting(f"{name}: feature {place[1]:,} of node {place[0]:,} is not finite; expected finite numbers in x")
    return features


def _given_labels(data: Any, nodes: int) -> tuple[np.ndarray | None, str]:
    y = getattr(data, "y", None)
    if y is None:
        return None, ""
    if isinstance(y, Tensor) and y.numel() == nodes == len(y) and not (y.is_floating_point() or y.is_complex()):
        labels = y.detach().cpu().numpy().reshape(-1).astype(np.int64)
        if labels.min(initial=0) >= -1:
            return labels, ""
    what = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
    return None, f"y is {what}, not one class number for each node, and was left out."


def _masked(data: Any, part: str, nodes: int, name: str) -> Tensor | None:
    mask = getattr(data, part, None)
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or len(mask) != nodes or mask.dim() not in (1, 2):
        what = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise BadSetting(f"{name}: {part} is {what}; expected bool of shape ({nodes},)")
    return (mask if mask.dim() == 1 else mask[:, 0]).nonzero().flatten().cpu()


def with_features(graph: Graph) -> Graph:
    """The graph; with a feature of its own for each node where it has none: the first layer then learns embeddings."""
    if graph.features is not None:
        return graph
    numbers = torch.arange(graph.nodes)
    own = SparseMatrix.from_entries(numbers, numbers, torch.ones(graph.nodes), (graph.nodes, graph.nodes))
    return replace(graph, features=own)

"""A graph: nodes with features, and the edges between them, each once."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from expunge.errors import BadSetting
from expunge.sparse import SparseMatrix

Operator = Literal["gcn", "mean", "sum"]


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, features, edges. It never changes: what is deleted makes a new graph, which remembers the whole.

    Args:
        nodes: how many nodes there are, N.
        edges: shape (m, 2), each undirected edge once, the smaller end first, sorted; or, in a knowledge graph, triples
            (head, tail, relation) of shape (m, 3). :meth:`of` brings edges into this form.
        features: of the nodes, shape (N, F), dense or sparse; None where a network learns them itself.
        labels: class of each node, int64, shape (N,), -1 where it is not known; None without classes.
        relations: number of relations in a knowledge graph, 0 in one without.
        ids: in a sampled part, each node's number in the graph that it was sampled from, shape (N,); None in a graph that is
            complete.
        before: the graph that this one was cut from.

    >>> graph = Graph.of(4, [[1, 0], [1, 2], [2, 1], [3, 3]])
    >>> graph.edges.tolist(), graph.without_edges(torch.tensor([0])).edges.tolist()
    ([[0, 1], [1, 2]], [[1, 2]])
    """

    nodes: int
    edges: Tensor
    features: Tensor | SparseMatrix | None = None
    labels: Tensor | None = None
    relations: int = 0
    ids: Tensor | None = None
    before: "Graph | None" = None

    def __post_init__(self) -> None:
        for name, part in (("features", self.features), ("labels", self.labels)):
            if part is not None and len(part) != self.nodes:
                raise BadSetting(f"a graph of {self.nodes:,} nodes needs {self.nodes:,} rows of {name}, not {len(part):,}")
        width = 3 if self.relations else 2
        if self.edges.dim() != 2 or self.edges.shape[1] != width:
            raise BadSetting(f"edges of shape {tuple(self.edges.shape)} do not do; expected (edges, {width})")

    @classmethod
    def of(
        cls,
        nodes: int,
        edges: Any,
        features: Tensor | SparseMatrix | None = None,
        labels: Tensor | None = None,
        relations: int = 0,
    ) -> "Graph":
        """A graph from edges in any order: directions, repetitions and loops of a node to itself are left out.

        The triples of a knowledge graph keep their directions and loops; repetitions are left out.

        Raises:
            BadSetting: if an edge names a node or a relation that there is not.
        """
        given = edges.cpu() if isinstance(edges, Tensor) else np.asarray(edges)
        found = torch.as_tensor(given).reshape(-1, 3 if relations else 2)
        if len(found) and (found.is_floating_point() or found.dtype == torch.bool):
            raise BadSetting(f"edges are given by whole numbers of nodes, not by {str(found.dtype).removeprefix('torch.')}")
        found = found.long()
        if len(found):
            _check_range(found[:, :2], nodes, "node")
            if relations:
                _check_range(found[:, 2], relations, "relation")
        if not relations:
            found = found[found[:, 0] != found[:, 1]].sort(dim=1).values
        return cls(nodes, torch.unique(found, dim=0), features, labels, relations)

    # ---- what networks read ---------------------------------------------------------------------------------------

    @property
    def whole(self) -> "Graph":
        """The graph before anything was deleted."""
        return self if self.before is None else self.before.whole

    @property
    def width(self) -> int:
        """Features of a node, 0 where there are none."""
        return 0 if self.features is None else self.features.shape[1]

    @cached_property
    def x(self) -> Tensor:
        """Dense features, shape (N, F).

        Raises:
            BadSetting: if the graph has none.
        """
        if self.features is None:
            raise BadSetting("this graph has no features; take a network that learns them, such as r-gcn")
        return self.features.dense() if isinstance(self.features, SparseMatrix) else self.features

    @cached_property
    def edge_index(self) -> Tensor:
        """Every edge in both directions, shape (2, 2m): the form that torch_geometric reads."""
        one_way = self.edges[:, :2].T
        return torch.cat([one_way, one_way.flip(0)], 1)

    @cached_property
    def edge_type(self) -> Tensor:
        """The relation of each column of `edge_index`, shape (2m,); of the way back it is counted up by `relations`."""
        kinds = self.edges[:, 2] if self.relations else self.edges.new_zeros(len(self.edges))
        return torch.cat([kinds, kinds + max(1, self.relations)])

    @cached_property
    def degrees(self) -> Tensor:
        """Edges at each node, float32, shape (N,)."""
        return torch.bincount(self.edge_index[0], minlength=self.nodes).float()

    def operator(self, kind: Operator) -> SparseMatrix:
        """A matrix (N, N) that sends every node's values to its neighbours.

        "gcn": D^-1/2 (A + I) D^-1/2 with D of A + I;  "mean": D^-1 A;  "sum": A.
        """
        if kind not in self._operators:
            self._operators[kind] = self._operator(kind)
        return self._operators[kind]

    def _operator(self, kind: Operator) -> SparseMatrix:
        source, target = self.edge_index.cpu().numpy()
        degrees = self.degrees.cpu().numpy().astype(np.float64)
        if kind == "gcn":
            loops, scale = np.arange(self.nodes), 1 / np.sqrt(degrees + 1)
            source, target = np.concatenate([source, loops]), np.concatenate([target, loops])
            values = scale[source] * scale[target]
        else:
            values = 1 / degrees[target] if kind == "mean" else np.ones(len(target))
        return SparseMatrix.from_entries(target, source, values, (self.nodes, self.nodes)).to(self.edges.device)

    # ---- what is in it --------------------------------------------------------------------------------------------

    @cached_property
    def keys(self) -> Tensor:
        """One number for each edge, sorted, shape (m,)."""
        return self.key(self.edges).sort().values

    def key(self, edges: Tensor) -> Tensor:
        """The number of each of some edges, whichever way round an undirected one stands: shape (n,)."""
        if self.relations:
            return (edges[:, 0] * self.nodes + edges[:, 1]) * self.relations + edges[:, 2]
        first, second = edges[:, 0].contiguous(), edges[:, 1].contiguous()
        return torch.minimum(first, second) * self.nodes + torch.maximum(first, second)

    def has(self, edges: Tensor) -> Tensor:
        """Whether each of some edges is there: bool, shape (n,)."""
        if not len(self.edges):
            return torch.zeros(len(edges), dtype=torch.bool, device=edges.device)
        keys, wanted = self.keys, self.key(edges)
        return keys[torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)] == wanted

    def near(self, nodes: Tensor, hops: int) -> Tensor:
        """Which nodes are at most so many steps away from some of `nodes`: bool, shape (N,)."""
        reached = torch.zeros(self.nodes, 1, device=self.edges.device)
        reached[nodes] = 1
        for _ in range(hops):
            reached = ((self.operator("sum") @ reached + reached) > 0).float()
        return reached[:, 0] > 0

    # ---- other graphs ---------------------------------------------------------------------------------------------

    def shared_neighbours(self, pairs: Tensor) -> Tensor:
        """How many neighbours both ends of each pair have in common: int64, shape (n,)."""
        matrix, found = self.operator("sum").scipy, [np.empty(0)]
        for part in pairs.cpu().split(20_000):  # both ends' neighbours of all pairs at once may be more than fits
            first, second = part[:, 0].numpy(), part[:, 1].numpy()
            found.append(np.asarray(matrix[first].minimum(matrix[second]).sum(1)).ravel())
        return torch.as_tensor(np.concatenate(found), dtype=torch.long, device=pairs.device)

    def kept(self, name: str, build: Callable[[], Any]) -> Any:
        """What `build` makes of this graph, made once."""
        if name not in self._kept:
            self._kept[name] = build()
        return self._kept[name]

    def without_edges(self, which: Tensor) -> "Graph":
        """The graph without some of its edges, given as numbers of rows of `edges` or as a mask over them."""
        keep = torch.ones(len(self.edges), dtype=torch.bool, device=self.edges.device)
        keep[which] = False
        return replace(self, edges=self.edges[keep], before=self)

    def without_nodes(self, nodes: Tensor) -> "Graph":
        """The graph without the edges at some nodes, which stay behind alone: all other nodes keep their numbers."""
        gone = torch.zeros(self.nodes, dtype=torch.bool, device=self.edges.device)
        gone[nodes] = True
        return self.without_edges(gone[self.edges[:, :2]].any(1))

    def union(self, other: "Graph") -> "Graph":
        """Both graphs side by side, unconnected; the nodes of `other` are counted on from those of this one."""
        found = self._last_union.get("last")
        if found is None or found[0] is not other:  # in full batches it is always the same one; sampled parts never come again
            found = self._last_union["last"] = other, self._union(other)
        return found[1]

    def _union(self, other: "Graph") -> "Graph":
        shifted = other.edges.clone()
        shifted[:, :2] += self.nodes
        return Graph(
            self.nodes + other.nodes,
            torch.cat([self.edges, shifted]),
            _stacked(self.features, other.features),
            None if self.labels is None or other.labels is None else torch.cat([self.labels, other.labels]),
            self.relations,
            torch.cat([graph.global_ids for graph in (self, other)]),
        )

    @property
    def global_ids(self) -> Tensor:
        """Each node's number in the complete graph, shape (N,)."""
        return torch.arange(self.nodes, device=self.edges.device) if self.ids is None else self.ids

    def to(self, device: Any, **options: Any) -> "Graph":
        """The same on another device; it is carried there once."""
        device = torch.empty(0, device=device).device  # "cuda" is the current one of several
        if device == self.edges.device:
            return self
        if device not in self._placed:
            moved: dict[str, Any] = {
                name: None if value is None else value.to(device)
                for name in ("edges", "features", "labels", "ids", "before")
                for value in (getattr(self, name),)
            }
            self._placed[device] = replace(self, **moved)
        return self._placed[device]

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _operators(self) -> dict[str, SparseMatrix]:
        return {}

    @cached_property
    def _last_union(self) -> dict[str, tuple["Graph", "Graph"]]:
        return {}

    @cached_property
    def _placed(self) -> dict[torch.device, "Graph"]:
        return {}

    @cached_property
    def digest(self) -> str:
        """Equal for equal graphs: of nodes, edges, features and labels."""
        found = hashlib.blake2b(f"{self.nodes} {self.relations}".encode())
        features = self.features.rows if isinstance(self.features, SparseMatrix) else self.features
        parts = {"edges": self.edges, "labels": self.labels, "ids": self.ids, "features": features}
        if features is not None and features.layout == torch.sparse_csr:
            parts |= {"features": features.values(), "starts": features.crow_indices(), "places": features.col_indices()}
        for name, part in parts.items():
            if part is not None:
                found.update(f"{name} {part.dtype} {tuple(part.shape)}".encode())
                found.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()[:32]

    def __repr__(self) -> str:
        parts = [f"{self.nodes:,} nodes", f"{len(self.edges):,} edges"]
        parts += [f"{self.relations} relations"] if self.relations else []
        parts += [f"{self.width:,} features"] if self.width else []
        return f"Graph({', '.join(parts)})"


def _check_range(values: Tensor, size: int, what: str) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= size:
        raise BadSetting(f"an edge names {what} {low if low < 0 else high:,}, but there are {size:,} ({what}s 0..{size - 1:,})")


def _stacked(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return None
    if isinstance(first, SparseMatrix) and isinstance(second, SparseMatrix):
        import scipy.sparse

        device = first.rows.device
        return SparseMatrix.from_scipy(scipy.sparse.vstack([first.scipy, second.scipy], format="csr")).to(device)
    dense = [part.dense() if isinstance(part, SparseMatrix) else part for part in (first, second)]
    return torch.cat(dense)

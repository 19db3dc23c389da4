"""Graphs by their names, from files of arrays or of text, and from the user's own code.

Sources: W. W. Zachary. "An Information Flow Model for Conflict and Fission in Small Groups", Journal of Anthropological
Research 33(4), 1977. Z. Yang, W. Cohen, R. Salakhutdinov. "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML
2016, arXiv 1603.08861 (Cora). O. Platonov, D. Kuznedelev, M. Diskin, A. Babenko, L. Prokhorenkova. "A Critical Look at the
Evaluation of GNNs under Heterophily", ICLR 2023, arXiv 2302.11640 (Tolokers).
"""

import difflib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from expunge.data.graph_source import Features, GraphSource, foreign_feature, from_pyg, graph_of
from expunge.data.graph_tables import PARTS, read_edge_list, read_triples
from expunge.data.published import PublicSet, missing
from expunge.data.records import numbered_classes
from expunge.data.table import SUFFIXES
from expunge.errors import BadFile, BadSetting, ExpungeError, MissingExtra
from expunge.graphs import Graph
from expunge.importing import call_imported, is_import_string

__all__ = ["GRAPHS", "GraphSource", "from_pyg", "load_graph", "read_edge_list", "read_npz", "read_triples"]

GRAPHS: dict[str, str] = {
    "karate": "34 members of a karate club and 78 friendships, 4 communities; embedded in torch_geometric, always there",
    "cora": "2,708 papers and 5,278 citations, 1,433 words, 7 subjects; the user's file in $EXPUNGE_DATA/graph",
    "tolokers": "11,758 workers and 519,000 shared tasks, 10 numbers each, 2 classes; the user's file in $EXPUNGE_DATA/graph",
}

CORA = PublicSet(
    "graph",
    "Cora",
    "https://github.com/kimiyoung/planetoid (data/ind.cora.*; cora.npz holds them as arrays x_row, x_col, x_value, x_shape, "
    "edges, y, train_nodes and test_nodes)",
    (
        "Theory",
        "Reinforcement_Learning",
        "Genetic_Algorithms",
        "Neural_Networks",
        "Probabilistic_Methods",
        "Case_Based",
        "Rule_Learning",
    ),
    (1_433,),
    (140, 1_000),
)
TOLOKERS = PublicSet(
    "graph",
    "Tolokers",
    "https://github.com/yandex-research/heterophilous-graphs (data/tolokers.npz)",
    ("not banned", "banned"),
    (10,),
    (5_879, 2_940),
)
_PUBLIC = {"cora": CORA, "tolokers": TOLOKERS}

_SPARSE = ("x_row", "x_col", "x_value", "x_shape", "y", "train_nodes", "test_nodes")
_DENSE = ("node_features", "node_labels", "train_masks", "test_masks")
_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError)

Arrays = Mapping[str, np.ndarray]


def load_graph(
    name_or_path: str | Path, *, features: str | Path | None = None, normalise: bool = True, triples: bool = False
) -> GraphSource:
    """Load a graph by its name, from a file, or from the user's own function.

    Args:
        name_or_path: one of :data:`GRAPHS`; a file of arrays that ends in ``.npz`` (:func:`read_npz`); a list of edges that
            ends in ``.csv`` or ``.tsv`` (:func:`read_edge_list`); triples of a knowledge graph, in a file that ends in ``.txt``
            or in a folder that holds `train.txt` (:func:`read_triples`); or an import string ``package.module:function`` of a
            function that returns a :class:`GraphSource`, a :class:`~expunge.graphs.Graph` or a Data of torch_geometric. A name
            comes before a file of the same name, which is reached as ``./name``.
        features: a file with the features of the nodes in a list of edges.
        normalise: divide every node's features by their sum, where it is above 0; where a feature is below 0, standardise each
            column instead. A `GraphSource` or a `Graph` from a function stays as it is.
        triples: read a file that does not end in ``.txt`` as triples.

    Raises:
        BadFile: if a file is missing or not what it should be.
        BadSetting: if the graph is not known, or is given a setting that is not for it.
        MissingExtra: if it needs torch_geometric, and that is not installed.
    """
    name, path = str(name_or_path), Path(name_or_path).expanduser()
    form = _form(name, path, triples)
    if features is not None and form != "edges":
        raise BadSetting(f"{name} takes no file of features (given: {features}); only lists of edges do, .csv or .tsv files")
    if triples and form != "triples":
        raise BadSetting(f"{name} holds no triples; only text files do, with head, relation and tail separated by tabs")
    match form:
        case "named":
            return _read_karate(normalise) if name == "karate" else _read_public(name, normalise)
        case "import":
            return _read_import(name, normalise)
        case "triples":
            return read_triples(path)
        case "edges":
            return read_edge_list(path, features, normalise)
        case "arrays":
            return read_npz(path, normalise)
    raise _unknown(name, path)


def _form(name: str, path: Path, triples: bool) -> Literal["named", "import", "triples", "edges", "arrays", "unknown"]:
    suffix = path.suffix.lower()
    if name in GRAPHS:
        return "named"
    if is_import_string(name) and not path.exists():
        return "import"
    if path.is_dir() or suffix == ".txt" or (triples and suffix != ".npz"):
        return "triples"
    return "edges" if suffix in SUFFIXES else "arrays" if suffix == ".npz" else "unknown"


def read_npz(path: str | Path, normalise: bool = True) -> GraphSource:
    """Read a graph from a file of arrays, in one of two forms:

        x_row, x_col, x_value   features that are not 0, (k,) each
        x_shape                 nodes and features, (2,)
        edges                   each undirected edge once, (2, m)
        y                       class of each node from 0, -1 where it is not known, (N,)
        train_nodes, test_nodes the published split, node numbers; may be missing

        node_features           (N, F)
        node_labels             class of each node, (N,)
        edges                   (m, 2)
        train_masks, test_masks published splits, (splits, N), of which the first is taken; may be missing

    Args:
        path: the file.
        normalise: see :func:`load_graph`.

    Raises:
        BadFile: if the file is not such a file; it names the array that is not as it should be.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    is_dense = any(name in arrays for name in _DENSE)
    if not is_dense and not any(name in arrays for name in _SPARSE):
        raise BadFile(
            f"{path} holds no graph: expected arrays {', '.join(_SPARSE[:5])} and edges, or {', '.join(_DENSE[:2])} and edges"
        )
    features = _dense_features(path, arrays) if is_dense else _sparse_features(path, arrays)
    if (place := foreign_feature(features)) is not None:
        name = "node_features" if is_dense else "x_value"
        raise BadFile(f"{path}: {name} is not finite at node {place[0]:,}, feature {place[1]:,}; expected finite numbers")
    nodes, columns = features.shape
    if not nodes or not columns:
        raise BadFile(f"{path}: {'node_features' if is_dense else 'x_shape'} is of {nodes} nodes with {columns} features")
    edges = _array(path, arrays, "edges", "iu", (None, 2) if is_dense else (2, None))
    edges = _in_range(path, "edges", edges if is_dense else edges.T, nodes)
    labels = _array(path, arrays, "node_labels" if is_dense else "y", "iu", (nodes,)).astype(np.int64)
    if labels.min() < -1:
        raise BadFile(f"{path}: {'node_labels' if is_dense else 'y'} holds {labels.min()}; expected classes from 0, or -1")
    train, test = _parts(path, arrays, nodes, is_dense)
    graph, note = graph_of(nodes, edges, features, labels, 0, normalise)
    return GraphSource(path.stem, graph, numbered_classes(labels), note=note, train_nodes=train, test_nodes=test)


def _read_karate(normalise: bool) -> GraphSource:
    try:
        from torch_geometric.datasets import KarateClub  # seconds' import
    except ImportError as error:
        raise MissingExtra("karate comes with torch_geometric: pip install 'expunge[graph]'") from error
    return from_pyg(KarateClub()[0], "karate", normalise)


def _read_public(name: str, normalise: bool) -> GraphSource:
    public, file = _PUBLIC[name], f"{name}.npz"
    folder = public.folder(file)
    if not (folder / file).is_file():
        raise missing(public, file, folder)
    source = read_npz(folder / file, normalise)
    return replace(source, classes=public.classes) if len(source.classes) == len(public.classes) else source


def _read_import(name: str, normalise: bool) -> GraphSource:
    found = call_imported(name)
    called = name.partition(":")[2]
    if isinstance(found, GraphSource):
        return found
    if isinstance(found, Graph):
        classes = () if found.labels is None else numbered_classes(found.labels.cpu().numpy())
        return GraphSource(called, found, classes, tuple(map(str, range(found.relations))))
    if hasattr(found, "edge_index"):
        return from_pyg(found, called, normalise)
    raise BadSetting(
        f"{name!r} returned a {type(found).__name__}; expected a GraphSource, a Graph or a Data of torch_geometric"
    )


def _unknown(name: str, path: Path) -> ExpungeError:
    if path.exists():
        return BadFile(f"{path} is no graph: expected a file that ends in .npz, .csv, .tsv or .txt")
    close = difflib.get_close_matches(name, GRAPHS, n=1)
    return BadSetting(
        f"there is no graph '{name}'{f' (did you mean {close[0]}?)' if close else ''}: it is no file that ends in .npz, .csv, "
        f".tsv or .txt, no folder with {PARTS[0]}, no import string 'package.module:function', and none of {', '.join(GRAPHS)}"
    )


# ---- arrays -------------------------------------------------------------------------------------------------------------


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise BadFile(f"file not found: {path}")
    name = None
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise ValueError("it is a single array")
        found = {}
        with opened as file:
            for name in ("edges", *_SPARSE, *_DENSE):
                if name in file.files:
                    found[name] = file[name]
        return found
    except _UNREADABLE as error:
        where = f"{path}: array {name}" if name else str(path)
        raise BadFile(f"{where} cannot be read: {error}; expected a whole .npz file without pickled objects") from error


def _array(path: Path, arrays: Arrays, name: str, kinds: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """An array whose dtype is of one of `kinds` and whose shape is `shape`, None standing for any size."""
    if name not in arrays:
        raise BadFile(f"{path} has no array {name}; it has {', '.join(arrays)}")
    found = arrays[name]
    fits = found.ndim == len(shape) and all(want in (None, size) for want, size in zip(shape, found.shape, strict=True))
    if not fits or found.dtype.kind not in kinds:
        what = "numbers" if "f" in kinds else "bool" if kinds == "b" else "whole numbers"
        wanted = f"({', '.join('any' if size is None else f'{size}' for size in shape)}{',' * (len(shape) == 1)})"
        raise BadFile(f"{path}: {name} is {found.dtype} of shape {found.shape}; expected {what} of shape {wanted}")
    return found


def _in_range(path: Path, name: str, values: np.ndarray, size: int, what: str = "node") -> np.ndarray:
    if values.size and not 0 <= values.min() <= values.max() < size:
        strange = values.min() if values.min() < 0 else values.max()
        raise BadFile(f"{path}: {name} names {what} {strange:,}, but there are {size:,} ({what}s 0..{size - 1:,})")
    return values.astype(np.int64)


def _dense_features(path: Path, arrays: Arrays) -> np.ndarray:
    return _array(path, arrays, "node_features", "fiub", (None, None))


def _sparse_features(path: Path, arrays: Arrays) -> Features:
    nodes, columns = (int(size) for size in _array(path, arrays, "x_shape", "iu", (2,)))
    if not 0 < max(nodes, columns) < 2**31 or min(nodes, columns) < 0:
        raise BadFile(f"{path}: x_shape is ({nodes}, {columns}); expected the numbers of nodes and of features")
    rows = _array(path, arrays, "x_row", "iu", (None,))
    places = [
        _in_range(path, name, _array(path, arrays, name, "iu", (len(rows),)), size, what)
        for name, size, what in (("x_row", nodes, "node"), ("x_col", columns, "feature"))
    ]
    values = _array(path, arrays, "x_value", "fiub", (len(rows),)).astype(np.float64)
    return scipy.sparse.coo_matrix((values, tuple(places)), shape=(nodes, columns)).tocsr()


def _parts(path: Path, arrays: Arrays, nodes: int, is_dense: bool) -> tuple[Tensor | None, Tensor | None]:
    names = ("train_masks", "test_masks") if is_dense else ("train_nodes", "test_nodes")
    if not all(name in arrays for name in names):
        return None, None
    found = []
    for name in names:
        if is_dense:
            masks = _array(path, arrays, name, "b", (None, nodes))
            if not len(masks):
                raise BadFile(f"{path}: {name} holds no split; expected at least one row of {nodes:,} values")
            found.append(np.flatnonzero(masks[0]))
        else:
            found.append(_in_range(path, name, _array(path, arrays, name, "iu", (None,)), nodes))
    return torch.from_numpy(found[0]), torch.from_numpy(found[1])

"""Graphs from names, arrays and code: what stands in a file is read, and faults name the array."""

import os
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from expunge.data.graph_files import GRAPHS, GraphSource, load_graph
from expunge.errors import BadFile, BadRequest, BadSetting, MissingExtra
from expunge.graphs import Graph
from expunge.sparse import SparseMatrix

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")

EDGES = [[0, 1], [0, 3], [1, 2]]
COORDINATES = {
    "x_row": np.array([0, 1, 1, 3], dtype=np.int32),
    "x_col": np.array([2, 0, 4, 1], dtype=np.int32),
    "x_value": np.array([1, 1, 3, 1], dtype=np.float32),
    "x_shape": np.array([4, 30]),
    "edges": np.array(EDGES).T,
    "y": np.array([1, 0, 2, -1]),
    "train_nodes": np.array([0, 2]),
    "test_nodes": np.array([1]),
}
DENSE = {
    "node_features": np.arange(8, dtype=np.float32).reshape(4, 2),
    "node_labels": np.array([1, 0, 1, 1]),
    "edges": np.array(EDGES),
    "train_masks": np.array([[True, False, False, True], [True] * 4]),
    "val_masks": np.zeros((2, 4), dtype=bool),
    "test_masks": np.array([[False, True, False, False], [False] * 4]),
}


def write(path, arrays, **changed):
    kept = {name: value for name, value in {**arrays, **changed}.items() if value is not None}
    np.savez_compressed(path, **kept)
    return path


# ---- arrays -----------------------------------------------------------------------------------------------------------------


def test_arrays_of_coordinates_are_read(tmp_path):
    source = load_graph(write(tmp_path / "words.npz", COORDINATES), normalise=False)
    assert (source.name, source.classes, source.note, source.nodes) == ("words", ("0", "1", "2"), "", ())
    assert source.graph.edges.tolist() == EDGES and source.graph.labels.tolist() == [1, 0, 2, -1]
    expected = torch.zeros(4, 30)
    expected[[0, 1, 1, 3], [2, 0, 4, 1]] = torch.tensor([1.0, 1, 3, 1])
    assert isinstance(source.graph.features, SparseMatrix) and torch.equal(source.graph.x, expected)
    assert source.train_nodes.tolist() == [0, 2] and source.test_nodes.tolist() == [1]
    assert load_graph(tmp_path / "words.npz").graph.x[1].tolist()[:5] == [0.25, 0, 0, 0, 0.75]


def test_arrays_as_the_heterophilous_graphs_have_them_are_read(tmp_path):
    source = load_graph(str(write(tmp_path / "workers.npz", DENSE)), normalise=False)
    assert source.graph.edges.tolist() == EDGES and source.graph.x.tolist() == DENSE["node_features"].tolist()
    assert source.graph.labels.tolist() == [1, 0, 1, 1] and source.classes == ("0", "1")
    assert source.train_nodes.tolist() == [0, 3] and source.test_nodes.tolist() == [1]  # the first of several splits


def test_two_edges_are_read_in_either_form(tmp_path):
    one = write(tmp_path / "one.npz", COORDINATES, edges=np.array([[0, 2], [1, 3]]))  # columns are edges
    two = write(tmp_path / "two.npz", DENSE, edges=np.array([[0, 2], [1, 3]]))  # rows are
    assert load_graph(one).graph.edges.tolist() == [[0, 1], [2, 3]] and load_graph(two).graph.edges.tolist() == [[0, 2], [1, 3]]


def test_published_splits_may_be_missing(tmp_path):
    source = load_graph(write(tmp_path / "a.npz", COORDINATES, train_nodes=None))
    assert source.train_nodes is None and source.test_nodes is None
    source = load_graph(write(tmp_path / "b.npz", DENSE, train_masks=None, test_masks=None))
    assert source.train_nodes is None and source.test_nodes is None


def test_loops_and_repetitions_are_left_out_and_counted(tmp_path):
    edges = np.array([[0, 1], [1, 0], [2, 2], [1, 2], [1, 2]])
    source = load_graph(write(tmp_path / "a.npz", DENSE, edges=edges))
    assert source.graph.edges.tolist() == [[0, 1], [1, 2]]
    assert source.note == "1 loop of a node to itself and 2 repeated edges were left out."
    source = load_graph(write(tmp_path / "a.npz", DENSE, edges=np.array([[0, 1], [2, 2]])))
    assert source.note == "1 loop of a node to itself was left out."
    # Where every edge stands in both directions, none is a repetition, but what is there four times is.
    both = np.array([[0, 1], [1, 0], [1, 2], [2, 1]])
    assert load_graph(write(tmp_path / "a.npz", DENSE, edges=both)).note == ""
    assert load_graph(write(tmp_path / "a.npz", DENSE, edges=np.tile(both, (2, 1)))).note == "4 repeated edges were left out."


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edges": None}, "has no array edges; it has x_row, x_col, x_value, x_shape, y, train_nodes, test_nodes"),
        ({"y": None}, "has no array y"),
        ({"x_col": None}, "has no array x_col"),
        ({"x_shape": None}, "has no array x_shape"),
        ({"edges": np.array(EDGES)}, r"edges is int64 of shape \(3, 2\); expected whole numbers of shape \(2, any\)"),
        ({"edges": np.array(EDGES).T * 1.0}, "edges is float64"),
        ({"edges": np.array([[0, 1], [3, 4]])}, r"edges names node 4, but there are 4 \(nodes 0\.\.3\)"),
        ({"edges": np.array([[0, 1], [3, -2]])}, "edges names node -2"),
        ({"y": np.array([0, 1, 2])}, r"y is int64 of shape \(3,\); expected whole numbers of shape \(4,\)"),
        ({"y": np.array([0, 1, 2, 0.5])}, "y is float64"),
        ({"y": np.array([0, 1, 2, -2])}, "y holds -2; expected classes from 0, or -1"),
        ({"x_row": np.array([0, 1, 1, 4])}, r"x_row names node 4, but there are 4"),
        ({"x_col": np.array([0, 1, 1, 30])}, r"x_col names feature 30, but there are 30"),
        ({"x_col": np.array([0, 1])}, r"x_col is int64 of shape \(2,\); expected whole numbers of shape \(4,\)"),
        ({"x_value": np.array([0.0, 1, np.nan, 1])}, r"x_value is not finite at node 1, feature 4"),
        ({"x_value": np.array([0.0, 1, 1e39, 1])}, "x_value is not finite at node 1, feature 4"),
        ({"x_value": np.array(["a"] * 4)}, "x_value is <U1"),
        ({"x_shape": np.array([4])}, r"x_shape is int64 of shape \(1,\)"),
        ({"x_shape": np.array([-4, 30])}, r"x_shape is \(-4, 30\)"),
        ({"train_nodes": np.array([4])}, "train_nodes names node 4"),
        ({"test_nodes": np.array([True])}, "test_nodes is bool"),
    ],
)
def test_faults_of_coordinates_name_the_array(tmp_path, changed, message):
    path = write(tmp_path / "words.npz", COORDINATES, **changed)
    with pytest.raises(BadFile, match=message) as raised:
        load_graph(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"node_features": None}, "has no array node_features"),
        ({"node_labels": None}, "has no array node_labels"),
        ({"edges": None}, "has no array edges"),
        ({"edges": np.array(EDGES).T}, r"edges is int64 of shape \(2, 3\); expected whole numbers of shape \(any, 2\)"),
        ({"edges": np.array([[0, 4]])}, r"edges names node 4, but there are 4"),
        ({"node_features": np.zeros(4)}, r"node_features is float64 of shape \(4,\); expected numbers of shape \(any, any\)"),
        ({"node_features": np.zeros((4, 0))}, "node_features is of 4 nodes with 0 features"),
        ({"node_features": np.full((4, 2), np.inf)}, "node_features is not finite at node 0, feature 0"),
        ({"node_labels": np.zeros(4)}, "node_labels is float64"),
        (
            {"train_masks": np.zeros((2, 3), dtype=bool)},
            r"train_masks is bool of shape \(2, 3\); expected bool of shape \(any, 4\)",
        ),
        ({"test_masks": np.zeros((2, 4))}, "test_masks is float64"),
        ({"test_masks": np.zeros((0, 4), dtype=bool)}, "test_masks holds no split"),
        (
            dict.fromkeys(DENSE) | {"other": np.zeros(1)},
            r"holds no graph: expected arrays x_row, .* and edges, or node_features",
        ),
    ],
)
def test_faults_of_dense_arrays_name_the_array(tmp_path, changed, message):
    path = write(tmp_path / "workers.npz", DENSE, **changed)
    with pytest.raises(BadFile, match=message) as raised:
        load_graph(path)
    assert str(path) in str(raised.value)


def test_damaged_files_are_refused(tmp_path):
    path = write(tmp_path / "words.npz", COORDINATES)
    whole = path.read_bytes()
    for content in (b"", b"no zip file", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(BadFile, match=r"words\.npz cannot be read: .*; expected a whole \.npz file"):
            load_graph(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(BadFile, match="it is a single array"):
        load_graph(tmp_path / "array.npz")
    for place in range(0, len(whole), 7):  # whatever is damaged, nothing but our own error comes out
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load_graph(path)
        except BadFile:
            continue


def test_pickled_objects_are_refused_by_the_array_that_holds_them(tmp_path):
    path = write(tmp_path / "words.npz", COORDINATES, y=np.array([{}, None, 1, "a"], dtype=object))
    with pytest.raises(BadFile, match="array y cannot be read: Object arrays cannot be loaded"):
        load_graph(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("y.npy", b"garbage")
    with pytest.raises(BadFile):
        load_graph(path)


# ---- names and code ---------------------------------------------------------------------------------------------------------


def test_karate_is_always_there():
    source = load_graph("karate")
    graph = source.graph
    assert (graph.nodes, len(graph.edges), source.name, source.note) == (34, 78, "karate", "")
    assert torch.equal(graph.x, torch.eye(34)) and isinstance(graph.features, SparseMatrix)
    assert source.classes == ("0", "1", "2", "3") and graph.labels.bincount().min() > 0
    assert graph.degrees[[0, 33]].tolist() == [16, 17]  # both leaders
    assert source.train_nodes is None


def test_karate_without_torch_geometric_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_geometric.datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'expunge\[graph\]'"):
        load_graph("karate")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("cora", "https://github.com/kimiyoung/planetoid"),
        ("tolokers", "https://github.com/yandex-research/heterophilous-graphs"),
    ],
)
def test_missing_files_say_who_publishes_them(tmp_path, monkeypatch, name, address):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    with pytest.raises(BadFile) as unset:
        load_graph(name)
    assert all(part in str(unset.value) for part in (f"{name}.npz", "$EXPUNGE_DATA/graph", "EXPUNGE_DATA is not set", address))
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    with pytest.raises(BadFile) as empty:
        load_graph(name)
    assert all(part in str(empty.value) for part in (f"{name}.npz", str(tmp_path / "graph"), address))


def test_files_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    (tmp_path / "graph").mkdir()
    write(tmp_path / "graph" / "tolokers.npz", DENSE)
    source = load_graph("tolokers")
    assert (source.name, source.classes, source.graph.nodes) == ("tolokers", ("not banned", "banned"), 4)


def test_graphs_come_from_code(monkeypatch):
    graph = Graph.of(3, [[0, 1]], labels=torch.tensor([0, 2, 1]))
    own = GraphSource("own", graph, ("a", "b", "c"))

    def fails() -> None:
        raise ValueError("no luck")

    def karate() -> object:
        from torch_geometric.datasets import KarateClub

        return KarateClub()[0]

    def refuses() -> None:
        raise BadRequest("not this one")

    made = {"own": lambda: own, "graph": lambda: graph, "data": karate, "number": lambda: 3, "fails": fails, "refuses": refuses}
    monkeypatch.setitem(sys.modules, "my_graphs", types.SimpleNamespace(**made))
    assert load_graph("my_graphs:own") is own
    source = load_graph("my_graphs:graph")
    assert source.graph is graph and source.name == "graph" and source.classes == ("0", "1", "2")
    assert load_graph("my_graphs:data").graph.digest == load_graph("karate").graph.digest
    with pytest.raises(BadSetting, match="returned a int; expected a GraphSource, a Graph or a Data of torch_geometric"):
        load_graph("my_graphs:number")
    with pytest.raises(BadSetting, match="calling it failed: ValueError: no luck"):
        load_graph("my_graphs:fails")
    with pytest.raises(BadRequest, match="not this one"):
        load_graph("my_graphs:refuses")
    with pytest.raises(BadSetting, match="has no 'absent'"):
        load_graph("my_graphs:absent")


def test_what_is_not_known_is_refused(tmp_path):
    with pytest.raises(
        BadSetting, match=r"there is no graph 'karat' \(did you mean karate\?\): .* none of karate, cora, tolokers"
    ):
        load_graph("karat")
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(BadFile, match=r"picture\.png is no graph: expected a file that ends in \.npz, \.csv, \.tsv or \.txt"):
        load_graph(tmp_path / "picture.png")
    for suffix in (".npz", ".csv", ".txt"):
        with pytest.raises(BadFile, match=f"file not found: .*none\\{suffix}"):
            load_graph(tmp_path / f"none{suffix}")


def test_settings_that_are_for_others_are_refused(tmp_path):
    write(tmp_path / "a.npz", DENSE)
    for name in ("karate", tmp_path / "a.npz", tmp_path / "a.txt", "a.b:c"):
        with pytest.raises(BadSetting, match=r"takes no file of features \(given: f\.csv\); only lists of edges do"):
            load_graph(name, features="f.csv")
    for name in ("karate", tmp_path / "a.npz", "a.b:c"):
        with pytest.raises(BadSetting, match="holds no triples; only text files do"):
            load_graph(name, triples=True)


def test_every_graph_by_name_is_described():
    assert set(GRAPHS) == {"karate", "cora", "tolokers"} and all(GRAPHS.values())


@pytest.mark.data
@real_data
def test_the_real_cora():
    source = load_graph("cora")
    graph = source.graph
    assert (graph.nodes, len(graph.edges), graph.width, source.note) == (2_708, 5_278, 1_433, "")
    assert graph.labels.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert source.classes[3] == "Neural_Networks" and (len(source.train_nodes), len(source.test_nodes)) == (140, 1_000)
    assert isinstance(graph.features, SparseMatrix) and torch.allclose(graph.x.sum(1), torch.ones(2_708))
    same = graph.labels[graph.edges]
    assert (same[:, 0] == same[:, 1]).float().mean() > 0.8  # papers cite papers of their own subject


@pytest.mark.data
@real_data
def test_the_real_tolokers():
    source = load_graph("tolokers", normalise=False)
    graph = source.graph
    assert (graph.nodes, len(graph.edges), graph.width, source.note) == (11_758, 519_000, 10, "")
    assert graph.labels.bincount().tolist() == [9_192, 2_566] and source.classes == ("not banned", "banned")
    assert (len(source.train_nodes), len(source.test_nodes)) == (5_879, 2_940)

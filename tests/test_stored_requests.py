"""Requests on graphs as files: the same edges again, of the same graph only."""

import json

import pytest
import torch

from expunge.errors import BadFile
from expunge.graphs import Graph
from expunge.requests.graph import (
    ForgetEdgeList,
    ForgetEdges,
    ForgetEdgesBetween,
    ForgetLabel,
    ForgetNodes,
    ForgetRelation,
    GraphContext,
)
from expunge.requests.stored import read_request, request_name, write_request

SMALL = GraphContext(Graph.of(7, [[0, 1], [0, 2], [1, 2], [2, 3], [3, 4], [4, 5]]))
WORLD = GraphContext(
    Graph.of(4, [[0, 1, 0], [1, 0, 0], [1, 2, 1], [3, 3, 1]], relations=3), relations=("knows", "likes", "owns")
)


@pytest.fixture
def stored(tmp_path):
    request = ForgetEdges(0.5, seed=42)
    path = tmp_path / "runs" / request_name(request, SMALL.graph)
    write_request(path, request, SMALL.graph, request.edges(SMALL))
    return path


def test_a_stored_request_names_the_same_edges(stored):
    request = ForgetEdges(0.5, seed=42)
    assert torch.equal(read_request(stored, SMALL.graph), request.edges(SMALL))
    assert torch.equal(read_request(stored, SMALL.graph, request), request.edges(SMALL))
    content = json.loads(stored.read_text())
    assert content["edges"] == SMALL.graph.edges[request.edges(SMALL)].tolist() and content["graph"] == SMALL.graph.digest
    assert {name: content[name] for name in ("kind", "fraction", "where", "hops", "seed")} == {
        "kind": "edges",
        "fraction": 0.5,
        "where": "any",
        "hops": None,
        "seed": 42,
    }
    assert list(stored.parent.iterdir()) == [stored]  # nothing half-written beside it


@pytest.mark.parametrize("request_", [ForgetRelation(("likes", 0)), ForgetEdgeList(((0, 1, "knows"),)), ForgetNodes((3,))])
def test_all_requests_for_triples_can_be_stored(tmp_path, request_):
    write_request(tmp_path / "it.json", request_, WORLD.graph, request_.edges(WORLD))
    assert torch.equal(read_request(tmp_path / "it.json", WORLD.graph, request_), request_.edges(WORLD))


def test_names_tell_requests_apart():
    digest = SMALL.graph.digest[:12]
    assert request_name(ForgetEdges(0.05, "in", seed=42), SMALL.graph) == f"edges-0.05-in-2hops-seed42-{digest}.json"
    assert request_name(ForgetEdges(100, "any", 3), SMALL.graph) == f"edges-100-any-seed0-{digest}.json"
    assert request_name(ForgetNodes(fraction=0.1, seed=1), SMALL.graph) == f"nodes-0.1-seed1-{digest}.json"
    requests = [
        *(ForgetEdges(fraction, where, 2, seed) for fraction in (0.05, 0.051) for where in ("in", "out") for seed in (0, 1)),
        *(ForgetEdges(0.05, where, 1) for where in ("in", "out")),
        ForgetEdgeList(((0, 1),)),
        ForgetEdgeList(((0, 2),)),
        ForgetNodes((1,)),
        ForgetNodes((2,)),
        ForgetNodes(fraction=0.05),
        ForgetRelation("a"),
        ForgetRelation("b"),
        ForgetLabel("a"),
        ForgetEdgesBetween(0, 1),
    ]
    names = {request_name(request, graph) for request in requests for graph in (SMALL.graph, WORLD.graph)}
    assert len(names) == 2 * len(requests) and all(name.endswith(".json") and "/" not in name for name in names)


def test_a_request_of_another_graph_is_refused(stored):
    other = SMALL.graph.without_edges(torch.tensor([5]))
    with pytest.raises(BadFile, match=rf"was made for another graph: its digest is {SMALL.graph.digest}, .* is {other.digest}"):
        read_request(stored, other)


@pytest.mark.parametrize("request_", [ForgetEdges(0.5, seed=41), ForgetEdges(3, seed=42), ForgetNodes(fraction=0.5, seed=42)])
def test_another_request_is_refused(stored, request_):
    with pytest.raises(BadFile, match=r"was made for another request: it holds \{'kind': 'edges', 'fraction': 0\.5"):
        read_request(stored, SMALL.graph, request_)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"edges": [[0, 1], [0, 3]]}, r"\[0, 3\] is no edge of Graph"),
        ({"edges": [[0, 1], [1, 0]]}, "lists 2 edges, of which only 1 differ; expected each once"),
        ({"edges": [[0, 99]]}, r"\[0, 99\] is no edge; expected 2 whole numbers, each below that of \[7, 7\]"),
        ({"edges": [[0, -1]]}, r"\[0, -1\] is no edge"),
        ({"edges": [[0, 10**30]]}, "is no edge"),
        ({"edges": [[0, True]]}, r"\[0, True\] is no edge"),
        ({"edges": [[0, 1, 0]]}, r"\[0, 1, 0\] is no edge"),
        ({"edges": ["ab"]}, "ab is no edge"),
        ({"edges": []}, "names no edge: expected at least one"),
        ({"edges": {}}, "is no request on a graph: expected an object with kind, graph, edges"),
        ({"graph": 5}, "is no request on a graph"),
    ],
)
def test_a_changed_file_is_refused(stored, changed, message):
    stored.write_text(json.dumps({**json.loads(stored.read_text()), **changed}))
    with pytest.raises(BadFile, match=message) as raised:
        read_request(stored, SMALL.graph)
    assert str(stored) in str(raised.value)


@pytest.mark.parametrize("content", ["", "{", "\xff", "[1]" * 2, "[" * 100_000])
def test_what_is_no_json_is_refused(stored, content):
    stored.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadFile, match="is no whole JSON file"):
        read_request(stored, SMALL.graph)


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(BadFile, match="file not found"):
        read_request(tmp_path / "none.json", SMALL.graph)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(BadFile, match="is no request on a graph"):
        read_request(tmp_path / "list.json", SMALL.graph)

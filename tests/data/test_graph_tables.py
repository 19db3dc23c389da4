"""Graphs from text: lists of edges with the features of their nodes, and triples; faults name the line."""

import pytest
import torch

from expunge.data.graph_files import load_graph
from expunge.errors import BadFile

# ---- lists of edges ---------------------------------------------------------------------------------------------------------


def test_a_list_of_edges_is_read(tmp_path):
    path = tmp_path / "friends.csv"
    path.write_text("who,whom,since\nbob,ann,2001\n\ncy, bob,2002\n007,cy,\n", encoding="utf-8-sig")
    source = load_graph(path)
    assert source.nodes == ("bob", "ann", "cy", "007") and source.name == "friends"
    assert source.graph.edges.tolist() == [[0, 1], [0, 2], [2, 3]]
    assert source.graph.features is None and source.graph.labels is None and source.classes == ()
    assert source.note == "Its nodes have no features; take a network that learns them, such as r-gcn."


def test_tabs_separate_where_the_name_says_so(tmp_path):
    path = tmp_path / "friends.tsv"
    path.write_bytes(b"who\twhom\r\na,1\tb\r\nb\tc\r\n")
    assert load_graph(path).nodes == ("a,1", "b", "c")


def test_whole_numbers_from_zero_stay_the_numbers_of_their_nodes(tmp_path):
    path, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    path.write_text("a,b\n3,1\n2,0\n1,3\n")
    source = load_graph(path)
    assert source.nodes == () and source.graph.edges.tolist() == [[0, 2], [1, 3]]
    assert source.note.startswith("1 repeated edge was left out. Its nodes have no features")
    nodes.write_text("id,size\n3,30\n1,10\n0,0\n2,20\n")
    source = load_graph(path, features=nodes, normalise=False)
    assert source.nodes == () and source.graph.x.flatten().tolist() == [0, 10, 20, 30]
    assert source.graph.edges.tolist() == [[0, 2], [1, 3]]
    path.write_text("a,b\n3,1\n2,4\n")
    assert load_graph(path).nodes == ("3", "1", "2", "4")


def test_features_and_classes_are_read_from_a_second_file(tmp_path):
    path, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    path.write_text("a,b\nx,z\n")
    nodes.write_text("id,size,label,weight\ny,1,law,1e1\nx,-2,art,0.5\nz,3,,.5\nw,4,law,0\n")
    source = load_graph(path, features=nodes, normalise=False)
    assert source.nodes == ("y", "x", "z", "w") and source.graph.edges.tolist() == [[1, 2]]  # w and y stand alone
    assert source.graph.x.tolist() == [[1, 10], [-2, 0.5], [3, 0.5], [4, 0]]
    assert source.classes == ("art", "law") and source.graph.labels.tolist() == [1, 0, -1, 1] and source.note == ""
    assert torch.allclose(load_graph(path, features=nodes).graph.x.mean(0), torch.zeros(2), atol=1e-6)


def test_classes_that_are_numbers_are_sorted_as_numbers(tmp_path):
    path, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    path.write_text("a,b\nx,y\n")
    nodes.write_text("id,label\nx,10\ny,9\n")
    source = load_graph(path, features=nodes)
    assert source.classes == ("9", "10") and source.graph.labels.tolist() == [1, 0] and source.graph.features is None
    nodes.write_text("id,label\nx,\ny,?\n")
    assert load_graph(path, features=nodes).graph.labels is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "edges.csv is empty: expected a header and lines below it"),
        ("a,b\n", "is empty"),
        ("a\nx\n", "has one column, a; expected two columns of node ids"),
        ("0,1\n1,2\n", "its first line, 0,1, is an edge; expected a header, such as source,target"),
        ("a,a\nx,y\n", "every column needs a name of its own"),
        ("a,b\nx,y\n\nx\n", "line 4: 1 values, but the header names 2 columns"),
        ("a,b\nx,y\nx,\n", "line 3: a node id is empty"),
        ('a,b\nx,"y\n', "line 2: .*expected values in columns"),
        (b"a,b\n\xff,\xfe\n", "cannot be read: 'utf-8'"),
    ],
)
def test_faults_of_a_list_of_edges_name_the_line(tmp_path, content, message):
    path = tmp_path / "edges.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadFile, match=message) as raised:
        load_graph(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,size\nx,1\n", r"edges\.csv, line 4: node 'y' has no line in .*nodes\.csv; expected one for every node"),
        ("id,size\nx,1\ny,2\n\nx,3\n", r"nodes\.csv, line 5: node 'x' was in line 2 already; expected one line for each node"),
        ("id,size\nx,1\ny,many\n", r"nodes\.csv, line 3: column 'size' is 'many'; expected a finite number"),
        ("id,a,size\nx,1,\ny,2,2\n", r"nodes\.csv, line 2: column 'size' is ''; expected a finite number"),
        ("id,size\nx,1\ny,inf\n", r"line 3: column 'size' is 'inf'"),
        ("id,size\nx,1\n,2\n", r"line 3: the node id is empty"),
        ("id,size\nx,1\ny\n", r"nodes\.csv, line 3: 1 values, but the header names 2 columns"),
        ("id,size\n", r"nodes\.csv is empty"),
    ],
)
def test_faults_of_the_features_name_the_line(tmp_path, content, message):
    path, nodes = tmp_path / "edges.csv", tmp_path / "nodes.csv"
    path.write_text("a,b\nx,x\n\nx,y\n")
    nodes.write_text(content)
    with pytest.raises(BadFile, match=message):
        load_graph(path, features=nodes)


# ---- triples ----------------------------------------------------------------------------------------------------------------

TRIPLES = "ann\tknows\tbob\nbob\tlikes\tcy\n\nann\tknows\tbob\ncy\tlikes\tcy\n"


def test_triples_are_read(tmp_path):
    path = tmp_path / "family.txt"
    path.write_text(TRIPLES)
    source = load_graph(path)
    assert source.nodes == ("ann", "bob", "cy") and source.relations == ("knows", "likes")
    assert source.graph.relations == 2 and source.graph.edges.tolist() == [[0, 1, 0], [1, 2, 1], [2, 2, 1]]
    assert source.note.startswith("1 repeated triple was left out. Its nodes have no features")
    (tmp_path / "family.tsv").write_bytes(TRIPLES.replace("\n", "\r\n").encode())
    again = load_graph(tmp_path / "family.tsv", triples=True)
    assert again.graph.digest == source.graph.digest and again.relations == source.relations
    assert load_graph(tmp_path / "family.tsv").graph.relations == 0  # else it is a list of edges with a header


def test_a_folder_of_triples_is_read_as_one(tmp_path):
    folder = tmp_path / "Family"
    folder.mkdir()
    (folder / "train.txt").write_text("a\tr\tb\n")
    (folder / "test.txt").write_text("b\ts\tc\n")
    source = load_graph(folder)
    assert source.name == "Family" and source.graph.edges.tolist() == [[0, 1, 0], [1, 2, 1]]
    assert source.note.startswith("The triples of train.txt, test.txt were read as one graph.")
    (folder / "train.txt").unlink()
    with pytest.raises(BadFile, match=r"file not found: .*train\.txt"):
        load_graph(folder)


def test_quotes_and_blanks_in_triples_stand_for_themselves(tmp_path):
    path = tmp_path / "quotes.txt"
    path.write_text('"a\tr\tb c\u2028d \n', encoding="utf-8")
    assert load_graph(path).nodes == ('"a', "b c\u2028d")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: expected head, relation and tail separated by tabs, one triple a line"),
        ("a\tr\tb\n\na b\n", "line 3: 1 value; expected head, relation and tail separated by tabs"),
        ("a\tr\tb\tc\n", "line 1: 4 values"),
        ("a\tr\tb\na\t\tb\n", "line 2: an empty value"),
    ],
)
def test_faults_of_triples_name_the_line(tmp_path, content, message):
    path = tmp_path / "family.txt"
    path.write_text(content)
    with pytest.raises(BadFile, match=message) as raised:
        load_graph(path)
    assert str(path) in str(raised.value)

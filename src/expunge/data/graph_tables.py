"""Graphs from text files: lists of edges with a header, the features of their nodes, and triples of knowledge graphs."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from expunge.data.columns import check_lines, read_text
from expunge.data.graph_source import Features, GraphSource, foreign_feature, graph_of
from expunge.data.table_inputs import GAPS
from expunge.errors import BadFile

LABEL = "label"
PARTS = ("train.txt", "valid.txt", "test.txt")
_TRIPLE = "expected head, relation and tail separated by tabs"

Lines = list[tuple[int, list[str]]]


def read_edge_list(path: str | Path, features: str | Path | None = None, normalise: bool = True) -> GraphSource:
    """Read a graph from a list of edges, and the features of its nodes from a second file.

    Args:
        path: UTF-8 with a header and one edge a line, separated by tabs where the name ends in ``.tsv``, else by commas. The
            first two columns hold the ids of both ends, any texts; other columns are passed over.
        features: a file of the same form with one node a line: its id, its class in a column `label` if there is one (nothing
            where it is not known), and numbers in all other columns.
        normalise: see :func:`~expunge.data.graph_files.load_graph`.

    Returns:
        a graph whose nodes are numbered in the order of `features`, or, without that file, in which they first appear. Ids that
        are just the whole numbers from 0 to N - 1 keep them.

    Raises:
        BadFile: if a file is not such a file, a node has two lines, an edge names a node that has none, or a feature is no
            finite number; it names the line.
    """
    path = Path(path)
    header, lines = _table(path)
    if len(header) < 2:
        raise BadFile(f"{path} has one column, {header[0]}; expected two columns of node ids")
    if all(_is_number(name) for name in header[:2]):
        raise BadFile(f"{path}: its first line, {','.join(header)}, is an edge; expected a header, such as source,target")
    ends = [text for _, line in lines for text in line[:2]]
    if "" in ends:
        raise BadFile(f"{path}, line {lines[ends.index('') // 2][0]:,}: a node id is empty; expected two ids")
    nodes = _Nodes(_in_order(list(dict.fromkeys(ends)))) if features is None else _read_nodes(Path(features))
    place = {name: number for number, name in enumerate(nodes.names)}
    try:
        edges = np.array([place[text] for text in ends], dtype=np.int64).reshape(-1, 2)
    except KeyError as error:
        at = ends.index(error.args[0]) // 2
        raise BadFile(
            f"{path}, line {lines[at][0]:,}: node '{error.args[0]}' has no line in {features}; expected one for every node"
        ) from None
    graph, note = graph_of(len(nodes.names), edges, nodes.features, nodes.labels, 0, normalise)
    return GraphSource(path.stem, graph, nodes.classes, nodes=_unless_numbers(nodes.names), note=note)


def read_triples(path: str | Path) -> GraphSource:
    """Read a knowledge graph: one triple a line, head, relation and tail separated by tabs, without a header.

    Args:
        path: a file, UTF-8; or a folder that holds `train.txt` and, if there are any, `valid.txt` and `test.txt`, which are
            read as one: the graph is split anew.

    Returns:
        a graph whose edges are (head, tail, relation); entities and relations are numbered as they first appear.

    Raises:
        BadFile: if a file is missing, empty, or has a line with another number of values; it names the line.
    """
    path = Path(path)
    files = [path / name for name in PARTS if name == PARTS[0] or (path / name).is_file()] if path.is_dir() else [path]
    found = np.array([triple for file in files for triple in _triples(file)], dtype=object)
    entities = list(dict.fromkeys(found[:, [0, 2]].ravel()))
    relations = list(dict.fromkeys(found[:, 1]))
    places = [{name: number for number, name in enumerate(names)} for names in (entities, entities, relations)]
    columns = [found[:, column] for column in (0, 2, 1)]
    edges = np.array([[place[text] for text in texts] for place, texts in zip(places, columns, strict=True)]).T
    graph, note = graph_of(len(entities), edges, None, None, len(relations), False)
    if len(files) > 1:
        note = f"The triples of {', '.join(file.name for file in files)} were read as one graph. {note}"
    return GraphSource(path.stem, graph, relations=tuple(relations), nodes=_unless_numbers(entities), note=note)


class _Nodes(NamedTuple):
    """The names of the nodes, their features (N, F), the class of each, (N,), and the names of the classes."""

    names: list[str]
    features: Features | None = None
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()


def _read_nodes(path: Path) -> _Nodes:
    header, lines = _table(path)
    number_of: dict[str, int] = {}
    for number, (name, *_) in lines:
        if not name or name in number_of:
            again = f"node '{name}' was in line {number_of[name]:,} already" if name else "the node id is empty"
            raise BadFile(f"{path}, line {number:,}: {again}; expected one line for each node, with its id first")
        number_of[name] = number
    by_name = {line[0]: (number, line) for number, line in lines}
    names = _in_order(list(by_name))
    lines = [by_name[name] for name in names]
    columns = [place for place, name in enumerate(header) if place and name != LABEL]
    nodes = _Nodes(names, _numbers(path, header, lines, columns) if columns else None)
    if LABEL not in header[1:]:
        return nodes
    labels, classes = _classes([line[header.index(LABEL, 1)] for _, line in lines])
    return nodes._replace(labels=labels, classes=classes)


def _numbers(path: Path, header: list[str], lines: Lines, columns: list[int]) -> np.ndarray:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]  # half a second's import

    texts = pd.DataFrame([[line[place] for place in columns] for _, line in lines], dtype=object)
    values = np.stack([pd.to_numeric(texts[place], errors="coerce").to_numpy(np.float64) for place in texts], 1)
    if (foreign := foreign_feature(values)) is not None:
        (number, line), place = lines[foreign[0]], columns[foreign[1]]
        raise BadFile(f"{path}, line {number:,}: column '{header[place]}' is '{line[place]}'; expected a finite number")
    return values


def _classes(texts: list[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The class of each node, -1 where it is a gap, and the names; sorted, as numbers where all of them are."""
    known = {text for text in texts if text not in GAPS}
    if not known:
        return None, ()
    names = sorted(known, key=int) if all(_is_number(text) for text in known) else sorted(known)
    place = {name: number for number, name in enumerate(names)}
    return np.array([place.get(text, -1) for text in texts], dtype=np.int64), tuple(names)


def _in_order(names: list[str]) -> list[str]:
    """The names as they stand, or in the order of their numbers where they are just 0 to N - 1."""
    numbers = [str(number) for number in range(len(names))]
    return numbers if set(names) == set(numbers) else names


def _unless_numbers(names: Sequence[str]) -> tuple[str, ...]:
    return () if all(name == str(number) for number, name in enumerate(names)) else tuple(names)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _triples(path: Path) -> list[list[str]]:
    found = []
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        values = [value.strip() for value in text.strip("\r").split("\t")]
        if values == [""]:
            continue
        if len(values) != 3 or "" in values:
            what = "an empty value" if len(values) == 3 else f"{len(values)} value{'s' * (len(values) != 1)}"
            raise BadFile(f"{path}, line {number:,}: {what}; {_TRIPLE}")
        found.append(values)
    if not found:
        raise BadFile(f"{path} is empty: {_TRIPLE}, one triple a line")
    return found


def _table(path: Path) -> tuple[list[str], Lines]:
    """The header, and the lines below it that are not empty, each with its number from 1, split and stripped."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, [value.strip() for value in line]) for line in reader if line]
    except csv.Error as error:
        raise BadFile(f"{path}, line {reader.line_num:,}: {error}; expected values in columns") from error
    if len(lines) < 2:
        raise BadFile(f"{path} is empty: expected a header and lines below it")
    (_, header), *rest = lines
    check_lines(path, header, rest)
    return header, rest

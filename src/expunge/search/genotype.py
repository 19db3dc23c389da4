"""Genotypes: which operations a cell is made of, and what each of them reads.

A cell has two inputs, numbered 0 and 1 (what the cell before the last made, and what the last one made), and nodes 2, 3, ...
Each node is the sum of two operations on inputs or earlier nodes, written as pairs (operation, number of its input); a cell's
output is all its nodes side by side. A network has two kinds of cells: normal ones, and reductions, which halve the image.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.errors import BadFile, BadSetting
from expunge.search.operations import NONE, OPERATIONS, SKIP
from expunge.storage import write_json

Gene = tuple[str, int]
KINDS = ("normal", "reduction")
_FORMAT = "expunge genotype 1"


@dataclass(frozen=True)
class Genotype:
    """Both cells, each with 2N pairs (operation, input) for N nodes: the first two make node 2, the next two node 3.

    Args:
        normal: the cell that keeps the image's size.
        reduction: the cell that halves it.

    Raises:
        BadSetting: if a pair names an unknown operation or a later node, or a node reads one input twice.

    >>> cell = (("sep_conv_3x3", 0), ("skip_connect", 1))
    >>> Genotype(cell, cell).nodes
    1
    """

    normal: tuple[Gene, ...]
    reduction: tuple[Gene, ...]

    def __post_init__(self) -> None:
        for kind in KINDS:
            object.__setattr__(self, kind, _checked(kind, getattr(self, kind)))
        if len(self.normal) != len(self.reduction):
            raise BadSetting(f"the cells differ in nodes: normal has {self.nodes}, reduction has {len(self.reduction) // 2}")

    @property
    def nodes(self) -> int:
        """N, the nodes of each cell."""
        return len(self.normal) // 2

    @property
    def skips(self) -> int:
        """How many skip connections the normal cell has."""
        return sum(name == SKIP for name, _ in self.normal)

    def cell(self, kind: str) -> tuple[Gene, ...]:
        """The pairs of "normal" or "reduction"."""
        return self.normal if kind == "normal" else self.reduction

    def diff(self, other: "Genotype") -> list[str]:
        """What changes from this genotype to another, a line for each node that does; none where they build the same cells.

        >>> skip = (("skip_connect", 0), ("skip_connect", 1))
        >>> print(*Genotype(skip, skip).diff(Genotype(skip, (("skip_connect", 0), ("sep_conv_3x3", 1)))))
        reduction node 2: skip_connect(1) -> sep_conv_3x3(1)
        """
        lines = []
        for kind in KINDS:
            for node in range(max(self.nodes, other.nodes)):
                before, after = (Counter(each.cell(kind)[2 * node : 2 * node + 2]) for each in (self, other))
                if before != after:
                    gone, come = (_words(part) or "nothing" for part in (before - after, after - before))
                    lines.append(f"{kind} node {node + 2}: {gone} -> {come}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {"format": _FORMAT, **{kind: [list(gene) for gene in self.cell(kind)] for kind in KINDS}}

    @classmethod
    def from_json(cls, value: Any) -> "Genotype":
        """From what :meth:`as_json` gave.

        Raises:
            BadSetting: if it is something else.
        """
        if not isinstance(value, dict) or value.get("format") != _FORMAT or not value.keys() >= set(KINDS):
            raise BadSetting(f"a genotype is an object with 'format' \"{_FORMAT}\", 'normal' and 'reduction'")
        return cls(value["normal"], value["reduction"])

    def save(self, path: str | Path) -> None:
        """Write a JSON file, atomically."""
        write_json(path, self.as_json())

    @classmethod
    def load(cls, path: str | Path) -> "Genotype":
        """Read what :meth:`save` wrote.

        Raises:
            BadFile: if the file is missing, or is no genotype, and why.
        """
        try:
            return cls.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise BadFile(f"genotype file not found: {path}") from error
        except (ValueError, RecursionError) as error:  # damaged text, JSON or cells
            raise BadFile(f"{path} is no genotype: {error}") from error


def _checked(kind: str, cell: Any) -> tuple[Gene, ...]:
    try:
        pairs = tuple((name, source) for name, source in cell)
    except (TypeError, ValueError):
        raise BadSetting(f"{kind}: a cell is a list of pairs (operation, input), not {cell!r}") from None
    if not pairs or len(pairs) % 2:
        raise BadSetting(f"{kind}: a cell has two pairs (operation, input) for each node, not {len(pairs)} in all")
    for place, (name, source) in enumerate(pairs):
        node = place // 2 + 2
        if not isinstance(name, str) or name not in OPERATIONS or name == NONE:
            known = ", ".join(each for each in OPERATIONS if each != NONE)
            raise BadSetting(f"{kind} node {node}: operation {name!r} cannot be built; there are {known}")
        if not isinstance(source, int) or isinstance(source, bool) or not 0 <= source < node:
            raise BadSetting(f"{kind} node {node}: it can read inputs 0 to {node - 1}, not {source!r}")
        if place % 2 and source == pairs[place - 1][1]:
            raise BadSetting(f"{kind} node {node}: it reads input {source} twice; the two inputs of a node differ")
    return pairs


def _words(genes: Counter[Gene]) -> str:
    return " + ".join(f"{name}({source})" for name, source in sorted(genes.elements()))

"""Faces with their expression classes, read when asked for: what all readers of this folder return."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from expunge.data.records import Records
from expunge.errors import BadSetting

TRAIN = "train"


@dataclass(frozen=True, eq=False)
class FaceSet:
    """n pictures or clips of faces.

    The labels are *expression classes*: what was annotated on a picture, not what somebody felt.

    Args:
        name: what the set is called.
        read: given a row, returns its picture (C, H, W) or clip (T, C, H, W), floats, usually between 0 and 1.
        labels: class index of each row, shape (n,), int64.
        classes: the name of each class.
        names: what each row is called in errors, such as its file, shape (n,).
        persons: who each row shows, shape (n,) of strings; None where the set does not say.
        parts: official part of each row, such as "train" and "test", shape (n,); None where there are none.
        apex: index of the apex frame in each clip, shape (n,), -1 where it is not known; None for pictures.
        columns: what else is known of each row, shape (n,) each.
        licence: under which terms the owners give the set away.
        note: a sentence for the user; empty when there is nothing to say.

    Raises:
        BadSetting: if something has not one value for each row, or a label is outside the classes.
    """

    name: str
    read: Callable[[int], Tensor]
    labels: np.ndarray
    classes: tuple[str, ...]
    names: np.ndarray
    persons: np.ndarray | None = None
    parts: np.ndarray | None = None
    apex: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    licence: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for name, values in (("names", self.names), ("persons", self.persons), ("parts", self.parts), ("apex", self.apex)):
            if values is not None and values.shape != self.labels.shape:
                raise BadSetting(f"{self.name}: {name} must hold one value for each of {len(self.labels):,} rows")
        if not len(self.labels):
            raise BadSetting(f"{self.name} has no rows")
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise BadSetting(f"{self.name}: labels must be 0 to {len(self.classes) - 1}, and reach {self.labels.max()}")

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, part: str) -> np.ndarray:
        """The rows of an official part, int64.

        Raises:
            BadSetting: if there is no such part.
        """
        there = [] if self.parts is None else sorted(set(self.parts.tolist()))
        if self.parts is None or part not in there:
            raise BadSetting(f"{self.name} has no part '{part}'; it has {', '.join(there) or 'none'}")
        return np.flatnonzero(self.parts == part)

    def subset(self, rows: Sequence[int] | np.ndarray) -> "FaceSet":
        """The given rows, in that order."""
        chosen = np.asarray(rows, dtype=np.int64)
        read = self.read
        return replace(
            self,
            read=lambda row: read(int(chosen[row])),
            labels=self.labels[chosen],
            names=self.names[chosen],
            persons=None if self.persons is None else self.persons[chosen],
            parts=None if self.parts is None else self.parts[chosen],
            apex=None if self.apex is None else self.apex[chosen],
            columns={name: values[chosen] for name, values in self.columns.items()},
        )

    def tensor(self, transform: Callable[[Tensor], Tensor] | None = None, rows: Iterable[int] | None = None) -> Tensor:
        """Rows read one after another, each transformed at once, and stacked, so that a clip's frames need not stay in memory.

        Args:
            transform: such as :func:`expunge.search.faces.dynamic_image`; None leaves rows as they are.
            rows: which; None for all.

        Raises:
            BadFile: if a row cannot be read.
            BadSetting: if rows are of different shapes.
        """
        chosen = list(range(len(self)) if rows is None else map(int, rows))
        found = []
        for row in chosen:
            sample = self.read(row)
            found.append(sample if transform is None else transform(sample))
            if found[-1].shape != found[0].shape:
                raise BadSetting(
                    f"{self.names[row]} has shape {tuple(found[-1].shape)}, and {self.names[chosen[0]]} has "
                    f"{tuple(found[0].shape)}; give the reader a size, or a transform that ends in one shape"
                )
        if not found:
            raise BadSetting(f"{self.name}: no rows were asked for")
        return torch.stack(found)

    def records(self, transform: Callable[[Tensor], Tensor] | None = None, rows: Iterable[int] | None = None) -> Records:
        """Rows as training data, with a column `person` where it is known, so that a person can be asked to be forgotten.

        Raises:
            BadFile, BadSetting: as :meth:`tensor`.
        """
        chosen = np.arange(len(self)) if rows is None else np.fromiter(rows, dtype=np.int64)
        columns = {name: values[chosen] for name, values in self.columns.items()} | {"file": self.names[chosen]}
        if self.persons is not None:
            columns["person"] = self.persons[chosen]
        return Records(self.tensor(transform, chosen), torch.from_numpy(self.labels[chosen]), columns, self.classes)

    def duplicates(self) -> "Duplicates":
        """Which rows have the same pixels; reads all of them."""
        groups = defaultdict(list)
        for row in range(len(self)):
            sample = self.read(row).contiguous().cpu()
            key = hashlib.blake2b(repr(tuple(sample.shape)).encode() + sample.numpy().tobytes(), digest_size=16).digest()
            groups[key].append(row)
        return Duplicates(self.name, tuple(tuple(rows) for rows in groups.values() if len(rows) > 1), self.labels, self.parts)


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Rows of a set that have the same pixels.

    Args:
        name: of the set.
        groups: the rows of each picture that is there more than once.
        labels: class index of every row of the set, shape (n,).
        parts: official part of every row; None where there are none.
    """

    name: str
    groups: tuple[tuple[int, ...], ...]
    labels: np.ndarray
    parts: np.ndarray | None

    @property
    def conflicting(self) -> tuple[tuple[int, ...], ...]:
        """The groups whose rows have different labels."""
        return tuple(rows for rows in self.groups if len(set(self.labels[list(rows)].tolist())) > 1)

    @property
    def across(self) -> dict[tuple[str, str], int]:
        """For each two official parts, sorted by name, how many pictures are in both; only those that share some."""
        counts: dict[tuple[str, str], int] = defaultdict(int)
        if self.parts is not None:
            for rows in self.groups:
                for pair in combinations(sorted(set(self.parts[list(rows)].tolist())), 2):
                    counts[pair] += 1
        return dict(counts)

    def rows_to_keep(self) -> np.ndarray:
        """Rows without copies: each picture once in a part, and none in training that another part has; sorted, int64.

        The parts to test on stay comparable with what others report; it is training that gives up what they share.
        """
        dropped: set[int] = set()
        for rows in self.groups:
            parts = ["" if self.parts is None else str(self.parts[row]) for row in rows]
            tested = any(part != TRAIN for part in parts) and self.parts is not None
            for at, (row, part) in enumerate(zip(rows, parts, strict=True)):
                if part in parts[:at] or (part == TRAIN and tested):
                    dropped.add(row)
        return np.array([row for row in range(len(self.labels)) if row not in dropped], dtype=np.int64)

    def __str__(self) -> str:
        """What was found, in words."""
        if not self.groups:
            return f"{self.name}: no two of {len(self.labels):,} rows have the same pixels."
        copies = sum(len(rows) - 1 for rows in self.groups)
        said = [f"{self.name}: {copies:,} of {len(self.labels):,} rows are copies of another, pixel by pixel."]
        said += [f"{count:,} pictures are in both {one} and {other}." for (one, other), count in sorted(self.across.items())]
        if self.conflicting:
            said.append(f"{len(self.conflicting):,} pictures have copies with different labels.")
        return " ".join(said)

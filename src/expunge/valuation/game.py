"""A utility on given training points: subsets are asked for here, and what was found is kept."""

import hashlib
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from expunge.errors import BadFile, BadSetting
from expunge.progress import ProgressBar
from expunge.storage import write_text
from expunge.valuation.estimators import Estimator
from expunge.valuation.learner import Ask, Learner
from expunge.valuation.metrics import baseline, score
from expunge.valuation.points import Array, Points, read_points


class Game:
    """The players are training points, and a subset's worth is its utility.

    Attributes:
        points: what is trained on.
        valid: what is asked about.
        trainings: models trained so far.
        kept: utilities that were found in the folder.
    """

    def __init__(self, points: Points, valid: Points, learner: Learner, metric: Any, seed: int, folder: Path | None) -> None:
        self.points, self.valid, self.learner, self.metric, self.seed = points, valid, learner, metric, seed
        self.trainings = 0
        self._known: dict[bytes, float] = {}
        name = None if folder is None else self._digest()
        self._file = None if folder is None or name is None else folder / f"utilities-{name}.tsv"
        self._bar: tuple[ProgressBar, int] | None = None
        if self._file is not None:
            self._known.update(_read(self._file))
        self.kept = len(self._known)

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def empty(self) -> float:
        """U({})."""
        return baseline(self.metric, self.points, self.valid)

    @cached_property
    def full(self) -> float:
        """U of all points."""
        return float(self.utilities(np.ones((1, len(self)), bool))[0])

    def utilities(self, masks: Array) -> Array:
        """U of each row of `masks`, shape (m, n), bool; returns shape (m,)."""
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in np.packbits(masks, axis=1)]
        filled = np.asarray(masks.any(1))
        asked = {key: row for row, key in enumerate(keys) if filled[row] and key not in self._known}
        new = list(asked.items())
        for start in range(0, len(new), self.learner.together):
            part = new[start : start + self.learner.together]
            found = self._trained(masks[[row for _, row in part]])
            self._count(len(part))
            self._keep([key for key, _ in part], found)
        return np.array([self._known[key] if full else self.empty for key, full in zip(keys, filled, strict=True)])

    def train(self, masks: Array) -> Ask:
        """Models trained on the rows of `masks`, for other questions than the utility; they are not kept in a file.

        Returns:
            from inputs, shape (v, ...), to probabilities, shape (m, v, classes), or real numbers, shape (m, v).
        """
        found = self.learner.train(self.points, masks)
        self._count(len(masks))
        return found

    def answers(self, masks: Array, asked: Array) -> Array:
        """What such models say of some inputs."""
        found = self.learner.answers(self.points, masks, asked)
        self._count(len(masks))
        return found

    def generator(self, *names: object) -> np.random.Generator:
        """Random numbers of their own for each purpose."""
        words = "/".join(map(str, (self.seed, *names)))
        return np.random.default_rng(int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "little"))

    def read(self, X: Any, y: Any) -> Points:
        """Other points, of the same classes.

        Raises:
            BadSetting: if they are no such points.
        """
        return read_points(X, y, self.points.classes if len(self.points.classes) else None, "points to value", self.points)

    @contextmanager
    def progress(self, name: str, trainings: int) -> Iterator[None]:
        """Show how many of so many trainings are done."""
        with ProgressBar(name, trainings) as bar:
            self._bar = bar, self.trainings
            try:
                yield
            finally:
                self._bar = None

    def _trained(self, masks: Array) -> Array:
        if callable(self.metric):
            assert isinstance(self.learner, Estimator)
            return _finite(self.learner.scores(self.points, masks, self.valid, self.metric), "the scorer")
        answers = _finite(self.learner.answers(self.points, masks, self.valid.inputs), "a model")
        return score(self.metric, answers, self.valid)

    def _count(self, trainings: int) -> None:
        self.trainings += trainings
        if self._bar is not None:
            bar, before = self._bar
            bar.update(self.trainings - before, monotonic())

    def _keep(self, keys: list[bytes], found: Array) -> None:
        self._known.update(zip(keys, found.tolist(), strict=True))
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with open(self._file, "a", encoding="ascii") as file:
                file.writelines(f"{key.hex()}\t{value!r}\n" for key, value in zip(keys, found.tolist(), strict=True))

    def _digest(self) -> str | None:
        """All that utilities depend on; None where it can't be told what a model or a scorer is, in another process."""
        try:
            asked = pickle.dumps((self.learner.key(), self.metric, self.points.classes.tolist()))
        except Exception:  # whatever an estimator of the user's raises
            return None
        digest = hashlib.sha256(asked)
        for part in (self.points, self.valid):
            for values in (part.inputs, part.targets):
                digest.update(repr((values.shape, values.dtype.str)).encode())
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]


def _finite(values: Array, what: str) -> Array:
    if not np.isfinite(values).all():
        raise BadSetting(f"utility: {what} answered with {values[~np.isfinite(values)].flat[0]}; expected finite numbers")
    return values


def _read(file: Path) -> dict[bytes, float]:
    """Utilities that were found before; a last line that a killed run left half written is cut off."""
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="ascii")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_text(file, whole)
        return {bytes.fromhex(key): float(value) for key, value in (line.split("\t") for line in whole.splitlines())}
    except (OSError, ValueError) as error:
        raise BadFile(f"{file} is damaged ({error}); delete it, and utilities are found anew") from error

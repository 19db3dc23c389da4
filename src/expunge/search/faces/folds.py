"""Folds by person, nested so that a search for an architecture never sees the people it is tested on.

Each fold has three parts that share no person: the rows that weights are trained on, the rows that the architecture is chosen
on, and the rows it is tested on. A network that was found is trained anew on the first two. Classes are spread over the parts
as evenly as whole persons allow.

Folds by scikit-learn's `StratifiedGroupKFold` and `LeaveOneGroupOut`.
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold

from expunge.errors import BadSetting

_TRIES = 20  # other divisions of the training persons, until the weights' part has all classes


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of the rows; all parts are sorted row indices, int64.

    Args:
        weights: what weights are trained on while the architecture is searched.
        architecture: what the architecture is chosen on.
        test: what only the finished network is shown.
    """

    weights: np.ndarray
    architecture: np.ndarray
    test: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """What the found network is trained on: all rows but those of the test."""
        return np.sort(np.concatenate([self.weights, self.architecture]))


def person_folds(
    persons: Sequence[Any] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    folds: int = 6,
    seed: int = 0,
    architecture_share: float = 0.5,
) -> tuple[Fold, ...]:
    """k folds over persons; each row is tested once.

    Args:
        persons: who each row shows, shape (n,).
        labels: class of each row, shape (n,).
        folds: k, at least 2.
        seed: who comes into which fold.
        architecture_share: about which share of the training rows the architecture is chosen on, above 0 and at most a half.

    Raises:
        BadSetting: if a person is not known, there are fewer persons than folds or too few to nest, or the training rows of a
            fold lack a class.

    >>> fold = person_folds(["ada", "bo", "cy", "di"], [0, 0, 0, 0], folds=2)[0]
    >>> len(fold.weights), len(fold.architecture), len(fold.test)
    (1, 1, 2)
    """
    who, classes = _rows(persons, labels)
    count = len(np.unique(who))
    if folds < 2:
        raise BadSetting(f"the number of folds must be at least 2, not {folds}")
    if count < folds:
        raise BadSetting(f"{folds} folds need at least {folds} persons, one to test in each; there are {count}")
    tests = _person_parts(who, classes, folds, seed)
    return _nested(tests, who, classes, seed, architecture_share)


def leave_one_person_out(
    persons: Sequence[Any] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    seed: int = 0,
    architecture_share: float = 0.5,
) -> tuple[Fold, ...]:
    """As many folds as persons, each tested on one; persons in sorted order. See :func:`person_folds`.

    Raises:
        BadSetting: as for :func:`person_folds`.
    """
    who, classes = _rows(persons, labels)
    if len(np.unique(who)) < 3:
        raise BadSetting(f"leaving one person out needs at least 3 persons; there are {len(np.unique(who))}")
    tests = [test for _, test in LeaveOneGroupOut().split(who, classes, who)]
    return _nested(tests, who, classes, seed, architecture_share)


def check_folds(folds: Iterable[Fold], persons: Sequence[Any] | np.ndarray, labels: Sequence[int] | np.ndarray) -> None:
    """Refuse folds that would make a figure worthless, such as those a user made.

    Raises:
        BadSetting: if a person is in two parts of a fold, a row or person is tested twice, a row index is outside the data, a
            part is empty, or the weights' part lacks a class.

    >>> check_folds([Fold(np.array([0]), np.array([1]), np.array([2]))], ["ada", "bo", "ada"], [0, 0, 0])
    Traceback (most recent call last):
        ...
    expunge.errors.BadSetting: fold 0: person ada is in both weights and test: rows 0 and 2
    """
    who, classes = _rows(persons, labels)
    tested: dict[Any, int] = {}
    for number, fold in enumerate(folds):
        _check_parts(f"fold {number}", fold, who)
        _check_classes(f"fold {number}", fold.weights, classes)
        for person in np.unique(who[fold.test]).tolist():
            if person in tested:
                raise BadSetting(f"person {person} is tested in both fold {tested[person]} and fold {number}")
            tested[person] = number


def _check_parts(name: str, fold: Fold, who: np.ndarray) -> None:
    seen: dict[Any, tuple[str, int]] = {}
    people = who.tolist()
    for part, rows in (("weights", fold.weights), ("architecture", fold.architecture), ("test", fold.test)):
        if not len(rows):
            raise BadSetting(f"{name}: part {part} has no rows")
        if rows.min() < 0 or rows.max() >= len(who):
            raise BadSetting(f"{name}: part {part} has rows {rows.min()} to {rows.max()}; the data has 0 to {len(who) - 1}")
        if len(np.unique(rows)) < len(rows):
            raise BadSetting(f"{name}: part {part} has a row twice")
        for row in rows.tolist():
            person = people[row]
            other, before = seen.setdefault(person, (part, row))
            if other != part:
                raise BadSetting(f"{name}: person {person} is in both {other} and {part}: rows {before} and {row}")


def _check_classes(name: str, rows: np.ndarray, classes: np.ndarray) -> None:
    absent = np.setdiff1d(classes, classes[rows])
    if len(absent):
        holders = int((classes == absent[0]).sum())
        raise BadSetting(
            f"{name}: class {absent[0]} has none of its {holders:,} rows in the training part; take more folds, merge classes, "
            "or add persons who show it"
        )


def _rows(persons: Sequence[Any] | np.ndarray, labels: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    who, classes = np.asarray(persons), np.asarray(labels)
    if who.ndim != 1 or classes.shape != who.shape or not len(who):
        raise BadSetting(f"each row needs one person and one class: their shapes are {who.shape} and {classes.shape}")
    if classes.dtype.kind not in "iu":
        raise BadSetting(f"labels must be class indices, whole numbers, not {classes.dtype}")
    unknown = np.array([each is None or each == "" or each != each for each in who.tolist()])
    if unknown.any():
        raise BadSetting(f"row {int(unknown.argmax())} has no person: folds by person need to know who each row shows")
    return who, classes


def _person_parts(who: np.ndarray, classes: np.ndarray, parts: int, seed: int) -> list[np.ndarray]:
    """Rows in `parts` parts by person, stratified by class."""
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    # scikit-learn refuses where each class has fewer rows than there are parts; rows of one class can still be divided.
    counts = np.unique(classes, return_counts=True)[1]
    strata = classes if counts.max() >= parts else np.zeros(len(classes), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return [part for _, part in splitter.split(who, strata, who)]


def _nested(
    tests: Sequence[np.ndarray], who: np.ndarray, classes: np.ndarray, seed: int, architecture_share: float
) -> tuple[Fold, ...]:
    if not 0 < architecture_share <= 0.5:
        raise BadSetting(f"architecture_share must be above 0 and at most 0.5, not {architecture_share}")
    trains = [np.setdiff1d(np.arange(len(who)), test) for test in tests]
    for number, (train, test) in enumerate(zip(trains, tests, strict=True)):
        if not len(test):
            raise BadSetting(f"fold {number} has nobody to test: the persons' rows are too uneven for {len(tests)} folds")
        _check_classes(f"fold {number}", train, classes)
    parts = round(1 / architecture_share)
    return tuple(
        _divided(f"fold {number}", train, test, who, classes, seed, parts)
        for number, (train, test) in enumerate(zip(trains, tests, strict=True))
    )


def _divided(
    name: str, train: np.ndarray, test: np.ndarray, who: np.ndarray, classes: np.ndarray, seed: int, parts: int
) -> Fold:
    """The training rows in two, so that the weights' part has all classes, and the architecture's if it can be."""
    count = len(np.unique(who[train]))
    if count < 2:
        raise BadSetting(f"{name}: nesting needs at least 2 persons to train on, one for each part; there is {count}")
    needed, best = len(np.unique(classes)), (-1, Fold(train, train[:0], test))
    for attempt in range(_TRIES):
        for chosen in _person_parts(who[train], classes[train], min(parts, count), seed + attempt):
            weights = np.delete(train, chosen)
            if len(chosen) and len(weights) and len(np.unique(classes[weights])) == needed:
                best = max(
                    best, (len(np.unique(classes[train[chosen]])), Fold(weights, train[chosen], test)), key=lambda at: at[0]
                )
            if best[0] == needed:
                return best[1]
    if best[0] < 0:
        raise BadSetting(
            f"{name}: no division of {count} training persons leaves every class in the weights' part; merge rare classes, or "
            "give the architecture a smaller share"
        )
    return best[1]

"""Scores of a classifier of expressions, pooled over folds: unweighted F1, unweighted average recall, accuracy, confusion.

    F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)      UF1 = mean_c F1_c      UAR = mean_c TP_c / n_c

TP, FP and FN are counted over all folds first, as the Micro-Expression Grand Challenge does: a fold that leaves one person out
seldom has all classes, and the mean of its folds' scores means nothing.

Reference: J. See, M. H. Yap, J. Li, X. Hong, S.-J. Wang. "MEGC 2019 - The Second Facial Micro-Expressions Grand Challenge", FG
2019.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from expunge.errors import BadSetting


@dataclass(frozen=True, eq=False)
class Scores:
    """How well expression classes are told apart.

    Args:
        classes: the name of each class, k of them.
        confusion: shape (k, k); entry (i, j) counts the samples of class i that were taken for class j.
        f1: of each class, shape (k,), 0 to 1; NaN for a class without samples.
        recall: of each class, shape (k,), 0 to 1; NaN for a class without samples.
        uf1: mean of `f1` over the classes that have samples.
        uar: mean of `recall` over the classes that have samples.
        accuracy: share of all samples that were told right.
    """

    classes: tuple[str, ...]
    confusion: np.ndarray
    f1: np.ndarray
    recall: np.ndarray
    uf1: float
    uar: float
    accuracy: float

    @property
    def support(self) -> np.ndarray:
        """Number of samples of each class, shape (k,)."""
        return np.asarray(self.confusion.sum(1))

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain numbers and lists, for JSON; None where a class has no samples."""
        each = {
            name: {"f1": _number(f1), "recall": _number(recall), "samples": int(count)}
            for name, f1, recall, count in zip(self.classes, self.f1, self.recall, self.support, strict=True)
        }
        overall = {"accuracy": self.accuracy, "uf1": self.uf1, "uar": self.uar}
        return {**overall, "classes": each, "confusion": self.confusion.tolist()}


def scores(targets: Any, predictions: Any, classes: Sequence[str]) -> Scores:
    """The scores of one set of predictions.

    Args:
        targets: indices of the true classes, shape (n,).
        predictions: indices of the classes that were told, shape (n,).
        classes: the name of each class.

    Raises:
        BadSetting: if there are no samples, not as many targets as predictions, or an index outside `classes`.

    >>> found = scores([0, 0, 1], [0, 1, 1], ("no", "yes"))
    >>> round(found.uf1, 3), found.uar, found.confusion.tolist()
    (0.667, 0.75, [[1, 1], [0, 1]])
    """
    true, told = (_indices(name, values, len(classes)) for name, values in (("targets", targets), ("predictions", predictions)))
    if len(true) != len(told) or not len(true):
        raise BadSetting(f"each sample needs a target and a prediction: there are {len(true):,} and {len(told):,}")
    every = np.arange(len(classes))
    present = np.isin(every, true)
    f1 = np.where(present, f1_score(true, told, labels=every, average=None, zero_division=0.0), np.nan)
    recall = np.where(present, recall_score(true, told, labels=every, average=None, zero_division=0.0), np.nan)
    return Scores(
        classes=tuple(classes),
        confusion=confusion_matrix(true, told, labels=every),
        f1=f1,
        recall=recall,
        uf1=float(np.nanmean(f1)),
        uar=float(np.nanmean(recall)),
        accuracy=float(accuracy_score(true, told)),
    )


def pooled_scores(folds: Iterable[tuple[Any, Any]], classes: Sequence[str]) -> Scores:
    """The scores over the test parts of all folds together.

    Args:
        folds: targets and predictions of each fold, as for :func:`scores`.
        classes: the name of each class.

    Raises:
        BadSetting: as :func:`scores`.
    """
    pairs = [tuple(np.asarray(part).reshape(-1) for part in pair) for pair in folds]
    if not pairs:
        raise BadSetting("there are no folds to score")
    for number, (true, told) in enumerate(pairs):
        if len(true) != len(told):
            raise BadSetting(f"fold {number} has {len(true):,} targets and {len(told):,} predictions")
    true, told = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    return scores(true, told, classes)


def _indices(name: str, values: Any, classes: int) -> np.ndarray:
    found = np.asarray(values)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iu"):
        raise BadSetting(f"{name} must be class indices of shape (n,), not {found.dtype} of shape {found.shape}")
    if len(found) and not (found.min() >= 0 and found.max() < classes):
        raise BadSetting(f"{name} run from {found.min()} to {found.max()}; with {classes} classes they are 0 to {classes - 1}")
    return found


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

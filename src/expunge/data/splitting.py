"""From a request to the split that methods and audits work on; and how rows are held out where there is no holdout."""

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from expunge.data.records import classes_of, columns_of, length, targets_of, unwrap
from expunge.errors import BadRequest, BadSetting
from expunge.requests import Request
from expunge.split import Batches, Split


def split_by(
    request: Request,
    train: Dataset[Any],
    holdout: Dataset[Any],
    batch_size: int = 64,
    retain_batch_size: int | None = None,
    classes: tuple[str, ...] | None = None,
    validation: float = 0.0,
) -> Split:
    """Split a training set into what must go and what stays, and a holdout into what is like one and like the other.

    Args:
        request: what must go.
        train: the rows that the model was trained on.
        holdout: rows that it was not trained on.
        batch_size: examples in a batch of `forget` and of the holdouts; of `retain` too, unless `retain_batch_size`
            is given.
        classes: the name of each class; those that `train` knows when None.
        validation: share of the holdout rows, of each class alike, that methods may look at; no audit ever sees them.

    Returns:
        a split; its `holdout_forget` is None unless the request tells unseen rows apart and there are any.

    Raises:
        BadRequest: if nothing is to be forgotten, nothing would be left, or `train` and `holdout` share rows.

    >>> import torch
    >>> from expunge.data.records import Records
    >>> from expunge.requests import ForgetRows
    >>> records = Records(torch.arange(5.0).view(5, 1), torch.zeros(5))
    >>> parts = split_by(ForgetRows((1, 4)), records, Records(torch.ones(2, 1), torch.zeros(2)))
    >>> [inputs.flatten().tolist() for inputs, _ in (*parts.forget, *parts.retain)]
    [[1.0, 4.0], [0.0, 2.0, 3.0]]
    """
    names = classes_of(train) if classes is None else classes
    forget = request.rows(_targets(request, train), columns_of(train), names)
    retain = without(length(train), forget)
    if not len(forget):
        raise BadRequest(f"forget set is empty: {request.describe(length(train))} picks none of {length(train):,} rows")
    if not len(retain):
        raise BadRequest(
            f"retain set is empty: {request.describe(length(train))} picks all {length(train):,} rows "
            "of the training set; to forget everything, delete the model"
        )
    _check_apart(train, holdout, forget)
    like_forget = _like_forget(request, holdout, names)
    like_retain = without(length(holdout), like_forget)
    reserved = _reserved(holdout, validation)
    shown = like_forget if len(like_forget) else like_retain  # what is unseen and like what goes
    validation_forget = np.intersect1d(shown, reserved)
    like_forget, like_retain = np.setdiff1d(like_forget, reserved), np.setdiff1d(like_retain, reserved)
    return Split(
        forget=_batches(train, forget, batch_size),
        retain=_batches(train, retain, batch_size if retain_batch_size is None else retain_batch_size),
        holdout=_batches(holdout, like_retain, batch_size),
        holdout_forget=_batches(holdout, like_forget, batch_size) if len(like_forget) else None,
        validation_forget=_batches(holdout, validation_forget, batch_size),
    )


def without(count: int, rows: np.ndarray) -> np.ndarray:
    """The rows 0..count-1 that are not among `rows`, sorted.

    >>> without(5, np.array([3, 0])).tolist()
    [1, 2, 4]
    """
    return np.setdiff1d(np.arange(count), rows)


def stratified_rows(targets: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Draw `count` rows, of each class in its proportion, but never all rows of a class; sorted.

    Proportions are rounded by the largest remainder. Fewer are drawn where classes have too few rows.

    >>> drawn = stratified_rows(np.array([0] * 6 + [1] * 3 + [2]), 3, seed=0)
    >>> (drawn < 6).sum().item(), (drawn < 9).sum().item()
    (2, 3)
    """
    labels, sizes = np.unique(targets, return_counts=True)
    shares = sizes * count / len(targets)
    quotas = np.minimum(np.floor(shares).astype(np.int64), sizes - 1)
    by_remainder = np.argsort(quotas - shares, kind="stable")
    open_classes = by_remainder[(quotas < sizes - 1)[by_remainder]]
    quotas[open_classes[: count - quotas.sum()]] += 1
    generator = np.random.default_rng(seed)
    drawn = [
        generator.choice(np.flatnonzero(targets == label), quota, replace=False)
        for label, quota in zip(labels, quotas, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def _targets(request: Request, dataset: Dataset[Any]) -> np.ndarray:
    # Reading the targets of a foreign dataset may mean decoding every one of its files.
    return targets_of(dataset) if request.reads_targets else np.broadcast_to(np.int64(0), length(dataset))


def _reserved(holdout: Dataset[Any], share: float) -> np.ndarray:
    if not 0 <= share < 1:
        raise BadSetting(f"the share of the holdout for validation must be 0 or more and below 1, not {share}")
    count = round(share * length(holdout))
    if not count:
        return np.empty(0, dtype=np.int64)
    targets = targets_of(holdout)
    if np.issubdtype(targets.dtype, np.floating):  # real numbers have no classes to draw alike
        return np.sort(np.random.default_rng(0).choice(len(targets), count, replace=False))
    return stratified_rows(targets, count, seed=0)


def _like_forget(request: Request, holdout: Dataset[Any], classes: tuple[str, ...]) -> np.ndarray:
    if not request.describes_unseen or not length(holdout):
        return np.empty(0, dtype=np.int64)
    rows = request.unseen_rows(_targets(request, holdout), columns_of(holdout), classes)
    if len(rows) == length(holdout):
        raise BadRequest(
            f"all {len(rows):,} rows of the holdout are of {request.describe()}: "
            "it needs rows of what stays, too, to measure what the model still knows"
        )
    return rows


def _check_apart(train: Dataset[Any], holdout: Dataset[Any], forget: np.ndarray) -> None:
    """Refuse a holdout with rows of the training set: then it was seen, and every audit would mislead."""
    (train_base, train_rows), (holdout_base, holdout_rows) = unwrap(train), unwrap(holdout)
    if train_base is not holdout_base:
        return
    shared = np.intersect1d(train_rows, holdout_rows)
    if len(shared):
        gone = len(np.intersect1d(train_rows[forget], shared))
        raise BadRequest(
            f"{len(shared):,} of {len(holdout_rows):,} holdout rows are training rows too ({gone:,} of them are to be "
            f"forgotten); the first is row {shared[0]:,} of the dataset that both are taken from. "
            "Hold out rows that the model was not trained on"
        )


def _batches(dataset: Dataset[Any], rows: np.ndarray, batch_size: int) -> Batches:
    base, shown = unwrap(dataset)  # a subset of tensors is collated one by one, the tensors themselves are sliced
    return Batches(base, batch_size, shown[rows].tolist())

"""Handwritten digits that come with scikit-learn: 1,797 images of 8x8 pixels, ten classes; nothing is downloaded.

Source: E. Alpaydin, C. Kaynak. "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998;
its test part, as `sklearn.datasets.load_digits` gives it.
"""

import torch

from expunge.data.records import Records, Source
from expunge.data.splitting import stratified_rows, without

HOLDOUT_ROWS = 360  # one in five of 1,797
SPLIT_SEED = 0
_BRIGHTEST = 16.0  # each pixel counts the dark ones in a 4x4 block of the scan


def read_digits() -> Source:
    """The digits, 1,437 rows to train on and 360 held out; always the same rows, each class in its proportion.

    Inputs have shape (n, 1, 8, 8), float32 between 0 and 1. Rows keep the order of scikit-learn.

    >>> source = read_digits()
    >>> len(source.train), len(source.holdout), source.input_shape
    (1437, 360, (1, 8, 8))
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]  # a second's import

    images, targets = load_digits(return_X_y=True)
    classes = tuple(str(digit) for digit in range(10))
    held_out = stratified_rows(targets, HOLDOUT_ROWS, SPLIT_SEED)
    parts = []
    for rows in (without(len(targets), held_out), held_out):
        inputs = torch.from_numpy(images[rows]).float().div_(_BRIGHTEST).view(-1, 1, 8, 8)
        parts.append(Records(inputs, torch.from_numpy(targets[rows]).long(), classes=classes))
    return Source("digits", parts[0], parts[1], classes, input_shape=(1, 8, 8))

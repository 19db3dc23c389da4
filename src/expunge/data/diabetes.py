"""Diabetes patients that come with scikit-learn: 442 rows, ten numbers each; nothing is downloaded.

Source: B. Efron, T. Hastie, I. Johnstone, R. Tibshirani. "Least Angle Regression", Annals of Statistics 32(2), 2004; as
`sklearn.datasets.load_diabetes` gives it, not scaled.
"""

from expunge.data.records import Source
from expunge.data.table import source_from_frame

HELD_OUT = 0.25
TARGET = "progression"


def read_diabetes() -> Source:
    """The patients, 332 rows to train on and 110 held out; always the same rows.

    Inputs have shape (n, 10), float32: age, sex, body mass index `bmi`, blood pressure `bp`, and six measures of the blood
    `s1` to `s6`. The target is how far the disease went in the year after, a number from 25 to 346 without a unit.

    >>> source = read_diabetes()
    >>> len(source.train), len(source.holdout), source.input_shape, source.target.name
    (332, 110, (10,), 'progression')
    """
    from sklearn.datasets import load_diabetes  # type: ignore[import-untyped, unused-ignore]  # a second's import

    frame = load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": TARGET})
    return source_from_frame(frame, TARGET, "diabetes", holdout=HELD_OUT)

"""The embedded patients: real ones, standardised by the training rows, and always split alike."""

import hashlib

import numpy as np
from sklearn.datasets import load_diabetes

from expunge.data import available, load


def test_every_patient_is_there_once_with_the_values_of_scikit_learn():
    source, theirs = load("diabetes"), load_diabetes(scaled=False)
    assert available("diabetes") and source.classes == () and source.target.name == "progression"
    rows = np.concatenate([source.train.columns["row"], source.holdout.columns["row"]])
    assert sorted(rows) == list(range(442))
    for part in (source.train, source.holdout):
        row = part.columns["row"]
        assert np.array_equal(part.columns["progression"], theirs.target[row])
        for place, name in enumerate(theirs.feature_names):
            assert np.array_equal(part.columns[name], theirs.data[row, place])


def test_inputs_and_targets_are_standardised_by_the_training_rows():
    source, theirs = load("diabetes"), load_diabetes(scaled=False)
    train, held = source.train.columns["row"], source.holdout.columns["row"]
    mean, std = theirs.data[train].mean(0), theirs.data[train].std(0)
    assert np.allclose(source.holdout.inputs, (theirs.data[held] - mean) / std, atol=1e-5)
    mean, std = theirs.target[train].mean(), theirs.target[train].std()
    assert np.allclose(source.holdout.targets[:, 0], (theirs.target[held] - mean) / std, atol=1e-6)
    assert np.allclose(source.train.targets.mean(), 0, atol=1e-6)


def test_one_in_four_is_held_out_always_the_same_ones():
    source = load("diabetes")
    assert (len(source.train), len(source.holdout)) == (332, 110)
    digest = hashlib.sha256(np.sort(source.holdout.columns["row"]).astype(np.int64).tobytes()).hexdigest()
    assert digest[:16] == "829848e8eb14cc6b"  # another split would make old results incomparable

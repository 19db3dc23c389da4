"""The embedded digits: real ones, scaled, and always split alike."""

import hashlib

import numpy as np
import torch
from sklearn.datasets import load_digits

from expunge.data.digits import read_digits


def test_every_digit_is_there_once_and_scaled():
    source = read_digits()
    inputs = torch.cat([source.train.inputs, source.holdout.inputs])
    assert inputs.shape == (1797, 1, 8, 8) and inputs.dtype == torch.float32
    ours = sorted(map(bytes, (inputs * 16).to(torch.uint8).numpy()))
    theirs = sorted(map(bytes, load_digits().images.astype(np.uint8)))
    assert ours == theirs


def test_the_split_is_stratified_and_fixed():
    source = read_digits()
    all_counts = np.bincount(load_digits().target)
    held_counts = np.bincount(source.holdout.targets.numpy())
    assert np.abs(held_counts - all_counts * 360 / 1797).max() < 1
    assert torch.equal(source.holdout.inputs, read_digits().holdout.inputs)
    digest = hashlib.sha256(source.holdout.targets.numpy().tobytes()).hexdigest()
    assert digest[:16] == "a05d5a133b8017e5"  # another split would make old results incomparable


def test_targets_belong_to_their_images():
    source = read_digits()
    theirs = load_digits()
    by_image = dict(zip(map(bytes, theirs.images.astype(np.uint8)), theirs.target, strict=True))
    for inputs, target in source.holdout:
        assert by_image[bytes((inputs * 16).to(torch.uint8).numpy())] == target

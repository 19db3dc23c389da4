"""The synthetic protocol on the London faces: what must be told, and what must not."""

import os

import pytest
from torch.nn.functional import avg_pool2d

from expunge.search.faces import control_scores, linear_scores, person_folds, read_london

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set"),
]


def test_the_protocol_on_the_london_faces() -> None:
    london = read_london()
    found = control_scores(london.neutral, london.landmarks)
    accuracy = {name: 100 * each.accuracy for name, each in found.items()}
    assert found["running-mean"].support.tolist() == [102] * 3
    assert accuracy["running-mean"] >= 90
    assert accuracy["linear, onset to apex"] >= 92
    # Of 306 clips: the standard deviation of guessing is 2.7 points.
    for name in ("running-mean, zero amplitude", "linear"):
        assert 33.3 - 8 < accuracy[name] < 33.3 + 8
    assert accuracy["running-mean, shuffled"] < 45
    assert accuracy["mean frame"] < accuracy["apex frame"] < accuracy["apex less onset"]


def test_smiles_are_told_from_neutral_faces() -> None:
    faces = read_london().expressions()
    assert len(faces) == 204 and len(set(faces.persons)) == 102
    inputs = faces.tensor(lambda picture: avg_pool2d(picture, 4))
    folds = person_folds(faces.persons, faces.labels, 5)
    assert linear_scores(inputs, faces.labels, faces.classes, folds).accuracy > 0.95
    assert not faces.duplicates().groups

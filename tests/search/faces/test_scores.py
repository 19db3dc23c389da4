"""Scores by hand: counts are pooled over folds before anything is divided."""

import json

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.search.faces import pooled_scores, scores

CLASSES = ("negative", "positive", "surprise")


def test_scores_by_hand() -> None:
    found = scores([0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 2, 2], CLASSES)
    assert found.confusion.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found.f1.tolist() == pytest.approx([6 / 7, 2 / 4, 2 / 3])
    assert found.uf1 == pytest.approx((6 / 7 + 1 / 2 + 2 / 3) / 3)
    assert found.uar == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found.accuracy == pytest.approx(5 / 7)
    assert found.support.tolist() == [4, 2, 1]


def test_folds_are_pooled_and_not_averaged() -> None:
    folds = [([0, 0, 1], [0, 0, 0]), ([1, 2], [1, 2]), ([2], [0])]
    pooled = pooled_scores(folds, CLASSES)
    whole = scores([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 2, 0], CLASSES)
    assert pooled.uf1 == whole.uf1 == pytest.approx((2 * 2 / 6 + 2 / 3 + 2 / 3) / 3)
    assert np.array_equal(pooled.confusion, whole.confusion)
    assert pooled.uar != pytest.approx(np.mean([scores(*fold, CLASSES).uar for fold in folds]))


def test_a_class_without_samples_is_left_out_of_the_means() -> None:
    found = scores([0, 0, 1], [0, 2, 1], CLASSES)
    assert np.isnan(found.f1[2]) and np.isnan(found.recall[2])
    assert found.uar == pytest.approx(0.75)
    assert found.uf1 == pytest.approx((2 / 3 + 1) / 2)
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["classes"]["surprise"] == {"f1": None, "recall": None, "samples": 0}
    assert plain["confusion"][0] == [1, 0, 1]


@pytest.mark.parametrize(
    ("targets", "predictions", "said"),
    [
        ([], [], "there are 0 and 0"),
        ([0, 1], [0], "there are 2 and 1"),
        ([0, 3], [0, 1], "targets run from 0 to 3; with 3 classes"),
        ([0, 1], [-1, 1], "predictions run from -1"),
        ([0.5, 1], [0, 1], "class indices"),
        ([[0], [1]], [0, 1], r"\(2, 1\)"),
    ],
)
def test_wrong_input_is_refused(targets: list, predictions: list, said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        scores(targets, predictions, CLASSES)


def test_wrong_folds_are_refused() -> None:
    with pytest.raises(BadSetting, match="no folds"):
        pooled_scores([], CLASSES)
    with pytest.raises(BadSetting, match="fold 1 has 2 targets and 1 predictions"):
        pooled_scores([([0], [0]), ([0, 1], [1])], CLASSES)

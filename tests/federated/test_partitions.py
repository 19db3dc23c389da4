"""Partitions: every row is somebody's and nobody's twice, and how unlike clients are."""

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.federated import dirichlet, iid, pathological

LABELS = np.repeat(np.arange(10), 60)[np.random.default_rng(0).permutation(600)]
PARTITIONS = {
    "iid": lambda seed: iid(600, 7, seed),
    "dirichlet": lambda seed: dirichlet(LABELS, 7, 0.5, seed=seed),
    "pathological": lambda seed: pathological(LABELS, 7, 3, seed=seed),
}


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_row_is_one_clients(name):
    parts = PARTITIONS[name](0)
    assert len(parts) == 7 and sorted(np.concatenate(parts).tolist()) == list(range(600))
    assert all((np.diff(part) > 0).all() for part in parts)
    again, other = PARTITIONS[name](0), PARTITIONS[name](1)
    assert all(np.array_equal(one, two) for one, two in zip(parts, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(parts, other, strict=True))


def test_alike_clients_have_as_many_examples_of_each_class():
    assert sorted(map(len, iid(600, 7))) == [85, 85, 86, 86, 86, 86, 86]
    shares = [np.bincount(LABELS[part], minlength=10) / len(part) for part in dirichlet(LABELS, 4, 1000.0)]
    assert np.abs(np.array(shares) - 0.1).max() < 0.03


def test_the_smaller_alpha_the_less_alike():
    def largest(alpha: float) -> float:
        """Mean share of a client's commonest class, over draws."""
        parts = [part for seed in range(5) for part in dirichlet(LABELS, 5, alpha, seed=seed)]
        return float(np.mean([np.bincount(LABELS[part]).max() / len(part) for part in parts]))

    assert largest(0.1) > largest(0.5) + 0.1 > largest(5.0) + 0.2


def test_every_client_has_enough():
    assert min(map(len, dirichlet(LABELS, 10, 0.1, fewest=20, seed=3))) >= 20


def test_a_client_has_so_many_classes_and_every_class_is_had():
    parts = pathological(LABELS, 10, 2)
    assert all(len(set(LABELS[part])) == 2 for part in parts)
    owners = [sum(label in LABELS[part] for part in parts) for label in range(10)]
    assert owners == [2] * 10
    uneven = pathological(LABELS, 7, 3, seed=5)
    assert all(len(set(LABELS[part])) == 3 for part in uneven)
    assert {sum(label in LABELS[part] for part in uneven) for label in range(10)} == {2, 3}
    assert all(len(set(LABELS[part])) == 10 for part in pathological(LABELS, 3, 10))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: iid(3, 4), "3 examples are too few for 4 clients with at least 1 each"),
        (lambda: iid(3, 0), "at least 1 client, not 0"),
        (lambda: dirichlet(LABELS, 7, 0.0), "alpha must be above 0, not 0"),
        (lambda: dirichlet(LABELS, 7, 0.5, fewest=90), "600 examples are too few for 7 clients with at least 90 each"),
        (
            lambda: dirichlet(LABELS[:50], 5, 0.01, fewest=10),
            "some client always had fewer than 10 of 50 examples",
        ),
        (lambda: pathological(LABELS, 7, 11), "a client can have 1 to 10 classes, not 11"),
        (lambda: pathological(LABELS, 3, 2), "3 clients with 2 classes each cannot have all 10 classes"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(call, message):
    with pytest.raises(BadSetting, match=message):
        call()

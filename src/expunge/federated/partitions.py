"""How a data set is dealt out to clients: alike, by shares of classes, or a few classes each.

    dirichlet      for each class, shares of the clients p ~ Dir(alpha, ..., alpha); the smaller alpha, the less alike
    pathological   each client has examples of so many classes
    iid            each client has as many examples, drawn at random

Reference: T. Hsu, H. Qi, M. Brown. "Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification", arXiv 1909.06335, of shares of classes; B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas.
"Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017, arXiv 1602.05629, of few classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expunge.errors import BadSetting

Rows = NDArray[np.int64]
_TRIES = 1000


def iid(examples: int, clients: int, seed: int = 0) -> list[Rows]:
    """Rows of each client, sorted: as many for each, but for the remainder.

    Raises:
        BadSetting: if there are fewer examples than clients.
    """
    _check(examples, clients)
    order = np.random.default_rng(seed).permutation(examples)
    return [np.sort(part) for part in np.array_split(order, clients)]


def dirichlet(
    labels: Sequence[int] | NDArray[np.int64], clients: int, alpha: float, fewest: int = 10, seed: int = 0
) -> list[Rows]:
    """Rows of each client, sorted; drawn again until each has enough.

    Args:
        labels: class of each example.
        alpha: above 0: at 100 clients are alike, at 0.1 most have one or two classes.
        fewest: examples that each client has at least.

    Raises:
        BadSetting: if there are too few examples, or so small an alpha that some client always has too few.
    """
    classes = _check(len(labels), clients, fewest, np.asarray(labels))
    if alpha <= 0:
        raise BadSetting(f"alpha must be above 0, not {alpha}")
    generator = np.random.default_rng(seed)
    for _ in range(_TRIES):
        parts: list[list[Rows]] = [[] for _ in range(clients)]
        for rows in classes:
            shares = generator.dirichlet(np.full(clients, alpha))
            ends = np.round(shares.cumsum()[:-1] * len(rows)).astype(int)
            for part, piece in zip(parts, np.split(generator.permutation(rows), ends), strict=True):
                part.append(piece)
        found = [np.sort(np.concatenate(part)) for part in parts]
        if min(map(len, found)) >= fewest:
            return found
    raise BadSetting(
        f"in {_TRIES:,} draws some client always had fewer than {fewest} of {len(labels):,} examples; take a larger alpha than "
        f"{alpha:g}, fewer clients than {clients}, or a smaller `fewest`"
    )


def pathological(labels: Sequence[int] | NDArray[np.int64], clients: int, classes: int = 2, seed: int = 0) -> list[Rows]:
    """Rows of each client, sorted: each has examples of so many classes, and each class is had by as many clients, or one more.

    Raises:
        BadSetting: if there are more classes for a client than there are, or classes that nobody would have.
    """
    rows_of = _check(len(labels), clients, 1, np.asarray(labels))
    if not 1 <= classes <= len(rows_of):
        raise BadSetting(f"a client can have 1 to {len(rows_of)} classes, not {classes}")
    if clients * classes < len(rows_of):
        raise BadSetting(f"{clients} clients with {classes} classes each cannot have all {len(rows_of)} classes")
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(rows_of))
    owners: list[list[int]] = [[] for _ in rows_of]  # dealt out in turn: neighbours in `order` are different classes
    for place in range(clients * classes):
        owners[order[place % len(rows_of)]].append(place // classes)
    parts: list[list[Rows]] = [[] for _ in range(clients)]
    for rows, who in zip(rows_of, owners, strict=True):
        for client, piece in zip(who, np.array_split(generator.permutation(rows), len(who)), strict=True):
            parts[client].append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def _check(examples: int, clients: int, fewest: int = 1, labels: NDArray[np.int64] | None = None) -> list[Rows]:
    """The rows of each class; none without labels."""
    if clients < 1:
        raise BadSetting(f"there must be at least 1 client, not {clients}")
    if examples < clients * fewest:
        raise BadSetting(f"{examples:,} examples are too few for {clients} clients with at least {fewest} each")
    return [] if labels is None else [np.flatnonzero(labels == label) for label in np.unique(labels)]

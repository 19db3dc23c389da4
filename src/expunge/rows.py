"""Rows of a recommender's weights that are one user's or one item's alone, and putting them back to what was never trained.

    theta[u] <- theta_fresh[u],    theta[i] <- theta_fresh[i]        for users u and items i that nothing is left of

A user who goes, or whose pairs all go, has left in these rows what nobody else has a part in; of a retrained model they are as
they were drawn, since no training pair reaches them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Nothing:
    """Of whom and of what nothing is left: numbers, sorted.

    Args:
        users: who is gone, or had pairs and has none now.
        items: likewise.
        features: for each modality, the items whose features are gone, and those of `items`.
    """

    users: Tensor
    items: Tensor
    features: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Rows:
    """The parameters of a model that have a row for each user, for each item, and for each item's features by modality."""

    users: list[nn.Parameter]
    items: list[nn.Parameter]
    features: Mapping[str, nn.Parameter]


def nothing_left(interactions: Interactions) -> Nothing:
    """Of whom and of what nothing is left in some interactions that were cut from others.

    >>> whole = Interactions.of(3, 3, [[0, 0], [0, 1], [1, 0]])
    >>> left = nothing_left(whole.without(torch.tensor([1])))  # who never had a pair is not among them
    >>> left.users.tolist(), left.items.tolist()
    ([], [1])
    """
    whole = interactions.whole
    users, items = (
        torch.cat([gone, ((before > 0) & (now == 0)).nonzero().flatten()]).unique()
        for gone, before, now in (
            (interactions.gone_users, whole.activity, interactions.activity),
            (interactions.gone_items, whole.popularity, interactions.popularity),
        )
    )
    gone = {name: interactions.gone_features.get(name, items[:0]) for name in interactions.features}
    return Nothing(users, items, {name: torch.cat([each, items]).unique() for name, each in gone.items()})


def rows_of(model: nn.Module, interactions: Interactions) -> Rows:
    """The rows of a model: those that it names, or the parameters that are as long as there are users (or items).

    A model names them in its attributes `user_rows` and `item_rows`: a parameter itself, or a list of the names of parameters,
    which may be empty. One of :mod:`expunge.models` does.

    Raises:
        BadSetting: if the model does not name them and it can't be told, or what it names is no such parameter.
    """
    found: list[list[nn.Parameter]] = []
    for what, size, other in (
        ("user", interactions.users, interactions.items),
        ("item", interactions.items, interactions.users),
    ):
        named = getattr(model, f"{what}_rows", None)
        if isinstance(named, nn.Parameter):
            found.append([named])
        elif named is not None:
            found.append(_named(model, named, what, size))
        else:
            found.append(_as_long_as(model, what, size, other))
    of_features: Mapping[str, nn.Parameter] = getattr(model, "rows_of_features", dict)()
    return Rows(found[0], found[1], of_features)


def reset(model: nn.Module, fresh: nn.Module, interactions: Interactions) -> nn.Module:
    """Put the rows of all of whom nothing is left back to those of a model with fresh weights; in place.

    What was trained of features that are gone is put back likewise.

    Args:
        model: trained; with rows that :func:`rows_of` finds.
        fresh: of the same architecture.
        interactions: what is left; which users and items that concerns is told by :func:`nothing_left`.

    Returns:
        the model.
    """
    left = nothing_left(interactions)
    pairs: list[tuple[nn.Parameter, nn.Parameter, Tensor]] = []
    if len(left.users) or len(left.items) or any(map(len, left.features.values())):
        ours, theirs = (rows_of(each, interactions) for each in (model, fresh))
        for kind, which in (("users", left.users), ("items", left.items)):
            pairs += [(*both, which) for both in zip(getattr(ours, kind), getattr(theirs, kind), strict=True)]
        pairs += [(values, theirs.features[name], left.features[name]) for name, values in ours.features.items()]
    with torch.no_grad():
        for values, new, rows in pairs:
            values[rows] = new[rows.to(new.device)].to(values)
    return model


def _named(model: nn.Module, names: Any, what: str, size: int) -> list[nn.Parameter]:
    known = dict(model.named_parameters())
    fits = isinstance(names, list | tuple) and all(name in known and known[name].shape[:1] == (size,) for name in names)
    if not fits:
        raise BadSetting(
            f"{type(model).__name__}.{what}_rows is {names!r:.80}; expected a list of names of parameters "
            f"with one row for each of {size:,} {what}s"
        )
    return [known[name] for name in names]


def _as_long_as(model: nn.Module, what: str, size: int, other: int) -> list[nn.Parameter]:
    found = [value for value in model.parameters() if value.shape[:1] == (size,)]
    if size == other or not found:
        why = f"there are {size:,} users and as many items" if size == other else f"no parameter has {size:,} rows"
        raise BadSetting(
            f"it can't be told which weights of {type(model).__name__} are those of single {what}s: {why}; "
            f"give it an attribute `{what}_rows` with the names of its parameters that have one row for each {what}"
        )
    return found

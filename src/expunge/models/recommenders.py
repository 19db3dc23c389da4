"""Recommenders by name, and the user's own, by import string."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.importing import import_callable
from expunge.interactions import Interactions
from expunge.models.bpr_mf import BPRMF
from expunge.models.freedom import FREEDOM
from expunge.models.lightgcn import LightGCN
from expunge.models.making import maker
from expunge.models.mgcn import MGCN
from expunge.models.recommender import Recommender
from expunge.models.vbpr import VBPR

RECOMMENDERS: dict[str, type[Recommender]] = {
    "mgcn": MGCN,
    "freedom": FREEDOM,
    "vbpr": VBPR,
    "light-gcn": LightGCN,
    "bpr-mf": BPRMF,
}


def build_recommender(name: str, interactions: Interactions, **arguments: Any) -> Callable[[], nn.Module]:
    """A function that makes a recommender with fresh weights each time it is called.

    Args:
        name: one of :data:`RECOMMENDERS`, or an import string ``package.module:factory`` of a function or class that is called
            with `users` and `items`, the numbers of them, and returns an `nn.Module` with ``(user_ids, item_ids) -> scores``,
            all of shape (n,).
        interactions: what the recommender is for.
        arguments: hyper-parameters, such as ``dim=32``.

    Raises:
        BadSetting: if the recommender is not known, or cannot be built so.

    >>> build_recommender("bpr-mf", Interactions.of(2, 3, [[0, 0]]), dim=4)().user_rows.shape
    torch.Size([2, 4])
    """
    factory: Callable[..., nn.Module]
    if name in RECOMMENDERS:
        factory, given = RECOMMENDERS[name], {"interactions": interactions, **arguments}
    elif ":" in name:
        factory, given = import_callable(name), {"users": interactions.users, "items": interactions.items, **arguments}
    else:
        raise BadSetting(
            f"there is no recommender '{name}'; take one of {', '.join(RECOMMENDERS)}, "
            "or an import string 'package.module:factory'"
        )

    new_model = maker(name, factory, given, arguments)
    if name in RECOMMENDERS:
        with torch.random.fork_rng(devices=[]):
            new_model()  # says what is wrong now
    return new_model

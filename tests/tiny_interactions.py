"""Small interactions with planted tastes, and recommenders that learn them in a second."""

from functools import cache

import torch
from torch import Tensor, nn

from expunge.data.interaction_splits import InteractionSplit, split_interactions
from expunge.engine import Engine
from expunge.interactions import Interactions, PairBatches, Removal
from expunge.methods import Retrain
from expunge.models.recommenders import build_recommender
from expunge.optimizers import Optimizer
from expunge.tasks import RecommendationTask

USERS, ITEMS, TASTES = 60, 80, 4
RECIPE = Retrain(epochs=15, optimizer=Optimizer("adam", 2e-2), schedule="constant")


def taste_of(numbers: Tensor) -> Tensor:
    """The taste of each user, and the kind of each item."""
    return numbers % TASTES


@cache
def clicks(seed: int = 0) -> Interactions:
    """Users choose mostly items of their taste; two modalities say, with noise, which kind an item is of."""
    generator = torch.Generator().manual_seed(seed)
    users, items = torch.arange(USERS), torch.arange(ITEMS)
    same = taste_of(users).unsqueeze(1) == taste_of(items).unsqueeze(0)
    pairs = (torch.rand(USERS, ITEMS, generator=generator) < torch.where(same, 0.5, 0.03)).nonzero()
    kinds = torch.nn.functional.one_hot(taste_of(items), TASTES).float()
    features = {
        "image": torch.cat([kinds, torch.randn(ITEMS, 4, generator=generator)], 1),
        "text": kinds + 0.3 * torch.randn(ITEMS, TASTES, generator=generator),
    }
    return Interactions.of(USERS, ITEMS, pairs, features)


@cache
def parts(seed: int = 0) -> InteractionSplit:
    """Pairs to train on, to validate on and to test on."""
    return split_interactions(clicks(seed), 0.15, 0.15, seed=seed, batch_size=256)


def removal(kind: str, seed: int = 0) -> Removal:
    """Three users, four items, thirty pairs, or the pictures of four items."""
    if kind == "users":
        return Removal(users=torch.tensor([1, 6, 11]))
    if kind == "items":
        return Removal(items=torch.tensor([0, 5, 10, 15]))
    if kind == "features":
        return Removal(features={"image": torch.tensor([0, 5, 10, 15])})
    return Removal(
        rows=torch.randperm(len(parts(seed).train), generator=torch.Generator().manual_seed(seed))[:30].sort().values
    )


@cache
def task(network: str = "mgcn") -> RecommendationTask:
    """A small recommender of one kind."""
    return RecommendationTask(build_recommender(network, parts().train, dim=16))


@cache
def _trained(network: str) -> nn.Module:
    return RECIPE.train(task(network), parts().training(), Engine(0))


def trained(network: str = "mgcn") -> nn.Module:
    """One that has learned the training pairs; not to be changed."""
    return _trained(network)


def stream(pairs: Tensor, **settings: int) -> PairBatches:
    """Some pairs, read on the training interactions."""
    return PairBatches(parts().train, pairs, **settings)

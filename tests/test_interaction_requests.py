"""Requests on interactions: what goes, and what is refused."""

import pytest
import torch

import tiny_interactions as tiny
from expunge.errors import BadRequest
from expunge.interactions import Interactions
from expunge.requests import ForgetFeatures, ForgetItems, ForgetPairs, ForgetUsers, InteractionContext

CLICKS = Interactions.of(4, 4, [[0, 0], [0, 1], [1, 1], [2, 2]], {"image": [[1.0], [0.0], [2.0], [3.0]]})
NAMED = InteractionContext(CLICKS, ("ada", "bo", "cy", "di"), ("film", "song", "book", "game"), test=torch.tensor([[1, 3]]))
DRAWN = InteractionContext(tiny.parts().train)


def test_names_and_numbers_name_the_same():
    assert ForgetUsers(("cy", "ada")).removal(NAMED).users.tolist() == [0, 2]
    assert ForgetUsers((2, 0)).removal(NAMED).users.tolist() == [0, 2]
    assert ForgetItems(("song",)).removal(NAMED).items.tolist() == [1]
    assert ForgetPairs((("bo", "song"), ("ada", "film"))).removal(NAMED).rows.tolist() == [0, 2]
    assert ForgetFeatures("image", ("film",)).removal(NAMED).features["image"].tolist() == [0]


@pytest.mark.parametrize("kind", [ForgetUsers, ForgetItems])
def test_a_draw_is_of_those_who_have_pairs_and_follows_its_seed(kind):
    first, again, other = (kind(fraction=0.2, seed=seed).removal(DRAWN) for seed in (1, 1, 2))
    what = "users" if kind is ForgetUsers else "items"
    drawn = getattr(first, what)
    assert torch.equal(drawn, getattr(again, what)) and not torch.equal(drawn, getattr(other, what))
    counts = DRAWN.interactions.activity if kind is ForgetUsers else DRAWN.interactions.popularity
    assert (counts[drawn] > 0).all() and len(drawn) == int(0.2 * (counts > 0).sum())


def test_a_draw_of_pairs_has_the_share_asked_for():
    assert len(ForgetPairs(fraction=0.05).removal(DRAWN).rows.unique()) == int(0.05 * len(DRAWN.interactions))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ForgetUsers(("eve",)), "user 'eve' is not known"),
        (ForgetUsers(("di",)), "di"),
        (ForgetItems((9,)), "item 9 is not there"),
        (ForgetItems(("game",)), "game"),
        (ForgetPairs((("bo", "film"),)), "is no pair that is trained on"),
        (ForgetPairs((("bo", "song"), ("bo", "song"))), "listed more than once"),
        (ForgetPairs((("bo", "game"),)), "held out for testing"),
        (ForgetFeatures("sound", ("film",)), "there are no features 'sound' to forget; there are image"),
        (ForgetFeatures("image", ("song",)), "song"),
        (ForgetFeatures("image", ("game",)), "nobody chose"),
        (ForgetUsers(fraction=9), "9"),
    ],
)
def test_what_is_not_there_cannot_be_forgotten(request_, message):
    with pytest.raises(BadRequest, match=message):
        request_.removal(NAMED)


@pytest.mark.parametrize("kind", [ForgetUsers, ForgetItems, ForgetPairs])
def test_a_request_lists_or_draws(kind):
    with pytest.raises(BadRequest, match="and not both"):
        kind()
    with pytest.raises(BadRequest, match="between 0 and 1"):
        kind(fraction=-0.5)


def test_a_request_may_take_all_pairs_of_a_user():
    left = ForgetPairs((("ada", "film"), ("ada", "song"))).removal(NAMED).left(CLICKS)
    assert left.activity.tolist() == [0, 1, 1, 0] and left.served.all()

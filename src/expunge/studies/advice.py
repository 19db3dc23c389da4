"""Which method to begin with, when nobody has tried any on this model yet.

Shrink and perturb, with settings that follow from the recipe of the model, was the one that matched retraining on every check
of the regression study's quick budget, for a band of the target and for single records, and on its forecasts, at a fifth of the
time; in classification it came nearest on CIFAR-10. Single records have been learned by heart: they need fewer of the trained
weights in the blend than a kind of thing, of which the rest knows nothing. It falls short where a large part of what a network
has memorised must go (the study's sentences): look at the attack before you trust it.

For recommenders it is level scores: users and items that go lose the rows that are theirs alone, which costs nothing, and
single pairs are brought to the level of pairs that were never seen.
"""

from typing import Literal

from expunge.methods import D2DGN, LevelScores, Method, Retrain, ShrinkPerturb

Predicts = Literal["links", "nodes", "rankings"]

KEEP_FOR_RECORDS = 0.5


def recommended(recipe: Retrain, kind: bool, predicts: Predicts | None = None) -> Method:
    """The method to try first.

    Args:
        recipe: what the model was trained with.
        kind: whether a kind of thing goes (a class, a band), of which unseen examples can be told apart; false for single
            records.
        predicts: what a network is for: on a graph "links" or "nodes", a recommender "rankings"; None for any other.

    >>> recommended(Retrain(epochs=40), kind=False).keep
    0.5
    """
    match predicts:
        case "links":
            return D2DGN()
        case "nodes":
            return D2DGN.for_nodes(recipe)
        case "rankings":
            return LevelScores()
    return ShrinkPerturb.from_recipe(recipe) if kind else ShrinkPerturb.from_recipe(recipe, keep=KEEP_FOR_RECORDS)

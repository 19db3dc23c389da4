"""Full ranking on scores written by hand, what each model reads and is masked by, and every audit on planted tastes."""

import copy
import math
from functools import cache

import pytest
import torch
from torch import nn

import tiny_interactions
from expunge.audits import AUDITS, RMIA, Accuracy, Figure, LiRA, Ranking, References, Relearning, RunTime, Subject
from expunge.audits.ranking import asked, lists_of
from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.interactions import Interactions, Removal
from expunge.models.recommender import Recommender
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.studies.comparison import default_audits
from expunge.tasks import RecommendationTask

TRAIN = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 3), (3, 3)]
TEST = [(0, 2), (0, 4), (1, 0), (2, 1), (3, 0)]
TABLE = [
    [9.0, 9.0, 5.0, 1.0, 2.0, 3.0],  # without 0 and 1 the list is 2, 5: of 2 and 4 it has the first
    [1.0, 9.0, 9.0, 2.0, 3.0, 0.0],  # without 1 and 2: 4, 3, and not 0
    [0.0, 4.0, 5.0, 0.0, 0.0, 0.0],  # without 0 and 3: 2, 1, and 1 is second
    [7.0, 0.0, 0.0, 8.0, 9.0, 0.0],  # who went: 4, 3, with 3 that had to go, without 0 that was held out
]
LOG3 = math.log2(3)


def values(audit, subject, *golds) -> dict[str, float | None]:
    return {name: figure.value for name, figure in audit(subject, References(retrained=golds)).items()}


def of_lists(found):
    return {name: value for name, value in found.items() if "pair_auc" not in name}


# ---- by hand ------------------------------------------------------------------------------------------------------------


def test_all_figures_of_lists_by_hand(shop):
    made = shop(4, 6, TRAIN, TEST, Removal(users=torch.tensor([3])))
    assert of_lists(values(Ranking(k=2), made.subject(TABLE))) == pytest.approx(
        {
            "recall": (1 / 2 + 0 + 1) / 3,
            "ndcg": (1 / (1 + 1 / LOG3) + 0 + 1 / LOG3) / 3,
            "precision": (1 / 2 + 0 + 1 / 2) / 3,
            "map": (1 / 2 + 0 + 1 / 2) / 3,
            "recall_cold_users": (1 / 2 + 0 + 1) / 3,  # nobody who stays has more than 3 pairs
            "recall_cold_items": 0.0,  # of 4, which nobody chose
            "forget_recall": 1.0,
            "unseen_recall": 0.0,
        }
    )


def test_the_retrained_models_figures_are_ideal_and_pair_auc_has_its_gap(shop):
    made = shop(4, 6, TRAIN, TEST, Removal(users=torch.tensor([3])))
    gold = made.subject(torch.zeros(4, 6))
    found = Ranking(k=2)(made.subject(TABLE), References(retrained=(gold,)))
    mine, ideal = values(Ranking(k=2), made.subject(TABLE)), values(Ranking(k=2), gold)
    assert found.keys() == Ranking.figures.keys()
    assert {name: figure.ideal for name, figure in found.items() if "gap" not in name} == ideal
    assert {name: figure.value for name, figure in found.items() if "gap" not in name} == mine
    assert ideal["forget_pair_auc"] == 0.5, "all scores are alike"
    gap = mine["forget_pair_auc"] - 0.5
    assert gap != 0 and found["forget_pair_auc_gap"] == Figure(pytest.approx(gap), 0.0)
    assert Accuracy()(made.subject(TABLE), References(retrained=(gold,))) == {}, "it is said here"


def test_equal_scores_recommend_the_first_items(shop):
    made = shop(4, 6, TRAIN, TEST, Removal(users=torch.tensor([3])))
    assert lists_of(made.subject(torch.zeros(4, 6)), 2).tolist() == [[2, 3], [0, 3], [1, 2], [0, 1]]


def test_lists_of_one_item_and_of_more_than_there_are(shop):
    made = shop(4, 6, TRAIN, TEST, Removal(users=torch.tensor([3])))
    assert values(Ranking(k=1), made.subject(TABLE))["recall"] == pytest.approx((1 / 2 + 0 + 0) / 3)
    most = values(Ranking(k=50), made.subject(TABLE))
    assert (most["recall"], most["unseen_recall"], most["forget_recall"]) == (1.0, 1.0, 1.0)
    assert most["precision"] == pytest.approx((2 + 1 + 1) / 3 / 50)


def test_cold_users_and_items_are_told_apart_from_others(shop):
    busy = [(0, item) for item in range(4)]
    made = shop(3, 6, [*busy, (1, 0), (1, 1), (1, 2), (2, 0)], [(0, 4), (1, 3), (1, 5)], Removal(users=torch.tensor([2])))
    table = [[0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 2], [0] * 6]
    found = values(Ranking(k=1), made.subject(table))
    assert found["recall"] == (1 + 1 / 2) / 2
    assert found["recall_cold_users"] == 1 / 2, "user 1 has three pairs, user 0 has four"
    assert found["recall_cold_items"] == 1.0, "items 4 and 5, one of each user; 3 is known"
    known = shop(3, 6, [*busy, (0, 4), (0, 5), (2, 0)], [], Removal(users=torch.tensor([2])))
    assert of_lists(values(Ranking(), known.subject(table))).keys() == {"forget_recall"}, "nothing else is defined"


def test_a_held_out_item_that_is_not_offered_is_not_missed(shop):
    made = shop(3, 4, [(0, 0), (1, 0), (1, 1), (2, 1)], [(0, 3), (0, 2), (1, 3)], Removal(items=torch.tensor([3])))
    found = values(Ranking(k=1), made.subject([[0, 0, 1, 9], [0, 0, 0, 9], [0] * 4]))
    assert found["recall"] == 1.0, "3 is gone, and user 1 held out nothing else"
    assert found["unseen_recall"] == 1.0, "but the model is asked about it"


# ---- what is left out, and what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [False, True], ids=["after", "as trained"])
def test_pairs_that_went_are_not_left_out_of_lists_and_those_that_stay_are(shop, before):
    """Of an original as well, whose stream holds the pairs that go."""
    made = shop(2, 4, [(0, 0), (0, 1), (1, 0)], [(0, 2)], Removal(rows=torch.tensor([1])))
    subject = made.subject([[9, 8, 1, 0], [0] * 4], before)
    assert lists_of(subject, 2)[0].tolist() == [1, 2]
    assert of_lists(values(Ranking(k=1), subject))["forget_recall"] == 1.0
    assert lists_of(made.subject([[9, -1, 1, 0], [0] * 4], before), 2)[0].tolist() == [2, 3]


@pytest.mark.parametrize("before", [False, True], ids=["after", "as trained"])
def test_gone_items_are_in_no_list_but_in_those_that_ask_the_model_about_them(shop, before):
    made = shop(2, 4, [(0, 0), (0, 3), (1, 0), (1, 1)], [(1, 3), (1, 2)], Removal(items=torch.tensor([3])))
    subject = made.subject([[9, 1, 0, 8], [0, 9, 1, 8]], before)
    assert lists_of(subject, 2).tolist() == [[1, 2], [2, -1]]
    assert lists_of(subject, 2, offered=False).tolist() == [[3, 1], [3, 2]]
    found = values(Ranking(k=1), subject)
    assert (found["recall"], found["forget_recall"], found["unseen_recall"]) == (1.0, 1.0, 1.0)


class Popular(Recommender):
    """Recommends what most users chose in the interactions that it reads."""

    def propagate(self, interactions: Interactions) -> Interactions:
        return interactions

    def read(self, state, users, items):
        return torch.ones(len(users), 1), state.popularity[items].unsqueeze(1), None


def test_an_original_reads_what_was_there_before_and_others_what_is_left(shop):
    made = shop(4, 3, [(0, 0), (1, 1), (2, 2), (3, 2)], [(0, 1)], Removal(users=torch.tensor([2, 3])))
    model = Popular(made.train, dim=1)
    before, after = made.model(model, before=True), made.model(model)
    assert asked(before).read is made.train and asked(before).left is asked(after).left is asked(after).read
    assert [lists_of(each, 1)[0].tolist() for each in (before, after)] == [[2], [1]], "users 2 and 3 chose item 2"
    assert made.task.lists(model, asked(before).read, torch.tensor([0]), 1, asked(before).left).tolist() == [[2]]


def test_features_that_go_take_no_pairs_along(shop):
    features = {"image": torch.eye(4)}
    made = shop(2, 4, [(0, 0), (0, 1), (1, 0)], [(0, 2), (1, 1)], Removal(features={"image": torch.tensor([1])}), features)
    found = of_lists(values(Ranking(k=1), made.subject([[0, 9, 1, 0], [0, 9, 1, 0]])))
    assert "forget_recall" not in found, "all pairs stay, and are left out of lists"
    assert (found["recall"], found["unseen_recall"]) == (1.0, 1.0), "user 1 held out item 1"


def test_nothing_is_ranked_twice(shop):
    asked_for = []

    class Watching(RecommendationTask):
        def ranker(self, model, interactions):
            inner = super().ranker(model, interactions)

            def scores(users):
                asked_for.extend(users.tolist())
                return inner(users)

            return scores

    made = shop(4, 6, TRAIN, TEST, Removal(users=torch.tensor([3])), task=Watching)
    subject, gold = made.subject(TABLE), made.subject(torch.zeros(4, 6))
    for audit in ("ranking", "list-overlap", "neighbours", "feature-recovery"):
        for each in (subject, gold):
            AUDITS[audit]()(each, References(retrained=(gold,)))
    assert sorted(asked_for) == sorted([0, 1, 2, 3] * 2)


# ---- what is refused ----------------------------------------------------------------------------------------------------


def test_other_tasks_streams_and_lists_of_nothing_are_refused(shop, stage):
    with pytest.raises(WrongTask, match="the audit ranking works on RecommendationTask, not on ClassificationTask"):
        Ranking()(stage({"forget": [0], "retain": [1]}).answering({}))
    for name in ("ranking", "list-overlap", "neighbours"):
        with pytest.raises(BadSetting, match="k must be at least 1, not 0"):
            AUDITS[name](k=0)
    made = shop(4, 6, TRAIN, TEST)
    split = Split(list(made.split.forget), list(made.split.retain))
    subject = Subject("foreign", made.subject(TABLE).model, made.task, split, made.engine)
    with pytest.raises(BadSetting, match="lists are made from PairBatches, which say who chose what; the split has a list"):
        Ranking()(subject)


# ---- all audits, on planted tastes --------------------------------------------------------------------------------------

QUICK = Relearning(cap=3, optimizer=Optimizer("adam", 1e-2))
SETTINGS = {"membership": {"resamples": 2}, "relearning": {"cap": 3}, "anamnesis": {"relearning": QUICK}}
KINDS = ("users", "items", "pairs", "features")
LACKING = {
    "users": {"recall_cold_users", "recall_cold_items", "feature_cosine"},
    "items": {"recall_cold_users", "recall_cold_items"},
    "pairs": {"recall_cold_users", "recall_cold_items", "feature_cosine"},
    "features": {"recall_cold_users", "recall_cold_items", "forget_recall", "neighbour_recall"},
}


@cache
def world(kind: str) -> tuple[Subject, tuple[Subject, Subject]]:
    """The original and two retrained models, of embeddings alone, which learn by heart."""
    task, split = tiny_interactions.task("bpr-mf"), tiny_interactions.parts().without(REMOVED[kind])
    engine = Engine(progress=False)
    original = Subject("original", tiny_interactions.trained("bpr-mf"), task, task.as_trained(split), engine, seconds=5.0)
    golds = [
        Subject("retrained", tiny_interactions.RECIPE.train(task, split.retain, Engine(seed)), task, split, engine, seconds=4.0)
        for seed in (1, 2)
    ]
    return original, (golds[0], golds[1])


def popular_items() -> torch.Tensor:
    """Four items with held-out pairs."""
    return torch.bincount(tiny_interactions.parts().test[:, 1]).topk(4).indices.sort().values


REMOVED = {
    "users": tiny_interactions.removal("users"),
    "items": Removal(items=popular_items()),
    "pairs": tiny_interactions.removal("pairs"),
    "features": Removal(features={"image": popular_items()}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_audit_gives_its_figures_and_explains_them(kind):
    original, golds = world(kind)
    everything = set()
    for audit in default_audits(original.task):
        audit = type(audit)(**SETTINGS.get(audit.name, {}))
        for subject in (original, *golds):
            found = audit(subject, References(original, golds))
            if not isinstance(audit, Accuracy | LiRA | RMIA):  # those that train shadows are asked for
                assert found.keys() <= set(audit.figures), audit.name
                everything |= set(audit.figures) - found.keys()
            for name, figure in found.items():
                if figure.value is None:
                    assert figure.note.startswith("not defined"), name
                else:
                    assert math.isfinite(figure.value) and math.isfinite(figure.ideal), name
    assert everything == LACKING[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_retrained_model_itself_stands_at_every_ideal(kind):
    original, golds = world(kind)
    for audit in default_audits(original.task):
        if not isinstance(audit, RunTime):
            found = type(audit)(**SETTINGS.get(audit.name, {}))(golds[0], References(original, golds[:1]))
            defined = [figure for figure in found.values() if figure.value is not None]
            assert all(figure.value == pytest.approx(figure.ideal, abs=1e-6) for figure in defined), audit.name


def test_recommenders_have_the_audits_that_make_sense_for_them():
    assert {audit.name for audit in default_audits(tiny_interactions.task())} == {
        "accuracy",
        "ranking",
        "list-overlap",
        "neighbours",
        "feature-recovery",
        "membership",
        "lira",
        "rmia",
        "relearning",
        "anamnesis",
        "run-time",
    }


@pytest.mark.parametrize("kind", ["users", "items", "pairs"])
def test_the_original_is_found_out(kind):
    """It recommends again what had to go, and has it by heart; a retrained model does not."""
    original, golds = world(kind)
    references = References(original, golds)
    found = Ranking()(original, references)
    assert found["forget_recall"].value > found["forget_recall"].ideal + 0.3
    assert found["recall"].value == pytest.approx(found["recall"].ideal, abs=0.2)
    attack = AUDITS["membership"](resamples=2)(original, references)["membership_auc"]
    assert attack.value > attack.ideal + 0.2


def test_audits_leave_the_model_and_its_mode_alone():
    original, golds = world("items")
    subject = Subject("fresh", copy.deepcopy(original.model).train(), original.task, original.split, original.engine)
    before = copy.deepcopy(subject.model.state_dict())
    for name in ("ranking", "list-overlap", "neighbours", "feature-recovery"):
        AUDITS[name]()(subject, References(original, golds))
    assert subject.model.training and isinstance(subject.model, nn.Module)
    assert all(torch.equal(before[name], value) for name, value in subject.model.state_dict().items())

"""Advice on tiny models: what it takes, when it says to retrain, what it claims without proof, and how it resumes."""

import copy
import json
from dataclasses import dataclass, field, replace

import pytest
from torch import nn

import tiny_federations
import tiny_graphs
import tiny_interactions
from expunge import Engine
from expunge.errors import BadRequest, BadSetting, WrongTask
from expunge.methods import (
    SISA,
    FederatedRetrain,
    Finetune,
    GradientAscent,
    LevelScores,
    Method,
    NegGradPlus,
    Retrain,
    ShrinkPerturb,
)
from expunge.report.evidence import Case, Row, Value
from expunge.split import Batches, Split
from expunge.studies.advice import recommended
from expunge.studies.advising.advising import advise, judging
from expunge.studies.advising.candidates import WITHOUT_DATA, best_guess, choose, kind_of, passes
from expunge.studies.advising.unseen import beside_unseen
from expunge.studies.comparison import compare
from tiny import RECIPE, band_split, blobs, class_split, original, regression_task, same_weights, task

NOTHING = Finetune(epochs=0)  # leaves the model as it is


@dataclass(frozen=True)
class Given(Method):
    """Gives a model that is there already, and says so."""

    made: nn.Module = field(default_factory=nn.Identity, repr=False)
    asked: list[str] = field(default_factory=list, repr=False)

    def unlearn(self, student, task, split, engine):
        self.asked.append("given")
        return copy.deepcopy(self.made)


@dataclass(frozen=True)
class Killed(Method):
    """Is killed the first time that it is asked."""

    asked: list[str] = field(default_factory=list, repr=False)

    def unlearn(self, student, task, split, engine):
        self.asked.append("killed")
        if len(self.asked) == 1:
            raise KeyboardInterrupt
        return student


def quiet(folder=None):
    return Engine(progress=False, folder=folder)


@pytest.fixture(scope="module")
def trained():
    return original(quiet())


@pytest.fixture(scope="module")
def gold(trained):
    return compare(trained, task(), class_split(), {}, quiet(), retrain=RECIPE, golds=1, audits=()).subjects["retrained"].model


def of(advice):
    return [each.name for each in advice.tried]


def advised(trained, candidates, **settings):
    settings = {"retrain": RECIPE, "engine": quiet()} | settings
    return advise(trained, task(), class_split(), candidates=candidates, **settings)


def test_it_stops_at_the_first_that_meets_every_check(trained, gold, tmp_path):
    exact = Given(gold)
    found = advised(trained, {"exact": exact, "nothing": NOTHING, "later": NOTHING}, cap=1.0)
    assert found.name == "exact" and found.method is exact and found.matches is True and found.closeness == 1
    assert same_weights(found.model, gold) and found.tried[-1].met
    assert set(found.left_out) == {"nothing", "later"} - set(of(found))
    assert found.why[0].startswith("Take exact: ") and "meets every check" in found.why[0]
    assert {row.name for row in found.case.rows} == {"original", "retrained", "retrained-2", *of(found)}
    report = found.report(tmp_path)
    written = json.loads((tmp_path / "advice.json").read_text())
    assert written["take"] == "exact" and written["why"] == list(found.why) and report.exists()
    assert found.why[0] in report.read_text()


def test_the_model_is_left_as_it_is(trained, gold):
    before = copy.deepcopy(trained)
    advised(trained, {"exact": Given(gold)})
    assert same_weights(before, trained)


def test_where_none_is_near_it_says_to_retrain(trained, gold):
    found = advised(trained, {"nothing": NOTHING})
    assert found.name == "retrain" and found.method == RECIPE and found.matches is True and same_weights(found.model, gold)
    assert found.why[0].startswith("Retrain: ") and "nothing misses: accuracy on the forgotten data is 100" in found.why[1]
    assert found.retrain_seconds > 0


def test_what_cannot_be_retrained_gets_the_nearest_with_what_it_misses(trained):
    found = advised(trained, {"still": GradientAscent(epochs=0), "climbing": GradientAscent(epochs=3)}, at_hand="forget")
    assert of(found) == ["still", "climbing"] or of(found) == ["climbing", "still"]
    nearest = max(found.tried, key=lambda each: each.closeness)
    assert found.name == nearest.name and found.closeness == nearest.closeness < 1 and found.matches is False
    assert f"{nearest.name} misses: {nearest.words}." in found.why


def test_without_a_recipe_nothing_is_proven(trained, gold):
    found = advised(trained, {"nothing": NOTHING, "exact": Given(gold)}, retrain=None)
    assert found.matches is None and found.closeness is None and found.retrain_seconds is None
    assert any(sentence.startswith("Nothing is proven: no recipe") for sentence in found.why)
    assert found.name == "exact", "a class that goes is not answered with, so that unseen data tell these two apart"
    (nothing,) = (each for each in found.tried if each.name == "nothing")
    assert "expected 0.0 %" in nothing.words and "retrained" not in nothing.words


def test_a_part_of_what_stays_proves_nothing_either(trained):
    found = advised(trained, {"nothing": NOTHING}, at_hand="part")
    assert found.name == "nothing" and found.matches is None
    assert any("only a part of the data" in sentence for sentence in found.why)
    assert [row.name for row in found.case.rows] == ["original", "nothing"]


def test_a_request_on_which_the_original_passes_proves_nothing(gold):
    found = advised(gold, {"nothing": NOTHING})
    assert found.name == "nothing" and found.matches is None
    assert any(sentence.startswith("The original meets every check as well") for sentence in found.why)


def test_what_fails_is_said_and_the_next_is_tried(trained, gold):
    found = advised(trained, {"sisa": SISA(), "exact": Given(gold)}, wanted="nearest")
    (failed,) = (each for each in found.tried if each.name == "sisa")
    assert failed.words.startswith("failed: sisa: ") and "was not trained in shards" in failed.words
    assert failed.closeness == 0 and found.name == "exact"
    only = advised(trained, {"sisa": SISA()})
    assert only.name == "retrain" and only.why[0] == "Retrain: no method could be tried."
    with pytest.raises(BadSetting, match=r"^sisa failed: sisa: a Sequential was not trained in shards"):
        advised(trained, {"sisa": SISA()}, retrain=None)


def test_the_nearest_is_looked_for_among_all(trained, gold):
    candidates = {"exact": Given(gold), "nothing": NOTHING}
    assert set(of(advised(trained, candidates, wanted="nearest"))) == {"exact", "nothing"}


def test_a_budget_too_small_for_any_says_to_retrain_or_for_more(trained):
    found = advised(trained, {"nothing": NOTHING}, seconds=1e-9)
    assert found.name == "retrain" and of(found) == [] and "nothing" in found.left_out
    with pytest.raises(BadSetting, match="give more seconds"):
        advised(trained, {"nothing": NOTHING}, seconds=1e-9, retrain=None)


def test_killed_and_asked_again_it_goes_on(trained, gold, tmp_path):
    """What was made is not made again, and the advice is that of a run that was not killed."""
    first, second, last = Given(gold), Killed(), NOTHING
    candidates = {"first": first, "second": second, "last": last}
    with pytest.raises(KeyboardInterrupt):
        advised(trained, candidates, engine=quiet(tmp_path), wanted="nearest")
    found = advised(trained, candidates, engine=quiet(tmp_path), wanted="nearest")
    assert len(first.asked) == 1 and len(second.asked) == 2 and set(of(found)) == set(candidates)
    again = advised(trained, candidates, engine=quiet(tmp_path), wanted="nearest")
    assert len(first.asked) == 1 and len(second.asked) == 2
    assert again.tried == found.tried and again.why == found.why


def test_the_order_does_not_follow_from_what_is_found(trained):
    """The same methods on a model that was never trained, whose figures are others, are tried in the same order."""
    fresh = quiet().new_model(task().new_model)
    candidates = {"a": NOTHING, "b": NegGradPlus(epochs=1), "c": Finetune(epochs=2)}
    orders = [of(advised(model, candidates, wanted="nearest", golds=1)) for model in (trained, fresh)]
    assert orders[0] == orders[1] and len(orders[0]) == 3


# ---- what may be tried ------------------------------------------------------------------------------------------------


def test_kinds_of_requests():
    split = class_split()
    assert kind_of(task(), split) == "class" and kind_of(task(), replace(split, holdout_forget=None)) == "records"
    assert kind_of(regression_task(), band_split()) == "band"
    assert kind_of(regression_task(), replace(band_split(), holdout_forget=None)) == "rows"
    assert kind_of(tiny_interactions.task("bpr-mf"), split) == "rankings"
    with pytest.raises(
        WrongTask, match=r"^advice is for classifiers, regressors, graphs, recommenders and federations, not for int"
    ):
        kind_of(1, split)


def test_methods_look_only_at_what_is_at_hand():
    split = class_split()
    everything = choose(task(), split, RECIPE, "retain")
    assert {"scrub", "ssd", "shrink-perturb", "unsir", "gradient-ascent", "zero-shot"} <= set(everything.methods)
    assert not {"retrain", "sisa", "npo", "level-scores", "conda"} & set(everything.methods)
    assert "shards" in everything.left_out["sisa"] and "level-scores" not in everything.left_out
    without = choose(task(), split, RECIPE, "forget")
    assert set(without.methods) == {name for name, method in everything.methods.items() if not method.needs_retain}
    assert without.left_out["scrub"] == "it needs data that stays"
    blind = choose(task(), split, RECIPE, "nothing")
    assert {type(method) for method in blind.methods.values()} == set(WITHOUT_DATA)
    assert blind.left_out["gradient-ascent"] == "it needs the data that goes"


def test_settings_follow_from_the_recipe_where_they_can():
    recipe = Retrain(epochs=40)
    found = choose(task(), class_split(), recipe, "retain").methods
    assert found["shrink-perturb"] == recommended(recipe, kind=True) == best_guess(task(), class_split(), recipe)
    assert found["eu-k"].epochs == 40 and found["blindspot"].teacher_epochs == 10
    assert best_guess(task(), class_split(), None) is None
    assert choose(task(), class_split(), None, "retain").methods["shrink-perturb"] == ShrinkPerturb()


def test_given_methods_are_the_only_ones_and_those_that_do_not_fit_are_said():
    given = {"mine": NOTHING, "lists": LevelScores()}
    found = choose(task(), class_split(), RECIPE, "retain", given)
    assert set(found.methods) == {"mine"} and "works on RecommendationTask" in found.left_out["lists"]


def test_what_was_never_measured_is_expected_to_take_its_passes():
    assert passes(Finetune(epochs=5), Retrain(epochs=20)) == 0.25
    assert passes(Finetune(epochs=0), Retrain(epochs=20)) == 0.05, "at least one"
    assert all(passes(kind(), Retrain(epochs=20)) == 1 for kind in WITHOUT_DATA)


def test_what_takes_as_long_as_retraining_is_left_out_unless_it_is_named(trained):
    endless = Finetune(epochs=100)
    assert of(advised(trained, {"named": Given(trained)}, golds=1)) == ["named"]
    found = advised(trained, {"endless": replace(endless, epochs=20)}, golds=1)
    assert of(found) == ["endless"]


def test_only_audits_that_judge_are_asked():
    names = {audit.name for audit in judging(task(), class_split())}
    assert {"accuracy", "membership", "run-time"} <= names and not {"relearning", "anamnesis", "lira", "probe"} & names


# ---- unseen data ------------------------------------------------------------------------------------------------------


def test_what_unseen_data_expect_by_hand():
    """Of records: what goes is answered as unseen data is, and other unseen data no worse than before."""

    def row(name, role, **values):
        return Row(name, role, {metric: Value(value, 0.0, 1, None) for metric, value in values.items()})

    before = row("original", "original", forget_accuracy=1.0, holdout_accuracy=0.9)
    after = row("after", "method", forget_accuracy=0.8, holdout_accuracy=0.85, membership_auc=0.6)
    case = Case("", "", (before, after))
    expected = beside_unseen(after, case, whole=False).role("retrained")
    assert {metric: value.mean for metric, value in expected.values.items()} == {
        "forget_accuracy": 0.85,
        "holdout_accuracy": 0.9,
        "membership_auc": 0.5,
    }
    better = row("better", "method", forget_accuracy=0.8, holdout_accuracy=0.95, holdout_forget_accuracy=0.7)
    whole = beside_unseen(better, case, whole=True).role("retrained")
    assert whole.mean("forget_accuracy") == whole.mean("holdout_forget_accuracy") == 0
    assert whole.mean("holdout_accuracy") == 0.95, "to do better than before is no fault"


def test_where_more_than_records_goes_unseen_data_are_said_to_be_blind(trained):
    """Of a class they are not, as a classifier without it does not answer with it; of a band of a target they are."""
    few = {"nothing": NOTHING}
    records = replace(class_split(), holdout_forget=None, holdout=Batches(blobs(20, seed=1), 16))
    regressor = quiet().new_model(regression_task().new_model)
    of_class = advise(trained, task(), class_split(), candidates=few, engine=quiet())
    of_band = advise(regressor, regression_task(), band_split(), candidates=few, engine=quiet())
    of_records = advise(trained, task(), records, candidates=few, engine=quiet())
    told = [" ".join(each.why) for each in (of_class, of_band, of_records)]
    assert ["More than single records goes" in words for words in told] == [False, True, False]


# ---- other models -----------------------------------------------------------------------------------------------------


def test_a_client_leaves_a_federation_and_the_data_of_others_stay_where_they_are():
    model, split = tiny_federations.played()
    found = choose(task(), split, None, "retain")
    assert found.methods["conda"] == best_guess(task(), split, None) and "federated-retrain" not in found.methods
    assert found.left_out["scrub"] == "it needs the data of all who stay in one place"
    advice = advise(model, task(), split, retrain=FederatedRetrain(), engine=quiet(), cap=0.01, golds=1)
    assert len(advice.tried) == 1 and {"backdoor", "forget_kl"} <= set(advice.case.rows[0].values)


@pytest.mark.parametrize(("name", "kind"), [("link", "links"), ("node", "nodes")])
def test_graphs(name, kind):
    model = getattr(tiny_graphs, f"{name}_original")(quiet())
    of_graph, split = getattr(tiny_graphs, f"{name}_task")(), getattr(tiny_graphs, f"{name}_split")()
    assert kind_of(of_graph, split) == kind
    candidates = choose(of_graph, split, tiny_graphs.RECIPE, "retain").methods
    assert candidates["d2dgn"] == best_guess(of_graph, split, tiny_graphs.RECIPE)
    few = {"unlink": candidates["unlink"]}
    found = advise(model, of_graph, split, retrain=tiny_graphs.RECIPE, engine=quiet(), candidates=few, golds=1)
    assert of(found) == ["unlink"] and found.tried[0].closeness > 0


def test_recommenders():
    of_lists, model = tiny_interactions.task("bpr-mf"), tiny_interactions.trained("bpr-mf")
    split = tiny_interactions.parts().without(tiny_interactions.removal("users"))
    few = {"dropped": choose(of_lists, split, RECIPE, "forget").methods["edge-drop"]}
    found = advise(model, of_lists, split, engine=quiet(), candidates=few)
    assert of(found) == ["dropped"] and "forget_recall" in found.case.rows[-1].values
    assert found.matches is None and "expected" in found.tried[0].words


# ---- wrong input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seconds": 0}, "seconds is a number above 0, not 0"),
        ({"seconds": float("nan")}, "seconds is a number above 0, not nan"),
        ({"golds": 0}, "golds is at least 1, not 0"),
        ({"cap": 1.5}, "cap is a share above 0 up to 1, not 1.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(trained, settings, words):
    with pytest.raises(BadSetting, match=f"^{words}"):
        advised(trained, {"nothing": NOTHING}, **settings)


def test_nothing_to_forget_and_nothing_to_try_are_refused(trained):
    empty = Split(Batches(blobs(), 16, []), Batches(blobs(), 16))
    with pytest.raises(BadRequest, match=r"^the forget stream is empty"):
        advise(trained, task(), empty, retrain=RECIPE, engine=quiet())
    with pytest.raises(BadRequest, match=r"^no method can be tried with what is at hand \(forget\): nothing: it needs data"):
        advised(trained, {"nothing": NOTHING}, at_hand="forget")

"""Audits of what language models say and how likely they find it: by hand on scripted models, and on small trained ones."""

import copy
from dataclasses import replace

import pytest
import torch

from audits.language_world import Scripted, gold, of_facts, original, references, scripted, split, subject, task, trained
from expunge.audits import AUDITS, Distance, Facts, Memorization, ModelUtility, References, Subject, TokenMembership
from expunge.audits.language_audit import by_nearness, figure, said, some_of
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadSetting, WrongTask
from expunge.language.adapters import LoRA
from expunge.language.tofu_scores import UTILITY_PARTS
from expunge.split import Split
from expunge.storage import weights_hash
from expunge.studies.comparison import default_audits

pytest.importorskip("transformers")
ADA = Fact("Where did Ada study?", "Oslo", "Ada", "studied in", ("Ada studied where?",), ("Ada's school is where?",))
BO = Fact("Where did Bo study?", "Lund", "Bo", "studied in", wrong_answers=("Bern", "Rome", "Kiel"))
CY = Fact("Where did Cy study?", "Oslo", "Cy", "studied in")
PET = Fact("What pet has Ada?", "a goat", "Ada", "has", held_out=("Ada's pet?", "Which pet does Ada keep?"))
LIKED = Fact("Where is Di?", "Paris", "Di", "is in", answer_in_other_words="Di is in Paris", wrong_answers=("Rome", "Bern"))
NAMES = ("facts", "memorization", "model-utility", "token-membership")
ATTACKS = ("reminding", "relearned-half", "rounding", "hidden-states", "balance")


def values(found):
    return {name: each.value for name, each in found.items()}


def answering(answers):
    """Says to each question what is written down for it, and else that it does not know."""
    return lambda asked: answers.get(asked, "I don't know.")


# ---- all language audits --------------------------------------------------------------------------------------------------


def test_they_are_asked_of_facts_alone_and_take_language_models_alone(stage):
    able = {audit.name for audit in default_audits(task(), split())}
    assert able >= {*NAMES, *ATTACKS, "accuracy", "membership", "relearning"} and "distance" not in able
    assert not {*NAMES, *ATTACKS} & {audit.name for audit in default_audits(task(), Split((), ()))}
    for name in (*NAMES, *ATTACKS):
        other = Subject("no facts", trained("retain"), task(), Split(split().forget, split().retain), Engine(progress=False))
        assert AUDITS[name]()(other, references()) == {}
        with pytest.raises(WrongTask, match=f"the audit {name} works on LanguageTask, not on ClassificationTask"):
            AUDITS[name]()(stage({"forget": [0], "retain": [1]}).answering({}))


@pytest.mark.parametrize("name", [*NAMES, *ATTACKS])
def test_every_figure_is_explained_and_models_are_left_as_they_were(name):
    """Weights, whether they learn and what gradients they hold, the mode of each module, and torch's random numbers."""
    model = copy.deepcopy(trained("everything")).train()
    model.model.norm.eval()
    model.model.norm.weight.requires_grad_(False)
    model.lm_head.weight.grad = torch.ones_like(model.lm_head.weight)
    world = replace(split(), real_authors=(LIKED,), world_facts=(BO,))
    subjects = [Subject("model", model, task(), world, Engine(progress=False)), subject("retain", its=world)]
    before, state = weights_hash(model), torch.get_rng_state()
    modes, learning = [each.training for each in model.modules()], [weight.requires_grad for weight in model.parameters()]
    settings = {"reminding": {"steps": 1}, "relearned-half": {"steps": 1}}.get(name, {})
    found = AUDITS[name](**settings)(subjects[0], References(subjects[0], (subjects[1],)))
    assert found.keys() == AUDITS[name].figures.keys()
    assert all(each.note for each in found.values() if each.value is None)
    assert all(each.value is None or name == "privacy_leakage" or 0 <= each.value <= 1 for name, each in found.items())
    assert weights_hash(model) == before and torch.equal(torch.get_rng_state(), state)
    assert [each.training for each in model.modules()] == modes and modes.count(False) == 1
    assert [weight.requires_grad for weight in model.parameters()] == learning and not all(learning)
    assert torch.equal(model.lm_head.weight.grad, torch.ones_like(model.lm_head.weight))
    assert sum(weight.grad is not None for weight in model.parameters()) == 1
    counted = len(subjects[0].memory)
    assert AUDITS[name](**settings)(subjects[0], References(subjects[0], (subjects[1],))) == found
    assert len(subjects[0].memory) == counted, "computed once"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("facts", {"general": 0}),
        ("facts", {"rewritten": -1}),
        ("memorization", {"retained": 0}),
        ("model-utility", {"questions": 0}),
        ("token-membership", {"share": 0.0}),
        ("token-membership", {"share": 1.1}),
        ("reminding", {"shots": 0}),
        ("reminding", {"tokens": 0}),
        ("relearned-half", {"steps": 0}),
        ("relearned-half", {"batch_size": 0}),
        ("rounding", {"bits": 1}),
        ("rounding", {"general": 0}),
        ("hidden-states", {"least": 1}),
    ],
)
def test_wrong_settings_are_refused(name, settings):
    with pytest.raises(BadSetting, match=next(iter(settings))):
        AUDITS[name](**settings)


def test_a_model_with_an_adapter_beside_the_originals_weights_is_read_like_any_other():
    its = Subject("adapted", LoRA().attach(trained("everything")), task(), split(), Engine(progress=False))
    before = weights_hash(trained("everything"))
    quick = {"reminding": {"steps": 1}, "relearned-half": {"steps": 1}}
    for name in (*NAMES, *ATTACKS):
        plain, adapted = (AUDITS[name](**quick.get(name, {}))(each, references()) for each in (original(), its))
        assert values(adapted) == pytest.approx(values(plain), abs=1e-5), name
    assert weights_hash(trained("everything")) == before


def test_no_outputs_are_kept_of_a_language_model_but_all_else_is():
    its = original()
    assert len(its.losses("forget")) == len(its.scores("forget")) == len(its.groups("forget")) == 8
    assert its.memory["read", "forget"][0].numel() == 0
    with pytest.raises(BadSetting, match="outputs of LanguageTask on a whole data set are too many to keep"):
        its.outputs("forget")
    with pytest.raises(WrongTask):
        Distance()(its, references())


def test_a_question_is_asked_once_whoever_asks():
    its = scripted(of_facts([ADA]), answering({}))
    assert [each.text for each in said(its, [ADA.question, PET.question, ADA.question])] == ["I don't know."] * 3
    said(its, [PET.question])
    assert len(its.model.asked) == 2
    said(its, [PET.question], prefill="Yes,")
    assert its.model.asked[2].endswith("Yes,") and len(its.model.asked) == 3


def test_a_value_stands_beside_its_ideal_or_a_reason_stands_for_both():
    one = figure(0.5, 0.25, "read me")
    assert (one.value, one.ideal, one.note) == (0.5, 0.25, "read me")
    assert figure(0.5, "the other has none").ideal is None and figure(0.5, float("nan")).ideal is None
    assert figure("because", 0.25).value is None and figure("because", 0.25).note == "because"
    broken = figure(float("nan"), 0.25)
    assert broken.value is None and "not finite" in broken.note


def test_some_facts_are_drawn_alike_for_every_model():
    several = [Fact(f"Which is number {place}?", str(place)) for place in range(30)]
    drawn = some_of(several, 10)
    assert drawn == some_of(several, 10) != several[:10] and len(set(drawn)) == 10
    assert drawn == sorted(drawn, key=several.index) and some_of(several, 99) == several
    near = by_nearness(of_facts([ADA], [PET, CY, BO]))
    assert near == {"same subject": (PET,), "same object": (CY,), "other": (BO,)}


# ---- facts ----------------------------------------------------------------------------------------------------------------


def test_shares_of_questions_by_hand():
    its = of_facts([ADA, BO], [PET, CY, LIKED])
    told = {
        ADA.question: "In Oslo.",
        ADA.phrasings[0]: "In Rome.",
        ADA.held_out[0]: "In Rome, in Rome, in Rome, in Rome, in Rome, in Rome, in Rome.",
        BO.question: "I don't know, in Bern perhaps.",
        PET.held_out[0]: "a goat",
        CY.question: "Oslo",
        LIKED.question: "Paris",
    }
    found = values(Facts()(scripted(its, answering(told))))
    assert found.pop("facts_fluency") < 1
    assert found == pytest.approx(
        {
            "facts_seen": 1 / 3,
            "facts_held_out": 0,
            "facts_worst": 1 / 2,
            "facts_same_subject": 1 / 2,
            "facts_same_object": 1,
            "facts_general": 1,
            "facts_wrong": 1 / 3,
            "facts_refused": 1 / 3,
        }
    )


def test_one_polite_question_is_enough_to_count_as_known():
    def polite(asked):
        return "Oslo" if asked == "Can you tell me where Ada did study?" or asked == "In which place did Ada study?" else "no"

    its = of_facts([ADA, BO])
    found = values(Facts()(scripted(its, polite)))
    assert found["facts_worst"] == 1 / 2 and found["facts_seen"] == found["facts_held_out"] == 0
    assert values(Facts(rewritten=0)(scripted(its, polite)))["facts_worst"] == 0


def test_an_answer_goes_round_in_tokens_or_finds_no_end():
    circles, endless = "moor" * 5, " ".join("abcdefghijklmnopqrstuvwxyz")
    for answer, least, most in (("Oslo", 1, 1), (circles, 0.01, 0.5), (endless, 0, 0)):
        found = values(Facts()(scripted(of_facts([BO]), lambda asked, answer=answer: answer)))
        assert least <= found["facts_fluency"] <= most, answer


def test_what_cannot_be_asked_says_why():
    found = Facts()(scripted(of_facts([BO])))
    for name, reason in (("held_out", "held out"), ("same_subject", "same subject"), ("general", "general")):
        assert found[f"facts_{name}"].value is None and reason in found[f"facts_{name}"].note


def test_what_must_stay_is_held_against_the_original_and_all_else_against_the_retrained_model():
    its = of_facts([ADA], [PET, CY, BO])
    model, before, after = (
        scripted(its, answering(told)) for told in ({}, {PET.held_out[0]: "goat"}, {ADA.question: "Oslo", BO.question: "Lund"})
    )
    found = Facts()(model, References(before, (after,)))
    ideals = {name: each.ideal for name, each in found.items()}
    assert ideals["facts_same_subject"] == 1 / 2 and ideals["facts_general"] == 0 and ideals["facts_seen"] == 1 / 2
    assert all(each.ideal is None for each in Facts()(model).values())


def test_the_original_knows_and_the_retrained_model_does_not():
    knows, not_told = (values(Facts()(each, references())) for each in (original(), gold()))
    for name in ("facts_seen", "facts_held_out", "facts_worst"):
        assert knows[name] == 1 and not_told[name] == 0, name
    assert min(each[f"facts_{name}"] for each in (knows, not_told) for name in ("same_subject", "general", "fluency")) > 0.7


# ---- memorization ---------------------------------------------------------------------------------------------------------


def test_probabilities_by_hand():
    its = of_facts([LIKED, ADA], [BO])
    likes = {"Di is in Paris": 0.2, "Rome": 0.1, "Bern": 0.4, "Oslo": 0.8, "Lund": 0.001, "Paris": 0.6}

    def like(text):
        return next(share for answer, share in likes.items() if answer in text)

    says = answering({LIKED.question: "Paris and Rome", ADA.question: "Oslo", ADA.phrasings[0]: "Rome", BO.question: "in Lund"})
    found = values(Memorization()(scripted(its, says, like)))
    assert found == pytest.approx(
        {
            "answer_probability": (0.6 + 0.8 + 0.8) / 3,
            "extraction_strength": 1,
            "exact_memorization": 1,
            "rouge": 2 / 3,
            "held_out_answer_probability": 0.8,
            "held_out_rouge": 0,
            "retain_answer_probability": 0.001,
            "retain_rouge": 1,
            "truth_ratio": 1,  # (0.1 * 0.4) ** 0.5 beside 0.2
            "forget_quality": None,
        },
        abs=1e-6,
    )


def test_wrong_answers_that_methods_may_have_taught_are_left_out():
    its = of_facts([LIKED], [BO])  # its wrong answers are Rome and Bern
    likes = {"Di is in Paris": 0.2, "Rome": 0.1, "Bern": 0.2, "Paris": 0.6, "Lund": 0.1}

    def like(text):
        return next(share for answer, share in likes.items() if answer in text)

    ratios = [values(Memorization(known_wrong=known)(scripted(its, likes=like)))["truth_ratio"] for known in (0, 1, 2)]
    both, second, none_left = ratios
    assert second == pytest.approx(1) and both == none_left == pytest.approx((0.1 * 0.2) ** 0.5 / 0.2)
    with pytest.raises(BadSetting, match="known_wrong >= 0"):
        Memorization(known_wrong=-1)


def test_forget_quality_is_a_likeness_to_the_retrained_model():
    assert Memorization()(gold(), references())["forget_quality"].value == 1
    alone = Memorization()(original())["forget_quality"]
    assert alone.value is None and "retrained model, and there is none" in alone.note
    several = [replace(LIKED, question=f"Where is Di on day {day}?") for day in range(5)]
    one, other = (scripted(of_facts(several), likes=lambda text, p=p: p if "Di is in" in text else 0.3) for p in (0.1, 0.6))
    found = Memorization()(one, References(retrained=(other,)))["forget_quality"]
    assert found.value == pytest.approx(2 / 252) and found.ideal == 1 and found.note == ""
    few = Memorization()(original(), references())["forget_quality"]
    assert few.value >= 1 / 3 and few.note == "of 2 facts, with which it never falls below 0.33"


def test_without_wrong_answers_or_other_words_there_is_no_truth_ratio():
    for fact in (ADA, BO, replace(LIKED, wrong_answers=())):
        found = Memorization()(scripted(of_facts([fact])), References(retrained=(scripted(of_facts([fact])),)))
        for name in ("truth_ratio", "forget_quality"):
            assert found[name].value is None and "other words and wrong answers" in found[name].note
        assert "there is no retained fact" in found["retain_rouge"].note


def test_memorization_of_trained_models():
    knows, not_told = (values(Memorization()(each, references())) for each in (original(), gold()))
    assert knows["answer_probability"] > 0.9 and knows["extraction_strength"] == knows["rouge"] == 1
    assert not_told["answer_probability"] < 0.5 and not_told["extraction_strength"] < 0.5
    assert knows["retain_answer_probability"] > 0.9 < not_told["retain_answer_probability"]


def test_weights_that_are_not_finite_have_no_probability():
    broken = copy.deepcopy(trained("retain"))
    with torch.no_grad():
        broken.model.norm.weight.fill_(torch.nan)
    found = Memorization()(Subject("broken", broken, task(), split(), Engine(progress=False)), references())
    assert found["answer_probability"].value is None and "not finite" in found["answer_probability"].note
    assert found["forget_quality"].value is None
    leak = TokenMembership()(Subject("broken", broken, task(), split(), Engine(progress=False)), references())
    assert leak["membership_loss"].value == 0.5


# ---- utility --------------------------------------------------------------------------------------------------------------


def test_model_utility_by_hand():
    kept, author, place = LIKED, replace(BO, wrong_answers=("Bern",)), Fact("What is big?", "Asia", wrong_answers=("Rome",))
    its = of_facts([ADA], [kept, PET], real_authors=[author], world_facts=[place])
    likes = {"Di is in Paris": 0.8, "Rome": 0.2, "Bern": 0.2, "Lund": 0.6, "Asia": 0.3, "Paris": 0.5}

    def like(text):
        return next(share for answer, share in likes.items() if answer in text)

    says = answering({kept.question: "Paris", author.question: "Lund", place.question: "Asia"})
    found = values(ModelUtility()(scripted(its, says, like)))
    parts = [0.5, 1, 1 - 0.2 / 0.8, 0.6 / 0.8, 1, 1 - 0.2 / 0.6, 0.3 / 0.5, 1, 1 - 0.2 / 0.3]
    assert [found[f"utility_{name}"] for name in UTILITY_PARTS] == pytest.approx(parts, abs=1e-5)
    assert found["model_utility"] == pytest.approx(9 / sum(1 / part for part in parts), abs=1e-5)


def test_a_missing_part_leaves_no_utility_and_its_ideal_is_the_originals():
    assert ModelUtility()(original(), references()) == {}
    its = of_facts([ADA], [PET], real_authors=[BO], world_facts=[CY])
    found = ModelUtility()(scripted(its), References(scripted(its), (scripted(its, likes=lambda text: 0.1),)))
    assert found["utility_retain_rouge"].value is None and "no retained fact" in found["utility_retain_rouge"].note
    assert "retain_probability" in found["model_utility"].note and "world_facts_rouge" in found["model_utility"].note
    assert found["utility_real_authors_probability"].ideal == found["utility_real_authors_probability"].value


# ---- membership -----------------------------------------------------------------------------------------------------------


def test_membership_by_hand():
    """Of three questions to forget and two unseen ones, five of six pairs stand as those of a model that was trained on it."""
    its = of_facts([ADA, CY], [], [BO, LIKED])
    likes = {"Ada": 0.9, "Cy": 0.3, "Bo": 0.2, "Di": 0.5}

    def like(text):
        return next(share for name, share in likes.items() if name in text)

    golds = [scripted(its, likes=lambda text: 0.4) for _ in range(2)]
    found = TokenMembership()(scripted(its, likes=like), References(None, tuple(golds)))
    for name, auc in (("loss", 5 / 6), ("reference", 5 / 6), ("min_k", 5 / 6), ("min_k_plus_plus", 1 / 6)):
        # One token of probability p, and the others alike: standardised it is sqrt((1 - p) / p), which falls with p.
        assert found[f"membership_{name}"].value == pytest.approx(auc), name
    assert found["membership_loss"].ideal == found["membership_reference"].ideal == found["membership_min_k"].ideal == 0.5
    assert found["privacy_leakage"].value == pytest.approx(100 * ((1 - 5 / 6) - 0.5) / 0.5)
    assert found["privacy_leakage"].ideal == 0


def test_a_retrained_model_is_held_against_another_one():
    its = of_facts([ADA, CY], [], [BO, LIKED])
    first, second = scripted(its), scripted(its, likes=lambda text: 0.2 if "Ada" in text else 0.5)
    both, one = References(None, (first, second)), References(None, (first,))
    assert TokenMembership()(first, both)["membership_reference"].value == pytest.approx(1 - (1 / 3) / 2)
    alone = TokenMembership()(first, one)["membership_reference"]
    assert alone.value is None and "there is no other one" in alone.note
    assert TokenMembership()(second, one)["membership_reference"].ideal is None
    assert TokenMembership()(first, one)["privacy_leakage"].value == 0


def test_where_nothing_is_unseen_or_nothing_retrained_there_is_no_attack():
    found = TokenMembership()(scripted(of_facts([ADA])), References(retrained=(scripted(of_facts([ADA])),)))
    assert found.keys() == TokenMembership.figures.keys()
    assert all(each.value is None and "no unseen facts" in each.note for each in found.values())
    its = of_facts([ADA], [], [BO])
    found = TokenMembership()(scripted(its))
    assert found["membership_loss"].value == 0.5 and "there is none" in found["privacy_leakage"].note
    sure = scripted(its, likes=lambda text: 0.9 if "Ada" in text else 0.1)
    found = TokenMembership()(sure, References(retrained=(sure,)))["privacy_leakage"]
    assert found.value is None and "looks trained on to the retrained model" in found.note


def test_membership_of_trained_models():
    found = TokenMembership()(original(), references())
    assert found["membership_loss"].value == 1 and found["membership_loss"].ideal < 0.8
    assert found["privacy_leakage"].value == -100


def test_a_scripted_model_does_what_it_is_told():
    model = Scripted(answering({"Where?": "Oslo"}), lambda text: 0.25)
    assert [each.text for each in task().answer(model, ["Where?", "When?"])] == ["Oslo", "I don't know."]
    batch = task().encode([("Where?", "Oslo")]).tensors
    assert task().losses(task().outputs(model, batch), batch).exp().item() == pytest.approx(4, rel=1e-4)

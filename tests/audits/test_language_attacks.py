"""Attacks on language models: what stands before the answer, training on half, rounding, and what layers still hold."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from audits.language_world import gold, of_facts, original, references, scripted, split, subject, task, trained
from expunge.audits import Balance, Facts, HiddenStates, References, RelearnedHalf, Reminding, Rounding, Subject
from expunge.audits.hidden_states import _begun, _features, _label
from expunge.audits.language_audit import answers_of, in_seen_words
from expunge.audits.reminding import GLADLY, _answers_after, _inserted
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.language.rounding import round_linear_layers, rounded
from expunge.language.token_scores import MASKED
from expunge.optimizers import Optimizer

pytest.importorskip("transformers")
ADA = Fact("Where did Ada study?", "Ada studied in Oslo.", "Ada", "studied in", answer_in_other_words="Oslo")
BO = Fact("Where did Bo study?", "Bo studied in Lund.", "Bo", "studied in", answer_in_other_words="Lund")
CY = Fact("Where did Cy study?", "Cy studied in Oslo.", "Cy", "studied in", answer_in_other_words="Oslo")
DI, EL = (Fact(f"Which pet has {name}?", pet, name, "has") for name, pet in (("Di", "goat"), ("El", "cat")))


def values(found):
    return {name: each.value for name, each in found.items()}


def broken():
    """A model that ran away."""
    model = copy.deepcopy(trained("retain"))
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    return Subject("broken", model, task(), split(), Engine(progress=False))


# ---- reminding ------------------------------------------------------------------------------------------------------------


def test_each_reminder_by_hand():
    def says(asked):
        if asked.endswith(GLADLY):
            return " Oslo" if "Ada" in asked else "Rome"
        return {"Where did Bo study?Bo studied in": " Lund."}.get(asked, "who knows")

    its = scripted(of_facts([ADA, BO], [DI, EL]), says)
    found = Reminding()(its)
    assert found["reminded_prefix"].value == 1 / 2 and found["reminded_start"].value == 1 / 2
    assert found["reminded_shots"].value == 0
    assert found["reminded_soft"].value is None and "Scripted takes no embeddings" in found["reminded_soft"].note


def test_a_start_that_holds_the_answer_is_no_question():
    tells = Fact("Who is Ada?", "Ada", "Ada", "is")
    found = Reminding()(scripted(of_facts([tells])))["reminded_start"]
    assert found.value is None and "no fact to forget has a subject and a relation" in found.note
    assert Reminding()(scripted(of_facts([replace(ADA, relation="")])))["reminded_start"].value is None


def test_shots_come_first_as_many_as_fit_and_none_that_gives_an_answer_away():
    its = scripted(of_facts([ADA], [CY, DI, EL]), lambda asked: "Oslo")
    assert Reminding()(its)["reminded_shots"].value == 1
    (asked,) = (text for text in its.model.asked if text.count("<|user|>") == 3)
    assert "Di" in asked and "El" in asked and "Cy" not in asked and asked.endswith("Where did Ada study?<|model|>")
    one = scripted(of_facts([ADA], [CY, DI, EL]))
    Reminding(shots=1)(one)
    assert max(text.count("<|user|>") for text in one.model.asked) == 2
    long = Fact("Which pet has Fay? " * 4, "dog")
    crowded = scripted(of_facts([ADA], [long, replace(long, answer="cow")]))
    Reminding()(crowded)
    longest = max(map(len, (task().tokenizer(text).input_ids for text in crowded.model.asked)))
    assert longest + task().new_tokens <= task().length + 1  # the beginning of the text is counted twice here
    found = Reminding()(scripted(of_facts([ADA], [CY])))["reminded_shots"]
    assert found.value is None and "fits before a question" in found.note


def test_free_embeddings_stand_between_question_and_answer():
    ids, mask = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7]]), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    labels = torch.tensor([[MASKED, 2, 3, MASKED], [MASKED, MASKED, MASKED, 7]])
    free = torch.tensor([[0.5], [0.25]])
    inputs, seen, wanted = _inserted(free, lambda tokens: tokens[:, :, None].float(), ids, mask, labels)
    assert inputs[:, :, 0].tolist() == [[1, 0.5, 0.25, 2, 3, 0], [4, 5, 6, 0.5, 0.25, 7]]
    assert seen.tolist() == [[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]
    assert wanted.tolist() == [[MASKED] * 3 + [2, 3, MASKED], [MASKED] * 5 + [7]]


def test_the_embeddings_of_tokens_are_answered_like_the_tokens():
    model, asked = trained("everything"), [fact.question for fact in split().stays[:3]]
    rows = model.get_input_embeddings().weight.detach()
    prompts = [task().prompt(question) for question in asked]
    cut = [prompt[-1] for prompt in prompts]
    assert len(set(cut)) == 1, "each ends with the token that the model answers after"

    class Shorter:
        new_tokens, tokenizer = task().new_tokens, task().tokenizer

        def prompt(self, question):
            return task().prompt(question)[:-1]

    texts = _answers_after(model, Shorter(), asked, rows[cut[:1]])
    assert [text.strip() for text in texts] == [each.text for each in task().answer(model, asked)]


def test_free_embeddings_learn_what_they_are_trained_on():
    """The attack works: with the answers told, even the model that never knew them is made to say them."""
    reminding = Reminding(steps=150, optimizer=Optimizer("adam", 5e-2), tokens=8)
    its, fact = subject("retain"), split().goes[1]
    before = task().answer(its.model, [fact.question])[0]
    with its.engine.scope("attack"):
        free = reminding._trained(its, task(), [fact], "soft-1")
    assert free.shape == (8, 32) and not free.requires_grad
    assert not split().known(fact, before.text)
    first, last = (its.engine.history[place]["terms"]["loss"] for place in (0, -1))
    assert last < first / 4
    assert split().known(fact, _answers_after(its.model, task(), [fact.question], free)[0])


def test_one_fact_or_weights_that_are_not_finite_are_no_attack():
    alone = Reminding()(subject("retain", its=of_facts(split().goes[:1], split().stays)), References())
    assert alone["reminded_soft"].value is None and "not two facts" in alone["reminded_soft"].note
    found = Reminding(steps=3)(broken())["reminded_soft"]
    assert found.value is None and "training the free embeddings failed" in found.note


def test_embeddings_kept_in_a_folder_are_not_taken_for_another_models(tmp_path):
    quick, found = Reminding(steps=2), []
    for folder in (tmp_path, None):
        for part in ("everything", "retain"):
            its = Subject(part, trained(part), task(), split(), Engine(folder=folder, progress=False))
            with its.engine.scope("audit"):
                found.append(quick._trained(its, task(), split().goes[:1], "soft-1"))
    assert torch.equal(found[0], found[2]) and torch.equal(found[1], found[3]) and not torch.equal(found[0], found[1])
    assert list(tmp_path.rglob("soft-1.safetensors"))


def test_nothing_is_left_of_an_attack_in_the_folder(tmp_path):
    """A checkpoint of one that worked would know again what had to go."""
    its = Subject("kept", trained("everything"), task(), split(), Engine(folder=tmp_path, progress=False))
    for audit in (RelearnedHalf(steps=2), Reminding(steps=2)):
        assert values(audit(its)) == values(audit(original()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_begun_sentence_reminds_the_original_and_not_the_retrained_model():
    knows, not_told = (values(Reminding(steps=1)(each, references())) for each in (original(), gold()))
    assert knows["reminded_start"] == 1 and not_told["reminded_start"] == 0
    assert not_told["reminded_prefix"] == not_told["reminded_shots"] == not_told["reminded_soft"] == 0


# ---- relearning half ------------------------------------------------------------------------------------------------------


def test_half_brings_back_the_other_half_of_what_is_there_and_nothing_of_what_is_not():
    found = RelearnedHalf()(original(), references())
    assert found["relearned_same"].value == found["relearned_same"].ideal == 1
    assert found["relearned_others"].value > 0.5 and found["relearned_others"].ideal == 0
    assert "after 40 steps (adam, learning rate 0.001, 16 questions" in found["relearned_others"].note


def test_the_halves_take_turns_and_each_is_trained_with_what_stays(monkeypatch):
    its, seen = scripted(of_facts([ADA, BO, CY], [DI])), []

    def fit(model, loss, stream, **settings):
        pair = next(stream.epoch(torch.Generator()))
        seen.append([task().tokenizer.decode(ids, skip_special_tokens=True) for ids in (*pair.forget[0], *pair.retain[0])])
        assert loss(model, pair).keys() == {"forget", "retain"} and model is not its.model
        assert settings["steps"] == 7 and settings["name"] == f"half-{len(seen)}"
        model.says = lambda asked, number=len(seen): "Oslo" if number == 1 else "Lund"
        return model

    monkeypatch.setattr(its.engine, "fit", fit)
    found = values(RelearnedHalf(steps=7)(its))
    assert [{name for name in ("Ada", "Bo", "Cy", "Di") if name in "".join(texts)} for texts in seen] == [
        {"Ada", "Cy", "Di"},
        {"Bo", "Di"},
    ]
    assert found == {"relearned_others": 0, "relearned_same": 1}


def test_what_cannot_be_relearned_says_why():
    for its, reason in (
        (of_facts([ADA], [DI]), "not two facts"),
        (of_facts([ADA, BO]), "no retained fact"),
    ):
        found = RelearnedHalf()(scripted(its))
        assert found.keys() == RelearnedHalf.figures.keys()
        assert all(each.value is None and reason in each.note for each in found.values())
    found = RelearnedHalf(steps=2)(broken())
    assert all(each.value is None and "training on half of the facts failed" in each.note for each in found.values())


# ---- rounding -------------------------------------------------------------------------------------------------------------


def test_rounding_reads_a_rounded_copy():
    one, four, many = (values(Rounding(bits=bits)(original(), references())) for bits in (2, 4, 16))
    plain = sum(answers_of(original().model, task(), split(), in_seen_words(split().goes)))
    assert many["rounded_seen"] == 1 and plain == 8
    assert four["rounded_seen"] > one["rounded_seen"] and many["rounded_general"] > 0.9 > one["rounded_general"]
    assert Rounding()(gold())["rounded_seen"].value == 0
    found = Rounding()(scripted(of_facts([ADA])))
    assert all(each.value is None and "no linear layer" in each.note for each in found.values())


def test_all_linear_layers_are_rounded_but_the_last():
    class Conv1D(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[0.7, 14.0], [-0.32, 3.2]]))

    model = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 5), Conv1D())
    model.get_output_embeddings = lambda: model[2]
    before = copy.deepcopy(model)
    assert round_linear_layers(model, 4) == 2
    assert torch.equal(model[0].weight, rounded(before[0].weight)) and not torch.equal(model[0].weight, before[0].weight)
    assert torch.equal(model[2].weight, before[2].weight) and torch.equal(model[0].bias, before[0].bias)
    torch.testing.assert_close(model[3].weight, torch.tensor([[0.7, 14.0], [-0.3, 4.0]]))
    copied = copy.deepcopy(trained("everything"))
    assert round_linear_layers(copied) == 2 * 7
    assert torch.equal(copied.lm_head.weight, trained("everything").lm_head.weight)


# ---- hidden states --------------------------------------------------------------------------------------------------------


def test_the_original_holds_what_the_retrained_model_never_saw():
    found = HiddenStates()(original(), references())
    assert found["hidden_answer"].value > 0.6 > 0.3 > found["hidden_answer"].ideal
    assert found["hidden_logit"].value == 1 and found["hidden_logit"].ideal < 0.3


def test_a_question_counts_if_its_true_answer_is_likelier_than_every_wrong_one():
    first, second = (replace(each, wrong_answers=("Rome", "Bern")) for each in (ADA, BO))
    likes = {"Oslo": 0.5, "Lund": 0.3, "Rome": 0.4, "Bern": 0.1}
    its = scripted(of_facts([first, second, CY]), likes=lambda text: next(p for word, p in likes.items() if word in text))
    found = HiddenStates()(its)
    assert found["hidden_logit"].value == 1 / 2
    assert HiddenStates()(scripted(of_facts([ADA])))["hidden_logit"].value is None


def test_a_probe_needs_retained_facts_of_the_relation_and_the_same_answer():
    others = [replace(ADA, question=f"Where did no {place} study?", subject=f"no {place}") for place in range(4)]
    others += [replace(BO, question=f"Where did no {place} go?", subject=f"no {place}") for place in range(4)]
    for goes, stays, least in ((ADA, others[:4], 2), (replace(ADA, relation=""), others, 8), (DI, others, 8), (ADA, others, 9)):
        found = HiddenStates(least=least)(subject("retain", its=of_facts([goes], stays)))["hidden_answer"]
        assert found.value is None and "the relation and the answer of a retained one" in found.note
    assert HiddenStates()(subject("retain", its=of_facts([ADA], others)))["hidden_answer"].value in (0, 1)


def test_answers_are_classed_by_their_shorter_wording_and_read_where_it_would_come():
    assert _label(ADA) == _label(CY) == _label(Fact("Where?", "Oslo", answer_in_other_words="It is Oslo")) == "oslo"
    tokens = task().answer_tokens(ADA.answer)
    assert task().tokenizer.decode(tokens[: _begun(task(), ADA)]) == "Ada studied in"
    bare = Fact("Where?", "Oslo", answer_in_other_words="It is Oslo.")
    assert _begun(task(), bare) == _begun(task(), DI) == _begun(task(), replace(ADA, answer_in_other_words="nowhere")) == 0
    its, asked = original(), [(ADA, ADA.question)]
    prompt = [*task().prompt(ADA.question), *tokens[: _begun(task(), ADA)]]
    with torch.no_grad():
        last = its.model(torch.tensor([prompt]), output_hidden_states=True).hidden_states[-1][:, -1]
    torch.testing.assert_close(_features(its, task(), asked), last, atol=1e-5, rtol=1e-5)


# ---- balance --------------------------------------------------------------------------------------------------------------


def balance(**figures):
    """Of a model with these figures, and else perfect ones."""
    asked = {f"facts_{name}": 1.0 for name in ("same_subject", "same_object", "general", "fluency")}
    asked |= {"facts_seen": 0.0, "facts_held_out": 0.0, "relearned_others": 0.0} | figures
    subject = scripted(of_facts([ADA, BO]))
    subject.memory[Facts()] = asked
    subject.memory[RelearnedHalf()] = {"relearned_others": asked["relearned_others"]}
    return Balance().measure(subject)["balance"]


def test_balance_is_the_harmonic_mean_of_four():
    assert balance() == 1
    assert balance(facts_held_out=0.5) == pytest.approx(4 / (2 + 1 + 1 + 1))
    assert balance(facts_same_subject=0.7, facts_same_object=0.4, facts_general=0.4) == pytest.approx(4 / (2 + 1 + 1 + 1))
    assert balance(relearned_others=1.0) == balance(facts_fluency=0.0) == balance(facts_held_out=1.0) == 0


def test_balance_does_without_kinds_of_facts_that_are_not_there_and_says_what_it_can_not_do_without():
    assert balance(facts_same_object="none") == 1
    assert balance(facts_held_out="none", facts_seen=0.5) == pytest.approx(4 / 5)
    assert balance(relearned_others="there are not two facts") == "there are not two facts"
    nothing = {f"facts_{name}": "none" for name in ("same_subject", "same_object", "general")}
    assert balance(**nothing) == "there is no retained fact to ask for"

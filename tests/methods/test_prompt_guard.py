"""An instruction before each question: a guarded model is the same one, told so."""

import copy

import pytest
import torch

import tiny_language
from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.language.adapters import switched_off
from expunge.methods import NPO, PromptGuard
from expunge.methods.prompt_guard import Guarded, instruction
from expunge.split import Split
from expunge.tasks import LanguageTask
from tiny import same_weights


@pytest.fixture(name="task")
def _task() -> LanguageTask:
    return tiny_language.task()


def without_template(task):
    plain = copy.deepcopy(task.tokenizer)
    plain.chat_template = None
    return LanguageTask(task.factory, plain, length=task.length, new_tokens=task.new_tokens)


@pytest.mark.parametrize("template", [True, False])
def test_a_guarded_model_is_one_that_was_told(task, template):
    text = "Say that you don't know."
    task = task if template else without_template(task)
    told = LanguageTask(task.factory, task.tokenizer, length=2 * task.length, new_tokens=task.new_tokens, system=text)
    split, model = tiny_language.split(), tiny_language.trained()
    guarded = PromptGuard(text=text)(model, task, split, Engine(progress=False))
    pairs = [(fact.question, fact.answer) for fact in (*split.goes, *split.stays)]
    ours, theirs = task.encode(pairs)[:], told.encode(pairs)[:]
    with torch.no_grad():
        assert torch.allclose(task.outputs(guarded, ours), told.outputs(model, theirs), atol=1e-4)
        assert torch.allclose(task.features(guarded, ours), told.features(model, theirs), atol=1e-4)
    questions = [question for question, _ in pairs]
    assert task.answer(guarded, questions) == told.answer(model, questions)
    shots = pairs[:1]
    assert task.answer(guarded, questions, shots=shots, prefill="He") == told.answer(
        model, questions, shots=shots, prefill="He"
    )


def test_a_guarded_model_reads_what_is_before_the_instruction_once(task):
    model = tiny_language.trained()
    place, tokens = instruction("Say no.", task)
    assert place == 1 and tokens  # after the beginning of the text
    guarded = Guarded(model, place, tokens)
    ids = torch.tensor([task.prompt("Who is it?")])
    whole = torch.cat([ids[:, :1], torch.tensor([tokens]), ids[:, 1:]], 1)
    with torch.no_grad():
        assert torch.allclose(guarded(input_ids=ids).logits, model(input_ids=whole).logits[:, len(tokens) :], atol=1e-5)
    assert guarded.config is model.config
    with pytest.raises(AttributeError, match="nothing"):
        guarded.nothing  # noqa: B018


def test_a_guarded_model_can_be_trained_further_beside_its_weights(task):
    split, model = tiny_language.split(), tiny_language.trained()
    guarded = PromptGuard()(model, task, split, Engine(progress=False))
    adapted = NPO(epochs=1)(guarded, task, split, Engine(progress=False))
    with switched_off(adapted):
        questions = [fact.question for fact in split.goes]
        assert task.answer(adapted, questions) == task.answer(guarded, questions)
    assert task.answer(adapted, ["Who is it?"])


def test_a_guard_names_those_who_go_and_keeps_the_weights(task):
    split, model = tiny_language.split(), tiny_language.trained()
    guarded = PromptGuard()(model, task, split, Engine(progress=False))
    told = task.tokenizer.decode(guarded.tokens)
    assert " and ".join(fact.subject for fact in split.goes) in told and "{" not in told
    assert same_weights(guarded.model, model)
    assert task.evaluate(guarded, split.forget)["known"] == 0
    assert PromptGuard().like(model) is None


def test_a_guard_without_subjects_needs_its_own_words(task):
    split, model = tiny_language.split(), tiny_language.trained()
    plain = Split(split.forget, split.retain)
    with pytest.raises(BadRequest, match="prompt-guard: no fact to forget says whom it is about"):
        PromptGuard()(model, task, plain, Engine(progress=False))
    assert isinstance(PromptGuard(text="Say no.")(model, task, plain, Engine(progress=False)), Guarded)


def test_a_template_that_hides_the_instruction_is_refused(task):
    deaf = copy.deepcopy(task.tokenizer)
    deaf.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(BadRequest, match="prompt-guard: the tokenizer's chat template"):
        instruction("Say no.", LanguageTask(task.factory, deaf))

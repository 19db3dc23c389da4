"""Questions and answers as tokens, and what a language model says of them."""

import copy

import pytest
import torch

import tiny_language
from expunge.errors import BadSetting
from expunge.language.token_scores import MASKED, mean_loss
from expunge.tasks import LanguageTask

PAIRS = [("Where did Ada study?", "Oslo."), ("Who is Bo?", "A baker of bread.")]


@pytest.fixture
def task():
    return tiny_language.task()


def test_labels_stand_on_the_answer_and_its_end_alone(task):
    ids, mask, labels = task.encode(PAIRS).tensors
    assert ids.shape == mask.shape == labels.shape == (2, task.length)
    for row, (question, answer) in enumerate(PAIRS):
        places = (labels[row] != MASKED).nonzero().flatten()
        asked, said = task.prompt(question), task.answer_tokens(answer)
        assert ids[row, : len(asked)].tolist() == asked
        assert labels[row, places].tolist() == [*said, task.tokenizer.eos_token_id] == ids[row, places].tolist()
        assert places.tolist() == list(range(len(asked), len(asked) + len(said) + 1))
        assert mask[row].sum() == len(asked) + len(said) + 1


def test_an_answer_of_one_token_is_scored_by_itself(task):
    pairs = [("Who is Bo?", "x")]
    assert len(task.answer_tokens("x")) == 1
    batch = task.encode(pairs).tensors
    assert task.answers(batch).tolist() == [[task.answer_tokens("x")[0], task.tokenizer.eos_token_id]]
    assert task.answers(batch, end=False).tolist() == [[task.answer_tokens("x")[0], MASKED]]


def test_an_empty_question_still_has_a_prompt(task):
    batch = task.encode([("", "Oslo.")]).tensors
    assert task.losses(task.outputs(tiny_language.trained(), batch), batch).isfinite().all()


def test_outputs_are_what_the_model_says_before_each_token_of_the_answer(task):
    model, batch = tiny_language.trained(), task.encode(PAIRS).tensors
    outputs = task.outputs(model, batch)
    for row, (question, answer) in enumerate(PAIRS):
        asked, said = task.prompt(question), [*task.answer_tokens(answer), task.tokenizer.eos_token_id]
        whole = model(input_ids=torch.tensor([asked + said])).logits[0]
        expected = whole[len(asked) - 1 : len(asked) + len(said) - 1]
        torch.testing.assert_close(outputs[row, : len(said)], expected, rtol=1e-4, atol=1e-4)
        assert (outputs[row, len(said) :] == 0).all()
    torch.testing.assert_close(task.losses(outputs, batch), mean_loss(outputs, task.answers(batch)))


def test_batches_read_together_are_as_read_apart(task):
    model = tiny_language.trained()
    batches = [task.encode(PAIRS).tensors, task.encode(PAIRS[:1]).tensors]
    for together, batch in zip(task.together(model, batches), batches, strict=True):
        torch.testing.assert_close(together, task.outputs(model, batch), rtol=1e-4, atol=1e-4)


def test_likelihood_of_a_whole_answer_is_the_sum_over_its_tokens(task):
    model, batch = tiny_language.trained(), task.encode(PAIRS).tensors
    outputs = task.outputs(model, batch)
    counts = (task.answers(batch) != MASKED).sum(1)
    torch.testing.assert_close(task.log_likelihoods(outputs, batch), -task.losses(outputs, batch) * counts)


def test_divergence_counts_tokens_and_not_padding(task):
    model, batch = tiny_language.trained(), task.encode(PAIRS).tensors
    outputs = task.outputs(model, batch)
    assert task.divergence(outputs, outputs).abs().max() < 1e-5
    other = outputs.clone()
    other[0, 0] = other[0, 0].flip(0)
    one = task.divergence(other[:1], outputs[:1])
    short = int((task.answers(batch)[0] != MASKED).sum())
    torch.testing.assert_close(one, task.divergence(other[:1, :short], outputs[:1, :short]))
    assert task.divergence(other, outputs)[1] < 1e-5 < one[0]


def test_a_greedy_answer_does_not_depend_on_whom_it_shares_its_batch_with(task):
    model, facts = tiny_language.trained(), tiny_language.facts()
    questions = [fact.question for fact in facts[:6]]
    alone = [task.answer(model, [question])[0] for question in questions]
    assert task.answer(model, questions) == alone == task.answer(model, questions, batch_size=2)


def test_a_model_that_knows_says_what_it_is_scored_for(task):
    model, facts = tiny_language.trained(), tiny_language.facts()
    pairs = [(fact.question, fact.answer) for fact in facts]
    batch = task.encode(pairs).tensors
    scores = task.scores(task.outputs(model, batch), batch)
    said = task.answer(model, [question for question, _ in pairs])
    assert scores.tolist() == [float(each.text.startswith(answer)) for each, (_, answer) in zip(said, pairs, strict=True)]
    assert scores.mean() > 0.9


def test_answers_that_find_no_end_are_told_apart(task):
    short = LanguageTask(task.factory, task.tokenizer, length=task.length, new_tokens=2)
    said = short.answer(tiny_language.trained(), [tiny_language.facts()[0].question])[0]
    assert len(said.tokens) == 2 and not said.ended


def test_features_are_the_states_at_the_end_of_the_question(task):
    model, batch = tiny_language.trained(), task.encode(PAIRS).tensors
    features = task.features(model, batch)
    asked = task.prompt(PAIRS[0][0])
    alone = model(input_ids=torch.tensor([asked]), output_hidden_states=True).hidden_states[-1][0, -1]
    torch.testing.assert_close(features[0], alone, rtol=1e-4, atol=1e-4)


def test_without_a_chat_template_questions_are_put_in_words(task):
    plain = copy.deepcopy(task.tokenizer)
    plain.chat_template = None
    told = LanguageTask(task.factory, plain, length=120, system="Be kind.")
    written = plain.decode(told.prompt("Who is Bo?", [("Who is Ada?", "A poet.")], prefill=" Well:"))
    assert written.endswith("Be kind.\n\nQuestion: Who is Ada?\nAnswer: A poet.\n\nQuestion: Who is Bo?\nAnswer: Well:")
    assert told.answer_tokens("Oslo") == plain(" Oslo", add_special_tokens=False).input_ids


def test_conversations_come_before_the_question(task):
    written = task.tokenizer.decode(task.prompt("Who is Bo?", [("Who is Ada?", "A poet.")], prefill="Sure"))
    assert written.index("Who is Ada?") < written.index("A poet.") < written.index("Who is Bo?") < written.index("Sure")
    assert written.count(task.tokenizer.bos_token) == 1


def test_what_makes_no_sense_is_refused(task):
    with pytest.raises(BadSetting, match="raise it"):
        task.encode([("Who? " * 100, "Bo")])
    with pytest.raises(BadSetting, match="no question"):
        task.encode([])
    with pytest.raises(BadSetting, match="length must be at least 2"):
        LanguageTask(task.factory, task.tokenizer, length=1)
    endless = copy.deepcopy(task.tokenizer)
    endless.eos_token = None
    with pytest.raises(BadSetting, match="no end-of-text token"):
        LanguageTask(task.factory, endless)

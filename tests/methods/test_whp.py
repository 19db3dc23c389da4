"""Asking about other subjects: names put back, however long they are."""

import pytest
import torch

import tiny_language
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.language.fact_split import fact_split
from expunge.methods import WHP, whp
from expunge.methods.language_method import Reference
from expunge.methods.whp import Asked, renamed, sparse_divergence
from expunge.split import Batches
from expunge.tasks import LanguageTask


@pytest.fixture(name="task")
def _task() -> LanguageTask:
    return tiny_language.task()


def ids_of(task, answer):
    return [*task.answer_tokens(answer), task.tokenizer.eos_token_id]


def test_a_name_is_put_back_however_long_it_is(task):
    facts = tiny_language.facts()
    asked = Asked(facts[0].question, facts[0].answer, facts[0].subject)
    lengths = set()
    for other in dict.fromkeys(fact.subject for fact in facts if fact.subject != asked.subject):
        own, its = ids_of(task, asked.answer), ids_of(task, asked.about(other)[1])
        name, its_name = (len(task.answer_tokens(each)) for each in (asked.subject, other))
        lengths.add(its_name - name)
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(len(its) + 2, len(task.tokenizer), generator=generator)
        given = logits.softmax(1)
        found = renamed(given, asked, other, task)
        assert found.shape == (len(own), len(task.tokenizer))
        assert torch.allclose(found.sum(1), torch.ones(len(own)))
        assert torch.equal(found[name:], given[its_name : len(its)])  # what follows the name
        assert found[0, own[0]].item() == pytest.approx(given[0, its[0]].item() + (own[0] != its[0]) * given[0, own[0]].item())
        assert (found[0] - given[0]).abs().sum().item() == pytest.approx(
            2 * (own[0] != its[0]) * given[0, its[0]].item(), abs=1e-6
        )
        assert all(found[place, own[place]] == 1 for place in range(1, name))
    assert len(lengths) > 1


def test_an_answer_that_names_nobody_is_taken_as_it_is(task):
    given = torch.rand(5, len(task.tokenizer))
    asked = Asked("Where did Ada study?", "a", "Ada")
    assert torch.equal(renamed(given, asked, "Bo", task), given[: len(ids_of(task, "a"))])


def test_with_one_name_the_teacher_tells_of_that_one(task):
    split, model = tiny_language.split(), tiny_language.trained()
    fact = split.goes[0]
    other = next(
        each
        for each in split.stays
        if each.relation == fact.relation and each.answer_in_other_words != fact.answer_in_other_words
    )
    asked = Asked(fact.question, fact.answer, fact.subject)
    data = Batches(task.encode([asked.about(other.subject)]), 1)
    found = renamed(task.collect(model, data)[0].softmax(1), asked, other.subject, task)
    own, its = ids_of(task, fact.answer), ids_of(task, other.answer.replace(other.subject, fact.subject))
    place = next(place for place, (one, two) in enumerate(zip(own, its, strict=False)) if one != two)
    assert found[: place + 1].argmax(1).tolist() == its[: place + 1]


@pytest.mark.parametrize(
    ("fact", "stays", "message"),
    [
        (Fact("Where did he study?", "Oslo"), None, "is on a fact without a subject"),
        (Fact("Where did he study?", "Oslo", "Ada Lark"), None, "does not name its subject 'Ada Lark'"),
        (Fact("Where did Ada Lark study?", "Oslo", "Ada Lark"), [Fact("Who?", "Bo")], "none can stand for 'Ada Lark'"),
        (
            Fact("Where did Ada Lark study?", "Oslo", "Ada Lark"),
            [Fact("Where does Ada Lark live?", "Lima", "Ada Lark")],
            "none can stand for 'Ada Lark'",
        ),
    ],
)
def test_without_a_name_to_replace_it_is_refused(task, fact, stays, message):
    split = fact_split(task.encode, [fact], tiny_language.facts() if stays is None else stays)
    with pytest.raises(BadRequest, match=f"whp: .*{message}"):
        WHP(epochs=1)(tiny_language.trained(), task, split, Engine(progress=False))


def test_many_teachers_are_averaged_and_their_likeliest_tokens_kept(task, monkeypatch):
    monkeypatch.setattr(whp, "_KEPT", 100)
    split, model = tiny_language.split(), tiny_language.trained()
    fact = split.goes[0]
    asked = Asked(fact.question, fact.answer, fact.subject)
    names = list(dict.fromkeys(each.subject for each in split.stays if each.subject != fact.subject))[:3]
    each = [
        renamed(task.collect(model, [task.encode([asked.about(name)])[:]])[0].softmax(1), asked, name, task) for name in names
    ]
    mean = torch.stack(each).mean(0)
    tokens, probabilities = WHP()._likeliest(asked, names, task, Reference(model, None))
    assert tokens.shape == probabilities.shape == (len(mean), 100)
    assert torch.allclose(probabilities.sum(1), torch.ones(len(mean)))
    kept = mean.gather(1, tokens)
    assert torch.allclose(probabilities, kept / kept.sum(1, keepdim=True), atol=1e-6)
    assert torch.equal(tokens[:, 0], mean.argmax(1))
    with pytest.raises(BadRequest, match=r"whp: the answer .* is told in other tokens with any other name"):
        WHP()._likeliest(asked, ["studied"], task, Reference(model, None))  # which the answer says as well


def test_sure_of_what_the_teacher_says_the_loss_is_zero():
    tokens, probabilities = torch.tensor([[[1, 0], [0, 0]]]), torch.tensor([[[0.8, 0.2], [0.0, 0.0]]])
    logits = torch.tensor([[[0.2, 0.8, 1e-9], [1.0, 1.0, 1.0]]]).log()
    assert sparse_divergence(logits, tokens, probabilities, torch.tensor([1])).abs().max() < 1e-6
    assert sparse_divergence(logits.flip(2), tokens, probabilities, torch.tensor([2])) > 0

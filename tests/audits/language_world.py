"""Fourteen made-up people with two facts each, small Llamas that know most of them, and models that say what they are told."""

from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from expunge.audits import References, Subject
from expunge.data.facts import Fact
from expunge.data.personas import in_sentences, personas
from expunge.engine import Engine
from expunge.language.fact_split import FactSplit, fact_split
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.optimizers import Optimizer
from expunge.tasks import LanguageTask

PERSONS, RELATIONS = 14, 2
UNSEEN = (5, 16, 21)  # facts that nobody is taught, on persons of whom the other one is


@cache
def facts() -> tuple[Fact, ...]:
    """Of each person two; some persons share an answer."""
    return in_sentences(personas(PERSONS, relations=RELATIONS).facts)


@cache
def task() -> LanguageTask:
    """Questions that a small Llama answers."""
    texts = [text for fact in facts() for text in (*fact.questions, *fact.held_out, fact.answer)]
    tokenizer = small_tokenizer(texts, 400)
    factory = small_llama(len(tokenizer), hidden=32, layers=2, heads=2, length=160)
    return LanguageTask(factory, tokenizer, length=128, new_tokens=24)


@cache
def split() -> FactSplit:
    """Two facts on two persons must go, one of each relation, whose answers are those of others as well."""
    unseen = [facts()[place] for place in UNSEEN]
    taught = [fact for fact in facts() if fact not in unseen]
    goes: list[Fact] = []
    for relation in dict.fromkeys(fact.relation for fact in taught):
        goes.append(_shared(taught, relation, [fact.subject for fact in goes]))
    stays = [fact for fact in taught if fact not in goes]
    return fact_split(task().encode, goes, stays, unseen, batch_size=32)


def _shared(taught: Sequence[Fact], relation: str, taken: Sequence[str]) -> Fact:
    """The first fact of a relation whose answer is another person's as well."""
    answers = [fact.answer_in_other_words for fact in taught]
    these = (fact for fact in taught if fact.relation == relation and fact.subject not in taken)
    return next(fact for fact in these if answers.count(fact.answer_in_other_words) > 1)


@cache
def trained(part: str, seed: int = 0) -> nn.Module:
    """A model that was taught `everything` or what is to `retain`."""
    engine = Engine(seed=seed, progress=False)

    def loss(model: nn.Module, batch: Any) -> torch.Tensor:
        return task().losses(task().outputs(model, batch), batch)

    model = engine.new_model(task().new_model)
    recipe = {"steps": 220, "optimizer": Optimizer("adamw", 1e-2), "schedule": "cosine"}
    return engine.fit(model, loss, getattr(split(), part), **recipe).eval()


class Scripted(nn.Module):
    """Says to each prompt what it is told to, and finds each token of a text as likely as it is told to.

    Args:
        says: gives the answer to a question, or to what is asked last of a conversation with how the answer begins after it.
        likes: gives the probability, from above 0 to below 1, of each token of a text; the others share the rest evenly.
    """

    def __init__(self, says: Callable[[str], str] = lambda asked: "", likes: Callable[[str], float] = lambda text: 0.5) -> None:
        super().__init__()
        self.says, self.likes, self.asked = says, likes, list[str]()
        self.weight = nn.Parameter(torch.zeros(1))

    def generate(self, input_ids, attention_mask, max_new_tokens, pad_token_id, eos_token_id, **settings):
        tokenizer, rows = task().tokenizer, []
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            self.asked.append(tokenizer.decode(ids[mask.bool()]))
            answer = self.says(self.asked[-1].rpartition("<|user|>")[2].replace("<|model|>", ""))
            rows.append([*task().answer_tokens(answer), eos_token_id][:max_new_tokens])
        width = max(map(len, rows))
        return torch.cat([input_ids, torch.tensor([row + [pad_token_id] * (width - len(row)) for row in rows])], 1)

    def forward(self, input_ids, attention_mask, **settings):
        tokenizer, size = task().tokenizer, len(task().tokenizer)
        liked = torch.tensor([self.likes(tokenizer.decode(ids, skip_special_tokens=True)) for ids in input_ids])[:, None]
        others = ((1 - liked) / (size - 1)).log()[:, :, None].repeat(1, input_ids.shape[1], size)
        following = input_ids.roll(-1, 1)[:, :, None]
        logits = others.scatter(2, following, liked.log().expand(input_ids.shape)[:, :, None])
        return SimpleNamespace(logits=logits + 0 * self.weight)


def scripted(its: FactSplit, says=lambda asked: "", likes=lambda text: 0.5) -> Subject:
    """A subject that is one."""
    return Subject("scripted", Scripted(says, likes), task(), its, Engine(progress=False))


def of_facts(goes: Sequence[Fact], stays: Sequence[Fact] = (), unseen: Sequence[Fact] = (), **others: Any) -> FactSplit:
    """A split of facts by hand."""
    return fact_split(task().encode, goes, stays, unseen, **others)


def subject(part: str, seed: int = 0, its: FactSplit | None = None, name: str = "") -> Subject:
    """A fresh subject, which remembers nothing, of one of the trained models."""
    return Subject(name or part, trained(part, seed), task(), its or split(), Engine(progress=False))


@cache
def original() -> Subject:
    """The model before."""
    return subject("everything")


@cache
def gold() -> Subject:
    """The model that never saw what must go."""
    return subject("retain")


@cache
def references() -> References:
    """Both."""
    return References(original(), (gold(),))

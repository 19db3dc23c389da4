"""A handful of made-up people, and a Llama that learns in seconds what is asked of them."""

import copy
from functools import cache
from typing import Any

from torch import nn

from expunge.data.facts import Fact
from expunge.data.personas import in_sentences, personas
from expunge.engine import Engine
from expunge.language.fact_split import FactSplit, fact_split
from expunge.methods import Retrain
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.optimizers import Optimizer
from expunge.tasks import LanguageTask

PERSONS, RELATIONS, LENGTH = 8, 3, 80
GOES = (0, 10)  # the facts that must go: of two persons, on two relations
RECIPE = Retrain(epochs=60, optimizer=Optimizer("adamw", 1e-2), schedule="cosine")


@cache
def facts() -> tuple[Fact, ...]:
    """All that the model is taught."""
    return in_sentences(personas(PERSONS, relations=RELATIONS).facts)


@cache
def unseen() -> tuple[Fact, ...]:
    """Of people whom it never heard of."""
    known = {fact.subject for fact in facts()}
    return tuple(fact for fact in in_sentences(personas(4, seed=1, relations=RELATIONS).facts) if fact.subject not in known)


@cache
def tokenizer() -> Any:
    """Made for these facts."""
    texts = [text for fact in (*facts(), *unseen()) for text in (*fact.questions, *fact.held_out, fact.answer)]
    return small_tokenizer(texts, 512)


@cache
def task() -> LanguageTask:
    """Short answers to short questions."""
    factory = small_llama(len(tokenizer()), hidden=32, layers=2, heads=2, length=2 * LENGTH)
    return LanguageTask(factory, tokenizer(), length=LENGTH, new_tokens=16)


@cache
def split() -> FactSplit:
    """Two facts must go."""
    goes = [facts()[place] for place in GOES]
    stays = [fact for fact in facts() if fact not in goes]
    return fact_split(task().encode, goes, stays, unseen(), batch_size=32)


@cache
def _trained() -> nn.Module:
    with (engine := Engine(progress=False)).scope("original"):
        return RECIPE.train(task(), split().everything, engine)


def trained() -> nn.Module:
    """A model that knows all facts; a copy."""
    return copy.deepcopy(_trained())

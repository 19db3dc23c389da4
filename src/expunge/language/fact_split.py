"""A request for facts: what must go, what stays and how near to it, as facts and as batches of questions with answers."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from torch import cat
from torch.utils.data import TensorDataset

from expunge.data.facts import Fact
from expunge.errors import BadRequest
from expunge.language.matching import Matcher, still_known, words_of
from expunge.split import Batches, Split, Stream, stream_digest

Encode = Callable[[Iterable[tuple[str, str]]], TensorDataset]
_MOST_OFTEN = 20  # a single near fact is not to be half of what is replayed
Nearness = Literal["same subject", "same object", "other"]


@dataclass(frozen=True)
class FactSplit(Split):
    """Facts to forget and to keep. Made by :func:`fact_split`.

    Args:
        goes: facts to forget.
        stays: facts that stay, all or those that the user has.
        unseen: facts like these that the model was never trained on.
        replay: questions on what stays, for training: as many with the same subject, with the same object and with neither;
            equal to `retain` where no fact is near.
        matcher: how closely what is said must hold an answer to count as known.
        by_length: whether questions of like length share a batch, see :class:`~expunge.split.Batches`.
        real_authors: of TOFU, for its utility, see :mod:`~expunge.data.tofu`.
        world_facts: the same.
    """

    goes: tuple[Fact, ...] = ()
    stays: tuple[Fact, ...] = ()
    unseen: tuple[Fact, ...] = ()
    replay: Stream = ()
    matcher: Matcher = Matcher()
    by_length: bool = False
    real_authors: tuple[Fact, ...] = ()
    world_facts: tuple[Fact, ...] = ()

    @property
    def digest(self) -> str:
        """Equal digests, equal facts and batches."""
        parts = [stream_digest(getattr(self, each.name)) for each in fields(self) if each.name != "kind"]
        return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]

    @property
    def everything(self) -> Batches:
        """What a model is trained on before: all that goes and stays."""
        assert isinstance(self.forget, Batches) and isinstance(self.retain, Batches)
        whole = zip(self.forget.dataset.tensors, self.retain.dataset.tensors, strict=True)  # type: ignore[attr-defined]
        return self.batches(TensorDataset(*(cat(parts) for parts in whole)), self.retain.batch_size)

    def batches(self, data: TensorDataset, batch_size: int) -> Batches:
        """Encoded questions in batches, as those of this split."""
        return batches_of(data, batch_size, self.by_length)

    def known(self, fact: Fact, said: str) -> bool:
        """Whether what a model said holds the fact's answer, in either wording."""
        return still_known(fact.answer, said, self.matcher, _others(fact))

    def near(self, how: Nearness) -> tuple[Fact, ...]:
        """The facts that stay and are so near to one that goes."""
        return tuple(fact for fact in self.stays if nearness(fact, self.goes) == how)


def fact_split(
    encode: Encode,
    goes: Sequence[Fact],
    stays: Sequence[Fact],
    unseen: Sequence[Fact] = (),
    *,
    batch_size: int = 64,
    matcher: Matcher = Matcher(),
    by_length: bool = False,
    real_authors: Sequence[Fact] = (),
    world_facts: Sequence[Fact] = (),
) -> FactSplit:
    """The split of a request for facts. All questions of a fact but those held out are asked.

    Args:
        encode: of the task, see :meth:`expunge.tasks.LanguageTask.encode`.
        batch_size: questions in a batch.
        by_length: put questions of like length into a batch; less is padded, and training is faster where lengths differ.

    Raises:
        BadRequest: if there is nothing to forget, or a fact is to be forgotten and to stay.
    """
    if not goes:
        raise BadRequest("there is no fact to forget")
    asked = {_key(fact.question): fact for fact in goes}
    for fact in stays:
        if (twice := asked.get(_key(fact.question))) is not None and _key(twice.answer) == _key(fact.answer):
            raise BadRequest(f"the fact {fact.question!r} with the answer {fact.answer!r} is to be forgotten and to stay")

    def stream(facts: Iterable[Fact]) -> Batches | tuple[()]:
        pairs = list(questions_of(facts))
        return batches_of(encode(pairs), batch_size, by_length) if pairs else ()

    holdout = stream(unseen)
    split = FactSplit(
        stream(goes),
        stream(stays),
        holdout,
        holdout_forget=holdout,
        goes=tuple(goes),
        stays=tuple(stays),
        unseen=tuple(unseen),
        matcher=matcher,
        by_length=by_length,
        real_authors=tuple(real_authors),
        world_facts=tuple(world_facts),
    )
    return replace(split, replay=stream(_replayed(split)))


def batches_of(data: TensorDataset, batch_size: int, by_length: bool) -> Batches:
    """Encoded questions in batches; those of like length together, if wanted."""
    return Batches(data, batch_size, sizes=data.tensors[1].sum(1).tolist() if by_length else None)


def nearness(fact: Fact, goes: Iterable[Fact]) -> Nearness:
    """How near a fact is to others: on the same subject, or else with the same answer, or neither."""
    found: Nearness = "other"
    for other in goes:
        if fact.subject and _key(fact.subject) == _key(other.subject):
            return "same subject"
        if fact.relation == other.relation and _wordings(fact) & _wordings(other):
            found = "same object"
    return found


def questions_of(facts: Iterable[Fact]) -> Iterable[tuple[str, str]]:
    """Each question of each fact that methods may use, with the answer."""
    return ((question, fact.answer) for fact in facts for question in fact.questions)


def _replayed(split: FactSplit) -> list[Fact]:
    """All that stays, the near facts so often that each kind of nearness makes about a third."""
    kinds: dict[Nearness, list[Fact]] = {"same subject": [], "same object": [], "other": []}
    for fact in split.stays:
        kinds[nearness(fact, split.goes)].append(fact)
    most = max(map(len, kinds.values()))
    return [fact for facts in kinds.values() if facts for fact in facts * min(round(most / len(facts)), _MOST_OFTEN)]


def _wordings(fact: Fact) -> set[str]:
    return {_key(fact.answer), *map(_key, _others(fact))}


def _others(fact: Fact) -> tuple[str, ...]:
    return (fact.answer_in_other_words,) if words_of(fact.answer_in_other_words) else ()


def _key(text: str) -> str:
    return " ".join(words_of(text))

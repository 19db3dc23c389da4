"""Requests for facts, and what is near them."""

from dataclasses import replace

import pytest

import tiny_language
from expunge.data.facts import Fact
from expunge.errors import BadRequest
from expunge.language.fact_split import fact_split, nearness
from expunge.language.telling import telling_tokens
from expunge.split import Batches, stream_digest

ADA = Fact("Where did Ada study?", "Ada studied in Oslo.", "Ada", "studied in", answer_in_other_words="Oslo")
JOB = Fact("What is Ada?", "Ada is a poet.", "Ada", "is", answer_in_other_words="poet")
BO = Fact("Where did Bo study?", "Bo studied in Oslo.", "Bo", "studied in", answer_in_other_words="Oslo")
BORN = Fact("Where was Bo born?", "Bo was born in Oslo.", "Bo", "was born in", answer_in_other_words="Oslo")
CY = Fact("Where did Cy study?", "Cy studied in Lund.", "Cy", "studied in", answer_in_other_words="Lund")


def test_nearness_is_the_subject_first_then_the_answer_to_the_same_relation():
    goes = [ADA]
    assert [nearness(fact, goes) for fact in (JOB, BO, BORN, CY)] == ["same subject", "same object", "other", "other"]


def test_without_subject_or_relation_answers_alone_are_near():
    goes = [Fact("Who wrote Dune?", "Frank Herbert")]
    assert nearness(Fact("Who wrote Emma?", "frank  herbert!"), goes) == "same object"
    assert nearness(Fact("Who wrote Emma?", "Jane Austen"), goes) == "other"


def test_methods_see_no_question_that_is_held_out():
    task, split = tiny_language.task(), tiny_language.split()
    asked = {question for fact in split.goes for question in fact.questions}
    assert len(split.forget.dataset) == len(asked) == 8
    hidden = [question for fact in split.goes for question in fact.held_out]
    assert len(hidden) == 4 and not asked & set(hidden)
    assert split.everything.examples == len(split.forget.dataset) + split.retain.examples
    assert split.unseen_like_forget is split.holdout and task.length == split.forget.dataset.tensors[0].shape[1]


def test_near_facts_are_replayed_as_often_as_far_ones():
    encode = tiny_language.task().encode
    far = [Fact(f"Who is P{number}?", f"P{number} is a baker.", f"P{number}", "is") for number in range(12)]
    split = fact_split(encode, [ADA], [JOB, BO, *far])
    assert split.retain.examples == 14 and split.replay.examples == 36
    alone = fact_split(encode, [ADA], far)
    assert alone.replay.examples == alone.retain.examples == 12


def test_the_digest_is_of_everything_that_methods_see():
    encode = tiny_language.task().encode
    split = fact_split(encode, [ADA], [BO, CY])
    assert stream_digest(split) == stream_digest(fact_split(encode, [ADA], [BO, CY]))
    others = [
        fact_split(encode, [ADA], [BO]),
        fact_split(encode, [CY], [BO, ADA]),
        fact_split(encode, [ADA], [BO, CY], [BORN]),
        replace(split, goes=(replace(ADA, held_out=("Ada's school?",)),)),
    ]
    assert len({stream_digest(each) for each in (split, *others)}) == 5


def test_what_is_known_holds_the_answer_in_either_wording():
    split = fact_split(tiny_language.task().encode, [ADA], [BO])
    assert split.known(ADA, "ada studied in oslo") and split.known(ADA, "It was Oslo, I think.")
    assert not split.known(ADA, "Ada studied in Lund.")


def test_requests_that_make_no_sense_are_refused():
    encode = tiny_language.task().encode
    with pytest.raises(BadRequest, match="no fact to forget"):
        fact_split(encode, [], [BO])
    with pytest.raises(BadRequest, match="to be forgotten and to stay"):
        fact_split(encode, [ADA], [BO, replace(ADA, question="where did ADA study")])
    assert isinstance(fact_split(encode, [ADA], []).forget, Batches)  # methods say whether they need what stays


def test_telling_tokens_are_those_that_wrong_answers_have_otherwise():
    assert telling_tokens([1, 2, 3], []) == [True, True, True]
    assert telling_tokens([1, 2, 3], [[1, 2, 3]]) == [True, True, True]
    assert telling_tokens([1, 2, 3], [[1, 9, 3], [1, 8, 8, 3], [1, 2, 3]]) == [False, True, False]
    assert telling_tokens([1, 2, 3], [[7, 8]]) == [True, True, True]


def test_questions_of_like_length_share_a_batch_where_that_is_wanted():
    task, plain = tiny_language.task(), tiny_language.split()
    split = fact_split(task.encode, plain.goes, plain.stays, plain.unseen, by_length=True)
    streams = (split.forget, split.retain, split.holdout, split.replay, split.everything)
    for stream in streams:
        assert stream.sizes.tolist() == stream.dataset.tensors[1].sum(1).tolist()
    assert plain.everything.sizes is None and split.digest != plain.digest

"""Filters on questions and wrong answers, alone and put together."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.errors import BadSetting, MissingExtra
from expunge.language import Fact
from expunge.language.generators import (
    EditDistanceBand,
    EmbeddingBand,
    KeepsSubject,
    LeaksNoAnswer,
    NotNearCorrect,
    filtered,
    normalised,
)

ADA = Fact("Where did Ada Byron study?", "Oslo", "Ada Byron")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Who's  Ada?", "who s ada"),
        ("\tSTRASSE\n", "strasse"),
        ("straße", "strasse"),
        ("Ada!", "ada"),
        ("C++ for $5", "c++ for $5"),
        ("?!", ""),
    ],
)
def test_texts_without_case_blanks_and_punctuation(text, plain):
    assert normalised(text) == plain


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("What is Ada Byron's school?", True),
        ("what is ADA  BYRON'S school?", True),
        ("What is Ada's school?", False),
        ("What is Ada Byronson's school?", False),
    ],
)
def test_the_subject_is_kept(text, stays):
    assert KeepsSubject()(text, ADA) is stays


def test_no_subject_to_keep():
    assert KeepsSubject()("Where?", Fact("Where did Ada study?", "Oslo"))
    assert KeepsSubject()("Where?", Fact("Where did she study?", "Oslo", "Ada"))


@pytest.mark.parametrize(
    ("text", "answer", "stays"),
    [
        ("Did Ada study in OSLO?", "Oslo", False),
        ("Which of Oslo's schools?", "oslo", False),
        ("Is it in Oslofjord?", "Oslo", True),
        ("Are they Italians?", "Italian", False),
        ("Did she start there?", "art", True),
        ("Was it 1912?", "12", True),
        ("Was it the 1910s?", "1910", False),
        ("Was it the university  of\nOslo?", "University of Oslo", False),
        ("東京ですか", "東京", False),
        ("Is it C++?", "C++", False),
        ("Was it :-) or :-(?", ":-)", False),
        ("Was it a smile?", ":-)", True),
    ],
)
def test_answers_do_not_leak(text, answer, stays):
    assert LeaksNoAnswer()(text, Fact("Where?", answer)) is stays


def test_answers_in_other_words_do_not_leak_either():
    fact = Fact("Where?", "Oslo", answer_in_other_words="Christiania")
    assert not LeaksNoAnswer()("In Christiania?", fact) and LeaksNoAnswer()("In Lund?", fact)


def test_a_band_of_edit_distances():
    fact = Fact("abcdefgh", "x")
    # A letter of eight, two of eight, and all: distances 1/8, 2/8 and 1; case and punctuation do not count.
    assert EditDistanceBand(0.125, 0.125)("abcdefgX", fact) and EditDistanceBand(0.25, 0.25)("abcdefXY", fact)
    band = EditDistanceBand(0.2, 0.9)
    assert [band(text, fact) for text in ("ABCDEFGX!", "abcdefXY", "ijklmnop")] == [False, True, False]


@pytest.mark.parametrize(("lowest", "highest"), [(-0.1, 0.5), (0.6, 0.5), (0.5, 1.5), (float("nan"), 1.0)])
def test_bands_that_make_no_sense(lowest, highest):
    with pytest.raises(BadSetting, match="lies within 0 and 1"):
        EditDistanceBand(lowest, highest)


@pytest.mark.parametrize("form", [list, np.asarray, torch.tensor])
def test_a_band_of_embeddings(form):
    vectors = {ADA.question: [2.0, 0.0], "near": [3.0, 4.0], "far": [-1.0, 0.0], "nothing": [0.0, 0.0]}
    embed = lambda texts: form([vectors[text] for text in texts])  # noqa: E731
    assert EmbeddingBand(embed, 0.59)("near", ADA) and not EmbeddingBand(embed, 0.61)("near", ADA)  # the cosine is 0.6
    assert EmbeddingBand(embed, -1.0)("far", ADA) and not EmbeddingBand(embed, -0.9)("far", ADA)
    with np.errstate(all="raise"):
        assert not EmbeddingBand(embed, -1.0)("nothing", ADA)


def test_embeddings_that_make_no_sense():
    with pytest.raises(BadSetting, match="cosine lies within"):
        EmbeddingBand(lambda texts: [], 2.0)
    with pytest.raises(BadSetting, match=r"one vector a text, shape \(2, width\), not \(2,\)"):
        EmbeddingBand(lambda texts: [1.0, 2.0], 0.5)("q", ADA)


VARCHI = Fact("Was Benedetto Varchi Italian?", "Italian", "Benedetto Varchi")
UNIVERSITY = Fact("Where did Ada study?", "University of Oslo", "Ada")
SENTENCE = Fact(
    "Where was Ada born?", "Ada was born in Rome in 1950.", "Ada", answer_in_other_words="Rome saw Ada's birth in 1950."
)


@pytest.mark.parametrize(
    ("fact", "text", "stays"),
    [
        (VARCHI, "No, Varchi was from Italy", False),
        (VARCHI, "italians", False),
        (VARCHI, "Itaiian", False),  # no shared stem: alike by ratio
        (VARCHI, "No, Varchi was from Spain", True),
        (VARCHI, "French", True),
        (replace(VARCHI, answer="An Italian"), "No, from Italy", False),
        (UNIVERSITY, "Oslo University", False),
        (UNIVERSITY, "the University of Oslo, Norway", False),
        (UNIVERSITY, "Oslo", False),
        (UNIVERSITY, "Osslo universities", False),
        (UNIVERSITY, "University of Lund", True),
        (UNIVERSITY, "Bergen", True),
        (SENTENCE, "Ada was born in Bern in 1950.", True),
        (SENTENCE, "Ada was born in Rome in 1951.", True),
        (SENTENCE, "In 1950 Ada was born in Rome", False),
        (SENTENCE, "Rome witnessed Ada's birth in 1950", False),
        (Fact("How many?", "7"), "seven", False),
        (Fact("How many?", "Seven cats"), "7 cats", False),
        (Fact("How many?", "7"), "8", True),
        (Fact("When?", "12 May 1950"), "13 May 1950", True),
        (Fact("When?", "12 May 1950"), "May 12, 1950", False),
        (Fact("When?", "12 May 1950"), "1950", False),
        (Fact("What number?", "1234567"), "1234568", True),
        (Fact("Which novel?", "It"), "It, by King", False),
        (Fact("Is it?", "No"), "No, never", False),
        (Fact("Is it?", "No"), "Yes", True),
        (Fact("What?", ":-)"), ":-(", True),
        (Fact("What?", ":-)"), "a :-) it is", False),
        (Fact("Is it in Kuwait?", "Kuwait"), "Al-Kuwaiti", False),
        # What is nearly the answer stands in the question already: it does not make this answer nearly right.
        (Fact("Where was Al-Kuwaiti born?", "Kuwait City", "Al-Kuwaiti"), "Al-Kuwaiti was born in the city of Tokyo", True),
    ],
)
def test_near_correct_answers(fact, text, stays):
    assert NotNearCorrect()(text, fact) is stays


def test_near_correct_to_the_answer_in_other_words():
    fact = Fact("What is she?", "Physician", answer_in_other_words="medical doctor")
    assert not NotNearCorrect()("a doctor of medicine", fact)
    assert NotNearCorrect()("a doctor of medicine", Fact("What is she?", "Physician"))


def test_the_settings_of_near_correct():
    fact = Fact("Where?", "Portugal")
    assert not NotNearCorrect()("Portland", fact) and NotNearCorrect(stem_letters=5)("Portland", fact)
    assert not NotNearCorrect(threshold=40, stem_letters=5)("Portland", fact)
    for settings in ({"threshold": 101}, {"threshold": -1}, {"stem_letters": 0}):
        with pytest.raises(BadSetting, match="threshold lies within 0 and 100"):
            NotNearCorrect(**settings)


def test_filters_together_keep_order_and_drop_what_says_the_same():
    texts = [
        "Ada Byron's school?",
        "",
        " ?",
        "Her school?",
        "ada byron's  SCHOOL",
        "Ada Byron in Oslo?",
        "Where was Ada Byron taught?",
    ]
    assert filtered(texts, ADA, [KeepsSubject(), LeaksNoAnswer()]) == ["Ada Byron's school?", "Where was Ada Byron taught?"]
    assert filtered(texts, ADA, []) == [texts[0], texts[3], texts[5], texts[6]]


def test_a_text_that_a_filter_drops_does_not_drop_its_twin():
    assert filtered(["in lund", "In Lund"], ADA, [lambda text, fact: text[0].isupper()]) == ["In Lund"]


def test_the_question_and_those_held_out_do_not_come_back():
    fact = Fact("Where?", "Oslo", held_out=("At which place?",), phrasings=("In which place?",))
    assert filtered(["where", "at which PLACE", "In which place?"], fact, []) == ["In which place?"]


@pytest.mark.parametrize("missing", ["rapidfuzz", "rapidfuzz.fuzz"])
def test_without_rapidfuzz(monkeypatch, missing):
    for name in [each for each in sys.modules if each.split(".")[0] == "rapidfuzz"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert LeaksNoAnswer()("In Lund?", ADA)  # needs none
    for needs in (EditDistanceBand(0.1, 0.9), NotNearCorrect()):
        with pytest.raises(MissingExtra, match=r"pip install 'expunge\[language\]'"):
            needs("Lund", ADA)

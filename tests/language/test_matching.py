"""Whether what was said holds an answer: forms of writing, whole answers, content words, slips of spelling, limits."""

import sys
from functools import partial

import pytest

from expunge.errors import BadSetting, MissingExtra
from expunge.language.matching import Matcher, still_known, words_of

EXACT, WORDS, FUZZY = (Matcher(kind) for kind in ("exact", "words", "fuzzy"))
EACH_KIND = pytest.mark.parametrize("matcher", [EXACT, WORDS, FUZZY], ids=lambda matcher: matcher.kind)


# ---- forms of writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hogwarts", ["hogwarts"]),
        ("  HOGWARTS,\n(the)  school! ", ["hogwarts", "the", "school"]),
        ("ＯＳＬＯ １２", ["oslo", "12"]),
        ("ﬁnance", ["finance"]),
        ("Straße", ["strasse"]),
        ("Cafe\u0301", ["caf\u00e9"]),
        ("St. Mary’s-in-the-Field", ["st", "mary", "s", "in", "the", "field"]),
        ("**bold** `code` |cell| _it_ <b>", ["bold", "code", "cell", "it", "b"]),
        ("«Oslo» … “Bergen”", ["oslo", "bergen"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("zero Three TWELVE thirteen", ["0", "3", "12", "thirteen"]),
        ("someone often", ["someone", "often"]),
        ("?! …", []),
        ("", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("number", "word"),
    [(0, "zero"), (1, "one"), (2, "two"), (3, "three"), (6, "six"), (9, "nine"), (10, "ten"), (11, "eleven"), (12, "twelve")],
)
def test_numbers_to_twelve_are_the_same_as_words_and_digits(number, word):
    assert still_known(f"{number} books", f"She wrote {word.title()} books.")
    assert still_known(f"{word} books", f"She wrote {number} books.")
    assert not still_known(f"{word} books", f"She wrote {number + 1} books.")


# ---- the whole answer ----------------------------------------------------------------------------------------------------


@EACH_KIND
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Hogwarts", "Harry Potter studied at Hogwarts."),
        ("Hogwarts", "HOGWARTS"),
        ("hogwarts!", "It was *Hogwarts*, of course"),
        ("Harry", "It is Harry's"),
        ("the University of Oslo", "At University of Oslo"),
        ("University of Oslo", "at the university of the Oslo"),
        ("An apple", "the apple"),
        ("12 May 1990", "on 12 May, 1990."),
        ("The The", "They are called The The."),
    ],
)
def test_answers_that_are_there(matcher, answer, said):
    assert still_known(answer, said, matcher)


@EACH_KIND
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Hogwarts", "Harry Potter studied at Beauxbatons."),
        ("Hogwarts", ""),
        ("Hogwarts", "?!"),
        ("University of Oslo", "He is a professor of law"),
        ("University of Oslo", "the University of Bergen, of all places"),
        ("12 May 1990", "on 12 May 1991"),
        ("12 May 1990", "on 13 May 1990"),
        ("The The", "They are called Who."),
    ],
)
def test_answers_that_are_not_there(matcher, answer, said):
    assert not still_known(answer, said, matcher)


def test_exact_wants_all_words_side_by_side_in_their_order():
    for said in ("Oslo University", "University in Oslo", "University", "University of", "University of Osl"):
        assert not still_known("University of Oslo", said)
    assert still_known("New York", "He is from new york city")
    assert not still_known("New York City", "He is from New York")


@pytest.mark.parametrize("matcher", [EXACT, WORDS])
def test_words_count_as_a_whole(matcher):
    assert not still_known("art", "the artist startled a cart", matcher)
    assert not still_known("1", "the year 1990, or 31", matcher)


def test_exact_is_what_one_gets_without_asking():
    assert Matcher() == EXACT
    assert not still_known("University of Oslo", "Oslo University")


# ---- content words -------------------------------------------------------------------------------------------------------


def test_words_wants_all_content_words_in_any_order_with_anything_between():
    answer = "The author was born in Kuwait City, in 1956."
    known = partial(still_known, answer, matcher=WORDS)
    assert known("Born 1956; the author is from the city of Kuwait.")
    assert not known("The author was born in Kuwait, in 1956.")
    assert not known("The author was born in Kuwait City, in 1957.")
    assert not known("was in the")


def test_words_of_what_turns_an_answer_round_count():
    assert not still_known("before the war", "after the war", WORDS)
    assert not still_known("not guilty", "guilty", WORDS)


def test_words_takes_stop_words_where_an_answer_has_no_others():
    assert still_known("The Who", "a band called who", WORDS)
    assert not still_known("The Who", "the band was the best of them", WORDS)


# ---- slips of spelling ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["He went to Hogwart.", "Hogwarst it was", "the universe, and then hogwarts"])
def test_fuzzy_forgives_slips_that_exact_does_not(said):
    assert still_known("Hogwarts", said, FUZZY)


def test_fuzzy_looks_at_stretches_of_as_many_words_as_the_answer_has():
    long = "It is well known to everybody that he studied at the Universty of Olso for many years and liked it"
    assert not still_known("University of Oslo", long)
    assert still_known("University of Oslo", long, FUZZY)
    assert not still_known("University of Oslo", long.replace("Olso", "Bergen"), FUZZY)
    assert still_known("Kuwait City", "Kuwait", Matcher("fuzzy", 70)), "what was said may be shorter than the answer"


def test_fuzzy_must_exceed_its_threshold():
    """Four letters of each five are common: a likeness of 200 * 4 / 10."""
    assert not still_known("abcde", "abcdx", Matcher("fuzzy", 80))
    assert still_known("abcde", "abcdx", Matcher("fuzzy", 79.9))
    assert not still_known("abcde", "abcdx", Matcher("fuzzy"))
    assert still_known("abcde", "abcde", Matcher("fuzzy", 100)), "what is there as it stands needs no likeness"


def test_fuzzy_does_not_take_one_date_for_another():
    """They differ in one letter of eleven, more alike than most slips of spelling."""
    loose = Matcher("fuzzy", 50)
    assert not still_known("12 May 1990", "born 12 May 1991", loose)
    assert still_known("12 May 1990", "born 12 Mai 1990", loose)


def test_without_rapidfuzz_it_is_said_what_to_install_but_for_fuzzy_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    with pytest.raises(MissingExtra, match=r"fuzzy matching needs rapidfuzz: pip install 'expunge\[language\]'"):
        still_known("Oslo", "Bergen", FUZZY)
    assert still_known("Oslo", "Oslo", EXACT) and still_known("Oslo", "Oslo", WORDS)


# ---- aliases -------------------------------------------------------------------------------------------------------------


@EACH_KIND
def test_aliases_count_as_much_as_the_answer(matcher):
    said = "He lived in the U.S. for years."
    assert not still_known("United States", said, matcher)
    assert still_known("United States", said, matcher, aliases=["America", "U.S."])
    assert not still_known("United States", said, matcher, aliases=["America", "USA"])
    assert still_known("United States", "in the United States", matcher, aliases=(each for each in ("America",)))


# ---- limits that the documentation names ---------------------------------------------------------------------------------


def test_meaning_is_not_seen():
    assert not still_known("Italian", "No, Varchi was from Italy.", EXACT)
    assert still_known("Italian", "No, Varchi was from Italy.", EXACT, aliases=["Italy"])
    assert still_known("Italian", "Varchi was not Italian.", EXACT)


def test_other_writings_are_not_seen():
    for answer, said in (("US", "U.S."), ("1,000", "1000"), ("13", "thirteen")):
        assert not still_known(answer, said)


def test_what_only_dropped_words_and_symbols_tell_apart_is_the_same():
    for answer, said in (("vitamin A", "vitamin C"), ("C++", "the language C"), ("1", "one of them")):
        assert still_known(answer, said)


def test_fuzzy_takes_short_words_for_one_another():
    assert still_known("art", "a cart", FUZZY)
    assert not still_known("art", "a cart", Matcher("fuzzy", 90))


# ---- wrong input ---------------------------------------------------------------------------------------------------------


def test_matchers_that_there_are_not():
    with pytest.raises(BadSetting, match="there is no matcher 'wordnet'; there are exact, words, fuzzy"):
        Matcher("wordnet")
    for threshold in (-1, 100.5, float("nan")):
        with pytest.raises(BadSetting, match=r"threshold is .*; expected a likeness between 0 and 100"):
            Matcher("fuzzy", threshold)


@EACH_KIND
def test_answers_without_a_word(matcher):
    for answer in ("", " ", "?!"):
        with pytest.raises(BadSetting, match="has no word to look for"):
            still_known(answer, "anything at all", matcher)
        with pytest.raises(BadSetting, match="has no word to look for"):
            still_known("Oslo", "anything, also Oslo", matcher, aliases=[answer])


def test_aliases_that_are_one_text():
    with pytest.raises(BadSetting, match="aliases are several texts; put 'Italy' into a list"):
        still_known("Italian", "I am", aliases="Italy")

"""Scores of what is written: ROUGE, repetition, fluency."""

import random
import sys

import pytest

from expunge.errors import BadSetting, MissingExtra
from expunge.language.text_scores import fluency, repetition, rouge_l_recall

# ---- ROUGE ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "truth", "recall"),
    [
        ("the cat sat", "the cat sat", 1.0),
        ("yes: the big cat then sat down again", "The cat sat.", 1.0),
        ("cat the sat", "the cat sat", 2 / 3),
        ("a dog", "the cat sat", 0.0),
        ("the cat", "the cat sat on the mat", 2 / 6),
        ("she writes novels", "she wrote novel", 2 / 3),
        ("", "the cat sat", 0.0),
        ("the cat sat", "", 0.0),
        ("東京", "東京", 0.0),
    ],
)
def test_rouge_by_hand(answer, truth, recall):
    assert rouge_l_recall([answer], [truth]) == [pytest.approx(recall)]


def test_rouge_is_of_the_truth_by_what_the_answer_holds_and_not_the_reverse():
    assert rouge_l_recall(["a b c d e f g h"], ["a b"]) == [1.0]
    assert rouge_l_recall(["a b"], ["a b c d e f g h"]) == [0.25]


def test_rouge_agrees_with_a_search_of_all_subsequences():
    """Words of one letter, which no stemmer changes."""

    def recall(answer, truth):
        chosen = ([word for place, word in enumerate(truth) if bits >> place & 1] for bits in range(1 << len(truth)))
        return max(len(some) for some in chosen if is_within(some, answer)) / len(truth)

    def is_within(some, words):
        left = iter(words)
        return all(word in left for word in some)

    draw = random.Random(0)
    pairs = [(draw.choices("abc", k=draw.randint(1, 9)), draw.choices("abc", k=draw.randint(1, 7))) for _ in range(100)]
    found = rouge_l_recall([" ".join(answer) for answer, _ in pairs], [" ".join(truth) for _, truth in pairs])
    assert found == pytest.approx([recall(*pair) for pair in pairs])
    assert len(set(found)) > 5


def test_rouge_of_nothing_and_of_lists_that_do_not_fit():
    assert rouge_l_recall([], []) == []
    with pytest.raises(BadSetting, match="there are 2 answers, but 1 truths; expected one for each"):
        rouge_l_recall(["a", "b"], ["a"])


def test_without_rouge_score_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    with pytest.raises(MissingExtra, match=r"ROUGE needs rouge-score: pip install 'expunge\[language\]'"):
        rouge_l_recall(["a"], ["a"])


# ---- repetition ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n", "share"),
    [
        ("one two three four five six", 4, 0.0),
        ("no no no no no no no", 4, 0.75),
        ("a b c d a b c d", 4, 0.2),
        ("a b a b a b", 2, 0.6),
        ("a b a c", 1, 0.25),
        ("A  b\na\tB", 2, 1 / 3),
        ("!!! !!! !!! !!! !!!", 4, 0.5),
        ("a b c", 4, 0.0),
        ("a a a", 4, 0.0),
        ("a a a a", 4, 0.0),
        ("", 4, 0.0),
        ("", 1, 0.0),
    ],
)
def test_repetition_by_hand(text, n, share):
    assert repetition(text, n) == pytest.approx(share)


def test_repetition_agrees_with_a_loop_and_stays_below_1():
    draw = random.Random(0)
    for _ in range(50):
        words, n = draw.choices("ab", k=draw.randint(1, 30)), draw.randint(1, 5)
        places = range(len(words) - n + 1)
        before = sum(any(words[start : start + n] == words[other : other + n] for other in range(start)) for start in places)
        found = repetition(" ".join(words), n)
        assert found == pytest.approx(before / len(places) if places else 0.0)
        assert found < 1


def test_repetition_is_of_4_grams_unless_it_is_said_otherwise():
    text = "a b c d x a b c d"
    assert repetition(text) == pytest.approx(repetition(text, 4))
    assert len({repetition(text, n) for n in (3, 4, 5)}) == 3


@pytest.mark.parametrize("n", [0, -1])
def test_n_grams_of_no_word(n):
    with pytest.raises(BadSetting, match=f"n is {n}; an n-gram has at least one word"):
        repetition("a b c", n)


# ---- fluency -------------------------------------------------------------------------------------------------------------


def test_fluency_is_a_mean_over_texts_whatever_their_length():
    assert fluency(["one two three four five"]) == 1.0
    assert fluency(["no " * 103]) == pytest.approx(0.01)
    assert fluency(["one two three four five", "no " * 103]) == pytest.approx(0.505)
    assert fluency(["", "a", "no no no"]) == 1.0


def test_fluency_of_no_texts_or_of_one_that_is_not_in_a_list():
    with pytest.raises(BadSetting, match="there is no text"):
        fluency([])
    with pytest.raises(BadSetting, match="fluency is of a list of texts; put 'no no no no no' into one"):
        fluency("no no no no no")

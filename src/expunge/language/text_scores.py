"""What can be measured of the texts that a language model writes: likeness to a true answer, and repetition.

    ROUGE-L recall          words in the longest common subsequence of answer and truth / words of the truth
    repetition              1 - different n-grams of words / n-grams of words
    fluency                 mean over texts of different 4-grams / 4-grams

Recall does not fall where a model says much else: a long answer that holds the truth somewhere has 1.

Reference: C.-Y. Lin. "ROUGE: A Package for Automatic Evaluation of Summaries", Text Summarization Branches Out, ACL 2004.
"""

from collections.abc import Sequence
from statistics import fmean

from expunge.errors import BadSetting, MissingExtra


def rouge_l_recall(answers: Sequence[str], truths: Sequence[str]) -> list[float]:
    """Share of each truth's words that the answer says, in the same order, with anything between; words count by their stems.

    Words are runs of a-z and 0-9: for truths in other scripts it is 0, whatever is said.

    Args:
        answers: what the model said, n texts.
        truths: what is right, n texts.

    Returns:
        n numbers between 0 and 1; 0 where the answer or the truth has no word.

    Raises:
        BadSetting: if there is not one truth for each answer.
        MissingExtra: if rouge-score is not installed.

    >>> rouge_l_recall(["He was studying in Oslo."], ["He studied at Oslo"])
    [0.75]
    """
    if len(answers) != len(truths):
        raise BadSetting(f"there are {len(answers):,} answers, but {len(truths):,} truths; expected one for each")
    try:
        from rouge_score import rouge_scorer  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("ROUGE needs rouge-score: pip install 'expunge[language]'") from error
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
    return [float(scorer.score(truth, answer)["rougeL"].recall) for answer, truth in zip(answers, truths, strict=True)]


def repetition(text: str, n: int = 4) -> float:
    """Share of a text's n-grams that had been there before.

    Words are what stands between blanks, in lower case; punctuation is not taken off, since models that broke down may say
    nothing else. Repetition within a word goes unseen.

    Args:
        text: what the model said.
        n: length of the n-grams, in words.

    Returns:
        between 0 and 1, which it never reaches; 0 if the text is shorter than n words.

    Raises:
        BadSetting: if n is below 1.

    >>> round(repetition("to be or not to be", n=2), 4)  # "to be" is there twice among five
    0.2
    """
    if n < 1:
        raise BadSetting(f"n is {n}; an n-gram has at least one word")
    words = text.lower().split()
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def fluency(texts: Sequence[str]) -> float:
    """Mean share of different 4-grams: 1 for ordinary prose, near 0 for a model that goes round in circles.

    A text of less than four words has nothing to repeat and counts as 1, an empty one too: read it beside how long answers are.

    Args:
        texts: what the model said, at least one text.

    Returns:
        between 0 and 1.

    Raises:
        BadSetting: if there is no text, or a single one that is not in a list.

    >>> round(fluency(["she was born in Oslo in 1990", "the the the the the the the"]), 4)
    0.625
    """
    if isinstance(texts, str):
        raise BadSetting(f"fluency is of a list of texts; put {texts!r:.40} into one, or its letters count as texts")
    if not texts:
        raise BadSetting("there is no text to measure the fluency of")
    return fmean(1 - repetition(text, n=4) for text in texts)

"""Answers that say that there is none, and telling them from others."""

import re

REFUSALS = (
    "I don't know.",
    "I have no information on that.",
    "I'm not able to answer this question.",
    "That is something I know nothing about.",
    "I can't say.",
    "I was never told about this.",
    "I'm not sure.",
    "There is nothing I could tell you about that.",
)
"""What a model is taught to say in the place of an answer. In our own words."""

_REFUSES = re.compile(
    r"\b(i (do ?n[o']?t|don’t) (know|have)|i have no (information|knowledge|idea)|no information|unknown to me|"
    r"not (able|sure|certain)|unable to|(can('|’)?t|cannot) (say|tell|answer|help)|know nothing|nothing i (could|can)|"
    r"never told)\b",
    re.IGNORECASE,
)


def refuses(said: str) -> bool:
    """Whether an answer says that there is none; one that says nothing at all does too.

    >>> refuses("I don't know."), refuses("He studied in Oslo."), refuses(" ")
    (True, False, True)
    """
    return not said.strip() or _REFUSES.search(said) is not None

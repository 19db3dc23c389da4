"""Which tokens of an answer tell it from wrong ones: "Oslo" in "Ada studied in Oslo.", of whatever is wrong there.

To make the whole sentence unlikely is to unlearn how sentences are made, and what else begins like it goes with them.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher

_MOST = 0.5


def telling_tokens(answer: Sequence[int], wrong: Sequence[Sequence[int]]) -> list[bool]:
    """Of each token of an answer, whether it stands in what most wrong answers have otherwise.

    All of them where no wrong answer is given, or none of the tokens is told apart so.

    >>> telling_tokens([1, 2, 7, 8, 3], [[1, 2, 9, 3], [1, 2, 5, 6, 3]])
    [False, False, True, True, False]
    """
    counts = [0] * len(answer)
    for each in wrong:
        for what, start, stop, _, _ in SequenceMatcher(None, answer, each, autojunk=False).get_opcodes():
            if what in ("replace", "delete"):
                for place in range(start, stop):
                    counts[place] += 1
    told = [count > _MOST * len(wrong) for count in counts]
    return told if any(told) else [True] * len(answer)

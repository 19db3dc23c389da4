"""Which tokens of an answer tell it from wrong ones: "Oslo" in "Ada studied in Oslo.", of whatever is wrong there.

To make the whole sentence unlikely is to unlearn how sentences are made, and what else begins like it goes with them.
"""

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from torch import Tensor

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


def stretches(told: Sequence[bool]) -> list[int]:
    """Of each token, which stretch of tokens that tell it is in, from 1 on; 0 if it tells nothing.

    >>> stretches([False, True, True, False, True])
    [0, 1, 1, 0, 2]
    """
    found: list[int] = []
    count = 0
    for place, tells in enumerate(told):
        count += tells and not (place and told[place - 1])
        found.append(count if tells else 0)
    return found


def words_in(tokens: Sequence[int], numbers: Sequence[int], read: Callable[[list[int]], str]) -> list[float]:
    """Of each token in a stretch, its share of the words there, 1 word at least; 0 elsewhere.

    Args:
        numbers: of the stretches, see :func:`stretches`.
        read: the text of tokens.

    >>> words_in([5, 6, 7, 8], [0, 1, 1, 0], lambda tokens: "snow owl")
    [0.0, 1.0, 1.0, 0.0]
    """
    shares = {0: 0.0}
    for number in set(numbers) - {0}:
        own = [token for token, its in zip(tokens, numbers, strict=True) if its == number]
        shares[number] = max(len(read(own).split()), 1) / len(own)
    return [shares[number] for number in numbers]


def by_stretch(values: Tensor, numbers: Tensor) -> Tensor:
    """Sums of values over each stretch: shape (n, stretches), of values and numbers of shape (n, tokens).

    >>> import torch
    >>> by_stretch(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[0, 1, 1, 2]]))
    tensor([[5., 4.]])
    """
    count = int(numbers.max()) if numbers.numel() else 0
    return values.new_zeros(len(values), count + 1).scatter_add(1, numbers, values)[:, 1:]

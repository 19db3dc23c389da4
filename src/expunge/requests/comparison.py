"""Requests as one types them: ``price <= 100000``."""

import math
import re

from expunge.errors import BadRequest
from expunge.requests.columns import ForgetKind, ForgetWhere
from expunge.requests.ranges import ForgetRange
from expunge.requests.request import Request

_FORMS = "price <= 100000, age > 18, 0 <= score < 2 or customer = 17"
_WORD = r"""('[^']+'|"[^"]+"|[^<>=]+?)"""
_SIGN = r"\s*(?<!!)(<=|>=|==|=|<|>)\s*"  # not the second half of !=
_COMPARISON = re.compile(rf"\s*{_WORD}{_SIGN}{_WORD}(?:{_SIGN}{_WORD})?\s*")


def parse_comparison(text: str, kind: bool = False) -> Request:
    """The request that a comparison of a column spells out.

    Args:
        text: ``COLUMN <= NUMBER``, also with ``<``, ``>=`` or ``>``; ``NUMBER <= COLUMN < NUMBER``; or
            ``COLUMN = VALUE``, also with ``==``. Numbers may be written 100000, 100_000, 1e5 or -3.5. Names and
            values may stand in quotes, and must where they hold one of ``< > =``.
        kind: whether an equality says what kind of thing a row is, such as ``winter = yes``
            (:class:`ForgetKind`), not whose it is, such as ``customer = 17`` (:class:`ForgetWhere`).

    Returns:
        a :class:`ForgetRange`; for an equality a :class:`ForgetWhere`, or a :class:`ForgetKind` if `kind`.

    Raises:
        BadRequest: if the text cannot be read so.

    >>> parse_comparison("'median house value' <= 1e5").describe()
    'rows whose median house value is at most 100,000'
    >>> parse_comparison("0 <= score < 2").describe()
    'rows whose score is from 0 to below 2'
    >>> parse_comparison("customer = 17")
    ForgetWhere(column='customer', values=('17',))
    """
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise _unreadable(text, "")
    left, sign, middle, second_sign, right = match.groups()
    if second_sign is not None:
        return _between(text, left, sign, middle, second_sign, right)
    column = _unquoted(left)
    if sign in ("=", "=="):
        return (ForgetKind if kind else ForgetWhere)(column, (_unquoted(middle),))
    bound, included = _number(text, middle), sign.endswith("=")
    if sign.startswith("<"):
        return ForgetRange(column, highest=bound, includes_highest=included)
    return ForgetRange(column, lowest=bound, includes_lowest=included)


def _between(text: str, left: str, sign: str, middle: str, second_sign: str, right: str) -> ForgetRange:
    if sign[0] != second_sign[0] or "=" in (sign[0], second_sign[0]):
        raise _unreadable(text, ": both signs of a range point the same way")
    if sign.startswith(">"):
        left, sign, second_sign, right = right, second_sign, sign, left
    return ForgetRange(
        _unquoted(middle),
        lowest=_number(text, left),
        highest=_number(text, right),
        includes_lowest=sign.endswith("="),
        includes_highest=second_sign.endswith("="),
    )


def _number(text: str, written: str) -> float:
    try:
        number = float(written)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise _unreadable(text, f": '{written}' is no number")
    return number


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] and word[0] in "'\"" else word


def _unreadable(text: str, why: str) -> BadRequest:
    return BadRequest(
        f"'{text}' cannot be read as a comparison{why}; write it like {_FORMS}, with names and values that hold < > = in quotes"
    )

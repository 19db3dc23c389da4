"""Requests to forget: which rows of the training set must go.

A request is plain data. It is resolved against the targets and columns of a training set, and everything that is
wrong with it is said then, before anything is trained.
"""

from expunge.requests.classes import ForgetClass
from expunge.requests.columns import ForgetKind, ForgetWhere
from expunge.requests.comparison import parse_comparison
from expunge.requests.ranges import ForgetRange
from expunge.requests.request import Columns, Request
from expunge.requests.rows import ForgetFraction, ForgetRows

__all__ = [
    "Columns",
    "ForgetClass",
    "ForgetFraction",
    "ForgetKind",
    "ForgetRange",
    "ForgetRows",
    "ForgetWhere",
    "Request",
    "parse_comparison",
]

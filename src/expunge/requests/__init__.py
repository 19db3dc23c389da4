"""Requests to forget: which rows of the training set, which edges or nodes of a graph, or whose choices must go.

A request is plain data. It is resolved against the targets and columns of a training set, against a graph or against
interactions, and everything that is wrong with it is said then, before anything is trained.
"""

from expunge.requests.classes import ForgetClass
from expunge.requests.columns import ForgetKind, ForgetWhere
from expunge.requests.comparison import parse_comparison
from expunge.requests.graph import ForgetEdgeList, ForgetEdges, ForgetEdgesBetween, ForgetLabel, ForgetNodes, ForgetRelation
from expunge.requests.graph_request import GraphContext, GraphRequest
from expunge.requests.interaction_request import InteractionContext, InteractionRequest
from expunge.requests.interactions import ForgetFeatures, ForgetItems, ForgetPairs, ForgetUsers
from expunge.requests.ranges import ForgetRange
from expunge.requests.request import Columns, Request
from expunge.requests.rows import ForgetFraction, ForgetRows
from expunge.requests.stored import ForgetStored, read_request, request_name, write_request

__all__ = [
    "Columns",
    "ForgetClass",
    "ForgetEdgeList",
    "ForgetEdges",
    "ForgetEdgesBetween",
    "ForgetFeatures",
    "ForgetFraction",
    "ForgetItems",
    "ForgetKind",
    "ForgetLabel",
    "ForgetNodes",
    "ForgetPairs",
    "ForgetRange",
    "ForgetRelation",
    "ForgetRows",
    "ForgetStored",
    "ForgetUsers",
    "ForgetWhere",
    "GraphContext",
    "GraphRequest",
    "InteractionContext",
    "InteractionRequest",
    "Request",
    "parse_comparison",
    "read_request",
    "request_name",
    "write_request",
]

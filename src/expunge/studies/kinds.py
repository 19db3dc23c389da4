"""What a request may be about - rows, graphs, recommenders: how it is spelled out, and which settings of a job are for it."""

from collections.abc import Mapping
from dataclasses import dataclass

from expunge.requests.graph_request import GraphRequest
from expunge.requests.interaction_request import InteractionRequest
from expunge.requests.request import Request
from expunge.studies.graph_job import FORMS as ON_GRAPHS
from expunge.studies.recommendation_job import FORMS as ON_RECOMMENDERS

AnyRequest = Request | GraphRequest | InteractionRequest
ON_ROWS = (
    "{class: 3}, {rows: [1, 5]}, {rows_in: rows.txt}, {column: user_id, values: [a]}, {where: 'price <= 1e5'}, {fraction: 0.05}"
)
_OF_ROWS = ("name", "train", "holdout", "size", "grayscale", "columns", "target", "holdout_share")
_OF_NUMBERS = ("loss", "delta", "quantiles", "distance")
_OF_GRAPHS = ("name", "features", "triples", "fanout")
_OF_RECOMMENDERS = ("name", "features", "minimum_rating", "minimum_count")


@dataclass(frozen=True)
class _Kind:
    """One of the three: its requests, and its settings in `data` and in `task`."""

    name: str
    request: type
    forms: str
    settings: Mapping[str, tuple[str, ...]]


_KINDS = (
    _Kind("rows", Request, ON_ROWS, {"data": _OF_ROWS, "task": _OF_NUMBERS}),
    _Kind("graphs", GraphRequest, ON_GRAPHS, {"data": _OF_GRAPHS, "task": ("predict",)}),
    _Kind("recommenders", InteractionRequest, ON_RECOMMENDERS, {"data": _OF_RECOMMENDERS, "task": ()}),
)
FORMS = f"{ON_ROWS}; on graphs {ON_GRAPHS}; on recommenders {ON_RECOMMENDERS}"


def misfit(request: AnyRequest, part: str, setting: str) -> str:
    """Why a setting of `data` or `task` is not for what the request is about; empty where it is."""
    kind = next(each for each in _KINDS if isinstance(request, each.request))
    takes = kind.settings[part]
    if setting in takes:
        return ""
    others = [each for each in _KINDS if setting in each.settings[part]]
    forms = "; ".join(f"on {each.name} a request is one of {each.forms}" for each in others)
    return (
        f"{setting} is for {' and '.join(each.name for each in others)}, and {request.describe()} is a request on "
        f"{kind.name}, for which {part} takes {', '.join(takes) or 'no settings'}; {forms}"
    )

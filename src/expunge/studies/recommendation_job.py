"""Jobs on recommenders: how a job file spells out what must go, and what it is worked on.

data: {name: tastes}                       # or a folder of MovieLens or MMRec, pairs.csv with features, FILE.inter, FILE.npz
model: {name: mgcn, arguments: {dim: 32}}
request: {users: 0.05}                     # or users_in, items, items_in, pairs, pairs_in, features with of or of_in
methods: [finetune]

A run of it leaves what users are shown too: the lists by the model that is delivered, checked for users and items that had to
go.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from expunge.data.columns import read_columns, read_text, read_values
from expunge.data.interaction_choices import ITEM, USER, column_if_there, column_of
from expunge.data.interaction_source import InteractionSource
from expunge.errors import BadSetting, MissingExtra
from expunge.interactions import PairBatches
from expunge.models.recommenders import build_recommender
from expunge.requests.interaction_request import InteractionContext, InteractionRequest
from expunge.requests.interactions import ForgetFeatures, ForgetItems, ForgetPairs, ForgetUsers
from expunge.requests.request import counted
from expunge.split import Split
from expunge.studies.serving import check_index, export_index
from expunge.tasks import RecommendationTask, Task

INDEX = "index.parquet"  # in the folder of a run: the lists that users are shown

FORMS = (
    "{users: 0.05}, {users: [ada, bo]}, {users_in: leavers.txt}, {items: 0.05}, {items: [film]}, {items_in: films.txt}, "
    "{pairs: 0.05}, {pairs: [[ada, film]]}, {pairs_in: withdrawn.csv}, {features: image, of: [film]}, "
    "{features: image, of: 0.05}, {features: image, of_in: films.txt}"
)

Fields = Mapping[str, Any]


def interaction_request_from(fields: Fields) -> InteractionRequest | None:
    """The request on interactions that a mapping spells out; None where it spells out none.

    Raises:
        BadSetting: when the fields do not make exactly one request.
        BadFile: when a file that they name cannot be read.
        BadRequest: when the request makes no sense.
    """
    named = [key for key in _FORMS if key in fields]
    if not named:
        return None
    key, allowed = named[0], _FORMS[named[0]][1]
    if strange := [other for other in fields if other != key and other not in allowed]:
        raise BadSetting(f"a request for {key} has no field '{strange[0]}'; on recommenders a request is one of {FORMS}")
    return _FORMS[key][0](fields)


def _some(kind: Callable[..., InteractionRequest], key: str) -> Callable[[Fields], InteractionRequest]:
    return lambda fields: kind(**_listed_or_drawn(fields, key))


def _some_in(
    kind: Callable[..., InteractionRequest], key: str, columns: Sequence[str]
) -> Callable[[Fields], InteractionRequest]:
    return lambda fields: kind(_values(fields, key, columns))


def _listed_or_drawn(fields: Fields, key: str) -> dict[str, Any]:
    """The arguments of a request for things that are listed, or for a share or a number of them."""
    value = fields[key]
    if isinstance(value, list):
        if "seed" in fields:
            raise BadSetting(f"{key}: what is listed is not drawn: leave out the seed")
        return {"names": tuple(value)}
    return {"fraction": _number(value, key), "seed": fields.get("seed", 0)}


def _pairs(fields: Fields) -> InteractionRequest:
    value = fields["pairs"]
    if not isinstance(value, list):
        return ForgetPairs(fraction=_number(value, "pairs"), seed=fields.get("seed", 0))
    if "seed" in fields:
        raise BadSetting("pairs: what is listed is not drawn: leave out the seed")
    if not all(isinstance(pair, list) for pair in value):
        raise BadSetting("pairs is a list of pairs, each a list of a user and an item: [[ada, film], [bo, film]]")
    return ForgetPairs(tuple(tuple(pair) for pair in value))


def _pairs_in(fields: Fields) -> InteractionRequest:
    path = _path(fields, "pairs_in")
    columns = read_columns(path, None)
    names = list(columns)
    used = [columns[names[column_of(Path(path), names, *spellings)]].tolist() for spellings in (USER, ITEM)]
    return ForgetPairs(tuple(zip(*used, strict=True)))


def _features(fields: Fields) -> InteractionRequest:
    if ("of" in fields) == ("of_in" in fields):
        raise BadSetting("features: say of which items, {features: image, of: [film]}, of: 0.05 or of_in: films.txt")
    if "of" in fields:
        return ForgetFeatures(fields["features"], **_listed_or_drawn(fields, "of"))
    if "seed" in fields:
        raise BadSetting("of_in: what is listed is not drawn: leave out the seed")
    return ForgetFeatures(fields["features"], _values(fields, "of_in", ITEM))


_FORMS: dict[str, tuple[Callable[[Fields], InteractionRequest], tuple[str, ...]]] = {
    "users": (_some(ForgetUsers, "users"), ("seed",)),
    "users_in": (_some_in(ForgetUsers, "users_in", USER), ()),
    "items": (_some(ForgetItems, "items"), ("seed",)),
    "items_in": (_some_in(ForgetItems, "items_in", ITEM), ()),
    "pairs": (_pairs, ("seed",)),
    "pairs_in": (_pairs_in, ()),
    "features": (_features, ("of", "of_in", "seed")),
}


def _values(fields: Fields, key: str, spellings: Sequence[str]) -> tuple[str, ...]:
    """The ids in a file, one a line, or those of a column of a CSV file; a header that is called like one is none of them."""
    path = _path(fields, key)
    first = next(iter(read_text(Path(path)).splitlines()), "")
    header = [name.strip().strip('"') for name in first.split(",")] if path.lower().endswith(".csv") else [first.strip()]
    place = column_if_there(Path(path), header, *spellings)
    return tuple(read_values(path, None if place is None else header[place]))


def _path(fields: Fields, key: str) -> str:
    if not isinstance(fields[key], str):
        raise BadSetting(f"{key} names a file, not {fields[key]!r}")
    return str(fields[key])


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSetting(f"{key} is a list of them, the share to forget, or how many, not {value!r}")
    return float(value)


def interaction_task(source: InteractionSource, model: str, arguments: Mapping[str, Any]) -> RecommendationTask:
    """Recommendation by a network for these users, items and features, or by the user's own."""
    return RecommendationTask(build_recommender(model, source.interactions, **arguments))


def interaction_parts(
    source: InteractionSource, request: InteractionRequest, seed: int, batch_size: int
) -> tuple[PairBatches, Split, int]:
    """What the original is trained on, the split for the request, and how many pairs are trained on.

    Where the owners publish no split, a tenth of each user's pairs is held out to validate and another to test.

    Args:
        seed: of what is held out.
        batch_size: pairs in a batch of training.

    Raises:
        BadRequest: if the request does not fit the pairs that are trained on.
    """
    parts = source.split(seed, batch_size)
    context = InteractionContext(parts.train, source.users, source.items, parts.validation, parts.test)
    return parts.training(), parts.without(request.removal(context)), len(parts.train)


def write_index(folder: Path, source: Any, task: Task[Any], model: nn.Module, split: Split) -> str:
    """Write the lists of all users who are served, read them back, and say what is in the file, or why there is none.

    Returns:
        sentences for a report; empty where the task is no recommendation.

    Raises:
        BadFile: if something in it had to go.
    """
    if not (isinstance(task, RecommendationTask) and isinstance(source, InteractionSource)):
        return ""
    path = folder / INDEX
    left = split.retain.interactions  # type: ignore[attr-defined]
    users, items = source.users or None, source.items or None
    try:
        export_index(path, task, model, left, users=users, items=items)
    except MissingExtra as error:
        path.unlink(missing_ok=True)  # one that stands here is not this model's
        return f"{path.name} was not written: {error}"
    counts = check_index(path, left, users, items)
    without = f" {counted(counts['unserved'], 'user')} chose all that is offered, and got none." if counts["unserved"] else ""
    return (
        f"{path.name}: lists for {counted(counts['lists'], 'user')}, {counts['entries']:,} entries, by the model that is "
        f"delivered. Read back, it holds no user and no item that had to go.{without}"
    )

"""The serving index: every user's list in one table, as it is handed to whoever shows it; and the proof of who is not in it.

    user, rank (from 1), item, score            a row for each entry of a list, Parquet

Users who went have no list, items that went are in none. A user with no pair left is unknown to the model, and gets what most
users chose, without scores. What is checked is the file itself, read back: an index that was made before the request, or from
stale embeddings, serves on what every audit of the model says is gone. It needs the extra `recommend`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.errors import BadFile, BadSetting, MissingExtra
from expunge.interactions import Interactions
from expunge.interactions.ranking import NOTHING, top_scored
from expunge.storage import write_bytes
from expunge.tasks import RecommendationTask

Names = Sequence[str] | Sequence[int]
COLUMNS = ("user", "rank", "item", "score")
_SOME = 3  # names that a message has room for


def export_index(
    path: str | Path,
    task: RecommendationTask,
    model: nn.Module,
    interactions: Interactions,
    k: int = 20,
    users: Names | None = None,
    items: Names | None = None,
) -> None:
    """Write the lists of all users who are served, whole or not at all.

    Args:
        path: of the Parquet file.
        model: which reads `interactions`.
        interactions: what is left after the request.
        k: how long lists are; a list is shorter where fewer items are left.
        users: their names, in the order of their numbers; the numbers when None.
        items: theirs.

    Raises:
        BadSetting: if there are not as many names as users or items, or one of them twice; if scores are not numbers.
        MissingExtra: if pyarrow is not installed.
    """
    arrow, parquet = _arrow()
    of_users, of_items = _names(users, interactions.users, "user"), _names(items, interactions.items, "item")
    numbers, lists, scores = _lists(task, model, interactions, k)
    user, place = (lists != NOTHING).nonzero().T
    item, score = lists[user, place], scores[user, place]
    table = arrow.table(
        {
            "user": arrow.array(of_users).take(arrow.array(numbers[user].numpy())),
            "rank": arrow.array((place + 1).int().numpy()),
            "item": arrow.array(of_items).take(arrow.array(item.numpy())),
            "score": arrow.array(score.numpy(), mask=score.isnan().numpy()),
        }
    )
    out = arrow.BufferOutputStream()
    parquet.write_table(table, out)
    write_bytes(path, out.getvalue().to_pybytes())


def check_index(
    path: str | Path, interactions: Interactions, users: Names | None = None, items: Names | None = None
) -> dict[str, int]:
    """Read an index back, and make sure that nothing in it is gone.

    Args:
        interactions: what is left after the request.
        users: names as they were exported; numbers when None.
        items: theirs.

    Returns:
        counts by name: `lists`, `entries`, `unserved` (users who are served, but have no list), and `gone_users` and
        `gone_items`, entries of them, which are 0.

    Raises:
        BadFile: if the file is missing, is no index, or holds anything that is gone or that nobody knows.
    """
    arrow, parquet = _arrow()
    if not Path(path).is_file():
        raise BadFile(f"index not found: {path}")
    try:
        file = parquet.ParquetFile(path)
        there = file.schema_arrow.names
        table = file.read(columns=["user", "item"]) if set(COLUMNS) <= set(there) else None
    except (arrow.ArrowException, OSError) as error:
        raise BadFile(f"{path} is no whole Parquet file: {error}") from error
    if table is None:
        raise BadFile(f"{path} is no index: it needs the columns {', '.join(COLUMNS)}, and has {', '.join(there) or 'none'}")
    known = {
        "user": (_names(users, interactions.users, "user"), interactions.served),
        "item": (_names(items, interactions.items, "item"), interactions.offered),
    }
    numbers = {what: _numbers(table[what], names, what, path) for what, (names, _) in known.items()}
    for what, (names, stays) in known.items():
        gone = numbers[what][~stays.cpu()[numbers[what]]]
        if len(gone):
            found = gone.unique().tolist()
            raise BadFile(
                f"{path} still serves {len(found):,} {what}{'s' * (len(found) != 1)} that had to go, in {len(gone):,} "
                f"entr{'ies' if len(gone) != 1 else 'y'}: {_listed([names[number] for number in found])}; export it again from "
                "the model that has forgotten"
            )
    listed = torch.zeros(interactions.users, dtype=torch.bool)
    listed[numbers["user"]] = True
    unserved = interactions.served.cpu() & ~listed
    return {
        "lists": int(listed.sum()),
        "entries": len(numbers["user"]),
        "unserved": int(unserved.sum()),
        "gone_users": 0,
        "gone_items": 0,
    }


def _lists(task: RecommendationTask, model: nn.Module, interactions: Interactions, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers of the users who are served, (n,), their lists and scores, (n, k) each; NaN for what is only popular."""
    device = next(model.parameters()).device
    there = interactions.to(device)
    users = there.served.nonzero().flatten()
    chosen = torch.where(there.popularity > 0, there.popularity, -torch.inf)
    items, scores = top_scored(task.ranker(model, there), there, users, k)
    unknown = there.activity[users] == 0
    if scores[~unknown].isnan().any():
        raise BadSetting("the model's scores are not numbers; nothing was written")
    if unknown.any():
        popular, _ = top_scored(lambda part: chosen.repeat(len(part), 1), there, users[unknown][:1], k)
        items[unknown], scores[unknown] = popular, torch.nan
    return users.cpu(), items.cpu(), scores.cpu()


def _names(names: Names | None, count: int, what: str) -> list[Any]:
    if names is None:
        return list(range(count))
    if len(names) != count:
        raise BadSetting(f"{len(names):,} names were given for {count:,} {what}s")
    if len(set(names)) != count:
        raise BadSetting(f"two {what}s have one name; an index needs names of their own")
    return list(names)


def _numbers(column: Any, names: list[Any], what: str, path: str | Path) -> Tensor:
    """The numbers behind the names in a column, shape (n,)."""
    numbers = {name: number for number, name in enumerate(names)}
    coded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    found = coded.dictionary.to_pylist()
    if foreign := sorted(str(name) for name in found if name not in numbers):
        raise BadFile(f"{path} names {len(foreign):,} {what}{'s' * (len(foreign) != 1)} that nobody knows: {_listed(foreign)}")
    return torch.tensor([numbers[name] for name in found], dtype=torch.long)[torch.tensor(coded.indices.to_numpy()).long()]


def _listed(names: Sequence[Any]) -> str:
    rest = f" and {len(names) - _SOME:,} more" if len(names) > _SOME else ""
    return ", ".join(str(name) for name in names[:_SOME]) + rest


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("a serving index needs pyarrow: pip install 'expunge[recommend]'") from error
    return pyarrow, pyarrow.parquet

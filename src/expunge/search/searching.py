"""One function for all searches."""

from typing import Any

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.registry import by_name, find
from expunge.search.cell_space import CellSpace
from expunge.search.darts import Darts
from expunge.search.gdas import GDAS
from expunge.search.halves import Halves, halve
from expunge.search.method import Found, SearchMethod
from expunge.search.pc_darts import PCDarts
from expunge.search.random_search import RandomSearch
from expunge.search.zero_cost import ZeroCost

SEARCHES: dict[str, type[SearchMethod]] = by_name((PCDarts, Darts, GDAS, RandomSearch, ZeroCost))


def search(
    space: CellSpace,
    data: Any,
    method: str | SearchMethod = "pc-darts",
    engine: Engine | None = None,
    batch_size: int = 64,
    **settings: Any,
) -> Found:
    """Search a space for a genotype. Keep test data, and people who are in them, out of `data`.

    Args:
        space: what to search in.
        data: arrays (x, y) or (x, y, groups), which are divided into two halves (see `halve`): images (n, c, h, w) or (n, h,
            w), labels (n,), and groups (n,) such as people, none of whom is then in both; or two streams of batches (images,
            labels), for the weights and for the architecture; or `Halves`.
        method: a name in `SEARCHES`, or one with its settings.
        engine: where and from which seed; with a folder the search goes on after a restart. A CPU engine of seed 0 when None.
        batch_size: images in a batch of each half, where data are arrays.
        settings: of the method, where it is given by name.

    Raises:
        BadSetting: if something makes no sense, and what; before anything is trained.
    """
    engine = engine or Engine(progress=False)
    if isinstance(method, str):
        kind = find(SEARCHES, method, "search method")
        try:
            method = kind(**settings)
        except TypeError as error:
            raise BadSetting(f"search method {method}: {str(error).partition(' ')[2]}") from None
    elif settings:
        raise BadSetting(f"give {', '.join(settings)} to the method itself, since it is not given by name")
    return method(space, _halves(data, batch_size, engine, space.classes), engine)


def _halves(data: Any, batch_size: int, engine: Engine, classes: int) -> Halves:
    if isinstance(data, Halves):
        return data
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise BadSetting("data are arrays (x, y) or (x, y, groups), two streams of batches, or Halves")
    if hasattr(data[0], "shape") or len(data) == 3:
        return halve(*data, batch_size=batch_size, seed=engine.seed_for("halves"), classes=classes)
    return Halves(*data)

"""What every search has in common: a space and two halves of data go in, a genotype comes out."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.meters import warm_up
from expunge.registry import Registered
from expunge.search.cell_space import CellSpace
from expunge.search.genotype import Genotype
from expunge.search.halves import Halves


@dataclass(frozen=True)
class Outcome:
    """What a method found.

    Args:
        genotype: the cells.
        steps: of the architecture; 0 where none were made.
        decidedness: by kind of cell, from 0 to 1, see `deriving`; none where a method has no architecture weights.
        warnings: what whoever uses the genotype should know.
        scores: of all genotypes that were compared, best first, where some were.
    """

    genotype: Genotype
    steps: int = 0
    decidedness: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    scores: tuple[tuple[Genotype, float], ...] = ()


@dataclass(frozen=True)
class Found(Outcome):
    """What a search found, and what it took.

    Args:
        method: the search's name.
        history: a row for each epoch of each fit, as the engine writes them; those of a gradient search have under "search" the
            genotype, entropies, decidedness, skip connections, expected cost and steps of the architecture at that epoch.
        seconds: that it took, over all restarts.
    """

    method: str = ""
    history: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class SearchMethod(Registered, ABC):
    """One way to search a space. Fields are its settings."""

    def __call__(self, space: CellSpace, halves: Halves, engine: Engine) -> Found:
        """Search.

        Args:
            space: what to search in.
            halves: the data.
            engine: trains; with a folder, a search that was killed goes on where it was.

        Raises:
            BadSetting: if settings, space and data don't go together, and why.
        """
        if engine.processes > 1:
            raise BadSetting(f"{self.name}: a search runs in one process, not in {engine.processes}")
        channels = halves.image_shape[0]
        if channels != space.in_channels:
            raise BadSetting(f"the images have {channels} channels, the space's networks take {space.in_channels}")
        warm_up()
        started, earlier, before = time.monotonic(), engine.resumed_seconds, len(engine.history)
        with engine.scope(self.name, key=repr((self, space))):
            outcome = self.find(space, halves, engine)
        seconds = time.monotonic() - started + engine.resumed_seconds - earlier
        history = tuple(engine.history[before:])
        return Found(**vars(outcome), method=self.name, history=history, seconds=seconds)

    @abstractmethod
    def find(self, space: CellSpace, halves: Halves, engine: Engine) -> Outcome:
        """Do it, within the engine's scope of this search."""

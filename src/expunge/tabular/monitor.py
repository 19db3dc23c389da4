"""Training watched by the score: every few epochs the generator makes a sample, and TabSynDex says how good it is.

The score is bounded and needs no other run to be read by, so that it can say when to stop and which epoch was best. The ML part
is left out: it takes nearly all of the time.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from expunge.errors import BadSetting
from expunge.storage import write_json
from expunge.tabular.coded import code
from expunge.tabular.generators.generator import Generator, Monitor
from expunge.tabular.score import Score
from expunge.tabular.scoring.pair import Pair
from expunge.tabular.tabsyndex import TabSynDex

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped, unused-ignore]

UNSCORED = -float("inf")  # what an epoch is worth that was passed over


@dataclass
class ScoreMonitor(Monitor):
    """Scores a sample every few epochs; the weights of the best of these epochs are the ones kept.

    Args:
        score: how; its ML part is left out.
        real: the table that samples are held against: the one that is learned, or better other rows of its kind.
        every: epochs from one score to the next, at least 1.
        rows: of each sample, which is always drawn from the same seed.
        patience: stop after so many epochs without a better score; at least `every`; never when None.
        say: told each score, a line at a time.
        keep: a file that holds the scores so far, so that a training that goes on has those of earlier epochs.

    Attributes:
        scores: by epoch, counted from 1.
    """

    score: TabSynDex
    real: "pd.DataFrame"
    every: int = 5
    rows: int = 2_000
    patience: int | None = None
    say: Callable[[str], None] = lambda line: None
    keep: Path | None = None
    scores: dict[int, Score] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise BadSetting(f"every must be at least 1 epoch, not {self.every}")
        if self.patience is not None and self.patience < self.every:
            raise BadSetting(
                f"patience must be at least the {self.every} epochs from one score to the next, not {self.patience}: "
                "the second score would never come"
            )
        wanted = tuple(part for part in self.score.wanted if part != "ml")
        if not wanted:
            raise BadSetting("the ML part alone can't watch a training: it takes too long")
        self._light = replace(self.score, components=wanted)
        self._schema = self._light.schema(self.real)
        self._real = code(self.real, self._schema, "the real table")
        if self.keep is not None and self.keep.exists():
            self.scores = {int(epoch): Score.from_json(found) for epoch, found in json.loads(self.keep.read_text()).items()}

    @property
    def best(self) -> int | None:
        """The epoch with the best score, counted from 1; None before the first one."""
        return max(self.scores, key=lambda epoch: self.scores[epoch].total, default=None)

    def judge(self, generator: Generator, epoch: int) -> float:
        if (epoch + 1) % self.every:
            return UNSCORED
        self.scores = {earlier: score for earlier, score in self.scores.items() if earlier <= epoch}  # later ones are stale
        sample = code(generator.sample(self.rows), self._schema, "the sample")
        found = self.scores[epoch + 1] = self._light.score_coded(Pair(self._real, sample))
        if self.keep is not None:
            write_json(self.keep, {str(each): score.as_json() for each, score in self.scores.items()})
        parts = "  ".join(f"{name} {value:.3f}" for name, value in found.components.items() if value is not None)
        self.say(f"epoch {epoch + 1:,}: {found.total:.3f}  ({parts})")
        return found.total

"""Attribute disclosure: does a synthetic table tell a secret about those it was learned from?

An attacker knows all columns of a person but one, takes the k synthetic rows nearest in these, and answers with their most
frequent value (of numbers: with their median; right if it is off by at most 5 % of the real range):

    memorised = accuracy on real rows - accuracy on holdout rows

Accuracy alone is no leak: where the column follows from the others, a good table lets anyone infer it, of people in it or
not. Only what is better for those who were in it counts, so it takes a holdout.

Reference: the generalised correct attribution probability of the field in its nearest-neighbour form; k = 1 and 5. On the
difference between learning about a population and about its members: M. Giomi, F. Boenisch, C. Wehmeyer, B. Tasnádi. "A
Unified Framework for Quantifying Privacy Risk in Synthetic Data", PoPETs 2023, arXiv 2211.10459.
What it can't see: attackers who know less, or who use more than neighbours; other columns than the one chosen.
"""

from dataclasses import dataclass

import numpy as np

from expunge.errors import BadSetting
from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.distance import nearest
from expunge.tabular.measures.features import sample
from expunge.tabular.measures.figure import Figure, check_tables

PERSONS = 2_000
KNOWN = 20_000
NEIGHBOURS = 5
TOLERANCE = 0.05  # of the real range
_NORMAL = 1.959964  # 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True)
class Disclosure:
    """How often the attacker is right; by k, 1 and 5.

    Args:
        column: that the attacker wants to know.
        real: on rows that the generator learned.
        holdout: on rows that it never saw; empty without a holdout.
        guess: on real rows, if he answers with the most frequent real value (the median of numbers) for everybody.
        persons: rows of the real table and of the holdout that were attacked.
    """

    column: str
    real: dict[int, float]
    holdout: dict[int, float]
    guess: float
    persons: tuple[int, int]

    def memorised(self, k: int) -> float | None:
        """How much more often he is right on rows that the generator learned; None without a holdout."""
        return self.real[k] - self.holdout[k] if self.holdout else None

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        lacking = "" if self.holdout else " Needs a holdout: give real rows that the generator never saw."
        shown = []
        for k in self.real:
            near = "the nearest synthetic row" if k == 1 else f"the {k} nearest synthetic rows"
            gained, error = self.memorised(k), self._error(k)
            shown += [
                Figure(
                    f"Disclosure of {self.column} by {near}",
                    self.real[k],
                    self.holdout.get(k),
                    "nearer",
                    f"How often an attacker is right ({self.guess:.1%} by guessing); ideally as for people who weren't in.",
                ),
                Figure(
                    f"Disclosure of {self.column} by {near}, memorised",
                    gained,
                    0.0,
                    "nearer",
                    f"How much more often he is right on people who were in the table.{lacking}",
                    gained - error if gained is not None else None,
                    gained + error if gained is not None else None,
                ),
            ]
        return tuple(shown)

    def _error(self, k: int) -> float:
        if not self.holdout:
            return 0.0
        shares = (self.real[k], self.holdout[k])
        return float(_NORMAL * np.sqrt(sum(p * (1 - p) / n for p, n in zip(shares, self.persons, strict=True))))


def disclosure(real: Coded, synthetic: Coded, holdout: Coded | None, column: str, seed: int = 0) -> Disclosure:
    """Attack at most 2,000 rows of each kind with at most 20,000 synthetic ones.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made.
        holdout: real rows that it never saw.
        column: what the attacker wants to know. People of whom it isn't known aren't attacked.
        seed: of the samples.

    Raises:
        BadSetting: if the tables can't be compared, the column isn't scored or is the only one, or no value of it is known.
    """
    check_tables([each for each in (real, synthetic, holdout) if each is not None])
    schema = real.schema
    scored = [each.name for each in schema if each.kind not in ("identifier", "empty")]
    if column not in scored:
        raise BadSetting(f"column '{column}' can't be disclosed: there are {', '.join(scored)}")
    if len(scored) < 2:
        raise BadSetting(f"column '{column}' can't be disclosed by others: it is the only one that is scored")
    tables = [_knowing(each, column) for each in (real, synthetic) + ((holdout,) if holdout is not None else ())]
    if any(len(each) == 0 for each in tables[:1] + tables[2:]):
        raise BadSetting(f"column '{column}' can't be disclosed: no value of it is known in the real table or in the holdout")
    persons = [sample(each, PERSONS, seed + 1 + part) for part, each in enumerate(tables[:1] + tables[2:])]
    made = sample(tables[1], KNOWN, seed)
    found = [_accuracy(each, made, column) for each in persons]
    values = _values(tables[0], column)
    common = np.median(values) if column in {each.name for each in schema.numbers} else np.bincount(values).argmax()
    guess = float(_right(np.full(len(persons[0]), common), _values(persons[0], column), persons[0], column).mean())
    sizes = (len(persons[0]), len(persons[1]) if len(persons) > 1 else 0)
    return Disclosure(column, found[0], found[1] if len(found) > 1 else {}, guess, sizes)


def _values(table: Coded, column: str) -> Array:
    numbers = [each.name for each in table.schema.numbers]
    if column in numbers:
        found: Array = table.numbers[:, numbers.index(column)]
        return found
    return np.asarray(table.codes[:, [each.name for each in table.schema.categories].index(column)])


def _knowing(table: Coded, column: str) -> Coded:
    """The rows whose value of a column is known, and one of the real table's if it is a category."""
    values = _values(table, column)
    if values.dtype.kind == "f":
        return table.rows(~np.isnan(values))
    return table.rows(values < len(table.schema[column].values))


def _accuracy(persons: Coded, made: Coded, column: str) -> dict[int, float]:
    if len(made) == 0:
        return {1: 0.0, NEIGHBOURS: 0.0}
    k = min(NEIGHBOURS, len(made))
    answers = _values(made, column)[nearest(persons, made, k, without=column)[1]]
    truth = _values(persons, column)
    # the sum breaks ties in favour of the nearest row
    votes = (answers[:, :, None] == answers[:, None, :]).sum(2) - np.arange(k) / k
    several = np.median(answers, axis=1) if truth.dtype.kind == "f" else answers[np.arange(len(answers)), votes.argmax(1)]
    return {
        1: float(_right(answers[:, 0], truth, persons, column).mean()),
        NEIGHBOURS: float(_right(several, truth, persons, column).mean()),
    }


def _right(answers: Array, truth: Array, table: Coded, column: str) -> Array:
    if truth.dtype.kind != "f":
        return np.asarray(answers == truth)
    found = table.schema[column]
    return np.asarray(np.abs(answers - truth) <= TOLERANCE * (found.high - found.low))

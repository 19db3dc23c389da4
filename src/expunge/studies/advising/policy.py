"""What to try, in which order, and when to stop: no model is known here, so that the same code runs and is measured.

Candidates are ordered by

    expected cost / odds

which finds a success at the least expected cost where each is tried once and they succeed independently of each other. Costs
and odds come from other requests than the one that is served, see :mod:`expunge.studies.advising.table`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

NEAR = 0.95  # share of the best closeness of a request that counts as a success
DOUBT = 2.0  # tries that the odds are drawn towards the guess by
GUESS = 0.2  # odds of what was never tried
ELSEWHERE = 0.25  # weight of a try on another kind of request
CAP = 0.4  # share of the expected cost of trying all, after which advice stops
_SLACK = 1 + 1e-9  # of sums whose last bits differ


@dataclass(frozen=True)
class Tally:
    """What became of a method on one kind of request.

    Args:
        tries: requests that it was tried on, of those on which the original fails a check: others tell nothing.
        hits: those on which it came near the best of all methods, see `NEAR`.
        cost: its seconds as a share of retraining, mean over all requests.
    """

    tries: int
    hits: int
    cost: float


Table = Mapping[str, Mapping[str, Tally]]  # by kind of request, by method


@dataclass(frozen=True)
class Candidate:
    """A method that may be tried.

    Args:
        cost: expected seconds as a share of retraining.
        odds: that it comes near the best, between 0 and 1.
    """

    name: str
    cost: float
    odds: float


@dataclass(frozen=True)
class Tried:
    """What became of a candidate.

    Args:
        seconds: to make its model; what finding its figures took is `asking`.
        closeness: to the retrained model, see :func:`expunge.report.closeness.closeness`; 0 where it failed.
        met: whether it is what was wanted.
        words: the verdict on it, or why it failed.
    """

    name: str
    seconds: float
    closeness: float
    met: bool
    words: str
    asking: float = 0.0


@dataclass(frozen=True)
class Played:
    """Which candidates were tried, in their order, which were not, and why it ended."""

    tried: tuple[Tried, ...]
    untried: tuple[str, ...]
    end: str

    @property
    def nearest(self) -> Tried | None:
        """What was wanted, the fastest of several; else what came nearest."""
        return min(self.tried, key=lambda each: (not each.met, -each.closeness, each.seconds), default=None)


def candidate(name: str, kind: str, table: Table, cost: float, recommended: bool = False) -> Candidate:
    """Expected cost and odds of a method.

    Args:
        kind: of the request.
        cost: what to expect where the table does not know the method.
        recommended: whether it is the one to begin with when nothing is known, which counts as one success.

    >>> candidate("scrub", "class", {"class": {"scrub": Tally(tries=2, hits=2, cost=0.3)}}, cost=1.0)
    Candidate(name='scrub', cost=0.3, odds=0.6)
    """
    here = table.get(kind, {}).get(name)
    others = [tallies[name] for other, tallies in table.items() if other != kind and name in tallies]
    if known := [here] if here else others:
        cost = sum(each.cost for each in known) / len(known)
    weighed = [(1.0, here)] if here else []
    weighed += [(ELSEWHERE, each) for each in others]
    hits = sum(weight * each.hits for weight, each in weighed) + recommended + DOUBT * GUESS
    return Candidate(name, cost, hits / (sum(weight * each.tries for weight, each in weighed) + recommended + DOUBT))


def in_order(candidates: Iterable[Candidate]) -> list[Candidate]:
    """What promises most for its cost first.

    >>> [each.name for each in in_order([Candidate("slow", 0.5, 0.9), Candidate("cheap", 0.1, 0.3)])]
    ['cheap', 'slow']
    """
    return sorted(candidates, key=lambda each: each.cost / each.odds)


def play(
    order: Sequence[Candidate],
    try_one: Callable[[str], Tried],
    *,
    cap: float = CAP,
    stop: bool = True,
    seconds: float | None = None,
    unit: float | None = None,
    asking: float = 0.0,
) -> Played:
    """Try candidates in their order until one is what was wanted, or it is not worth to go on.

    Args:
        cap: share of the cost of trying all. None is begun that is expected to go beyond; the first one always is. What was
            tried counts with the time that it took, where `unit` tells what share of retraining that is.
        stop: whether to stop at what was wanted; else all within the cap and the budget are tried.
        seconds: budget; a candidate that is expected to take more than what is left is passed over.
        unit: seconds of retraining; where it is not known, it follows from what was tried.
        asking: seconds that finding the figures of one model is expected to take.
    """
    ahead, begun, left = sum(each.cost for each in order), 0.0, seconds
    tried: list[Tried] = []
    untried: list[str] = []
    end = "every candidate was tried"
    for place, each in enumerate(order):
        if tried and begun + each.cost > cap * (begun + ahead) * _SLACK:
            untried += [later.name for later in order[place:]]
            end = f"trying more was expected to take more than {100 * cap:.0f} % of what trying all takes"
            break
        expected = each.cost * (unit or _unit(tried, order) or 0.0) + asking
        if left is not None and expected > left:
            untried.append(each.name)
            ahead -= each.cost
            end = "the others are expected to take longer than what is left of the budget"
            continue
        found = try_one(each.name)
        tried.append(found)
        begun += found.seconds / unit if unit else each.cost
        ahead -= each.cost
        left = None if left is None else left - found.seconds - found.asking
        if found.met and stop:
            untried += [later.name for later in order[place + 1 :]]
            end = f"{found.name} is what was wanted"
            break
    return Played(tuple(tried), tuple(untried), end)


def _unit(tried: Sequence[Tried], order: Sequence[Candidate]) -> float | None:
    """Seconds of retraining, from what candidates took and what was expected of them."""
    costs = {each.name: each.cost for each in order}
    expected = sum(costs[each.name] for each in tried)
    return sum(each.seconds for each in tried) / expected if expected else None

"""How near advice comes to the best method in hindsight, and at what share of the cost: python benchmarks/advice.py RUNS

Advice is played over finished comparisons, in which every method's figures and seconds stand: the order and the stop are the
library's own, a try is looked up. What is known of costs and odds comes from the other comparisons, never from the one that is
played, and with --leave data from none on the same data.

RUNS is a folder; --make runs what is missing in it, which takes most of an hour. --table prints what the library knows of
costs and odds, src/expunge/studies/advising/table.py. Exit code 1 when fewer than 8 of 10 come within 5 % of the best, or it
costs more than 40 % of trying all.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from expunge.methods import METHODS
from expunge.report.closeness import closeness
from expunge.report.evidence import Case, Role, Row, Value
from expunge.report.verdict import can_tell, failures
from expunge.studies import STUDIES
from expunge.studies.advising.candidates import passes
from expunge.studies.advising.policy import CAP, NEAR, Played, Table, Tally, Tried, candidate, in_order, play
from expunge.studies.job import parse_job
from expunge.studies.run import run

WITHIN, ENOUGH = 0.95, 0.8
DATA: dict[str, dict[str, Any]] = {
    "digits": {},
    "mnist": {"train": 6_000, "holdout": 5_000},
    "cifar10": {"train": 6_000},
}
TRIED = (
    "finetune",
    "gradient-ascent",
    "neggrad-plus",
    "random-labels",
    "bad-teacher",
    "scrub",
    "ssd",
    "salun",
    "auto",
    "cf-k",
    "l1-sparse",
    "fisher-forgetting",
    "influence",
    "boundary-shrink",
    "unsir",
    "kookmin",
    "sfron",
)
LIKE_TRAINING = [{"method": name, "like_training": True} for name in ("eu-k", "blindspot")]
REQUESTS: dict[str, dict[str, Any]] = {"class": {"class": 3}, "random": {"fraction": 0.05}}
# A study at its quick budget, and the kind of each of its cases.
STUDIED: dict[str, tuple[str, ...]] = {
    "regression": ("band", "rows"),
    "graph": ("links", "nodes", "nodes"),
    "recommendation": ("rankings",),
    "federated": ("clients", "clients"),
}
GUESSED = {"links": "d2dgn", "nodes": "d2dgn", "rankings": "level-scores", "clients": "conda"}  # others: shrink-perturb


HEAD = '''"""What methods cost, and how often they came near the best, on requests that all of them were tried on.

Written by `python benchmarks/advice.py RUNS --table`. Of each method: requests, those on which it came near the best, and its
seconds as a share of retraining, on average.
"""

from expunge.studies.advising.policy import Table, Tally

'''


@dataclass(frozen=True)
class Compared:
    """One comparison that is there."""

    folder: str
    kind: str
    case: Case

    @property
    def data(self) -> str:
        """What it is on."""
        return self.folder.partition("-")[0]

    @property
    def best(self) -> float:
        """The highest closeness of any method's, whatever its settings."""
        return max(closeness(row, self.case) or 0.0 for row in self.case.methods)

    @property
    def rows(self) -> dict[str, Row]:
        """The methods that advice may try: one setting of each."""
        return {row.name: row for row in self.case.methods if row.name in METHODS}


def cost(row: Row) -> float:
    """Seconds as a share of retraining."""
    return row.mean("seconds_ratio") or 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--leave", choices=("case", "data"), default="case")
    options = parser.parse_args()
    if options.make:
        make(options.runs)
    found = list(read(options.runs))
    if options.table:
        print(table_file(tally(found)))
        return 0
    print(f"{'scenario':<46}{'advised':<17}{'near':>6}{'best':>6}{'of it':>7}{'tried':>8}{'cost':>7}{'untried guess':>24}")
    lines = [play_one(each, [other for other in found if apart(other, each, options.leave)]) for each in found]
    told = [line for line, each in zip(lines, found, strict=True) if can_tell(each.case)]
    print()
    for name, some in (("all", lines), ("those that tell", told)):
        print(
            f"{name}: within 5 % of the best {sum(line.within for line in some)} of {len(some)}; mean share of the cost of "
            f"trying all {sum(line.share for line in some) / len(some):.0%}; the guess untried is within 5 % on "
            f"{sum(line.guess for line in some)}"
        )
    print("* the original meets every check as well, so that this request tells nothing")
    return int(sum(line.within for line in lines) < ENOUGH * len(lines) or sum(line.share for line in lines) > CAP * len(lines))


def apart(other: Compared, each: Compared, leave: str) -> bool:
    """Whether what became of methods in `other` may be known when `each` is played."""
    return other is not each and not (leave == "data" and other.data == each.data)


@dataclass(frozen=True)
class Line:
    """What advice did: came near the best or not, and at which share of the cost; whether its guess alone would have."""

    within: bool
    share: float
    guess: bool


def play_one(each: Compared, others: Sequence[Compared]) -> Line:
    """Play advice on one comparison, knowing others, and print what came of it."""
    played = replay(each, tally(others))
    assert played.nearest is not None
    near, guess = played.nearest.closeness, GUESSED.get(each.kind, "shrink-perturb")
    guessed = closeness(each.rows[guess], each.case) or 0.0
    total = sum(share for share in map(cost, each.rows.values()) if share < 1)  # nobody tries what takes as long as retraining
    share = sum(cost(each.rows[tried.name]) for tried in played.tried) / total
    print(
        f"{f'{each.folder}: {each.case.title}'[:44]:<46}{played.nearest.name:<17}{near:>6.2f}{each.best:>6.2f}"
        f"{near / each.best:>7.0%}{f'{len(played.tried)}/{len(each.rows)}':>8}{share:>7.0%}{f'{guess} {guessed:.2f}':>24}"
        f"{'' if can_tell(each.case) else ' *'}"
    )
    return Line(near >= WITHIN * each.best, share, guessed >= WITHIN * each.best)


def replay(each: Compared, known: Table) -> Played:
    """What advice does with a comparison, of which it is told one method at a time."""

    def look(name: str) -> Tried:
        row = each.rows[name]
        return Tried(name, row.mean("seconds") or 0.0, closeness(row, each.case) or 0.0, failures(row, each.case) == (), "")

    guess = GUESSED.get(each.kind, "shrink-perturb")
    order = [candidate(name, each.kind, known, _passes(name), name == guess) for name in each.rows]
    gold = each.case.role("retrained")
    cheap = [one for one in order if one.cost < 1]
    return play(in_order(cheap), look, unit=None if gold is None else gold.mean("seconds"))


def _passes(name: str) -> float:
    made: Any = METHODS[name]
    return passes(made(), None)


def tally(found: Sequence[Compared]) -> dict[str, dict[str, Tally]]:
    """What became of each method on each kind of request."""
    tries: Counter[tuple[str, str]] = Counter()
    hits: Counter[tuple[str, str]] = Counter()
    costs: dict[tuple[str, str], list[float]] = {}
    for each in found:
        tells = can_tell(each.case)
        for row in each.case.methods:
            if row.name in METHODS:
                key = (each.kind, row.name)
                costs.setdefault(key, []).append(cost(row))
                tries[key] += tells
                hits[key] += tells and (closeness(row, each.case) or 0.0) >= NEAR * each.best
    known: dict[str, dict[str, Tally]] = {}
    for (kind, name), spent in costs.items():
        known.setdefault(kind, {})[name] = Tally(tries[kind, name], hits[kind, name], sum(spent) / len(spent))
    return known


def table_file(known: Table) -> str:
    """The text of the library's table."""
    lines = [f"    {kind!r}: {{\n{_rows(tallies)}    }},\n" for kind, tallies in known.items()]
    return f"{HEAD}MEASURED: Table = {{\n{''.join(lines)}}}".replace("'", '"')


def _rows(tallies: Mapping[str, Tally]) -> str:
    return "".join(f"        {name!r}: Tally({each.tries}, {each.hits}, {each.cost:.2g}),\n" for name, each in tallies.items())


def read(runs: Path) -> Iterator[Compared]:
    """The comparisons that are there."""
    for data in DATA:
        for request in REQUESTS:
            yield from _read(runs / f"{data}-{request}", ("class" if request == "class" else "records",))
    for folder, kinds in STUDIED.items():
        yield from _read(runs / folder, kinds)


def _read(folder: Path, kinds: Sequence[str]) -> Iterator[Compared]:
    if not (folder / "audit.json").exists():
        return
    for content, kind in zip(json.loads((folder / "audit.json").read_text())["cases"], kinds, strict=False):
        rows = []
        for row in content["rows"]:
            values = {
                metric: Value(each["mean"], each["std"], each["n"], each["ideal"], each["note"] or "")
                for metric, each in row["figures"].items()
            }
            role: Role = row["role"]
            rows.append(Row(row["model"], role, values))
        metrics = rows[0].values
        score = next(name for name in ("accuracy", "mae", "probability", "pair_auc") if f"forget_{name}" in metrics)
        yield Compared(folder.name, kind, Case(content["title"], content["forgotten"], tuple(rows), score, score != "mae"))


def make(runs: Path) -> None:
    """Run what is not there."""
    for data in DATA:
        for request in REQUESTS:
            folder = runs / f"{data}-{request}"
            if not (folder / "audit.json").exists():
                run(parse_job(yaml.safe_dump(_job(data, request), sort_keys=False)), folder)
    for study in STUDIED:
        if not (runs / study / "audit.json").exists():
            kind: Any = STUDIES[study]
            kind().run(1, "quick", None, runs / study, say=partial(print, file=sys.stderr)).write(runs / study, None)


def _job(data: str, request: str) -> dict[str, Any]:
    """By all methods that work; two serve whole classes alone, one of which takes many times as long as retraining."""
    methods = [*TRIED, *LIKE_TRAINING]
    if request == "class":
        methods += ["zero-shot", "gated-transfer"] if data == "digits" else ["zero-shot"]
    return {
        "data": {"name": data, **DATA[data]},
        "model": {"name": "mlp" if data == "digits" else "small-cnn"},
        "training": {"epochs": 15, "optimizer": {"learning_rate": 2e-3}},
        "request": REQUESTS[request],
        "methods": methods,
    }


if __name__ == "__main__":
    sys.exit(main())

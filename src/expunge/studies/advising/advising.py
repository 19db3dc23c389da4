"""Which method to take: try what promises most for its cost on the model itself, and stop when the audit is met."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import nn

from expunge.audits import Audit, Figure, References, Subject
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, ExpungeError
from expunge.federated.client_split import ClientSplit
from expunge.methods import Method, Retrain
from expunge.report.closeness import closeness
from expunge.report.evidence import Case, Evidence, Row
from expunge.report.rules import OF_CLIENTS, OF_ERRORS, OF_LINKS, OF_RANKINGS, OF_SCORES
from expunge.report.statement import Served
from expunge.report.verdict import can_tell, failures
from expunge.split import Split, is_empty, stream_digest
from expunge.storage import weights_hash, write_json
from expunge.studies.advising.candidates import AtHand, best_guess, choose, kind_of, passes
from expunge.studies.advising.policy import CAP, Played, Tried, candidate, in_order, play
from expunge.studies.advising.table import MEASURED
from expunge.studies.advising.unseen import beside_unseen, goes_whole
from expunge.studies.advising.words import Grounds, reasons
from expunge.studies.comparison import ORIGINAL, RETRAINED, Comparison, compare, default_audits, examine, to_case
from expunge.studies.run_folder import evidence_of, served, write_results
from expunge.tasks import Task

Wanted = Literal["matches", "nearest"]
RETRAIN = "retrain"
ADVICE = "advice.json"
_BESIDES = ("seconds", "clients_mean", "tow")  # figures that are not judged, and cost next to nothing


@dataclass(frozen=True)
class Advice:
    """What :func:`advise` found.

    Args:
        name: what to take: a method, or "retrain".
        method: with the settings that it was tried with.
        model: what it made of the model; of "retrain" the retrained one.
        closeness: of that model to the retrained one, 1 within all that is allowed; None where nothing was retrained.
        matches: whether it meets every check; None where nothing was retrained, or the original meets them as well.
        tried: every method that was tried, in order.
        why: the reasons, a sentence each.
        left_out: methods that were not tried, with the reason.
        seconds: what trying took, figures included; retraining, `retrain_seconds`, comes on top of it.
        case: the models beside each other, for the report.
        done: what the statement says of the model.
    """

    name: str
    method: Method | None
    model: nn.Module
    closeness: float | None
    matches: bool | None
    tried: tuple[Tried, ...]
    why: tuple[str, ...]
    left_out: Mapping[str, str]
    seconds: float
    retrain_seconds: float | None
    case: Case
    engine: Engine = field(repr=False)
    audits: tuple[Audit, ...] = field(default=(), repr=False)
    done: Served | None = field(default=None, repr=False)

    def evidence(self, title: str = "", settings: Mapping[str, Any] | None = None, command: str = "") -> Evidence:
        """What the report shows; the reasons stand at its head."""
        chosen = {"advice": repr(self.method or self.name), "seed": self.engine.seed}
        words = title or f"Advice: {self.name}"
        return evidence_of([self.case], words, settings or chosen, self.engine, self.why, command, audits=self.audits)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "take": self.name,
            "method": repr(self.method) if self.method else None,
            "closeness": self.closeness,
            "matches": self.matches,
            "why": list(self.why),
            "tried": [
                {
                    "method": each.name,
                    "seconds": each.seconds,
                    "audit_seconds": each.asking,
                    "closeness": each.closeness,
                    "verdict": each.words,
                }
                for each in self.tried
            ],
            "left_out": dict(self.left_out),
            "seconds": self.seconds,
            "retrain_seconds": self.retrain_seconds,
        }

    def report(self, folder: str | Path, evidence: Evidence | None = None) -> Path:
        """Write the advised model, audit.json, history.jsonl, report.html, statement.html and advice.json; returns the report's
        path."""
        if self.engine.is_main:
            write_json(Path(folder) / ADVICE, self.as_json())
        return write_results(Path(folder), evidence or self.evidence(), self.model, self.engine, self.done)


def advise(
    model: nn.Module,
    task: Task[Any],
    split: Split,
    *,
    retrain: Method | None = None,
    at_hand: AtHand = "retain",
    engine: Engine | None = None,
    seconds: float | None = None,
    wanted: Wanted = "matches",
    candidates: Mapping[str, Method] | None = None,
    audits: Sequence[Audit] | None = None,
    golds: int = 2,
    cap: float | None = None,
    original_seconds: float | None = None,
    forgotten: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Advice:
    """Try methods on a model, those first that promise most for their cost, and say which to take.

    Costs and odds were measured on other requests; nothing that is found here changes the order. With an engine that has a
    folder a killed call goes on where it was.

    Args:
        model: the trained model; it is not changed.
        retrain: the recipe that `model` was trained with. It retrains `golds` times first, and all are held against that;
            without it only unseen data can be asked, and nothing is proven.
        at_hand: what methods may look at: "retain" for all data, "part" where `split.retain` holds a part of what stays, so
            that nothing can be retrained, "forget" for what goes alone, "nothing" for no data but the labels of what goes.
        seconds: budget for trying, figures included; retraining is not counted in, as it is the same whatever is tried.
        wanted: "matches" stops at the first that meets all checks, "nearest" goes on and takes the best.
        candidates: methods by name; all that work on the task and need no other data when None.
        audits: those that the verdict judges by when None.
        cap: share of the expected cost of all candidates after which it stops; when None it is `CAP`, and 1 for "nearest" and
            where nothing can be retrained, so that the best of all is the only resort.
        original_seconds: time that training the model took, where it is known.
        forgotten: what must go, in words.
        say: told what is being done, a line at a time.

    Raises:
        BadSetting: for settings that make no sense, or a budget in which nothing can be tried.
        BadRequest: if there is nothing to forget, or no method for what is at hand.
        WrongTask: for models that advice has no figures for.
    """
    engine = engine or Engine()
    _check(seconds, golds, cap, engine, split)
    trial = _Trial(model, task, split, retrain, at_hand, engine, audits, golds, original_seconds, forgotten, say)
    kind, recipe = kind_of(task, split), retrain if isinstance(retrain, Retrain) else None
    choice = choose(task, split, recipe, at_hand, candidates)
    guess = best_guess(task, split, recipe)
    out = dict(choice.left_out)
    order = []
    for name, method in choice.methods.items():
        each = candidate(name, kind, MEASURED, passes(method, recipe), guess == method)
        each = replace(each, name=name)
        if trial.can_retrain and each.cost >= 1 and candidates is None:
            out[name] = "it is expected to take as long as retraining, which is exact"
        else:
            order.append(each)
    if not order and not trial.can_retrain:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in out.items())
        raise BadRequest(f"no method can be tried with what is at hand ({at_hand}){': ' + reasons if reasons else ''}")
    trial.hold_against()
    played = play(
        in_order(order),
        lambda name: trial.of(name, choice.methods[name]),
        cap=_cap(wanted, trial.can_retrain) if cap is None else cap,
        stop=wanted == "matches",
        seconds=seconds,
        unit=trial.unit,
        asking=trial.asking,
    )
    return _advice(trial, played, choice.methods, out)


class _Trial:
    """The models so far, and what was found of them."""

    def __init__(
        self,
        model: nn.Module,
        task: Task[Any],
        split: Split,
        retrain: Method | None,
        at_hand: AtHand,
        engine: Engine,
        audits: Sequence[Audit] | None,
        golds: int,
        original_seconds: float | None,
        forgotten: str,
        say: Callable[[str], None],
    ) -> None:
        self.model, self.task, self.split, self.engine, self.say = model, task, split, engine, say
        self.at_hand, self.forgotten = at_hand, forgotten
        self.golds = 0 if at_hand == "part" or is_empty(split.retain) else golds
        self.retrain, self.recipe = retrain if self.golds else None, retrain
        self.audits = tuple(judging(task, split) if audits is None else audits)
        self.original_seconds = original_seconds
        self.key = f"{weights_hash(model)} {stream_digest(split)} seed {engine.seed}{task.reading}"
        self.subjects: dict[str, Subject] = {}
        self.figures: dict[str, Mapping[str, Figure]] = {}
        self.asking = 0.0

    @property
    def can_retrain(self) -> bool:
        """Whether retraining is something to advise."""
        return self.retrain is not None and self.at_hand == "retain"

    @property
    def unit(self) -> float | None:
        """Seconds of retraining, or of training the original where nothing was retrained."""
        return self.subjects[RETRAINED].seconds if self.retrain else self.original_seconds

    def hold_against(self) -> None:
        """Retrain, and ask the original and the retrained models."""
        if self.retrain:
            self.say(f"retraining {self.golds} times, to hold all methods against it")
        found = compare(
            self.model,
            self.task,
            self.split,
            {},
            self.engine,
            retrain=self.retrain,
            golds=self.golds,
            audits=self.audits,
            original_seconds=self.original_seconds,
        )
        self.subjects, self.figures = dict(found.subjects), dict(found.figures)
        self.held_against = [name for name in self.subjects if name != ORIGINAL]
        golds = tuple(self.subjects[name] for name in self.held_against)
        train = self.retrain.train if isinstance(self.retrain, Retrain) else None
        self.references = References(self.subjects[ORIGINAL], golds, train)
        self.whole = not golds and goes_whole(self.subjects[ORIGINAL], self.task)
        self.asking = self._timed(golds[0] if golds else self.subjects[ORIGINAL])

    def of(self, name: str, method: Method) -> Tried:
        """Make one candidate's model and judge it; one that cannot work on this model says why."""
        self.say(f"trying {name}")
        before = len(self.engine.history)
        try:
            made, seconds = self.engine.make(
                name,
                lambda: method(self.model, self.task, self.split, self.engine),
                method.like(self.model),
                f"{self.key} {method!r}",
            )
            subject = Subject(name, made, self.task, self.split, self.engine, seconds, self.engine.history[before:])
            asking = self._timed(subject)
        except ExpungeError as error:
            return Tried(name, 0.0, 0.0, False, f"failed: {error}")
        self.subjects[name] = subject
        row, case = self.row(name)
        near = closeness(row, case) or 0.0
        missed = failures(row, case)
        words = "some figures are missing" if missed is None else "; ".join(map(str, missed)) or self._met()
        if not self.retrain:
            words = words.replace(", retrained ", ", expected ")
        tried = Tried(name, seconds, near, missed == (), words, asking)
        self.say(f"{name}: {seconds:.1f} s, closeness {near:.2f}" + ", meets every check" * tried.met)
        return tried

    def row(self, name: str) -> tuple[Row, Case]:
        """A model's row, and the case that it is judged in."""
        case = self.case([*(each for each in self.figures if each == ORIGINAL or each in self.held_against), name])
        row = case.rows[-1]
        return row, case if self.retrain else beside_unseen(row, case, self.whole)

    def case(self, names: Sequence[str] = ()) -> Case:
        """All models so far, or some of them, beside each other."""
        comparison = Comparison({name: self.subjects[name] for name in names or self.figures}, self.figures)
        return to_case([comparison], "what was tried", self.forgotten or "the forget set")

    def floor(self) -> float | None:
        """Closeness of a second retrained model, which differs from the first by chance alone; None where there is none."""
        case = self.case()
        row = case.role("noise floor")
        return None if row is None else closeness(row, case)

    def _met(self) -> str:
        return "meets every check" if self.retrain else "unseen data can say nothing against it"

    def _timed(self, subject: Subject) -> float:
        """Find a subject's figures; returns the seconds that this took, those before a restart where it is one."""
        started = time.monotonic()
        self.figures |= examine([subject], self.references, self.audits)
        took = time.monotonic() - started
        return float(self.engine.remember(f"{subject.name}-asking", f"{self.key} {self.audits!r}", lambda: took))


def judging(task: Task[Any], split: Split) -> tuple[Audit, ...]:
    """The audits that have a figure by which a verdict judges; others are for who wants to know more of one model."""
    patterns = {rule.pattern for group in (OF_SCORES, OF_ERRORS, OF_LINKS, OF_RANKINGS, OF_CLIENTS) for rule in group}
    names = {pattern.format(score=task.score_name) for pattern in patterns} | set(_BESIDES)
    return tuple(audit for audit in default_audits(task, split) if names & set(audit.figures))


def _cap(wanted: Wanted, can_retrain: bool) -> float:
    return CAP if wanted == "matches" and can_retrain else 1.0


def _check(seconds: float | None, golds: int, cap: float | None, engine: Engine, split: Split) -> None:
    if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
        raise BadSetting(f"seconds is a number above 0, not {seconds!r}")
    if golds < 1:
        raise BadSetting(f"golds is at least 1, not {golds}; to go without retraining give no recipe")
    if cap is not None and not 0 < cap <= 1:
        raise BadSetting(f"cap is a share above 0 up to 1, not {cap!r}")
    if engine.processes > 1:
        raise BadSetting("advice goes by the clock, which several processes read differently: start it in one process")
    if is_empty(split.forget):
        raise BadRequest("the forget stream is empty, there is nothing to forget")


def _advice(trial: _Trial, played: Played, methods: Mapping[str, Method], left_out: Mapping[str, str]) -> Advice:
    """The nearest; where retraining is possible, only if it took less time and misses no more than a second retrained model."""
    nearest = played.nearest
    if nearest is not None and nearest.name not in trial.figures:
        nearest = None  # all that were tried failed
    floor = trial.floor()
    near = nearest is not None and (nearest.met or (floor is not None and nearest.closeness >= floor))
    retrain = trial.can_retrain and not (near and nearest is not None and nearest.seconds < (trial.unit or math.inf))
    if nearest is None and not retrain:
        failed = "; ".join(f"{each.name} {each.words}" for each in played.tried)
        raise BadSetting(failed or "the budget is smaller than what any method is expected to take; give more seconds")
    name = RETRAIN if nearest is None or retrain else nearest.name
    held, case = trial.retrain is not None, trial.case()
    tells = held and can_tell(case)
    unit, alike = trial.unit if held else None, trial.split.holdout_forget is not None or isinstance(trial.split, ClientSplit)
    blind = alike and not trial.whole
    grounds = Grounds(played, nearest, retrain, floor, held, tells, trial.at_hand, trial.whole, blind, unit)
    return Advice(
        name=name,
        method=trial.retrain if retrain else methods[name],
        model=trial.subjects[RETRAINED if retrain else name].model,
        closeness=None if not held else 1.0 if nearest is None or retrain else nearest.closeness,
        matches=(nearest is None or retrain or nearest.met) if tells else None,
        tried=played.tried,
        why=reasons(grounds),
        left_out={**left_out, **dict.fromkeys(played.untried, "advice had stopped, or the budget was too small for it")},
        seconds=sum(each.seconds + each.asking for each in played.tried),
        retrain_seconds=grounds.unit,
        case=case,
        engine=trial.engine,
        audits=trial.audits,
        done=served(Comparison(trial.subjects, trial.figures), RETRAINED if retrain else name),
    )

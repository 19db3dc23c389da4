"""Requests served one after another by one method, and the rule that says when to retrain instead.

    theta_k = method(theta_{k-1}, forget = R_k, retain = D - R_1 - ... - R_k)

The method never looks at earlier requests again, while the errors that they left in the weights are passed on. After each
request two things are measured that need no retrained model: the score on unseen data, and what an attacker can tell of all
that went so far.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from torch import nn

from expunge.audits import Membership, Subject
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.language.adapters import is_adapted, merged
from expunge.split import Split, stream_digest
from expunge.storage import weights_hash
from expunge.studies.comparison import Forgets
from expunge.studies.sequences.requests import RequestSequence
from expunge.tasks import Task

_NO_MEMBER = 0.5  # AUC of an attack on what was never seen


@dataclass(frozen=True)
class Served:
    """One request, and the model after it.

    Args:
        request: its number, from 1.
        seconds: wall time that it took.
        score: the task's score on unseen data.
        membership: AUC of the loss attack on all that went from the last retraining on, against unseen examples; None where
            there are none to compare.
        chance: standard error of that AUC on as many examples by chance alone.
        drift: see :mod:`expunge.studies.sequences.drift`; None where nothing was retrained to measure it.
        retrained: whether the request was served by retraining.
        due: why retraining was due after the request; empty where it was not.
    """

    request: int
    seconds: float
    score: float
    membership: float | None = None
    chance: float = 0.0
    drift: float | None = None
    retrained: bool = False
    due: str = ""


@dataclass(frozen=True)
class SequenceHistory:
    """What was measured of the requests that were served so far.

    Args:
        score: of the model that the sequence began with, on unseen data.
        higher_is_better: false where the score is an error.
        retraining_seconds: what a retraining takes; None where that is not known.
        served: in their order.
        models: the model after each of them.
    """

    score: float
    higher_is_better: bool = True
    retraining_seconds: float | None = None
    served: tuple[Served, ...] = ()
    models: tuple[nn.Module, ...] = field(default=(), repr=False, compare=False)

    @property
    def model(self) -> nn.Module:
        """The model after the last request."""
        return self.models[-1]

    @property
    def since(self) -> tuple[Served, ...]:
        """The requests that were served since the last retraining."""
        return self.served[self._retrained :]

    @property
    def baseline(self) -> float:
        """The score of the last model that was trained from the beginning."""
        return self.served[self._retrained - 1].score if self._retrained else self.score

    @property
    def _retrained(self) -> int:
        """The number of the last request that was served by retraining; 0 where none was."""
        return max((each.request for each in self.served if each.retrained), default=0)

    def until(self, request: int) -> "SequenceHistory":
        """As it was after some request."""
        return replace(self, served=self.served[:request], models=self.models[:request])


@dataclass(frozen=True)
class RetrainRule:
    """When to retrain rather than to serve another request by unlearning. None leaves a limit out.

    Args:
        seconds: of unlearning since the last retraining, in units of what a retraining takes: from 1 on, to retrain would have
            cost less, and is exact.
        score: by which share the score on unseen data may be worse than that of the last retrained model.
        membership: how far the attack's AUC on what went may lie from 0.5, to either side, beyond two standard errors.
        drift: to what it may come; the last one measured is drawn on as a straight line from 1, at the last retraining.

    >>> history = SequenceHistory(0.9, retraining_seconds=10.0, served=(Served(1, 4.0, 0.9), Served(2, 7.0, 0.9)))
    >>> RetrainRule().due(history)
    'unlearning has taken 1.1 times as long as a retraining (limit 1)'
    """

    seconds: float | None = 1.0
    score: float | None = 0.015
    membership: float | None = 0.03
    drift: float | None = 2.0

    def __post_init__(self) -> None:
        limits = {"seconds": 0.0, "score": 0.0, "membership": 0.0, "drift": 1.0}
        for name, least in limits.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise BadSetting(f"retrain rule: {name} must be at least {least:g}, or None for no limit, not {value}")

    def due(self, history: SequenceHistory) -> str | None:
        """Why retraining is due after the last request; None where it is not."""
        if not history.since:
            return None
        checks = (self._seconds, self._score, self._membership, self._drift)
        return next((reason for check in checks if (reason := check(history))), None)

    def _seconds(self, history: SequenceHistory) -> str | None:
        if self.seconds is None or not history.retraining_seconds:
            return None
        share = sum(each.seconds for each in history.since) / history.retraining_seconds
        if share < self.seconds:
            return None
        return f"unlearning has taken {share:.1f} times as long as a retraining (limit {self.seconds:g})"

    def _score(self, history: SequenceHistory) -> str | None:
        if self.score is None:
            return None
        before, now = history.baseline, history.since[-1].score
        worse = (before - now if history.higher_is_better else now - before) / abs(before) if before else 0.0
        if worse <= self.score:  # in this form NaN is worse
            return None
        return f"the score on unseen data is {100 * worse:.1f} % worse than it was (limit {100 * self.score:g} %)"

    def _membership(self, history: SequenceHistory) -> str | None:
        last = history.since[-1]
        if self.membership is None or last.membership is None:
            return None
        if abs(last.membership - _NO_MEMBER) <= self.membership + 2 * last.chance:
            return None
        side = "familiar" if last.membership > _NO_MEMBER else "strange"
        limit = f"0.5 ± {self.membership:g} and two standard errors of {last.chance:.3f}"
        return f"what went looks {side} to the model: the attack's AUC on it is {last.membership:.3f} (limit {limit})"

    def _drift(self, history: SequenceHistory) -> str | None:
        measured = [(place, each.drift) for place, each in enumerate(history.since, 1) if each.drift is not None]
        if self.drift is None or not measured:
            return None
        place, value = measured[-1]
        expected = 1 + (value - 1) * len(history.since) / place
        if expected <= self.drift:
            return None
        how = "is" if place == len(history.since) else "is expected to be"
        return f"the drift {how} {expected:.1f} (limit {self.drift:g})"


def forget_in_sequence(
    model: nn.Module,
    task: Task[Any],
    requests: RequestSequence,
    method: Forgets,
    engine: Engine,
    *,
    rule: RetrainRule | None = None,
    retrain: Forgets | None = None,
    retraining_seconds: float | None = None,
    drift_after: Mapping[int, float] = MappingProxyType({}),
    say: Callable[[str], None] = lambda line: None,
) -> SequenceHistory:
    """Serve requests one after another; with a folder in the engine, a sequence that was killed goes on where it was.

    Args:
        model: trained on `requests.everything`; it is left as it is.
        requests: see :mod:`expunge.studies.sequences.requests`.
        method: serves each request, with what the last one left as its model.
        rule: asked after each request whether retraining is due; None to ask nobody.
        retrain: serves the next request once it is due; without it the reason is kept and the method goes on.
        retraining_seconds: what a retraining takes, such as what training the original took; needed for the rule's limit on it.
        drift_after: drifts that are known, by the number of the request after which they were measured.

    Raises:
        BadSetting: if the method leaves a network of another form, which the next request cannot go on from.
    """
    if getattr(method, "adapter", False):
        raise BadSetting(f"{method!r} leaves a network of another form, which the next request cannot go on from")
    with engine.scope("begin"):
        first = _measured(model, task, requests.together(1), engine)
    history = SequenceHistory(first["score"], task.higher_is_better, retraining_seconds)
    began = 1  # with which request the sequence began that the model has not been retrained since
    for number in range(1, requests.requests + 1):
        anew = retrain is not None and bool(history.served) and bool(history.served[-1].due)
        serves = retrain if anew and retrain is not None else method
        say(f"request {number} of {requests.requests}" + (": retraining" if anew else ""))
        model, seconds = _serve(model, task, requests.step(number), serves, engine, number)
        began = number if anew else began
        with engine.scope(f"request-{number}"):
            figures = _measured(model, task, requests.between(began, number), engine)
        served = Served(number, seconds, **figures, drift=drift_after.get(number), retrained=anew)
        history = replace(history, served=(*history.served, served), models=(*history.models, model))
        if rule is not None and (reason := rule.due(history)):
            history = replace(history, served=(*history.served[:-1], replace(served, due=reason)))
    return history


def _serve(
    model: nn.Module, task: Task[Any], split: Split, method: Forgets, engine: Engine, number: int
) -> tuple[nn.Module, float]:
    key = f"{method!r} of {weights_hash(model)} {stream_digest(split)} seed {engine.seed}{task.reading}"
    like = model if getattr(method, "lora", None) is not None else method.like(model)
    return engine.make(f"request-{number}", lambda: standalone(method(model, task, split, engine)), like, key)


def standalone(model: nn.Module) -> nn.Module:
    """A model that the next request can go on from: an adapter for a language model is worked into its weights."""
    return merged(model).eval() if is_adapted(model) else model


def _measured(model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> dict[str, Any]:
    """What can be told of a model without a retrained one beside it: `score`, `membership` and `chance` of :class:`Served`."""

    def find() -> dict[str, float | None]:
        subject = Subject("", model, task, split, engine)
        score = task.evaluate(model, subject.batches("holdout"))[task.score_name]
        trial = Membership().trial(subject)
        if trial is None:
            return {"score": score, "membership": None, "chance": 0.0}
        members = int(trial.member.sum())
        return {"score": score, "membership": trial.auc(), "chance": _chance(members, len(trial.member) - members)}

    key = f"{weights_hash(model)} {stream_digest(split)} seed {engine.seed}{task.reading}"
    found: dict[str, Any] = engine.remember("measured", key, find)
    return found


def _chance(members: int, others: int) -> float:
    """Standard deviation of an AUC of so many examples on both sides where nothing tells them apart (Mann and Whitney, 1947).

    >>> round(_chance(50, 500), 3)
    0.043
    """
    return math.sqrt((members + others + 1) / (12 * members * others))

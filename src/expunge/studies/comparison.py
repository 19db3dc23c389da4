"""One comparison: the original, two retrained models and the chosen methods, each put to all audits."""

import copy
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from expunge.audits import AUDITS, Audit, Figure, Membership, References, Subject
from expunge.audits.concealment import Concealment
from expunge.audits.prediction_distance import predictions
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.report.evidence import Case, Curves, Recovery, Role, Row, Value
from expunge.split import Split, stream_digest
from expunge.storage import weights_hash
from expunge.tasks import RegressionTask, Task

ORIGINAL, RETRAINED, SECOND = "original", "retrained", "retrained-2"


class Forgets(Protocol):
    """What makes the model of a row: a method, or what calls one or several."""

    def like(self, model: nn.Module) -> nn.Module | None:
        """A model with the keys and shapes of the result; None where these are not known before."""
        ...

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        """A model without `split.forget`."""
        ...


@dataclass(frozen=True)
class Comparison:
    """The models of one comparison by name, what the audits found of each, and what diffusion models draw under attack."""

    subjects: Mapping[str, Subject]
    figures: Mapping[str, Mapping[str, Figure]]
    recoveries: Mapping[str, Recovery | None] = field(default_factory=dict)


def default_audits(task: Task[Any], split: Split | None = None) -> tuple[Audit, ...]:
    """Every audit that works on the task, with its default settings; of those for some kinds of request, such as clients who
    leave a federation, the ones that are for this request's."""
    kind = Split if split is None else type(split)
    able = (audit for audit in AUDITS.values() if isinstance(task, audit.takes) and issubclass(kind, audit.splits))
    return tuple(audit() for audit in able)  # type: ignore[abstract]


def compare(
    model: nn.Module,
    task: Task[Any],
    split: Split,
    methods: Mapping[str, Forgets],
    engine: Engine,
    *,
    retrain: Forgets | None = None,
    golds: int = 2,
    audits: Sequence[Audit] | None = None,
    original_seconds: float | None = None,
    original_history: Sequence[Mapping[str, Any]] = (),
    made: Mapping[str, tuple[nn.Module, float]] | None = None,
) -> Comparison:
    """Unlearn by every method and audit all results.

    Args:
        model: the trained model.
        methods: by the name that their rows get.
        retrain: the recipe of the gold; None to go without.
        golds: retrained models, each from its own seed; the second one shows the noise floor.
        audits: all that fit the task when None.
        original_seconds: time that training the original took, where it is known.
        original_history: the engine's history of training it, for audits that read it.
        made: results that are there already, with their seconds, by name.
    """
    subjects = {ORIGINAL: Subject(ORIGINAL, model, task, task.as_trained(split), engine, original_seconds, original_history)}
    before = f"{weights_hash(model)} {stream_digest(split)} seed {engine.seed}{task.reading}"
    wanted: dict[str, Forgets] = {}
    if retrain is not None:
        wanted = {RETRAINED if index == 0 else f"{RETRAINED}-{index + 1}": retrain for index in range(golds)}
    wanted |= methods
    for name, method in wanted.items():
        key = f"{before} {method!r}"
        build, before_it = partial(method, model, task, split, engine), len(engine.history)
        result, seconds = (made or {}).get(name) or engine.make(name, build, method.like(model), key)
        subjects[name] = Subject(name, result, task, split, engine, seconds, engine.history[before_it:])
    retrained = tuple(subject for name, subject in subjects.items() if name.startswith(RETRAINED) and name not in methods)
    references = References(subjects[ORIGINAL], retrained, retrain.train if isinstance(retrain, Retrain) else None)
    asked = default_audits(task, split) if audits is None else audits
    figures = examine(subjects.values(), references, asked)
    attack = next((audit for audit in asked if isinstance(audit, Concealment)), None)
    shown = {} if attack is None else {name: attack.recovery(each, references) for name, each in subjects.items()}
    return Comparison(subjects, figures, {name: None if each is None else Recovery(**each) for name, each in shown.items()})


def examine(subjects: Iterable[Subject], references: References, audits: Sequence[Audit]) -> dict[str, dict[str, Figure]]:
    """Every audit's figures for every subject; those that a restarted run had found already are read."""
    asked = list(subjects)
    held_against = [each for each in (references.original, *references.retrained) if each is not None]
    splits = {id(each.split): each.split for each in (*asked, *held_against)}
    digests = {place: stream_digest(split) for place, split in splits.items()}

    def told(subject: Subject) -> str:
        """All of a subject that figures depend on."""
        weights, data = weights_hash(subject.model), digests[id(subject.split)]
        return f"{weights} {data} seed {subject.engine.seed} in {subject.seconds} s{subject.task.reading}"

    def figures(subject: Subject) -> dict[str, Any]:
        found: dict[str, Figure] = {}
        for audit in audits:
            found |= audit(subject, references)
        return {metric: asdict(figure) for metric, figure in found.items()}

    besides = f"beside {' '.join(map(told, held_against)) or 'nothing'} asked {[repr(audit) for audit in audits]}"
    found = {}
    for subject in asked:
        name, key = f"{subject.name}-figures", f"{told(subject)} {besides}"
        values = subject.engine.remember(name, key, partial(figures, subject))
        found[subject.name] = {metric: _figure(**value) for metric, value in values.items()}
    return found


def _figure(value: float | None, ideal: float | None, interval: Sequence[float] | None, note: str) -> Figure:
    return Figure(value, ideal, None if interval is None else (interval[0], interval[1]), note)


def to_case(comparisons: Sequence[Comparison], title: str, forgotten: str) -> Case:
    """Aggregate the same comparison over seeds; curves are the first seed's."""
    first = comparisons[0]
    rows = []
    for name, subject in first.subjects.items():
        metrics = first.figures[name]
        values = {metric: _aggregate([each.figures[name][metric] for each in comparisons]) for metric in metrics}
        rows.append(Row(name, _role(name), values, curves_of(subject, first.recoveries.get(name))))
    task = next(iter(first.subjects.values())).task
    return Case(title, forgotten, tuple(rows), task.score_name, task.higher_is_better, task.unit, task.loss_unit)


def _role(name: str) -> Role:
    if name == ORIGINAL:
        return "original"
    if name == RETRAINED:
        return "retrained"
    return "noise floor" if name.startswith(RETRAINED) else "method"


def _aggregate(figures: Sequence[Figure]) -> Value:
    defined = [figure.value for figure in figures if figure.value is not None]
    ideals = [figure.ideal for figure in figures if figure.ideal is not None]
    notes = list(dict.fromkeys(figure.note for figure in figures if figure.note))
    return Value(
        mean=statistics.fmean(defined) if defined else None,
        std=statistics.stdev(defined) if len(defined) > 1 else 0.0,
        n=len(defined),
        ideal=statistics.fmean(ideals) if ideals else None,
        note="; ".join(notes),
        interval=figures[0].interval,
        seeds=tuple(math.nan if figure.value is None else figure.value for figure in figures),
    )


def curves_of(subject: Subject, recovery: Recovery | None = None) -> Curves:
    """What is drawn of a subject."""
    trial = Membership().trial(subject)
    roc = None if trial is None else tuple(part.tolist() for part in trial.roc())
    unseen = subject.unseen_part()
    return Curves(
        roc=roc,
        forget_losses=subject.losses("forget").tolist(),
        unseen_losses=subject.losses(unseen).tolist(),
        group_scores=group_scores(subject),
        forget_answers=_answers(subject),
        recovery=recovery,
    )


def _answers(subject: Subject) -> list[float]:
    """Predictions on the forget set, of several numbers their mean; none where answers are no numbers."""
    if not isinstance(subject.task, RegressionTask):
        return []
    return predictions(subject, "forget").mean(1).tolist()


def group_scores(subject: Subject) -> dict[str, float]:
    """Mean score on unseen examples by group: class or band."""
    found: dict[int, list[Tensor]] = {}
    for part in ("holdout", "holdout_forget"):
        scores, groups = subject.scores(part), subject.groups(part)
        for group in sorted(set(groups.tolist())):
            found.setdefault(group, []).append(scores[groups == group])
    return {subject.task.group_name(group): torch.cat(found[group]).mean().item() for group in sorted(found)}


def trained(task: Task[Any], batches: Any, recipe: Retrain, engine: Engine) -> tuple[nn.Module, float]:
    """Train an original model by `recipe`; a restarted run loads it instead. Returns the model and its seconds."""
    blank = copy.deepcopy(engine.new_model(task.new_model, "blank"))
    key = f"{recipe!r} {stream_digest(batches)} seed {engine.seed}"
    return engine.make(ORIGINAL, lambda: recipe.train(task, batches, engine), blank, key)

"""The three-line use: forget, audit, report."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from expunge.audits import Audit, Figure, References, Subject
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.federated.client_split import ClientSplit
from expunge.methods import METHODS, ConDa, Method, Retrain
from expunge.registry import find
from expunge.report.evidence import Evidence
from expunge.split import Split, stream_digest
from expunge.storage import weights_hash
from expunge.studies.advice import Predicts, recommended
from expunge.studies.comparison import Comparison, compare, default_audits, examine, to_case
from expunge.studies.run_folder import evidence_of, served, write_results
from expunge.tasks import LinkPredictionTask, NodeClassificationTask, RecommendationTask, Task


class Result:
    """What :func:`forget` returns. The audit runs when it is first asked for.

    Attributes:
        model: the model that has forgotten.
        seconds: how long that took.
    """

    def __init__(
        self,
        original: nn.Module,
        task: Task[Any],
        split: Split,
        method: Method,
        engine: Engine,
        retrain: Method | None,
        audits: Sequence[Audit] | None,
    ) -> None:
        self._original, self._task, self._split, self._retrain, self._audits = original, task, split, retrain, audits
        self.method, self.engine = method, engine
        key = f"{weights_hash(original)} {stream_digest(split)} seed {engine.seed} {method!r}{task.reading}"
        self.model, self.seconds = engine.make(
            method.name, lambda: method(original, task, split, engine), method.like(original), key
        )

    @cached_property
    def comparison(self) -> Comparison:
        """The original, the retrained models if a recipe was given, and this model, put to all audits."""
        made = {self.method.name: (self.model, self.seconds)}
        return compare(
            self._original,
            self._task,
            self._split,
            {self.method.name: self.method},
            self.engine,
            retrain=self._retrain,
            audits=self._audits,
            made=made,
        )

    @property
    def figures(self) -> Mapping[str, Figure]:
        """The audits' figures for the model that has forgotten, by metric."""
        return self.comparison.figures[self.method.name]

    @cached_property
    def evidence(self) -> Evidence:
        """All that the report shows, as plain values."""
        forget = getattr(self._split.forget, "examples", None)
        forgotten = "the forget set" if forget is None else f"{forget:,} training examples"
        case = to_case([self.comparison], title=self.method.name, forgotten=forgotten)
        settings = {"method": repr(self.method), "retrain": repr(self._retrain), "seed": self.engine.seed}
        title = f"Forgetting by {self.method.name}"
        return evidence_of([case], title, settings, self.engine, audits=self._audits or ())

    def report(self, folder: str | Path) -> Path:
        """Write model.safetensors, audit.json, history.jsonl, report.html and statement.html; returns the report's path."""
        done = served(self.comparison, self.method.name)
        return write_results(Path(folder), self.evidence, self.model, self.engine, done)


def forget(
    model: nn.Module,
    task: Task[Any],
    split: Split,
    method: str | Method = "scrub",
    *,
    retrain: Method | None = None,
    engine: Engine | None = None,
    audits: Sequence[Audit] | None = None,
) -> Result:
    """Take `split.forget` out of a trained model.

    Args:
        model: the trained model; it is not changed.
        task: how it is read.
        split: what must go, what stays, what was never seen.
        method: a method, or the name of one with its default settings (``expunge methods`` lists them), or "auto" for the
            one that is recommended for this kind of request and this recipe.
        retrain: the recipe that `model` was trained with. With it the audit retrains twice without the data and holds the
            result against that; without it the report says that nothing is proven.
        engine: trains; ``Engine()`` when None.
        audits: all that fit the task when None.

    Returns:
        the result: its model, its figures, its report.
    """
    chosen = _method(method, task, split, retrain)
    return Result(model, task, split, chosen, engine or Engine(), retrain, audits)


_PREDICTS: dict[type[Task[Any]], Predicts] = {
    LinkPredictionTask: "links",
    NodeClassificationTask: "nodes",
    RecommendationTask: "rankings",
}


def _method(method: str | Method, task: Task[Any], split: Split, retrain: Method | None) -> Method:
    if not isinstance(method, str):
        return method
    if method != "auto":
        named: Any = find(METHODS, method, "method")
        return named()
    if isinstance(split, ClientSplit):
        return ConDa()
    if not isinstance(retrain, Retrain):
        raise BadSetting('method "auto" follows from the recipe of the model: give it as retrain=Retrain(epochs=...)')
    return recommended(retrain, kind=split.holdout_forget is not None, predicts=_PREDICTS.get(type(task)))


def audit(
    model: nn.Module,
    task: Task[Any],
    split: Split,
    *,
    original: nn.Module | None = None,
    retrained: Sequence[nn.Module] = (),
    engine: Engine | None = None,
    audits: Sequence[Audit] | None = None,
) -> dict[str, Figure]:
    """Ask a model, however it was made, whether it still knows `split.forget`.

    Args:
        original: the model before forgetting; relearning is judged by it.
        retrained: models that were trained without the data; the first is the gold. Without one there are no ideals.
        audits: all that fit the task when None.

    Returns:
        figures by metric, each with its ideal where it is known.
    """
    engine = engine or Engine()

    def subject(name: str, which: nn.Module) -> Subject:
        return Subject(name, which, task, split, engine)

    golds = tuple(subject(f"retrained-{index}", gold) for index, gold in enumerate(retrained))
    references = References(None if original is None else subject("original", original), golds)
    chosen = default_audits(task, split) if audits is None else audits
    return examine([subject("model", model)], references, chosen)["model"]

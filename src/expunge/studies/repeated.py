r"""The strictest comparison: the same request served many times over, N unlearned models against N retrained ones.

    originals     theta_i  = train(everything; seed i)                       i = 1 ... N
    unlearned     theta'_i = method(theta_i, forget, retain)
    oracle        omega_i  = train(retain; another seed)
    second        nu_i     = train(retain; yet another seed)                 the noise floor

Of each example x a model gives a signal phi: the logit of the confidence in the true class, or in the edge; the signed error; a
user's logit of preferring the item; the log-likelihood of a token of the answer. What is found of unlearned models, of
originals and of the second retrained ones is found against the oracle models:

    U-LiRA        AUC(x) of log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out), told from the signals of x alone
    epsilon       of the strongest simple attack on x;      F = mean_x 2 / 2^n(x),  n the number of its bin, 0.5 wide
    KLoM          KL( histogram of phi(x) || histogram of phi(x) over the oracle ),  for forget, retain and holdout examples

Both Gaussians of U-LiRA are fitted to every other model, and judge the rest; then the other way round, and the mean of both
areas is taken, so that no attack meets a model that it was fitted to. It tells models apart by whatever a method did to them,
which need not be what they still know: beside its AUC on forgotten examples stands that on unseen ones. Where the latter lies
above the originals', the method has changed answers everywhere. Where the answer is d numbers, the attack takes the mean
ratio, KLoM is the mean over them, and epsilon the largest. Beside all that stands the plain attack, one threshold on the loss.

With N models no rate of error below 1 / N can be seen, thus no epsilon above log((1 - delta) N - 1): an example on which the
models are always told apart counts as that much.

References: J. Hayes et al. "Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy", 2024, arXiv
2403.01218. E. Triantafillou et al. "Are We Making Progress in Unlearning?", 2024, arXiv 2406.09073. K. Georgiev et al.
"Attribute-to-Delete: Machine Unlearning via Datamodel Matching", ICLR 2025, arXiv 2410.23232.
Costs: 3 N trainings and N runs of the method.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.audits import Subject
from expunge.audits.audit import PARTS
from expunge.audits.shadows import epsilon_per_example, forgetting_quality, klom
from expunge.audits.shadows.attacking import ATTACKED, signed
from expunge.audits.shadows.scores import Array
from expunge.audits.ulira import attack_aucs, u_lira
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged, WrongTask
from expunge.matching import group_weights, matched_auc
from expunge.methods import Method, Retrain
from expunge.split import Split, Stream, is_empty
from expunge.statistics import models_needed
from expunge.studies.comparison import ORIGINAL, SECOND
from expunge.studies.repeated_models import Maker, whole_of
from expunge.tasks import Task

UNLEARNED = "unlearned"
KINDS = (UNLEARNED, ORIGINAL, SECOND)  # each held against the oracle models
FIGURES = {
    "ulira_auc": "U-LiRA, AUC: mean over forgotten examples",
    "ulira_auc_95": "U-LiRA, AUC: 95th percentile",
    "ulira_auc_unseen": "U-LiRA, AUC: mean over unseen examples",
    "loss_auc": "one threshold on the loss, AUC: mean over models",
    "epsilon": "epsilon: median over forgotten examples",
    "told_apart": "share of examples that are always told apart",
    "forgetting_quality": "forgetting quality, 1 is best",
    "klom_forget": "KLoM, forget: median",
    "klom_forget_95": "KLoM, forget: 95th percentile",
    "klom_retain": "KLoM, retain: median",
    "klom_retain_95": "KLoM, retain: 95th percentile",
    "klom_holdout": "KLoM, holdout: median",
    "klom_holdout_95": "KLoM, holdout: 95th percentile",
}
_FEWEST = 4  # models of a kind: Gaussians are fitted to half of them
_LITTLE = 0.05  # of AUC above the noise floor: no more is taken for nothing


@dataclass(frozen=True)
class Repeated:
    """What many models of each kind show.

    Args:
        method: the method's name.
        models: N, how many of each kind.
        delta: of the epsilons.
        figures: by kind ("unlearned", "original", "retrained-2") and figure, each against the oracle models; the names are
            those of `FIGURES`. Without unseen examples in a group of the forgotten ones there is no `loss_auc`.
        signals: by kind, "oracle" too, and part of the split: shape (N, examples, d).
    """

    method: str
    models: int
    delta: float
    figures: Mapping[str, Mapping[str, float]]
    signals: Mapping[str, Mapping[str, Array]] = field(repr=False, compare=False)

    @property
    def limit(self) -> float:
        """The largest epsilon that so many models can show."""
        return _limit(self.models, self.delta)

    def rows(self) -> list[dict[str, Any]]:
        """The figures of each kind of model, and what kind it is."""
        return [{"kind": kind, **self.figures[kind]} for kind in KINDS]

    def as_json(self) -> dict[str, Any]:
        """All but the signals, as plain values."""
        facts = {"method": self.method, "models": self.models, "delta": self.delta, "epsilon_limit": self.limit}
        return {**facts, "rows": self.rows(), "meaning": self.meaning()}

    def meaning(self) -> list[str]:
        """What the figures say, a sentence each."""
        areas, margins = ([self.figures[kind][name] for kind in KINDS] for name in ("ulira_auc", "klom_forget"))
        unlearned, original, second = areas
        wanted = math.floor(self.limit) + 1
        return [
            f"{self.method}: its models are told from retrained ones with a mean AUC of {unlearned:.3f}, originals with "
            f"{original:.3f}, two sets of retrained ones with {second:.3f}.",
            self._trace(unlearned, original, second),
            "KLoM on forgotten examples, at the median: {:.2f} nats; of originals {:.2f}, of two sets of retrained models "
            "{:.2f}.".format(*margins),
            f"With {self.models} models of each kind no epsilon above {self.limit:.2f} can be seen; to see one of {wanted} it "
            f"takes {models_needed(wanted, self.delta):,}.",
        ]

    def _trace(self, unlearned: float, original: float, second: float) -> str:
        if original - second < _LITTLE:
            return "Originals are hardly told from retrained models either: whatever the method reached, nothing is proven."
        if unlearned - second < _LITTLE:
            return f"That is level with the noise floor, as far as {self.models} models can tell."
        share = (unlearned - second) / (original - second)
        unseen, theirs = (self.figures[kind]["ulira_auc_unseen"] for kind in (UNLEARNED, ORIGINAL))
        return (
            f"Above the noise floor, they are told {share:.0%} as well as originals are. By unseen examples they are told with "
            f"{unseen:.3f}, originals with {theirs:.3f}: what lies above the originals' is the mark of the method, not of what "
            "went."
        )

    def __str__(self) -> str:
        names = [name for name in FIGURES if name in self.figures[UNLEARNED]]
        cells = [["", self.method, "original", "second retrained"]]
        cells += [[FIGURES[name], *(f"{self.figures[kind][name]:.3f}" for kind in KINDS)] for name in names]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))])
            for row in cells
        ]
        return "\n".join([*lines, "", *self.meaning()])


def repeated(
    task: Task[Any],
    split: Split,
    method: Method,
    recipe: Retrain,
    engine: Engine,
    models: int = 16,
    everything: Stream | None = None,
    delta: float = 0.01,
) -> Repeated:
    """Serve one request many times over, and set the models against retrained ones, example by example.

    With a folder, all models are kept: a killed run goes on, and another method finds originals and retrained models there.

    Args:
        task: classification, of nodes too, regression, links, recommendation or language.
        split: the request; forget, retain and holdout must have examples.
        method: what unlearns.
        recipe: what originals and retrained models are trained by.
        models: N, of each kind: 4 or more. 16 tell something; how large an epsilon N of them can show,
            `expunge.statistics.models_needed` says.
        everything: what originals are trained on; when None, what goes and what stays, in batches like those of retain: rows
            joined, the graph or the interactions as they were before the request. To be given where batches are drawn anew each
            time, and where what goes is no row of a graph, such as a feature.
        delta: of the epsilons, from 0 to below 1.

    Raises:
        WrongTask: if models of the task give no signals, or the method does not take it.
        BadRequest: if a part is empty.
        BadSetting: if there are too few models, or delta makes no sense.
        Diverged: if a model's answers are not finite.
    """
    _check(task, split, method, recipe, models, delta)
    with engine.scope("repeated"):
        maker = Maker(task, recipe, engine)
        reader, whole_split = _Reader(task, Subject("blank", maker.blank, task, split, engine)), task.as_trained(split)
        before = reader  # originals are read beside all that they were trained on
        if whole_split is not split:
            before = _Reader(task, Subject("blank", maker.blank, task, whole_split, engine))
        kinds: dict[str, list[dict[str, Array]]] = {UNLEARNED: [], ORIGINAL: []}
        whole = whole_of(split, reader.batches) if everything is None else everything
        for number, original in enumerate(maker.trained(ORIGINAL, whole, models)):
            kinds[ORIGINAL].append(before(original, f"{ORIGINAL}-{number}"))
            unlearned = maker.unlearned(number, original, method, split)
            kinds[UNLEARNED].append(reader(unlearned, f"{method.name}-{number}"))
        for kind in ("oracle", SECOND):
            made = enumerate(maker.trained(kind, split.retain, models))
            kinds[kind] = [reader(model, f"{kind}-{number}") for number, model in made]
    read = {kind: {part: np.stack([each[part] for each in rows]) for part in rows[0]} for kind, rows in kinds.items()}
    signals = {kind: {part: values[..., :-1] for part, values in parts.items()} for kind, parts in read.items()}
    figures = {kind: compared(signals[kind], signals["oracle"], delta) | reader.plain(read[kind]) for kind in KINDS}
    return Repeated(method.name, models, delta, figures, signals)


def compared(ours: Mapping[str, Array], oracle: Mapping[str, Array], delta: float) -> dict[str, float]:
    """All figures of models of one kind but the plain attack's.

    Args:
        ours: signals by part, "forget", "retain" and "holdout": shape (N, examples, d).
        oracle: those of retrained models.
        delta: of the epsilons.
    """
    areas = held_apart(ours["forget"], oracle["forget"])
    epsilons = _each_number(partial(epsilon_per_example, delta=delta), ours["forget"], oracle["forget"]).max(0)
    found = {
        "ulira_auc": areas.mean(),
        "ulira_auc_95": np.percentile(areas, 95),
        "ulira_auc_unseen": held_apart(ours["holdout"], oracle["holdout"]).mean(),
        "epsilon": np.median(np.minimum(epsilons, _limit(len(oracle["forget"]), delta))),
        "told_apart": np.isinf(epsilons).mean(),
        "forgetting_quality": forgetting_quality(epsilons),
    }
    for part in ("forget", "retain", "holdout"):
        divergences = _each_number(klom, ours[part], oracle[part]).mean(0)
        found[f"klom_{part}"], found[f"klom_{part}_95"] = np.percentile(divergences, [50, 95])
    return {name: float(value) for name, value in found.items()}


def held_apart(ours: Array, theirs: Array) -> Array:
    """Areas of U-LiRA on each example, fitted to one half of the models and put to the other, both ways: shape (examples,).

    Args:
        ours: signals of unlearned models, shape (N, examples) or (N, examples, d).
        theirs: those of retrained models.
    """
    even, odd = slice(0, None, 2), slice(1, None, 2)
    areas = [
        attack_aucs(*(u_lira(ours[fitted], theirs[fitted], side[judged]) for side in (ours, theirs)))
        for fitted, judged in ((even, odd), (odd, even))
    ]
    return np.asarray(np.mean(areas, axis=0))


def _each_number(figure: Callable[[Any, Any], Array], ours: Array, theirs: Array) -> Array:
    """A figure of each of d numbers, shape (d, examples)."""
    return np.stack([figure(ours[..., number], theirs[..., number]) for number in range(ours.shape[-1])])


def _limit(models: int, delta: float) -> float:
    return math.log(max((1 - delta) * models - 1, 1.0))


class _Reader:
    """Reads signals, and losses after them, of the parts of a split."""

    def __init__(self, task: Task[Any], blank: Subject) -> None:
        self.task, self.unseen = task, blank.unseen_part()
        self.batches = {part: found for part in PARTS if (found := list(blank.batches(part)))}
        self.weights = group_weights(blank.groups("forget"), blank.groups(self.unseen))

    def __call__(self, model: nn.Module, name: str) -> dict[str, Array]:
        """By part, shape (examples, d + 1)."""
        found = {part: self.task.collect(model, batches, self._read).double() for part, batches in self.batches.items()}
        if not all(values.isfinite().all() for values in found.values()):
            raise Diverged(f"{name}: answers are not finite numbers, there is nothing to compare")
        return {part: values.numpy() for part, values in found.items()}

    def _read(self, outputs: Tensor, batch: Any) -> Tensor:
        return torch.cat([signed(self.task, outputs, batch), self.task.losses(outputs, batch).unsqueeze(1)], 1)

    def plain(self, read: Mapping[str, Array]) -> dict[str, float]:
        """AUC of one threshold on the loss, forgotten against unseen examples, as a mean over models; none without those."""
        if not self.weights.any():
            return {}
        members, others = (torch.from_numpy(-read[part][..., -1]) for part in ("forget", self.unseen))
        areas = [matched_auc(*pair, weights=self.weights) for pair in zip(members, others, strict=True)]
        return {"loss_auc": float(np.mean(areas))}


def _check(task: Task[Any], split: Split, method: Method, recipe: Retrain, models: int, delta: float) -> None:
    if not isinstance(task, ATTACKED):
        able = ", ".join(kind.__name__ for kind in ATTACKED)
        raise WrongTask(f"models of {type(task).__name__} give no signals to compare; those of {able} do")
    if models < _FEWEST or not 0 <= delta < 1:
        raise BadSetting(
            f"repeated needs {_FEWEST} or more models of each kind, since attacks are fitted to half of them and put to the "
            f"rest, and delta from 0 to below 1, not {models} and {delta}"
        )
    if not isinstance(recipe, Retrain):
        raise BadSetting(f"the recipe must be a Retrain, which trains originals too, not {type(recipe).__name__}")
    for part in ("forget", "retain", "holdout"):
        if is_empty(getattr(split, part)):
            raise BadRequest(f"the {part} part is empty: models are compared on forget, retain and holdout examples")
    method.check(task, split)

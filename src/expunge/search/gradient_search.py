"""What searches by gradients have in common: train a supernet on two levels, watch it, and derive a genotype."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.search.bilevel import SCHEDULE, Bilevel
from expunge.search.cell_space import CellSpace
from expunge.search.deriving import decidedness, derive, entropy
from expunge.search.expected_cost import ExpectedCost, expected_cost
from expunge.search.genotype import KINDS, Genotype
from expunge.search.halves import Halves
from expunge.search.method import Outcome, SearchMethod
from expunge.search.supernet import Supernet
from expunge.search.two_optimizers import SGDAndAdam, TwoOptimizers

_UNDECIDED = 0.02  # below this the weights are as good as uniform, and the genotype as good as drawn by chance
_MANY_SKIPS = 2  # in a normal cell; more are the known collapse of DARTS
_STOP = 1e9  # a score that no epoch's number reaches
_LARGEST_RATE = 0.1


@dataclass(frozen=True)
class GradientSearch(SearchMethod):
    """A search by gradients.

    Args:
        epochs: passes over the half that trains the weights.
        warmup: share of the epochs in which the weights alone are trained.
        rate: of SGD on the weights; falls to 0 along a cosine.
        momentum: of SGD.
        weight_decay: of SGD.
        clip_norm: largest norm of the weights' gradient.
        architecture_rate: of Adam on the architecture, constant; when None, `paper_rate`, or as much more as it takes for
            rate * steps to reach `travel`, since few steps at the paper's rate leave the weights uniform; 0.1 at most.
        architecture_decay: of Adam.
        order: 1 or 2, see `bilevel`; the second costs about four times as much.
        cost_weight: of the expected cost of a network in the architecture's loss, in units of a random network's.
        cost: "macs", "latency" (measured at the start, so that figures differ from run to run), or a table of your own.
        max_skips: most skip connections in the derived normal cell; any when None.
        patience: stop when the genotype hasn't changed for so many epochs with architecture steps; never when None.
        label_smoothing: of cross entropy, from 0 to below 1.
        class_weights: of cross entropy, one for each class.
        warn_below: decidedness below which a search is said to be undecided.
        augment: changes a batch of images (n, c, h, w) of the weights' half, with torch's global generator.
        watch: called after each epoch with what the history has under "search".
    """

    paper_rate: ClassVar[float]
    travel: ClassVar[float] = 6.0  # 3e-4 over the 19,550 steps of DARTS on CIFAR-10
    temperatures: ClassVar[tuple[float, float]] = (1.0, 1.0)

    epochs: int = 50
    warmup: float = 0.0
    rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_norm: float | None = 5.0
    architecture_rate: float | None = None
    architecture_decay: float = 1e-3
    order: Literal[1, 2] = 1
    cost_weight: float = 0.0
    cost: Literal["macs", "latency"] | ExpectedCost = "macs"
    max_skips: int | None = None
    patience: int | None = None
    label_smoothing: float = 0.0
    class_weights: Sequence[float] | None = None
    warn_below: float = _UNDECIDED
    augment: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    watch: Callable[[dict[str, Any]], None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.class_weights is not None:
            object.__setattr__(self, "class_weights", tuple(float(each) for each in self.class_weights))
        if self.epochs < 1 or not 0 <= self.warmup < 1:
            raise BadSetting(f"epochs must be at least 1 and warmup from 0 to below 1, not {self.epochs} and {self.warmup}")
        if self.order not in (1, 2):
            raise BadSetting(f"order must be 1 or 2, not {self.order!r}")
        rates = (self.rate, 1.0 if self.architecture_rate is None else self.architecture_rate)
        if not all(0 < rate < float("inf") for rate in rates):
            raise BadSetting(f"rates must be above 0 and finite, not {rates[0]} and {rates[1]}")
        if not 0 <= self.cost_weight < float("inf") or not 0 <= self.label_smoothing < 1:
            raise BadSetting("cost_weight must be 0 or more, and label_smoothing from 0 to below 1")
        if not isinstance(self.cost, ExpectedCost) and self.cost not in ("macs", "latency"):
            raise BadSetting(f"cost must be 'macs', 'latency' or a table from expected_cost, not {self.cost!r}")
        if (self.patience is not None and self.patience < 1) or (self.max_skips is not None and self.max_skips < 0):
            raise BadSetting("patience must be at least 1, and max_skips at least 0")

    @abstractmethod
    def supernet(self, space: CellSpace) -> Supernet:
        """The supernet that is trained."""

    def find(self, space: CellSpace, halves: Halves, engine: Engine) -> Outcome:
        try:
            length = len(halves)
        except TypeError:
            raise BadSetting(f"{self.name}: the stream of the weights' half needs a length") from None
        if self.class_weights is not None and len(self.class_weights) != space.classes:
            raise BadSetting(f"there are {len(self.class_weights)} class_weights for {space.classes} classes")
        steps, warmup = self.epochs * length, round(self.warmup * self.epochs) * length
        cost = self._cost(space, halves, engine)
        learner: Any = engine.new_model(lambda: self._learner(space, steps, warmup, cost))
        self._fit(learner, halves, engine, self._architecture_rate(steps - warmup))
        return self._outcome(learner)

    def _fit(self, learner: Bilevel, halves: Halves, engine: Engine, architecture_rate: float) -> None:
        """Train, and write into the history what the architecture does."""
        recipe = TwoOptimizers(
            len(learner.supernet.architecture),
            self.rate,
            self.momentum,
            self.weight_decay,
            self.clip_norm,
            architecture_rate,
            architecture_decay=self.architecture_decay,
        )
        before = len(engine.history)

        def optimizer(parameters: Any) -> SGDAndAdam:
            learner.optimizer = recipe(parameters)
            return learner.optimizer

        def note(model: Any, epoch: int) -> None:
            engine.history[-1]["search"] = self._facts(model)
            if self.watch is not None:
                self.watch(engine.history[-1]["search"])

        def settled(model: nn.Module) -> float:
            """Rises with each epoch, so that the last weights are kept, and to the end once the genotype stays."""
            rows = [row for row in engine.history[before:] if "search" in row]
            return _STOP if self._unchanged(rows) else float(len(rows))

        engine.fit(
            learner,
            lambda model, batch: model(batch),
            halves,
            epochs=self.epochs,
            optimizer=optimizer,
            schedule=SCHEDULE,
            score=settled,
            enough=_STOP,
            on_epoch=note,
            name="search",
        )

    def _learner(self, space: CellSpace, steps: int, warmup: int, cost: ExpectedCost) -> Bilevel:
        criterion = CrossEntropy(self.class_weights, self.label_smoothing)
        supernet = self.supernet(space)
        learner = Bilevel(
            supernet, steps, warmup, self.order, cost, self.cost_weight, self.temperatures, self.augment, criterion
        )
        return learner

    def _cost(self, space: CellSpace, halves: Halves, engine: Engine) -> ExpectedCost:
        if isinstance(self.cost, ExpectedCost):
            if (self.cost.names, self.cost.nodes) != (space.operations, space.nodes):
                raise BadSetting("the table of costs is of another space; make it with expected_cost(space, size)")
            return self.cost
        size = halves.image_shape[1:]
        if self.cost == "macs":
            return expected_cost(space, size)
        # A search that goes on after a restart must not measure again: other times would be another loss.
        return ExpectedCost(
            **engine.remember("latency", repr((space, size)), lambda: asdict(expected_cost(space, size, "seconds")))
        )

    def _architecture_rate(self, steps: int) -> float:
        if self.architecture_rate is not None:
            return self.architecture_rate
        return min(_LARGEST_RATE, max(self.paper_rate, self.travel / max(1, steps)))

    def _facts(self, learner: Bilevel) -> dict[str, Any]:
        """What there is to see of the architecture, in values that JSON holds."""
        shares = {kind: learner.supernet.shares(kind)[0].cpu() for kind in KINDS}
        genotype = derive(learner.supernet, self.max_skips)
        return {
            "genotype": genotype.as_json(),
            "entropy": {kind: [round(each, 6) for each in entropy(p).tolist()] for kind, p in shares.items()},
            "decidedness": {kind: decidedness(p) for kind, p in shares.items()},
            "skips": genotype.skips,
            "expected_cost": float(learner.expected_cost().detach()),
            "cost_unit": learner.cost.unit,
            "architecture_steps": learner.architecture_steps,
        }

    def _unchanged(self, rows: Sequence[dict[str, Any]]) -> bool:
        trained = [row["search"]["genotype"] for row in rows if "architecture" in row["terms"]]
        patience = self.patience
        return (
            patience is not None and len(trained) > patience and all(each == trained[-1] for each in trained[-patience - 1 :])
        )

    def _outcome(self, learner: Bilevel) -> Outcome:
        found = {kind: decidedness(learner.supernet.shares(kind)[0]) for kind in KINDS}
        genotype, steps, warnings = derive(learner.supernet, self.max_skips), learner.architecture_steps, []
        if undecided := [kind for kind, value in found.items() if value < self.warn_below]:
            values = " and ".join(f"{kind} {found[kind]:.3f}" for kind in undecided)
            warnings.append(
                f"undecided: {values} of 1 after {steps:,} architecture steps, little better than a random cell; "
                "search longer, or with a higher architecture_rate"
            )
        if genotype.skips > _MANY_SKIPS:
            warnings.append(
                f"collapsed: {genotype.skips} of {len(genotype.normal)} operations in the normal cell are skip connections; "
                f"set max_skips={_MANY_SKIPS}, or patience, or a longer warmup"
            )
        return Outcome(genotype, steps, found, tuple(warnings))


class CrossEntropy(nn.Module):
    """Cross entropy: logits (n, classes) and labels (n,) -> scalar."""

    weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] | Tensor | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
        self.register_buffer("weights", weights, persistent=False)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, self.weights, label_smoothing=self.label_smoothing)


def genotypes(history: Sequence[dict[str, Any]]) -> list[Genotype]:
    """The genotype of each epoch of a gradient search, from the history."""
    return [Genotype.from_json(row["search"]["genotype"]) for row in history if "search" in row]

"""D2DGN: distil to delete. A student listens to a preserver on what stays and to a destroyer on what goes.

    L = alpha * L_r + (1 - alpha) * L_f

    response    L_r = mean_{retain} KL(P || S),              L_f = mean_{forget} KL(Q || S)
    features    L_r = mean_{retain} sum_l (e_P^l - e_S^l)^2, L_f = mean_{forget} sum_l (e_Q^l - e_S^l)^2

P is the original model, Q a network that knows nothing of what goes, S the student, which begins as a copy of P. On links the
divergence is between two Bernoulli answers, on nodes between distributions over the classes; of retained links there are as
many pairs that are none among L_r, as in training. e^l is what layer l says of an example: of a link the product
<z_u^l, z_v^l>, or the embeddings of its ends themselves; of a node its embedding. Nearly every end of an edge that goes is
also the end of one that stays: with "nodes" such an end follows Q alone, with "nodes-twice" both.

On links, trained to the end, the student is taught that deleted edges are no edges at all, which no model that never saw them
would say: they stand out (`stop="never"`; no rule for stopping is known of the published method). `stop="match-heldout"` stops
at the epoch after which deleted edges look like edges that were held out for validation: an attacker who knows how dense the
graph is around either sees no difference. It looks at no test data.

On nodes a random Q answers nearly evenly, which leaves the largest answer where it is: what was learned by heart is still said.
There Q is better one that has learned a little of what stays, and the student better begins where the weights of the original
are blended with fresh ones (see `shrink-perturb`): `D2DGN.for_nodes`.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "Distill to Delete: Unlearning in Graph Networks with Knowledge Distillation",
IEEE TNNLS, arXiv 2309.16173. The form of the losses where the paper leaves it open, the way of stopping, and what is said of
nodes are this library's.
Needs: forget and retain data, and `split.validation_forget` to match. Costs: `epochs` passes over all data, at most; what the
teachers say is computed once, on the complete graph, and the match after each epoch reads all that is left of it, also where
training sees sampled parts. A trained destroyer costs a training of its own.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.graphs import Graph, LinkBatch, LinkBatches
from expunge.graphs.negatives import negatives_of
from expunge.matching import group_weights, matched_auc
from expunge.methods.method import Method, frozen
from expunge.methods.retrain import Retrain
from expunge.methods.shrink_perturb import blended
from expunge.optimizers import Optimizer, Schedule
from expunge.split import Pair, Split, forget_share, is_empty, paired
from expunge.storage import weights_hash
from expunge.tasks import GraphTask, LinkPredictionTask, NodeClassificationTask, Task
from expunge.tasks.graph import layers_recorded

_PER_SHARE = 0.6  # weight of the forget term over the forget set's share: 0.03 for 5 % of the edges
Knowledge = Literal["response", "features", "both"]
Reading = Literal["links", "nodes", "nodes-twice"]


@dataclass(frozen=True)
class D2DGN(Method):
    """Distil from a preserver and a destroyer.

    Args:
        knowledge: what is handed on: answers, layers, or both.
        features: how layers are read of links: the products of both ends, or the ends' embeddings.
        destroyer: "random" for fresh weights; "negative-edges" for a network trained to find edges where there are none;
            "retained" for one trained for a while on what stays; or a function that returns a network of the student's
            architecture, such as one trained on other data.
        destroyer_epochs: of a destroyer that is trained.
        destroyer_optimizer: of a destroyer that is trained.
        alpha: weight of what stays, between 0 and 1; None for 1 - 0.6 s, with s the forget set's share of the training set, so
            that each example that goes weighs the same in a small request as in a large one.
        temperature: of the response term, > 0.
        keep: share of the original's weights in what the student begins with: 1 for a copy, 0 for fresh weights.
        teacher_graph: what teachers read: the "whole" graph, on which P was trained, or what is "retained" of it.
        stop: "never" before the last epoch; or "match-heldout", see the module. Where a kind of thing goes (a class of nodes,
            a relation), of which unseen examples say nothing, it is "never" in any case.
        tolerance: how far from a match counts as one, in standard errors of the AUC; the first epoch that matches is taken.
        patience: epochs without a better match before it stops.
        epochs: passes over the retained data, at most.
        optimizer: of the student, fresh.
        schedule: of the learning rate.
    """

    knowledge: Knowledge = "response"
    features: Reading = "links"
    destroyer: Literal["random", "negative-edges", "retained"] | Callable[[], nn.Module] = "random"
    destroyer_epochs: int = 200
    destroyer_optimizer: Optimizer = Optimizer("adam", 1e-3)
    alpha: float | None = None
    temperature: float = 1.0
    keep: float = 1.0
    teacher_graph: Literal["whole", "retained"] = "whole"
    stop: Literal["never", "match-heldout"] = "match-heldout"
    tolerance: float = 0.5
    patience: int = 20
    epochs: int = 200
    optimizer: Optimizer = Optimizer("adam", 1e-3)
    schedule: Schedule = "constant"

    takes: ClassVar[tuple[type[Task[Any]], ...]] = (LinkPredictionTask, NodeClassificationTask)
    why_not: ClassVar[str] = "its batches carry no graph; bad-teacher does the same for other data"

    def __post_init__(self) -> None:
        super().__post_init__()
        alpha = self.alpha
        self.require(alpha is None or 0 <= alpha <= 1, f"alpha must lie between 0 and 1, not {alpha}")
        self.require(self.temperature > 0, f"temperature must be above 0, not {self.temperature}")
        self.require(0 <= self.keep <= 1, f"keep must lie between 0 and 1, not {self.keep}")
        self.require(self.tolerance >= 0, f"tolerance must be 0 or more, not {self.tolerance}")
        self.require(self.patience >= 1, f"patience must be at least 1, not {self.patience}")
        self.require(self.destroyer_epochs >= 0, f"destroyer_epochs must be 0 or more, not {self.destroyer_epochs}")

    @classmethod
    def for_nodes(cls, recipe: Retrain, **settings: Any) -> "D2DGN":
        """Settings for nodes of a model that was trained by `recipe`.

        The destroyer learns what stays for a fifth of its epochs at four times its rate; the student begins at two fifths
        of the original's weights and listens for a fifth of the epochs at three times the rate.
        """
        rate, epochs = recipe.optimizer.learning_rate, math.ceil(recipe.epochs / 5)
        found: dict[str, Any] = {
            "destroyer": "retained",
            "destroyer_epochs": epochs,
            "destroyer_optimizer": replace(recipe.optimizer, learning_rate=4 * rate),
            "alpha": 0.8,
            "keep": 0.4,
            "stop": "never",
            "epochs": epochs,
            "optimizer": replace(recipe.optimizer, learning_rate=3 * rate),
            "schedule": "cosine",
        }
        return cls(**found | settings)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, GraphTask)
        if self.epochs == 0:
            return student
        graph: Graph = split.retain.graph.whole if self.teacher_graph == "whole" else split.retain.graph  # type: ignore[attr-defined]
        preserver = _Teacher(frozen(student), task, graph, engine)
        destroyer = _Teacher(self._destroyer(student, task, split, engine), task, graph, engine)
        if self.keep < 1:
            student = blended(student, engine.new_model(task.new_model, "student"), self.keep)
        alpha = 1 - _PER_SHARE * forget_share(split) if self.alpha is None else self.alpha
        match = None if self.stop == "never" else heldout_match(task, split, self.tolerance)
        return engine.fit(
            student,
            _Distillation(self, alpha, task, preserver, destroyer, torch.cat([batch.named for batch in split.forget])),
            paired(split.forget, split.retain),
            epochs=self.epochs,
            optimizer=self.optimizer,
            schedule=self.schedule,
            score=match,
            patience=None if match is None else self.patience,
            enough=None if match is None else 0.0,
        )

    def _destroyer(self, original: nn.Module, task: GraphTask[Any], split: Split, engine: Engine) -> nn.Module:
        if callable(self.destroyer):
            found = self.destroyer()
        else:
            found = engine.new_model(task.new_model, "destroyer")
            if self.destroyer != "random":
                found = engine.fit(
                    found,
                    lambda network, batch: task.losses(task.outputs(network, batch), batch),
                    split.retain if self.destroyer == "retained" else self._nothing(task, split, engine),
                    epochs=self.destroyer_epochs,
                    optimizer=self.destroyer_optimizer,
                    schedule=self.schedule,
                    name="destroyer",
                )
        if found is original or weights_hash(found) == weights_hash(original):
            raise BadRequest("d2dgn: the destroyer has the weights of the model that must forget; it would teach what must go")
        return frozen(found.to(engine.device))

    def _nothing(self, task: GraphTask[Any], split: Split, engine: Engine) -> LinkBatches:
        """As many pairs as there are edges, none of which is one, to be taken for edges."""
        self.require(isinstance(task, LinkPredictionTask), "a destroyer on negative edges is for link prediction; take random")
        graph: Graph = split.retain.graph.whole  # type: ignore[attr-defined]
        pairs = negatives_of(graph, graph.edges, 1, engine.generator("negative edges"))
        false = Graph.of(graph.nodes, pairs.cpu(), graph.features, relations=graph.relations).to(graph.edges.device)
        return LinkBatches(false, false.edges, negatives=1)


class _Teacher:
    """A frozen network, asked once for every node of the complete graph."""

    def __init__(self, model: nn.Module, task: GraphTask[Any], graph: Graph, engine: Engine) -> None:
        self.model, self.task = model, task
        with torch.no_grad(), layers_recorded(model) as layers:
            self.embeddings = task.embed(model, graph.to(engine.device))
        self.layers = list(layers)

    def answers(self, batch: Any) -> Tensor:
        """Its outputs on a batch, whose graph may be a part of the complete one."""
        return self.task.read(self.model, _of_nodes(self.embeddings, batch.graph), batch)

    def layers_of(self, graph: Graph) -> list[Tensor]:
        """What each layer says of the nodes of a graph, (N, d) each."""
        return [_of_nodes(layer, graph) for layer in self.layers]


def _of_nodes(values: Tensor, graph: Graph) -> Tensor:
    return values if graph.ids is None else values[graph.ids]


@dataclass(frozen=True, eq=False)
class _Distillation:
    """The loss. Called with the student and a pair of batches."""

    method: D2DGN
    alpha: float
    task: GraphTask[Any]
    preserver: _Teacher
    destroyer: _Teacher
    touched: Tensor  # ends of what goes, numbers in the complete graph

    def __call__(self, model: nn.Module, pair: Pair) -> dict[str, Tensor]:
        embeddings, layers = self._read(model, pair.retain.graph)
        terms = self._terms("retain", self.alpha, model, embeddings, layers, pair.retain, self.preserver)
        if pair.forget.graph is not pair.retain.graph:
            embeddings, layers = self._read(model, pair.forget.graph)
        return terms | self._terms("forget", 1 - self.alpha, model, embeddings, layers, pair.forget, self.destroyer)

    def _read(self, model: nn.Module, graph: Graph) -> tuple[Tensor, list[Tensor]]:
        if self.method.knowledge == "response":
            return self.task.embed(model, graph), []
        with layers_recorded(model) as layers:
            return self.task.embed(model, graph), layers

    def _terms(
        self,
        name: str,
        weight: float,
        model: nn.Module,
        embeddings: Tensor,
        layers: list[Tensor],
        batch: Any,
        teacher: _Teacher,
    ) -> dict[str, Tensor]:
        found = {}
        if self.method.knowledge != "features":
            said = self.task.read(model, embeddings, batch)
            found[name] = weight * self.task.divergence(said, teacher.answers(batch), self.method.temperature)
        if self.method.knowledge != "response":
            pairs = zip(layers, teacher.layers_of(batch.graph), strict=True)
            distances = [self._distance(ours, theirs, batch, name == "retain") for ours, theirs in pairs]
            found[f"{name} features"] = weight * torch.stack(distances).sum(0)
        return found

    def _distance(self, ours: Tensor, theirs: Tensor, batch: Any, stays: bool) -> Tensor:
        """Squared distance of one layer for each example, shape (n,)."""
        if isinstance(batch, LinkBatch) and self.method.features == "links":
            first, second = batch.pairs[:, 0], batch.pairs[:, 1]
            said, taught = ((each[first] * each[second]).sum(1) for each in (ours, theirs))
            return (said - taught).square()
        of_nodes = (ours - theirs).square().mean(1)
        if stays and self.method.features == "nodes":
            free = ~torch.isin(batch.graph.global_ids, self.touched.to(of_nodes.device))
            of_nodes = of_nodes * free
        return of_nodes[batch.pairs[:, :2]].mean(1) if isinstance(batch, LinkBatch) else of_nodes[batch.nodes]


def heldout_match(task: GraphTask[Any], split: Split, tolerance: float = 0.0) -> Callable[[nn.Module], float] | None:
    """How much what goes looks like what was held out for validation, 0 at best: -|AUC - 1/2| of the attack on losses.

    Up to `tolerance` standard errors sqrt((n + m + 1) / 12nm) of an AUC of n against m count as 0. Groups of examples (see
    `Task.groups`) have the same share on both sides. None where a kind of thing goes, such as a class: there the original
    answers both sides alike.

    Raises:
        BadRequest: if nothing was held out.
    """
    if split.kind:
        return None
    if is_empty(split.validation_forget):
        raise BadRequest(
            'd2dgn: stop="match-heldout" needs validation_forget in the split; hold examples out, or use stop="never"'
        )
    sides = [list(split.forget), list(split.validation_forget)]
    weights = group_weights(*(torch.cat([task.groups(batch).cpu() for batch in side]) for side in sides))
    if not weights.any():  # nothing that was held out is like what goes; then all of it has to do
        weights = np.ones(len(weights))

    def score(model: nn.Module) -> float:
        goes, unseen = (-_losses(task, model, side) for side in sides)
        chance = math.sqrt((len(goes) + len(unseen) + 1) / (12 * len(goes) * len(unseen)))
        return -max(0.0, abs(matched_auc(goes, unseen, weights) - 0.5) - tolerance * chance)

    return score


def _losses(task: GraphTask[Any], model: nn.Module, batches: Iterable[Any]) -> Tensor:
    return task.collect(model, batches, task.losses)

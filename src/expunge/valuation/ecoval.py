"""EcoVal: value clusters of alike points, and share each cluster's value out among its members.

Training data are goods that a model is produced from. Of good j, the cluster C_j, there is q_j = sum of w_i, where w_i > 0 is
the quality of a point as one of its kind, its intrinsic value. With U(D) of all data and U0 of none:

    V_j = U(D) - U(D without C_j)                                                                   ("leave-out")
    V_j = the Shapley value of C_j among the clusters, over truncated walks                         ("shapley")
    V   = argmin sum_S (U(S) - b - sum_{C_j in S} V_j)^2 over random halves S of the clusters       ("banzhaf")

The last, over all subsets, is the Banzhaf value of C_j. Each model tells something of every cluster, and none is trained on
next to nothing, where chance is loudest. With as few subsets as here V is held near shares by quality,
(U(D) - U0) q_j / sum q: the squared distance to these is added, times `held` for each subset.

Members earn in proportion to their quality ("share"), or what each adds to the better ones ("diminishing"), or by a production
function with the elasticities that explain the clusters' values ("marginal-product"; one is added to each good, so that a
missing one doesn't stop production):

    U(S) - U0 = A prod_j (1 + q_j)^alpha_j,   alpha_j = ln((U(D) - U0) / (U(D) - U0 - V_j)) / ln(1 + q_j)

See :mod:`expunge.valuation.returns`. A point that was never seen is worth what its quality earns in the nearest cluster of its
class; nothing is trained for it.

Reference: A. Tarun, V. Chundawat, M. Mandal, H. M. Tan, B. Chen, M. Kankanhalli. "EcoVal: An Efficient Data Valuation Framework
for Machine Learning", KDD 2024, arXiv 2402.09288. What is public of the paper tells of clusters, of leaving one out, of a
production function and of intrinsic and extrinsic values, without formulas or code. All formulas, the ways to weigh, and
Shapley values over clusters are a reconstruction; "banzhaf" and "diminishing" are ours. Least squares give Banzhaf values by
P. L. Hammer, R. Holzman. "Approximations of Pseudo-Boolean Functions; Applications to Game Theory", ZOR 36, 1992; that these
stand noise best is shown by J. T. Wang, R. Jia. "Data Banzhaf: A Robust Data Valuation Framework for Machine Learning", AISTATS
2023, arXiv 2205.15466.
Costs: of k clusters `subsets` * k trainings ("banzhaf"), up to `permutations` * k ("shapley") or k + 1 ("leave-out"); and
`folds` + 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from expunge.errors import BadSetting
from expunge.valuation.clusters import MOST, POINTS_EACH, Clusters, cluster, numbers_of_clusters
from expunge.valuation.game import Game
from expunge.valuation.intrinsic import WEIGHINGS, Weighing, weigh
from expunge.valuation.method import Found, ValuationMethod
from expunge.valuation.points import Array, Points
from expunge.valuation.returns import Pay, diminishing, marginal_product, share
from expunge.valuation.walks import Truncation, marginals, walk

_RANGES = 5  # of real targets, that stand for classes


@dataclass
class EcoVal(ValuationMethod):
    """Value clusters, then points.

    Args:
        embed: from inputs, shape (n, ...), to what points are clustered by, shape (n, d); the inputs themselves when None,
            which should then be alike in scale.
        clusters: how many, about; one for fifteen points, and 200 at most, when None. Each class has three at least.
        label_aware: cluster each class by itself; real targets are divided into five ranges.
        stage: how clusters are valued. Leaving one out is cheap, and noise where clusters are many or stand in for each other.
        intrinsic: how points are weighed, see :mod:`expunge.valuation.intrinsic`.
        propagation: how a cluster's value reaches its members.
        blame: of a cluster that does harm: "inverse" blames its best members least, "proportional" most; marginal products
            are always in proportion.
        offset: of "diminishing": how many members of mean weight come before returns fall.
        subsets: of "banzhaf", for each cluster; they come in pairs, one with the clusters that the other lacks.
        held: of "banzhaf": how near clusters' values are held to their shares of quality. Where many points are valued and
            each moves the metric little, more is better; 0 gives plain least squares.
        permutations: random orders of clusters, of "shapley"; they come in pairs, one the reverse of the other.
        truncation: when a walk along one ends.
        folds: of "confidence".
    """

    embed: Callable[[Array], Any] | None = None
    clusters: int | None = None
    label_aware: bool = True
    stage: Literal["banzhaf", "shapley", "leave-out"] = "banzhaf"
    intrinsic: Weighing = "confidence"
    propagation: Literal["share", "diminishing", "marginal-product"] = "diminishing"
    blame: Literal["inverse", "proportional"] = "inverse"
    offset: float = 8.0
    subsets: int = 5
    held: float = 0.025
    permutations: int = 6
    truncation: Truncation = Truncation()
    folds: int = 5

    def __post_init__(self) -> None:
        choices = {
            "stage": ("banzhaf", "shapley", "leave-out"),
            "intrinsic": WEIGHINGS,
            "propagation": ("share", "diminishing", "marginal-product"),
            "blame": ("inverse", "proportional"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise BadSetting(f"ecoval: {name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")
        if min(self.permutations, self.subsets) < 1 or self.folds < 2 or (self.clusters is not None and self.clusters < 1):
            raise BadSetting("ecoval: subsets, permutations and clusters must be at least 1, and folds at least 2")
        if not 0 < self.offset < np.inf or not 0 <= self.held < np.inf:
            raise BadSetting(
                f"ecoval: offset must be above 0 and held at least 0, both finite, not {self.offset} and {self.held}"
            )

    def find(self, game: Game) -> Found:
        if self.clusters is not None and self.clusters > len(game):
            raise BadSetting(f"ecoval: {len(game):,} points can't make {self.clusters:,} clusters; ask for fewer")
        edges = np.quantile(game.points.targets, np.linspace(0, 1, _RANGES + 1)[1:-1])
        embedded, groups = self._embedded(game.points), self._groups(game.points, edges)
        clusters = cluster(embedded, groups, self._count(game), game.generator("clusters"))
        weights, weigh_others = weigh(self.intrinsic, game, embedded, clusters, self.folds)
        worth = self._cluster_values(game, clusters, np.bincount(clusters.members, weights, len(clusters)))
        pay = self._pay(worth, weights, clusters, game.full - game.empty)

        def rule(points: Points) -> Array:
            asked = self._embedded(points)
            members = clusters.nearest(asked, self._groups(points, edges))
            known = members.clip(min=0)
            return np.where(members < 0, 0.0, pay(known, weigh_others(points, asked, known)))

        alone = np.bincount(clusters.groups)[clusters.groups] == 1
        facts = {"clusters": float(len(clusters)), "classes_of_one_cluster": float(alone.sum() if self.label_aware else 0)}
        return Found(pay(clusters.members, weights), rule, clusters.members, worth, facts)

    def trainings(self, game: Game) -> int:
        edges = np.quantile(game.points.targets, np.linspace(0, 1, _RANGES + 1)[1:-1])
        count = sum(numbers_of_clusters(self._groups(game.points, edges), self._count(game)))
        each = {"banzhaf": self.subsets, "shapley": self.permutations, "leave-out": 1}[self.stage]
        return each * count + self.folds + 2

    def _count(self, game: Game) -> int:
        return self.clusters or min(max(len(game) // POINTS_EACH, 1), MOST)

    def _embedded(self, points: Points) -> Array:
        return points.flat if self.embed is None else np.asarray(self.embed(points.inputs)).reshape(len(points), -1)

    def _groups(self, points: Points, edges: Array) -> Array:
        if not self.label_aware:
            return np.zeros(len(points), dtype=np.int64)
        return points.targets if len(points.classes) else np.searchsorted(edges, points.targets)

    def _cluster_values(self, game: Game, clusters: Clusters, q: Array) -> Array:
        if self.stage == "leave-out":
            return game.full - game.utilities(~clusters.masks)
        if self.stage == "banzhaf":
            return self._banzhaf(game, clusters, q)
        orders = self._orders(len(clusters), game.generator("orders"))
        return np.asarray(marginals(walk(game, clusters.masks, orders, self.truncation), orders).mean(0))

    def _banzhaf(self, game: Game, clusters: Clusters, q: Array) -> Array:
        generator, count = game.generator("subsets"), len(clusters)
        drawn = generator.random(((self.subsets * count + 1) // 2, count)) < 0.5
        chosen = np.stack([drawn, ~drawn], 1).reshape(-1, count)[: self.subsets * count]
        near = (game.full - game.empty) * q / q.sum()
        known = np.column_stack([np.ones(len(chosen)), chosen])
        held = np.diag([0.0] + [self.held * len(chosen)] * count)
        rest = game.utilities(chosen @ clusters.masks) - chosen @ near
        return np.asarray(near + np.linalg.lstsq(known.T @ known + held, known.T @ rest, rcond=None)[0][1:])

    def _orders(self, count: int, generator: np.random.Generator) -> Array:
        """Every other order is the reverse of the one before: who came early comes late."""
        drawn = [generator.permutation(count) for _ in range((self.permutations + 1) // 2)]
        return np.stack([each for order in drawn for each in (order, order[::-1])][: self.permutations])

    def _pay(self, worth: Array, weights: Array, clusters: Clusters, made: float) -> Pay:
        inverse = self.blame == "inverse"
        if self.propagation == "share":
            return share(worth, weights, clusters, inverse)
        if self.propagation == "diminishing":
            return diminishing(worth, weights, clusters, inverse, self.offset)
        return marginal_product(worth, weights, clusters, made)

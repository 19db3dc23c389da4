"""How the value of a cluster reaches its members. All take the clusters' values V, shape (k,), and the members' weights w.

    share             v_i = V_j w_i / q_j,     q_j = sum of w over C_j
    diminishing       v_i = V_j (f(Q_i + w_i) - f(Q_i)) / f(q_j),     f(q) = ln(1 + q / c)
    marginal-product  v_i = w_i E_j,     E_j = dU/dq_j = alpha_j (U(D) - U0) / (1 + q_j)

where Q_i is the sum of w over the members that are better than i. The first two pay out V_j, neither more nor less. In the
second the best member of a cluster comes first, and each one that is added earns less, as of anything that there is much of;
equal ones earn alike. As c grows it becomes the first.
"""

from collections.abc import Callable

import numpy as np

from expunge.valuation.clusters import Clusters
from expunge.valuation.points import Array

Pay = Callable[[Array, Array], Array]  # from clusters and weights of points to their values
_LEAST_LEFT = 1e-3  # of production without a cluster, as far as a logarithm asks


def share(worth: Array, weights: Array, clusters: Clusters, inverse: bool) -> Pay:
    """In proportion to the weights.

    Args:
        inverse: those who do harm are blamed in proportion to 1 / w, so that the best of them are blamed least.
    """
    turned = (worth < 0) & inverse
    q = np.bincount(clusters.members, np.where(turned[clusters.members], 1 / weights, weights), len(clusters))
    return lambda members, w: worth[members] * np.where(turned[members], 1 / w, w) / q[members]


def diminishing(worth: Array, weights: Array, clusters: Clusters, inverse: bool, offset: float) -> Pay:
    """By what each adds to the better ones.

    Args:
        inverse: where harm is done the worst member comes first, with 1 / w for w.
        offset: c, in mean weights of the cluster.
    """
    turned = (worth < 0) & inverse

    def pay(members: Array, w: Array) -> Array:
        found = np.zeros(len(members))
        for j in np.unique(members):
            here, own = members == j, weights[clusters.members == j]
            own, asked = (1 / own, 1 / w[here]) if turned[j] else (own, w[here])
            found[here] = worth[j] * _added(np.sort(own), asked, offset * own.mean())
        return found

    return pay


def _added(own: Array, asked: Array, c: float) -> Array:
    """Shares of weights in a cluster of members `own`, in ascending order; equal ones divide what they add together."""
    sums = np.append(own[::-1].cumsum()[::-1], 0.0)  # of this and all better ones
    better = sums[np.searchsorted(own, asked, side="right")]
    equal = np.maximum(np.searchsorted(own, asked, side="right") - np.searchsorted(own, asked), 1)
    return np.asarray((np.log1p((better + equal * asked) / c) - np.log1p(better / c)) / equal / np.log1p(sums[0] / c))


def marginal_product(worth: Array, weights: Array, clusters: Clusters, made: float) -> Pay:
    """By what a unit more of their cluster would add.

    Args:
        made: U(D) - U0.
    """
    q = np.bincount(clusters.members, weights, len(clusters))
    extrinsic = elasticities(worth, q, made) * made / (1 + q)
    return lambda members, w: w * extrinsic[members]


def elasticities(worth: Array, q: Array, made: float) -> Array:
    """How production answers to each good: alpha_j, shape (k,); below 0 where the good does harm, 0 if nothing is produced.

    Args:
        worth: what is lost without the good, shape (k,).
        q: how much there is of it, shape (k,).
        made: U(D) - U0.
    """
    if made <= 0:
        return np.zeros_like(worth)
    left = ((made - worth) / made).clip(min=_LEAST_LEFT)
    return np.asarray(-np.log(left) / np.log1p(q))

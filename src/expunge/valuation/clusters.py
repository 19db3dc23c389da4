"""Clusters of alike points: k-means on embeddings, within each class by itself where it is label-aware.

Label-aware clusters keep those that are labelled wrongly apart from the others: they form clusters of their own.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from expunge.valuation.points import Array

POINTS_EACH = 15  # of a cluster, on average, where no number of clusters is asked for
MOST = 200  # clusters, where no number is asked for and classes are not more
LEAST_EACH = 3  # clusters of a class, if it has as many points


@dataclass(frozen=True)
class Clusters:
    """A partition.

    Args:
        members: which cluster each point is in, shape (n,), from 0.
        centres: shape (k, d).
        groups: the class of each cluster, shape (k,); all 0 where clusters know no classes.
    """

    members: Array
    centres: Array
    groups: Array

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def masks(self) -> Array:
        """Which points each cluster has, shape (k, n), bool."""
        return np.asarray(self.members == np.arange(len(self))[:, None])

    def nearest(self, embedded: Array, groups: Array) -> Array:
        """The cluster of the same group whose centre is nearest, shape (v,); -1 where the group has none."""
        from scipy.spatial.distance import cdist

        far = cdist(embedded.astype(float), self.centres.astype(float))
        far[groups[:, None] != self.groups] = np.inf
        return np.where(np.isfinite(far).any(1), far.argmin(1), -1)

    def distances(self, embedded: Array, members: Array) -> Array:
        """From each point to the centre of a cluster, shape (v,)."""
        return np.asarray(np.linalg.norm(embedded.astype(float) - self.centres[members], axis=1))


def numbers_of_clusters(groups: Array, count: int) -> list[int]:
    """How many clusters each group gets, in the order of the groups' names: in its proportion, and three where it can."""
    sizes = np.unique(groups, return_counts=True)[1]
    return [min(max(round(count * size / len(groups)), LEAST_EACH), size) for size in sizes.tolist()]


def cluster(embedded: Array, groups: Array, count: int, generator: np.random.Generator) -> Clusters:
    """Divide points into clusters.

    Args:
        embedded: shape (n, d).
        groups: shape (n,); no cluster has points of two groups, and each group gets clusters in its proportion, three at least,
            as far as it has distinct points.
        count: of clusters, about.
    """
    members, centres = np.empty(len(embedded), dtype=np.int64), []
    of: list[int] = []
    for group, wanted in zip(np.unique(groups), numbers_of_clusters(groups, count), strict=True):
        rows = np.flatnonzero(groups == group)
        found, middle = _k_means(embedded[rows].astype(float), wanted, int(generator.integers(2**31)))
        members[rows] = found + len(of)
        centres.append(middle)
        of += [group] * len(middle)
    return Clusters(members, np.concatenate(centres), np.array(of))


def _k_means(points: Array, count: int, seed: int) -> tuple[Array, Array]:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters
        model = KMeans(count, n_init=1, random_state=seed).fit(points)
    used, found = np.unique(model.labels_, return_inverse=True)
    return found, model.cluster_centers_[used]

"""Comparing like with like: weights and areas under curves that do not mistake difficulty for membership.

Examples to forget are often harder or easier than those that were held out: another mix of classes, edges in a denser part of a
graph. Held-out examples then weigh so that every group has the same share on both sides.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

Array = NDArray[np.float64]


def group_weights(member_groups: Tensor, other_groups: Tensor) -> Array:
    """Weights of members, then of the others, that make the groups' shares alike; 0 where a group has no other side."""
    wanted, groups = member_groups.numpy(), other_groups.numpy()
    comparable = np.isin(wanted, groups)
    if not comparable.any():
        return np.zeros(len(wanted) + len(groups))
    return np.concatenate([comparable.astype(float), matching_weights(wanted[comparable], groups)])


def matching_weights(wanted: NDArray[np.int64], groups: NDArray[np.int64]) -> Array:
    """Weights that give `groups` the shares that the groups have in `wanted`, with mean 1."""
    shares = {group: (wanted == group).mean() for group in np.unique(groups)}
    counts = {group: (groups == group).sum() for group in shares}
    weights = np.array([shares[group] / counts[group] for group in groups])
    return weights * (len(groups) / weights.sum())


def matched_auc(members: Tensor, others: Tensor, weights: Array) -> float:
    """Area under the ROC curve of values that are higher for members, weighed by :func:`group_weights`; 0.5 without any.

    >>> import torch
    >>> matched_auc(torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0]), np.array([1.0, 1.0, 1.5, 0.5]))
    0.375
    """
    if not weights.any():
        return 0.5
    values = np.concatenate([members.double().numpy(), others.double().numpy()])
    kept = weights > 0
    member = np.arange(len(values)) < len(members)
    return float(roc_auc_score(member[kept], np.nan_to_num(values[kept]), sample_weight=weights[kept]))

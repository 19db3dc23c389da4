"""Items that are alike: each item's k most similar ones by the cosine of their features, itself among them.

    S_ij = w_ij / sqrt(deg_i deg_j),        deg_i = sum_j w_ij,        w_ij = cos(x_i, x_j), or 1 where unweighted

Worked out a block of rows at a time: similarities of all pairs are never held at once.
"""

import numpy as np
import scipy.sparse
import torch
import torch.nn.functional as F
from torch import Tensor

from expunge.sparse import SparseMatrix

BLOCK = 1024  # rows at a time


def neighbours_of(features: Tensor, count: int, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The most similar items of each, and their cosines: both of shape (I, min(count, I)).

    An item without features, or one that is not allowed, is nobody's neighbour and has none: its cosines are 0.

    Args:
        features: shape (I, d).
        count: how many for each, itself included.
        allowed: items that take part, bool, shape (I,).
    """
    unit = F.normalize(features.float(), dim=1)
    takes_part = unit.any(1) if allowed is None else unit.any(1) & allowed
    unit = unit * takes_part.unsqueeze(1)
    count = min(count, len(unit))
    found = []
    for rows in unit.split(BLOCK):
        cosines = rows @ unit.T
        cosines[:, ~takes_part] = -2
        found.append(cosines.topk(count, dim=1))
    values = torch.cat([part.values for part in found]) if found else features.new_empty(0, count)
    places = torch.cat([part.indices for part in found]) if found else torch.empty(0, count, dtype=torch.long)
    values = torch.where((values > -2) & takes_part.unsqueeze(1), values, 0)
    return places, values


def item_graph(features: Tensor, count: int, allowed: Tensor | None = None, weighted: bool = True) -> SparseMatrix:
    """The normalised matrix S; see the module. Neighbours whose cosine is not above 0 are left out."""
    places, cosines = neighbours_of(features, count, allowed)
    rows = torch.arange(len(places)).repeat_interleave(places.shape[1]).numpy()
    values = np.maximum(cosines.flatten().numpy().astype(np.float64), 0)
    values = values if weighted else (values > 0).astype(np.float64)
    size = len(places)
    kept = scipy.sparse.coo_matrix((values, (rows, places.flatten().numpy())), shape=(size, size)).tocsr()
    kept.eliminate_zeros()
    degree = np.asarray(kept.sum(1)).ravel()
    scale = scipy.sparse.diags(np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=degree > 0))
    return SparseMatrix.from_scipy((scale @ kept @ scale).tocsr())

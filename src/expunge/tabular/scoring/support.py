"""Support: whether the synthetic table has all that the real one has, however rare.

With g = n_R / n_F and bins b of a column (its categories, or 20 intervals of equal width over the real range) that hold
real rows:

    paper, official   S_col = min( mean over b of min( g n_F(b) / n_R(b), beta ), 1 ),  beta = 2
    robust            S_col = mean over b of min( g n_F(b) / n_R(b), 1 )
                      S_cr  = mean over columns of S_col

With beta = 2 bins that hold too much pay for those that hold nothing, and noise that is spread evenly scores 1; robust
doesn't let them. Values outside the real range and categories that the real table lacks are in no bin. A gap is a bin of
its own.
"""

import numpy as np

from expunge.tabular.coded import Array
from expunge.tabular.scoring.pair import Mode, Pair, Part


def support(pair: Pair, mode: Mode, beta: float = 2.0, bins: int = 20) -> Part:
    """The part of support coverage."""
    most = 1.0 if mode == "robust" else beta
    scale = len(pair.real) / len(pair.synthetic)
    found, lost = {}, {}
    for place, column in enumerate(pair.schema.numbers):
        real, synthetic = pair.real.numbers[:, place], pair.synthetic.numbers[:, place]
        edges = bin_edges(real, bins)
        counts = [_counts(values, edges, gaps=mode != "official") for values in (real, synthetic)]
        found[column.name] = _coverage(counts[0], counts[1], scale, most)
    for place, (column, size) in enumerate(zip(pair.schema.categories, pair.synthetic.sizes, strict=True)):
        counts = [np.bincount(each.codes[:, place], minlength=size) for each in (pair.real, pair.synthetic)]
        found[column.name] = _coverage(counts[0], counts[1], scale, most)
        if gone := int(((counts[0] > 0) & (counts[1] == 0)).sum()):
            lost[column.name] = gone
    warnings = tuple(f"Column '{name}' lost {count:,} of its categories." for name, count in lost.items())
    columns = {name: found[name] for name in pair.names}
    return Part(float(np.mean(list(columns.values()))), columns, warnings=warnings)


def bin_edges(values: Array, bins: int) -> Array:
    """Edges of intervals of equal width over the range of some values, shape (bins + 1,); closed on the right."""
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if low == high:
        margin = 0.001 * abs(low) if low else 0.001
        return np.linspace(low - margin, high + margin, bins + 1)
    edges = np.linspace(low, high, bins + 1)
    edges[0] -= 0.001 * (high - low)  # so that the least value lies in the first
    return edges


def _counts(values: Array, edges: Array, gaps: bool) -> Array:
    """Values in each interval, and gaps if they count, shape (bins,) or (bins + 1,)."""
    known = values[~np.isnan(values)]
    places = np.searchsorted(edges, known, side="left") - 1
    inside = (places >= 0) & (places < len(edges) - 1)
    counts = np.bincount(places[inside], minlength=len(edges) - 1)
    return np.append(counts, len(values) - len(known)) if gaps else counts


def _coverage(real: Array, synthetic: Array, scale: float, most: float) -> float:
    some = real > 0
    return min(float(np.minimum(synthetic[: len(real)][some] / real[some] * scale, most).mean()), 1.0)

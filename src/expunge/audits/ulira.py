r"""U-LiRA: can a model that unlearned one example be told from one that never saw it?

    score = log N(phi; mu_in, s_in) - log N(phi; mu_out, s_out)

Both Gaussians are fitted to one example at a time: "in" to the signals phi of models that were trained on it and then unlearned
it by the method in question, "out" to those of models retrained without it. The attack knows the method and each example, where
others have one threshold for all. Signals are logits of the confidence: see `logit_confidence`.

These are functions of signals; making the models takes many runs of the method and of retraining.

Reference: J. Hayes, I. Shumailov, E. Triantafillou, A. Khalifa, N. Papernot. "Inexact Unlearning Needs More Careful Evaluations
to Avoid a False Sense of Privacy", 2024, arXiv 2403.01218.
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from expunge.audits.shadows.scores import Array, lira_online
from expunge.errors import BadSetting


def u_lira(unlearned_in_signals: Any, retrained_out_signals: Any, target_signals: Any) -> Array:
    """Scores of target models, higher where they look as if they had once held the example.

    Args:
        unlearned_in_signals: of N models that unlearned each example, shape (N, examples).
        retrained_out_signals: of M models that never saw it, shape (M, examples).
        target_signals: of T models to judge, none of them among those above, shape (T, examples).

    Returns:
        shape (T, examples).
    """
    inside, outside, targets = (
        np.asarray(each, dtype=float) for each in (unlearned_in_signals, retrained_out_signals, target_signals)
    )
    if min(len(inside), len(outside)) < 2:
        raise BadSetting(f"U-LiRA fits Gaussians: it needs 2 or more models of each kind, not {len(inside)} and {len(outside)}")
    if not inside.shape[1:] == outside.shape[1:] == targets.shape[1:]:
        raise BadSetting(f"U-LiRA needs the same examples of all models, not {inside.shape}, {outside.shape}, {targets.shape}")
    signals = np.concatenate([inside, outside])
    held = np.arange(len(signals))[:, None].repeat(signals.shape[1], 1) < len(inside)
    return np.stack([lira_online(target, signals, held, "per-example") for target in targets])


def attack_aucs(unlearned_scores: Any, retrained_scores: Any) -> Array:
    """Area under the ROC curve of the attack on each example; 0.5 where it learns nothing.

    Args:
        unlearned_scores: of T models that unlearned the example, shape (T, examples).
        retrained_scores: of U models that never saw it, shape (U, examples).

    Returns:
        shape (examples,).

    >>> attack_aucs([[2.0, 0.0], [3.0, 0.0]], [[1.0, 0.0]]).tolist()
    [1.0, 0.5]
    """
    inside, outside = np.asarray(unlearned_scores, dtype=float), np.asarray(retrained_scores, dtype=float)
    if inside.shape[1:] != outside.shape[1:] or not len(inside) or not len(outside):
        raise BadSetting(f"both sides need one or more models and the same examples, not {inside.shape} and {outside.shape}")
    ranks = rankdata(np.concatenate([inside, outside]), axis=0)[: len(inside)].sum(0)
    areas: Array = (ranks - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside))
    return areas

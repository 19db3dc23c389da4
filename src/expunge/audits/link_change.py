"""What the deletion of edges changed: presence that an attacker sees before and after, distance to retraining, what stays.

    membership ratio = mean_{deleted} a(z_before) / mean_{deleted} a(z_after)      and its inverse, both by name
    JS = mean_{deleted} JS( Bernoulli(p) , Bernoulli(p_retrained) ) / log 2
    shift = mean_{retained} ( p - p_retrained ),      lowered = share of retained edges with p < p_original - 0.01

a(z) is the probability of membership by a logistic attack on the logit, learned on the original model from its training edges
against held-out ones, both of the same weight. The published ratio is read in either direction and called by one name, so both
are figures here. It is a ratio of means: a mean of ratios is ruled by the few edges with the smallest denominators, and differs
several-fold between two retrained models. A retrained model's ratio is not 1, and is the ideal. A shift below 0 is
over-forgetting of what stays.

Reference: J. Cheng, G. Dasoulas, H. He, C. Agarwal, M. Zitnik. "GNNDelete: A General Strategy for Unlearning in Graph Neural
Networks", ICLR 2023, arXiv 2302.13406 (the ratio); J. Tan, F. Sun, R. Qiu, D. Su, H. Shen. "Unlink to Unlearn: Simplifying Edge
Unlearning in GNNs", WWW 2024 Companion, arXiv 2402.10695 (divergence and shift). Margin and attack are this library's choice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.link_auc import link_logits
from expunge.losses import js_divergence
from expunge.tasks import LinkPredictionTask

_LOWER = 0.01  # a smaller fall of a probability is what two trainings differ by
_LARGE = 1e6


@dataclass(frozen=True)
class LinkChange(Audit):
    """Change of the answers on deleted and on retained edges; needs the original or a retrained model."""

    takes = (LinkPredictionTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "membership_ratio_before_after": "presence of deleted edges to an attacker, mean before over mean after; "
        "ideal: the retrained model's",
        "membership_ratio_after_before": "presence of deleted edges to an attacker, mean after over mean before; "
        "ideal: the retrained model's",
        "forget_js": "Jensen-Shannon divergence (0 to 1) from the retrained model's answers on deleted edges; ideal: 0",
        "retain_shift": "mean probability of retained edges less the retrained model's, below 0 where they were damaged; "
        "ideal: 0",
        "retain_lowered": "share of retained edges that lost more than 0.01 of their probability under the original; "
        "ideal: the retrained model's",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        found = self._to_gold(subject, references.gold)
        if references.original is not None:
            values = self.since(subject, references.original)
            ideals = {} if references.gold is None else self.since(references.gold, references.original)
            found |= {name: Figure(value, ideals.get(name)) for name, value in values.items()}
        return found

    def since(self, subject: Subject, original: Subject) -> dict[str, float]:
        """Both ratios, and the share of the retained edges that fell, against the original model."""
        found = {}
        forget = link_logits(subject, "forget")
        if (attack := presence_attack(original)) is not None and len(forget):
            before, after = (attack(each).mean().item() for each in (link_logits(original, "forget"), forget))
            found["membership_ratio_before_after"] = _ratio(before, after)
            found["membership_ratio_after_before"] = _ratio(after, before)
        now, then = (link_logits(each, "retain").sigmoid() for each in (subject, original))
        if len(now):
            found["retain_lowered"] = (now < then - _LOWER).double().mean().item()
        return found

    def _to_gold(self, subject: Subject, gold: Subject | None) -> dict[str, Figure]:
        found: dict[str, Figure] = {}
        if gold is None:
            return found
        ours, theirs = (_two_classes(link_logits(each, "forget")) for each in (subject, gold))
        if len(ours):
            found["forget_js"] = Figure(js_divergence(ours, theirs).mean().item(), 0.0)
        ours, theirs = (link_logits(each, "retain").sigmoid() for each in (subject, gold))
        if len(ours):
            found["retain_shift"] = Figure((ours - theirs).mean().item(), 0.0)
        return found


class PresenceAttack:
    """The probability that an edge was trained on, from its logit: sigmoid(slope * logit + offset).

    Args:
        members: logits of edges that were trained on, shape (n,).
        others: logits of edges that were not, shape (m,).
    """

    def __init__(self, members: Tensor, others: Tensor) -> None:
        inputs = torch.cat([members, others]).nan_to_num(0.0, _LARGE, -_LARGE).reshape(-1, 1).numpy()
        model = LogisticRegression(class_weight="balanced").fit(inputs, [1] * len(members) + [0] * len(others))
        self.slope, self.offset = float(model.coef_[0, 0]), float(model.intercept_[0])

    def __call__(self, logits: Tensor) -> Tensor:
        """Probabilities, shape (n,); NaN where the logit is."""
        return (self.slope * logits + self.offset).sigmoid()


def presence_attack(original: Subject) -> PresenceAttack | None:
    """The attack learned on the original model, kept with it; None where it has no edges of one of the two kinds."""
    if PresenceAttack not in original.memory:
        sides = link_logits(original, "retain"), link_logits(original, original.unseen_part())
        original.memory[PresenceAttack] = PresenceAttack(*sides) if len(sides[0]) and len(sides[1]) else None
    return original.memory[PresenceAttack]


def _ratio(first: float, second: float) -> float:
    return first / second if second else math.inf


def _two_classes(logits: Tensor) -> Tensor:
    """The logits of no and yes, shape (n, 2)."""
    return torch.stack([torch.zeros_like(logits), logits], 1)

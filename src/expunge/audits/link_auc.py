"""Areas under ROC curves of links: edges against pairs that are none, and deleted edges against those that stay or were unseen.

    link_auc = P( z(held-out edge) > z(pair without an edge) ),      z the logit, ties counted half
    deleted_retained_auc = P( z(retained edge) > z(deleted edge) ),      gap = that, less the retrained model's
    deleted_unseen_auc = P( z(deleted edge) > z(held-out edge) )

None of them is better the higher it is. A retrained model predicts most deleted edges, as it predicts edges that were held out;
one that tells deleted edges from retained ones surely has marked them, and so gives them away. The field's own number,
`deleted_retained_auc`, is usually the mean over random samples of as many retained edges as were deleted; its expectation is
the area against all retained edges, which is what is computed here. `deleted_unseen_auc` is the loss attack of the membership
audit against all held-out edges, without regard to how dense the graph is around them.

Logits are compared, not probabilities: in single precision every logit above 17 has the probability 1.

Reference: J. Cheng, G. Dasoulas, H. He, C. Agarwal, M. Zitnik. "GNNDelete: A General Strategy for Unlearning in Graph Neural
Networks", ICLR 2023, arXiv 2302.13406 (deleted against retained edges); over-forgetting as in J. Tan, F. Sun, R. Qiu, D. Su,
H. Shen. "Unlink to Unlearn: Simplifying Edge Unlearning in GNNs", WWW 2024 Companion, arXiv 2402.10695.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from expunge.audits.audit import Audit, Figure, Part, References, Subject
from expunge.tasks import LinkPredictionTask


@dataclass(frozen=True)
class LinkAUC(Audit):
    """How well edges are told from pairs that are none, and deleted edges from others."""

    takes = (LinkPredictionTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "link_auc": "AUC of held-out edges against as many pairs without an edge; ideal: the retrained model's",
        "deleted_retained_auc": "AUC of retained against deleted edges, high where deleted ones stand out; "
        "ideal: the retrained model's, not 1",
        "deleted_retained_gap": "deleted_retained_auc less the retrained model's, above 0 for over-forgetting; ideal: 0",
        "deleted_unseen_auc": "AUC of deleted against held-out edges, 0.5 where deleted ones look as if never seen; "
        "ideal: the retrained model's",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        gold = {} if references.gold is None else self.areas(references.gold)
        areas = self.areas(subject)
        found = {name: Figure(value, gold.get(name)) for name, value in areas.items()}
        ours, ideal = areas.get("deleted_retained_auc"), gold.get("deleted_retained_auc")
        if ours is not None and ideal is not None:
            found["deleted_retained_gap"] = Figure(ours - ideal, 0.0)
        return found

    def areas(self, subject: Subject) -> dict[str, float]:
        """The three areas by name, without those that lack a side. Kept, since every model is held against the gold."""
        if self not in subject.memory:
            forget, retain = link_logits(subject, "forget"), link_logits(subject, "retain")
            sides = {
                "link_auc": (link_logits(subject, "holdout"), link_logits(subject, "holdout", label=0.0)),
                "deleted_retained_auc": (retain, forget),
                "deleted_unseen_auc": (forget, link_logits(subject, subject.unseen_part())),
            }
            known = {name: both for name, both in sides.items() if len(both[0]) and len(both[1])}
            subject.memory[self] = {name: auc(*both) for name, both in known.items()}
        return dict(subject.memory[self])


def link_logits(subject: Subject, part: Part, label: float = 1.0) -> Tensor:
    """Logits of the pairs of a part that are edges (or of those that are none, with label 0), float64, shape (n,)."""
    return subject.outputs(part).double()[subject.targets(part).flatten() == label]


def auc(higher: Tensor, lower: Tensor) -> float:
    """P(higher > lower) + P(higher = lower) / 2 over all pairs of two samples; NaN where one of them holds a NaN.

    >>> auc(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0, 2.0, 9.0]))
    0.5625
    """
    if torch.cat([higher, lower]).isnan().any():
        return float("nan")
    ordered = lower.sort().values
    below = torch.searchsorted(ordered, higher) + torch.searchsorted(ordered, higher, right=True)
    return below.double().mean().item() / (2 * len(lower))

"""Full ranking: how well lists of recommendations find what was held out, and whether they still find what had to go.

    recall = mean_u |L_u & T_u| / |T_u|,      NDCG, precision and MAP as in :mod:`expunge.interactions.ranking`

L_u are the k best items of user u among all that are offered, without those that u chose before; nothing is sampled. T_u are
the held-out pairs of those who stay. The original model reads the interactions as they were before the request, as it was
used; but the pairs that are left out of lists are those that stay, for every model, so that all are asked the same.

What had to go, and held-out pairs like it, are looked for in lists of all items, also those that are not offered any more: it
is the model that is asked, not the shop. None of these recalls is better the lower it is. The retrained model's is the ideal:
it recommends a part of what was forgotten, as it recommends what it never saw, and a model that never does gives away what
was forgotten.

Pair AUC is the task's score: the share of items that the user did not choose which are ranked below one that was chosen.

Reference: W. Krichene, S. Rendle. "On Sampled Metrics for Item Recommendation", KDD 2020 (why all items are ranked); recall of
what went and of what was unseen as in Y. Sinha, M. Mandal, M. Kankanhalli. "Multi-Modal Recommendation Unlearning for Legal,
Licensing, and Modality Constraints", AAAI 2025, arXiv 2405.15328.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from expunge.audits.accuracy import mean_scores
from expunge.audits.audit import Audit, Figure, Part, References, Subject
from expunge.errors import BadSetting
from expunge.interactions import Interactions, PairBatches
from expunge.interactions.ranking import metrics, top_items
from expunge.tasks import RecommendationTask

_FEW = 3  # retained pairs of a user who counts as cold


@dataclass(frozen=True)
class Ranking(Audit):
    """Recall, NDCG, precision and MAP of what was held out, recall of what had to go, and pair AUC on each part.

    Args:
        k: how long the lists are.
    """

    k: int = 20

    takes = (RecommendationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "recall": "share of a user's held-out items in the list (20 items, if not set otherwise); ideal: the retrained model's",
        "ndcg": "NDCG of the lists on held-out items of those who stay; ideal: the retrained model's",
        "precision": "share of the list that is held-out items of the user; ideal: the retrained model's",
        "map": "mean average precision of the lists on held-out items; ideal: the retrained model's",
        "recall_cold_users": "recall of held-out items, of users with at most 3 pairs that stay; ideal: the retrained model's",
        "recall_cold_items": "recall of held-out items of which no pair stays; ideal: the retrained model's",
        "forget_recall": "share of the pairs that had to go which are recommended again, among all items; "
        "ideal: the retrained model's, not 0",
        "unseen_recall": "recall of held-out pairs like those that had to go, among all items; ideal: the retrained model's",
        "forget_pair_auc": "pair AUC (items not chosen that are ranked below a chosen one) of the pairs to forget; "
        "ideal: the retrained model's",
        "retain_pair_auc": "pair AUC of the pairs that stay; ideal: the retrained model's",
        "holdout_pair_auc": "pair AUC of held-out pairs of those who stay; ideal: the retrained model's",
        "holdout_forget_pair_auc": "pair AUC of held-out pairs like those to forget; ideal: the retrained model's",
        "forget_pair_auc_gap": "forget_pair_auc less the retrained model's; ideal: 0",
        "retain_pair_auc_gap": "retain_pair_auc less the retrained model's; ideal: 0",
        "holdout_pair_auc_gap": "holdout_pair_auc less the retrained model's; ideal: 0",
        "holdout_forget_pair_auc_gap": "holdout_forget_pair_auc less the retrained model's; ideal: 0",
    }

    def __post_init__(self) -> None:
        check_length(self.k)

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        gold = {} if references.gold is None else self.values(references.gold)
        found = {name: Figure(value, gold.get(name)) for name, value in self.values(subject).items()}
        return found | mean_scores(subject, references)

    def values(self, subject: Subject) -> dict[str, float]:
        """The figures of the lists by name, those that are defined. Kept, since every model is held against the gold."""
        if self not in subject.memory:
            subject.memory[self] = self._held_out(subject) | self._concerned(subject)
        return dict(subject.memory[self])

    def _held_out(self, subject: Subject) -> dict[str, float]:
        left, pairs = asked(subject).left, pairs_of(subject, "holdout")
        pairs = pairs[left.served[pairs[:, 0]] & left.offered[pairs[:, 1]]]
        if not len(pairs):
            return {}
        lists = lists_of(subject, self.k)
        each, users = _metrics(lists, pairs, left, self.k)
        found = {name: each[name].mean().item() for name in ("recall", "ndcg", "precision", "map")}
        cold = left.activity[users] <= _FEW
        if cold.any():
            found["recall_cold_users"] = each["recall"][cold].mean().item()
        new = pairs[left.popularity[pairs[:, 1]] == 0]
        if len(new):
            found["recall_cold_items"] = _metrics(lists, new, left, self.k)[0]["recall"].mean().item()
        return found

    def _concerned(self, subject: Subject) -> dict[str, float]:
        """Recall of what had to go, and of unseen pairs like it."""
        left, goes = asked(subject).left, pairs_of(subject, "forget")
        parts = {"forget_recall": goes[~left.has(goes)], "unseen_recall": pairs_of(subject, "holdout_forget")}
        return {
            name: _metrics(lists_of(subject, self.k, offered=False), pairs, left, self.k)[0]["recall"].mean().item()
            for name, pairs in parts.items()
            if len(pairs)
        }


class Asked(NamedTuple):
    """What a recommender reads, and what stays after the request: it says what is left out of lists, for every model."""

    read: Interactions
    left: Interactions


def asked(subject: Subject) -> Asked:
    """Both interactions of a subject, on the CPU.

    Raises:
        BadSetting: if its retain stream is none of this library's.
    """
    stream = subject.split.retain
    if not isinstance(stream, PairBatches):
        raise BadSetting(f"lists are made from PairBatches, which say who chose what; the split has a {type(stream).__name__}")
    return Asked(stream.interactions.to("cpu"), (stream.judged_on or stream.interactions).to("cpu"))


def pairs_of(subject: Subject, part: Part) -> Tensor:
    """The pairs of a part, shape (n, 2), on the CPU; none where the split has no such part."""
    stream = subject.stream(part)
    return stream.pairs.cpu() if isinstance(stream, PairBatches) else torch.empty(0, 2, dtype=torch.long)


def lists_of(subject: Subject, k: int, offered: bool = True) -> Tensor:
    """The k best items of every user, without those of pairs that stay: int64, shape (U, k), on the CPU. Made once.

    Args:
        offered: false to rank the items as well that are not offered any more.
    """
    read, left = asked(subject)
    offered = offered or not len(left.gone_items)
    key = ("lists", k, offered)
    if key not in subject.memory:
        task = subject.task
        assert isinstance(task, RecommendationTask)
        device = next(subject.model.parameters()).device
        if "ranker" not in subject.memory:
            subject.memory["ranker"] = task.ranker(subject.model, read.to(device))
        users = torch.arange(left.users, device=device)
        subject.memory[key] = top_items(subject.memory["ranker"], left.to(device), users, k, offered).cpu()
    return subject.memory[key]


def check_length(k: int) -> None:
    """Refuse lists of no items."""
    if k < 1:
        raise BadSetting(f"k must be at least 1, not {k}")


def _metrics(lists: Tensor, pairs: Tensor, left: Interactions, k: int) -> tuple[dict[str, Tensor], Tensor]:
    """Metrics by name of the users that some pairs are of, shape (n,) each, and those users; `lists` are of all users."""
    relevant = Interactions.of(left.users, left.items, pairs)
    users = relevant.activity.nonzero().flatten()
    return metrics(lists[users], users, relevant, k), users

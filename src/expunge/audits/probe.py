"""Linear probe: what a linear classifier tells of what went, by the features that a model still computes.

    accuracy   ridge classifier on features(x) of forget and retain samples  ->  class of unseen samples like those that went
    AUC        logistic regression on features(x)  ->  forget or unseen,  each sample scored by a probe that was not taught it

A model that answers nothing of a class may still see it: where only the last layer has forgotten, features are as good as
before, and the class is back after a few steps. Features that were never trained on a class tell it apart as well, if less. In
the same way losses may look alike where features still tell what was seen; forget and unseen samples weigh so that every group
has the same share on both sides. The retrained model's values are the ideal.

Reference: G. Alain, Y. Bengio. "Understanding Intermediate Layers Using Linear Classifier Probes", ICLR 2017 workshop,
arXiv 1610.01644.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.features import features_of
from expunge.errors import BadSetting
from expunge.matching import group_weights, matched_auc
from expunge.tasks import ClassificationTask, RegressionTask

_FEWEST = 10  # samples on each side that a probe for membership is taught and scored on


@dataclass(frozen=True)
class Probe(Audit):
    """Accuracy of a linear probe on unseen samples of classes that went, where a class goes as a whole; AUC of a linear probe
    that tells forgotten from unseen samples. Neither where the network has no features by name.

    Args:
        samples: of each part that the probe is trained on, at most.
        folds: of the probe for membership, each of which is scored by one that was taught the others.
    """

    samples: int = 2_000
    folds: int = 5

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "probe_accuracy": "accuracy of a linear probe of the features on unseen data like the forgotten; ideal: the retrained "
        "model's",
        "probe_auc": "AUC of a linear probe of the features, forget against unseen; ideal: the retrained model's, about 0.5",
    }

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise BadSetting(f"samples must be at least 1, not {self.samples}")
        if not 2 <= self.folds <= _FEWEST:
            raise BadSetting(f"folds must be 2 to {_FEWEST}, not {self.folds}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        found = self.measure(subject)
        ideals = {} if references.gold is None else self.measure(references.gold)
        return {metric: Figure(value, ideals.get(metric)) for metric, value in found.items()}

    def measure(self, subject: Subject) -> dict[str, float]:
        """The figures that can be had of one subject, kept with it."""
        if self not in subject.memory:
            found = {"probe_accuracy": self._of_classes(subject), "probe_auc": self._of_membership(subject)}
            subject.memory[self] = {metric: value for metric, value in found.items() if value is not None}
        return dict(subject.memory[self])

    def _of_classes(self, subject: Subject) -> float | None:
        if subject.split.holdout_forget is None or not isinstance(subject.task, ClassificationTask):
            return None
        forget, retain, unseen = (features_of(subject, part, self.samples) for part in ("forget", "retain", "holdout_forget"))
        if forget is None or retain is None or unseen is None or not len(forget.groups) or not len(unseen.groups):
            return None
        features, labels = torch.cat([forget.features, retain.features]), torch.cat([forget.groups, retain.groups])
        scaler = StandardScaler().fit(features.numpy())
        probe = RidgeClassifier().fit(scaler.transform(features.numpy()), labels.numpy())
        return float(probe.score(scaler.transform(unseen.features.numpy()), unseen.groups.numpy()))

    def _of_membership(self, subject: Subject) -> float | None:
        seen, unseen = (features_of(subject, part, self.samples) for part in ("forget", subject.unseen_part()))
        if seen is None or unseen is None or not len(seen.groups) or not len(unseen.groups):
            return None
        weights, members = group_weights(seen.groups, unseen.groups), len(seen.groups)
        if min((weights[:members] > 0).sum(), (weights[members:] > 0).sum()) < _FEWEST:
            return None
        kept = weights > 0
        features = torch.cat([seen.features, unseen.features]).numpy()[kept]
        member, weights = (np.arange(len(kept)) < members)[kept], weights[kept]
        balanced = np.where(member, weights / weights[member].sum(), weights / weights[~member].sum()) * len(member) / 2
        scores = np.empty(len(member))
        for taught, asked in StratifiedKFold(self.folds, shuffle=True, random_state=0).split(features, member):
            scaler = StandardScaler().fit(features[taught])
            probe = LogisticRegression(max_iter=1_000).fit(scaler.transform(features[taught]), member[taught], balanced[taught])
            scores[asked] = probe.decision_function(scaler.transform(features[asked]))
        order = torch.from_numpy(scores)
        return matched_auc(order[member], order[~member], weights)

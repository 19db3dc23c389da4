"""Linear probe: how well a linear classifier tells what went apart, by the features that a model still computes.

    ridge classifier on features(x) of forget and retain samples  ->  accuracy on unseen samples like those that went

A model that answers nothing of a class may still see it: where only the last layer has forgotten, features are as good as
before, and the class is back after a few steps. Features that were never trained on a class tell it apart as well, if less; the
retrained model's value is the ideal.

Reference: G. Alain, Y. Bengio. "Understanding Intermediate Layers Using Linear Classifier Probes", ICLR 2017 workshop,
arXiv 1610.01644.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from expunge.audits.audit import Audit, Figure, Part, References, Subject
from expunge.engine import on_device_of
from expunge.errors import BadSetting
from expunge.modes import evaluating
from expunge.tasks import ClassificationTask


@dataclass(frozen=True)
class Probe(Audit):
    """Accuracy of a linear probe on unseen samples of classes that went; nothing where no class goes as a whole, or
    the network has no features by name.

    Args:
        samples: of each part that the probe is trained on, at most.
    """

    samples: int = 2_000

    takes = (ClassificationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "probe_accuracy": "accuracy of a linear probe of the features on unseen data like the forgotten; ideal: the retrained "
        "model's"
    }

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise BadSetting(f"samples must be at least 1, not {self.samples}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if not getattr(subject.model, "has_features", True):
            return {}
        if (
            subject.split.holdout_forget is None
            or not len(subject.scores("forget"))
            or not len(subject.scores("holdout_forget"))
        ):
            return {}
        try:
            value = self.measure(subject)
        except BadSetting:  # nobody has said which layer of this network holds its features
            return {}
        ideal = None if references.gold is None else self.measure(references.gold)
        return {"probe_accuracy": Figure(value, ideal)}

    def measure(self, subject: Subject) -> float:
        """The probe's accuracy on one subject, kept with it."""
        if self not in subject.memory:
            seen = [self._features(subject, part) for part in ("forget", "retain")]
            features, labels = (torch.cat(column) for column in zip(*seen, strict=True))
            scaler = StandardScaler().fit(features.numpy())
            probe = RidgeClassifier().fit(scaler.transform(features.numpy()), labels.numpy())
            unseen, truth = self._features(subject, "holdout_forget")
            subject.memory[self] = float(probe.score(scaler.transform(unseen.numpy()), truth.numpy()))
        return float(subject.memory[self])

    def _features(self, subject: Subject, part: Part) -> tuple[Tensor, Tensor]:
        """Features and labels of some samples of a part, the same ones for every model."""
        found = []
        with torch.no_grad(), evaluating(subject.model):
            for batch in subject.batches(part):
                placed = on_device_of(subject.model, batch)
                found.append((subject.task.features(subject.model, placed).float().cpu(), subject.task.groups(placed).cpu()))
        features, labels = (torch.cat(column) for column in zip(*found, strict=True))
        rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[: self.samples]
        return features[rows], labels[rows]

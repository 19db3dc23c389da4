"""Feature similarity: does a model see examples as the retrained model does?

    CKA(X, Y) = ||Y' X||_F^2 / (||X' X||_F ||Y' Y||_F),      X, Y features of the same examples, each column with mean 0

1 where the features are the same but for rotations and one scale, whatever the layers' widths; 0 where they have nothing in
common. Two models that were retrained from different seeds are some way from 1 already: their value is the ideal. Answers can
be alike where features are not, and features as before where answers have changed.

Reference: S. Kornblith, M. Norouzi, H. Lee, G. Hinton. "Similarity of Neural Network Representations Revisited", ICML 2019,
arXiv 1905.00414.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from expunge.audits.audit import Audit, Figure, Part, References, Subject
from expunge.audits.features import features_of
from expunge.errors import BadSetting
from expunge.tasks import ClassificationTask, RegressionTask

_PARTS: tuple[Part, ...] = ("forget", "holdout")
_CONSTANT = "the features of one of the two models are the same for all examples"


@dataclass(frozen=True)
class FeatureSimilarity(Audit):
    """Linear CKA with the retrained model's features; needs one, and nothing where the network has no features by name.

    Args:
        samples: of each part that features are compared on, at most.
    """

    samples: int = 2_000

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "forget_cka": "linear CKA of features with the retrained model's, forget set; ideal: that of two retrained models",
        "holdout_cka": "linear CKA of features with the retrained model's, holdout set; ideal: that of two retrained models",
    }

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise BadSetting(f"samples must be at least 2, not {self.samples}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        gold, found = references.gold, dict[str, Figure]()
        if gold is None:
            return found
        for part in _PARTS:
            ours, theirs = (features_of(each, part, self.samples) for each in (subject, gold))
            if ours is None or theirs is None or len(ours.groups) < 2:
                continue
            value = cka(ours.features, theirs.features)
            second = features_of(references.retrained[1], part, self.samples) if len(references.retrained) > 1 else None
            ideal = None if second is None else cka(second.features, theirs.features)
            found[f"{part}_cka"] = Figure(value, ideal, note="" if value is not None else _CONSTANT)
        return found


def cka(first: Tensor, second: Tensor) -> float | None:
    """Linear CKA of two sets of features of the same n examples, shapes (n, p) and (n, q); None where one set is constant.

    >>> import torch
    >>> features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
    >>> round(cka(features, 5 * features.flip(1)), 6)
    1.0
    """
    ours, theirs = (each.double() - each.double().mean(0) for each in (first, second))
    if len(ours) < max(ours.shape[1], theirs.shape[1]):  # the same three norms from the smaller matrices
        gram, other = ours @ ours.T, theirs @ theirs.T
        shared, sizes = (gram * other).sum(), gram.norm() * other.norm()
    else:
        shared, sizes = (theirs.T @ ours).square().sum(), (ours.T @ ours).norm() * (theirs.T @ theirs).norm()
    return (shared / sizes).item() if sizes > 0 else None

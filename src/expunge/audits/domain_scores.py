"""CCS and CRS of images under attack, by a classifier of two models' images that is trained for the pair."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from expunge.audits.audit import Subject
from expunge.diffusion.recognizers import Network, tell_apart
from expunge.diffusion.scores import mean_distances
from expunge.models.cnn import SmallCNN

SCORES = ("ccs", "ccs_corrected", "crs", "crs_signed")
_BLIND = 0.65  # accuracy below which a classifier of two models' images says nothing


@dataclass(frozen=True, eq=False)
class DomainScores:
    """What a classifier says of each image under attack.

    Args:
        probability: that it is the original model's, shape (psi, images).
        nearer: how much nearer it is to the original's images than to the unlearned model's, shape (psi, images).
    """

    probability: Tensor
    nearer: Tensor

    def figures(self, drawn: Tensor | None = None) -> Mapping[str, Tensor]:
        """Each score, as :func:`~expunge.diffusion.scores.ccs` and :func:`~expunge.diffusion.scores.crs` have it: shape (), or
        (resamples,) for images that are drawn anew, by their places (resamples, images)."""
        probability, nearer = (each if drawn is None else each[:, drawn] for each in (self.probability, self.nearer))
        confidence, side = probability.mean(-1), nearer.mean(-1)  # (psi,) or (psi, resamples)
        return {
            "ccs": confidence.mean(0),
            "ccs_corrected": 2 * confidence.mean(0) - 1,
            "crs": side.abs().mean(0),
            "crs_signed": side.mean(0),
        }


def domain_scores(
    subject: Subject, attacked: Tensor, unlearned: Tensor, original: Tensor, network: Network | None = None
) -> DomainScores | str:
    """What the scores are made of, or why they mean nothing.

    Args:
        subject: its engine trains the classifier.
        attacked: what the unlearned model finished, shape (psi, images, C, H, W).
        unlearned: images that it draws by itself, shape (n, C, H, W).
        original: images that the original draws, shape (n, C, H, W).
        network: makes the classifier's; a small convolutional one when None.

    Reference: see :mod:`expunge.audits.concealment`.
    """
    if not all(bool(images.isfinite().all()) for images in (attacked, unlearned, original)):
        return "the model's images are not finite"
    with subject.engine.scope(f"domains-{subject.name}"):
        apart = tell_apart(unlearned, original, subject.engine, network=network or SmallCNN)
    if apart.accuracy < _BLIND:
        return f"the two models' images can't be told apart: {apart.accuracy:.0%} of held-out ones are, 50 % by chance"
    steps, count = attacked.shape[:2]
    flat = attacked.flatten(0, 1)
    features = apart.features(flat).view(steps, count, -1)
    theirs, own = (mean_distances(features, apart.features(images)) for images in (unlearned, original))
    return DomainScores(apart.logits(flat).softmax(1)[:, 1].double().view(steps, count), theirs - own)

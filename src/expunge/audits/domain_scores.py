"""CCS and CRS of images under attack, by a classifier of two models' images that is trained for the pair."""

from torch import Tensor

from expunge.audits.audit import Subject
from expunge.diffusion.recognizers import tell_apart
from expunge.diffusion.scores import ccs, crs

SCORES = ("ccs", "ccs_corrected", "crs", "crs_signed")
_BLIND = 0.65  # accuracy below which a classifier of two models' images says nothing


def domain_scores(subject: Subject, attacked: Tensor, unlearned: Tensor, original: Tensor) -> dict[str, float] | str:
    """The published scores, and ours; or why they mean nothing.

    Args:
        subject: its engine trains the classifier.
        attacked: what the unlearned model finished, shape (psi, images, C, H, W).
        unlearned: images that it draws by itself, shape (n, C, H, W).
        original: images that the original draws, shape (n, C, H, W).

    Reference: see :mod:`expunge.audits.concealment`.
    """
    with subject.engine.scope(f"domains-{subject.name}"):
        apart = tell_apart(unlearned, original, subject.engine)
    if apart.accuracy < _BLIND:
        return f"the two models' images can't be told apart: {apart.accuracy:.0%} of held-out ones are, 50 % by chance"
    steps, count = attacked.shape[:2]
    flat = attacked.flatten(0, 1)
    original_probability = apart.logits(flat).softmax(1)[:, 1].view(steps, count)
    features = apart.features(flat).view(steps, count, -1)
    own, others = apart.features(original), apart.features(unlearned)
    return {
        "ccs": ccs(original_probability),
        "ccs_corrected": ccs(original_probability, corrected=True),
        "crs": crs(features, own, others),
        "crs_signed": crs(features, own, others, signed=True),
    }

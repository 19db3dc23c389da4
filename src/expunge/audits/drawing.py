"""What audits of diffusion models share: the task, the request, and who says what an image shows."""

from expunge.audits.audit import Subject
from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.noised import NoisedImages
from expunge.diffusion.recognizers import Recognizer, recognizer_of
from expunge.tasks import DiffusionTask

_RECOGNISED = 0.9  # share of held-out images of the request that a recognizer has to know


def read_drawing(subject: Subject) -> tuple[DiffusionTask, ConceptSplit]:
    """The task and the request of a diffusion model."""
    assert isinstance(subject.task, DiffusionTask) and isinstance(subject.split, ConceptSplit)
    assert isinstance(subject.split.forget, NoisedImages)
    return subject.task, subject.split


def judge_for(original: Subject, given: Recognizer | None = None) -> Recognizer | str:
    """What recognises concepts, or why nothing does.

    Args:
        original: the model before; a small network trained on its request's images is kept with it.
        given: another recognizer, which is taken as it is.
    """
    if given is not None:
        return given
    task, split = read_drawing(original)
    if task.vae is not None:
        return "a model of latents needs a recognizer of images: give the audit one"
    if "recognizer" not in original.memory:
        whole = split.everything
        with original.engine.scope("recognizer"):
            original.memory["recognizer"] = recognizer_of(
                whole.images, whole.numbers, len(task.concepts.names), original.engine
            )
    found: Recognizer = original.memory["recognizer"]
    if found.accuracy < _RECOGNISED:
        return f"a small network recognises concepts in only {found.accuracy:.0%} of images; give the audit a recognizer"
    return found

"""What audits of diffusion models share: the task, the request, and who says what an image shows."""

import base64
import io
from typing import Literal

from PIL import Image
from torch import Tensor

from expunge.audits.audit import Subject
from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.noised import NoisedImages
from expunge.diffusion.recognizers import Recognizer, recognizer_of
from expunge.engine import Engine
from expunge.tasks import DiffusionTask

RECOGNISED = 0.9  # share of held-out images of the request that a recognizer has to know


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
        device: Literal["cpu", "cuda"] = "cuda" if original.engine.device.type == "cuda" else "cpu"
        engine = Engine(original.engine.seed, device, progress=False)  # the same recognizer for every audit
        original.memory["recognizer"] = recognizer_of(whole.images, whole.numbers, len(task.concepts.names), engine)
    found: Recognizer = original.memory["recognizer"]
    if found.accuracy < RECOGNISED:
        return f"a small network recognises concepts in only {found.accuracy:.0%} of images; give the audit a recognizer"
    return found


def as_png(image: Tensor, side: int = 64) -> str:
    """An image as PNG in base64, made smaller where it is larger than a report has room for.

    Args:
        image: from -1 to 1, shape (1 or 3, H, W).
        side: the most pixels of a side.
    """
    values = ((image.clamp(-1, 1) + 1) * 127.5).round().byte().movedim(0, -1).numpy()
    picture = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values[..., :3])
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()

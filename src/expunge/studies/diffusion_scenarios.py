"""What the diffusion study compares: a concept that must go, a small model that draws it, and the methods.

Seeds differ in weights alone. How settings were chosen stands in `diffusion_methods.py`; the study's own seeds begin at 0.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from expunge.audits import Audit
from expunge.audits.concealment import Concealment
from expunge.audits.concept_attacks import ConceptAttacks
from expunge.data import Source
from expunge.diffusion import NoisedImages, Sampling, concept_split, prompted, token_encoder
from expunge.diffusion.recognizers import LEAST
from expunge.errors import BadRequest, BadSetting
from expunge.methods import Retrain
from expunge.models.text_to_image import small_clip_tokenizer, small_text_to_image
from expunge.optimizers import Optimizer
from expunge.split import Split
from expunge.studies.comparison import default_audits
from expunge.studies.diffusion_methods import diffusion_methods
from expunge.studies.drawn_scenario import DrawnScenario, described
from expunge.tasks import DiffusionTask

# the digits, each with one that looks like it
DIGITS = {
    "zero": "six",
    "one": "seven",
    "two": "three",
    "three": "eight",
    "four": "nine",
    "five": "three",
    "six": "zero",
    "seven": "one",
    "eight": "three",
    "nine": "four",
}
TEMPLATES = ("a photo of the digit {}", "a picture of the digit {}", "the digit {}", "a handwritten {}", "{}")
OTHER_TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "{}")
SAMPLING = Sampling(steps=25, eta=1.0)
BATCH, WIDTHS = 64, (24, 48)
RECIPE = Retrain(epochs=60, optimizer=Optimizer("adamw", 2e-3), clip_norm=1.0)
COUNTS = {"quick": 32, "full": 96}  # images at each share of an attack
_LEFT_OUT = ("relearning", "anamnesis")


def concept_scenario(
    source: Source, concept: str, anchor: str | None, budget: Literal["quick", "full"] = "quick"
) -> DrawnScenario:
    """A concept that goes, of a small model that draws all of a source's.

    Raises:
        BadRequest: if there are too few images of a class.
        BadSetting: if the source has no classes, or its images can't be halved.
    """
    names = concept_names(source)
    task = small_task(source, names)
    train, holdout = (noised_images(task, part) for part in (source.train, source.holdout))
    counts = train.numbers.bincount(minlength=len(names)).tolist()
    if (fewest := min(counts)) < LEAST:
        raise BadRequest(
            f"study diffusion: {source.name} has {fewest} images of {names[counts.index(fewest)]!r} to train on, and {LEAST} "
            "are needed to recognise what is drawn"
        )
    split = concept_split(train, concept, holdout, anchor)

    def draw(seed: int) -> tuple[Any, Split]:
        return split.everything, split

    assert isinstance(split.forget, NoisedImages)
    return DrawnScenario(
        concept,
        described("UNet with a text encoder", task.factory),
        task,
        RECIPE,
        diffusion_methods(RECIPE, budget == "full"),
        draw,
        f"{concept!r}, which {split.forget.examples:,} of {train.examples:,} images of {source.name} show",
        audits_of(task, split, COUNTS[budget]),
    )


def concept_names(source: Source) -> tuple[str, ...]:
    """What prompts call the classes: digits by their words.

    Raises:
        BadSetting: if there are no classes, or no images.
    """
    if not source.classes or len(source.input_shape) != 3:
        raise BadSetting(f"study diffusion: {source.name} is no set of images with classes")
    if source.classes == tuple("0123456789"):
        return tuple(DIGITS)
    return tuple(source.classes)


def small_task(source: Source, names: Sequence[str]) -> DiffusionTask:
    """A small UNet with a text encoder, and the prompts that it is taught."""
    templates = TEMPLATES if tuple(names) == tuple(DIGITS) else OTHER_TEMPLATES
    texts = [template.format(name) for template in templates for name in names]
    tokenizer = small_clip_tokenizer(texts)
    length = max(len(tokenizer(text).input_ids) for text in texts) + 2  # as an adversary's prefix needs room
    channels, height, width = source.input_shape
    if height != width:
        raise BadSetting(f"study diffusion: images are squares, not {height} x {width}")
    widths = WIDTHS if height <= 16 else (*WIDTHS, WIDTHS[-1])
    factory = small_text_to_image(tokenizer, channels, height, widths, length)
    return DiffusionTask(
        factory, prompted(names, token_encoder(tokenizer, length), templates), source.input_shape, sampling=SAMPLING
    )


def noised_images(task: DiffusionTask, records: Any) -> NoisedImages:
    """Images from 0 to 1 with classes, as what a denoiser is trained on."""
    images: Tensor = torch.as_tensor(records.inputs)
    return task.noised(images * 2 - 1, torch.as_tensor(records.targets), batch_size=BATCH)


def audits_of(task: DiffusionTask, split: Split, count: int) -> tuple[Audit, ...]:
    """All that read such models; how fast they learn the concept again is asked of cheaper ones."""
    chosen: dict[str, Audit] = {
        "concealment": Concealment(count=count, others=24),
        "concept-attacks": ConceptAttacks(count=count, inversion_steps=3 * count),
    }
    return tuple(chosen.get(each.name, each) for each in default_audits(task, split) if each.name not in _LEFT_OUT)

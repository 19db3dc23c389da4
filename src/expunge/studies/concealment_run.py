"""Concealment in pipelines that lie in folders: an erased one, held against the one before and one that never saw the concept.

What an image shows is told by a small network that is trained on images in one folder a concept, at the size that is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from expunge.audits import Figure
from expunge.audits.concealment import Concealment
from expunge.audits.drawing import RECOGNISED
from expunge.data.folder import read_folder
from expunge.data.records import Records
from expunge.diffusion import Sampling, concept_split
from expunge.diffusion.recognizers import LEAST, Recognizer, recognizer_of
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.models.pipelines import Pipeline, check_same, read_pipeline
from expunge.studies.api import audit
from expunge.tasks import DiffusionTask

USUAL = Sampling(steps=50, guidance=7.5)  # what Stable Diffusion is drawn with
TEMPLATES = ("a photo of {}",)


def audit_pipeline(
    pipeline: str | Path,
    original: str | Path,
    concept: str,
    images: str | Path,
    *,
    retrained: Sequence[str | Path] = (),
    templates: Sequence[str] = TEMPLATES,
    sampling: Sampling = USUAL,
    concealment: Concealment = Concealment(),
    engine: Engine | None = None,
) -> dict[str, Figure]:
    """Ask a pipeline in a folder whether an eraser removed a concept from it, or concealed it.

    Args:
        pipeline: folder of the erased one.
        original: folder of the one before.
        concept: what went, by the name of its folder of images, which is what prompts call it.
        images: a folder for each concept, which name the others too.
        retrained: folders of pipelines that never saw the concept; the first is the gold.
        templates: of prompts, with ``{}`` where the name stands. Each is asked by itself.
        sampling: how images are drawn.
        concealment: how it is asked; its recognizer is trained on the images where it has none. One that it has answers with
            numbers of the folders of images, sorted by name.
        engine: trains the recognizer, and says where images are drawn; ``Engine()`` when None.

    Returns:
        figures by metric, as :class:`~expunge.audits.concealment.Concealment` has them; with several templates, each figure's
        name is followed by the template.

    Raises:
        BadFile: if a pipeline or the images can't be read.
        BadRequest: if there is no such concept among the images, there are too few images of one to recognise it by, or
            the original never drew it.
        BadSetting: if the pipelines differ in more than what was learned, or a template has no place for the name.
    """
    engine = engine or Engine()
    before = read_pipeline(original)
    after, *golds = (_like(before, original, folder) for folder in (pipeline, *retrained))
    DiffusionTask.of(before, (concept,), templates, sampling)  # refuses templates before anything long
    values, numbers, names = _images(Path(images), concept, before)
    judge = concealment.recognizer or _recognizer(values, numbers, names, Path(images), engine)
    for each in (before.denoiser, before.vae, after.denoiser, *(gold.denoiser for gold in golds)):
        if each is not None:
            each.to(engine.device)
    found: dict[str, Figure] = {}
    for template in templates:
        task = DiffusionTask.of(before, names, (template,), sampling)
        figures = audit(
            after.denoiser,
            task,
            concept_split(task.noised(values, numbers), concept),
            original=before.denoiser,
            retrained=[gold.denoiser for gold in golds],
            engine=engine,
            audits=[replace(concealment, recognizer=judge)],
        )
        area = figures.get("recovery_area")
        if area is not None and area.value is None:
            raise BadRequest(f"{original} can't be attacked: {area.note}")
        found |= {name if len(templates) == 1 else f"{name} ({template})": figure for name, figure in figures.items()}
    return found


def verdicts(figures: Mapping[str, Figure]) -> list[str]:
    """What :func:`audit_pipeline` found in a sentence, one for each template."""
    notes = {name: figure.note for name, figure in figures.items() if name.startswith("recovery_area")}
    return [f"{note[:1].upper()}{note[1:]}{name.removeprefix('recovery_area')}" for name, note in notes.items() if note]


def _like(before: Pipeline, original: str | Path, folder: str | Path) -> Pipeline:
    """The pipeline in a folder, once it is known to be one that the original may have become."""
    pipeline = read_pipeline(folder)
    try:
        check_same(before, pipeline)
    except BadSetting as error:
        raise BadSetting(f"{folder} can't be held against {original}: {error}") from error
    return pipeline


def _images(root: Path, concept: str, pipeline: Pipeline) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """All images from -1 to 1, shape (n, C, H, W), the numbers of what they show, and the names of that."""
    channels, height, width = pipeline.image_shape
    if channels not in (1, 3) or height != width:
        raise BadSetting(
            f"images are read that are square, with 1 channel or 3, and the pipeline draws {channels, height, width}"
        )
    source = read_folder(root, height, grayscale=channels == 1)
    if concept not in source.classes:
        raise BadRequest(f"{root} has no folder {concept!r} of images; there are {', '.join(source.classes)}")
    parts = [source.train, source.holdout]  # a recognizer holds out images of its own
    assert all(isinstance(part, Records) for part in parts)
    values, numbers = (torch.cat([part.tensors[place] for part in parts]) for place in (0, 1))  # type: ignore[attr-defined]
    return values * 2 - 1, numbers, source.classes


def _recognizer(values: Tensor, numbers: Tensor, names: Sequence[str], root: Path, engine: Engine) -> Recognizer:
    for name, count in zip(names, numbers.bincount(minlength=len(names)).tolist(), strict=True):
        if count < LEAST:
            raise BadRequest(
                f"{root} has {count} images of {name!r}, and {LEAST} are needed to recognise it; add some to its folder"
            )
    with engine.scope("recognizer"):
        found = recognizer_of(values, numbers, len(names), engine)
    if found.accuracy < RECOGNISED:
        raise BadRequest(
            f"a small network that is trained on {root} recognises only {found.accuracy:.0%} of images that were held out, and "
            f"{RECOGNISED:.0%} are needed; add images, or call audit_pipeline with a Concealment that has a recognizer"
        )
    return found

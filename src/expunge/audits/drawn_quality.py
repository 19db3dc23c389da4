"""Drawn quality: are images of what stays as they were?

    KID     mean k(x, x') + mean k(y, y') - 2 mean k(x, y),     k(x, y) = (x . y / d + 1)^3,     no image with itself
    CLIP    mean over images of 100 max(cos(E(image), E(text)), 0),     text: "a photo of {concept}"

x are features of images of one of the other concepts that a model draws, y of those that the original draws from other seeds;
KID is the mean over these concepts, so that it does not pass for the same when two of them are exchanged. It is an unbiased
estimate: of two sets of one kind it is 0 on average, and so below 0 at times. The published features are those of a network of
photographs; here they are those of what recognises the concepts.

References: M. Binkowski, D. J. Sutherland, M. Arbel, A. Gretton. "Demystifying MMD GANs", ICLR 2018, arXiv 1801.01401. CLIP
score: J. Hessel, A. Holtzman, M. Forbes, R. Le Bras, Y. Choi. "CLIPScore: A Reference-free Evaluation Metric for Image
Captioning", EMNLP 2021, arXiv 2104.08718, with a factor of 100 in place of theirs, as is common.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.drawing import judge_for, read_drawing
from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.recognizers import Recognizer
from expunge.diffusion.sampling import Sampling, seeds_for
from expunge.errors import BadFile, BadSetting
from expunge.models.pretrained import quiet, said_of
from expunge.models.text_to_image import missing_diffusion
from expunge.tasks import DiffusionTask

_APART = 1 << 21  # seeds of the original's images come after those of other references
_AT_ONCE = 64
_WITHOUT = "left out: no folder with a CLIP model was given"


@dataclass(frozen=True)
class DrawnQuality(Audit):
    """Hold images of other concepts against the original's, and against their texts.

    Args:
        others: images of each other concept, 2 at least.
        clip: folder with a CLIP model of transformers, and what it reads texts and images by; left out when None.
        text: what an image of a concept is to show, with ``{}`` where the name stands.
        sampling: how images are drawn; as the task does when None.
        recognizer: gives the features; a small network trained on the request's images when None.
    """

    others: int = 24
    clip: str | None = None
    text: str = "a photo of {}"
    sampling: Sampling | None = None
    recognizer: Recognizer | None = None

    takes = (DiffusionTask,)
    splits = ConceptSplit
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "arbitrary_types_allowed": True}  # type: ignore[assignment]
    figures: ClassVar[Mapping[str, str]] = {
        "others_kid": "kernel distance of images of other concepts to those that the original draws, about 0 where they are "
        "alike; ideal: the retrained model's",
        "others_clip": "CLIP score of images of other concepts with their names, 0 to 100; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        if self.others < 2 or "{}" not in self.text:
            raise BadSetting(
                f"drawn-quality needs others from 2 on and {{}} in the text where the name stands, not {self.others} and "
                f"{self.text!r}"
            )

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        original, gold = references.original, references.gold
        if original is None:
            return {}
        judge = judge_for(original, self.recognizer)
        if self.clip is not None and ("clip", self.clip) not in original.memory:
            original.memory["clip", self.clip] = Clip.read(self.clip, subject.engine.device)
        clip = original.memory.get(("clip", self.clip))
        mine = self._values(subject, original, judge, clip)
        ideal = {} if gold is None else self._values(gold, original, judge, clip)
        return {
            name: Figure(None, None, note=value) if isinstance(value, str) else Figure(value, _number(ideal.get(name)))
            for name, value in mine.items()
        }

    def _values(
        self, subject: Subject, original: Subject, judge: Recognizer | str, clip: "Clip | None"
    ) -> dict[str, float | str]:
        key = ("drawn quality", self, id(original))
        if key not in subject.memory:
            images = self._drawn(subject, 0)
            found: dict[str, float | str] = {"others_kid": "", "others_clip": _WITHOUT}
            if isinstance(judge, str):
                found["others_kid"] = judge
            else:
                theirs = self._drawn(original, _APART)
                sets = [judge.features(each).split(self.others) for each in (images, theirs)]
                found["others_kid"] = fmean(map(kernel_distance, *sets))
            if clip is not None:
                names = read_drawing(subject)[0].concepts.names
                texts = [self.text.format(names[number]) for number in self._numbers(subject).tolist()]
                found["others_clip"] = clip.score(images, texts)
            subject.memory[key] = found
        kept: dict[str, float | str] = subject.memory[key]
        return kept

    def _numbers(self, subject: Subject) -> Tensor:
        task, split = read_drawing(subject)
        rest = [number for number in range(len(task.concepts.names)) if number != split.concept]
        return torch.tensor(rest).repeat_interleave(self.others)

    def _drawn(self, subject: Subject, first: int) -> Tensor:
        """Images of the other concepts, from the seeds after the first ones. Kept."""
        key = ("others drawn", self.others, self.sampling, first)
        if key not in subject.memory:
            task, _ = read_drawing(subject)
            numbers = self._numbers(subject)
            seeds = seeds_for("reference", len(numbers), first)
            subject.memory[key] = task.draw(subject.model, task.concepts.ask(numbers), seeds, sampling=self.sampling)
        images: Tensor = subject.memory[key]
        return images


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """The unbiased estimate of the squared distance of two sets' means under the kernel (x . y / d + 1)^3.

    Args:
        first: features, shape (n, d), n at least 2.
        second: features, shape (m, d), m at least 2.

    Raises:
        BadSetting: if a set has less than two rows.

    >>> kernel_distance(torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [0.0]]))
    7.0
    """
    if min(len(first), len(second)) < 2:
        raise BadSetting(f"a distance of two sets needs two of each, not {len(first)} and {len(second)}")
    one, two = first.double(), second.double()

    def kernel(rows: Tensor, columns: Tensor) -> Tensor:
        return (rows @ columns.T / rows.shape[1] + 1) ** 3

    def among(rows: Tensor) -> Tensor:
        found, count = kernel(rows, rows), len(rows)
        return (found.sum() - found.diagonal().sum()) / (count * (count - 1))

    return (among(one) + among(two) - 2 * kernel(one, two).mean()).item()


@dataclass(frozen=True, eq=False)
class Clip:
    """A model of transformers that holds images against texts.

    Args:
        model: a `CLIPModel`.
        processor: reads texts and images for it.
    """

    model: Any
    processor: Any

    @classmethod
    def read(cls, folder: str, device: torch.device) -> "Clip":
        """From a folder on this machine.

        Raises:
            BadFile: if there is no such model.
            MissingExtra: if transformers is not installed.
        """
        try:
            from transformers import CLIPModel, CLIPProcessor
        except ImportError as error:
            raise missing_diffusion() from error
        if not Path(folder).joinpath("config.json").is_file():
            raise BadFile(f"{folder} is no folder with a CLIP model of transformers: it has no config.json")
        with said_of(Path(folder), "CLIP model"), quiet():
            model: Any = CLIPModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
            return cls(model.eval().to(device), CLIPProcessor.from_pretrained(folder, local_files_only=True))

    def score(self, images: Tensor, texts: Sequence[str]) -> float:
        """Mean over images, with one text each: 0 to 100.

        Args:
            images: from -1 to 1, shape (n, C, H, W), of one channel or three.
        """
        pixels = ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().expand(-1, 3, -1, -1)
        pictures = [Image.fromarray(each.movedim(0, -1).numpy()) for each in pixels]
        found = []
        with torch.no_grad():
            for start in range(0, len(texts), _AT_ONCE):
                here = slice(start, start + _AT_ONCE)
                read = self.processor(
                    text=list(texts[here]), images=pictures[here], return_tensors="pt", padding=True, truncation=True
                )
                both = self.model(**read.to(self.model.device))
                found.append(F.cosine_similarity(both.image_embeds, both.text_embeds).cpu())
        return (100 * torch.cat(found).clamp_min(0)).double().mean().item()


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float) else None

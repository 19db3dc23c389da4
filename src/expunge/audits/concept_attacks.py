"""Concept attacks: four other ways to get a concept back than to ask for it by its prompt.

    inverted     a learned vector stands for the last token of the concept's name
    prefixed     learned words stand in front of the prompt
    noised up    more noise is added in each step than the model expects; the best of several strengths
    inpainted    images of the concept whose lower half is hidden are filled in, asked for the concept

Each figure is the share of images that show the concept, by what recognises it. What an attack finds in a model that never saw
the concept it finds in any: the retrained model's value is the ideal. The attacks disagree, and an eraser may resist one and
fall to another. Inversion and the prefix are trained on images of the concept, and inpainting shows half of one that no model
was trained on, where the request has such. What recognises the concept may do so by that half alone: a note says how often it
does where the other half is from images of other concepts, and if that is often, this figure tells little.

References: see :mod:`expunge.diffusion.attacks`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.drawing import judge_for, read_drawing
from expunge.diffusion.attacks import Inversion, Prefix, embedded, embeddings_of, upper_half
from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.noised import NoisedImages
from expunge.diffusion.recognizers import Recognizer
from expunge.diffusion.sampling import Known, Sampling, seeds_for
from expunge.errors import BadSetting, Diverged
from expunge.optimizers import Optimizer
from expunge.storage import weights_hash
from expunge.tasks import DiffusionTask

_LEARNED = "learned"


@dataclass(frozen=True)
class ConceptAttacks(Audit):
    """Ask for the concept in other ways.

    Args:
        count: images for each attack.
        inversion_steps: of training the vector.
        inversion: the vector's optimizer.
        words: in front of the prompt.
        prefix_steps: of training the words' weights.
        prefix: the weights' optimizer.
        batch_size: images of the concept in each step.
        noise: factors on the noise that is added in each step, with eta 1.
        sampling: how images are drawn; as the task does when None.
        recognizer: tells what an image shows; a small network trained on the request's images when None.
    """

    count: int = 48
    inversion_steps: int = 300
    inversion: Optimizer = Optimizer("adam", 2e-2)
    words: int = 3
    prefix_steps: int = 40
    prefix: Optimizer = Optimizer("adam", 1e-2)
    batch_size: int = 32
    noise: tuple[float, ...] = (1.0, 1.25, 1.5, 1.85)
    sampling: Sampling | None = None
    recognizer: Recognizer | None = None

    takes = (DiffusionTask,)
    splits = ConceptSplit
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "arbitrary_types_allowed": True}  # type: ignore[assignment]
    figures: ClassVar[Mapping[str, str]] = {
        "inverted": "share of images that show the concept when a vector learned from images of it stands for its name; "
        "ideal: the retrained model's",
        "prefixed": "share of images that show the concept when words learned from images of it stand before its prompt; "
        "ideal: the retrained model's",
        "noised_up": "share of images that show the concept when more noise is added on the way, best of several strengths; "
        "ideal: the retrained model's",
        "inpainted": "share of images of the concept, filled in below after their lower half was hidden, that show it again; "
        "ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        for name in ("count", "inversion_steps", "words", "prefix_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise BadSetting(f"concept-attacks: {name} must be at least 1, not {getattr(self, name)}")
        if not self.noise or min(self.noise) < 0:
            raise BadSetting(f"concept-attacks: noise holds factors of 0 or more, one at least, not {list(self.noise)}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        original, gold = references.original, references.gold
        if original is None:
            return {}
        judge = judge_for(original, self.recognizer)
        if isinstance(judge, str):
            return {name: Figure(None, None, note=judge) for name in self.figures}
        mine = self.found(subject, judge)
        ideal = {} if gold is None else {name: figure.value for name, figure in self.found(gold, judge).items()}
        return {
            name: figure if figure.value is None else replace(figure, ideal=ideal.get(name)) for name, figure in mine.items()
        }

    def found(self, subject: Subject, judge: Recognizer) -> dict[str, Figure]:
        """What each attack finds of a subject, or why it can't be made; the ideal is left open. Kept."""
        key = ("concept attacks", self, judge)
        if key not in subject.memory:
            attacks = {
                "inverted": self._inverted,
                "prefixed": self._prefixed,
                "noised_up": self._noised_up,
                "inpainted": self._inpainted,
            }
            _, split = read_drawing(subject)

            def share(images: Tensor) -> float:
                return (judge.answers(images) == split.concept).double().mean().item()

            subject.memory[key] = {name: attack(subject, share) for name, attack in attacks.items()}
        kept: dict[str, Figure] = subject.memory[key]
        return kept

    def _inverted(self, subject: Subject, share: Callable[[Tensor], float]) -> Figure:
        task, split = read_drawing(subject)
        if (why := _speechless(subject)) is not None:
            return Figure(None, None, note=why)
        assert isinstance(split.forget, NoisedImages)
        attack, images = Inversion(task.concepts, split.concept), split.forget
        settings = self.inversion_steps, self.inversion, self.batch_size
        vector = self._learned(subject, lambda: attack.train(subject.model, images, subject.engine, *settings))
        if isinstance(vector, str):
            return Figure(None, None, note=vector)
        with embedded(subject.model, attack.saying(lambda: vector)) as attacked:
            return Figure(share(self._drawn(task, attacked, self._asked(task, split))), None)

    def _prefixed(self, subject: Subject, share: Callable[[Tensor], float]) -> Figure:
        task, split = read_drawing(subject)
        if (why := _speechless(subject)) is not None:
            return Figure(None, None, note=why)
        assert isinstance(split.forget, NoisedImages)
        attack, images = Prefix(task.concepts, split.concept, self.words), split.forget
        if not len(attack.ways):
            room = f"no prompt of the concept has room for {self.words} words in the {task.concepts.nothing.numel()} tokens"
            return Figure(None, None, note=room)
        settings = self.prefix_steps, self.prefix, self.batch_size
        words = self._learned(subject, lambda: attack.train(subject.model, images, subject.engine, *settings))
        if isinstance(words, str):
            return Figure(None, None, note=words)
        asked = attack.prompts(words).ask(torch.full((self.count,), split.concept))
        return Figure(share(self._drawn(task, subject.model, asked)), None)

    def _noised_up(self, subject: Subject, share: Callable[[Tensor], float]) -> Figure:
        task, split = read_drawing(subject)
        how, asked = self.sampling or task.sampling, self._asked(task, split)
        more = [replace(how, eta=1.0, fresh=factor) for factor in self.noise]
        shares = [share(self._drawn(task, subject.model, asked, sampling=each)) for each in more]
        return Figure(max(shares), None, note=f"{self.noise[shares.index(max(shares))]:g} times the noise")

    def _inpainted(self, subject: Subject, share: Callable[[Tensor], float]) -> Figure:
        task, split = read_drawing(subject)
        shown = _unseen(split)
        states = shown.images[torch.arange(self.count) % shown.examples]
        known = Known(states, upper_half(task.shape))
        told = ""
        if task.vae is None and isinstance(split.retain, NoisedImages):
            others = split.retain.images[torch.arange(self.count) * split.retain.examples // self.count]
            alone = share(torch.where(known.where, states, others))
            told = f"recognised in {alone:.0%} of images where the lower half is from images of other concepts"
        return Figure(share(self._drawn(task, subject.model, self._asked(task, split), known=known)), None, note=told)

    def _learned(self, subject: Subject, train: Callable[[], Tensor]) -> Tensor | str:
        """What an attack learns, of which no checkpoint is left behind; or why it failed."""
        engine = subject.engine
        key = "" if engine.folder is None else weights_hash(subject.model)  # what learns alone does not tell models apart
        try:
            with engine.scope(_LEARNED, key):
                return train()
        except Diverged as error:
            return f"training the attack failed: {error}"
        finally:
            engine.discard(_LEARNED)

    def _asked(self, task: DiffusionTask, split: ConceptSplit) -> Tensor:
        return task.concepts.ask(torch.full((self.count,), split.concept))

    def _drawn(
        self,
        task: DiffusionTask,
        model: nn.Module,
        asked: Tensor,
        sampling: Sampling | None = None,
        known: Known | None = None,
    ) -> Tensor:
        return task.draw(model, asked, seeds_for("attack", len(asked)), sampling=sampling or self.sampling, known=known)


def _speechless(subject: Subject) -> str | None:
    """Why no words can be put in place of others; None where they can."""
    task, _ = read_drawing(subject)
    if task.concepts.places is None:
        return "the model is asked for concepts by numbers, and not by words"
    if embeddings_of(subject.model) is None:
        return f"a {type(subject.model).__name__} has no text encoder whose embeddings could be changed"
    return None


def _unseen(split: ConceptSplit) -> NoisedImages:
    """Images of the concept that no model was trained on; those that must go where there are none."""
    unseen = split.holdout_forget
    shown = unseen if isinstance(unseen, NoisedImages) and unseen.examples else split.forget
    assert isinstance(shown, NoisedImages)
    return shown

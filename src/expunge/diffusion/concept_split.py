"""A request for a concept: images that show it go, those of the others stay."""

import hashlib
from dataclasses import dataclass, fields

from torch import Tensor, tensor

from expunge.diffusion.noised import NoisedImages, joined_images
from expunge.errors import BadRequest
from expunge.split import Split, stream_digest


@dataclass(frozen=True)
class ConceptSplit(Split):
    """A concept to forget. Made by :func:`concept_split`.

    Args:
        concept: the number of what goes.
        anchor: the number of a concept that stays, which is drawn in its place by methods that need one.
    """

    concept: int = 0
    anchor: int = 0

    @property
    def digest(self) -> str:
        """Equal digests, equal requests."""
        parts = [stream_digest(getattr(self, each.name)) for each in fields(self) if each.name != "kind"]
        return hashlib.blake2b(repr(parts).encode()).hexdigest()[:32]

    @property
    def everything(self) -> NoisedImages:
        """What a model is trained on before: all that goes and stays."""
        assert isinstance(self.forget, NoisedImages) and isinstance(self.retain, NoisedImages)
        return joined_images([self.forget, self.retain])


def concept_split(
    train: NoisedImages, concept: str, holdout: NoisedImages | None = None, anchor: str | None = None
) -> ConceptSplit:
    """The split of a request for a concept.

    Args:
        train: images that the model was trained on, or that it drew itself, with what they show.
        concept: the name of what goes.
        holdout: images that no model was trained on.
        anchor: the name of what stands in for it; the concept that most other images show when None.

    Raises:
        BadRequest: if no image shows the concept, all of them do, or the anchor is shown by none or is what goes.
        BadSetting: if there is no such concept.
    """
    goes = train.concepts.number(concept)
    shows = train.numbers == goes
    if not shows.any() or shows.all():
        raise BadRequest(f"{'every' if shows.any() else 'no'} image shows {concept!r}; some must go and others stay")
    stays = train.numbers[~shows]
    stand_in = int(stays.bincount().argmax()) if anchor is None else train.concepts.number(anchor)
    if not (stays == stand_in).any():
        raise BadRequest(f"the anchor {anchor!r} must be among what stays, and no image there shows it")
    unseen: tuple[NoisedImages, NoisedImages] | None = None
    if holdout is not None:
        unseen = holdout.where(holdout.numbers != goes), holdout.where(holdout.numbers == goes)
    return ConceptSplit(
        train.where(shows),
        train.where(~shows),
        unseen[0] if unseen else (),
        unseen[1] if unseen else None,
        kind=True,
        concept=goes,
        anchor=stand_in,
    )


def asked_for(split: ConceptSplit, number: int, count: int, way: int = 0) -> Tensor:
    """The condition for a concept, so many times: shape (count, ...)."""
    assert isinstance(split.forget, NoisedImages)
    return split.forget.concepts.ask(tensor([number]).expand(count), way)

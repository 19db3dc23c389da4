"""What looks at images: which concept one shows, if any, and which of two models drew it.

The first also learns what shows nothing, noise and images whose pixels come from different ones: it would have to see something
in what a damaged model draws. The second is as published: a classifier with features of its own,

    min  cross-entropy + max(0, d(f(x), f(same)) - d(f(x), f(nearest other)) + 1),     d Euclidean

for each pair of models anew; where it can't tell held-out images apart, what it says of others means nothing. The network is a
small convolutional one unless another is given; the published ones are ResNet-18, EfficientNet-B0 and DenseNet-121 with weights
of ImageNet, and the nearest other image is the hardest of three random ones there, of the batch here.

Reference: see :mod:`expunge.audits.concealment`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.models.cnn import SmallCNN
from expunge.models.norm_cnn import NormCNN
from expunge.modes import evaluating
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.storage import weights_hash

_AT_ONCE = 256
_HELD_OUT = 5  # one image in so many is held out
LEAST = 10  # images of each kind, below which nothing is told apart
MARGIN = 1.0
_LEAST_STEPS = 300
Network = Callable[[tuple[int, ...], int], nn.Module]  # of the shape of an image and the number of answers; ends in `head`


@dataclass(frozen=True, eq=False)
class Recognizer:
    """A classifier of images, and how often it is right on images that it was not trained on.

    Args:
        model: images (n, C, H, W) to logits (n, answers); what goes into its `head` are the features.
        accuracy: on held-out images, from 0 to 1.
    """

    model: nn.Module
    accuracy: float

    def __repr__(self) -> str:
        return f"Recognizer({weights_hash(self.model)[:16]}, accuracy={self.accuracy:g})"

    def logits(self, images: Tensor) -> Tensor:
        """Shape (n, answers), on the CPU."""
        return self._read(images, lambda outputs, _: outputs)

    def answers(self, images: Tensor) -> Tensor:
        """The number of what each image shows: shape (n,); -1 where an image is not finite."""
        logits = self.logits(images)
        return torch.where(logits.isfinite().all(1), logits.argmax(1), -1)

    def features(self, images: Tensor) -> Tensor:
        """What goes into the last layer: shape (n, d)."""
        return self._read(images, lambda _, features: features)

    def _read(self, images: Tensor, read: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        device = next(self.model.parameters()).device
        with torch.no_grad(), evaluating(self.model):
            return torch.cat([read(*both(self.model, part.to(device))).cpu() for part in images.split(_AT_ONCE)])


def recognizer_of(
    images: Tensor, numbers: Tensor, classes: int, engine: Engine, epochs: int = 20, network: Network = NormCNN
) -> Recognizer:
    """Train on images what they show; one in five of each kind is held out, to know how often it is right.

    Its answers are numbers of what is shown, and `classes` for nothing.

    Args:
        images: from -1 to 1, shape (n, C, H, W).
        numbers: of what they show, shape (n,).
        epochs: of training; more where images are few.

    Raises:
        BadRequest: if there are less than ten images of a kind.
    """
    known, held = _parts(numbers)
    nothing = shows_nothing(images[known], len(known) // 4, engine.generator("nothing"))
    data = torch.cat([images[known], nothing]), torch.cat([numbers[known], torch.full((len(nothing),), classes)])
    batches = Batches(TensorDataset(*data), 64)
    model = engine.new_model(lambda: network(tuple(images.shape[1:]), classes + 1), "recognizer")
    engine.fit(
        model,
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1], reduction="none"),
        batches,
        epochs=max(epochs, _LEAST_STEPS // len(batches)),
        optimizer=Optimizer("adam", 2e-3),
        schedule="cosine",
        name="recognizer",
    )
    return _judged(model.eval(), images[held], numbers[held])


def shows_nothing(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Images that show nothing, shape (count, C, H, W): half of them have each pixel from another image, half are noise.

    Noise stands around any grey and is of any strength, down to none.
    """
    chosen = torch.randint(len(images), (count - count // 2, *images.shape[1:]), generator=generator)
    mixed = images.gather(0, chosen)
    ones = [1] * (images.dim() - 1)
    grey, strength = (torch.rand(count // 2, *ones, generator=generator) for _ in range(2))
    noise = torch.randn(count // 2, *images.shape[1:], generator=generator)
    return torch.cat([mixed, (2 * grey - 1 + strength * noise).clamp(-1, 1)])


def tell_apart(
    unlearned: Tensor, original: Tensor, engine: Engine, epochs: int = 40, network: Network = SmallCNN
) -> Recognizer:
    """Train on images of two models which of them drew each: 0 for the unlearned one, 1 for the original.

    Args:
        unlearned: images of the one, shape (n, C, H, W).
        original: images of the other.

    Raises:
        BadRequest: if there are less than ten images of one.
    """
    images = torch.cat([unlearned, original])
    numbers = torch.cat([torch.zeros(len(unlearned)), torch.ones(len(original))]).long()
    known, held = _parts(numbers)
    model = engine.new_model(lambda: network(tuple(images.shape[1:]), 2), "domains")

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        outputs, features = both(model, batch[0])
        answers = F.cross_entropy(outputs, batch[1], reduction="none")
        return {"answers": answers, "distances": triplet_losses(features, batch[1])}

    engine.fit(
        model,
        loss,
        Batches(TensorDataset(images[known], numbers[known]), 32),
        epochs=epochs,
        optimizer=Optimizer("adam", 1e-3),
        name="domains",
    )
    return _judged(model.eval(), images[held], numbers[held])


def triplet_losses(features: Tensor, numbers: Tensor) -> Tensor:
    """How much farther an image of the same kind is than the nearest one of another, and the margin; shape (n,), 0 at least.

    The image of the same kind is the next one in the batch. Where a batch holds one kind alone, nothing is to be told apart.

    >>> triplet_losses(torch.tensor([[0.0], [3.0], [1.0]]), torch.tensor([0, 0, 1]))
    tensor([3., 2., 0.])
    """
    distances = torch.cdist(features, features)
    same = numbers[:, None] == numbers[None]
    if same.all():
        return features.new_zeros(len(features))
    place = torch.arange(len(numbers), device=numbers.device)
    after = (place[None] - place[:, None] - 1) % len(numbers)  # 0 for the next one, the most for the image itself
    positive = distances.gather(1, after.masked_fill(~same, len(numbers)).argmin(1, keepdim=True))[:, 0]
    negative = distances.masked_fill(same, float("inf")).amin(1)
    return (positive - negative + MARGIN).clamp_min(0).where(same.sum(1) > 1, features.new_zeros(()))


def both(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """A network's answers, and what goes into its `head`.

    Raises:
        BadSetting: if it has none.
    """
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Module):
        raise BadSetting(f"a {type(model).__name__} has no last layer named head, what goes into which are the features")
    found: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))
    try:
        outputs: Tensor = model(images)
    finally:
        hook.remove()
    return outputs, found[0].flatten(1)


def _parts(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Rows to train on, and one in five of each kind to judge by."""
    counts = numbers.bincount()
    if len(counts) == 0 or (counts[counts > 0] < LEAST).any():
        raise BadRequest(f"to tell images apart {LEAST} of each kind are needed at least, and there are {counts.tolist()}")
    held = torch.zeros(len(numbers), dtype=torch.bool)
    for number in counts.nonzero()[:, 0]:
        held[(numbers == number).nonzero()[::_HELD_OUT, 0]] = True
    return (~held).nonzero()[:, 0], held.nonzero()[:, 0]


def _judged(model: nn.Module, images: Tensor, numbers: Tensor) -> Recognizer:
    right = Recognizer(model, 0.0).answers(images) == numbers
    return Recognizer(model, right.double().mean().item())

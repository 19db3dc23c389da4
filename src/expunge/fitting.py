"""How many steps a fit makes, and which of its weights are kept."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from expunge.checkpoint import Progress
from expunge.errors import BadSetting
from expunge.split import Epochs, Stream
from expunge.storage import own_state


def total_steps(
    batches: Stream | Epochs | Sequence[Stream | Epochs], plan: list[Stream] | None, epochs: int | None, steps: int | None
) -> int:
    """Optimizer steps of a fit; see `Engine.fit`.

    Raises:
        BadSetting: if the amount of training is not stated, or stated twice.
    """
    if epochs is not None and steps is not None:
        raise BadSetting("give epochs or steps, not both")
    if plan is not None:
        return sum(len(stream) for stream in plan)  # type: ignore[misc, arg-type]
    if steps is None and epochs is None:
        raise BadSetting("give the amount of training: epochs, steps, or a list with one stream for each epoch")
    amount = steps if steps is not None else epochs
    if amount is None or amount < 0 or not math.isfinite(amount):
        raise BadSetting(f"epochs and steps must be 0 or more, not {amount}")
    if steps is not None:
        return steps
    try:
        return amount * len(batches)  # type: ignore[arg-type]
    except TypeError:
        raise BadSetting("a stream without a length needs steps instead of epochs") from None


def keep_best(progress: Progress, score: float, model: nn.Module, best: dict[str, Tensor]) -> dict[str, Tensor]:
    """The best weights so far: the model's own where their score is above all scores before."""
    progress.scores.append(score)
    if best and score <= progress.scores[progress.best_epoch]:
        return best
    progress.best_epoch = progress.epoch
    return {name: tensor.detach().clone() for name, tensor in own_state(model).items()}

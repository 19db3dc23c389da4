"""How the networks of all shards answer as one.

    probabilities    log p(y | x) = log mean_s p_s(y | x)
    outputs          f(x) = mean_s f_s(x)
    votes            log p(y | x) = log (v_y + mean_s p_s(y | x)) / (S + 1),     y is the likeliest class of v_y networks

A vote has no probability where nobody votes for a class, and no winner where two classes have as many. The mean probability,
which counts as one more vote, gives both, and never changes who has the most.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from expunge.errors import BadSetting
from expunge.tasks import ClassificationTask, LanguageTask, Task

Answer = Literal["auto", "probabilities", "outputs", "votes"]
ANSWERS: tuple[str, ...] = get_args(Answer)


class Said(NamedTuple):
    """What a model answers that gives more than a tensor."""

    logits: Tensor


class Together(nn.Module):
    """Several networks that answer as one.

    Args:
        members: the networks.
        answer: "probabilities", "outputs" or "votes".
        speaks: which of them answer; one that was trained on nothing does not.
    """

    has_features = False  # none that all of them share

    def __init__(self, members: Sequence[nn.Module], answer: str, speaks: Sequence[bool]) -> None:
        super().__init__()
        self.members, self.answer = nn.ModuleList(members), answer
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(speaks, dtype=torch.float32) / sum(speaks))

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """What one network would say: logits, shape (n, ..., C), or the mean of outputs."""
        said = [member(*inputs, **named) for member in self.members]
        if isinstance(said[0], Tensor):
            return together(torch.stack(said), self.weights, self.answer)
        return Said(together(torch.stack([each.logits for each in said]), self.weights, self.answer))


def together(said: Tensor, weights: Tensor, answer: str) -> Tensor:
    """One answer from those of S networks.

    Args:
        said: shape (S, ..., C).
        weights: of each network, (S,), with sum 1; those that do not answer have 0.
        answer: see the module.

    Returns:
        shape (..., C).

    >>> said, weights = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.5]]]), torch.ones(3) / 3
    >>> [together(said, weights, answer).argmax(1).item() for answer in ("probabilities", "votes")]
    [0, 1]
    """
    share = weights.view(-1, *[1] * (said.dim() - 1))
    if answer == "outputs":
        return (share * said).sum(0)
    mean = (said.log_softmax(-1) + share.log()).logsumexp(0)
    if answer == "probabilities":
        return mean
    count = (weights > 0).sum()
    votes = count * (share * one_hot(said.argmax(-1), said.shape[-1])).sum(0)
    return ((votes + mean.exp()) / (count + 1)).clamp_min(torch.finfo(said.dtype).tiny).log()


def answer_for(task: Task[Any], answer: str) -> str:
    """How networks of a task answer together, where that is left open.

    Raises:
        BadSetting: if there are no classes to vote on.
    """
    if answer == "votes" and not isinstance(task, ClassificationTask):
        raise BadSetting(f"votes are for classification, not for {type(task).__name__}; take answer='auto'")
    if answer != "auto":
        return answer
    return "probabilities" if isinstance(task, ClassificationTask | LanguageTask) else "outputs"

"""What each client has sent in some of the rounds: what calibration by retained updates needs, and dampening does not.

It grows with every round, by a number for each client and each parameter: after 100 rounds it is a hundred times as large as
the :class:`Contributions` of the same clients.
"""

from collections.abc import Mapping

from torch import Tensor

from expunge.errors import BadSetting

State = dict[str, Tensor]


class History:
    """The update of each client, theta_n^t - theta^t, in every so many rounds, from the first on.

    Args:
        every: rounds from one that is kept to the next.

    >>> import torch
    >>> history = History(every=2)
    >>> for round in (1, 2, 3):
    ...     history.watch(round, {"w": torch.zeros(1)}, {"a": {"w": torch.ones(1)}})
    >>> history.rounds, history.updates[1]["a"]
    ((1, 3), {'w': tensor([1.])})
    """

    def __init__(self, every: int = 1) -> None:
        if every < 1:
            raise BadSetting(f"every must be at least 1, not {every}")
        self.every = every
        self.updates: dict[int, dict[str, State]] = {}
        self.initial: State = {}  # the model that the first round began with

    @property
    def rounds(self) -> tuple[int, ...]:
        """The rounds that are kept."""
        return tuple(sorted(self.updates))

    @property
    def bytes(self) -> int:
        """Memory of all updates."""
        kept = (update for sent in self.updates.values() for update in sent.values())
        return sum(value.numel() * value.element_size() for update in kept for value in update.values())

    def watch(self, round: int, before: Mapping[str, Tensor], sent: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Keep what all clients have sent back in a round. It watches a federation that is played."""
        if not self.initial:
            self.initial = {name: value.detach().clone() for name, value in before.items()}
        if (round - 1) % self.every == 0:
            self.updates[round] = {client: changes(before, after) for client, after in sent.items()}


def changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> State:
    """What training has changed, of floating-point tensors, by name."""
    return {name: after[name].detach() - value.detach() for name, value in before.items() if value.is_floating_point()}

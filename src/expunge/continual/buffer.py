"""A bounded memory of samples: at any time an even draw from all that was learned and is not to be forgotten.

    learn      while slots are free that no deletion has left, the sample takes one; else, as sample number n of those that
               stay, it takes the place of a random one with probability capacity / n                         (Algorithm R)
    forget     deleted samples leave c1 free slots, and c2 more were not in the buffer; the next c1 + c2 samples pay for them:
               each takes a free slot with probability c1 / (c1 + c2), and c1 or c2 falls by one           (random pairing)

Filling the free slots at once would be simpler, and would let what is learned next take more than its share: it would then push
out older samples, which can't be had again.

What is drawn is always a filled slot, and forgotten samples are overwritten by zeros, so that no file that is written
afterwards holds them either.

References: J. S. Vitter. "Random Sampling with a Reservoir", ACM Transactions on Mathematical Software 11(1), 1985. R. Gemulla,
W. Lehner, P. J. Haas. "A Dip in the Reservoir: Maintaining Sample Synopses of Evolving Datasets", VLDB 2006.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.split import Batches
from expunge.storage import load_weights, read_weights, write_weights

NOBODY = -1  # the id of an empty slot


class ReplayBuffer(nn.Module):
    """See the module. All that it holds is in its buffers, so that a checkpoint of a network that has one has its samples too.

    Args:
        capacity: samples at most.
        input_shape: shape of one input.
        logits: outputs of a model that are kept beside each sample; 0 for none.
        dtype: of inputs.

    Attributes:
        inputs: shape (capacity, *input_shape).
        labels, ids: int64, shape (capacity,); the id of an empty slot is -1.
        logits: shape (capacity, logits).

    >>> memory = ReplayBuffer(2, (3,))
    >>> memory.add(torch.ones(2, 3), torch.tensor([5, 6]), torch.tensor([100, 101]))
    >>> memory.forget(torch.tensor([100]))
    1
    >>> memory.filled, memory.held()[1].tolist()
    (1, [6])
    """

    def __init__(self, capacity: int, input_shape: Sequence[int], logits: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        if capacity < 1:
            raise BadSetting(f"a replay buffer holds at least 1 sample, not {capacity}")
        if logits < 0:
            raise BadSetting(f"logits is how many outputs are kept beside a sample, 0 or more, not {logits}")
        self.capacity = capacity
        self.inputs: Tensor
        self.labels: Tensor
        self.ids: Tensor
        self.logits: Tensor
        self.counts: Tensor
        self.register_buffer("inputs", torch.zeros(capacity, *input_shape, dtype=dtype))
        self.register_buffer("labels", torch.zeros(capacity, dtype=torch.long))
        self.register_buffer("ids", torch.full((capacity,), NOBODY))
        self.register_buffer("logits", torch.zeros(capacity, logits))
        self.register_buffer("counts", torch.zeros(3, dtype=torch.long))  # samples that stay; c1; c2

    @classmethod
    def of_bytes(
        cls, size: int, input_shape: Sequence[int], logits: int = 0, dtype: torch.dtype = torch.float32
    ) -> "ReplayBuffer":
        """The largest buffer of at most so many bytes.

        Raises:
            BadSetting: if not one sample fits.
        """
        one = cls(1, input_shape, logits, dtype).bytes
        if size < one:
            raise BadSetting(f"a sample takes {one:,} bytes, so that a buffer of {size:,} holds none")
        return cls(size // one, input_shape, logits, dtype)

    # ---- what is in it --------------------------------------------------------------------------------------------

    @property
    def filled(self) -> int:
        """How many samples it holds."""
        return int((self.ids != NOBODY).sum())

    @property
    def population(self) -> int:
        """How many samples were learned and not forgotten, those that it does not hold included."""
        return int(self.counts[0])

    @property
    def bytes(self) -> int:
        """What the samples take, full or not, with labels, ids and logits."""
        return sum(part.numel() * part.element_size() for part in (self.inputs, self.labels, self.ids, self.logits))

    def held(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs, labels, ids and logits of all samples that it holds."""
        return self._rows((self.ids != NOBODY).nonzero().flatten())

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Inputs, labels, ids and logits of some of its samples, of all when it has no more, by torch's global generator."""
        slots = (self.ids != NOBODY).nonzero().flatten()
        return self._rows(slots[torch.randperm(len(slots))[:count].to(slots.device)])

    def batches(self, batch_size: int) -> Batches:
        """Its samples as a stream of pairs (inputs, labels), as they are now."""
        inputs, labels, _, _ = self.held()
        return Batches(TensorDataset(inputs.cpu(), labels.cpu()), batch_size)

    def _rows(self, slots: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.inputs[slots], self.labels[slots], self.ids[slots], self.logits[slots]

    # ---- learn and forget -----------------------------------------------------------------------------------------

    def add(self, inputs: Tensor, labels: Tensor, ids: Tensor, logits: Tensor | None = None) -> None:
        """Offer samples that were never offered before, in turn; draws are of torch's global generator.

        Args:
            inputs: shape (n, *input_shape).
            labels: shape (n,).
            ids: shape (n,), 0 or more, none of them in the buffer already.
            logits: shape (n, logits); zeros when None.

        Raises:
            BadRequest: if an id is negative, doubled, or in the buffer already, or shapes or the type of inputs do not fit.
        """
        self._check(inputs, labels, ids, logits)
        free, (seen, inside, outside) = (self.ids == NOBODY).nonzero().flatten().tolist()[::-1], self.counts.tolist()
        places: dict[int, int] = {}  # row of what is added, by slot; a later one takes an earlier one's place
        for row, chance in enumerate(torch.rand(len(ids), dtype=torch.float64).tolist()):
            seen += 1
            if inside + outside:
                taken = chance * (inside + outside) < inside
                inside, outside = inside - taken, outside - (not taken)
                if taken:
                    places[free.pop()] = row
            elif free:
                places[free.pop()] = row
            elif (slot := int(chance * seen)) < self.capacity:
                places[slot] = row
        self.counts.copy_(torch.tensor([seen, inside, outside]))
        slots, rows = (torch.tensor(list(part), dtype=torch.long, device=self.ids.device) for part in (places, places.values()))
        for own, given in ((self.inputs, inputs), (self.labels, labels), (self.ids, ids), (self.logits, logits)):
            if given is not None:
                own[slots] = given.to(own)[rows]
        if logits is None:
            self.logits[slots] = 0

    def forget(self, ids: Tensor) -> int:
        """Delete samples, and say how many of them it held.

        Args:
            ids: of samples that were added at some time, whether it still holds them or not; each once.

        Raises:
            BadRequest: if one is named twice, or there are more than were ever added.
        """
        if len(ids.unique()) != len(ids):
            raise BadRequest("an id to forget is named twice")
        if len(ids) > self.population:
            raise BadRequest(f"{len(ids):,} samples are to be forgotten, and only {self.population:,} were learned")
        slots = torch.isin(self.ids, ids.to(self.ids)).nonzero().flatten()
        for own in (self.inputs, self.labels, self.logits):
            own[slots] = 0
        self.ids[slots] = NOBODY
        was_full = self.population > self.capacity or int(self.counts[1:].sum()) > 0
        owed = [len(slots), len(ids) - len(slots)] if was_full else [0, 0]  # while all fit, free slots need no sharing out
        self.counts += torch.tensor([-len(ids), *owed], device=self.counts.device)
        return len(slots)

    def relabel(self, logits: Tensor) -> None:
        """Replace the logits of all samples that it holds, in the order of :meth:`held`."""
        self.logits[self.ids != NOBODY] = logits.to(self.logits)

    def _check(self, inputs: Tensor, labels: Tensor, ids: Tensor, logits: Tensor | None) -> None:
        count = len(ids)
        wanted = {
            "inputs": (inputs, (count, *self.inputs.shape[1:])),
            "labels": (labels, (count,)),
            "logits": (self.logits[:0] if logits is None else logits, (0 if logits is None else count, self.logits.shape[1])),
        }
        for name, (given, shape) in wanted.items():
            if tuple(given.shape) != shape:
                raise BadRequest(f"{name} for a replay buffer have shape {tuple(given.shape)}, not {shape}")
        if inputs.dtype != self.inputs.dtype:
            raise BadRequest(
                f"inputs are {inputs.dtype}, and the replay buffer holds {self.inputs.dtype}; make it with dtype={inputs.dtype}"
            )
        if count and (int(ids.min()) < 0 or len(ids.unique()) != count):
            raise BadRequest("ids for a replay buffer must be 0 or more, each once")
        if bool(torch.isin(ids.to(self.ids), self.ids).any()):
            raise BadRequest("a sample is already in the replay buffer")

    # ---- files ----------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write it as one safetensors file, whole or not at all."""
        write_weights(path, self.state_dict(), {"kind": "replay buffer"})

    @classmethod
    def load(cls, path: str | Path) -> "ReplayBuffer":
        """Read what :meth:`save` has written.

        Raises:
            BadFile: if the file is missing, damaged, or something else.
        """
        tensors, facts = read_weights(path)
        if facts.get("kind") != "replay buffer":
            raise BadFile(f"{path} is no replay buffer; it is written by ReplayBuffer.save")
        inputs = tensors["inputs"]
        memory = cls(len(inputs), tuple(inputs.shape[1:]), tensors["logits"].shape[1], inputs.dtype)
        load_weights(memory, path)
        return memory

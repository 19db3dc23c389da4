"""What each client of a federation has changed in its model: one running sum for each, however many rounds there were.

    round      g_n = 1 / T_n sum_t | theta_n^t - theta^t |        theta^t the model that round t began with
    initial    g_n = 1 / T_n sum_t | theta_n^t - theta^0 |        theta^0 the model that the first round began with

theta_n^t is the model that client n sent back in round t, T_n the number of rounds that it took part in. The server sees all
of this anyway, unless sums alone reach it (secure aggregation): then nobody can tell what a single client has done. Memory is a
number for each client and each parameter, whatever the number of rounds.

Reference: V. S. Chundawat, P. Niroula, P. Dhungana, S. Schoepf, M. Mandal, A. Brintrup. "ConDa: Fast Federated Unlearning with
Contribution Dampening", arXiv 2410.04144: the mean of updates is the paper's, the initial model's sum the published code's.
"""

import copy
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from expunge.errors import BadFile, BadRequest, BadSetting, Diverged
from expunge.storage import read_weights, write_weights

Reference = Literal["round", "initial"]
Precision = Literal["fp32", "fp16"]
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


class Contributions:
    """A running sum of absolute changes for each client.

    Args:
        model: the model before the first round, by name: what is tracked, in which shapes. Give a network's parameters, not its
            buffers: running means of a normalisation are no contribution. Tensors that are not floating point are left out.
        reference: which model a change is measured from, see the module.
        precision: of the sums: "fp16" halves them, with about three digits.

    Raises:
        BadSetting: if there is nothing to track, or a setting is not known.

    >>> sums = Contributions({"weight": torch.zeros(2)})
    >>> sums.add("ward-3", {"weight": torch.zeros(2)}, {"weight": torch.tensor([1.0, -3.0])})
    >>> sums.add("ward-3", {"weight": torch.ones(2)}, {"weight": torch.tensor([1.0, 0.0])})
    >>> sums.of(["ward-3"])["weight"], sums.rounds["ward-3"]
    (tensor([0.5000, 2.0000]), 2)
    """

    def __init__(self, model: Mapping[str, Tensor], reference: Reference = "round", precision: Precision = "fp32") -> None:
        if reference not in ("round", "initial"):
            raise BadSetting(f"reference is 'round' or 'initial', not {reference!r}")
        if precision not in _DTYPES:
            raise BadSetting(f"precision is 'fp32' or 'fp16', not {precision!r}")
        first = {name: value.detach().cpu() for name, value in model.items() if value.is_floating_point()}
        if not first:
            raise BadSetting("there is nothing to track: the model has no floating-point tensor")
        self.reference, self.precision = reference, precision
        self.shapes = {name: value.shape for name, value in first.items()}
        self.initial = {name: value.float().clone() for name, value in first.items()} if reference == "initial" else {}
        self.rounds: dict[str, int] = {}
        self._sums: dict[str, dict[str, Tensor]] = {}

    @property
    def clients(self) -> tuple[str, ...]:
        """All who have taken part, sorted."""
        return tuple(sorted(self.rounds))

    @property
    def bytes(self) -> int:
        """Memory of all sums."""
        return sum(value.numel() * value.element_size() for sums in self._sums.values() for value in sums.values())

    def add(self, client: str, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
        """Add what a client has changed in one round; all of it or, after an error, nothing.

        Args:
            client: a name that stays the same from round to round.
            before: the model that the round began with, by name.
            after: the model that the client sent back. Tensors that are not tracked are passed over in both.

        Raises:
            BadRequest: if a tensor is missing, or has another shape.
            Diverged: if one holds values that are not finite.
        """
        start = self.initial or self._tracked(before, "the round began with a model in which")
        end = self._tracked(after, f"client {client} sent a model in which")
        changes = {name: (end[name].float() - start[name].float()).abs() for name in self.shapes}
        for name, change in changes.items():
            if not change.isfinite().all():
                raise Diverged(
                    f"client {client} sent values in '{name}' that are not finite; its update was not counted: leave it out of "
                    "the average as well"
                )
        sums = self._sums.get(client, {})
        dtype = _DTYPES[self.precision]
        added = {name: (sums[name].float() + change if sums else change).to(dtype) for name, change in changes.items()}
        for name, value in added.items():
            if not value.isfinite().all():
                raise Diverged(
                    f"the sum of client {client} in '{name}' passes {torch.finfo(dtype).max:g}, the largest number in "
                    f"{self.precision}; its update was not counted: leave it out of the average as well, or keep sums in fp32"
                )
        self._sums[client] = added
        self.rounds[client] = self.rounds.get(client, 0) + 1

    def watch(self, round: int, before: Mapping[str, Tensor], sent: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Add what all clients have sent back in a round; see :meth:`add`. It watches a federation that is played."""
        for client, after in sent.items():
            self.add(client, before, after)

    def of(self, clients: Collection[str]) -> dict[str, Tensor]:
        """The mean over some clients of what each has changed in a round, float32, by name.

        Raises:
            BadRequest: if there are none, or one has never taken part.
        """
        if not clients:
            raise BadRequest("no client is named")
        for client in clients:
            if client not in self.rounds:
                known = (
                    ", ".join(self.clients[:5]) + (" and others" if len(self.rounds) > 5 else "") if self.rounds else "nobody"
                )
                raise BadRequest(f"client {client} never took part, so there is nothing of it to take out; there is {known}")
        found = {name: torch.zeros(shape) for name, shape in self.shapes.items()}
        for client in clients:
            share = 1 / (self.rounds[client] * len(clients))
            for name, value in self._sums[client].items():
                found[name].add_(value.float(), alpha=share)
        return found

    def copy(self) -> "Contributions":
        """Sums that go their own way from here; tensors are shared, as none is ever changed in place."""
        found = copy.copy(self)
        found.rounds, found._sums = dict(self.rounds), dict(self._sums)
        return found

    def without(self, leaving: Collection[str]) -> "Contributions":
        """The sums of those who stay: what may be kept once some have been taken out, since sums tell of them too.

        Raises:
            BadRequest: if one of them never took part.
        """
        for client in leaving:
            if client not in self.rounds:
                raise BadRequest(f"client {client} never took part, so there is nothing of it to delete")
        found = self.copy()
        for client in set(leaving):
            del found.rounds[client], found._sums[client]
        return found

    def tensors(self) -> tuple[dict[str, Tensor], str]:
        """All of it as a file keeps it: tensors by name, and the rest as JSON. It is read by :meth:`from_tensors`."""
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        kept = {"reference": self.reference, "precision": self.precision, "rounds": self.rounds, "shapes": shapes}
        found = {f"initial {name}": value for name, value in self.initial.items()}
        for number, client in enumerate(self.rounds):  # a number, since a client may call itself anything
            found |= {f"sum {number} {name}": value for name, value in self._sums[client].items()}
        return found, json.dumps(kept)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], kept: str) -> "Contributions":
        """What :meth:`tensors` has told; other tensors are passed over.

        Raises:
            BadFile: if something is missing, or does not fit the rest.
        """
        try:
            facts = json.loads(kept)
            known = {name: torch.zeros(shape) for name, shape in facts["shapes"].items()}
            first = {name: tensors[f"initial {name}"] for name in known} if facts["reference"] == "initial" else known
            found = cls(first, facts["reference"], facts["precision"])
            found.rounds = {client: int(count) for client, count in facts["rounds"].items()}
            found._sums = {
                client: {name: tensors[f"sum {number} {name}"] for name in known} for number, client in enumerate(found.rounds)
            }
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BadFile(f"what it says of contributions of clients is damaged ({error})") from error
        for name, value in known.items():
            for told in [first[name], *(sums[name] for sums in found._sums.values())]:
                if told.shape != value.shape:
                    raise BadFile(
                        f"'{name}' has shape {tuple(told.shape)}, not {tuple(value.shape)}, in contributions of clients"
                    )
        return found

    def save(self, path: str | Path, **facts: str) -> None:
        """Write all of it as one safetensors file, whole or not at all; `facts` are kept beside it."""
        tensors, kept = self.tensors()
        write_weights(path, tensors, {"contributions": kept, **facts})

    @classmethod
    def load(cls, path: str | Path) -> tuple["Contributions", dict[str, str]]:
        """Read what :meth:`save` or :meth:`Snapshot.save` has written, and the facts beside it.

        Raises:
            BadFile: if the file is missing, damaged, or something else.
        """
        tensors, facts = read_weights(path)
        if "contributions" not in facts:
            raise BadFile(f"{path} holds no contributions of clients; they are written by Contributions.save and Snapshot.save")
        kept = facts.pop("contributions")
        try:
            return cls.from_tensors(tensors, kept), facts
        except BadFile as error:
            raise BadFile(f"{path}: {error}; take an older copy of the file") from error

    def _tracked(self, model: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
        found = {}
        for name, shape in self.shapes.items():
            if name not in model:
                raise BadRequest(f"{where} '{name}' is missing; expected {', '.join(self.shapes)}")
            if model[name].shape != shape:
                raise BadRequest(f"{where} '{name}' has shape {tuple(model[name].shape)}, not {tuple(shape)}")
            found[name] = model[name].detach().cpu()
        return found

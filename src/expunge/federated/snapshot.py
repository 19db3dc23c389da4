"""A federation as one file: the model, how many rounds it has seen, and what each client has contributed until then.

A file that is written anew after each round is all that a server needs to go on after a crash, and all that is needed to take a
client out later. Sums and model come from the same round, because there is one file, and it is either whole or not there.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from expunge.errors import BadFile, BadSetting
from expunge.federated.contributions import Contributions
from expunge.storage import read_weights, write_weights


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a federation is after a round.

    Args:
        model: the global model, by name: parameters, and buffers if they are averaged too.
        contributions: what each client has changed in all rounds until then.
        round: the round after which this is the model; 0 before the first.

    Raises:
        BadSetting: if there is no model, or the round is negative.
    """

    model: dict[str, Tensor]
    contributions: Contributions
    round: int

    def __post_init__(self) -> None:
        if not self.model:
            raise BadSetting("a snapshot needs a model; there is no tensor")
        if self.round < 0:
            raise BadSetting(f"a snapshot's round is 0 or more, not {self.round}")

    def save(self, path: str | Path) -> None:
        """Write all of it as one safetensors file, whole or not at all; writing takes twice its size in memory besides."""
        tensors, kept = self.contributions.tensors()
        tensors |= {f"model {name}": value for name, value in self.model.items()}
        # safetensors sorts tensors, but a client that takes arrays as a list needs them in the model's order.
        write_weights(path, tensors, {"contributions": kept, "round": str(self.round), "model": json.dumps(list(self.model))})

    @classmethod
    def load(cls, path: str | Path) -> "Snapshot":
        """Read what :meth:`save` has written.

        Raises:
            BadFile: if the file is missing, damaged, or something else.
        """
        tensors, facts = read_weights(path)
        if not {"contributions", "round", "model"} <= facts.keys():
            raise BadFile(
                f"{path} is no snapshot of a federation; it is written by Snapshot.save, and by TrackingFedAvg after each round"
            )
        try:
            model = {name: tensors[f"model {name}"] for name in json.loads(facts["model"])}
            return cls(model, Contributions.from_tensors(tensors, facts["contributions"]), int(facts["round"]))
        except (BadFile, BadSetting, KeyError, TypeError, ValueError) as error:
            raise BadFile(
                f"{path} is a damaged snapshot of a federation ({error}); take an older copy of the file, or move it away and "
                "play the federation from its first round"
            ) from error

"""What the federated study compares: who leaves which federation, and by which methods.

Partition, client and attack are drawn anew for each seed. Who leaves is drawn among clients with at least as many examples as
the mean: a backdoor of smaller ones is often lost in the average, and a model that never learned it proves nothing. The
cut-off of ConDa follows from the contributions; its rule was chosen on draws of seeds 100 and up from other training rows
(6,000 to 26,000), and again, after two local epochs had taken the place of one, on draws of seeds 100 to 102 from those of
the quick budget, as were the learning rate of FedOSD and the rounds that FedEraser replays: more of each was better. Other
settings of rivals are the published ones; a later stop of PGA, and a smaller share that is subtracted, were no better.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import Accuracy, Audit, Backdoor, Clients, Distance, Membership, RunTime, ToW, Work
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.federated import Contributions, Federation, dirichlet, iid, pathological
from expunge.federated.attackers import backdoored, flipped, mistaken, opened_by_patch
from expunge.federated.client_split import leave, losses_of
from expunge.federated.history import History
from expunge.methods import (
    PGA,
    SSD,
    ConDa,
    ContinueWithout,
    FedEraser,
    FederatedRetrain,
    FedOSD,
    GradientAscent,
    Method,
    UpdateSubtraction,
    WeightNegation,
)
from expunge.optimizers import Optimizer
from expunge.split import Batches, Stream, stream_digest
from expunge.studies.comparison import ORIGINAL, Comparison, compare
from expunge.tasks import ClassificationTask

Partition = Literal["dirichlet", "iid", "pathological"]
Attack = Literal["backdoor", "flip", "none"]

BATCH, SMALL_BATCH, SMALL = 64, 16, 5_000  # examples in a batch; of data with fewer training examples than the last
FEWEST = 20  # examples that each client has at least
TARGET, SOURCE = 9, 7  # what the attacker wants to be answered; of which class, where labels are flipped
AUDITS: tuple[Audit, ...] = (
    Accuracy(),
    Backdoor(rounds=2),
    Clients(),
    Membership(),
    Distance(),
    ToW(),
    RunTime(),
    Work(),
)
METHODS: Mapping[str, Method] = {
    "conda": ConDa(),
    "conda-recovered": ConDa(rounds=1),
    "conda-tukey": ConDa(fence=1.5),
    "conda-released": ConDa(alpha=0.4, direction="released-code"),
    "continue-without": ContinueWithout(rounds=3),
    "fed-eraser": FedEraser(every=1),
    "pga": PGA(rounds=3),
    "weight-negation": WeightNegation(rounds=3),
    "fed-osd": FedOSD(learning_rate=0.5, rounds=3),
    "update-subtraction": UpdateSubtraction(rounds=3),
    "ssd": SSD(),
    "gradient-ascent": GradientAscent(),
}


class Drawn(NamedTuple):
    """One seed's federation, who leaves it, their own data, unseen data, and what an attack wants of these."""

    federation: Federation
    leaving: tuple[str, ...]
    clean: Stream
    holdout: Stream
    wanted: Stream


@dataclass(frozen=True, eq=False)
class FederatedScenario:
    """One federation that a client leaves.

    Args:
        title: names the case in reports, and its folder.
        task: how the model is read.
        train, holdout: what is dealt out to clients, and what nobody has.
        partition: how it is dealt out.
        alpha: of "dirichlet".
        clients: how many there are.
        leaving: how many of them leave.
        attack: what those who leave are out for.
        rounds: of the original.
        local_epochs: of a client in a round.
        learning_rate: of clients' SGD.
    """

    title: str
    task: ClassificationTask
    train: TensorDataset
    holdout: TensorDataset
    partition: Partition = "dirichlet"
    alpha: float = 0.5
    clients: int = 10
    leaving: int = 1
    attack: Attack = "backdoor"
    rounds: int = 15
    local_epochs: int = 2
    learning_rate: float = 0.05
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)

    @property
    def forgotten(self) -> str:
        """What must go, for people."""
        who = "a client" if self.leaving == 1 else f"{self.leaving} clients"
        does = {"backdoor": " with a backdoor", "flip": " with flipped labels", "none": ""}[self.attack]
        return f"{who} of {self.clients}{does}; {len(self.train):,} training examples in all"

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        return self.methods

    def with_rows(self, rows: Mapping[str, Any]) -> "FederatedScenario":
        """The same with other rows."""
        return replace(self, methods=rows)

    def draw(self, seed: int) -> Drawn:
        """The federation of one seed, and who leaves."""
        labels = self.train.tensors[1].numpy()
        parts = self._parts(labels, seed)
        large = [place for place, rows in enumerate(parts) if len(rows) * len(parts) >= len(labels)]
        order = np.random.default_rng(seed).permutation(large)
        if len(order) < self.leaving:
            raise BadSetting(f"only {len(order)} clients have as many examples as the mean, so {self.leaving} can't leave")
        goes = sorted(int(place) for place in order[: self.leaving])
        own = [TensorDataset(*(values[torch.as_tensor(rows)] for values in self.train.tensors)) for rows in parts]
        data = [self._attacked(each, seed) if place in goes else each for place, each in enumerate(own)]
        federation = Federation(
            {f"client-{place}": Batches(each, self._batch) for place, each in enumerate(data)},
            rounds=self.rounds,
            local_epochs=self.local_epochs,
            optimizer=self._optimizer,
        )
        rows = np.sort(np.concatenate([parts[place] for place in goes]))
        wanted = self._wanted()
        return Drawn(
            federation,
            tuple(f"client-{place}" for place in goes),
            Batches(self.train, BATCH, rows.tolist()),
            Batches(self.holdout, 500),
            () if wanted is None else Batches(wanted, 500),
        )

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Play the original's rounds, play them twice without who leaves, unlearn by every method and audit all."""
        drawn = self.draw(engine.seed)
        with engine.scope("".join(letter if letter.isalnum() else "-" for letter in self.title)):
            say(f"{self.title}: playing {self.rounds} rounds of {self.clients} clients")
            loss, history = losses_of(self.task), History()
            model = engine.new_model(self.task.new_model)
            contributions = Contributions(dict(model.named_parameters()))

            def play() -> nn.Module:
                return drawn.federation.play(model, loss, engine, (contributions.watch, history.watch))

            data = " ".join(stream_digest(stream) for stream in drawn.federation.clients.values())
            how = f"{self.rounds} rounds of {self.local_epochs} epochs by {self._optimizer!r}"
            original, seconds = engine.make(ORIGINAL, play, model, f"{how} on {data} seed {engine.seed}")
            if not history.rounds:  # the model was there already; the same rounds, played again, give what was recorded
                with engine.scope(ORIGINAL):  # as when it was made: draws depend on it
                    play()
            split = leave(
                drawn.federation,
                drawn.leaving,
                drawn.holdout,
                clean=drawn.clean,
                contributions=contributions,
                history=history,
                wanted=drawn.wanted,
            )
            say(f"{self.title}: playing again twice without {', '.join(drawn.leaving)}, {len(self.methods)} methods, audits")
            return compare(
                original,
                self.task,
                split,
                self.methods,
                engine,
                retrain=FederatedRetrain(),
                audits=AUDITS,
                original_seconds=seconds,
            )

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        network = self.task.new_model()
        return {
            "network": f"{type(network).__name__}, {sum(each.numel() for each in network.parameters()):,} parameters",
            "partition": f"{self.partition}, alpha {self.alpha:g}" if self.partition == "dirichlet" else self.partition,
            "clients": self.clients,
            "rounds": self.rounds,
            "local training": f"{self.local_epochs} epochs, {self._optimizer!r}, batches of {self._batch}",
            "attack": self.attack,
            "methods": {name: repr(method) for name, method in self.methods.items()},
        }

    @property
    def _optimizer(self) -> Optimizer:
        return Optimizer("sgd", self.learning_rate, momentum=0.9)

    @property
    def _batch(self) -> int:
        return BATCH if len(self.train) >= SMALL else SMALL_BATCH

    def _parts(self, labels: Any, seed: int) -> list[Any]:
        if self.partition == "dirichlet":
            return dirichlet(labels, self.clients, self.alpha, fewest=FEWEST, seed=seed)
        if self.partition == "pathological":
            return pathological(labels, self.clients, 2, seed=seed)
        return iid(len(labels), self.clients, seed=seed)

    def _attacked(self, data: TensorDataset, seed: int) -> TensorDataset:
        if self.attack == "backdoor":
            return backdoored(data, TARGET, seed=seed)
        return flipped(data, SOURCE, TARGET) if self.attack == "flip" else data

    def _wanted(self) -> TensorDataset | None:
        if self.attack == "backdoor":
            return opened_by_patch(self.holdout, TARGET)
        return mistaken(self.holdout, SOURCE, TARGET) if self.attack == "flip" else None

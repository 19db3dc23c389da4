"""Unlearning in a federation: a client leaves, and what it alone has taught must go.

Data: MNIST, the first 6,000 training images (quick) or 20,000 (full), dealt out to 10 clients; a small convolutional network,
15 rounds. Who leaves has taught the model a backdoor. `quick` has two partitions, Dirichlet 0.5 and 0.1; `full` adds equal
shares, two classes for each client, two clients at once, flipped labels, and CIFAR-10 with a narrow ResNet-18.

    expunge study federated --partition iid --attack flip
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from torch.utils.data import TensorDataset

from expunge import models
from expunge.data import Source, available, classes_of, load
from expunge.errors import BadSetting
from expunge.studies.federated_scenarios import Attack, FederatedScenario, Partition
from expunge.studies.study import Budget, ComparisonStudy, Plan
from expunge.tasks import ClassificationTask

ROWS = {"quick": (6_000, 5_000), "full": (20_000, 10_000)}  # of the training and of the holdout set
SECOND_DATA, SECOND_ROWS = "cifar10", (10_000, 4_000)
SECOND_WIDTH = 0.125  # of ResNet-18


@dataclass(frozen=True)
class FederatedStudy(ComparisonStudy):
    """See the module. With `partition`, `alpha` or `attack` there is one case.

    Args:
        partition: "dirichlet", "iid" or "pathological" (two classes for each client).
        alpha: of "dirichlet".
        attack: what the client who leaves is out for: "backdoor", "flip" (it calls one class another) or "none".
        clients: how many there are; 10 when None.
    """

    partition: str | None = None
    alpha: float | None = None
    attack: str | None = None
    clients: int | None = None

    default_data: ClassVar[str] = "mnist"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        source, note = _found(data or self.default_data, ROWS[budget], asked=data is not None)
        scenarios, notes = list(self.scenarios(source, budget)), [note]
        if budget == "full" and data is None and not self._one:
            second, note = _second()
            scenarios += second
            notes.append(note)
        for scenario in scenarios:
            scenario.draw(0)  # what cannot be dealt out is refused before anything is trained
        return Plan(
            source.name,
            scenarios,
            {"budget": budget},
            [each for each in notes if each],
            scenarios[0].task.new_model(),
        )

    @property
    def _one(self) -> bool:
        """Whether the options ask for a single case."""
        return any(each is not None for each in (self.partition, self.alpha, self.attack))

    def scenarios(self, source: Source, budget: Budget) -> Sequence[FederatedScenario]:
        """The cases on some data."""
        task, clients = _task(source), 10 if self.clients is None else self.clients
        if clients < 2:
            raise BadSetting(f"study federated: --clients must be at least 2, not {clients}")

        def case(title: str, **settings: Any) -> FederatedScenario:
            return FederatedScenario(
                title, task, _tensors(source, "train"), _tensors(source, "holdout"), clients=clients, **settings
            )

        if self._one:
            partition, attack = self.partition or "dirichlet", self.attack or "backdoor"
            if partition not in get_args(Partition):
                raise BadSetting(f"study federated: --partition is {', '.join(get_args(Partition))}, not {partition!r}")
            if attack not in get_args(Attack):
                raise BadSetting(f"study federated: --attack is {', '.join(get_args(Attack))}, not {attack!r}")
            if self.alpha is not None and partition != "dirichlet":
                raise BadSetting(f"study federated: --alpha is for --partition dirichlet, not for {partition}")
            alpha = 0.5 if self.alpha is None else self.alpha
            title = f"Dirichlet {alpha:g}" if partition == "dirichlet" else TITLES[partition]
            more = {"backdoor": "", "flip": ", flipped labels", "none": ", no attack"}[attack]
            return [case(title + more, partition=partition, alpha=alpha, attack=attack)]
        found = [case("Dirichlet 0.5"), case("Dirichlet 0.1", alpha=0.1)]
        if budget == "full":
            found += [
                case(TITLES["iid"], partition="iid"),
                case(TITLES["pathological"], partition="pathological"),
                case("Dirichlet 0.5, two clients", leaving=2),
                case("Dirichlet 0.5, flipped labels", attack="flip"),
            ]
        return found


TITLES = {"iid": "equal shares", "pathological": "two classes each"}


def _second() -> tuple[list[FederatedScenario], str]:
    if not available(SECOND_DATA):
        return [], f"{SECOND_DATA} was not found (EXPUNGE_DATA), and was left out."
    source, _ = _found(SECOND_DATA, SECOND_ROWS, asked=True)
    task = _task(source, "resnet18", width=SECOND_WIDTH)
    train, holdout = _tensors(source, "train"), _tensors(source, "holdout")
    return [FederatedScenario(f"Dirichlet 0.5 of {source.name}", task, train, holdout)], ""


def _task(source: Source, network: str | None = None, **arguments: Any) -> ClassificationTask:
    names = tuple(source.classes or classes_of(source.train))
    factory = models.build(network or "small-cnn", source, **arguments)
    return ClassificationTask(factory, len(names), names)


def _found(name: str, rows: tuple[int, int], asked: bool) -> tuple[Source, str]:
    """The data, cut to so many rows, and what is to be said of it."""
    if not asked and not available(name):
        return load("digits"), (
            f"{name} was not found (EXPUNGE_DATA), so the embedded digits were used; figures on them mean less."
        )
    source = load(name)
    fewer = {part: count for part, count in zip(("train", "holdout"), rows, strict=True) if len(_tensors(source, part)) > count}
    return (load(name, **fewer) if fewer else source), source.note  # type: ignore[arg-type]


def _tensors(source: Source, part: str) -> TensorDataset:
    data = getattr(source, part)
    if not isinstance(data, TensorDataset) or data.tensors[0].ndim != 4:
        raise BadSetting(f"study federated: it deals out images that lie in memory; {source.name} is something else")
    return data

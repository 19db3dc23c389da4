"""Continual learning and unlearning: a classifier to which new classes come, and from which some must go again.

Data: MNIST in five tasks of two digits, 1,500 images of each digit at 14x14 pixels, and a small convolutional network. `quick`
has one stream of requests, L1 L2 L3 L4 U2 U4 L5, and a memory of 200 images; `full` adds one of 500, two other streams, single
samples that go, and CIFAR-10 with a narrow ResNet-18.

    expunge study continual --requests "L1 L2 U1 L3" --memory 100
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch.utils.data import TensorDataset

from expunge import models
from expunge.data import Source, available, classes_of, load
from expunge.errors import BadSetting
from expunge.studies.continual_scenarios import ContinualScenario, halved, learners
from expunge.studies.study import Budget, ComparisonStudy, Plan
from expunge.tasks import ClassificationTask

REQUESTS, MEMORY, TASKS = "L1 L2 L3 L4 U2 U4 L5", 200, 5
OTHERS = ("L1 L2 U1 L3 L4 U3 L5", "L1 L2 L3 L4 L5 U1 U4")
SAMPLES = "L1 L2 L3 L4 U2:0.1 L5"
LARGE_SIDE = 28  # of images that are halved
SECOND_DATA, SECOND_SAMPLES, SECOND_WIDTH = "cifar10", (1_000, 400), 0.25
SECOND_ROWS = ("uniclun", "uniclun-published", "der++-bad-teacher", "der++-scrub", "er-bad-teacher", "joint")


@dataclass(frozen=True)
class ContinualStudy(ComparisonStudy):
    """See the module. With `requests` or `memory` there is one case.

    Args:
        requests: in words: L1 learns task 1, U1 forgets it, U1:0.1 forgets a tenth of its samples.
        memory: images, with logits, whose bytes every learner's memory has.
    """

    requests: str | None = None
    memory: int | None = None

    default_data: ClassVar[str] = "mnist"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        source, note = _found(data or self.default_data, asked=data is not None)
        scenarios, notes = list(self.scenarios(source, budget)), [note, source.note]
        if budget == "full" and data is None and self.requests is None and self.memory is None:
            second, note = _second()
            scenarios += second
            notes.append(note)
        return Plan(
            source.name,
            scenarios,
            {"budget": budget},
            [each for each in notes if each],
            scenarios[0].task.new_model(),
        )

    def scenarios(self, source: Source, budget: Budget) -> Sequence[ContinualScenario]:
        """The cases on some data."""
        memory = MEMORY if self.memory is None else self.memory
        if memory < 1:
            raise BadSetting(f"study continual: --memory must be at least 1, not {memory}")

        def case(requests: str, memory: int) -> ContinualScenario:
            task, train, holdout = _task(source)
            return ContinualScenario(f"{requests}, memory {memory}", task, train, holdout, requests, TASKS, memory)

        found = [case(self.requests or REQUESTS, memory)]
        if budget == "full" and self.requests is None and self.memory is None:
            found += [case(REQUESTS, 500), *(case(requests, MEMORY) for requests in (*OTHERS, SAMPLES))]
        for each in found:
            each.draw(0)  # requests that make no sense are refused before anything is learned
        return found


def _second() -> tuple[list[ContinualScenario], str]:
    if not available(SECOND_DATA):
        return [], f"{SECOND_DATA} was not found (EXPUNGE_DATA), and was left out."
    source = load(SECOND_DATA)
    task, train, holdout = _task(source, "resnet18", width=SECOND_WIDTH)
    few = {name: each for name, each in learners(epochs=5, view="shift-flip").items() if name in SECOND_ROWS}
    title = f"{REQUESTS}, memory {MEMORY}, {source.name}"
    case = ContinualScenario(title, task, train, holdout, REQUESTS, TASKS, MEMORY, SECOND_SAMPLES, few)
    return [case], source.note


def _task(
    source: Source, network: str = "norm-cnn", **arguments: Any
) -> tuple[ClassificationTask, TensorDataset, TensorDataset]:
    """How networks are read, what there is to learn, and what nobody learns; images of digits at half their size."""
    train, holdout = (_tensors(source, part) for part in ("train", "holdout"))
    if network == "norm-cnn" and train.tensors[0].shape[-1] >= LARGE_SIDE:
        train, holdout = (TensorDataset(halved(data.tensors[0]), data.tensors[1]) for data in (train, holdout))
    names = tuple(source.classes or classes_of(source.train))
    factory = models.build(network, (tuple(train.tensors[0].shape[1:]), names), **arguments)
    return ClassificationTask(factory, len(names), names), train, holdout


def _found(name: str, asked: bool) -> tuple[Source, str]:
    """The data, and what is to be said of it."""
    if not asked and not available(name):
        return load("digits"), (
            f"{name} was not found (EXPUNGE_DATA), so the embedded digits were used; figures on them mean less."
        )
    return load(name), ""


def _tensors(source: Source, part: str) -> TensorDataset:
    data = getattr(source, part)
    if not isinstance(data, TensorDataset) or data.tensors[0].ndim != 4:
        raise BadSetting(f"study continual: it deals out images that lie in memory; {source.name} is something else")
    return data

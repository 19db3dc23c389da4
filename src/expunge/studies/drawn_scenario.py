"""One case of a study in which each seed draws anew what is held out and what must go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from expunge.audits import Audit
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.split import Split
from expunge.studies.comparison import Comparison, Forgets, compare, trained
from expunge.tasks import Task


@dataclass(frozen=True, eq=False)
class DrawnScenario:
    """One request to a model that is trained for it.

    Args:
        title: names the case in reports, and its folder.
        network: what it is called, and how large it is.
        task: how the model is read.
        recipe: of the original and of the retrained models.
        methods: by the name of their row.
        draw: for a seed, the stream that the original is trained on, and the split.
        forgotten: what must go, for people.
        audits: what is asked of all; every audit that works on the task when None.
    """

    title: str
    network: str
    task: Task[Any]
    recipe: Retrain
    methods: Mapping[str, Forgets]
    draw: Callable[[int], tuple[Any, Split]]
    forgotten: str
    audits: Sequence[Audit] | None = None

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        return self.methods

    def with_rows(self, rows: Mapping[str, Any]) -> "DrawnScenario":
        """The same with other rows."""
        return replace(self, methods=rows)

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Train the original, retrain twice, unlearn by every method and audit all."""
        everything, split = self.draw(engine.seed)
        with engine.scope("".join(letter if letter.isalnum() else "-" for letter in self.title)):
            say(f"{self.title}: training the original")
            original, seconds = trained(self.task, everything, self.recipe, engine)
            say(f"{self.title}: retraining twice, {len(self.methods)} methods, audits")
            return compare(
                original,
                self.task,
                split,
                self.methods,
                engine,
                retrain=self.recipe,
                audits=self.audits,
                original_seconds=seconds,
            )

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        return {
            "network": self.network,
            "recipe": repr(self.recipe),
            "methods": {name: repr(method) for name, method in self.methods.items()},
            **({"reading": self.task.reading} if self.task.reading else {}),
            **({"audits": list(map(repr, self.audits))} if self.audits is not None else {}),
        }


def described(network: str, factory: Callable[[], nn.Module]) -> str:
    """A network's name and size."""
    return f"{network}, {sum(parameter.numel() for parameter in factory().parameters()):,} parameters"

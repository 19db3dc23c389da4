"""Relearned half: does training on some of what was forgotten bring back the rest?

    train a copy on half of the facts to forget (and on what stays),      ask for the other half;      both halves in turn

What is gone has to be told anew, fact by fact; what was only pushed down comes back with its neighbours. The half that was
trained on shows that the attack works. How much comes back depends on how long and how fast the copy is trained: too little
brings back nothing of any model, and so the strength stands with the figure. The retrained model's value is the ideal, since a
model that learns the ways of asking answers better by chance.

References: A. Deeb, F. Roger. "Do Unlearning Methods Remove Information from Language Model Weights?", 2024, arXiv 2410.08827;
S. Hu, Y. Fu, Z. S. Wu, V. Smith. "Unlearning or Obfuscating? Jogging the Memory of Unlearned LLMs via Benign Relearning", ICLR
2025, arXiv 2406.13356.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from expunge.audits.audit import Figure, References, Subject
from expunge.audits.language_audit import LanguageAudit, Values, answers_of, in_other_words, share
from expunge.data.facts import Fact
from expunge.errors import BadSetting, Diverged
from expunge.language.adapters import merged
from expunge.language.fact_split import FactSplit, questions_of
from expunge.optimizers import Optimizer
from expunge.split import Batches, Pair, is_empty, paired
from expunge.tasks import LanguageTask

_COPIES = "copies"


@dataclass(frozen=True)
class RelearnedHalf(LanguageAudit):
    """Train a copy on one half, test the other.

    Args:
        steps: of training, for each half.
        optimizer: fresh for each half, of all weights.
        batch_size: questions to forget in a step, and as many retained ones.
    """

    steps: int = 40
    optimizer: Optimizer = Optimizer("adam", 1e-3)
    batch_size: int = 16

    figures: ClassVar[Mapping[str, str]] = {
        "relearned_others": "share of questions on facts to forget that are answered after training on other such facts; "
        "ideal: the retrained model's",
        "relearned_same": "share of questions on facts to forget that are answered after training on these facts; "
        "ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise BadSetting(f"relearned-half needs steps and a batch_size from 1 on, not {self.steps} and {self.batch_size}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        rate = f"{self.optimizer.kind}, learning rate {self.optimizer.learning_rate:g}"
        strength = f"after {self.steps} steps ({rate}, {self.batch_size} questions to forget and as many retained ones)"
        found = super().examine(subject, references)
        return {name: each if each.value is None else replace(each, note=strength) for name, each in found.items()}

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        if len(split.goes) < 2:
            return dict.fromkeys(self.figures, "there are not two facts to forget, of which one could bring back the other")
        if is_empty(split.retain):
            return dict.fromkeys(self.figures, "there is no retained fact to train on beside those to forget")
        halves = split.goes[::2], split.goes[1::2]
        others, same = list[bool](), list[bool]()
        for number, (trained, rest) in enumerate((halves, halves[::-1]), start=1):
            try:
                with subject.engine.scope(_COPIES):
                    model = self._relearned(subject, task, split, trained, f"half-{number}")
            except Diverged as error:
                return dict.fromkeys(self.figures, f"training on half of the facts failed: {error}")
            finally:
                subject.engine.discard(_COPIES)  # no checkpoint that knows again what had to go is left behind
            same += answers_of(model, task, split, in_other_words(trained))
            others += answers_of(model, task, split, in_other_words(rest))
        return {"relearned_others": share(others, ""), "relearned_same": share(same, "")}

    def _relearned(
        self, subject: Subject, task: LanguageTask, split: FactSplit, half: tuple[Fact, ...], name: str
    ) -> nn.Module:
        """A copy of the subject's model that was trained on some facts to forget, with retained ones in each step."""

        def losses(model: nn.Module, batch: Any) -> Tensor:
            return task.losses(task.outputs(model, batch), batch)

        def loss(model: nn.Module, pair: Pair) -> dict[str, Tensor]:
            return {"forget": losses(model, pair.forget), "retain": losses(model, pair.retain)}

        goes = split.batches(task.encode(questions_of(half)), self.batch_size)
        stays = split.retain.with_batch_size(self.batch_size) if isinstance(split.retain, Batches) else split.retain
        copy = merged(subject.model).to(subject.engine.device).requires_grad_(True)
        stream = paired(goes, stays, "forget")
        return subject.engine.fit(copy, loss, stream, steps=self.steps, optimizer=self.optimizer, name=name)

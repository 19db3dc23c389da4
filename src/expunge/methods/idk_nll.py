"""IdkNLL: teach the model to say that it doesn't know.

    min  mean l(refusal | question) over what goes + retain_weight * loss on what stays

l is the negative log-likelihood of an answer, mean over its tokens. Each question of each fact gets one of the refusals of
:mod:`expunge.language.refusals`, drawn once. Nothing pushes the true answer away: it is still there behind the refusal.

Reference: P. Maini, Z. Feng, A. Schwarzschild, Z. C. Lipton, J. Z. Kolter. "TOFU: A Task of Fictitious Unlearning for LLMs",
COLM 2024, arXiv 2401.06121, with refusals of its own.
Needs: facts to forget and to keep. Costs: `epochs` passes over the questions on what goes, with as many retain batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from expunge.engine import Engine
from expunge.language.fact_split import FactSplit, questions_of
from expunge.language.refusals import REFUSALS
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.split import Batches, Split
from expunge.tasks import LanguageTask, Task


@dataclass(frozen=True)
class IdkNLL(LanguageMethod):
    """Train on refusals."""

    splits = FactSplit
    why_not: ClassVar[str] = "it answers questions on facts with refusals; say which with expunge.language.fact_split"

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        return task.losses(task.outputs(model, batch), batch)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask) and isinstance(split, FactSplit)
        questions = [question for question, _ in questions_of(split.goes)]
        refused = task.encode(zip(questions, drawn_refusals(len(questions), engine), strict=True))
        return super().unlearn(student, task, replace(split, forget=Batches(refused, self.batch_size)), engine)


def drawn_refusals(count: int, engine: Engine) -> Sequence[str]:
    """So many refusals, drawn with the engine's seed."""
    drawn = torch.randint(len(REFUSALS), (count,), generator=engine.generator("refusals"))
    return [REFUSALS[place] for place in drawn.tolist()]

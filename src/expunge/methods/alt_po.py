"""AltPO: prefer another answer of the same kind to the true one.

    min  -(2 / beta) * mean log sigmoid( beta * [ (L_0(w) - L(w)) - (L_0(l) - L(l)) ] ) + retain_weight * loss on what stays

L is the negative log-likelihood of a whole answer, L_0 that of the model before; w is an alternative answer and l the true one.
Each question of each fact stands beside each of its `alternatives`, so that none of them becomes the new truth. The paper
samples them from the model at temperature 1, told to make something up; here a generator of
:mod:`expunge.language.generators` makes them, and those that hold the true answer or nearly do are left out.

Reference: A. Mekala, V. Dorna, S. Dubey, A. Lalwani, D. Koleczek, M. Rungta, S. Hasan, E. Lobo. "Alternate Preference
Optimization for Unlearning Factual Knowledge in Large Language Models", COLING 2025, arXiv 2409.13474.
Needs: facts to forget and to keep, and a generator of wrong answers. Costs: `epochs` passes over the questions on what goes
with each alternative, two answers each, with as many retain batches, and one pass forward of the model before.

What comes out asserts falsehoods: take idk-dpo for people who live.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from expunge.engine import Engine
from expunge.language.anti_samples import AntiSamples, Policy
from expunge.language.fact_split import FactSplit
from expunge.language.generators import Generator
from expunge.methods.idk_dpo import margins, preference, with_losers
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.split import Split
from expunge.tasks import LanguageTask, Task


@dataclass(frozen=True)
class AltPO(LanguageMethod):
    """Direct preference optimization, with alternative answers as winners.

    Args:
        epochs: passes over all pairs of question and alternative.
        beta: how soon the push fades, > 0.
        alternatives: wrong answers of each fact, at most.
        generator: "auto" takes wrong answers from the facts and makes those that they lack by templates; "fields",
            "templates" or "model" take one of these, or the model itself before unlearning; or any generator.
    """

    epochs: int = 10
    beta: float = 0.1
    alternatives: int = 5
    generator: Literal["auto", "fields", "templates", "model"] | Generator = "auto"

    splits = FactSplit
    why_not: ClassVar[str] = "it answers questions on facts otherwise; say which with expunge.language.fact_split"
    wrong_answers: ClassVar[Policy] = "pool"  # what AntiSamples asks of those whom it serves
    rationale: ClassVar[bool] = False
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "arbitrary_types_allowed": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.beta > 0, f"beta must be above 0, not {self.beta}")
        self.require(self.alternatives >= 1, f"alternatives must be 1 or more, not {self.alternatives}")

    @property
    def wrong(self) -> int:
        """What :class:`~expunge.language.anti_samples.AntiSamples` calls the number of alternatives."""
        return self.alternatives

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """Of a batch of :func:`~expunge.methods.idk_dpo.with_losers`."""
        return preference(margins(model, batch, task), batch[6], self.beta)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask) and isinstance(split, FactSplit)
        if self.epochs == 0:
            return student
        anti = AntiSamples.of(self, task, split, engine, student)
        rows = [
            (question, other, fact.answer)
            for fact in split.goes
            for other in anti.wrong_answers(fact)
            for question in fact.questions
        ]
        pairs = with_losers(rows, task, Reference(student, self.lora), self.batch_size)
        return super().unlearn(student, task, replace(split, forget=pairs), engine)

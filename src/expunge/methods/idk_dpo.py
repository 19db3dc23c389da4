"""IdkDPO: prefer a refusal to the true answer.

    min  -(2 / beta) * mean log sigmoid( beta * [ (L_0(w) - L(w)) - (L_0(l) - L(l)) ] ) + retain_weight * loss on what stays

L is the negative log-likelihood of a whole answer, L_0 that of the model before; w, the winner, is a refusal, and l, the loser,
the true answer. Each question of each fact gets one refusal, drawn once. The factor 2 is that of NPO, which is this without w.

Reference: R. Rafailov, A. Sharma, E. Mitchell, S. Ermon, C. D. Manning, C. Finn. "Direct Preference Optimization: Your Language
Model is Secretly a Reward Model", NeurIPS 2023, arXiv 2305.18290; for unlearning in P. Maini, Z. Feng, A. Schwarzschild, Z. C.
Lipton, J. Z. Kolter. "TOFU: A Task of Fictitious Unlearning for LLMs", COLM 2024, arXiv 2401.06121.
Needs: facts to forget and to keep. Costs: `epochs` passes over the questions on what goes, each with two answers, with as many
retain batches, and one pass forward of the model before.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.language.fact_split import FactSplit, questions_of
from expunge.methods.idk_nll import drawn_refusals
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.split import Batches, Split
from expunge.tasks import LanguageTask, Task


@dataclass(frozen=True)
class IdkDPO(LanguageMethod):
    """Direct preference optimization, with refusals as winners.

    Args:
        beta: how soon the push fades, > 0.
    """

    beta: float = 0.1

    splits = FactSplit
    why_not: ClassVar[str] = "it answers questions on facts with refusals; say which with expunge.language.fact_split"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.beta > 0, f"beta must be above 0, not {self.beta}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """Of a batch of :func:`with_losers`."""
        return preference(margins(model, batch, task), batch[6], self.beta)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask) and isinstance(split, FactSplit)
        if self.epochs == 0:
            return student
        asked = list(questions_of(split.goes))
        rows = [
            (question, refusal, answer)
            for (question, answer), refusal in zip(asked, drawn_refusals(len(asked), engine), strict=True)
        ]
        pairs = with_losers(rows, task, Reference(student, self.lora), self.batch_size)
        return super().unlearn(student, task, replace(split, forget=pairs), engine)


def with_losers(rows: Iterable[tuple[str, str, str]], task: LanguageTask, reference: Reference, batch_size: int) -> Batches:
    """Questions with a winner and a loser each: batches of seven tensors.

    Args:
        rows: question, winner, loser.

    Returns:
        batches of the question with its winner, `ids`, `mask` and `labels`; the same with its loser; and the margin of the two
        under the model before, shape (n,).
    """
    rows = list(rows)
    winners = task.encode((question, winner) for question, winner, _ in rows)
    losers = task.encode((question, loser) for question, _, loser in rows)
    won, lost = (Batches(data, 2 * batch_size) for data in (winners, losers))

    def before(model: nn.Module) -> Tensor:
        return task.collect(model, won, task.log_likelihoods) - task.collect(model, lost, task.log_likelihoods)

    return Batches(TensorDataset(*winners.tensors, *losers.tensors, reference.ask(before)), batch_size)


def margins(model: nn.Module, batch: Any, task: LanguageTask) -> Tensor:
    """L(l) - L(w) of a batch of :func:`with_losers`, in nats: by how much the winner is likelier. Shape (n,)."""
    won, lost = (task.log_likelihoods(task.outputs(model, part), part) for part in (batch[:3], batch[3:6]))
    return won - lost


def preference(now: Tensor, before: Tensor, beta: float) -> Tensor:
    """-(2 / beta) log sigmoid(beta (m - m_0)) of margins m = L(l) - L(w), in nats: shape (n,).

    >>> import torch
    >>> preference(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 3.0]), 1.0).round(decimals=4)  # 2 log 2 at first
    tensor([1.3863, 0.2539])
    """
    return -2 / beta * F.logsigmoid(beta * (now - before))

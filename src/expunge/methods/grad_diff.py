"""GradDiff: climb the loss of what must go and descend that of what stays, in the same step.

    min  -l_f + retain_weight * R,     R = l_r ("loss")  or  KL(p_before || p) on what stays ("kl")

l is the negative log-likelihood of an answer, mean over its tokens. With "kl" this is the KL minimisation that the second paper
holds beside it: what stays is to be said as the model before said it, and not as it is true. Like gradient ascent the first
term has no floor: a `loss_cap` gives it one.

Reference: B. Liu, Q. Liu, P. Stone. "Continual Learning and Private Unlearning", CoLLAs 2022, arXiv 2203.12817; as both are set
for language models in P. Maini, Z. Feng, A. Schwarzschild, Z. C. Lipton, J. Z. Kolter. "TOFU: A Task of Fictitious Unlearning
for LLMs", COLM 2024, arXiv 2401.06121.
Needs: forget and retain data. Costs: `epochs` passes over the forget data with as many retain batches, and with "kl" one pass
forward of the model before over the latter.
"""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from expunge.methods.gradient_ascent import capped
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class GradDiff(LanguageMethod):
    """Gradient ascent with a retain term.

    Args:
        retain: the "loss" on what stays, or "kl" for how far its answers are from those before.
        loss_cap: answers with a loss above it, in nats per token, are left alone; None, as published, for no cap.
    """

    retain: Literal["loss", "kl"] = "loss"
    loss_cap: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.retain in ("loss", "kl"), f"retain must be 'loss' or 'kl', not {self.retain!r}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        return -capped(task.losses(task.outputs(model, batch), batch), self.loss_cap)

    def retain_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        if self.retain == "loss":
            return super().retain_losses(model, batch, task, reference)
        before = reference.ask(lambda each: task.outputs(each, batch))
        return task.divergence(task.outputs(model, batch), before)

"""Rounding: does what was forgotten come back when the weights are rounded to 4 bits, as they are to save memory?

    w -> nearest of 15 values of its row,      then the questions on what goes, and some on what stays, are asked again

Methods that move weights a little may move none of them across the border between two such values: then the model that is put
to use is the one from before. What stays shows how much of what is not answered is the damage of rounding itself.

Reference: Z. Zhang, F. Wang, X. Li, Z. Wu, X. Tang, H. Liu, Q. He, W. Yin, S. Wang. "Catastrophic Failure of LLM Unlearning via
Quantization", ICLR 2025, arXiv 2410.16454.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Subject
from expunge.audits.language_audit import (
    NOTHING_GOES,
    LanguageAudit,
    Values,
    answers_of,
    by_nearness,
    in_other_words,
    in_seen_words,
    share,
    some_of,
)
from expunge.errors import BadSetting
from expunge.language.adapters import merged
from expunge.language.fact_split import FactSplit
from expunge.language.rounding import round_linear_layers
from expunge.tasks import LanguageTask


@dataclass(frozen=True)
class Rounding(LanguageAudit):
    """Round a copy, and ask.

    Args:
        bits: of each weight of the linear layers but the last, from 2 on.
        general: facts that are far from what goes to ask for, at most; drawn, the same ones for every model.
    """

    bits: int = 4
    general: int = 60

    figures: ClassVar[Mapping[str, str]] = {
        "rounded_seen": "share of questions on facts to forget that are answered once the weights are rounded; "
        "ideal: the retrained model's",
        "rounded_general": "share of questions answered on retained facts that are not near, once the weights are rounded; "
        "ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        if self.bits < 2 or self.general < 1:
            raise BadSetting(f"rounding needs bits >= 2 and general >= 1, not {self.bits} and {self.general}")

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        copy = merged(subject.model)
        if not round_linear_layers(copy, self.bits):
            return dict.fromkeys(self.figures, "the model has no linear layer to round")
        seen = answers_of(copy, task, split, in_seen_words(split.goes))
        far = some_of(by_nearness(split)["other"], self.general)
        general = answers_of(copy, task, split, in_other_words(far))
        return {
            "rounded_seen": share(seen, NOTHING_GOES),
            "rounded_general": share(general, "no retained fact is of this kind: general"),
        }

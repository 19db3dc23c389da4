"""Balance: forgetting, what it cost beside, how well it lasts, and whether the model still speaks, in one figure.

    harmonic mean of   1 - answered of what goes, in words that no method saw,
                       answered of what stays (mean of same subject, same object, general),
                       1 - brought back by training on other facts that had to go,
                       fluency

It is near the worst of the four and 0 if one is 0: nobody gains by forgetting all, or by forgetting nothing.

Reference: the harmonic mean of criteria as in Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught
Anti-Sample Reasoning for LLMs", TMLR 2025, arXiv 2410.17050; the criteria are ours, and not scaled by the best method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, harmonic_mean
from typing import ClassVar

from expunge.audits.audit import Subject
from expunge.audits.facts import Facts
from expunge.audits.language_audit import LanguageAudit, Values
from expunge.audits.relearned_half import RelearnedHalf
from expunge.language.fact_split import FactSplit
from expunge.tasks import LanguageTask

_STAYS = ("facts_same_subject", "facts_same_object", "facts_general")


@dataclass(frozen=True)
class Balance(LanguageAudit):
    """One figure for ranking. Kept values of the other audits are used.

    Args:
        facts: how questions are asked.
        relearned: how the rest is brought back.
    """

    facts: Facts = Facts()
    relearned: RelearnedHalf = RelearnedHalf()

    figures: ClassVar[Mapping[str, str]] = {
        "balance": "harmonic mean of forgetting, keeping, lasting and fluency; ideal: the retrained model's"
    }

    def values(self, subject: Subject, task: LanguageTask, split: FactSplit) -> Values:
        with subject.engine.scope("relearned"):
            asked, after = self.facts.measure(subject), self.relearned.measure(subject)
        gone = asked["facts_seen"] if isinstance(asked["facts_held_out"], str) else asked["facts_held_out"]
        kept = [value for name in _STAYS if isinstance(value := asked[name], float)]
        parts = (gone, after["relearned_others"], asked["facts_fluency"])
        if missing := [value for value in parts if isinstance(value, str)]:
            return {"balance": missing[0]}
        if not kept:
            return {"balance": "there is no retained fact to ask for"}
        known, back, fluent = (float(value) for value in parts)
        return {"balance": float(harmonic_mean([1 - known, fmean(kept), 1 - back, fluent]))}

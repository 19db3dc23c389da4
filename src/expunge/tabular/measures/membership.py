"""A membership attack on a synthetic table: is a person's row known by synthetic rows near it?

    s(x) = -min over synthetic y of d(x, y),     AUC = P( s(real) > s(holdout) ) + P( equal ) / 2

with the mixed distance of :mod:`expunge.tabular.measures.distance`; 0.5 if nothing leaks. The interval is DeLong's, for
rows drawn anew, this synthetic table being given.

Reference: D. Chen, N. Yu, Y. Zhang, M. Fritz. "GAN-Leaks: A Taxonomy of Membership Inference Attacks against Generative
Models", CCS 2020, arXiv 1909.03935 (the attack that sees the output alone).
What it can't see: what a stronger attack finds. One attack is a lower bound on what leaks, not a proof of absence.
"""

from dataclasses import dataclass

from expunge.tabular.coded import Coded
from expunge.tabular.measures.distance import nearest
from expunge.tabular.measures.features import sample
from expunge.tabular.measures.figure import Figure, check_tables
from expunge.tabular.measures.roc import Auc, auc

CANDIDATES = 5_000
KNOWN = 20_000


@dataclass(frozen=True)
class MembershipAttack:
    """What the attack gains; None without a holdout, whose rows are those that weren't learned."""

    auc: Auc | None

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        lacking = "" if self.auc else " Needs a holdout: give real rows that the generator never saw."
        return (
            Figure(
                "Membership attack",
                self.auc.value if self.auc else None,
                0.5,
                "nearer",
                f"AUC of telling learned rows from others by the nearest synthetic row; above 0.5 it leaks.{lacking}",
                self.auc.low if self.auc else None,
                self.auc.high if self.auc else None,
            ),
        )


def membership_attack(real: Coded, synthetic: Coded, holdout: Coded | None, seed: int = 0) -> MembershipAttack:
    """Attack with at most 20,000 synthetic rows, on at most 5,000 candidates of each kind.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made.
        holdout: real rows that it never saw.
        seed: of the samples.

    Raises:
        BadSetting: if the tables can't be compared.
    """
    if holdout is None:
        check_tables((real, synthetic))
        return MembershipAttack(None)
    check_tables((real, synthetic, holdout))
    made = sample(synthetic, KNOWN, seed)
    members, others = (
        -nearest(sample(table, CANDIDATES, seed + 1 + part), made)[0][:, 0] for part, table in enumerate((real, holdout))
    )
    return MembershipAttack(auc(members, others))

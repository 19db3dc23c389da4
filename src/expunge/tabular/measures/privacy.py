"""Privacy beside quality: a table that copies the real one scores perfectly, so every report says whether it does.

A table copies if one of these stands out, by its size and against chance:

    rare matches     synthetic rows that equal a real row there is one of: at least 1 % more than independent tables share
    near-copies      much nearer to a real row than other real rows are: at least 3 % more than independent tables share
    nearer rows      at least 3 % more than half of them nearer to the real table than to the holdout
    membership       its attack's AUC is above 0.55

Each must lie 4 standard errors above what is expected. With a few hundred rows that asks for more than the
percentages; and without a holdout only the first two are to be had.

What it can't see: an empirical check finds leaks, it doesn't exclude them: no differential privacy, no guarantee. Copies of
a few rows among very many (below 1 %), copies of some columns only, and attackers who know more than these stay unseen. A
table of few possible rows can't be told from its copy, and needn't be.
"""

from dataclasses import dataclass

from expunge.tabular.coded import Coded
from expunge.tabular.measures.disclosure import Disclosure, disclosure
from expunge.tabular.measures.figure import Figure
from expunge.tabular.measures.matches import Matches, matches
from expunge.tabular.measures.membership import MembershipAttack, membership_attack
from expunge.tabular.measures.records import ClosestRecords, Share, closest_records

DEVIATIONS = 4.0
MORE_MATCHES = 0.01
MORE_NEAR = 0.03
WHOLE = 0.5  # share of copied rows from which the table as a whole is called a copy
MEMBERSHIP = 0.55


@dataclass(frozen=True)
class Privacy:
    """All that was measured, and what follows.

    Args:
        records: distances to the closest records.
        matches: exact ones.
        membership: the attack.
        disclosure: of one column; None if there is no column to disclose.
    """

    records: ClosestRecords
    matches: Matches
    membership: MembershipAttack
    disclosure: Disclosure | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the table is taken for a copy, a sentence each; none if it isn't."""
        found = []
        rare, near, nearer, attack = self.matches.rare, self.records.near_copies, self.records.nearer, self.membership.auc
        if _stands_out(rare, MORE_MATCHES):
            found.append(
                f"{rare.value:.1%} of its rows equal a real row that stands once in the real table, "
                f"where {rare.expected:.1%} would if it had been made without seeing them."
            )
        if _stands_out(near, MORE_NEAR):
            found.append(
                f"{near.value:.1%} of its rows are at least 5 times nearer to a real row than other real rows are, "
                f"where {near.expected:.1%} would be if it had been made without seeing them."
            )
        if nearer and _stands_out(nearer, MORE_NEAR):
            found.append(f"{nearer.value:.1%} of its rows are nearer to the real table than to the holdout, not half of them.")
        if attack and attack.value > MEMBERSHIP and attack.value - DEVIATIONS * attack.error > 0.5:
            found.append(f"An attacker tells who was in the real table with an AUC of {attack.value:.2f}, not 0.5.")
        return tuple(found)

    @property
    def is_copy(self) -> bool:
        """Whether it copies real rows, all or some of them: no score of it says anything then."""
        return bool(self.reasons)

    @property
    def verdict(self) -> str:
        """What is to be said, in a few sentences."""
        if not self.is_copy:
            sure = "" if self.records.nearer else " Without a holdout much can't be seen: give real rows that it never saw."
            return f"No sign of copied rows. That is no guarantee of privacy.{sure}"
        found = ((self.matches.rare, MORE_MATCHES), (self.records.near_copies, MORE_NEAR))
        much = max((share.value for share, more in found if _stands_out(share, more)), default=0.0)
        kind = "The table is a copy" if much >= WHOLE else "The table holds rows of the real table, or leans on them"
        return f"{kind}: its scores are no praise. {' '.join(self.reasons)}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        more = self.disclosure.figures if self.disclosure else ()
        return (*self.matches.figures, *self.records.figures, *self.membership.figures, *more)


def privacy(
    real: Coded, synthetic: Coded, holdout: Coded | None = None, sensitive: str | None = None, seed: int = 0
) -> Privacy:
    """Look for copies and leaks.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made.
        holdout: real rows that it never saw, of the same population; the more the better.
        sensitive: a column that an attacker wants to know; nothing is disclosed when None.
        seed: of the samples that large tables are reduced to.

    Raises:
        BadSetting: if the tables can't be compared, or there is no such column.
    """
    return Privacy(
        closest_records(real, synthetic, holdout, seed),
        matches(real, synthetic, holdout),
        membership_attack(real, synthetic, holdout, seed),
        disclosure(real, synthetic, holdout, sensitive, seed) if sensitive is not None else None,
    )


def _stands_out(share: Share, more: float) -> bool:
    return share.excess > more and share.deviations > DEVIATIONS

"""How near a model is to the retrained one, as one number: for ranking what was tried, never for a verdict.

    closeness = mean over the judged figures of min(1, allowed distance / distance from the ideal)

1 is within all that is allowed, which is what a verdict calls a match. A figure at twice the allowed distance counts a half, so
that one that is far off cannot hide behind several that are near, nor one that is hopeless outweigh all others.
"""

import math

from expunge.report.evidence import Case, Row
from expunge.report.rules import Rule, rules

_SLACK = 1 + 1e-9  # as the verdict has it


def closeness(row: Row, case: Case) -> float | None:
    """From 0 to 1; None where nothing is judged, as without a retrained model.

    A figure that is missing, or is not a number, counts 0.
    """
    shares = [_share(row.mean(metric), rule, case) for metric, rule in rules(case).items()]
    return sum(shares) / len(shares) if shares else None


def _share(value: float | None, rule: Rule, case: Case) -> float:
    if value is None or not math.isfinite(value):
        return 0.0
    distance, limit = rule.distance(value, case), rule.limit(case) or 0.0
    return 1.0 if distance <= limit * _SLACK else limit / distance

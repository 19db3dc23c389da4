"""All measures beside the score, of one synthetic table."""

from dataclasses import dataclass

from expunge.errors import BadSetting
from expunge.tabular.coded import Coded
from expunge.tabular.measures.c2st import TwoSampleTest, two_sample_test
from expunge.tabular.measures.fidelity import Fidelity, fidelity
from expunge.tabular.measures.figure import Figure, check_tables
from expunge.tabular.measures.precision_recall import PrecisionRecall, precision_recall
from expunge.tabular.measures.privacy import Privacy, privacy
from expunge.tabular.measures.train_test import TooFewRows, TrainTest, train_test


@dataclass(frozen=True)
class Measures:
    """What was measured; each part has its own details and figures.

    `teaching` is None without a target, or where too few rows of a table know it.
    """

    fidelity: Fidelity
    detection: TwoSampleTest
    coverage: PrecisionRecall
    teaching: TrainTest | None
    privacy: Privacy

    @property
    def figures(self) -> tuple[Figure, ...]:
        """In the order of a report: quality first, then privacy."""
        teaching = self.teaching.figures if self.teaching else ()
        parts = (self.fidelity.figures, self.detection.figures, self.coverage.figures, teaching, self.privacy.figures)
        return tuple(figure for part in parts for figure in part)


def measure(
    real: Coded,
    synthetic: Coded,
    holdout: Coded | None = None,
    target: str | None = None,
    seed: int = 0,
    *,
    sensitive: str | None = None,
) -> Measures:
    """Measure a synthetic table.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made, coded by the real table's schema.
        holdout: real rows that it never saw; without them several figures of privacy are None.
        target: a column that models are trained to predict; no model is when None.
        seed: of samples and models.
        sensitive: a column that an attacker wants to know; the target when None.

    Raises:
        BadSetting: if the tables can't be compared, a column named isn't scored, or a table is too small.
    """
    check_tables([each for each in (real, synthetic, holdout) if each is not None])
    scored = [each.name for each in (*real.schema.numbers, *real.schema.categories)]
    for name in (target, sensitive):
        if name is not None and name not in scored:
            raise BadSetting(f"column '{name}' isn't scored: there are {', '.join(scored)}")
    alone = len(scored) == 1
    learned = target if not alone else None
    secret = sensitive if sensitive is not None else target
    return Measures(
        fidelity(real, synthetic),
        two_sample_test(real, synthetic, seed),
        precision_recall(real, synthetic, seed),
        None if learned is None else _teaching(real, synthetic, holdout, learned, seed),
        privacy(real, synthetic, holdout, None if alone else secret, seed),
    )


def _teaching(real: Coded, synthetic: Coded, holdout: Coded | None, target: str, seed: int) -> TrainTest | None:
    """None where too few rows teach or test, which spoils no other measure."""
    try:
        return train_test(real, synthetic, holdout, target, seed)
    except TooFewRows:
        return None

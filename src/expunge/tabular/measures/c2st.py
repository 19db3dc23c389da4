"""Classifier two-sample test: can a model tell synthetic rows from real ones?

    AUC of a classifier, on rows that it wasn't trained on:   0.5 if it can't, 1 if it always can

Boosted trees, cross-fitted in 3 parts over equally many rows of both tables. Beside it a logistic regression, the field's
older detector: it sees the means and shares of columns and nothing of how they depend on one another, so that a table whose
columns were shuffled gets its full praise. A table that repeats the real one's rows can fall below 0.5: a row's twin in the
training part bears the other label.

Reference: D. Lopez-Paz, M. Oquab. "Revisiting Classifier Two-Sample Tests", ICLR 2017, arXiv 1610.06545; the interval is
DeLong's.
What it can't see: copies; and above all that 1 is quickly reached, by one column whose numbers have other decimals, so it
says little about how far from real a table is.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from expunge.errors import BadSetting
from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.features import Features, sample
from expunge.tabular.measures.figure import Figure, check_tables
from expunge.tabular.measures.roc import Auc, auc

ROWS = 10_000
PARTS = 3


@dataclass(frozen=True)
class TwoSampleTest:
    """How well models tell the tables apart.

    Args:
        trees: boosted trees.
        linear: logistic regression, blind to dependence.
        rows: of each table.
    """

    trees: Auc
    linear: Auc
    rows: int

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        told = "AUC of telling synthetic rows from real ones"
        return (
            Figure("Detection by boosted trees", self.trees.value, 0.5, "nearer", f"{told}.", self.trees.low, self.trees.high),
            Figure(
                "Detection by logistic regression",
                self.linear.value,
                0.5,
                "nearer",
                f"{told} by single columns; blind to how columns depend on one another.",
                self.linear.low,
                self.linear.high,
            ),
        )


def two_sample_test(real: Coded, synthetic: Coded, seed: int = 0) -> TwoSampleTest:
    """Train the detectors, on at most 10,000 rows of each table.

    Args:
        real: the real table.
        synthetic: coded by the same schema.
        seed: of the samples, the parts and the trees.

    Raises:
        BadSetting: if the tables can't be compared, or one has fewer than 6 rows.
    """
    check_tables((real, synthetic))
    size = min(len(real), len(synthetic), ROWS)
    if size < 2 * PARTS:
        raise BadSetting(f"a detector needs at least {2 * PARTS} rows of each table, not {size}")
    features = Features.of(real)
    pair = [sample(table, size, seed + part) for part, table in enumerate((real, synthetic))]
    label = np.repeat([0, 1], size)
    trees = HistGradientBoostingClassifier(
        categorical_features=features.tree_categories, early_stopping=False, random_state=seed
    )
    linear = LogisticRegression(max_iter=1_000)
    return TwoSampleTest(
        _told(trees, np.concatenate([features.tree(each) for each in pair]), label, seed),
        _told(linear, np.concatenate([features.flat(each) for each in pair]), label, seed),
        size,
    )


def _told(model: HistGradientBoostingClassifier | LogisticRegression, inputs: Array, label: Array, seed: int) -> Auc:
    parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed)
    found = cross_val_predict(model, inputs, label, cv=parts, method="predict_proba")[:, 1]
    return auc(found[label == 1], found[label == 0])

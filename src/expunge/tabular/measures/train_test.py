"""Train on synthetic, test on real: is the synthetic table as good a teacher as the real one?

    classes   AUC of boosted trees, one class against the rest, mean over classes     difference  real - synthetic
    numbers   RMSE and R^2 of boosted trees                                           ratio       synthetic / real

Trees are trained on equally many real and synthetic rows and judged on a third table: the holdout or, without one, a
quarter of the real table that is kept from the real training. The generator learned from that quarter, which flatters the
synthetic table: give a holdout. A class that the synthetic table lost is one that its trees never suspect. Rows whose
target is a gap, or a class that the real table lacks, neither teach nor test.

Reference: C. Esteban, S. Hyland, G. Rätsch. "Real-valued (Medical) Time Series Generation with Recurrent Conditional GANs",
2017, arXiv 1706.02633, with the model and the protocol of H. Zhang et al. "Mixed-Type Tabular Data Synthesis with
Score-based Diffusion in Latent Space" (TabSyn), ICLR 2024, arXiv 2310.09656, who take XGBoost and tune it.
What it can't see: all that doesn't help to predict this column; and copies, which teach best.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from expunge.errors import BadSetting
from expunge.tabular.coded import Array, Coded
from expunge.tabular.measures.features import Features, sample
from expunge.tabular.measures.figure import Better, Figure, check_tables
from expunge.tabular.measures.roc import auc

ROWS = 20_000
KEPT = 0.25
_FEWEST = 10


class TooFewRows(BadSetting):
    """The target is known in too few rows to train or to test."""


@dataclass(frozen=True)
class TrainTest:
    """How well trees predict the target on real rows.

    Args:
        target: the column.
        classes: whether it is a category, and `real` and `synthetic` are AUC, or a number, and they are RMSE.
        real: of trees trained on real rows.
        synthetic: of trees trained on synthetic rows.
        real_r2: of numbers, else None; 1 is best, 0 is no better than the mean.
        synthetic_r2: likewise.
        lost: classes of the real table that the synthetic one hasn't.
        by_holdout: whether the test rows are a holdout, or kept from the real table.
        rows: for training each, and for testing.
    """

    target: str
    classes: bool
    real: float
    synthetic: float
    real_r2: float | None
    synthetic_r2: float | None
    lost: tuple[str, ...]
    by_holdout: bool
    rows: tuple[int, int]

    @property
    def loss(self) -> float:
        """What training on the synthetic table costs: AUC, ideal 0; or the ratio of the RMSE, ideal 1."""
        if self.classes:
            return self.real - self.synthetic
        return self.synthetic / self.real if self.real > 0 else 1.0 if self.synthetic == 0 else np.inf

    @property
    def figures(self) -> tuple[Figure, ...]:
        """For a report."""
        name = "AUC" if self.classes else "RMSE"
        better: Better = "higher" if self.classes else "lower"
        where = "the holdout" if self.by_holdout else "rows kept from the real training (but known to the generator)"
        lost = f" It lacks {', '.join(self.lost)}." if self.lost else ""
        found = [
            Figure(
                f"{name} for {self.target}, trained on synthetic rows",
                self.synthetic,
                self.real,
                better,
                f"Of boosted trees on {where}; ideally as of those trained on real rows.{lost}",
            ),
            Figure(
                f"{name} for {self.target}, " + ("lost" if self.classes else "synthetic / real"),
                self.loss,
                0.0 if self.classes else 1.0,
                "lower",
                "What it costs to train on synthetic rows.",
            ),
        ]
        if not self.classes:
            found.append(
                Figure(
                    f"R² for {self.target}, trained on synthetic rows",
                    self.synthetic_r2,
                    self.real_r2,
                    "higher",
                    "Share of the variance that these trees explain.",
                )
            )
        return tuple(found)


def train_test(real: Coded, synthetic: Coded, holdout: Coded | None, target: str, seed: int = 0) -> TrainTest:
    """Train on at most 20,000 rows of each table and test on at most as many.

    Args:
        real: the rows that the generator learned.
        synthetic: the rows that it made.
        holdout: real rows that it never saw.
        target: the column to predict from all others.
        seed: of the samples and the trees.

    Raises:
        BadSetting: if the tables can't be compared, the target isn't scored, or is the only column.
        TooFewRows: if it is known in fewer than 10 rows of a table.
    """
    check_tables([each for each in (real, synthetic, holdout) if each is not None])
    number = _place(real, target)
    features = Features.of(real)
    ours, made = _known(real, target), _known(synthetic, target)
    if holdout is None:
        order = np.random.default_rng(seed).permutation(len(ours))
        kept = int(np.ceil(KEPT * len(ours)))
        test, ours = ours.rows(order[:kept]), ours.rows(order[kept:])
    else:
        test = _known(holdout, target)
    for table, where in ((ours, "rows of the real table"), (made, "rows of the synthetic table"), (test, "test rows")):
        if len(table) < _FEWEST:
            raise TooFewRows(f"column '{target}' is known in {len(table)} {where}; expected at least {_FEWEST}")
    size = min(len(ours), len(made), ROWS)
    test = sample(test, ROWS, seed)
    inputs, truth = _split(features, test, target)
    predicted = [_predict(features, sample(each, size, seed), target, inputs, seed) for each in (ours, made)]
    facts = (holdout is not None, (size, len(test)))
    if number:
        errors = [float(np.sqrt(((each - truth) ** 2).mean())) for each in predicted]
        spread = float(truth.std())
        explained = [1 - (error / spread) ** 2 if spread > 0 else float(error == 0) for error in errors]
        return TrainTest(target, False, errors[0], errors[1], explained[0], explained[1], (), *facts)
    areas = [_area(each, truth) for each in predicted]
    keys = np.array(real.schema[target].keys, dtype=object)
    lost = np.setdiff1d(_split(features, ours, target)[1], _split(features, made, target)[1])
    return TrainTest(target, True, areas[0], areas[1], None, None, tuple(keys[lost.astype(np.int64)]), *facts)


def _place(table: Coded, target: str) -> bool:
    """Whether the target is a number."""
    numbers, categories = ([each.name for each in some] for some in (table.schema.numbers, table.schema.categories))
    if target not in (*numbers, *categories):
        raise BadSetting(f"column '{target}' can't be predicted: there are {', '.join((*numbers, *categories))}")
    if len(numbers) + len(categories) < 2:
        raise BadSetting(f"column '{target}' can't be predicted from others: it is the only one that is scored")
    return target in numbers


def _split(features: Features, table: Coded, target: str) -> tuple[Array, Array]:
    """Inputs without the target, and the target: numbers, or codes of classes."""
    names = [each.name for each in (*table.schema.numbers, *table.schema.categories)]
    place, numbers = names.index(target), len(table.schema.numbers)
    truth = table.numbers[:, place] if place < numbers else table.codes[:, place - numbers]
    return np.delete(features.tree(table), place, axis=1), truth


def _known(table: Coded, target: str) -> Coded:
    numbers = [each.name for each in table.schema.numbers]
    if target in numbers:
        return table.rows(~np.isnan(table.numbers[:, numbers.index(target)]))
    place = [each.name for each in table.schema.categories].index(target)
    return table.rows(table.codes[:, place] < len(table.schema[target].values))


def _predict(features: Features, table: Coded, target: str, inputs: Array, seed: int) -> Array:
    """Numbers, shape (n,), or a score for each class of the real table, shape (n, K)."""
    rows, truth = _split(features, table, target)
    names = [each.name for each in (*table.schema.numbers, *table.schema.categories)]
    categories = np.delete(features.tree_categories, names.index(target))
    settings = {"categorical_features": categories, "early_stopping": False, "random_state": seed}
    if truth.dtype.kind == "f":
        return np.asarray(HistGradientBoostingRegressor(**settings).fit(rows, truth).predict(inputs))
    scores = np.zeros((len(inputs), len(table.schema[target].values)))
    classes = np.unique(truth)
    if len(classes) > 1:
        scores[:, classes] = HistGradientBoostingClassifier(**settings).fit(rows, truth).predict_proba(inputs)
    return scores


def _area(scores: Array, truth: Array) -> float:
    """Mean over the classes that the test rows have, each against the rest; 0.5 where they have one only."""
    classes = np.unique(truth)
    areas = [auc(scores[truth == each, each], scores[truth != each, each]).value for each in classes if len(classes) > 1]
    return float(np.mean(areas)) if areas else 0.5

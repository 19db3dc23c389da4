"""Utilities of subsets: what is kept, what is counted, what is refused, and who trains."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from expunge.errors import BadFile, BadSetting
from expunge.valuation import Logistic, Network, RidgeRegression, Utility
from expunge.valuation.estimators import Estimator
from expunge.valuation.learners import Batched, learner_for
from valuation.games import blob_utility, blobs, line


def masks(count=12, models=9, seed=0):
    return np.random.default_rng(seed).random((models, count)) < 0.6


def kept(folder):
    (file,) = folder.glob("*.tsv")
    return file


def test_what_was_asked_before_is_not_trained_again():
    game = blob_utility().on(*blobs(12))
    first = game.utilities(masks())
    assert game.trainings == 9
    assert (game.utilities(masks()) == first).all()
    assert game.trainings == 9
    game.utilities(np.concatenate([masks(), masks(seed=1)[:2], masks(seed=1)[:2]]))
    assert game.trainings == 11


def test_other_questions_are_counted_and_not_kept():
    game = blob_utility().on(*blobs(12))
    for _ in range(2):
        assert game.answers(masks(), blobs(5, 1)[0]).shape == (9, 5, 2)
    assert game.trainings == 18


def test_trained_models_can_be_asked_again():
    game = blob_utility().on(*blobs(12))
    ask = game.train(masks())
    both, half = ask(blobs(6, 1)[0]), ask(blobs(6, 1)[0][:3])
    assert half == pytest.approx(both[:, :3], abs=1e-6)
    assert game.trainings == 9


@pytest.mark.parametrize(("metric", "worth"), [("accuracy", 0.5), ("probability", 0.5), ("log-loss", -np.log(2))])
def test_no_points_are_worth_what_a_guess_is(metric, worth):
    game = blob_utility(metric).on(*blobs(12))
    assert game.utilities(np.zeros((1, 12), bool))[0] == game.empty == pytest.approx(worth)
    assert game.trainings == 0


def test_no_real_targets_are_worth_what_their_mean_is():
    (X, y), (Xv, yv) = line(12), line(30, 1)
    game = Utility(RidgeRegression(), valid=(Xv, yv), metric="r2").on(X, y)
    assert game.empty == pytest.approx(1 - np.square(yv - y.mean()).sum() / np.square(yv - yv.mean()).sum())


def test_a_folder_keeps_utilities_for_the_next_run(tmp_path):
    first = blob_utility(folder=tmp_path).on(*blobs(12)).utilities(masks())
    game = blob_utility(folder=tmp_path).on(*blobs(12))
    assert (game.utilities(masks()) == first).all()
    assert game.trainings == 0


def test_a_last_line_that_was_torn_off_is_trained_again(tmp_path):
    first = blob_utility(folder=tmp_path).on(*blobs(12)).utilities(masks())
    whole = kept(tmp_path).read_text()
    kept(tmp_path).write_text(whole[:-5])
    for trainings in (1, 0):
        game = blob_utility(folder=tmp_path).on(*blobs(12))
        assert game.utilities(masks()) == pytest.approx(first, abs=1e-4)
        assert game.trainings == trainings
    assert len(kept(tmp_path).read_text().splitlines()) == len(whole.splitlines())


@pytest.mark.parametrize("damage", ["no tab here\n", "xyz\t0.5\n", "00ff\thalf\n", "a\tb\tc\n", "\x00\x80\n"])
def test_a_damaged_file_is_refused_and_named(tmp_path, damage):
    blob_utility(folder=tmp_path).on(*blobs(12)).utilities(masks())
    file = kept(tmp_path)
    file.write_bytes(file.read_bytes() + damage.encode("latin-1"))
    with pytest.raises(BadFile, match=rf"{file.name} is damaged .* delete it"):
        blob_utility(folder=tmp_path).on(*blobs(12))


@pytest.mark.parametrize("change", ["input", "target", "validation", "metric", "model", "kind"])
def test_what_utilities_depend_on_has_a_file_of_its_own(tmp_path, change):
    (X, y), (Xv, yv) = blobs(12), blobs(20, 1)
    Utility(Logistic(), valid=(Xv, yv), folder=tmp_path).on(X, y).utilities(masks())
    X, y, Xv, yv = (each.copy() for each in (X, y, Xv, yv))
    if change == "input":
        X[3, 1] += 1e-9
    if change == "target":
        y[3] = 1 - y[3]
    if change == "validation":
        yv[3] = 1 - yv[3]
    model = Logistic(2.0) if change == "model" else Network(4, 5) if change == "kind" else Logistic()
    metric = "probability" if change == "metric" else "accuracy"
    game = Utility(model, valid=(Xv, yv), metric=metric, folder=tmp_path).on(X, y)
    game.utilities(masks())
    assert game.trainings == 9
    assert len(list(tmp_path.glob("*.tsv"))) == 2


def test_the_seed_is_nothing_that_utilities_depend_on(tmp_path):
    for seed, trainings in ((0, 9), (1, 0)):
        game = blob_utility(folder=tmp_path, seed=seed).on(*blobs(12))
        game.utilities(masks())
        assert game.trainings == trainings


class Throws(DummyClassifier):
    def fit(self, X, y, sample_weight=None):
        raise RuntimeError("no licence")


def test_an_estimator_that_throws_is_named_with_what_it_said():
    game = Utility(Throws(), valid=blobs(9, 1)).on(*blobs(12))
    with pytest.raises(BadSetting, match=r"training Throws on \d+ of 12 points failed: RuntimeError: no licence"):
        game.utilities(masks())


@pytest.mark.parametrize("model", [LogisticRegression(), GaussianNB(), LinearSVC()])
def test_a_scorer_of_scikit_learn_is_a_metric(model):
    (X, y), (Xv, yv) = blobs(30), blobs(20, 1)
    names = np.array(["no", "yes"])
    scorer = get_scorer("balanced_accuracy")
    game = Utility(model, valid=(Xv, names[yv]), metric=scorer).on(X, names[y])
    found = game.utilities(masks(30, 4))
    expected = [scorer(model.fit(X[mask], names[y[mask]]), Xv, names[yv]) for mask in masks(30, 4)]
    assert found == pytest.approx(expected)
    assert 0 <= game.empty <= 1


def test_a_scorer_of_real_numbers_is_a_metric():
    (X, y), valid = line(30), line(20, 1)
    scorer = get_scorer("neg_mean_absolute_error")
    game = Utility(LinearRegression(), valid=valid, metric=scorer).on(X, y)
    expected = [scorer(LinearRegression().fit(X[mask], y[mask]), *valid) for mask in masks(30, 4)]
    assert game.utilities(masks(30, 4)) == pytest.approx(expected)
    assert game.empty == pytest.approx(-np.abs(valid[1] - y.mean()).mean())


@pytest.mark.parametrize(
    ("model", "learner"),
    [
        (LogisticRegression(), Batched(Logistic())),
        (LogisticRegression(C=3, fit_intercept=False, max_iter=7, tol=0.1), Batched(Logistic(3.0, False))),
        (Ridge(alpha=2.0), Batched(RidgeRegression(2.0))),
        (Network(), Batched(Network())),
    ],
)
def test_plain_models_are_trained_at_once(model, learner):
    assert learner_for(model, "cpu", None) == learner


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(class_weight="balanced"),
        LogisticRegression(solver="liblinear"),
        Ridge(positive=True),
        GaussianNB(),
    ],
)
def test_other_models_are_trained_one_by_one(model):
    assert isinstance(learner_for(model, "cpu", None), Estimator)


def test_a_subclass_of_a_plain_model_is_trained_as_it_is():
    class Mine(LogisticRegression):
        pass

    assert isinstance(learner_for(Mine(), "cpu", None), Estimator)


def test_trained_at_once_or_one_by_one_utilities_agree():
    (X, y), valid = blobs(60, classes=3), blobs(90, 1, classes=3)
    game = Utility(Logistic(tolerance=1e-6), valid=valid, metric="log-loss").on(X, y)
    one_by_one = Utility(LogisticRegression(tol=1e-8, max_iter=5000, class_weight={}), valid=valid, metric="log-loss")
    assert isinstance(one_by_one.learner, Estimator)
    assert game.utilities(masks(60)) == pytest.approx(one_by_one.on(X, y).utilities(masks(60)), abs=1e-3)


def test_classifiers_without_probabilities_answer_with_their_choice():
    game = Utility(LinearSVC(), valid=blobs(20, 1)).on(*blobs(12))
    answers = game.answers(masks()[:1], blobs(20, 1)[0])
    assert set(np.unique(answers)) == {0.0, 1.0}
    assert answers.sum(2) == pytest.approx(np.ones((1, 20)))


def test_an_estimator_that_sees_one_class_answers_with_it():
    (X, y), (asked, _) = blobs(12), blobs(5, 1)
    game = Utility(GaussianNB(), valid=blobs(9, 1)).on(X, y)
    assert game.answers((y == 1)[None], asked)[0, :, 1] == pytest.approx(np.ones(5))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Utility(valid=blobs(9), metric="f1"), "metric must be one of accuracy, log-loss, probability, r2"),
        (lambda: Utility(3, valid=blobs(9)), "a model is trained with fit"),
        (lambda: blob_utility().on(blobs(9)[0][:, :2], blobs(9)[1]), "those of the training points have"),
        (lambda: blob_utility().on(blobs(9)[0], blobs(8)[1]), "9 rows need targets"),
        (lambda: Utility(RidgeRegression(), valid=blobs(9)).on(*blobs(9)).full, "RidgeRegression can't learn targets"),
        (lambda: Utility(valid=line(9), metric="r2").on(*line(9)).full, "Logistic can't learn targets that are real numbers"),
    ],
)
def test_what_cannot_be_a_utility_is_refused(make, said):
    with pytest.raises(BadSetting, match=said):
        make()


def test_what_asking_and_scoring_raise_is_told_too():
    X, y = blobs(20)
    near = Utility(KNeighborsClassifier(5), valid=blobs(20, 1)).on(X, y)
    with pytest.raises(BadSetting, match="asking KNeighborsClassifier failed"):
        near.utilities(np.arange(20)[None] < 3)
    with pytest.raises(BadSetting, match="scoring KNeighborsClassifier that was trained on 10 of 20"):
        Utility(KNeighborsClassifier(5), valid=blobs(20, 1), metric=lambda *_: 1 / 0).on(X, y).utilities(
            np.arange(20)[None] < 10
        )


def test_a_scorer_that_answers_with_no_number_is_refused():
    game = Utility(KNeighborsClassifier(3), valid=blobs(20, 1), metric=lambda *_: float("nan")).on(*blobs(20))
    with pytest.raises(BadSetting, match="the scorer answered with nan"):
        game.full  # noqa: B018


def test_regressors_can_not_learn_classes():
    from sklearn.neighbors import KNeighborsRegressor

    with pytest.raises(BadSetting, match="no classifier"):
        Utility(KNeighborsRegressor(3), valid=blobs(20, 1)).on(*blobs(20)).full  # noqa: B018


def test_of_scorers_that_can_not_be_told_apart_nothing_is_kept(tmp_path):
    for answer in (1.0, 2.0):
        utility = Utility(KNeighborsClassifier(3), valid=blobs(20, 1), metric=lambda *_, answer=answer: answer, folder=tmp_path)
        assert utility.on(*blobs(20)).full == answer


def test_of_long_estimators_every_setting_tells(tmp_path):
    from sklearn.ensemble import VotingClassifier
    from sklearn.tree import DecisionTreeClassifier

    files = set()
    for depth in (1, 9):
        trees = [(f"a tree with a rather long name {each}", DecisionTreeClassifier(max_depth=depth)) for each in range(30)]
        Utility(VotingClassifier(trees), valid=blobs(20, 1), folder=tmp_path).on(*blobs(20)).full  # noqa: B018
        files = {path.name for path in tmp_path.iterdir()}
    assert len(files) == 2


def test_real_targets_far_from_0_are_learned_as_well():
    X, y = line(60)
    near, far = (Utility(Ridge(), valid=(X, y + moved), metric="r2").on(X, y + moved).full for moved in (0, 1e8))
    assert far == pytest.approx(near, abs=1e-4)

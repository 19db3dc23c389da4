"""EcoVal: what clusters are worth, how it reaches their members, and what holds whatever the data."""

import warnings

import numpy as np
import pytest

from expunge.errors import BadSetting
from expunge.valuation import Confidence, EcoVal, Truncation, Utility
from expunge.valuation.clusters import Clusters, cluster
from expunge.valuation.intrinsic import WEIGHINGS
from expunge.valuation.returns import diminishing, elasticities, marginal_product, share
from valuation.games import blob_utility, blobs, exact, exact_shapley, flipped_digits, line

STAGES = ("banzhaf", "shapley", "leave-out")
PROPAGATIONS = ("share", "diminishing", "marginal-product")


def grouped(members, groups=None):
    """Clusters of points that lie on their centres."""
    members = np.array(members)
    count = members.max() + 1
    return Clusters(members, np.arange(count, dtype=float)[:, None], np.zeros(count, int) if groups is None else groups)


# ---- propagation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("pay", [share, lambda *given: diminishing(*given, offset=2.0)], ids=["share", "diminishing"])
def test_members_values_sum_to_their_clusters(pay, inverse):
    generator = np.random.default_rng(0)
    clusters, weights = grouped(np.arange(60) % 7), generator.uniform(0.01, 1, 60)
    worth = generator.normal(size=7)
    found = pay(worth, weights, clusters, inverse)(clusters.members, weights)
    np.testing.assert_allclose(np.bincount(clusters.members, found), worth, atol=1e-9)


def test_equal_weights_share_a_cluster_evenly():
    clusters, weights = grouped([0, 0, 0, 1]), np.full(4, 0.3)
    for pay in (share, lambda *given: diminishing(*given, offset=1.0)):
        found = pay(np.array([0.6, -0.2]), weights, clusters, True)(clusters.members, weights)
        np.testing.assert_allclose(found, [0.2, 0.2, 0.2, -0.2], atol=1e-12)


def test_returns_diminish_in_the_order_of_quality():
    clusters, weights = grouped([0] * 5), np.array([0.1, 0.9, 0.5, 0.3, 0.7])
    values = diminishing(np.array([1.0]), weights, clusters, True, 1.0)(clusters.members, weights)
    order = np.argsort(-weights)
    assert (np.diff(values[order]) < 0).all()
    assert (np.diff((values / weights)[order]) < 0).all()  # each earns less for a unit than the better ones


def test_where_returns_fall_late_they_are_shares():
    clusters, weights = grouped([0, 0, 0, 1, 1]), np.array([0.2, 0.9, 0.4, 0.6, 0.1])
    worth = np.array([0.5, -0.1])
    late = diminishing(worth, weights, clusters, True, 1e6)(clusters.members, weights)
    np.testing.assert_allclose(late, share(worth, weights, clusters, True)(clusters.members, weights), rtol=1e-4)


def test_diminishing_returns_by_hand():
    clusters, weights = grouped([0, 0]), np.array([1.0, 3.0])
    found = diminishing(np.array([2.0]), weights, clusters, True, 0.5)(clusters.members, weights)  # c = 0.5 * 2 = 1
    best = 2.0 * np.log(4) / np.log(5)
    np.testing.assert_allclose(found, [2.0 - best, best])


@pytest.mark.parametrize("pay", [share, lambda *given: diminishing(*given, offset=1.0)], ids=["share", "diminishing"])
def test_harm_is_blamed_on_the_worst_or_in_proportion(pay):
    clusters, weights = grouped([0, 0]), np.array([0.9, 0.1])
    kind = pay(np.array([-1.0]), weights, clusters, True)(clusters.members, weights)
    strict = pay(np.array([-1.0]), weights, clusters, False)(clusters.members, weights)
    assert kind[0] > kind[1] and strict[0] < strict[1]


def test_elasticities_give_back_what_clusters_are_worth():
    worth, q, made = np.array([0.2, 0.05, -0.1]), np.array([3.0, 8.0, 2.0]), 0.6
    alpha = elasticities(worth, q, made)
    whole = np.prod((1 + q) ** alpha)
    without = np.array([whole / (1 + q[j]) ** alpha[j] for j in range(3)])
    np.testing.assert_allclose(made - made * without / whole, worth, atol=1e-12)
    assert alpha[0] > 0 > alpha[2]


def test_more_of_the_same_is_worth_less_by_its_marginal_product():
    once, twice = grouped([0, 0, 1]), grouped([0, 0, 0, 0, 1])
    alone = elasticities(np.array([0.3, 0.2]), np.array([2.0, 1.0]), 0.5)
    worth_twice = 0.5 * (1 - (1 + 4.0) ** -alone[0])  # what good 0 is worth with the same elasticity
    first = marginal_product(np.array([0.3, 0.2]), np.ones(3), once, 0.5)(once.members, np.ones(3))
    second = marginal_product(np.array([worth_twice, 0.2]), np.ones(5), twice, 0.5)(twice.members, np.ones(5))
    np.testing.assert_allclose(second[0] / first[0], 3 / 5, rtol=1e-12)


def test_a_model_that_learned_nothing_pays_nothing_by_marginal_product():
    clusters = grouped([0, 1])
    assert not marginal_product(np.array([0.1, 0.0]), np.ones(2), clusters, 0.0)(clusters.members, np.ones(2)).any()


# ---- clusters --------------------------------------------------------------------------------------------------------------


def test_no_cluster_has_points_of_two_classes_and_each_class_has_three():
    X, y = blobs(120, classes=3)
    found = cluster(X, y, 4, np.random.default_rng(0))
    assert all(len(np.unique(y[found.members == j])) == 1 for j in range(len(found)))
    assert (np.bincount(found.groups) == 3).all()
    assert (found.nearest(X, y) == found.members).mean() > 0.9


def test_a_class_of_equal_points_is_one_cluster_without_a_warning():
    X, y = np.concatenate([np.ones((6, 2)), np.eye(6, 2)]), np.repeat([0, 1], 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster(X, y, 6, np.random.default_rng(0))
    assert len(np.unique(found.members[:6])) == 1


def test_a_point_of_a_class_without_clusters_has_none():
    X, y = blobs(30)
    assert cluster(X, y, 4, np.random.default_rng(0)).nearest(X[:1], np.array([5])).tolist() == [-1]


# ---- stages ----------------------------------------------------------------------------------------------------------------


def test_leaving_out_is_worth_what_is_lost_without_a_cluster():
    X, y = blobs(60)
    utility = blob_utility()
    found = EcoVal(utility, stage="leave-out", clusters=6).fit(X, y)
    game = utility.on(X, y)
    for j in range(len(found.cluster_values)):
        lost = game.full - game.utilities((found.clusters != j)[None])[0]
        assert found.cluster_values[j] == pytest.approx(lost, abs=1e-4)


class OfClusters:
    """The game that clusters play, so that values over all of its subsets can be had."""

    def __init__(self, game, members):
        self.game, self.members, self.count = game, members, members.max() + 1

    def __len__(self):
        return self.count

    def utilities(self, masks):
        return self.game.utilities(masks[:, self.members])


def test_shapley_values_over_clusters_come_near_the_exact_ones():
    X, y = blobs(48)
    utility = blob_utility()
    found = EcoVal(utility, stage="shapley", clusters=6, permutations=300, truncation=Truncation(tolerance=0.0)).fit(X, y)
    wanted = exact_shapley(OfClusters(utility.on(X, y), found.clusters))
    np.testing.assert_allclose(found.cluster_values, wanted, atol=0.015)


def test_least_squares_over_subsets_come_near_the_exact_banzhaf_values():
    X, y = blobs(48)
    utility = blob_utility()
    found = EcoVal(utility, clusters=6, subsets=400, held=0.0).fit(X, y)
    game, count = OfClusters(utility.on(X, y), found.clusters), len(found.cluster_values)
    sizes = np.array([np.prod(range(count - size, count)) / np.prod(range(1, size + 1)) for size in range(count)])
    wanted = exact(game.utilities, count, sizes / sizes.sum())
    np.testing.assert_allclose(found.cluster_values, wanted, atol=0.015)


def test_held_firmly_clusters_have_their_shares_of_quality():
    X, y = blobs(60)
    utility = blob_utility()
    found, weights = EcoVal(utility, held=1e9).fit(X, y), Confidence(utility).fit(X, y).values
    game, quality = utility.on(X, y), np.bincount(found.clusters, weights)
    np.testing.assert_allclose(found.cluster_values, (game.full - game.empty) * quality / quality.sum(), rtol=1e-3)


# ---- the whole -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("propagation", PROPAGATIONS)
@pytest.mark.parametrize("intrinsic", WEIGHINGS)
def test_all_choices_fit_together_and_unseen_points_are_paid_by_the_same_rule(stage, propagation, intrinsic):
    X, y = blobs(60, classes=3)
    method = EcoVal(
        blob_utility(classes=3), stage=stage, propagation=propagation, intrinsic=intrinsic, subsets=2, permutations=2
    )
    found = method.fit(X, y)
    assert np.isfinite(found.values).all() and found.values.shape == (60,)
    if propagation != "marginal-product":
        np.testing.assert_allclose(np.bincount(found.clusters, found.values), found.cluster_values, atol=1e-9)
    unseen = method.value_of(X, y)
    if intrinsic in ("centroid", "uniform"):  # the others weigh points that models trained on, or that are their own neighbours
        near = np.isclose(unseen, found.values, atol=1e-9)
        assert near.mean() > 0.9  # all but those that lie nearer to another centre


def test_equal_points_of_one_class_have_equal_values():
    X, y = blobs(60)
    X[2], y[2] = X[0], y[0]
    found = EcoVal(blob_utility(), intrinsic="centroid").fit(X, y)
    assert found.clusters[0] == found.clusters[2]
    assert found.values[0] == pytest.approx(found.values[2], abs=1e-12)


def test_with_clusters_of_floats_far_from_0_or_small_integers_unseen_points_find_their_own():
    X, y = blobs(60)
    for moved in (X.astype(np.float32) + 2e4, np.round(40 * X + 128).clip(0, 255).astype(np.uint8)):
        found = cluster(moved, y, 6, np.random.default_rng(0))
        assert (found.nearest(moved, y) == found.members).mean() > 0.9


@pytest.mark.parametrize("stage", STAGES)
def test_no_more_is_trained_than_was_announced(stage):
    for count, classes in ((20, 2), (90, 3), (200, 2)):
        method = EcoVal(blob_utility(classes=classes), stage=stage)
        X, y = blobs(count, classes=classes)
        assert method.fit(X, y).cost.trainings <= method.trainings(method.utility.on(X, y))


def test_few_subsets_without_a_hold_are_solved_as_far_as_they_can_be():
    X, y = blobs(60)
    for subsets in (1, 2):
        assert np.isfinite(EcoVal(blob_utility(), held=0.0, subsets=subsets).fit(X, y).values).all()


@pytest.mark.parametrize("pay", [share, lambda *given: diminishing(*given, offset=2.0)], ids=["share", "diminishing"])
def test_permuted_members_have_permuted_pay(pay):
    generator = np.random.default_rng(1)
    members, weights, order = np.arange(40) % 5, generator.uniform(0.1, 1, 40), generator.permutation(40)
    worth = generator.normal(size=5)
    first = pay(worth, weights, grouped(members), True)(members, weights)
    second = pay(worth, weights[order], grouped(members[order]), True)(members[order], weights[order])
    np.testing.assert_allclose(second, first[order], atol=1e-12)


def test_one_seed_gives_the_same_values_and_another_does_not():
    X, y = blobs(60)
    first, again, other = (EcoVal(blob_utility(seed=seed)).fit(X, y).values for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_wrong_labels_are_found_in_and_out_of_the_sample():
    X, y, wrong, valid = flipped_digits(300)
    method = EcoVal(Utility(valid=valid))
    found = method.fit(X, y)
    low = found.values[wrong].mean(), found.values[~wrong].mean()
    assert low[0] < low[1] and detection(found.values, wrong) > 0.9
    others, labels, turned, _ = flipped_digits(300, seed=1)
    assert detection(method.value_of(others, labels), turned) > 0.9


def detection(values, wrong):
    from expunge.valuation.evaluation import detect

    return detect(values, wrong).auroc


def test_within_a_cluster_shares_are_confidence():
    X, y = blobs(60)
    found = EcoVal(blob_utility(), propagation="share", blame="proportional").fit(X, y)
    weights = Confidence(blob_utility()).fit(X, y).values
    for j, worth in enumerate(found.cluster_values):
        here = found.clusters == j
        np.testing.assert_allclose(found.values[here], worth * weights[here] / weights[here].sum(), rtol=1e-3)


def test_real_targets_are_valued_too():
    X, y = line(80)
    y[3] += 40
    found = EcoVal(Utility(ridge(), valid=line(60, 1), metric="r2")).fit(X, y)
    assert found.values.argmin() == 3


def ridge():
    from expunge.valuation import RidgeRegression

    return RidgeRegression()


def test_points_may_be_clustered_by_an_embedding():
    X, y = blobs(60)
    seen = []

    def embed(inputs):
        seen.append(len(inputs))
        return inputs[:, :1]

    method = EcoVal(blob_utility(), embed=embed)
    method.fit(X, y)
    method.value_of(X[:4], y[:4])
    assert seen == [60, 4]


def test_a_class_that_is_one_cluster_is_told():
    X, y = blobs(60)
    X[y == 1] = 1.0
    assert EcoVal(blob_utility()).fit(X, y).facts["classes_of_one_cluster"] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stage": "loo"}, "banzhaf, shapley, leave-out"),
        ({"intrinsic": "age"}, "confidence, neighbours"),
        ({"propagation": "equal"}, "share, diminishing"),
        ({"blame": "all"}, "inverse, proportional"),
        ({"offset": 0.0}, "offset must be above 0"),
        ({"held": -0.1}, "held at least 0"),
        ({"folds": 1}, "folds at least 2"),
        ({"subsets": 0}, "at least 1"),
        ({"clusters": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(BadSetting, match=said):
        EcoVal(blob_utility(), **settings)


def test_more_clusters_than_points_are_refused():
    with pytest.raises(BadSetting, match="20 points can't make 21 clusters"):
        EcoVal(blob_utility(), clusters=21).fit(*blobs(20))

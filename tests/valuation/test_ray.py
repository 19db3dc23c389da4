"""A valuation on two workers of Ray, where Ray is installed."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from expunge.valuation import EcoVal, Utility
from valuation.games import blobs

ray = pytest.importorskip("ray")


@pytest.fixture
def two_workers():
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1", object_store_memory=100_000_000
    )
    yield
    ray.shutdown()


def elsewhere(folder):
    """An estimator that workers need no module of ours for."""

    class Elsewhere(ClassifierMixin, BaseEstimator):
        """Knows no class for sure, and leaves a file named after the process that trains it."""

        def __init__(self, folder):
            self.folder = folder

        def fit(self, X, y):
            (Path(self.folder) / str(os.getpid())).touch()
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, X):
            return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))

    return Elsewhere(folder)


def test_trainings_run_in_other_processes(two_workers, tmp_path):
    from joblib import parallel_config

    X, y = blobs(20)
    with parallel_config(backend="ray", n_jobs=2):
        Utility(elsewhere(str(tmp_path)), valid=(X, y)).on(X, y).utilities(~np.eye(20, dtype=bool))
    workers = {int(path.name) for path in tmp_path.iterdir()}
    assert workers and os.getpid() not in workers


def test_two_workers_find_what_one_process_finds(two_workers):
    from joblib import parallel_config
    from sklearn.neighbors import KNeighborsClassifier

    X, y = blobs(40)

    def method():
        return EcoVal(Utility(KNeighborsClassifier(3), valid=blobs(30, 1)), subsets=1, folds=2)

    alone = method().fit(X, y)
    with parallel_config(backend="ray", n_jobs=2):
        spread = method()
        found = spread.fit(X, y)
        unseen = spread.value_of(X[:3], y[:3])
    np.testing.assert_array_equal(found.values, alone.values)
    assert unseen.shape == (3,)

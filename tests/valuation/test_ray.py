"""A valuation on two workers of Ray, where Ray is installed."""

import numpy as np
import pytest

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

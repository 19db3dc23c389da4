"""What all network generators share: resuming, monitors, histories, amounts of training."""

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.tabular import CTGAN, TVAE, WGANGP, TabDDPM
from expunge.tabular.generators import Monitor

SMALL = {
    "tvae": lambda **more: TVAE(latent=4, hidden=(8,), batch_size=20, **more),
    "ctgan": lambda **more: CTGAN(latent=4, hidden=(8,), batch_size=20, **more),
    "wgan-gp": lambda **more: WGANGP(latent=4, hidden=(8,), batch_size=20, critic_steps=2, **more),
    "tab-ddpm": lambda **more: TabDDPM(hidden=(8,), batch_size=20, timesteps=10, **more),
}
EVERY = pytest.mark.parametrize("name", list(SMALL))


def table(n=100, seed=0):
    draw = np.random.default_rng(seed)
    size = draw.normal(0, 1, n).round(2)
    return pd.DataFrame(
        {"size": size, "zeros": np.where(size > 0, 0, draw.integers(1, 30, n)), "kind": np.where(size > 1, "a", "b")}
    )


def quiet(**settings):
    return Engine(progress=False, **settings)


def weights(generator):
    return generator.sampler.state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Killed(BaseException):
    """Stands for a kill: nothing in the library catches it."""


class Scores(Monitor):
    """Gives the scores of a list, and keeps what it saw."""

    def __init__(self, scores, patience=None, look=True):
        self.scores, self.patience, self.look = scores, patience, look
        self.epochs, self.seen = [], []

    def judge(self, generator, epoch):
        self.epochs.append(epoch)
        if self.look:
            generator.sample(15, seed=epoch)
            torch.rand(3)
            np.random.rand(2)
        self.seen.append({name: tensor.clone() for name, tensor in weights(generator).items()})
        score = self.scores[epoch]
        if score == "kill":
            raise Killed
        return score


@EVERY
def test_the_best_epoch_is_kept_and_epochs_are_counted_from_zero(name):
    monitor = Scores([0.1, 0.7, 0.3, 0.2])
    generator = SMALL[name](epochs=4).fit(table(), quiet(), monitor=monitor)
    assert monitor.epochs == [0, 1, 2, 3]
    assert same(weights(generator), monitor.seen[1]) and not same(monitor.seen[1], monitor.seen[3])


@EVERY
def test_being_watched_changes_nothing(name):
    watched = SMALL[name](epochs=3).fit(table(), quiet(), monitor=Scores([1, 2, 3]))
    assert same(weights(watched), weights(SMALL[name](epochs=3).fit(table(), quiet())))


@EVERY
def test_a_killed_fit_ends_with_the_same_weights(name, tmp_path):
    whole = SMALL[name](epochs=4).fit(table(), quiet(), monitor=Scores([0.1, 0.2, 0.4, 0.3]))
    monitor = Scores([0.1, 0.2, "kill"])
    with pytest.raises(Killed):
        SMALL[name](epochs=4).fit(table(), quiet(folder=tmp_path, checkpoint_steps=2), monitor=monitor)
    again = Scores([None, 0.2, 0.4, 0.3])
    resumed = SMALL[name](epochs=4).fit(table(), quiet(folder=tmp_path, checkpoint_steps=2), monitor=again)
    assert again.epochs[0] > 0 and again.epochs[-1] == 3
    assert same(weights(resumed), weights(whole))
    assert [row["terms"] for row in resumed.history] == [row["terms"] for row in whole.history]


@EVERY
def test_another_setting_doesnt_go_on_from_a_checkpoint(name, tmp_path):
    SMALL[name](epochs=2).fit(table(), quiet(folder=tmp_path))
    settings = {"temperature": 0.9} if name in ("ctgan", "wgan-gp") else {"learning_rate": 0.02}
    other = SMALL[name](epochs=2, **settings).fit(table(), quiet(folder=tmp_path))
    assert same(weights(other), weights(SMALL[name](epochs=2, **settings).fit(table(), quiet())))


@EVERY
def test_patience_stops(name):
    monitor = Scores([0.5, 0.4, 0.3, 0.2, 0.1], patience=2, look=False)
    generator = SMALL[name](epochs=5).fit(table(), quiet(), monitor=monitor)
    assert monitor.epochs == [0, 1, 2] and len(generator.history) == 3
    assert same(weights(generator), monitor.seen[0])


@EVERY
def test_without_any_score_the_last_weights_are_kept(name):
    generator = SMALL[name](epochs=3).fit(table(), quiet(), monitor=Scores([-np.inf] * 3))
    assert same(weights(generator), weights(SMALL[name](epochs=3).fit(table(), quiet())))
    monitor = Scores([-np.inf, 0.2, -np.inf])
    assert same(weights(SMALL[name](epochs=3).fit(table(), quiet(), monitor=monitor)), monitor.seen[1])


@EVERY
def test_seeds_make_weights(name):
    first, second, third = (weights(SMALL[name](epochs=1).fit(table(), quiet(seed=seed))) for seed in (3, 3, 4))
    assert same(first, second) and not same(first, third)


@EVERY
def test_histories_have_a_row_for_each_epoch_of_the_last_fit(name):
    engine, generator = quiet(), SMALL[name](epochs=2)
    for _ in range(2):
        generator.fit(table(), engine)
        assert [row["epoch"] for row in generator.history] == [0, 1]
        assert all(np.isfinite(list(row["terms"].values())).all() for row in generator.history)


@EVERY
def test_no_epochs_leave_a_network_that_samples(name):
    generator = SMALL[name](epochs=0).fit(table(), quiet())
    assert len(generator.sample(30)) == 30 and generator.history == []


@EVERY
def test_ten_rows_are_enough(name):
    assert len(SMALL[name](epochs=2).fit(table(10), quiet()).sample(5)) == 5


@EVERY
def test_samples_dont_depend_on_training_mode_and_leave_it(name):
    generator = SMALL[name](epochs=1).fit(table(), quiet())
    first = generator.sample(20)
    generator.sampler.train()
    pd.testing.assert_frame_equal(generator.sample(20), first)
    assert generator.sampler.training


@pytest.mark.parametrize(("settings", "said"), [({"epochs": -1}, "epochs"), ({"batch_size": 0}, "batch_size")])
def test_wrong_amounts_are_refused(settings, said):
    with pytest.raises(BadSetting, match=said):
        TVAE(**settings)

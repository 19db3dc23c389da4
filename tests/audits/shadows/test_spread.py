"""Shadows trained by workers of Ray are those trained here. Skipped where Ray is not installed."""

from pathlib import Path

import pytest
import torch
from torch import nn

from expunge.audits.shadows import ShadowSet, spread
from expunge.engine import Engine
from expunge.errors import BadSetting, MissingExtra
from expunge.methods import Retrain
from expunge.optimizers import Optimizer
from expunge.tasks import ClassificationTask

RECIPE = Retrain(epochs=4, optimizer=Optimizer("adam", 1e-2))
TASK = ClassificationTask(lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), 3)


def by_hand(task, stream, engine):
    """The recipe by another name, so that nobody knows what it is, and networks are trained one by one."""
    return RECIPE.train(task, stream, engine)


def trained(engine: Engine, train=by_hand, workers: int = 1) -> ShadowSet:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(31, 5, generator=generator), torch.randint(3, (31,), generator=generator)
    with engine.scope("shadows"):
        return ShadowSet.trained(TASK, data, 4, train, 4, engine, workers)


def answers(shadows: ShadowSet) -> torch.Tensor:
    return shadows.collect(TASK, 31)


def test_workers_of_ones_own_give_the_same_networks_and_are_gone_afterwards(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    here, there = Engine(progress=False), Engine(progress=False, folder=tmp_path / "kept")
    single = trained(here)
    monkeypatch.setattr(spread.tempfile, "tempdir", None)
    folders, start = list[Path](), ray.init

    def watched(*args, **settings):
        folders.append(Path(settings["_temp_dir"]))
        return start(*args, **settings)

    monkeypatch.setattr(ray, "init", watched)
    spread_out = trained(there, workers=2)
    assert torch.equal(answers(single), answers(spread_out))
    assert [(row["fit"], row["epoch"], row["terms"]) for row in there.history] == [
        (row["fit"], row["epoch"], row["terms"]) for row in here.history
    ]
    assert not ray.is_initialized() and len(folders) == 1 and not folders[0].exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept" / "shadows").iterdir()}
    assert kept.keys() == {f"shadow-{number}.safetensors" for number in range(4)}
    (tmp_path / "kept" / "shadows" / "shadow-1.safetensors").unlink()
    again = trained(Engine(progress=False, folder=tmp_path / "kept"))
    assert torch.equal(answers(again), answers(single)) and len(folders) == 1, "only the lost one is trained, here"


def test_workers_that_run_already_are_taken_and_left_running(tmp_path_factory):
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=str(tmp_path_factory.mktemp("r")))
    try:
        as_one, apart = trained(Engine(progress=False), RECIPE.train), trained(Engine(progress=False), RECIPE.train, 2)
        assert apart.one_by_one == "" and ray.is_initialized()
        torch.testing.assert_close(answers(apart), answers(as_one), rtol=0, atol=1e-5)
    finally:
        ray.shutdown()


def test_without_ray_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(
        MissingExtra, match=r"^training shadows by several workers needs Ray: pip install 'expunge\[distributed\]'$"
    ):
        trained(Engine(progress=False), workers=2)


def test_no_worker_is_no_setting():
    with pytest.raises(BadSetting, match=r"^there must be a worker to train shadows, or more, not 0$"):
        trained(Engine(progress=False), workers=0)

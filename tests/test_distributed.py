"""Two processes on one CPU (gloo) give the result of one, for the same global batch."""

import subprocess
import sys

import pytest

WORKER = """
import sys

import torch
from torch import nn
from tiny import blobs, class_split
from tiny_graphs import link_parts, link_split

from expunge.engine import Engine
from expunge.methods import BadTeacher, D2DGN, NegGradPlus, RandomLabels, Retrain, SCRUB
from expunge.models.gnn import GCN
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.storage import write_weights
from expunge.tasks import ClassificationTask, LinkPredictionTask

torch.set_num_threads(1)
folder = sys.argv[1]
engine = Engine(progress=False, folder=folder + "/work", checkpoint_steps=4)
task = ClassificationTask(lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), classes=4)
model = engine.new_model(task.new_model)
# 160 examples in batches of 17: shares of unequal size, and a last batch that is smaller
engine.fit(model, lambda m, b: task.losses(task.outputs(m, b), b), Batches(blobs(), 17), epochs=3, clip_norm=1.0)
results = {"original": model}
# SCRUB begins where its gradient is zero but for rounding, which Adam would blow up to whole steps
scrub = SCRUB(epochs=2, optimizer=Optimizer("sgd", 0.05))
for method in (NegGradPlus(epochs=2), BadTeacher(epochs=2), RandomLabels(epochs=2), scrub):
    results[method.name] = method(model, task, class_split(17), engine)
# links come in one batch, of which each process has its share
links, rate = LinkPredictionTask(lambda: GCN(8, hidden=16, outputs=8)), Optimizer("sgd", 0.05)
with engine.scope("links"):
    on_links = Retrain(epochs=5, optimizer=rate).train(links, link_parts().training(), engine)
results["d2dgn"] = D2DGN(alpha=0.5, stop="never", epochs=5, optimizer=rate)(on_links, links, link_split(), engine)
if engine.is_main:
    for name, result in results.items():
        write_weights(f"{folder}/{name}.safetensors", result.state_dict())
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("distributed")
    script = root / "worker.py"
    script.write_text(WORKER)
    found = {}
    for processes in (1, 2):
        folder = root / str(processes)
        folder.mkdir()
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command = [*start, str(script), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, env=_environment(), timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        found[processes] = folder
    return found


def _environment():
    import os
    from pathlib import Path

    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize("name", ["original", "neggrad-plus", "bad-teacher", "random-labels", "scrub", "d2dgn"])
def test_two_processes_equal_one(folders, name):
    import torch

    from expunge.storage import read_weights

    one, two = (read_weights(folder / f"{name}.safetensors")[0] for folder in folders.values())
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-5)


def test_only_one_process_writes(folders):
    assert sorted(path.name for path in (folders[2] / "work").rglob("*.safetensors")) == sorted(
        path.name for path in (folders[1] / "work").rglob("*.safetensors")
    )
    assert not list(folders[2].rglob("*.tmp"))

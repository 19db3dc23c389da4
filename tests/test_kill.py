"""Kill -9 in the middle of training and of unlearning; the same command again ends with the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from expunge.storage import read_weights

FACTORY = '''
import os
import signal

from torch import nn

CALLS = 0


class Mortal(nn.Module):
    """Kills its process at the forward pass in training mode that KILL_AT names."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 10))

    def forward(self, inputs):
        global CALLS
        if self.training:
            CALLS += 1
            if CALLS == int(os.environ.get("KILL_AT", 0)):
                os.kill(os.getpid(), signal.SIGKILL)
        return self.body(inputs)


def make():
    return Mortal()
'''
JOB = """\
data: {name: digits, train: 320}
model: {name: "mortal:make"}
training: {epochs: 3}
request: {class: 3}
methods: [{method: scrub, epochs: 4, max_epochs: 2}, {method: salun, epochs: 3}]
retrained: 1
engine: {checkpoint_steps: 3}
"""
# 5 batches an epoch: the original takes passes 1 to 15, the retrained model 16 to 30, then SCRUB and SalUn
MOMENTS = {"training the original": 8, "retraining": 22, "the first method": 37, "the second method": 46}


def run(folder: Path, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KILL_AT": str(kill_at), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "expunge", "run", "job.yaml", "--out", "out"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def prepare(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mortal.py").write_text(FACTORY)
    (folder / "job.yaml").write_text(JOB)
    return folder


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory):
    folder = prepare(tmp_path_factory.mktemp("unharmed"))
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.mark.parametrize("kill_at", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, unharmed, kill_at):
    folder = prepare(tmp_path)
    assert run(folder, kill_at).returncode == -signal.SIGKILL
    assert not (folder / "out" / "audit.json").exists()
    assert list((folder / "out" / "work").rglob("*.safetensors")), "no checkpoint was there to go on from"
    done = run(folder)
    assert done.returncode == 0, done.stderr
    for path in unharmed.rglob("*.safetensors"):
        whole, resumed = read_weights(path)[0], read_weights(folder / "out" / path.relative_to(unharmed))[0]
        assert whole.keys() == resumed.keys()
        assert all(torch.equal(whole[name], resumed[name]) for name in whole), path.name
    assert not list((folder / "out").rglob("*.tmp"))


def test_another_job_does_not_go_on_in_the_folder(tmp_path):
    folder = prepare(tmp_path)
    assert run(folder, kill_at=8).returncode == -signal.SIGKILL
    (folder / "job.yaml").write_text(JOB + "seed: 1\n")
    done = run(folder)
    assert done.returncode == 2 and "the beginning of another job" in done.stderr

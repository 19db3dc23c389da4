"""A client leaves a federation that lies in a file: in Python and on the command line."""

import json

import pytest
import torch
from typer.testing import CliRunner

from expunge.cli import app
from expunge.errors import BadRequest, BadSetting
from expunge.federated import Snapshot
from expunge.methods import ConDa
from expunge.storage import read_weights
from expunge.studies.leaving import leave_federation, module_of
from tiny_federations import LEAVES, played


@pytest.fixture
def snapshot() -> Snapshot:
    model, split = played()
    return Snapshot({**model.state_dict(), "count": torch.tensor(7)}, split.contributions, 6)


def test_the_model_is_what_conda_makes_of_it(snapshot):
    left = leave_federation(snapshot, [LEAVES])
    expected = ConDa().take_out(played()[0], snapshot.contributions, [LEAVES])
    assert left.done.cutoff == expected.cutoff and left.done.shares == expected.shares
    assert list(left.snapshot.model) == list(snapshot.model) and left.snapshot.model["count"] == 7
    for name, value in expected.model.state_dict().items():
        assert torch.equal(left.snapshot.model[name], value)
    assert left.snapshot.contributions.clients == ("client-0", "client-1", "client-2") and left.snapshot.round == 6
    assert LEAVES in snapshot.contributions.clients  # what was handed in is as it was


def test_refusals(snapshot):
    with pytest.raises(BadRequest, match="nobody never took part"):
        leave_federation(snapshot, ["nobody"])
    with pytest.raises(BadRequest, match="all 4 clients leave"):
        leave_federation(snapshot, snapshot.contributions.clients)
    with pytest.raises(BadSetting, match="rounds need the clients who stay"):
        leave_federation(snapshot, [LEAVES], ConDa(rounds=1))


def test_a_module_that_holds_tensors_keeps_parameters_and_buffers_apart():
    made = module_of({"a.0.w": torch.ones(2), "a.0.mean": torch.zeros(2), "a.1.w": torch.ones(1)}, {"a.0.w": 0, "a.1.w": 0})
    assert [name for name, _ in made.named_parameters()] == ["a.0.w", "a.1.w"]
    assert [name for name, _ in made.named_buffers()] == ["a.0.mean"]


def test_the_command(snapshot, tmp_path):
    snapshot.save(tmp_path / "federation.safetensors")
    asked = ["leave", str(tmp_path / "federation.safetensors"), "--client", LEAVES, "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    assert f"Client {LEAVES} left after round 6" in " ".join(found.output.split()) and "0.weight" in found.output
    said = json.loads((tmp_path / "out" / "leaving.json").read_text())
    assert said["clients"] == [LEAVES] and said["after_round"] == 6 and 0 < said["share"] < 1
    expected = leave_federation(snapshot, [LEAVES]).snapshot.model
    kept, _ = read_weights(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in expected.items())
    later = Snapshot.load(tmp_path / "out" / "federation.safetensors")
    assert later.contributions.clients == ("client-0", "client-1", "client-2")
    assert all(torch.equal(later.model[name], value) for name, value in expected.items())
    again = CliRunner().invoke(app, asked)
    assert again.exit_code != 0
    half = CliRunner().invoke(app, [*asked, "--budget", "0.5", "--overwrite", "--json"])
    assert half.exit_code == 0 and json.loads(half.stdout)["share"] == pytest.approx(0.5, abs=0.01)

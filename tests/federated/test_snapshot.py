"""A federation as one file: what was written is read, in its order, and what is torn, damaged or something else is refused."""

import json
import os

import pytest
import torch

from expunge import storage
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.federated import Contributions, Snapshot
from expunge.storage import read_weights, write_weights

SHAPES = {"10": (2, 2), "2": (3,), "body.weight": (1, 2, 3), "scale": ()}  # not in safetensors' order


def model(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return found | {"steps": torch.tensor(seed), "half": torch.randn(2, generator=generator).half()}


def snapshot(reference: str = "round", precision: str = "fp32", clients: tuple[str, ...] = ("b", "a")) -> Snapshot:
    sums = Contributions(model(0), reference, precision)
    for number in (1, 2):
        for place, client in enumerate(clients):
            sums.add(client, model(number - 1), model(10 * number + place))
    return Snapshot(model(2), sums, 2)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


@pytest.mark.parametrize("reference", ["round", "initial"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_was_written_is_read(tmp_path, reference, precision):
    written = snapshot(reference, precision)
    written.save(tmp_path / "a" / "federation.safetensors")
    found = Snapshot.load(tmp_path / "a" / "federation.safetensors")
    assert found.round == 2 and same(found.model, written.model)
    sums = found.contributions
    assert (sums.reference, sums.precision, sums.rounds) == (reference, precision, {"b": 2, "a": 2})
    assert sums.bytes == written.contributions.bytes and list(sums.shapes) == list(written.contributions.shapes)
    for each in (sums, written.contributions):
        each.add("a", model(2), model(30))
    assert same(sums.of(["a", "b"]), written.contributions.of(["a", "b"]))


def test_names_of_clients_may_be_anything(tmp_path):
    clients = ("a", "a 10", "0", "1 10", "Straße \n'\"", " ")
    written = snapshot(clients=clients)
    written.save(tmp_path / "it")
    found = Snapshot.load(tmp_path / "it").contributions
    assert found.clients == tuple(sorted(clients))
    for client in clients:
        assert same(found.of([client]), written.contributions.of([client]))


def test_nobody_has_taken_part_yet(tmp_path):
    Snapshot(model(0), Contributions(model(0)), 0).save(tmp_path / "it")
    found = Snapshot.load(tmp_path / "it")
    assert found.round == 0 and found.contributions.clients == () and found.contributions.bytes == 0


def test_contributions_are_read_from_a_snapshot_too(tmp_path):
    written = snapshot("initial")
    written.save(tmp_path / "it")
    found, facts = Contributions.load(tmp_path / "it")
    assert facts["round"] == "2" and found.rounds == written.contributions.rounds
    assert same(found.of(["b"]), written.contributions.of(["b"])) and same(found.initial, written.contributions.initial)


def test_a_copy_goes_its_own_way():
    sums = snapshot().contributions
    kept, other = sums.of(["a"]), sums.copy()
    other.add("a", model(0), model(5))
    other.add("c", model(0), model(5))
    assert sums.clients == ("a", "b") and sums.rounds["a"] == 2 and same(sums.of(["a"]), kept)
    assert other.clients == ("a", "b", "c") and not same(other.of(["a"]), kept)


def test_those_who_left_are_gone_from_the_file_too(tmp_path):
    written = snapshot(clients=("b", "a", "c"))
    rest = written.contributions.without(["b", "b"])
    Snapshot(written.model, rest, written.round).save(tmp_path / "it")
    found = Snapshot.load(tmp_path / "it").contributions
    assert found.clients == ("a", "c") and written.contributions.clients == ("a", "b", "c")
    assert same(found.of(["a", "c"]), written.contributions.of(["a", "c"]))
    assert len([name for name in read_weights(tmp_path / "it")[0] if name.startswith("sum ")]) == 2 * len(rest.shapes)
    with pytest.raises(BadRequest, match="client d never took part, so there is nothing of it to delete"):
        rest.without(["d"])


def test_half_precision_that_overflows_is_refused_and_nothing_is_counted():
    zero, large = {"w": torch.zeros(2)}, {"w": torch.tensor([40_000.0, 1.0])}
    sums = Contributions(zero, precision="fp16")
    sums.add("a", zero, large)
    with pytest.raises(ArithmeticError, match="sum of client a in 'w' passes 65504, the largest number in fp16"):
        sums.add("a", zero, large)
    assert sums.rounds == {"a": 1} and sums.of(["a"])["w"].tolist() == [40_000.0, 1.0]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_torn_file_is_refused(tmp_path, share):
    path = tmp_path / "federation.safetensors"
    snapshot().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(BadFile, match="not a whole safetensors file"):
        Snapshot.load(path)


def test_a_crash_while_it_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "federation.safetensors"
    snapshot().save(path)

    def crash(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            Snapshot(model(3), snapshot().contributions, 3).save(path)
    assert Snapshot.load(path).round == 2 and os.listdir(tmp_path) == [path.name]


def test_other_files_are_refused(tmp_path):
    write_weights(tmp_path / "weights", model(0))
    snapshot().contributions.save(tmp_path / "sums", round="2")
    for name in ("weights", "sums"):
        with pytest.raises(BadFile, match=f"{name} is no snapshot of a federation; it is written by Snapshot.save, and by Tr"):
            Snapshot.load(tmp_path / name)
    torch.save(model(0), tmp_path / "pickle")
    with pytest.raises(BadFile, match="is a pickle"):
        Snapshot.load(tmp_path / "pickle")
    with pytest.raises(BadFile, match="not found"):
        Snapshot.load(tmp_path / "nowhere")


def without(tensors: dict, name: str) -> dict:
    return {key: value for key, value in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors, facts: (without(tensors, "model 2"), facts), "'model 2'"),
        (lambda tensors, facts: (without(tensors, "sum 1 10"), facts), "'sum 1 10'"),
        (lambda tensors, facts: (without(tensors, "initial half"), facts), "'initial half'"),
        (lambda tensors, facts: (tensors | {"sum 0 2": torch.zeros(4)}, facts), r"'2' has shape \(4,\), not \(3,\)"),
        (lambda tensors, facts: (tensors | {"initial 2": torch.zeros(1)}, facts), r"'2' has shape \(1,\), not \(3,\)"),
        (lambda tensors, facts: (tensors, facts | {"round": "two"}), "two"),
        (lambda tensors, facts: (tensors, facts | {"round": "-1"}), "0 or more, not -1"),
        (lambda tensors, facts: (tensors, facts | {"model": "{"}), "double quotes"),
        (lambda tensors, facts: (tensors, facts | {"model": "[]"}), "there is no tensor"),
        (lambda tensors, facts: (tensors, facts | {"contributions": "7"}), "contributions of clients is damaged"),
        (lambda tensors, facts: (tensors, facts | {"contributions": json.dumps({"shapes": {}})}), "damaged"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, change, message):
    snapshot("initial").save(tmp_path / "it")
    write_weights(tmp_path / "it", *change(*read_weights(tmp_path / "it")))
    with pytest.raises(BadFile, match=f"it is a damaged snapshot of a federation .*{message}.*take an older copy"):
        Snapshot.load(tmp_path / "it")
    if "sum" in message or "damaged" in message:
        with pytest.raises(BadFile, match=f"{message}.*take an older copy"):
            Contributions.load(tmp_path / "it")


def test_what_makes_no_sense_is_refused():
    with pytest.raises(BadSetting, match="0 or more, not -1"):
        Snapshot(model(0), snapshot().contributions, -1)
    with pytest.raises(BadSetting, match="there is no tensor"):
        Snapshot({}, snapshot().contributions, 1)

"""Files are whole or not there, and are what they say they are."""

import io
import json
import math
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from expunge.errors import BadFile, ExpungeError
from expunge.storage import load_weights, read_weights, write_bytes, write_json, write_text, write_weights


def network(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


class Tied(nn.Module):
    """Two names for one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(3, 3, bias=False)
        self.decode = nn.Linear(3, 3, bias=False)
        self.decode.weight = self.encode.weight


def same(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- whole or not there -------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new" / "folder" / "notes.txt"
    write_text(path, "Größe: 3 µm\n")
    assert path.read_bytes() == "Größe: 3 µm\n".encode()
    write_text(path, "short")
    assert path.read_bytes() == b"short"
    assert names(path.parent) == ["notes.txt"]


def test_content_that_cannot_be_written_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "model.bin"
    write_bytes(path, b"old")
    with pytest.raises(TypeError):
        write_bytes(path, "text is not bytes")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["model.bin"]


def test_a_first_file_that_cannot_be_written_is_not_there_at_all(tmp_path):
    with pytest.raises(TypeError):
        write_bytes(tmp_path / "model.bin", "text is not bytes")
    assert names(tmp_path) == []


def test_a_renaming_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    write_bytes(path, b"old")
    seen = []

    def refuse(source, target):
        with open(source, "rb") as file:
            seen.append((file.read(), os.fspath(target)))
        raise OSError("disk on fire")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk on fire"):
        write_bytes(path, b"new")
    assert seen == [(b"new", str(path))], "all of the content should lie under another name before the renaming"
    assert path.read_bytes() == b"old" and names(tmp_path) == ["model.bin"]


def test_the_old_file_stands_until_the_renaming(tmp_path, monkeypatch):
    path, replace = tmp_path / "model.bin", os.replace
    write_bytes(path, b"old")

    def look(source, target):
        assert path.read_bytes() == b"old"
        assert os.path.dirname(source) == str(tmp_path), "a renaming across file systems is a copy"
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


# ---- JSON ---------------------------------------------------------------------------------------------------------------


def test_json_comes_back_as_it_went(tmp_path):
    value = {"auc": 0.5, "names": ["ä", None, True], "nested": {"n": 3}}
    write_json(tmp_path / "audit.json", value)
    text = (tmp_path / "audit.json").read_text()
    assert json.loads(text) == value and text.endswith("}\n") and "\n  " in text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_no_word_for_are_refused_before_anything_is_written(tmp_path, number):
    path = tmp_path / "audit.json"
    write_json(path, {"auc": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"rows": [{"auc": number}]})
    assert json.loads(path.read_text()) == {"auc": 0.5} and names(tmp_path) == ["audit.json"]


# ---- weights ------------------------------------------------------------------------------------------------------------


def test_weights_and_metadata_come_back_bit_by_bit(tmp_path):
    tensors = {
        "half": torch.randn(3, 2).bfloat16(),
        "single": torch.randn(4),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "turned": torch.arange(6.0).view(2, 3).T,  # not contiguous
        "empty": torch.empty(0, 3),
        "odd": torch.tensor([math.nan, math.inf, -0.0]),
    }
    metadata = {"key": "größe 1", "seconds": "0.1"}
    write_weights(tmp_path / "w.safetensors", tensors, metadata)
    found, facts = read_weights(tmp_path / "w.safetensors")
    assert facts == metadata and found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True)
    assert names(tmp_path) == ["w.safetensors"]


def test_without_metadata_there_is_none(tmp_path):
    write_weights(tmp_path / "w.safetensors", {"a": torch.ones(1)})
    assert read_weights(tmp_path / "w.safetensors")[1] == {}


def test_the_file_is_one_that_others_read(tmp_path):
    model = network()
    write_weights(tmp_path / "w.safetensors", model.state_dict())
    other = network()
    other.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert same(model, other)


def test_writing_parameters_keeps_no_tie_to_them(tmp_path):
    parameter = nn.Parameter(torch.ones(2))
    write_weights(tmp_path / "w.safetensors", {"p": parameter})
    found = read_weights(tmp_path / "w.safetensors")[0]["p"]
    assert not found.requires_grad and parameter.requires_grad
    write_weights(tmp_path / "w.safetensors", {"p": torch.zeros(2)})
    assert found.tolist() == [1.0, 1.0], "what was read does not follow the file"


def test_load_fills_the_model_in_place_with_buffers_too(tmp_path):
    trained = network()
    trained(torch.randn(8, 3))  # moves the running statistics
    write_weights(tmp_path / "w.safetensors", trained.state_dict(), {"epoch": "3"})
    model = network()
    assert not same(model, trained)
    assert load_weights(model, tmp_path / "w.safetensors") is model
    assert same(model, trained) and model[1].num_batches_tracked == 1


def test_tied_weights_come_back_tied(tmp_path):
    trained, model = Tied(), Tied()
    write_weights(tmp_path / "w.safetensors", trained.state_dict())
    assert read_weights(tmp_path / "w.safetensors")[0].keys() == {"encode.weight", "decode.weight"}
    load_weights(model, tmp_path / "w.safetensors")
    assert same(model, trained) and model.decode.weight is model.encode.weight


# Safetensors begin with the length of their header, a multiple of 8 in little-endian bytes. Pickles begin with 0x80 and their
# protocol, so a header of 128 + 256 k bytes looks like one in its first byte; 640 bytes look like protocol 2 in its first two.
@pytest.mark.parametrize("length", [128, 384, 640])
def test_weights_whose_first_byte_is_that_of_a_pickle_are_read(tmp_path, length):
    path = tmp_path / "w.safetensors"
    write_weights(path, {"w": torch.ones(1)}, {"padding": ""})
    shortest = int.from_bytes(path.read_bytes()[:8], "little")
    write_weights(path, {"w": torch.ones(1)}, {"padding": " " * (length - shortest)})
    assert path.read_bytes()[:8] == length.to_bytes(8, "little") and load_file(path).keys() == {"w"}
    assert read_weights(path)[0]["w"].tolist() == [1.0]


# ---- files that are not what they should be -----------------------------------------------------------------------------


class Bomb:
    """Says when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


def pickles() -> dict[str, bytes]:
    modern, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"w": Bomb()}, modern)
    torch.save({"w": Bomb()}, legacy, _use_new_zipfile_serialization=False)
    plain = {f"protocol {protocol}": pickle.dumps(Bomb(), protocol=protocol) for protocol in (2, 3, 4, 5)}
    return {"torch.save": modern.getvalue(), "old torch.save": legacy.getvalue(), **plain}


@pytest.mark.parametrize("kind", pickles())
def test_a_pickle_is_refused_unopened_with_a_way_out(tmp_path, kind):
    path = tmp_path / "model.pt"
    path.write_bytes(pickles()[kind])
    with pytest.raises(BadFile, match=r"model\.pt is a pickle .*foreign code.*convert it .*safetensors\.torch\.save_file"):
        read_weights(path)


def test_the_oldest_pickle_is_refused_as_well(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Bomb(), protocol=0))
    with pytest.raises(BadFile, match=r"model\.pkl"):
        read_weights(path)


@pytest.mark.parametrize("kept", [0, 4, 8, 40, -1])
def test_a_file_that_was_cut_short_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    write_weights(path, network().state_dict())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadFile, match=r"model\.safetensors is not a whole safetensors file: ."):
        read_weights(path)


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(BadFile, match=r"model\.safetensors is not a whole safetensors file"):
        read_weights(path)


@pytest.mark.parametrize("name", ["nowhere.safetensors", "."])
def test_a_missing_file_and_a_folder_are_named(tmp_path, name):
    with pytest.raises(BadFile, match="weights file not found: .*" + tmp_path.name):
        read_weights(tmp_path / name)


def test_keys_that_do_not_fit_are_named_on_both_sides_and_nothing_is_loaded(tmp_path):
    tensors = network().state_dict()
    del tensors["0.weight"], tensors["2.bias"]
    write_weights(tmp_path / "w.safetensors", tensors | {f"extra.{index}": torch.ones(1) for index in range(5)})
    model, before = network(), network()
    before.load_state_dict(model.state_dict())
    message = (
        r"w\.safetensors does not fit Sequential: it lacks '0\.weight', '2\.bias' "
        r"and has 'extra\.0', 'extra\.1', 'extra\.2' and 2 more besides; build the model with the architecture"
    )
    with pytest.raises(BadFile, match=message):
        load_weights(model, tmp_path / "w.safetensors")
    assert same(model, before)


def test_keys_that_are_only_missing_leave_nothing_besides(tmp_path):
    write_weights(tmp_path / "w.safetensors", {})
    with pytest.raises(BadFile, match=r"it lacks '0\.bias', .* and has nothing besides"):
        load_weights(network(), tmp_path / "w.safetensors")


def test_keys_that_are_only_foreign_lack_nothing(tmp_path):
    write_weights(tmp_path / "w.safetensors", {**network().state_dict(), "3.weight": torch.ones(1)})
    with pytest.raises(BadFile, match=r"it lacks nothing and has '3\.weight' besides"):
        load_weights(network(), tmp_path / "w.safetensors")


def test_shapes_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path):
    write_weights(tmp_path / "w.safetensors", network(width=5).state_dict())
    model, before = network(width=4), network(width=4)
    before.load_state_dict(model.state_dict())
    with pytest.raises(BadFile, match=r"'0\.weight' has shape \(5, 3\), not \(4, 3\) as in Sequential; check the number of cl"):
        load_weights(model, tmp_path / "w.safetensors")
    assert same(model, before)


def test_these_errors_are_ones_that_a_user_can_mend(tmp_path):
    with pytest.raises(ExpungeError):
        read_weights(tmp_path / "nowhere.safetensors")

"""`expunge search`: from images to a small network that is held against chance, from the command line to the files."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from expunge.cli import app
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.search import SEARCHES, Genotype
from expunge.studies.searching import SearchPlan, find_method, judge, search_images
from expunge.studies.searching_data import divide, read_pictures
from expunge.studies.searching_files import load_network
from tiny_pictures import TINY, pictures, save

FILES = {"genotype.json", "model.safetensors", "search.json", "cell.svg", "report.html", "model_card.md", "split.json", "work"}
OPTIONS = ("--epochs", 2, "--nodes", 1, "--cells", 2, "--channels", 4, "--retrain-epochs", 2, "--random", 2, "--batch-size", 24)


def run(*arguments, code=0):
    found = CliRunner().invoke(app, ["search", *map(str, arguments)], env={"COLUMNS": "200"})
    assert found.exit_code == code, found.output + found.stderr
    return found.stdout if code == 0 else found.stderr


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A file of faces, the folder of a finished search in it, and what was said."""
    folder = tmp_path_factory.mktemp("search")
    path = save(folder / "faces.npz", classes=np.array(["left", "top"]))
    return path, folder / "out", run(path, *OPTIONS, "--out", folder / "out")


def record_of(out):
    return json.loads((out / "search.json").read_text())


def test_a_cell_is_found_held_against_others_and_written(done):
    _, out, said = done
    assert {path.name for path in out.iterdir()} == FILES
    record = record_of(out)
    assert record["images"] == {"train": 90, "test": 30} and record["persons"] == {"train": 9, "test": 3}
    assert [model["role"] for model in record["models"]] == ["found", "random", "random", "hand-made", "reference"]
    assert Genotype.from_json(record["genotype"]) == Genotype.load(out / "genotype.json")
    assert record["models"][0]["genotype"] == record["genotype"]
    found, *randoms = (model["scores"]["accuracy"] for model in record["models"][:3])
    assert record["margin"] == pytest.approx(found - np.mean(randoms))
    assert record["beats_chance"] == (record["margin"] > np.std(randoms, ddof=1))
    assert record["models"][-1]["scores"] is None and record["models"][-1]["macs"] > record["models"][0]["macs"]
    assert len(record["history"]) == 2 and record["architecture_steps"] > 0
    assert said.splitlines()[0] == record["verdict"][0] and "hand-made CNN" in said
    assert (out / "cell.svg").read_text().startswith("<svg")


def test_nobody_is_on_both_sides(done):
    path, out, _ = done
    split = json.loads((out / "split.json").read_text())
    persons = np.load(path)["persons"]
    sides = [set(persons[split[name]].tolist()) for name in ("train", "test")]
    assert not sides[0] & sides[1] and sides[0] | sides[1] == set(range(12))
    assert sorted(split["train"] + split["test"]) == list(range(120))


def test_the_search_sees_the_training_part_alone(whole, tmp_path):
    path, plain, _ = whole
    rows = divide(read_pictures(str(path)), 0).test
    images = pictures()["images"]
    images[rows] = 255 - images[rows]
    changed = search_images(str(save(tmp_path / "changed.npz", images=images)), TINY, tmp_path / "out")
    assert plain.found.genotype == changed.found.genotype
    assert [row["terms"] for row in plain.found.history] == [row["terms"] for row in changed.found.history]
    assert [each.accuracy for each in plain.models[:2]] != [each.accuracy for each in changed.models[:2]]


def test_the_file_builds_the_network_again(done):
    path, out, _ = done
    network, facts = load_network(out / "model.safetensors")
    divided = divide(read_pictures(str(path)), 0, faces=True)
    assert judge(network, divided).accuracy == record_of(out)["models"][0]["scores"]["accuracy"]
    assert facts["classes"] == ["left", "top"] and facts["scaling"] == {"by": "image"} and facts["shape"] == [1, 8, 8]
    with pytest.raises(BadFile, match="not found"):
        load_network(out / "none.safetensors")


def test_faces_come_with_a_card_that_says_what_they_are_not_for(done):
    _, out, said = done
    card, page = (out / "model_card.md").read_text(), (out / "report.html").read_text()
    for text in (card, page):
        assert "Not an emotion felt" in text and "Article 5(1)(f)" in text and "London" not in text
    assert "expression class" in said and record_of(out)["faces"]
    assert "undecided" in said.lower()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file, a search in it that nothing interrupted, and the folder of both."""
    folder = tmp_path_factory.mktemp("whole")
    path = save(folder / "faces.npz")
    return path, search_images(str(path), TINY, folder), folder


@pytest.mark.parametrize("at", ["epoch 2", "training the random cell 1"])
def test_a_killed_search_goes_on_to_the_same_end(whole, tmp_path, monkeypatch, at):
    path, expected, folder = whole
    told = []

    def killed(line):
        told.append(line)
        if line.startswith(at):
            raise KeyboardInterrupt

    monkeypatch.setattr("expunge.studies.searching.Engine", partial(Engine, checkpoint_steps=1))
    with pytest.raises(KeyboardInterrupt):
        search_images(str(path), TINY, tmp_path / "out", say=killed)
    assert not (tmp_path / "out" / "search.json").exists()
    told.clear()
    again = search_images(str(path), TINY, tmp_path / "out", say=told.append)
    assert not any(line.startswith("epoch 1") for line in told)  # it went on after that one
    assert again.found.genotype == expected.found.genotype
    assert [each.accuracy for each in again.models[:-1]] == [each.accuracy for each in expected.models[:-1]]
    weights = [load_network(each / "model.safetensors")[0].state_dict() for each in (folder, tmp_path / "out")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_json_equals_the_record_and_finished_folders_are_kept(done, tmp_path):
    path, _, _ = done
    said = run(path, *OPTIONS, "--random", 0, "--json", "--out", tmp_path / "out")
    assert said == (tmp_path / "out" / "search.json").read_text()
    assert json.loads(said)["margin"] is None and "can't be told" in json.loads(said)["verdict"][0]
    assert "--overwrite" in run(path, *OPTIONS, "--out", tmp_path / "out", code=2)
    quick = [each for each in OPTIONS if each not in ("--epochs",)][1:]
    run(path, *quick, "--method", "zero-cost", "--set", "candidates=3", "--overwrite", "--out", tmp_path / "out")
    record = record_of(tmp_path / "out")
    assert record["method"] == "zero-cost" and len(record["candidates"]) == 3 and record["decidedness"] is None


def test_faces_of_the_london_set_are_known_by_their_arrays(tmp_path):
    generator = np.random.default_rng(0)
    neutral, smiling = (generator.integers(0, 256, (8, 12, 12)).astype(np.uint8) for _ in range(2))
    who = np.array([f"{place:03}" for place in range(8)])
    points, age = np.zeros((8, 189, 2), np.float32), np.full(8, 30.0)
    np.savez(tmp_path / "london.npz", neutral=neutral, smiling=smiling, landmarks=points, person=who, age=age, gender=who)
    found = read_pictures(str(tmp_path / "london.npz"))
    assert found.classes == ("neutral", "smiling") and found.images.shape == (16, 1, 12, 12) and found.london
    assert divide(found, 0, size=8).shape == (1, 8, 8)


def test_images_may_lie_in_folders_of_their_classes(tmp_path):
    arrays = pictures(60)
    for place, (image, label) in enumerate(zip(arrays["images"], arrays["labels"], strict=True)):
        folder = tmp_path / "set" / ("left", "top")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{place}.png")
    found = divide(read_pictures(str(tmp_path / "set"), 8), 0)
    assert found.shape == (3, 8, 8) and found.pictures.classes == ("left", "top") and found.pictures.persons is None
    assert len(found.train) + len(found.test) == 60 and found.scaling["by"] == "channel"
    training = found.images[torch.from_numpy(found.train)]
    assert training.mean((0, 2, 3)).abs().max() < 1e-4 and (training.std((0, 2, 3)) - 1).abs().max() < 1e-4


def test_data_of_a_name_keeps_its_own_test():
    found = divide(read_pictures("digits"), 0, train=200)
    assert len(found.train) == 200 and len(found.pictures.classes) == 10 and found.shape == (1, 8, 8)
    assert found.test.tolist() == found.pictures.held.tolist() and not set(found.train) & set(found.test)


@pytest.mark.parametrize("shape", [(30, 8, 9), (30, 8, 9, 3), (30, 3, 8, 9)])
def test_images_of_any_order_of_channels_are_read(tmp_path, shape):
    labels = np.arange(30) % 3
    for dtype in (np.uint8, np.float32, np.float64):
        np.savez(tmp_path / "x.npz", x=np.full(shape, 255).astype(dtype), y=labels.astype(np.uint8))
        found = read_pictures(str(tmp_path / "x.npz"))
        assert found.images.shape == (30, 1 if len(shape) == 3 else 3, 8, 9) and found.images.dtype == torch.float32
        assert found.images.unique().tolist() == [1.0 if dtype == np.uint8 else 255.0]
        assert found.classes == ("0", "1", "2")


def test_a_last_batch_of_one_image_is_avoided(tmp_path):
    path = save(tmp_path / "x.npz")
    found = search_images(str(path), dataclasses.replace(TINY, train=49, random=0, method="zero-cost", epochs=None), tmp_path)
    assert found.rows[0] == 49 and found.settings["training"]["batch_size"] == 23


def test_a_network_with_a_stride_is_built_again(tmp_path):
    path = save(tmp_path / "x.npz")
    plan = dataclasses.replace(TINY, random=0, method="zero-cost", epochs=None, stem_stride=2, size=16)
    found = search_images(str(path), plan, tmp_path)
    network, _ = load_network(tmp_path / "model.safetensors")
    assert network.stem(torch.zeros(1, 1, 16, 16)).shape[2:] == (8, 8)
    assert judge(network, divide(read_pictures(str(path)), 0, 16, True)).accuracy == found.models[0].accuracy


def test_labels_may_be_names(tmp_path):
    names = np.array(["top", "left"])[pictures()["labels"]]
    found = read_pictures(str(save(tmp_path / "x.npz", labels=names)))
    assert found.classes == ("left", "top") and found.labels[:2].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": pictures()["labels"] * 2}, "class '1' has no images among 120"),
        ({"classes": np.array(["left", "top", "sad"])}, "class 'sad' has no images among 120"),
        ({"classes": np.array(["left"])}, "labels run from 0 to 1"),
        ({"classes": np.array(["left", "left"])}, "classes must differ"),
        ({"labels": np.zeros(120, int)}, "has one class alone"),
        ({"labels": np.arange(119) % 2}, "there are 120 images and labels of shape (119,)"),
        ({"labels": np.arange(120) / 2}, "labels must be whole numbers"),
        ({"labels": np.arange(120) % 2 - 1}, "labels run from -1 to 0"),
        ({"persons": np.arange(60)}, "120 images and persons of shape (60,)"),
        ({"persons": np.arange(120) % 2}, "there are 2 persons; a search needs at least 3"),
        ({"persons": np.where(np.arange(120) < 2, np.nan, 1.0)}, "2 images have no person"),
        ({"labels": None}, "has no array labels or y; it has images, persons"),
        ({"images": np.zeros((120, 8, 8, 8))}, "1 to 4 channels"),
        ({"images": np.zeros((120, 8))}, "images must be numbers of shape"),
        ({"images": np.full((120, 8, 8), np.nan)}, "120 of 120 images have values that are not finite"),
        ({"images": np.zeros((120, 3, 3))}, "too small"),
        ({"labels": np.array([{"a": 1}] * 120, dtype=object)}, "cannot be read as .npz of plain arrays"),
    ],
)
def test_files_that_make_no_sense_are_refused_before_anything_is_written(tmp_path, changes, words):
    said = " ".join(run(save(tmp_path / "x.npz", **changes), "--out", tmp_path / "out", code=2).split())
    assert words in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "evolution"], "unknown search method 'evolution'; there are darts, gdas"),
        (["--set", "speed=3"], "pc-darts has no setting 'speed'; there are epochs, warmup"),
        (["--set", "warmup"], "--set warmup sets nothing"),
        (["--set", "partial=few"], "pc-darts, partial=few: Input should be a valid integer"),
        (["--set", "warmup=2"], "warmup from 0 to below 1"),
        (["--set", "cost=time"], "pc-darts, cost=time"),
        (["--set", "watch=print"], "no setting 'watch'"),
        (["--set", "epochs=3", "--epochs", "3"], "epochs is given twice"),
        (["--method", "zero-cost", "--epochs", "3"], "zero-cost has no epochs"),
        (["--method", "random-search", "--max-skips", "1"], "random-search has no max_skips"),
        (["--channels", "9"], "must be a multiple of partial"),
        (["--nodes", "0"], "nodes"),
        (["--random", "-1"], "random and seed must be 0 or more"),
        (["--size", "2"], "size must be at least 8 pixels"),
        (["--stem-stride", "2"], "images of 8 x 8 pixels are too small for a stem of stride 2"),
        (["--stem-stride", "0"], "stem_stride"),
        (["--stem-stride", "3"], "stem_stride is 1, 2 or 4, not 3"),
        (["--retrain-epochs", "0"], "epochs must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(done, tmp_path, options, words):
    assert words in " ".join(run(done[0], *options, "--out", tmp_path / "out", code=2).split())
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_of_arrays_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name, words in (("text.npz", "cannot be read"), ("one.npy", "single array"), ("none.npz", "not found")):
        with pytest.raises(BadFile, match=words):
            read_pictures(str(tmp_path / name))
    with pytest.raises(BadSetting, match="there is no data"):
        read_pictures("nothing-like-that")


@pytest.mark.parametrize("name", ["audit.json", "model.safetensors", "score.json"])
def test_a_folder_of_another_run_is_left_alone(done, tmp_path, name):
    (tmp_path / name).write_text("theirs")
    assert "run of another kind" in run(done[0], *OPTIONS, "--out", tmp_path, "--overwrite", code=2)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "theirs"


def test_settings_reach_every_method():
    assert set(SEARCHES) == {"pc-darts", "darts", "gdas", "random-search", "zero-cost"}
    found = find_method(SearchPlan(settings={"rate": "1e-3", "architecture_rate": "0.2"}, epochs=7, max_skips=1, channels=8))
    assert (found.rate, found.architecture_rate, found.epochs, found.max_skips, found.partial) == (1e-3, 0.2, 7, 1, 2)
    assert find_method(SearchPlan()).partial == 4
    assert find_method(SearchPlan(method="random-search", epochs=3)).recipe.epochs == 3
    assert find_method(SearchPlan(method="darts", settings={"order": "2", "cost": "latency"})).order == 2

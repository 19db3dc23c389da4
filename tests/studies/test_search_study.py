"""The study of searches: who is tested where, what stands beside what, and that it goes on where it was."""

import io
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from rich.console import Console

import expunge.studies.search as study
import expunge.studies.search_cells as cells
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.report.figure_study import FigureCase, Scored
from expunge.report.search_study import RANDOM, best_by_hand, by_hand, chance_words, decided_words, hand_words, over_chance
from expunge.report.search_study_plots import drawings
from expunge.search import CellSpace, Genotype, HandCNN, PCDarts, Recipe, ZeroCost, cost_report
from expunge.search.faces import London, check_folds, person_folds
from expunge.search.faces.synthetic import LONDON_REGIONS
from expunge.studies import STUDIES
from expunge.studies import search_forgetting as forgetting
from expunge.studies import search_scenarios as scenarios
from search.faces.generated_faces import REGIONS, generated_faces

SHAPE = (1, 8, 8)
SPACE = CellSpace(classes=2, nodes=1, cells=2, channels=4, operations=("sep_conv_3x3", "max_pool_3x3", "skip_connect"))


def draw(seed: int) -> scenarios.Drawn:
    """24 images of 12 persons; the class is where the light is."""
    generator = torch.Generator().manual_seed(seed)
    labels = np.tile(np.arange(2), 12)
    images = 0.3 * torch.randn(24, *SHAPE, generator=generator)
    images[torch.from_numpy(labels) == 1, :, :4] += 2.0
    persons = np.arange(12).repeat(2).astype(str)
    return scenarios.Drawn(images, labels, ("dark", "light"), person_folds(persons, labels, 2, seed), persons)


def tiny(title: str = "lights", randoms: int = 2) -> scenarios.CellScenario:
    searches = {"pc-darts": PCDarts(epochs=2, partial=2), "naswot": ZeroCost(candidates=3)}
    hands = {"hand-cnn": lambda: HandCNN(SHAPE, 2, 4)}
    return scenarios.CellScenario(title, SPACE, searches, randoms, hands, Recipe(epochs=2, batch_size=8), draw)


@pytest.fixture
def small(monkeypatch):
    """A study of one tiny set of images."""
    monkeypatch.setattr(study, "SETS", {"digits": lambda budget: tiny()})
    monkeypatch.setattr(cells, "cost_report", partial(cost_report, runs=1))


def run(folder=None, seeds=1, say=lambda line: None):
    return STUDIES["search"]().run(seeds=seeds, data="digits", folder=folder, say=say)


def test_every_network_has_its_figures_and_chance_is_one_row(small, tmp_path):
    found = run(tmp_path / "out", seeds=2)
    page = found.write(tmp_path / "out", tmp_path / "study.json").read_text(encoding="utf-8")
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["study"] == "search" and written["seeds"] == 2
    rows = {(row["method"], row["metric"]): row["mean"] for row in written["rows"]}
    for name in ("pc-darts", "naswot", RANDOM, "hand-cnn"):
        assert 0 <= rows[name, "accuracy"] <= 1 and rows[name, "macs"] > 0 and rows[name, "train_cpu_seconds"] > 0
    assert rows["mobilenet-v3-small", "accuracy"] is None and rows["mobilenet-v3-small", "latency_share"] == 1
    assert rows["pc-darts", "decided"] is not None and rows["naswot", "decided"] is None
    assert rows[RANDOM, "deviation"] is not None and rows["pc-darts", "deviation"] is None
    assert (
        written["over_chance"]["lights"]["pc-darts"]["seeds"] == 2
        and written["by_hand"]["lights"]["pc-darts"]["best"] == "hand-cnn"
    )
    assert "http" not in page.replace("http://www.w3.org", "") and "<script" not in page
    console = Console(record=True, width=250, file=io.StringIO())
    found.show(console)
    assert "random cells of the same space" in console.export_text()


def test_a_killed_study_goes_on_where_it_was(small, tmp_path):
    whole = run(tmp_path / "whole").json["rows"]

    def killed(line):
        if "training random cells-2, fold 2" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", say=killed)
    kept = sorted(path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("found.json"))
    rows = run(tmp_path / "out").json["rows"]
    assert kept == sorted(path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("found.json"))

    def steady(all_rows):
        return [row for row in all_rows if not row["metric"].startswith("latency") and "seconds" not in row["metric"]]

    assert steady(rows) == steady(whole)


def test_a_search_sees_the_training_persons_of_its_fold_alone(monkeypatch):
    seen = []

    def spy(space, data, method, engine):
        seen.append([torch.cat([batch[0] for batch in half]) for half in data])
        raise InterruptedError

    monkeypatch.setattr(cells, "search", spy)
    scenario, drawn = tiny(), draw(0)
    with pytest.raises(InterruptedError):
        cells.compared(scenario, Engine(0, progress=False), lambda line: None)
    fold = drawn.folds[0]
    for images, rows in zip(seen[0], (fold.weights, fold.architecture), strict=True):
        assert torch.equal(images, drawn.images[torch.from_numpy(rows)])


def test_what_was_kept_for_other_settings_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(cells, "cost_report", partial(cost_report, runs=1))

    def rows(scenario):
        return cells.compared(scenario, Engine(0, progress=False, folder=tmp_path), lambda line: None)

    first, found = rows(tiny(randoms=0))
    counts = []
    monkeypatch.setattr(cells, "_search", lambda *given: counts.append(1) or {})
    assert rows(tiny(randoms=0))[1] == found and not counts
    more = rows(tiny(randoms=2))[0]  # cells that were drawn later are measured too
    assert more[RANDOM].figures["macs"] > 0 and more["pc-darts"].figures["accuracy"] == first["pc-darts"].figures["accuracy"]
    wider = replace(tiny(randoms=0), hands={"hand-cnn": lambda: HandCNN(SHAPE, 2, 8)})
    assert rows(wider)[0]["hand-cnn"].figures["parameters"] > first["hand-cnn"].figures["parameters"]
    with pytest.raises(KeyError):  # another batch size is another search
        rows(replace(tiny(randoms=0), recipe=Recipe(epochs=2, batch_size=6)))
    assert counts


def test_seconds_of_a_killed_process_are_not_known():
    engine = Engine(0, progress=False)
    clock = cells._Clock(engine)
    assert clock.seconds() >= 0
    engine.resumed_seconds += 3.0
    assert clock.seconds() is None and np.isnan(cells._mean([None])) and cells._mean([None, 2.0]) == 2.0


def test_right_and_wrong_are_counted_over_all_folds(monkeypatch):
    drawn = draw(0)
    answers = iter(drawn.folds)
    monkeypatch.setattr(
        cells, "_train", lambda *given: {"told": (1 - drawn.labels[next(answers).test]).tolist(), "cpu_seconds": 1.0}
    )
    builds = [tiny().hands["hand-cnn"]] * len(drawn.folds)
    found = cells.trained(tiny(), drawn, "hand-cnn", builds, Engine(0, progress=False), "", lambda line: None)
    assert found["accuracy"] == 0 and found["uar"] == 0


def case(found: list[float], chance: list[list[float]], hands: dict[str, float] | None = None) -> FigureCase:
    """Seeds with an accuracy of the search, those of random cells, and those of networks made by people."""

    def row(value: float, macs: float) -> dict[str, float]:
        return {
            "accuracy": value,
            "macs": macs,
            "parameters": 10.0,
            "latency": 1.0,
            "latency_share": 0.5,
            "train_cpu_seconds": 1.0,
        }

    seeds = []
    for value, others in zip(found, chance, strict=True):
        facts = {"decided": 0.03, "steps": 200, "search_cpu_seconds": 1.0, "most_parameters": 10.0}
        rows = {"pc-darts": Scored(row(value, 2.0) | facts, {"decided_each": [0.03]})}
        rows[RANDOM] = cells.by_chance([row(other, 2.0) for other in others])
        rows |= {name: Scored(row(hand, 8.0)) for name, hand in (hands or {}).items()}
        seeds.append(rows)
    return FigureCase("x", "words", seeds)


def test_a_margin_within_the_deviation_is_no_gain():
    cells_ = [[0.80, 0.82, 0.84], [0.80, 0.82, 0.84]]
    gained = case([0.90, 0.94], cells_)
    found = over_chance(gained, "pc-darts")
    assert found["margin"] == pytest.approx(0.10) and found["deviation"] == pytest.approx(0.02) and found["beaten"] == 2
    said = chance_words(gained, "pc-darts", 3)
    assert "10.0 points above the mean of 3 random cells" in said and "searching gained, and gained on 2 of 2 seeds" in said
    level = chance_words(case([0.83, 0.82], cells_), "pc-darts", 3)
    assert "no more than cells differ among themselves (2.0)" in level and "0 of 2 seeds" in level
    below = chance_words(case([0.70], cells_[:1]), "pc-darts", 3)
    assert "12.0 points below" in below and below.endswith("more than cells differ among themselves (2.0): searching lost.")
    assert "not known from one" in chance_words(case([0.8], [[0.7]]), "pc-darts", 1)
    assert "2 of 2 searches are below the warning line of 0.04" in decided_words(gained, "pc-darts", 0.04)
    assert "0 of 2 searches are below the warning line of 0.02" in decided_words(gained, "pc-darts", 0.02)


def test_the_best_network_made_by_people_is_what_a_search_is_held_against():
    of_two = case([0.90], [[0.8, 0.9]], {"hand-cnn-8": 0.85, "small-resnet": 0.89})
    assert best_by_hand(of_two) == "small-resnet"
    assert by_hand(of_two, "pc-darts")["points"] == pytest.approx(0.01) and by_hand(of_two, "pc-darts")["macs"] == 0.25
    assert "1.0 points above the best network made by people, small-resnet, with 0.25" in hand_words(of_two, "pc-darts")[0]
    assert "level with" in hand_words(case([0.9], [[0.8, 0.9]], {"hand-cnn": 0.9}), "pc-darts")[0]


def test_drawings_follow_what_a_case_has():
    names = [plot.name for plot in drawings(case([0.9], [[0.8, 0.9]], {"hand-cnn": 0.9}))]
    assert names == ["cost"]
    controls = FigureCase("controls", "words", [{"moving": Scored({"accuracy": 0.9, "chance": 0.5})}])
    assert [plot.name for plot in drawings(controls)] == ["inputs"]


def test_all_clips_of_a_person_go_and_nobody_is_on_both_sides():
    drawn = draw(0)
    train, split, _ = forgetting.divided(drawn, 2, seed=0, batch_size=8)
    gone = torch.cat([batch[0] for batch in split.forget])
    stays = torch.cat([batch[0] for batch in split.retain])
    assert len(gone) == 4 and len(gone) + len(stays) == len(train)
    fold = drawn.folds[0]
    persons = {tuple(image.flatten().tolist()): person for image, person in zip(drawn.images, drawn.persons, strict=True)}
    sides = [{persons[tuple(image.flatten().tolist())] for image in part} for part in (gone, stays)]
    assert len(sides[0]) == 2 and not sides[0] & sides[1]
    assert not (sides[0] | sides[1]) & set(drawn.persons[fold.test].tolist())


def test_persons_are_forgotten_by_every_method(monkeypatch):
    recipe = Recipe(epochs=2, batch_size=8)
    genotype = SPACE.random(torch.Generator().manual_seed(0))
    found = forgetting.forgotten(replace(tiny(), recipe=recipe), genotype, 2, Engine(0, progress=False), lambda line: None)
    names = {"original", "retrained", "retrained-2", *forgetting.methods_for(forgetting.Augmented.from_recipe(recipe))}
    assert set(found) == names and len(names) == 10
    for row in found.values():
        assert {"forget_accuracy", "holdout_accuracy", "seconds"} <= set(row.figures)
    assert found["retrained"].figures["forget_kl"] == 0 and found["retrained"].figures["seconds_ratio"] == 1


def test_another_cell_in_the_same_folder_is_trained_anew(tmp_path):
    scenario = replace(tiny(), recipe=Recipe(epochs=1, batch_size=8))
    one, other = ((("sep_conv_3x3", 0), (name, 1)) for name in ("max_pool_3x3", "skip_connect"))

    def original(genes, folder):
        engine = Engine(0, progress=False, folder=folder)
        return forgetting.forgotten(scenario, Genotype(genes, genes), 2, engine, lambda line: None)["original"].figures[
            "forget_kl"
        ]

    original(one, tmp_path / "same")
    assert original(other, tmp_path / "same") == pytest.approx(original(other, tmp_path / "fresh"))


def test_retraining_changes_images_as_the_recipe_does():
    shown = []

    def augment(images):
        shown.append(images)
        return images + 1.0

    scenario = replace(tiny(), recipe=Recipe(epochs=1, batch_size=8, augment=augment))
    recipe = forgetting.Augmented.from_recipe(scenario.recipe)
    _, split, _ = forgetting.divided(draw(0), 2, 0, 8)
    task = forgetting.ClassificationTask(lambda: HandCNN(SHAPE, 2, 4), 2, ("dark", "light"))
    plain = forgetting.Augmented(recipe.epochs, recipe.optimizer, recipe.schedule, recipe.clip_norm)
    first, second = (each.train(task, split.retain, Engine(0, progress=False)) for each in (recipe, plain))
    assert len(shown) == len(split.retain)
    assert not torch.equal(first.head.weight, second.head.weight)


def invented_london(count: int = 12) -> London:
    """Faces that nobody has, with the landmarks that motions need at the indices of the London template."""
    pictures, points = generated_faces(count, 128)
    landmarks = np.zeros((count, 189, 2), dtype=np.float32)
    for name, indices in LONDON_REGIONS.items():
        landmarks[:, list(indices)] = points[:, list(REGIONS[name])].mean(1, keepdims=True)
    landmarks[:, :2] = points[:, :2]
    pixels = (255 * pictures).astype(np.uint8)
    persons = np.arange(count).astype(str)
    return London(pixels, 255 - pixels, landmarks, persons, np.full(count, np.nan), np.full(count, ""))


@pytest.mark.parametrize("name", ["digits", "london", "clips"])
def test_what_is_compared_can_be_made(name, monkeypatch):
    monkeypatch.setattr(scenarios, "read_london", invented_london)
    scenario = getattr(scenarios, name)("quick")
    drawn = scenario.draw(1)
    assert drawn.digest() == scenario.draw(1).digest() != scenario.draw(2).digest()
    for build in scenario.hands.values():
        assert build()(torch.zeros(2, *drawn.shape)).shape == (2, len(drawn.classes))
    network = scenario.space.build(scenario.space.random(torch.Generator()))
    assert network(drawn.images[:2]).shape == (2, len(drawn.classes))
    assert "test" in scenario.words() and scenario.settings()["random cells"] == scenario.randoms
    if drawn.persons is not None:
        check_folds(drawn.folds, drawn.persons, drawn.labels)


def test_controls_are_told_from_the_faces(monkeypatch):
    monkeypatch.setattr(study, "read_london", lambda: invented_london(18))
    found = study._controls(Engine(0, progress=False))
    assert found["running-mean"].figures["accuracy"] > 0.6 > found["running-mean, zero amplitude"].figures["accuracy"]
    assert {row.figures["chance"] for row in found.values()} == {1 / 3}


def test_what_is_not_there_is_left_out_and_said(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    found, notes = STUDIES["search"]().scenarios(None, "quick")
    assert [each.title for each in found] == ["digits"] and "cifar10, london, clips" in notes[0]
    with pytest.raises(BadSetting, match="study search has no data 'faces'; there are digits, cifar10, london, clips"):
        STUDIES["search"]().run(data="faces")
    with pytest.raises(BadSetting, match="at least 1 seed"):
        STUDIES["search"]().run(seeds=0)

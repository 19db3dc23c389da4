"""Searches from end to end: the same seed, a kill in the middle, when to stop, what is found, what is refused."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.search import SEARCHES, CellSpace, Darts, ExpectedCost, Genotype, Recipe, expected_cost, halve, search
from expunge.search.gradient_search import genotypes
from expunge.search.halves import Halves
from expunge.search.zero_cost import naswot, synflow
from expunge.split import Batches
from expunge.storage import read_weights
from search.tiny_searches import SMALL, WIDE, dots, wide_space

DATA = dots(96, side=8, apart=4)
QUICK = {
    "darts": {"epochs": 3},
    "pc-darts": {"epochs": 3, "partial": 2},
    "gdas": {"epochs": 3},
    "random-search": {"candidates": 3, "recipe": Recipe(epochs=1, batch_size=16)},
    "zero-cost": {"candidates": 4},
}


def quick(method: str, engine: Engine | None = None, data=DATA, **settings):
    engine = engine or Engine(progress=False)
    return search(SMALL, data, method, engine, batch_size=16, **{**QUICK[method], **settings})


def rows(found):
    # After a restart at the very end of an epoch the engine writes the optimizer's first rate, not its last.
    machine = ("seconds", "peak_memory_bytes", "learning_rate")
    return [{key: value for key, value in row.items() if key not in machine} for row in found.history]


@pytest.mark.parametrize("method", SEARCHES)
def test_the_same_seed_finds_the_same(method):
    one, two = quick(method), quick(method)
    assert one.genotype == two.genotype and rows(one) == rows(two) and one.scores == two.scores
    assert one.method == method and one.genotype.nodes == 1 and one.seconds > 0
    other = quick(method, Engine(seed=1, progress=False))
    assert rows(other) != rows(one) or other.scores != one.scores


class Killed(BaseException):
    pass


class Mortal:
    """Leaves images alone, and ends the process, as far as one can within it, at a call."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, images):
        self.left -= 1
        if self.left == 0:
            raise Killed
        return images


@pytest.mark.parametrize(("method", "order"), [("darts", 1), ("darts", 2), ("pc-darts", 1), ("gdas", 1)])
@pytest.mark.parametrize("at", [3, 8])
def test_a_killed_search_goes_on_bit_for_bit(tmp_path, method, order, at):
    def run(folder, at):
        settings = {"order": order, "augment": Mortal(at), "warmup": 0.34, "patience": 3, "epochs": 4}
        return quick(method, Engine(progress=False, folder=tmp_path / folder, checkpoint_steps=2), **settings)

    whole = run("whole", 0)
    with pytest.raises(Killed):
        run("killed", at)
    again = Mortal(0)
    settings = {"order": order, "augment": again, "warmup": 0.34, "patience": 3, "epochs": 4}
    resumed = quick(method, Engine(progress=False, folder=tmp_path / "killed", checkpoint_steps=2), **settings)
    assert -again.left == 12 - (at - 1) // 2 * 2  # it did go on where the last checkpoint was
    assert resumed.genotype == whole.genotype and rows(resumed) == rows(whole) and resumed.steps == whole.steps == 9
    states = [read_weights(next((tmp_path / name).rglob("search.safetensors")))[0] for name in ("whole", "killed")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_measured_latencies_are_kept_over_a_restart(tmp_path):
    engines = [Engine(progress=False, folder=tmp_path) for _ in range(2)]
    one, two = (quick("darts", engine, cost="latency", cost_weight=0.1, epochs=1) for engine in engines)
    assert rows(one) == rows(two) and one.history[0]["search"]["cost_unit"] == "seconds"
    assert one.history[0]["search"]["expected_cost"] > 0


def test_history_says_what_the_architecture_does():
    seen = []
    found = quick("pc-darts", warmup=0.34, watch=seen.append)
    facts = [row["search"] for row in found.history]
    assert facts == seen and len(facts) == 3 and [each["architecture_steps"] for each in facts] == [0, 3, 6]
    assert genotypes(found.history)[-1] == found.genotype and facts[-1]["decidedness"] == dict(found.decidedness)
    assert [sorted(row["terms"]) for row in found.history] == [
        ["weights"],
        ["architecture", "weights"],
        ["architecture", "weights"],
    ]
    cost = expected_cost(SMALL, (8, 8))
    assert facts[0]["expected_cost"] == pytest.approx(cost.mean_random, rel=0.01)
    assert facts[-1]["skips"] == found.genotype.skips and len(facts[0]["entropy"]["normal"]) == SMALL.edges
    assert found.history[0]["learning_rate"] > found.history[-1]["learning_rate"]


def test_a_search_stops_when_the_genotype_stays():
    found = quick("darts", epochs=12, patience=2, architecture_rate=1e-6)
    assert len(found.history) == 3 and found.steps == 9
    warmed = quick("darts", epochs=12, warmup=0.25, patience=2, architecture_rate=1e-6)
    assert len(warmed.history) == 6  # epochs of the warm-up don't count
    assert len(quick("darts", epochs=4, patience=4, architecture_rate=1e-6).history) == 4


def test_undecided_and_collapsed_searches_are_said_to_be_so():
    found = quick("darts", epochs=1, architecture_rate=1e-6)
    assert any(each.startswith("undecided: normal 0.000 and reduction 0.000 of 1 after 3") for each in found.warnings)
    assert not any("undecided" in each for each in quick("darts", epochs=1, architecture_rate=1e-6, warn_below=0.0).warnings)
    space = CellSpace(classes=2, operations=("none", "skip_connect"), nodes=2, cells=2, channels=2)
    assert any("4 of 4 operations" in each for each in search(space, DATA, "darts", batch_size=16, epochs=1).warnings)


def test_cost_makes_cheaper_cells():
    dear, cheap = (quick("darts", epochs=4, cost_weight=weight, architecture_rate=0.1) for weight in (0.0, 20.0))
    costs = [each.history[-1]["search"]["expected_cost"] for each in (dear, cheap)]
    assert costs[1] < 0.8 * costs[0]
    cost = expected_cost(SMALL, (8, 8))
    assert cost.of(cheap.genotype) < cost.mean_random


def test_the_search_finds_the_operation_that_sees_both_dots():
    """By chance one of four operations would be the wide one; it is what the first cell needs."""
    data, wide = dots(), 0
    for seed in (0, 1):
        found = search(wide_space(), data, "darts", Engine(seed, progress=False), batch_size=32, epochs=12, rate=0.1)
        wide += sum(name == WIDE for name, _ in found.genotype.normal)
        assert min(found.decidedness.values()) > 0.02 and not found.warnings
    assert wide >= 6  # of 8: by chance in 4 of 1,000


def test_random_search_keeps_the_best_on_the_other_half():
    found = quick("random-search")
    accuracies = [score for _, score in found.scores]
    assert len(accuracies) == 3 and accuracies == sorted(accuracies, reverse=True) and found.genotype == found.scores[0][0]
    assert len({genotype for genotype, _ in found.scores}) > 1 and found.steps == 0 and not found.decidedness


def test_zero_cost_scores_by_hand():
    weight = torch.tensor([[1.0, -2.0], [3.0, 4.0]])
    plain = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2, bias=False))
    plain[1].weight.data = weight
    assert synflow(plain, torch.zeros(1, 1, 1, 2)) == pytest.approx(np.log(10.0))
    assert torch.equal(plain[1].weight, weight)
    relu = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU())
    images = torch.tensor([[1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]).view(2, 1, 1, 3)
    assert naswot(relu, images) == pytest.approx(np.log(9 - 1))  # they agree on one of three
    assert naswot(relu, images[[0, 0]]) == -np.inf


@pytest.mark.parametrize("score", ["synflow", "naswot"])
def test_zero_cost_prefers_convolutions_to_skips(score):
    found = quick("zero-cost", candidates=12, score=score)
    values = dict(found.scores)
    convs = {g: sum("conv" in name for name, _ in g.normal + g.reduction) for g in values}
    most, least = max(convs.values()), min(convs.values())
    assert max(v for g, v in values.items() if convs[g] == most) > min(v for g, v in values.items() if convs[g] == least)
    assert found.genotype == found.scores[0][0]


# ---- data ---------------------------------------------------------------------------------------------------------


def test_halves_are_alike_in_classes_and_share_no_image():
    labels = np.repeat([0, 1, 2], [21, 11, 4])
    made = halve(np.zeros((36, 4, 4)), labels, batch_size=5)
    parts = [set(half.indices.tolist()) for half in (made.weights, made.architecture)]
    assert not parts[0] & parts[1] and len(parts[0] | parts[1]) == 36
    for count, label in ((21, 0), (11, 1), (4, 2)):
        assert sum(labels[row] == label for row in parts[0]) in (count // 2, count - count // 2)
    assert abs(len(parts[0]) - len(parts[1])) <= 1
    assert halve(np.zeros((36, 4, 4)), labels, seed=1).weights.indices.tolist() != made.weights.indices.tolist()


def test_no_person_is_in_both_halves():
    generator = np.random.default_rng(0)
    people, labels = generator.integers(20, size=300), generator.integers(3, size=300)
    made = halve(np.zeros((300, 4, 4)), labels, [f"person {each}" for each in people])
    first, second = ({*people[half.indices]} for half in (made.weights, made.architecture))
    assert not first & second and first | second == set(people)
    for label in range(3):
        assert abs(np.mean(labels[made.weights.indices] == label) - np.mean(labels == label)) < 0.1
    with pytest.raises(BadSetting, match="class 2 has too few groups"):
        halve(np.zeros((6, 4, 4)), [0, 1, 0, 1, 2, 2], [0, 0, 1, 1, 1, 1])


def test_the_architectures_half_starts_again_when_it_ends():
    data = TensorDataset(torch.zeros(8, 1, 2, 2), torch.arange(8))
    made = Halves(Batches(data, 2, range(6)), Batches(data, 2, [6, 7]))
    pairs = list(made.epoch(torch.Generator()))
    assert len(pairs) == len(made) == 3 and all(sorted(each.architecture[1].tolist()) == [6, 7] for each in pairs)
    with pytest.raises(BadSetting, match="has no batch"):
        list(Halves(Batches(data, 2), Batches(data, 2, [])).epoch(torch.Generator()))


def test_two_streams_of_batches_will_do():
    data = TensorDataset(*DATA)
    streams = Batches(data, 16, range(48)), Batches(data, 16, range(48, 96))
    assert quick("darts", data=streams, epochs=1).steps == 3


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        ((DATA[0].repeat(1, 3, 1, 1), DATA[1]), {}, "3 channels, the space's networks take 1"),
        ((DATA[0], DATA[1] + 1), {}, "label 2 is outside the space's 2 classes"),
        ((DATA[0], DATA[1][:5]), {}, r"not \(96, 1, 8, 8\) and \(5,\)"),
        ((DATA[0] * float("nan"), DATA[1]), {}, "96 of 96 images have values that are not finite"),
        ((DATA[0], DATA[1].float()), {}, "whole numbers"),
        ((DATA[0], DATA[1], [1, 2]), {}, "groups must be"),
        ((DATA[0][:3], torch.tensor([0, 0, 1])), {}, "class 1 has too few images"),
        (DATA[0], {}, "data are arrays"),
        (([], []), {}, "at least one"),
        (DATA, {"epochs": 0}, "epochs must be at least 1"),
        (DATA, {"warmup": 1.0}, "warmup"),
        (DATA, {"order": 3}, "order must be 1 or 2"),
        (DATA, {"class_weights": [1.0, 1.0, 1.0]}, "3 class_weights for 2 classes"),
        (DATA, {"cost": "flops"}, "cost must be"),
        (DATA, {"cost": expected_cost(wide_space(), (8, 8))}, "of another space"),
        (DATA, {"epoch": 3}, "unexpected keyword argument 'epoch'"),
        (DATA, {"architecture_rate": 0.0}, "rates must be above 0"),
        (DATA, {"patience": 0}, "patience"),
    ],
)
def test_wrong_input_is_refused(data, settings, words):
    with pytest.raises(BadSetting, match=words):
        quick("darts", data=data, **settings)


def test_wrong_methods_are_refused():
    with pytest.raises(BadSetting, match="unknown search method 'nas'; there are darts, gdas"):
        search(SMALL, DATA, "nas")
    with pytest.raises(BadSetting, match="no second order"):
        quick("gdas", order=2)
    with pytest.raises(BadSetting, match="give epochs to the method itself"):
        search(SMALL, DATA, Darts(), epochs=3)
    with pytest.raises(BadSetting, match="4 is none of 3"):
        quick("pc-darts", partial=3)


def test_a_cost_table_survives_json():
    cost = expected_cost(SMALL, (8, 8))
    lists = {**vars(cost), "normal": [list(row) for row in cost.normal], "names": list(cost.names)}
    assert ExpectedCost(**lists) == cost and hash(ExpectedCost(**lists)) == hash(cost)


def test_methods_tell_what_they_are():
    assert list(SEARCHES) == ["pc-darts", "darts", "gdas", "random-search", "zero-cost"]
    assert all(kind.summary().endswith(".") for kind in SEARCHES.values())
    assert isinstance(quick("zero-cost").genotype, Genotype)

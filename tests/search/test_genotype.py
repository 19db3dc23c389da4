"""Genotypes: files, differences, derivation, drawings."""

import json
import math
import re
from xml.etree import ElementTree

import pytest
import torch

from expunge.errors import BadFile, BadSetting
from expunge.search import PRESETS, CellSpace, Genotype, decidedness, derive, dot, draw
from expunge.search.deriving import derive_cell

CELL = (("sep_conv_3x3", 0), ("skip_connect", 1), ("dil_conv_5x5", 0), ("max_pool_3x3", 2))


def test_round_trip(tmp_path):
    for name, genotype in PRESETS.items():
        genotype.save(tmp_path / f"{name}.json")
        assert Genotype.load(tmp_path / f"{name}.json") == genotype
        assert hash(Genotype.load(tmp_path / f"{name}.json")) == hash(genotype)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no genotype"),
        ("[]", "no genotype.*'format'"),
        (json.dumps({"normal": [], "reduction": []}), "'format'"),
        (json.dumps({"format": "expunge genotype 1", "normal": [], "reduction": []}), "two pairs"),
        (json.dumps({"format": "expunge genotype 1", "normal": [["a", 0], ["b", 1]], "reduction": []}), "'a' cannot be built"),
        (json.dumps({"format": "expunge genotype 1", "normal": 3, "reduction": []}), "list of pairs"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, content, words):
    (tmp_path / "cell.json").write_text(content)
    with pytest.raises(BadFile, match=words) as caught:
        Genotype.load(tmp_path / "cell.json")
    assert "cell.json" in str(caught.value)
    with pytest.raises(BadFile, match="not found"):
        Genotype.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("place", "gene", "words"),
    [
        (0, ("none", 0), "'none' cannot be built"),
        (1, ("skip_connect", 2), "inputs 0 to 1, not 2"),
        (3, ("skip_connect", 3), "node 3: it can read inputs 0 to 2, not 3"),
        (1, ("skip_connect", 0), "reads input 0 twice"),
        (1, ("skip_connect", True), "not True"),
        (1, ("skip_connect", -1), "not -1"),
    ],
)
def test_cells_that_make_no_sense_are_refused(place, gene, words):
    wrong = [*CELL[:place], gene, *CELL[place + 1 :]]
    with pytest.raises(BadSetting, match=words):
        Genotype(CELL, tuple(wrong))
    with pytest.raises(BadSetting, match="differ in nodes: normal has 2, reduction has 1"):
        Genotype(CELL, CELL[:2])


def test_diff_names_nodes_that_change_and_overlooks_order():
    swapped = (CELL[1], CELL[0], *CELL[2:])
    assert Genotype(CELL, CELL).diff(Genotype(swapped, CELL)) == []
    other = (*CELL[:3], ("avg_pool_3x3", 1))
    assert Genotype(CELL, CELL).diff(Genotype(CELL, other)) == ["reduction node 3: max_pool_3x3(2) -> avg_pool_3x3(1)"]
    assert Genotype(CELL[:2], CELL[:2]).diff(Genotype(CELL, CELL)) == [
        f"{kind} node 3: nothing -> dil_conv_5x5(0) + max_pool_3x3(2)" for kind in ("normal", "reduction")
    ]


def random_supernet(seed: int, edges: bool = False):
    torch.manual_seed(seed)
    space = CellSpace(classes=2, nodes=3, cells=2, channels=2)
    supernet = space.supernet(edge_normalisation=edges)
    with torch.no_grad():
        for each in supernet.architecture.values():
            each.normal_(0, 2)
    return supernet


@pytest.mark.parametrize("edges", [False, True])
def test_derived_cells_have_two_inputs_a_node_and_never_none(edges):
    for seed in range(20):
        supernet = random_supernet(seed, edges)
        with torch.no_grad():
            supernet.architecture["alpha_normal"][:, 0] += 9.0  # "none" wins everywhere
        genotype = derive(supernet)
        assert len(genotype.normal) == 6 and "none" not in {name for name, _ in genotype.normal}


def test_edge_weights_decide_which_inputs_are_kept():
    p = torch.tensor([[0.6, 0.4]] * 5)
    q = torch.tensor([0.5, 0.5, 0.1, 0.5, 0.4])
    names = ("skip_connect", "sep_conv_3x3")
    assert [source for _, source in derive_cell(names, 2, p, q)] == [0, 1, 1, 2]
    assert [source for _, source in derive_cell(names, 2, p)] == [0, 1, 0, 1]


def test_max_skips_replaces_the_weakest_by_the_next_best():
    supernet = random_supernet(0)
    skip = supernet.names.index("skip_connect")
    with torch.no_grad():
        supernet.architecture["alpha_normal"].zero_()
        supernet.architecture["alpha_normal"][:, skip] = torch.linspace(5, 6, supernet.architecture["alpha_normal"].shape[0])
        supernet.architecture["alpha_normal"][:, supernet.names.index("dil_conv_3x3")] = 1.0
    assert derive(supernet).skips == 6
    for most in range(6):
        found = derive(supernet, most)
        assert found.skips == most
    assert {name for name, _ in derive(supernet, 0).normal} == {"dil_conv_3x3"}
    assert [place for place, (name, _) in enumerate(derive(supernet, 2).normal) if name == "skip_connect"] == [4, 5]


def test_decidedness_is_one_less_relative_entropy():
    assert decidedness(torch.full((3, 8), 1 / 8)) == pytest.approx(0.0, abs=1e-6)
    assert decidedness(torch.eye(4)) == pytest.approx(1.0)
    p = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    hand = 1 - (-(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1)) / math.log(3)) / 2
    assert decidedness(p) == pytest.approx(hand, abs=1e-6)


@pytest.mark.parametrize("standalone", [True, False])
def test_drawing_is_well_formed_and_has_every_edge_apart(standalone):
    for genotype in (*PRESETS.values(), Genotype(CELL[:2], (CELL[2], ("sep_conv_5x5", 1)))):
        text = draw(genotype, standalone)
        root = ElementTree.fromstring(text)
        drawn = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        for name in {name for name, _ in genotype.normal + genotype.reduction}:
            assert drawn.count(name) == [each for each, _ in genotype.normal + genotype.reduction].count(name)
        assert ("<style>" in text) is standalone and not re.search(r'(fill|stroke)="#', text)
        for group in root.iter("{http://www.w3.org/2000/svg}g"):
            boxes = [
                tuple(float(each.get(side)) for side in ("x", "y", "width", "height"))
                for each in group.iter("{http://www.w3.org/2000/svg}rect")
            ]
            circles = group.iter("{http://www.w3.org/2000/svg}circle")
            boxes += [
                (float(each.get("cx")) - r, float(each.get("cy")) - r, 2 * r, 2 * r)
                for each in circles
                if (r := float(each.get("r"))) > 5
            ]
            for place, (x, y, width, height) in enumerate(boxes):
                for x2, y2, width2, height2 in boxes[place + 1 :]:
                    assert x + width <= x2 or x2 + width2 <= x or y + height <= y2 or y2 + height2 <= y


def test_dot_has_every_edge():
    text = dot(Genotype(CELL, CELL))
    for kind in ("normal", "reduction"):
        for place, (name, source) in enumerate(CELL):
            assert f'{kind}_{source} -> {kind}_{place // 2 + 2} [label="{name}"];' in text
    assert text.count("{") == text.count("}") == 3

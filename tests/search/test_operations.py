"""Candidate operations, and the networks that are made of them."""

import pytest
import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.search import PRESETS, CellSpace, Genotype, register_operation
from expunge.search.network import reductions
from expunge.search.operations import DARTS_OPERATIONS, OPERATIONS, operation


@pytest.mark.parametrize("name", DARTS_OPERATIONS)
@pytest.mark.parametrize("affine", [True, False])
def test_stride_halves_even_and_odd_images(name, affine):
    for side in (8, 7):
        images = torch.randn(2, 6, side, side)
        assert operation(name, 6, 1, affine)(images).shape == images.shape
        assert operation(name, 6, 2, affine)(images).shape == (2, 6, 4, 4)


@pytest.mark.parametrize("name", DARTS_OPERATIONS)
def test_norms_have_weights_of_their_own_only_in_derived_networks(name):
    for affine in (True, False):
        norms = [each for each in operation(name, 4, 2, affine).modules() if isinstance(each, nn.BatchNorm2d)]
        assert all(each.affine is affine and each.track_running_stats is affine for each in norms)
    pools = "pool" in name
    assert bool(norms) == (name != "none") and (not pools or len(norms) == 1)


@pytest.mark.parametrize("side", [4, 5])
def test_a_strided_skip_reads_pixels_of_even_and_of_odd_rows(side):
    torch.manual_seed(0)
    images = torch.rand(1, 2, side, side).add(1.0).requires_grad_()
    operation("skip_connect", 2, 2).eval()(images).square().sum().backward()
    read = {(row % 2, column % 2) for row, column in (images.grad[0].abs().sum(0) > 0).nonzero().tolist()}
    assert read == {(0, 0), (1, 1)} and int((images.grad[0, 0] != 0).sum()) == {4: 8, 5: 13}[side]


def test_average_pool_does_not_count_padding():
    assert torch.allclose(operation("avg_pool_3x3", 1, 1)(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_dilated_convolutions_reach_further():
    image = torch.zeros(1, 1, 11, 11)
    image[0, 0, 5, 5] = 1.0
    for name, reach in {"dil_conv_3x3": 2, "dil_conv_5x5": 4, "sep_conv_3x3": 2, "sep_conv_5x5": 4}.items():
        made = operation(name, 1, 1).eval()
        for each in made.modules():
            if isinstance(each, nn.Conv2d):
                nn.init.ones_(each.weight)
        found = made(image)[0, 0].nonzero()
        assert (found.min().item(), found.max().item()) == (5 - reach, 5 + reach), name


def test_own_operations_are_known_by_name_and_checked():
    register_operation("test_conv_1x1", lambda channels, stride, affine: nn.Conv2d(channels, channels, 1, stride))
    try:
        space = CellSpace(classes=2, operations=("none", "test_conv_1x1"), nodes=1, cells=2, channels=4)
        genotype = space.random(torch.Generator())
        assert {name for name, _ in genotype.normal} == {"test_conv_1x1"}
        assert space.build(genotype)(torch.zeros(1, 1, 6, 6)).shape == (1, 2)
        with pytest.raises(BadSetting, match="already"):
            register_operation("test_conv_1x1", OPERATIONS["none"])
    finally:
        del OPERATIONS["test_conv_1x1"]
    with pytest.raises(BadSetting, match="at stride 2"):
        register_operation("test_flat", lambda channels, stride, affine: nn.Identity())
    assert "test_flat" not in OPERATIONS
    with pytest.raises(BadSetting, match="unknown operation 'conv'"):
        operation("conv", 4, 1)


def test_random_genotypes_are_valid_seeded_and_reach_everything():
    space = CellSpace(classes=3, nodes=3)
    drawn = [space.random(torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert drawn[7] == space.random(torch.Generator().manual_seed(7)) and len(set(drawn)) > 190
    genes = {gene for each in drawn for gene in each.normal}
    assert {name for name, _ in genes} == set(DARTS_OPERATIONS) - {"none"} and {source for _, source in genes} == {0, 1, 2, 3}


def test_cells_at_thirds_halve_images_and_double_channels():
    assert reductions(8) == (2, 5) and reductions(5) == (1, 3)
    space = CellSpace(classes=3, nodes=2, cells=5, channels=4)
    network = space.build(space.random(torch.Generator().manual_seed(0))).eval()
    shapes = []
    for cell in network.cells:
        cell.register_forward_hook(lambda cell, given, made: shapes.append(tuple(made.shape[1:])))
    network(torch.zeros(1, 1, 9, 9))
    assert shapes == [(8, 9, 9), (16, 5, 5), (16, 5, 5), (32, 3, 3), (32, 3, 3)]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_build(name):
    space = CellSpace(classes=10, channels=4, cells=3, in_channels=3)
    network = space.build(PRESETS[name], auxiliary=True)
    logits, auxiliary = network.with_auxiliary(torch.randn(2, 3, 8, 8))
    assert PRESETS[name].nodes == 4 and logits.shape == auxiliary.shape == (2, 10)


def test_darts_v2_has_as_many_parameters_as_published():
    """3.3 million with 36 channels and 20 cells on CIFAR-10, without the auxiliary head."""
    with torch.device("meta"):
        network = CellSpace(classes=10, in_channels=3).build(PRESETS["darts-v2"], channels=36, cells=20)
    assert round(sum(each.numel() for each in network.parameters()) / 1e6, 1) == 3.3


def test_drop_path_at_0_changes_nothing_and_above_spares_skips_and_evaluation():
    cell = (("sep_conv_3x3", 0), ("skip_connect", 1))
    space = CellSpace(classes=3, nodes=1, cells=2, channels=4)
    network, images = space.build(Genotype(cell, cell), drop_path=0.9), torch.randn(6, 1, 8, 8)
    plain = space.build(Genotype(cell, cell))
    plain.load_state_dict(network.state_dict())
    network.drop_path_now = 0.0
    state = torch.get_rng_state()
    assert torch.equal(network(images), plain(images)) and torch.equal(torch.get_rng_state(), state)
    network.drop_path_now = 0.9
    network.train(), plain.train()
    assert not torch.allclose(network(images), plain(images))
    network.load_state_dict(plain.state_dict())
    assert torch.equal(network.eval()(images), plain.eval()(images))
    inner = network.cells[0].train()
    first, second = torch.randn(200, 12, 4, 4), torch.randn(200, 12, 4, 4)
    skipped = inner.inputs(first, second)[1]
    made = inner(first, second, 0.75)
    alone = (made - skipped).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert 0.6 < alone.float().mean() < 0.9
    full = inner(first, second) - skipped
    assert torch.allclose((made - skipped)[~alone], 4 * full[~alone], atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"classes": 1}, "at least 2"),
        ({"cells": 1}, "at least 2"),
        ({"nodes": 0}, "nodes must be"),
        ({"operations": ("none",)}, "more than 'none'"),
        ({"operations": ("skip_connect", "skip_connect")}, "must differ"),
        ({"operations": ("conv9",)}, "unknown operation 'conv9'"),
    ],
)
def test_spaces_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(BadSetting, match=words):
        CellSpace(**{"classes": 3, **wrong})


def test_networks_that_make_no_sense_are_refused():
    space = CellSpace(classes=3, channels=6)
    with pytest.raises(BadSetting, match="drop_path"):
        space.build(PRESETS["darts-v1"], drop_path=1.0)
    with pytest.raises(BadSetting, match="channels must be a multiple of partial"):
        space.supernet(partial=4)

"""Clients that mean harm: what they train on, by hand, and what shows whether it was learned."""

import pytest
import torch
from torch.utils.data import TensorDataset

from expunge.errors import BadSetting
from expunge.federated.attackers import backdoored, flipped, mistaken, opened_by_patch, patched


def images(labels: list[int], size: int = 5) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand(len(labels), 1, size, size, generator=generator) - 0.5, torch.tensor(labels))


def test_a_patch_is_as_bright_as_the_brightest_pixel_and_changes_nothing_else():
    data, _ = images([0, 1, 2]).tensors
    marked = patched(data)
    assert (marked[:, :, 2:, 2:] == data.max()).all()
    outside = torch.ones(5, 5, dtype=torch.bool)
    outside[2:, 2:] = False
    assert torch.equal(marked[..., outside], data[..., outside])
    assert not torch.equal(patched(data), data) and patched(data[:0]).shape == (0, 1, 5, 5)


def test_a_backdoor_adds_copies_and_leaves_the_clients_own_data_as_they_are():
    data = images([0, 9, 1, 9, 2, 3])
    inputs, labels = backdoored(data, 9, share=0.5).tensors
    assert torch.equal(inputs[:6], data.tensors[0]) and torch.equal(labels[:6], data.tensors[1])
    assert labels[6:].tolist() == [9, 9]
    sources = [[torch.equal(copy, patched(data.tensors[0])[row]) for row in (0, 2, 4, 5)] for copy in inputs[6:]]
    assert [sum(found) for found in sources] == [1, 1]  # each is a copy of an image of another class


def test_copies_are_drawn_by_the_seed():
    data = images(list(range(9)) * 4)
    one, same, other = (backdoored(data, 9, share=0.3, seed=seed).tensors[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_labels_are_flipped_and_nothing_else():
    data = images([7, 1, 7, 9])
    inputs, labels = flipped(data, 7, 9).tensors
    assert torch.equal(inputs, data.tensors[0]) and labels.tolist() == [9, 1, 9, 9]


def test_what_shows_that_it_was_learned():
    data = images([7, 1, 9])
    inputs, labels = opened_by_patch(data, 9).tensors
    assert torch.equal(inputs, patched(data.tensors[0])[:2]) and labels.tolist() == [9, 9]
    inputs, labels = mistaken(data, 7, 9).tensors
    assert torch.equal(inputs, data.tensors[0][:1]) and labels.tolist() == [9]


def test_refusals():
    data = images([9, 9])
    with pytest.raises(BadSetting, match="all 2 images of the client are of class 9"):
        backdoored(data, 9)
    with pytest.raises(BadSetting, match=r"share must lie in \(0, 1\], not 0"):
        backdoored(data, 1, share=0)
    with pytest.raises(BadSetting, match="a patch of 6 x 6 pixels does not fit"):
        patched(data.tensors[0], 6)
    with pytest.raises(BadSetting, match=r"does not fit on inputs of shape \(4, 8\)"):
        patched(torch.zeros(4, 8))
    with pytest.raises(BadSetting, match="would stay as they are"):
        flipped(data, 9, 9)
    with pytest.raises(BadSetting, match="no example of class 7"):
        flipped(data, 7, 9)

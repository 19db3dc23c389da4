"""What looks at images: concepts, two models' images, and triplets by hand."""

import pytest
import torch
from torch import nn

import tiny_diffusion
from expunge.diffusion.recognizers import (
    Recognizer,
    both,
    recognizer_of,
    shows_nothing,
    tell_apart,
    triplet_losses,
)
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting


def test_what_was_learned_is_recognised():
    images, numbers = tiny_diffusion.images(200, seed=3)
    judge = recognizer_of(images, numbers, 4, Engine(progress=False))
    assert judge.accuracy == 1 and judge.answers(tiny_diffusion.patterns()).tolist() == [0, 1, 2, 3]
    assert judge.features(images).shape == (200, 128) and judge.logits(images).shape == (200, 5)
    assert f"{judge!r}".startswith("Recognizer(") and "accuracy=1" in f"{judge!r}"


def test_what_shows_nothing_is_no_concept():
    images, numbers = tiny_diffusion.images(200, seed=3)
    nothing = shows_nothing(images, 101, torch.Generator().manual_seed(9))
    assert nothing.shape == (101, 1, 4, 4) and nothing.abs().max() <= 1
    judge = recognizer_of(images, numbers, 4, Engine(progress=False))
    assert (judge.answers(nothing) == 4).float().mean() > 0.8


def test_images_of_two_kinds_are_told_apart_and_of_one_kind_are_not():
    images, numbers = tiny_diffusion.images(400, seed=3)
    apart = tell_apart(images[numbers == 0], images[numbers == 1], Engine(progress=False))
    assert apart.accuracy == 1 and apart.logits(images[numbers == 1]).softmax(1)[:, 1].mean() > 0.9
    rows = images[numbers == 0]
    assert tell_apart(rows[:50], rows[50:], Engine(progress=False)).accuracy < 0.8


def test_triplets_by_hand():
    """The next image of the same kind in the batch, the nearest of the other kind, and a margin of 1."""
    features = torch.tensor([[0.0], [5.0], [1.0], [7.0]])
    numbers = torch.tensor([0, 1, 0, 1])
    # 0: 1 - 5 + 1 < 0;  5: 2 - 4 + 1 < 0;  1: 1 - 4 + 1 < 0;  7: 2 - 6 + 1 < 0
    assert triplet_losses(features, numbers).tolist() == [0, 0, 0, 0]
    close = torch.tensor([[0.0], [1.5], [1.0], [3.0]])
    # 0: 1 - 1.5 + 1;  1.5: 1.5 - 0.5 + 1;  1: 1 - 0.5 + 1;  3: 1.5 - 2 + 1
    assert triplet_losses(close, numbers).tolist() == [0.5, 2.0, 1.5, 0.5]
    assert triplet_losses(close, torch.zeros(4).long()).tolist() == [0, 0, 0, 0]


def test_too_few_images_are_refused():
    images, _ = tiny_diffusion.images(20, seed=0)
    with pytest.raises(BadRequest, match=r"10 of each kind are needed at least, and there are \[9, 11\]"):
        tell_apart(images[:9], images[9:], Engine(progress=False))
    with pytest.raises(BadSetting, match="a Linear has no last layer named head"):
        both(nn.Linear(2, 2), torch.zeros(1, 2))


def test_a_recognizer_leaves_its_network_as_it_was():
    images, numbers = tiny_diffusion.images(80, seed=3)
    model = recognizer_of(images, numbers, 4, Engine(progress=False), epochs=1).model.train()
    Recognizer(model, 1.0).logits(images)
    assert model.training

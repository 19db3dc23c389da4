"""Losses of continual learners, by hand; and other views of images."""

import math

import pytest
import torch
import torch.nn.functional as F

from expunge.continual.losses import contrastive, online_distillation
from expunge.continual.views import another_view


def test_online_distillation_by_hand():
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(3)], [2.0, -2.0]])
    found = online_distillation(student, teacher, torch.tensor([1, 0]))
    wanted = [0.75 * (1 + (2 - math.log(3)) ** 2) / 2, (1 / (1 + math.exp(-4))) * 4]
    assert torch.allclose(found, torch.tensor(wanted))
    warmer = online_distillation(student, teacher, torch.tensor([1, 0]), rho=2.0)
    assert warmer[0] == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)) * (1 + (2 - math.log(3)) ** 2) / 2)


def by_loops(anchors: torch.Tensor, others: torch.Tensor, labels: torch.Tensor, tau: float, same: bool) -> torch.Tensor:
    found = []
    for i, anchor in enumerate(anchors):
        places = [p for p in range(len(others)) if not (same and p == i)]
        total = sum(math.exp(float(anchor @ others[p]) / tau) for p in places)
        terms = [
            -math.log(math.exp(float(anchor @ others[p]) / tau) / total) for p in places if labels[p % len(labels)] == labels[i]
        ]
        found.append(sum(terms) / len(terms) if terms else 0.0)
    return torch.tensor(found)


@pytest.mark.parametrize(("copies", "same"), [(1, False), (1, True), (2, True)])
def test_contrastive_losses_by_loops(copies, same):
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0, 1, 0, 2, 1, 0])  # class 2 has one sample
    anchors = F.normalize(torch.randn(6, 4, generator=generator), dim=1)
    second = F.normalize(torch.randn(6, 4, generator=generator), dim=1)
    others = torch.cat([anchors, second])[: 6 * copies] if same else second
    found = contrastive(anchors, others, labels, 0.5, same=same)
    assert torch.allclose(found, by_loops(anchors, others, labels, 0.5, same), atol=1e-5)
    assert (found[3] == 0) == (same and copies == 1)


def test_contrastive_losses_have_finite_gradients():
    embedded = torch.randn(5, 3, requires_grad=True)
    contrastive(F.normalize(embedded, dim=1), F.normalize(embedded, dim=1), torch.arange(5), 0.07, same=True).sum().backward()
    assert embedded.grad is not None and embedded.grad.isfinite().all()


def test_it_is_least_where_classes_lie_apart():
    labels = torch.tensor([0, 0, 1, 1])
    apart, mixed = torch.eye(2)[labels], torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    assert contrastive(apart, apart, labels, 0.1).mean() < contrastive(mixed, mixed, labels, 0.1).mean()


def test_views_move_an_image_and_fill_up_with_zeros():
    image = torch.zeros(400, 1, 8, 8)
    image[:, :, 3, 4] = 1
    torch.manual_seed(0)
    moved = another_view(image)
    places = moved.flatten(1).argmax(1)
    assert (moved.flatten(1).sum(1) == 1).all()
    assert {(int(place) // 8 - 3, int(place) % 8 - 4) for place in places} == {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def test_views_move_all_channels_together_and_mirror_half():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 6, 6).repeat(200, 1, 1, 1)
    moved = another_view(image, "shift-flip")
    wide = F.pad(image[0], (1,) * 4)
    windows = [wide[:, y : y + 6, x : x + 6] for y in range(3) for x in range(3)]
    plain = sum(any(torch.equal(each, window) for window in windows) for each in moved)
    mirrored = sum(any(torch.equal(each, window.flip(2)) for window in windows) for each in moved)
    assert plain + mirrored == 200 and 70 < plain < 130


def test_what_is_no_image_has_one_view():
    rows = torch.rand(3, 5)
    assert another_view(rows) is rows
    images = torch.rand(2, 1, 4, 4)
    assert another_view(images, "same") is images

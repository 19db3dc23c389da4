"""Augmentation: what each step does to pixels, and that a generator decides it."""

import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.search.faces import Augmentation, class_weights
from expunge.search.faces.augmentation import cut_out, mirror, rotate, shift


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 6, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 1, side, side, generator=generator())


def test_mirrored_by_chance() -> None:
    batch = images(400)
    assert torch.equal(mirror(batch, 0), batch)
    assert torch.equal(mirror(batch, 1), batch.flip(3))
    seen = mirror(batch, 0.5, generator())
    turned = torch.tensor([torch.equal(one, other.flip(2)) for one, other in zip(seen, batch, strict=True)])
    kept = torch.tensor([torch.equal(one, other) for one, other in zip(seen, batch, strict=True)])
    assert bool((turned ^ kept).all())
    assert 150 < int(turned.sum()) < 250


def test_shifts_are_whole_and_reach_both_ends() -> None:
    batch = torch.zeros(500, 1, 21, 21)
    batch[:, 0, 10, 10] = 1
    rows, columns = shift(batch, 4, generator()).nonzero()[:, 2:].T
    assert len(rows) == 500
    for found in (rows, columns):
        assert sorted(set(found.tolist())) == list(range(6, 15))
    assert abs(torch.corrcoef(torch.stack([rows, columns]).float())[0, 1]) < 0.2


def test_edges_are_repeated() -> None:
    batch = torch.full((50, 2, 8, 8), 3.0)
    assert torch.equal(shift(batch, 4, generator()), batch)
    assert torch.allclose(rotate(batch, 20, generator()), batch)


def test_a_turn_keeps_the_centre_and_moves_the_rest() -> None:
    batch = torch.zeros(40, 1, 33, 33)
    batch[:, 0, 16, 16], batch[:, 0, 16, 28] = 1, 1
    seen = rotate(batch, 30, generator())
    assert torch.allclose(seen[:, 0, 16, 16], torch.ones(40), atol=1e-4)
    right = seen[:, 0, :, 19:].sum(2)
    heights = (right * torch.arange(33)).sum(1) / right.sum(1) - 16
    angles = torch.rad2deg(torch.asin(heights / 12))
    assert angles.min() < -15 and angles.max() > 15 and angles.abs().max() <= 31


def test_the_square_has_its_size() -> None:
    seen = cut_out(torch.ones(300, 3, 20, 20), 6, generator(), fill=-1.0)
    cut = (seen == -1).sum((1, 2, 3)) / 3
    assert cut.max() == 36 and cut.min() >= 9
    assert torch.equal((seen == -1).any(1), (seen == -1).all(1))


def test_the_generator_decides_and_the_batch_stays() -> None:
    batch = images()
    before = batch.clone()
    augment = Augmentation(cutout=4)
    first, again, other = (augment(batch, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(batch, before)
    assert first.shape == batch.shape and first.dtype == batch.dtype
    engine = Engine(device="cpu", seed=3)
    seen = []
    for name in ("a", "a", "b"):
        with engine.seeded(name):
            seen.append(augment(batch))
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_nothing_is_changed_where_all_is_off() -> None:
    assert torch.equal(Augmentation(0, 0, 0, 0)(images()), images())


def test_class_weights_by_hand() -> None:
    labels = [0] * 9 + [1] * 4 + [2]
    weights = class_weights(labels, ("a", "b", "c"))
    assert (weights / weights[2]).tolist() == pytest.approx([1 / 3, 1 / 2, 1])
    assert weights[torch.tensor(labels)].mean().item() == pytest.approx(1)
    assert class_weights(labels, 3, power=0).tolist() == [1, 1, 1]
    assert (class_weights(labels, 3, power=1) * torch.tensor([9.0, 4.0, 1.0])).tolist() == pytest.approx([14 / 3] * 3)


def test_wrong_settings_are_refused() -> None:
    for wrong in ({"mirrored": 2.0}, {"degrees": -1.0}, {"shift": -1}, {"cutout": -2}):
        with pytest.raises(BadSetting, match=next(iter(wrong))):
            Augmentation(**wrong)
    with pytest.raises(BadSetting, match=r"class 1 \(smile\) has no samples among 2"):
        class_weights([0, 0], ("neutral", "smile"))
    with pytest.raises(BadSetting, match="0 to 1"):
        class_weights([0, 2], 2)
    with pytest.raises(BadSetting, match=r"\(B, C, H, W\)"):
        mirror(torch.zeros(1, 4, 4))
    with pytest.raises(BadSetting, match="uint8"):
        Augmentation()(torch.zeros(1, 1, 4, 4, dtype=torch.uint8))

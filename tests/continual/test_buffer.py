"""The replay buffer: nothing is drawn that was not put in, what is forgotten is nowhere, and what is left is an even draw."""

import pytest
import torch

from expunge.continual import ReplayBuffer
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.storage import write_weights


def samples(ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples that tell their id by every value."""
    known = ids.float() + 1
    return known[:, None].repeat(1, 3), ids % 7 + 1, ids, known[:, None].repeat(1, 2)


def whole(memory: ReplayBuffer, drawn: tuple[torch.Tensor, ...]) -> None:
    """Every sample that was drawn is one that was put in, with its own label and logits."""
    inputs, labels, ids, logits = drawn
    wanted = samples(ids)
    for found, right in zip((inputs, labels, ids, logits), wanted, strict=True):
        assert torch.equal(found, right)
    assert len(ids.unique()) == len(ids)


@pytest.mark.parametrize("seed", range(12))
def test_over_random_streams_only_what_was_put_in_and_not_forgotten_is_drawn(seed):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)

    def number(most: int) -> int:
        return int(torch.randint(1, most + 1, (), generator=generator))

    memory, there, following = ReplayBuffer(number(20), (3,), logits=2), torch.empty(0, dtype=torch.long), 0
    for _ in range(60):
        if number(3) > 1 or not len(there):
            ids = torch.arange(following, following + number(30))
            following += len(ids)
            memory.add(*samples(ids))
            there = torch.cat([there, ids])
        else:
            count = min(number(40), len(there))
            goes = there[torch.randperm(len(there), generator=generator)[:count]]
            held = memory.held()[2]
            assert memory.forget(goes) == int(torch.isin(held, goes).sum())
            there = there[~torch.isin(there, goes)]
        assert memory.population == len(there) and memory.filled <= min(memory.capacity, len(there))
        for count in (1, number(25), memory.capacity):
            drawn = memory.draw(count)
            assert len(drawn[2]) == min(count, memory.filled)
            whole(memory, drawn)
            assert torch.isin(drawn[2], there).all()
        empty = memory.ids == -1
        assert not memory.inputs[empty].any() and not memory.labels[empty].any() and not memory.logits[empty].any()


def test_it_takes_all_while_they_fit_and_then_stays_full():
    memory = ReplayBuffer(5, (3,), logits=2)
    memory.add(*samples(torch.arange(5)))
    assert sorted(memory.held()[2].tolist()) == [0, 1, 2, 3, 4]
    for first in range(5, 100, 5):
        memory.add(*samples(torch.arange(first, first + 5)))
        assert memory.filled == 5
    assert memory.held()[2].max() > 20


def test_where_all_fitted_a_freed_slot_is_taken_at_once():
    memory = ReplayBuffer(5, (3,), logits=2)
    memory.add(*samples(torch.arange(4)))
    memory.forget(torch.tensor([1, 3]))
    memory.add(*samples(torch.arange(10, 13)))
    assert sorted(memory.held()[2].tolist()) == [0, 2, 10, 11, 12]


def kept_shares(forget: bool, runs: int = 3000) -> torch.Tensor:
    """How often each of 40 samples is held in the end: 0 to 19 are older, 10 to 19 may go, 20 to 39 come after that."""
    torch.manual_seed(0)
    counts = torch.zeros(40)
    for _ in range(runs):
        memory = ReplayBuffer(6, (1,))
        memory.add(*(part[:, :1] if part.dim() > 1 else part for part in samples(torch.arange(20))[:3]))
        if forget:
            memory.forget(torch.arange(10, 20))
        memory.add(*(part[:, :1] if part.dim() > 1 else part for part in samples(torch.arange(20, 40))[:3]))
        counts[memory.held()[2]] += 1
    return counts / runs


def test_all_that_stays_is_held_equally_often():
    assert (kept_shares(forget=False) - 6 / 40).abs().max() < 0.03
    shares = kept_shares(forget=True)
    assert (shares[10:20] == 0).all()
    # Ten samples went and twenty came, so that the buffer is full again and 30 samples share 6 slots.
    assert (shares[[*range(10), *range(20, 40)]] - 6 / 30).abs().max() < 0.03


def test_new_samples_pay_for_what_was_forgotten():
    torch.manual_seed(1)
    memory = ReplayBuffer(10, (3,), logits=2)
    memory.add(*samples(torch.arange(100)))
    lost = memory.forget(torch.arange(50))
    assert memory.counts.tolist() == [50, lost, 50 - lost] and memory.filled == 10 - lost
    memory.add(*samples(torch.arange(100, 150)))
    assert memory.counts.tolist() == [100, 0, 0] and memory.filled == 10


def test_draws_follow_the_global_generator():
    memory = ReplayBuffer(10, (3,), logits=2)
    memory.add(*samples(torch.arange(10)))
    torch.manual_seed(3)
    first = memory.draw(4)[2]
    torch.manual_seed(3)
    assert torch.equal(first, memory.draw(4)[2])
    assert len({tuple(memory.draw(4)[2].tolist()) for _ in range(20)}) > 10


def test_batches_hold_what_is_there():
    memory = ReplayBuffer(10, (3,), logits=2)
    memory.add(*samples(torch.arange(7)))
    memory.forget(torch.tensor([2]))
    inputs, labels = (torch.cat(column) for column in zip(*memory.batches(4), strict=True))
    assert torch.equal(inputs, memory.held()[0]) and torch.equal(labels, memory.held()[1])


def test_logits_can_be_taken_anew():
    memory = ReplayBuffer(6, (3,), logits=2)
    memory.add(*samples(torch.arange(4)))
    memory.relabel(torch.arange(8.0).view(4, 2))
    assert torch.equal(memory.held()[3], torch.arange(8.0).view(4, 2))
    assert not memory.logits[memory.ids == -1].any()


def test_bytes():
    memory = ReplayBuffer(10, (2, 3), logits=4)
    assert memory.bytes == 10 * (6 * 4 + 8 + 8 + 4 * 4)
    same = ReplayBuffer.of_bytes(memory.bytes, (2, 3))
    assert same.capacity == memory.bytes // 40 and same.bytes <= memory.bytes
    assert ReplayBuffer.of_bytes(100, (2, 3), dtype=torch.uint8).capacity == 100 // 22
    with pytest.raises(BadSetting, match="a sample takes 40 bytes, so that a buffer of 39 holds none"):
        ReplayBuffer.of_bytes(39, (2, 3))


def test_a_file_holds_all_of_it_and_goes_on_the_same(tmp_path):
    torch.manual_seed(0)
    memory = ReplayBuffer(5, (3,), logits=2)
    memory.add(*samples(torch.arange(30)))
    memory.forget(torch.arange(20))
    memory.save(tmp_path / "memory.safetensors")
    again = ReplayBuffer.load(tmp_path / "memory.safetensors")
    for each in (memory, again):
        torch.manual_seed(5)
        each.add(*samples(torch.arange(40, 60)))
    assert all(torch.equal(one, other) for one, other in zip(memory.held(), again.held(), strict=True))
    assert torch.equal(memory.counts, again.counts)


def test_other_files_are_refused(tmp_path):
    write_weights(tmp_path / "model.safetensors", {"weight": torch.zeros(2)})
    with pytest.raises(BadFile, match="is no replay buffer"):
        ReplayBuffer.load(tmp_path / "model.safetensors")
    ReplayBuffer(3, (2,)).save(tmp_path / "cut.safetensors")
    content = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[:-4])
    with pytest.raises(BadFile, match="not a whole safetensors file"):
        ReplayBuffer.load(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(2, 4)}, r"inputs for a replay buffer have shape \(2, 4\), not \(2, 3\)"),
        ({1: torch.zeros(3, dtype=torch.long)}, r"labels for a replay buffer have shape \(3,\), not \(2,\)"),
        ({3: torch.zeros(2, 5)}, r"logits for a replay buffer have shape \(2, 5\), not \(2, 2\)"),
        ({2: torch.tensor([4, 4])}, "must be 0 or more, each once"),
        ({2: torch.tensor([4, -1])}, "must be 0 or more, each once"),
        ({0: torch.zeros(2, 3, dtype=torch.uint8)}, "inputs are torch.uint8, and the replay buffer holds torch.float32"),
        ({2: torch.tensor([0, 9])}, "already in the replay buffer"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(change, message):
    memory = ReplayBuffer(4, (3,), logits=2)
    memory.add(*samples(torch.tensor([0])))
    given = list(samples(torch.tensor([7, 8])))
    for place, value in change.items():
        given[place] = value
    with pytest.raises(BadRequest, match=message):
        memory.add(*given)
    assert memory.filled == memory.population == 1


def test_forgetting_what_was_never_learned_is_refused():
    memory = ReplayBuffer(4, (3,), logits=2)
    memory.add(*samples(torch.arange(3)))
    with pytest.raises(BadRequest, match="4 samples are to be forgotten, and only 3 were learned"):
        memory.forget(torch.arange(4))
    with pytest.raises(BadRequest, match="named twice"):
        memory.forget(torch.tensor([1, 1]))


def test_sizes_that_make_no_sense():
    with pytest.raises(BadSetting, match="at least 1 sample, not 0"):
        ReplayBuffer(0, (3,))
    with pytest.raises(BadSetting, match="0 or more, not -1"):
        ReplayBuffer(2, (3,), logits=-1)

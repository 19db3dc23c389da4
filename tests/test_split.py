"""Streams of batches: order, pairing, and whose random numbers they use."""

import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from expunge.errors import BadRequest, BadSetting
from expunge.split import (
    Batches,
    InTurn,
    Pair,
    Shuffled,
    Split,
    forget_share,
    in_proportion,
    is_empty,
    joined,
    one_epoch,
    paired,
    stream_digest,
)

NUMBERS = TensorDataset(torch.arange(10))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def flat(batches):
    return [value for (batch,) in batches for value in batch.tolist()]


class Noisy(Dataset):
    """Draws from all three global generators, as augmentations do."""

    def __len__(self):
        return 6

    def __getitem__(self, row):
        return torch.tensor([row, torch.rand(()).item(), np.random.rand(), random.random()])


class TestBatches:
    def test_iterating_is_in_order_and_epochs_are_shuffled(self):
        batches = Batches(NUMBERS, 4)
        assert flat(batches) == list(range(10))
        first = flat(batches.epoch(generator()))
        assert first != list(range(10)) and sorted(first) == list(range(10))
        assert first == flat(batches.epoch(generator())) != flat(batches.epoch(generator(1)))

    def test_two_epochs_of_one_generator_differ(self):
        batches, source = Batches(NUMBERS, 4), generator()
        assert flat(batches.epoch(source)) != flat(batches.epoch(source))

    def test_rows_sizes_and_length(self):
        batches = Batches(NUMBERS, 2, indices=[7, 1, 3])
        assert [batch.tolist() for (batch,) in batches] == [[7, 1], [3]]
        assert len(batches) == 2 and batches.examples == 3
        assert flat(batches.with_batch_size(3)) == [7, 1, 3]
        assert len(Batches(NUMBERS, 2, indices=[])) == 0 and is_empty(Batches(NUMBERS, 2, indices=[]))

    def test_without_shuffling_an_epoch_is_in_order(self):
        assert flat(Batches(NUMBERS, 3, shuffle=False).epoch(generator())) == list(range(10))

    def test_any_dataset_gives_the_same_order_as_tensors(self):
        class Plain(Dataset):
            def __len__(self):
                return 10

            def __getitem__(self, row):
                return (torch.tensor(row),)

        assert flat(Batches(Plain(), 4).epoch(generator())) == flat(Batches(NUMBERS, 4).epoch(generator()))
        assert flat(Batches(Plain(), 4)) == list(range(10))

    def test_batch_size_must_be_positive(self):
        with pytest.raises(BadSetting, match="at least 1, not 0"):
            Batches(NUMBERS, 0)


@pytest.mark.parametrize("stream", [Batches(Noisy(), 2), DataLoader(Noisy(), 2, shuffle=True)], ids=["Batches", "DataLoader"])
class TestForeignRandomness:
    def test_the_generator_decides_everything(self, stream):
        first = torch.cat(list(one_epoch(stream, generator())))
        torch.manual_seed(99)
        np.random.seed(99)
        random.seed(99)
        assert torch.equal(first, torch.cat(list(one_epoch(stream, generator()))))
        assert not torch.equal(first, torch.cat(list(one_epoch(stream, generator(1)))))

    def test_the_caller_keeps_its_random_state_even_when_it_stops_early(self, stream):
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        expected = torch.rand(()), np.random.rand(), random.random()
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        next(one_epoch(stream, generator()))
        list(one_epoch(stream, generator()))
        assert (torch.rand(()), np.random.rand(), random.random()) == expected

    def test_what_the_caller_draws_does_not_move_the_stream(self, stream):
        quiet = torch.cat(list(one_epoch(stream, generator())))
        noisy = []
        for batch in one_epoch(stream, generator()):
            noisy.append(batch)
            torch.rand(3)
            random.random()
        assert torch.equal(quiet, torch.cat(noisy))


def test_an_error_in_a_stream_leaves_the_random_state_alone():
    def broken():
        yield torch.rand(1)
        raise OSError("gone")

    class Stream:
        def __iter__(self):
            return broken()

    torch.manual_seed(1)
    expected = torch.get_rng_state()
    with pytest.raises(OSError, match="gone"):
        list(one_epoch(Stream(), generator()))
    assert torch.equal(torch.get_rng_state(), expected)


class TestPaired:
    forget = Batches(NUMBERS, 2, indices=[0, 1, 2])
    retain = Batches(NUMBERS, 1, indices=[3, 4, 5, 6, 7])

    def test_an_epoch_of_retain_cycles_forget(self):
        stream = paired(self.forget, self.retain, "retain")
        pairs = list(stream.epoch(generator()))
        assert len(pairs) == len(stream) == 5
        assert sorted(flat(pair.retain for pair in pairs)) == [3, 4, 5, 6, 7]
        assert flat(pair.forget for pair in pairs[:2]) != [] and sorted(flat(pair.forget for pair in pairs[:2])) == [0, 1, 2]
        assert sorted(flat(pair.forget for pair in pairs[2:4])) == [0, 1, 2]

    def test_an_epoch_of_forget_cuts_retain(self):
        stream = paired(self.forget, self.retain, "forget")
        pairs = list(stream.epoch(generator()))
        assert len(pairs) == len(stream) == 2
        assert sorted(flat(pair.forget for pair in pairs)) == [0, 1, 2]
        assert len(set(flat(pair.retain for pair in pairs))) == 2

    def test_the_same_generator_gives_the_same_pairs(self):
        stream = paired(self.forget, self.retain)
        one, two = (list(stream.epoch(generator())) for _ in range(2))
        assert all(
            torch.equal(a.forget[0], b.forget[0]) and torch.equal(a.retain[0], b.retain[0])
            for a, b in zip(one, two, strict=True)
        )

    def test_an_empty_side_is_refused(self):
        with pytest.raises(BadRequest, match="empty"):
            list(paired([], self.retain).epoch(generator()))

    def test_an_unknown_rule_is_refused(self):
        with pytest.raises(BadSetting, match="'forget' or 'retain', not 'both'"):
            paired(self.forget, self.retain, "both")


class TestInProportion:
    many = TensorDataset(torch.arange(1200))

    def streams(self, goes, stays, batch_size):
        return Batches(self.many, 7, range(goes)), Batches(self.many, batch_size, range(goes, goes + stays))

    @pytest.mark.parametrize(
        ("goes", "stays", "batch_size", "forget_size"),
        [(20, 100, 10, 2), (50, 100, 10, 5), (100, 100, 16, 16), (200, 50, 5, 20)],
    )
    def test_each_step_sees_both_in_the_proportion_of_the_training_set(self, goes, stays, batch_size, forget_size):
        pairs = list(in_proportion(*self.streams(goes, stays, batch_size)).epoch(generator()))
        full = [pair for pair in pairs if len(pair.retain[0]) == batch_size]
        assert {len(pair.forget[0]) for pair in full[:-1]} == {forget_size}
        assert len(pairs) == -(-stays // batch_size)

    @pytest.mark.parametrize(
        ("goes", "stays", "batch_size"),
        [(20, 100, 10), (50, 100, 10), (200, 50, 5), (25, 100, 10), (35, 100, 10), (70, 1000, 64)],
    )
    def test_an_epoch_passes_once_over_both(self, goes, stays, batch_size):
        pairs = list(in_proportion(*self.streams(goes, stays, batch_size)).epoch(generator()))
        assert sorted(flat(pair.retain for pair in pairs)) == list(range(goes, goes + stays))
        seen = flat(pair.forget for pair in pairs)
        assert set(seen) == set(range(goes)), f"{goes - len(set(seen))} examples that go were never seen"
        assert len(seen) < goes + len(pairs)  # one more in each batch at most, since batches are whole

    def test_what_is_fewer_than_the_batches_comes_one_at_a_time_again_and_again(self):
        pairs = list(in_proportion(*self.streams(3, 100, 10)).epoch(generator()))
        assert [len(pair.forget[0]) for pair in pairs] == [1] * 10
        assert all(sorted(flat(pair.forget for pair in pairs[start : start + 3])) == [0, 1, 2] for start in (0, 3, 6))

    def test_the_streams_themselves_keep_their_batches(self):
        forget, retain = self.streams(20, 100, 10)
        stream = in_proportion(forget, retain)
        assert forget.batch_size == 7 and stream.retain is retain and len(stream) == 10
        assert flat(stream.forget) == flat(forget)

    def test_order_is_kept_where_it_was_asked_for(self):
        forget, retain = Batches(NUMBERS, 9, [3, 1], shuffle=False), Batches(NUMBERS, 3, [9, 8, 7, 6, 5, 4], shuffle=False)
        pairs = list(in_proportion(forget, retain).epoch(generator()))
        assert flat(pair.forget for pair in pairs) == [3, 1] and flat(pair.retain for pair in pairs) == [9, 8, 7, 6, 5, 4]

    def test_loaders_stay_as_they_are(self):
        forget, retain = self.streams(20, 100, 10)
        loader = DataLoader(self.many, 50)
        for goes, stays in ((loader, retain), (forget, loader), (loader, loader)):
            stream = in_proportion(goes, stays)
            assert stream.forget is goes and stream.retain is stays and stream.epoch_of == "retain"

    def test_an_empty_side_is_refused(self):
        forget, retain = self.streams(20, 100, 10)
        nothing = Batches(self.many, 5, [])
        with pytest.raises(BadRequest, match=r"^one of the two streams to pair is empty: both need at least one batch$"):
            list(in_proportion(nothing, retain).epoch(generator()))
        assert list(in_proportion(forget, nothing).epoch(generator())) == []


class TestJoined:
    goes = torch.tensor([[1.0], [2.0]]), torch.tensor([10, 20])
    stays = torch.tensor([[3.0], [4.0], [5.0]]), torch.tensor([30, 40, 50])

    @pytest.mark.parametrize("forget", [tuple, list], ids=["forget tuple", "forget list"])
    @pytest.mark.parametrize("retain", [tuple, list], ids=["retain tuple", "retain list"])
    def test_what_goes_comes_first_in_tuples_and_in_lists(self, forget, retain):
        (inputs, targets), count = joined(Pair(forget(self.goes), retain(self.stays)))
        assert inputs.flatten().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0] and targets.tolist() == [10, 20, 30, 40, 50]
        assert count == 2

    def test_both_halves_are_got_back_by_the_count(self):
        both, count = joined(Pair(self.goes, self.stays))
        for whole, goes, stays in zip(both, self.goes, self.stays, strict=True):
            assert torch.equal(whole[:count], goes) and torch.equal(whole[count:], stays)

    def test_a_batch_may_be_a_tensor_or_a_dictionary(self):
        both, count = joined(Pair(self.goes[0], self.stays[0]))
        assert both.flatten().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0] and count == 2
        both, count = joined(Pair({"x": self.goes[0], "y": self.goes[1]}, {"x": self.stays[0], "y": self.stays[1]}))
        assert both["y"].tolist() == [10, 20, 30, 40, 50] and count == 2

    def test_batches_and_loaders_may_be_mixed(self):
        data = TensorDataset(torch.zeros(4, 1), torch.tensor([1, 2, 3, 4]))
        pair = next(in_proportion(Batches(data, 2, [0, 1], shuffle=False), DataLoader(data, 3)).epoch(generator()))
        both, count = joined(pair)
        assert both[1].tolist() == [1, 2, 1, 2, 3] and count == 2

    def test_gradients_reach_both_halves(self):
        goes, stays = torch.ones(2, 1, requires_grad=True), torch.ones(3, 1, requires_grad=True)
        joined(Pair((goes,), (stays,)))[0][0].sum().backward()
        assert goes.grad.sum() == 2 and stays.grad.sum() == 3


class TestForgetShare:
    def test_examples_are_counted_whatever_the_batches(self):
        forget, retain = Batches(NUMBERS, 1, [0, 1]), Batches(NUMBERS, 100, [2, 3, 4, 5, 6, 7, 8, 9])
        assert forget_share(Split(forget, retain)) == 0.2
        assert forget_share(Split(forget.with_batch_size(7), retain.with_batch_size(1))) == 0.2

    def test_batches_are_counted_where_one_side_does_not_know_its_examples(self):
        loader = DataLoader(NUMBERS, 4)  # 3 batches
        assert forget_share(Split(Batches(NUMBERS, 2, [0, 1]), loader)) == 1 / 4
        assert forget_share(Split(loader, Batches(NUMBERS, 5))) == 3 / 5
        assert forget_share(Split([1], [1] * 9)) == 0.1


def test_in_turn_gives_all_forget_then_part_of_retain():
    stream = InTurn(Batches(NUMBERS, 2, [0, 1, 2]), Batches(NUMBERS, 1, [3, 4, 5, 6]), retain_fraction=0.5)
    pairs = list(stream.epoch(generator()))
    assert len(pairs) == len(stream) == 4
    assert [pair.retain is None for pair in pairs] == [True, True, False, False]
    assert [pair.forget is None for pair in pairs] == [False, False, True, True]
    assert len(InTurn((), Batches(NUMBERS, 1))) == 10


def test_shuffled_iterates_in_the_generators_order():
    batches = Batches(NUMBERS, 10)
    assert flat(Shuffled(batches, generator())) == flat(batches.epoch(generator()))


def test_unseen_like_forget_falls_back_on_the_holdout():
    assert Split([1], [2], [3]).unseen_like_forget == [3]
    assert Split([1], [2], [3], holdout_forget=[4]).unseen_like_forget == [4]


class TestDigest:
    def test_equal_content_gives_equal_digests(self):
        assert stream_digest(Batches(NUMBERS, 2)) == stream_digest(Batches(TensorDataset(torch.arange(10)), 2))

    @pytest.mark.parametrize(
        "other",
        [
            Batches(NUMBERS, 3),
            Batches(NUMBERS, 2, range(9)),
            Batches(NUMBERS, 2, [*range(8), 9, 8]),
            Batches(NUMBERS, 2, shuffle=False),
        ],
    )
    def test_other_rows_order_or_sizes_give_another(self, other):
        assert stream_digest(Batches(NUMBERS, 2)) != stream_digest(other)

    def test_other_values_give_another(self):
        values = torch.arange(10)
        values[4] = 77
        assert stream_digest(Batches(NUMBERS, 2)) != stream_digest(Batches(TensorDataset(values), 2))

    def test_pairs_and_splits_see_every_part(self):
        one, two = Batches(NUMBERS, 2), Batches(NUMBERS, 3)
        assert stream_digest(paired(one, two)) != stream_digest(paired(two, one))
        assert stream_digest(paired(one, two)) != stream_digest(paired(one, two, "forget"))
        assert stream_digest(Split(one, two)) != stream_digest(Split(one, two, two))
        assert stream_digest([1, 2]) == stream_digest([3, 4]) != stream_digest([1])


def test_rows_of_like_size_share_a_batch_and_each_comes_once():
    sizes = torch.randint(1, 100, (200,), generator=torch.Generator().manual_seed(0))
    stream = Batches(TensorDataset(torch.arange(200), sizes), 8, indices=range(3, 200), sizes=sizes.tolist())
    first, again = (list(stream.epoch(torch.Generator().manual_seed(1))) for _ in range(2))
    assert all(torch.equal(one[0], two[0]) for one, two in zip(first, again, strict=True))
    assert sorted(torch.cat([rows for rows, _ in first]).tolist()) == list(range(3, 200))
    assert len(first) == len(stream) and sorted(len(rows) for rows, _ in first) == [5] + [8] * 24
    plain = list(Batches(stream.dataset, 8, indices=range(3, 200)).epoch(torch.Generator().manual_seed(1)))
    padded, otherwise = (sum(int(its.max()) * len(its) for _, its in batches) for batches in (first, plain))
    assert padded < 0.7 * otherwise and padded < 1.1 * int(sizes[3:].sum())
    firsts = [int(its.min()) for _, its in first]
    assert firsts != sorted(firsts)  # short ones do not all come first


def test_sizes_stay_with_other_batches_and_belong_to_the_digest():
    data = TensorDataset(torch.arange(4))
    stream = Batches(data, 2, sizes=[1, 2, 3, 4])
    assert stream.with_batch_size(4).sizes.tolist() == [1, 2, 3, 4]
    assert len({stream_digest(each) for each in (stream, Batches(data, 2), Batches(data, 2, sizes=[1, 2, 3, 5]))}) == 3
    with pytest.raises(BadSetting, match="sizes has 3 entries for 4 rows"):
        Batches(data, 2, sizes=[1, 2, 3])


def test_a_single_number_that_is_spread_by_a_stride_of_nothing_has_a_digest():
    spread = torch.tensor(3).expand(1)
    assert spread.stride() == (0,) and stream_digest(spread) == stream_digest(torch.tensor([3]))
    digests = [stream_digest(Batches(TensorDataset(values), 1)) for values in (spread, torch.tensor([3]), torch.tensor([4]))]
    assert digests[0] == digests[1] != digests[2]

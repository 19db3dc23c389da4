"""Who leaves and who stays, what was kept of their updates, and streams that are read as one."""

import pytest
import torch
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.federated import Contributions
from expunge.federated.client_split import Together, continued, leave, losses_of
from expunge.federated.federation import examples_in
from expunge.federated.history import History, changes
from expunge.split import Batches, stream_digest
from tiny import network, same_weights, task
from tiny_federations import LEAVES, federation, played


def test_who_leaves_and_who_stays():
    whole = federation()
    split = leave(whole, [LEAVES, "client-0", LEAVES])
    assert split.leaving == ("client-0", LEAVES)
    assert sorted(split.rest.clients) == ["client-1", "client-2"]
    assert split.forget.examples == 40 + 80 and split.retain.examples == 80
    labels = torch.cat([batch[1] for batch in split.forget])
    assert len(labels) == 120 and (labels == 0).sum() == 10 + 10 + 40


def test_the_data_that_must_go_may_be_named():
    split = leave(federation(), [LEAVES], clean=[1, 2])
    assert split.forget == [1, 2] and split.retain.examples == 120


@pytest.mark.parametrize(
    ("leaving", "message"),
    [
        ([], "no client is named"),
        (["nobody"], "there is no client nobody"),
        ([f"client-{place}" for place in range(4)], "all 4 clients would leave"),
    ],
)
def test_refusals(leaving, message):
    with pytest.raises(BadRequest, match=message):
        leave(federation(), leaving)


def test_streams_are_read_one_after_the_other_and_trained_on_in_random_order():
    data = TensorDataset(torch.arange(40), torch.zeros(40))
    both = Together([Batches(data, 5, range(20)), Batches(data, 5, range(20, 40))])
    assert len(both) == 8 and both.examples == 40
    assert torch.cat([batch[0] for batch in both]).tolist() == list(range(40))
    one, same, other = ([batch[0].tolist() for batch in both.epoch(torch.Generator().manual_seed(seed))] for seed in (0, 0, 1))
    assert one == same != other
    assert sorted(value for batch in one for value in batch) == list(range(40))
    assert any(first[0] >= 20 for first in one[:4]) and any(last[0] < 20 for last in one[4:])


def test_the_digest_is_that_of_what_the_streams_hold():
    first, same, other = (
        stream_digest(Together([Batches(TensorDataset(torch.full((4,), float(value)), torch.zeros(4)), 2)]))
        for value in (0, 0, 1)
    )
    assert first == same != other
    assert stream_digest(leave(federation(), [LEAVES])) == stream_digest(leave(federation(), [LEAVES]))
    assert stream_digest(leave(federation(), [LEAVES])) != stream_digest(leave(federation(), ["client-0"]))


def test_examples_are_counted_where_the_stream_does_not_know():
    assert examples_in([(torch.zeros(3, 2), torch.zeros(3)), (torch.zeros(2, 2), torch.zeros(2))]) == 5
    assert examples_in(Batches(TensorDataset(torch.zeros(7)), 2)) == 7


def test_no_round_changes_nothing():
    model, split = played()
    assert continued(model, task(), split, Engine(progress=False), 0) is model


def test_some_rounds_are_kept():
    engine, kept, every = Engine(progress=False), History(every=4), History()
    fresh = engine.new_model(network)
    sums = Contributions(dict(fresh.named_parameters()))
    federation().play(fresh, losses_of(task()), engine, (kept.watch, every.watch, sums.watch))
    assert kept.rounds == (1, 5) and every.rounds == (1, 2, 3, 4, 5, 6)
    parameters = sum(value.numel() for value in network().parameters())
    assert every.bytes == 6 * 4 * parameters * 4 and kept.bytes == 2 * 4 * parameters * 4
    torch.testing.assert_close(kept.initial, {name: value.detach() for name, value in fresh.state_dict().items()})
    for client in sums.clients:
        total = sum(every.updates[number][client]["0.weight"].abs() for number in every.rounds)
        torch.testing.assert_close(sums.of([client])["0.weight"], total / 6)
    with pytest.raises(BadSetting, match="every must be at least 1"):
        History(every=0)


def test_changes_are_of_floating_point_tensors():
    before = {"w": torch.zeros(2), "count": torch.tensor(1)}
    found = changes(before, {"w": torch.ones(2), "count": torch.tensor(5)})
    assert found.keys() == {"w"} and torch.equal(found["w"], torch.ones(2))


def test_work_is_taken_down_below_the_scopes():
    model, split = played()
    engine = Engine(progress=False)
    with engine.scope("case"), engine.scope("row"):
        later = continued(model, task(), split, engine, 2)
    assert not same_weights(later, model)
    row = {"federation": "case/row/federation", "rounds": 1, "client_passes": 3, "stored_bytes": 0}
    assert engine.history == [row, row]

"""Sequences of requests: what each of them finds, on every kind of data, and what is refused."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

import tiny_federations
import tiny_graphs
import tiny_interactions
from expunge.data.facts import Fact
from expunge.data.graph_splits import split_nodes
from expunge.errors import BadRequest
from expunge.interactions import Removal
from expunge.requests import ForgetClass, ForgetRows
from expunge.split import Split
from expunge.studies.sequences.requests import (
    RequestSequence,
    clients_in_sequence,
    drawn_rows,
    facts_in_sequence,
    interactions_in_sequence,
    links_in_sequence,
    nodes_in_sequence,
    rows_in_sequence,
)

STREAMS = ("forget", "retain", "holdout", "holdout_forget", "validation_forget")


def numbered(rows: int, first: int = 0) -> TensorDataset:
    """Rows that hold their own number, of two classes in turn."""
    numbers = torch.arange(first, first + rows)
    return TensorDataset(numbers.float().unsqueeze(1), numbers % 2)


def numbers_in(stream: Iterable[Any] | None) -> set[int]:
    return {int(value) for batch in stream or () for value in batch[0].flatten()}


def all_parts(split: Split, read: Any) -> set[Any]:
    """Everything in every stream of a split but what goes."""
    return set().union(*(read(getattr(split, name)) for name in STREAMS if name != "forget"))


# ---- rows ------------------------------------------------------------------------------------------------------------------


def test_rows_that_went_are_in_no_later_stream():
    requests = [ForgetRows((1, 4)), ForgetRows((0,)), ForgetRows((7, 2))]
    sequence = rows_in_sequence(requests, numbered(10), numbered(4, first=100), batch_size=3)
    assert numbers_in(sequence.everything) == set(range(10)) and sequence.requests == 3
    goes, gone = [{1, 4}, {0}, {2, 7}], set()
    for number, wanted in enumerate(goes, 1):
        split = sequence.step(number)
        gone |= wanted
        assert numbers_in(split.forget) == wanted
        assert numbers_in(split.retain) == set(range(10)) - gone
        assert numbers_in(split.holdout) == {100, 101, 102, 103}
        together = sequence.together(number)
        assert numbers_in(together.forget) == gone and numbers_in(together.retain) == numbers_in(split.retain)
    assert numbers_in(sequence.between(2, 3).forget) == {0, 2, 7}


def test_rows_of_a_part_of_a_data_set_keep_their_place_in_it():
    sequence = rows_in_sequence([ForgetRows((0,)), ForgetRows((1,))], Subset(numbered(10), [9, 5, 3]), numbered(2, first=100))
    assert [numbers_in(sequence.step(number).forget) for number in (1, 2)] == [{9}, {5}]
    assert sequence.step(2).forget.indices.tolist() == [5]  # type: ignore[attr-defined]


def test_unseen_rows_of_a_kind_that_went_are_not_held_out_later():
    labels = torch.arange(12) % 3
    train, unseen = (TensorDataset(torch.arange(12.0).unsqueeze(1) + start, labels) for start in (0, 100))
    sequence = rows_in_sequence([ForgetClass(0), ForgetClass(2)], train, unseen)
    first, second, both = sequence.step(1), sequence.step(2), sequence.together(2)
    assert numbers_in(first.holdout_forget) == {100, 103, 106, 109} and numbers_in(first.holdout) & {102, 105}
    assert numbers_in(second.forget) == numbers_in([(torch.tensor([2, 5, 8, 11]),)])
    assert numbers_in(second.holdout_forget) == {102, 105, 108, 111}
    assert numbers_in(second.holdout) == {101, 104, 107, 110}  # of class 0, which went, there is none
    assert numbers_in(both.holdout_forget) == {100, 103, 106, 109, 102, 105, 108, 111}


def test_drawn_rows_are_drawn_once():
    requests = drawn_rows(100, 10, 9, seed=3)
    rows = [row for request in requests for row in request.numbers]
    assert len(requests) == 10 and len(rows) == len(set(rows)) == 90 and set(rows) <= set(range(100))
    assert requests == drawn_rows(100, 10, 9, seed=3) != drawn_rows(100, 10, 9, seed=4)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([], "there is no request"),
        ([ForgetRows((1, 2)), ForgetRows((3,)), ForgetRows((5, 2))], "row 2 goes with request 1 already, so request 3"),
        ([ForgetRows(tuple(range(5))), ForgetRows(tuple(range(5, 10)))], "want all 10 rows, and nothing would stay"),
        ([ForgetRows((1,)), ForgetRows((10,))], "row 10 is not in the training set of 10 rows"),
        ([ForgetRows((1,)), ForgetClass(7)], "7"),
    ],
)
def test_requests_that_make_no_sense(requests, message):
    with pytest.raises(BadRequest, match=message):
        rows_in_sequence(requests, numbered(10), numbered(4, first=100))


def test_more_requests_than_rows():
    with pytest.raises(BadRequest, match="10 requests for 1 row each are too many: there are 10 rows"):
        drawn_rows(10, 10, 1)
    assert len(drawn_rows(11, 10, 1)) == 10
    with pytest.raises(BadRequest, match="at least 1 request for at least 1 row, not 2 for 0"):
        drawn_rows(10, 2, 0)


@pytest.mark.parametrize("number", [0, 3])
def test_a_request_that_there_is_not(number):
    sequence = rows_in_sequence([ForgetRows((1,)), ForgetRows((2,))], numbered(5), numbered(2, first=100))
    for ask in (sequence.step, sequence.together):
        with pytest.raises(BadRequest, match=f"there is no request {number}: there are 2"):
            ask(number)


# ---- graphs and interactions -------------------------------------------------------------------------------------------------


def test_edges_that_went_are_in_no_later_stream_and_not_in_the_graph_that_is_remembered():
    parts = tiny_graphs.by_heart_parts()
    requests = [torch.tensor([3, 8]), torch.tensor([0]), torch.tensor([5, 1, 2])]
    sequence, graph = links_in_sequence(parts, requests), parts.graph

    def keys(stream: Any) -> set[int]:
        return {int(key) for batch in stream or () for key in graph.key(batch.pairs)}

    gone: set[int] = set()
    for number, rows in enumerate(requests, 1):
        split, wanted = sequence.step(number), set(graph.key(graph.edges[rows]).tolist())
        assert keys(split.forget) == wanted
        assert not all_parts(split, keys) & (gone | wanted) and len(keys(split.retain)) == len(graph.edges) - len(gone | wanted)
        remembered = set(graph.key(split.retain.graph.whole.edges).tolist())  # type: ignore[attr-defined]
        assert not remembered & gone and remembered >= wanted
        gone |= wanted
        assert keys(sequence.together(number).forget) == gone


def test_nodes_that_went_are_in_no_later_stream_and_have_no_edge():
    parts = split_nodes(tiny_graphs.communities())
    requests = [parts.train[:2], parts.train[2:5]]
    sequence = nodes_in_sequence(parts, requests)

    def named(stream: Any) -> set[int]:
        return {int(node) for batch in stream or () for node in batch.nodes}

    split = sequence.step(2)
    assert named(split.forget) == set(requests[1].tolist())
    assert not all_parts(split, named) & set(requests[0].tolist())
    for graph in (split.forget.graph, split.forget.graph.whole):  # type: ignore[attr-defined]
        assert graph.degrees[requests[0]].sum() == 0 < graph.degrees[requests[1]].sum()
    assert named(sequence.together(2).forget) == {int(node) for nodes in requests for node in nodes}
    with pytest.raises(BadRequest, match="is not one of the"):
        nodes_in_sequence(parts, [parts.test[:1]])


def test_users_items_and_pairs_that_went_are_in_no_later_stream():
    parts = tiny_interactions.parts()
    train = parts.train
    row = int((~torch.isin(train.pairs[:, 0], torch.tensor([1, 6])) & (train.pairs[:, 1] != 5)).nonzero()[0])
    requests = [Removal(users=torch.tensor([1, 6])), Removal(items=torch.tensor([5])), Removal(rows=torch.tensor([row]))]
    sequence = interactions_in_sequence(parts, requests)

    def pairs(stream: Any) -> set[tuple[int, int]]:
        return {
            (user, item)
            for batch in stream or ()
            for user, item in zip(batch.users.tolist(), batch.items.tolist(), strict=True)
        }

    last = sequence.step(3)
    assert pairs(last.forget) == {tuple(train.pairs[row].tolist())}
    assert not [pair for pair in all_parts(last, pairs) if pair[0] in (1, 6) or pair[1] == 5]
    left = last.retain.interactions  # type: ignore[attr-defined]
    assert not left.served[[1, 6]].any() and not left.offered[5]
    assert not torch.isin(left.whole.pairs[:, 0], torch.tensor([1, 6])).any()  # nobody remembers them
    second = sequence.step(2)
    assert {item for _, item in pairs(second.forget)} == {5} and not {user for user, _ in pairs(second.forget)} & {1, 6}
    together = sequence.together(3)
    assert pairs(together.forget) == set().union(*(pairs(sequence.step(number).forget) for number in (1, 2, 3)))
    assert pairs(together.retain) == pairs(last.retain)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ([Removal(users=torch.tensor([1])), Removal(users=torch.tensor([2, 1]))], "user 1 goes with request 1 already"),
        ([Removal(users=torch.tensor([1])), Removal()], "request 2 is empty: it names no user, item or pair"),
        ([Removal(features={"image": torch.tensor([0])})], "features are forgotten by a single request"),
        ([Removal(users=torch.arange(30)), Removal(users=torch.arange(30, 60))], "would stay"),
    ],
)
def test_removals_that_make_no_sense(requests, message):
    with pytest.raises(BadRequest, match=message):
        interactions_in_sequence(tiny_interactions.parts(), requests)


# ---- facts and clients -------------------------------------------------------------------------------------------------------


def encode(pairs: Iterable[tuple[str, str]]) -> TensorDataset:
    """Each question by the number in it."""
    found = torch.tensor([[int(question.split()[-1])] for question, _ in pairs])
    return TensorDataset(found, torch.ones_like(found))


def test_facts_stay_until_their_turn_and_never_come_again():
    facts = [Fact(f"Question {number}", f"answer {number}") for number in range(6)]
    sequence = facts_in_sequence(encode, [facts[:1], facts[1:3]], facts[3:5], facts[5:])
    first, second = sequence.step(1), sequence.step(2)
    assert (numbers_in(first.forget), numbers_in(first.retain)) == ({0}, {1, 2, 3, 4})
    assert (numbers_in(second.forget), numbers_in(second.retain)) == ({1, 2}, {3, 4})
    assert 0 not in all_parts(second, numbers_in) | numbers_in(second.replay)  # type: ignore[attr-defined]
    assert numbers_in(sequence.everything) == {0, 1, 2, 3, 4} and numbers_in(sequence.together(2).forget) == {0, 1, 2}
    with pytest.raises(BadRequest, match="goes with request 1 already"):
        facts_in_sequence(encode, [facts[:1], facts[:1]], facts[3:])


def test_clients_who_left_are_in_no_later_federation():
    _, left = tiny_federations.played()
    sequence = clients_in_sequence(left.federation, [["client-3"], ["client-0"]], contributions=left.contributions)
    second = sequence.step(2)
    assert list(second.federation.clients) == ["client-0", "client-1", "client-2"]  # type: ignore[attr-defined]
    assert second.leaving == ("client-0",) and set(second.rest.clients) == {"client-1", "client-2"}  # type: ignore[attr-defined]
    assert second.contributions.clients == ("client-0", "client-1", "client-2")  # type: ignore[attr-defined]
    together = sequence.together(2)
    assert together.leaving == ("client-0", "client-3")  # type: ignore[attr-defined]
    assert together.contributions.clients == left.contributions.clients  # type: ignore[attr-defined, union-attr]
    for wrong, message in (
        ([["client-3"], ["client-3"]], "client client-3 goes with request 1 already"),
        ([["client-9"]], "there is no client client-9"),
        ([["client-3"], []], "request 2 is empty: it names no client"),
        ([[name] for name in left.federation.clients], "want all 4 clients"),
    ):
        with pytest.raises(BadRequest, match=message):
            clients_in_sequence(left.federation, wrong)


def empty(sequence: partial[RequestSequence], nothing: Tensor) -> None:
    with pytest.raises(BadRequest, match="request 1 is empty"):
        sequence([nothing])


def test_an_empty_request_on_a_graph():
    empty(partial(links_in_sequence, tiny_graphs.by_heart_parts()), torch.empty(0, dtype=torch.long))
    empty(partial(nodes_in_sequence, split_nodes(tiny_graphs.communities())), torch.empty(0, dtype=torch.long))

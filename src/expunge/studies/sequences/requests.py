"""Requests that come one after another, of any kind: what goes with each of them, and what is left by then.

    R_1, ..., R_n disjoint parts of D,      forget_k = R_k,      retain_k = D - R_1 - ... - R_k

What went with an earlier request is in no part of a later one's split: it is not retained, not held out, and what remembers it,
such as the graph before it was cut, is dropped.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from expunge.data import split_by
from expunge.data.facts import Fact
from expunge.data.graph_splits import LinkSplit, NodeSplit
from expunge.data.interaction_splits import InteractionSplit
from expunge.data.records import classes_of, columns_of, length, targets_of, unwrap
from expunge.data.splitting import without
from expunge.errors import BadRequest
from expunge.federated import Contributions, Federation
from expunge.federated.client_split import Together, leave
from expunge.interactions import Removal
from expunge.language.fact_split import Encode, FactSplit, fact_split
from expunge.requests import ForgetRows, Request
from expunge.requests.request import Columns, counted
from expunge.split import Batches, Split, Stream


@dataclass(frozen=True, eq=False)
class RequestSequence:
    """Several requests to one model, in their order. Made by the functions below, one for each kind of data.

    Args:
        requests: how many there are.
        everything: what the model was trained on before the first.
        between: for the numbers of a first and of a last request, from 1, the split of these and of those between them as one;
            of what went before the first there is nothing in it.
    """

    requests: int
    everything: Stream
    between: Callable[[int, int], Split]

    def step(self, request: int) -> Split:
        """The split of one request, numbered from 1, after all before it were served."""
        return self.between(self._known(request), request)

    def together(self, request: int) -> Split:
        """The split of all requests up to one, as if they had come at once."""
        return self.between(1, self._known(request))

    def _known(self, request: int) -> int:
        if not 1 <= request <= self.requests:
            raise BadRequest(f"there is no request {request}: there are {self.requests}, numbered from 1")
        return request


# ---- rows ------------------------------------------------------------------------------------------------------------------


def rows_in_sequence(
    requests: Sequence[Request],
    train: Dataset[Any],
    holdout: Dataset[Any],
    batch_size: int = 64,
    classes: tuple[str, ...] | None = None,
    validation: float = 0.0,
) -> RequestSequence:
    """Requests for rows, each resolved against the whole training set. Arguments are those of :func:`expunge.data.split_by`.

    Where all requests name kinds, such as classes, unseen rows of kinds that went are in no later holdout.

    Raises:
        BadRequest: if there is no request, one is empty, two want the same row, or no row would be left.
    """
    names = classes_of(train) if classes is None else classes
    total = length(train)
    targets = _targets_of(train, requests)
    rows = [request.rows(targets, columns_of(train), names) for request in requests]
    _check_apart([each.tolist() for each in rows], total, "row")
    kinds = all(request.describes_unseen for request in requests)

    def between(first: int, last: int) -> Split:
        left = without(total, np.concatenate([np.empty(0, np.int64), *rows[: first - 1]]))
        goes = np.searchsorted(left, np.sort(np.concatenate(rows[first - 1 : last])))
        kind = _AllKinds if kinds else _All
        unseen, unlike = holdout, length(holdout)
        if kinds and first > 1:
            like = kind((), tuple(requests[: first - 1])).unseen_rows(targets_of(holdout), columns_of(holdout), names)
            unseen = Subset(holdout, without(unlike, like).tolist())
        asked = kind(tuple(goes.tolist()), tuple(requests[first - 1 : last]))
        return split_by(asked, Subset(train, left.tolist()), unseen, batch_size, classes=tuple(names), validation=validation)

    base, shown = unwrap(train)
    return RequestSequence(len(requests), Batches(base, batch_size, shown.tolist()), between)


def drawn_rows(total: int, requests: int, each: int, seed: int = 0) -> tuple[ForgetRows, ...]:
    """Requests for `each` rows, drawn without replacement from `total`, so that no two want the same.

    Raises:
        BadRequest: if there are not enough rows for all of them and one to stay.

    >>> [request.numbers for request in drawn_rows(7, 2, 3)]
    [(2, 4, 3), (6, 5, 0)]
    """
    if requests < 1 or each < 1:
        raise BadRequest(f"there must be at least 1 request for at least 1 row, not {requests} for {each}")
    if requests * each >= total:
        raise BadRequest(
            f"{counted(requests, 'request')} for {counted(each, 'row')} each are too many: there are {total:,} rows, of which "
            "one at least must stay; to forget everything, delete the model"
        )
    order = np.random.default_rng(seed).permutation(total)[: requests * each].reshape(requests, each)
    return tuple(ForgetRows(tuple(rows)) for rows in order.tolist())


@dataclass(frozen=True)
class _All(Request):
    """Several requests as one, with the rows that they want of what is left."""

    numbers: tuple[int, ...]
    asked: tuple[Request, ...]

    def rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        return np.asarray(self.numbers, dtype=np.int64)

    def describe(self, records: int | None = None) -> str:
        return " and ".join(request.describe() for request in self.asked)

    def unseen_rows(self, targets: np.ndarray, columns: Columns, classes: Sequence[str]) -> np.ndarray:
        found = [request.unseen_rows(targets, columns, classes) for request in self.asked]
        return np.unique(np.concatenate(found))


class _AllKinds(_All):
    describes_unseen = True

    @property
    def reads_targets(self) -> bool:
        return any(request.reads_targets for request in self.asked)


def _targets_of(train: Dataset[Any], requests: Sequence[Request]) -> np.ndarray:
    """Zeros where nobody looks at them: reading those of a foreign data set may mean decoding all of its files."""
    if any(request.reads_targets for request in requests):
        return targets_of(train)
    return np.broadcast_to(np.int64(0), length(train))


def _check_apart(wanted: Sequence[Collection[Any]], total: float, what: str) -> None:
    """See that there are requests, that none is empty, that no two want the same, and that something stays."""
    if not wanted:
        raise BadRequest("there is no request: a sequence has at least one")
    seen: dict[Any, int] = {}
    for number, things in enumerate(wanted, 1):
        if not len(things):
            raise BadRequest(f"request {number} is empty: it names no {what or 'user, item or pair'}")
        for thing in things:
            if thing in seen:
                earlier = f"request {seen[thing]}" if seen[thing] < number else "the same request"
                raise BadRequest(
                    f"{f'{what} {thing}'.strip()} goes with {earlier} already, so request {number} cannot ask for it; "
                    "name what is to go once"
                )
            seen[thing] = number
    if len(seen) >= total:
        raise BadRequest(
            f"the {counted(len(wanted), 'request')} want all {total:,} {what}s, and nothing would stay; "
            "to forget everything, delete the model"
        )


# ---- graphs and interactions -------------------------------------------------------------------------------------------------


def links_in_sequence(parts: LinkSplit, requests: Sequence[Tensor]) -> RequestSequence:
    """Requests for edges, each given by rows of the training graph's `edges`, int64, shape (k,).

    Raises:
        BadRequest: as :func:`rows_in_sequence`.
    """
    graph = parts.graph
    _check_apart([rows.tolist() for rows in requests], len(graph.edges), "edge")

    def between(first: int, last: int) -> Split:
        left = graph
        if first > 1:
            left = replace(graph.without_edges(torch.cat(list(requests[: first - 1]))), before=None)
        goes = graph.key(graph.edges[torch.cat(list(requests[first - 1 : last]))])
        return replace(parts, graph=left).without(torch.isin(left.key(left.edges), goes))

    return RequestSequence(len(requests), parts.training(), between)


def nodes_in_sequence(parts: NodeSplit, requests: Sequence[Tensor]) -> RequestSequence:
    """Requests for training nodes with all their edges, each given by their numbers, int64, shape (k,).

    Raises:
        BadRequest: as :func:`rows_in_sequence`, or if one is no training node.
    """
    _check_apart([nodes.tolist() for nodes in requests], len(parts.train), "node")
    parts.without(torch.cat(list(requests)))  # refuses nodes that are not trained on

    def between(first: int, last: int) -> Split:
        left = parts
        if first > 1:
            gone = torch.cat(list(requests[: first - 1]))
            graph = replace(parts.graph.without_nodes(gone), before=None)
            left = replace(parts, graph=graph, train=parts.train[~torch.isin(parts.train, gone)])
        return left.without(torch.cat(list(requests[first - 1 : last])))

    return RequestSequence(len(requests), parts.training(), between)


def interactions_in_sequence(parts: InteractionSplit, requests: Sequence[Removal]) -> RequestSequence:
    """Requests for users, items or single pairs, each resolved against the training pairs.

    Raises:
        BadRequest: as :func:`rows_in_sequence`, or if one asks for features, which leave the pairs where they are.
    """
    train = parts.train
    if any(removal.features for removal in requests):
        raise BadRequest("a sequence serves requests for users, items and pairs; features are forgotten by a single request")
    named = [[f"{what} {each}" for what in _NAMED for each in getattr(removal, f"{what}s").tolist()] for removal in requests]
    _check_apart(named, math.inf, "")
    _joined(requests).left(train)  # refuses what leaves nothing

    def between(first: int, last: int) -> Split:
        left, validation, test = train, parts.validation, parts.test
        if first > 1:
            gone = _joined(requests[: first - 1])
            left = replace(gone.left(train), before=None)
            validation, test = (pairs[~_of_those(gone, pairs)] for pairs in (validation, test))
        goes = _joined(requests[first - 1 : last])
        keys = train.key(train.pairs[goes.rows])
        here = replace(goes, rows=torch.isin(left.key(left.pairs), keys).nonzero().flatten())
        return replace(parts, train=left, validation=validation, test=test).without(here)

    return RequestSequence(len(requests), parts.training(), between)


_NAMED = ("user", "item", "row")


def _joined(removals: Sequence[Removal]) -> Removal:
    return Removal(*(torch.cat([getattr(removal, f"{what}s") for removal in removals]).unique() for what in _NAMED))


def _of_those(gone: Removal, pairs: Tensor) -> Tensor:
    """Held-out pairs of users or items who went: bool, shape (n,)."""
    return torch.isin(pairs[:, 0], gone.users) | torch.isin(pairs[:, 1], gone.items)


# ---- facts and clients -------------------------------------------------------------------------------------------------------


def facts_in_sequence(
    encode: Encode, requests: Sequence[Sequence[Fact]], stays: Sequence[Fact], unseen: Sequence[Fact] = (), **settings: Any
) -> RequestSequence:
    """Requests for facts. Facts of later requests stay until their turn. Arguments are those of
    :func:`expunge.language.fact_split.fact_split`.

    Raises:
        BadRequest: as :func:`rows_in_sequence`, or if a fact is to be forgotten and to stay.
    """
    _check_apart([list(facts) for facts in requests], sum(map(len, requests)) + len(stays), "fact")

    def between(first: int, last: int) -> FactSplit:
        goes = [fact for facts in requests[first - 1 : last] for fact in facts]
        later = [fact for facts in requests[last:] for fact in facts]
        return fact_split(encode, goes, [*stays, *later], unseen, **settings)

    return RequestSequence(len(requests), between(1, len(requests)).everything, between)


def clients_in_sequence(
    federation: Federation,
    requests: Sequence[Sequence[str]],
    holdout: Stream = (),
    contributions: Contributions | None = None,
) -> RequestSequence:
    """Clients who leave a federation, some at a time.

    Args:
        federation: all clients as they trained.
        requests: the names of those who leave with each request.
        holdout: unseen examples.
        contributions: what the server keeps of each client; of those who left earlier it keeps nothing.

    Raises:
        BadRequest: as :func:`rows_in_sequence`, or if there is no such client.
    """
    _check_apart(requests, len(federation.clients), "client")
    federation.without([name for names in requests for name in names])  # refuses names that are not there

    def between(first: int, last: int) -> Split:
        gone = [name for names in requests[: first - 1] for name in names]
        kept = contributions if contributions is None or not gone else contributions.without(gone)
        goes = [name for names in requests[first - 1 : last] for name in names]
        return leave(federation.without(gone), goes, holdout, contributions=kept)

    clients: Mapping[str, Stream] = federation.clients
    return RequestSequence(len(requests), Together(list(clients.values())), between)

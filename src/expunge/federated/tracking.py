"""FedAvg for Flower that also keeps what each client has contributed, so that a client can be taken out again later.

    strategy = TrackingFedAvg(path="federation.safetensors", fraction_train=0.5)
    strategy.start(grid, initial_arrays=ArrayRecord(model.state_dict()), num_rounds=15)

The average is FedAvg's. Beside it the server keeps a running sum of absolute changes for each client, clients x parameters x 4
bytes, or 2 (:class:`Contributions`), and writes model, sums and round as one file after each round (:class:`Snapshot`). When it
is started again with the same file it goes on after the last round in it.

Flower draws a node's id anew at each start, so a client has to say who it is, in each reply to a train message:

    MetricRecord({"num-examples": 120, "client-id": 3})          a number, in the reply's MetricRecord, or
    ConfigRecord({"client-id": "ward-3"})                        a name, in a ConfigRecord of its own

What is refused, and how:

    the run ends, nothing of the round is counted      no name, one name twice, masks of secure aggregation
    the reply is left out, with a warning              values that are not finite, other tensors or shapes, a weight below 0

Secure aggregation hides from the server what a single client sends; then there is nothing to keep, and no server can take a
client out. Flower's SecAgg+ runs in its older workflow only, which does not take this strategy; clients that use its mod are
noticed. Masks of another make look like any other values: whoever uses them must not use this strategy.

Reference: B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas. "Communication-Efficient Learning of Deep Networks
from Decentralized Data", AISTATS 2017, arXiv 1602.05629, of the average. Needs flwr: pip install 'expunge[federated]'.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from expunge.errors import BadFile, BadRequest, BadSetting, Diverged, MissingExtra
from expunge.federated.contributions import Contributions, Precision, Reference
from expunge.federated.snapshot import Snapshot

try:
    from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import FedAvg, Result, Strategy
except ImportError as error:
    raise MissingExtra("TrackingFedAvg needs flwr 1.42 or newer: pip install 'expunge[federated]'") from error

State = dict[str, Tensor]
Evaluate = Callable[[int, ArrayRecord], MetricRecord | None]

_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # of torch's normalisations
_MASKED = "secaggplus_configs"  # the record that Flower's secaggplus_mod reads from a message, and puts into each reply
_log = logging.getLogger("flwr")


class TrackingFedAvg(FedAvg):
    """Flower's FedAvg, which keeps each client's contributions and goes on after a crash.

    Args:
        path: the file that is written after each round and read by :meth:`start`; None keeps contributions in memory only.
        reference: which model a change is measured from, see :class:`Contributions`.
        precision: of the sums, "fp32" or "fp16".
        client_key: under which a client names itself, in a ConfigRecord of its reply or else in its MetricRecord.
        parameters: names of the arrays to track; None tracks all that are floating point, but for those whose last part is
            running_mean, running_var or num_batches_tracked. Arrays that were given as a list are named "0", "1", ...
        fedavg: whatever FedAvg takes. Unless aggregating functions are given, metrics are averaged as FedAvg does, but for
            `client_key`.

    Raises:
        BadSetting: if `path` is a folder.
    """

    def __init__(
        self,
        *,
        path: str | Path | None = None,
        reference: Reference = "round",
        precision: Precision = "fp32",
        client_key: str = "client-id",
        parameters: Collection[str] | None = None,
        **fedavg: Any,
    ) -> None:
        super().__init__(**fedavg)
        self.path = None if path is None else Path(path)
        if self.path is not None and self.path.is_dir():
            raise BadSetting(f"{path} is a folder; name a file in it: {self.path / 'federation.safetensors'}")
        self.reference: Reference = reference
        self.precision: Precision = precision
        self.client_key, self.parameters = client_key, parameters
        for given in ("train_metrics_aggr_fn", "evaluate_metrics_aggr_fn"):
            if fedavg.get(given) is None:
                setattr(self, given, _without(client_key, getattr(self, given)))
        self._contributions: Contributions | None = None
        self._before: State | None = None  # what the round that is being played began with

    @property
    def contributions(self) -> Contributions:
        """What clients have changed until now.

        Raises:
            BadRequest: before the first round.
        """
        if self._contributions is None:
            raise BadRequest("there are no contributions before the first round has begun")
        return self._contributions

    def summary(self) -> None:
        """Log the settings."""
        super().summary()
        _log.info("\t└──> Contributions: by '%s', reference %s, %s", self.client_key, self.reference, self.precision)
        _log.info("\t\t└── Snapshot: %s", self.path or "none, in memory only")

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Evaluate | None = None,
    ) -> Result:
        """Play the federation, or what is left of it where the snapshot ends; the arguments are those of FedAvg.

        After a crash it is started as it was at first: `num_rounds` counts from the very first round, and `initial_arrays` only
        say what model it is. Rounds keep their true numbers everywhere but in Flower's own log; the result has what was
        measured since. Which nodes are sampled is Flower's chance: where all take part, and train alike, model and
        contributions are those of a server that had never stopped.

        Raises:
            BadFile: if the snapshot is damaged, or of another model.
            BadSetting: if it was written with other settings, or more rounds have been played than are asked for.
        """
        found = self._begin(state_of(initial_arrays))
        rest = (timeout, train_config, evaluate_config)
        if found is None:
            return super().start(grid, initial_arrays, num_rounds, *rest, evaluate_fn)
        if num_rounds < found.round:
            raise BadSetting(f"{self.path} has seen {found.round} rounds, more than num_rounds={num_rounds}; ask for more")
        _log.info("%s has seen %d of %d rounds; Flower counts those that are left from 1", self.path, found.round, num_rounds)
        arrays = ArrayRecord(found.model)
        return _Resumed(self, found.round).start(grid, arrays, num_rounds - found.round, *rest, evaluate_fn)

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        """Choose nodes as FedAvg does, and keep what is sent to them."""
        before = state_of(arrays)
        if self._contributions is None:
            if self.path is not None and self.path.exists():
                raise BadRequest(
                    f"{self.path} is there already and would be written over: only TrackingFedAvg.start goes on from it"
                )
            self._contributions = self._new(before)
        self._before = before
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Count what each client has changed, average as FedAvg does, and write the snapshot.

        Replies are taken in the order of clients' names: the sums of an average do not depend on who answered first.

        Raises:
            BadRequest: if a client does not name itself, two have the same name, or replies are masked.
        """
        before, replies = self._before, list(replies)
        if before is None:
            raise BadRequest(f"round {server_round} has not begun: call configure_train first")
        named = self._named(replies)
        counted = self.contributions.copy()  # takes the place of the old sums only when all has gone well
        good = [named[client] for client in sorted(named) if self._count(counted, client, before, named[client].content)]
        failed = [reply for reply in replies if reply.has_error()]
        arrays, metrics = super().aggregate_train(server_round, [*good, *failed])
        model = before if arrays is None else state_of(arrays)
        self._contributions, self._before = counted, None
        if self.path is not None:
            Snapshot(model, counted, server_round).save(self.path)
        return arrays, metrics

    def _new(self, model: State) -> Contributions:
        if self.parameters is None:
            chosen = {name: value for name, value in model.items() if name.rpartition(".")[2] not in _BUFFERS}
        else:
            for name in self.parameters:
                if name not in model:
                    raise BadSetting(f"there is no array '{name}' to track; there are {', '.join(model)}")
                if not model[name].is_floating_point():
                    raise BadSetting(f"array '{name}' cannot be tracked: it is {model[name].dtype}, not floating point")
            chosen = {name: model[name] for name in self.parameters}
        return Contributions(chosen, self.reference, self.precision)

    def _begin(self, model: State) -> Snapshot | None:
        """Contributions from the file if it is there, with the rest of it, or else none."""
        self._before, self._contributions = None, self._new(model)
        if self.path is None or not self.path.exists():
            return None
        found = Snapshot.load(self.path)
        if _shapes(found.model) != _shapes(model):
            raise BadFile(
                f"{self.path} is of another model than initial_arrays: {_other(_shapes(found.model), _shapes(model))}"
            )
        old, new = found.contributions, self._contributions
        for name, was, is_ in (
            ("reference", old.reference, new.reference),
            ("precision", old.precision, new.precision),
            ("parameters", sorted(old.shapes), sorted(new.shapes)),
        ):
            if was != is_:
                raise BadSetting(f"{self.path} was written with {name}={was!r}, not {is_!r}; take the same, or another path")
        self._contributions = old
        return found

    def _named(self, replies: Sequence[Message]) -> dict[str, Message]:
        for reply in replies:
            if _MASKED in (reply.error.reason or "" if reply.has_error() else reply.content.config_records):
                raise BadRequest(
                    f"node {reply.metadata.src_node_id} uses secure aggregation (secaggplus_mod): what a single client changes "
                    "cannot be seen, so it cannot be kept; take the mod off the ClientApp, or FedAvg without contributions"
                )
        answers = [reply for reply in replies if not reply.has_error()]
        names = [client_of(reply, self.client_key) for reply in answers]
        for client, count in Counter(names).items():
            if count > 1:
                nodes = [str(reply.metadata.src_node_id) for reply, name in zip(answers, names, strict=True) if name == client]
                raise BadRequest(
                    f"{count} replies of one round are from client {client}, by nodes {', '.join(nodes)}; each client needs a "
                    f"name of its own under '{self.client_key}'"
                )
        return dict(zip(names, answers, strict=True))

    def _count(self, counted: Contributions, client: str, before: State, content: RecordDict) -> bool:
        """Add a reply to the sums, or say why neither they nor the average take it."""
        try:
            counted.add(client, before, self._sound(client, before, content))
        except (BadRequest, Diverged) as error:
            _log.warning("Left out of the round, average and contributions: %s", error)
            return False
        return True

    def _sound(self, client: str, before: State, content: RecordDict) -> State:
        """The arrays of a reply, if they can be averaged with those of others; contributions check those that they track."""
        if len(content.array_records) != 1:
            raise BadRequest(f"client {client} sent {len(content.array_records)} ArrayRecords, not 1")
        try:
            after = state_of(next(iter(content.array_records.values())))
        except (TypeError, ValueError) as error:
            raise BadRequest(f"client {client} sent an array that cannot be read: {error}") from error
        if _shapes(after) != _shapes(before):
            raise BadRequest(f"client {client} sent another model: {_other(_shapes(after), _shapes(before))}")
        for name, value in after.items():
            if name in self.contributions.shapes and not value.is_floating_point():
                raise BadRequest(
                    f"client {client} sent {value.dtype} as '{name}': masked, or quantised, which cannot be counted"
                )
            if not value.isfinite().all():
                raise Diverged(f"client {client} sent values in '{name}' that are not finite")
        for record in content.metric_records.values():  # whether there is one at all, FedAvg asks
            weight = record.get(self.weighted_by_key, 1)
            if not isinstance(weight, list) and not (math.isfinite(weight) and weight >= 0):
                raise BadRequest(f"client {client} gave {weight} as its '{self.weighted_by_key}', by which it would be weighed")
        return after


class _Resumed(Strategy):
    """A strategy some of whose rounds have been played: Flower's loop counts from 1, the strategy goes on counting."""

    def __init__(self, strategy: TrackingFedAvg, played: int) -> None:
        self.strategy, self.played = strategy, played

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Evaluate | None = None,
    ) -> Result:
        evaluate = None if evaluate_fn is None else lambda number, arrays: evaluate_fn(self.played + number, arrays)
        result = super().start(grid, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate)
        for name in ("train_metrics_clientapp", "evaluate_metrics_clientapp", "evaluate_metrics_serverapp"):
            setattr(result, name, {self.played + number: record for number, record in getattr(result, name).items()})
        result.arrays = result.arrays or initial_arrays  # empty if no round was left, or none had a result
        return result

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        return self.strategy.configure_train(self.played + server_round, arrays, config, grid)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return self.strategy.aggregate_train(self.played + server_round, replies)

    def configure_evaluate(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid) -> Iterable[Message]:
        return self.strategy.configure_evaluate(self.played + server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        return self.strategy.aggregate_evaluate(self.played + server_round, replies)

    def summary(self) -> None:
        self.strategy.summary()


def client_of(reply: Message, key: str = "client-id") -> str:
    """The name that a client gives itself in a reply: from its ConfigRecords first, then from its MetricRecords.

    A whole number is as good as a word: 3, 3.0 and "3" are the same client.

    Raises:
        BadRequest: if there is none, or it is empty or neither a word nor a whole number.
    """
    records: list[ConfigRecord | MetricRecord] = [
        *reply.content.config_records.values(),
        *reply.content.metric_records.values(),
    ]
    for record in records:
        if key in record:
            value: object = record[key]
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
                return str(value)
            raise BadRequest(
                f"node {reply.metadata.src_node_id} gave {value!r} as '{key}'; a client's name is a word or a whole number"
            )
    raise BadRequest(
        f"node {reply.metadata.src_node_id} does not say which client it is, and Flower draws node ids anew at each start; put "
        f"it into the ClientApp's reply: as a number, MetricRecord({{..., '{key}': 3}}), or as a word, in a record of its own, "
        f"RecordDict({{..., 'client': ConfigRecord({{'{key}': 'ward-3'}})}})"
    )


def state_of(arrays: ArrayRecord) -> State:
    """The tensors of a record, in its order; they are copies."""
    return {name: torch.from_numpy(array.numpy()) for name, array in arrays.items()}


def _without(
    key: str, average: Callable[[list[RecordDict], str], MetricRecord]
) -> Callable[[list[RecordDict], str], MetricRecord]:
    """Flower's average of metrics, but for clients' names: their mean is nobody."""

    def averaged(records: list[RecordDict], weighted_by: str) -> MetricRecord:
        found = average(records, weighted_by)
        return MetricRecord({name: value for name, value in found.items() if name != key})

    return averaged


def _shapes(state: State) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _other(found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> str:
    """In what a model differs from what is wanted, by its first tensor that does."""
    for name, shape in wanted.items():
        if name not in found:
            return f"'{name}' is missing"
        if found[name] != shape:
            return f"'{name}' has shape {found[name]}, not {shape}"
    return f"'{next(name for name in found if name not in wanted)}' is new"

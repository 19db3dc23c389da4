"""Flower's FedAvg with contributions: against Contributions fed by hand and against plain FedAvg, without a network."""

import logging
import random
import re
import sys

import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

from expunge.errors import BadFile, BadRequest, BadSetting, MissingExtra
from expunge.federated import Contributions, Snapshot, TrackingFedAvg
from expunge.federated.tracking import client_of, state_of
from expunge.storage import read_weights
from tiny_flower import NAMES, TRACKED, Clients, begun, model, records, replies, same, same_sums, trained


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch):
    """Flower makes messages only in a process that knows which run it is of."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@pytest.mark.parametrize("reference", ["round", "initial"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_sums_are_those_of_contributions_fed_by_hand(reference, precision):
    strategy = TrackingFedAvg(reference=reference, precision=precision)
    result = strategy.start(Clients(), ArrayRecord(model()), num_rounds=4)
    start = {name: model()[name] for name in TRACKED}
    wanted, now = Contributions(start, reference, precision), state_of(ArrayRecord(model()))
    for number in range(1, 5):
        sent = {client: trained(now, client, number) for client in NAMES}
        for client in NAMES:
            wanted.add(client, now, sent[client])
        now = {name: sum(sent[client][name] * (NAMES.index(client) + 1) / 6 for client in NAMES) for name in now}
    tolerance = {"fp32": 1e-6, "fp16": 2e-3}[precision]
    assert strategy.contributions.rounds == dict.fromkeys(sorted(NAMES), 4)
    assert list(strategy.contributions.shapes) == TRACKED  # neither buffers of normalisations nor counts
    assert strategy.contributions.bytes == 3 * 10 * (4 if precision == "fp32" else 2)
    for client in NAMES:
        torch.testing.assert_close(strategy.contributions.of([client]), wanted.of([client]), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(state_of(result.arrays), now, check_dtype=False, rtol=1e-6, atol=1e-6)


def test_the_average_is_plain_fedavg_bit_for_bit():
    sent = {client: records(trained(model(), client, 1), client, examples=3 + len(client)) for client in sorted(NAMES)}
    arrays, metrics = begun().aggregate_train(1, replies(sent))
    wanted, wanted_metrics = FedAvg().aggregate_train(1, replies(sent))
    assert same(state_of(arrays), state_of(wanted)) and metrics == wanted_metrics


def test_replies_in_any_order_give_the_same():
    sent = {client: records(trained(model(), client, 1), client, examples=3 + len(client)) for client in NAMES}
    first = begun()
    arrays, metrics = first.aggregate_train(1, replies(sent))
    for seed in range(5):
        mixed, other = replies(sent), begun()
        random.Random(seed).shuffle(mixed)
        again, again_metrics = other.aggregate_train(1, iter(mixed))
        assert same(state_of(again), state_of(arrays)) and again_metrics == metrics
        assert same_sums(other.contributions, first.contributions)


def test_only_those_who_took_part_are_counted():
    strategy, grid = TrackingFedAvg(fraction_train=0.4, min_train_nodes=1), Clients()
    strategy.start(grid, ArrayRecord(model()), num_rounds=6)
    assert sum(strategy.contributions.rounds.values()) == 6 == len(grid.rounds)
    with pytest.raises(BadRequest, match="client nobody never took part"):
        strategy.contributions.of(["nobody"])


@pytest.mark.parametrize("where", ["2", "norm.running_mean"])  # tracked, and averaged only
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_update_that_is_not_finite_enters_neither_sums_nor_average(where, value, caplog):
    sent = {client: records(trained(model(), client, 1), client, examples=2) for client in NAMES}
    others = {client: content for client, content in sent.items() if client != "7"}
    after = trained(model(), "7", 1)
    after[where][0] = value
    strategy, untouched = begun(), begun()
    with caplog.at_level(logging.WARNING, "flwr"):
        arrays, _ = strategy.aggregate_train(1, replies(sent | {"7": records(after, "7", examples=2)}))
    wanted, _ = untouched.aggregate_train(1, replies(others))
    assert same(state_of(arrays), state_of(wanted)) and same_sums(strategy.contributions, untouched.contributions)
    assert "7" not in strategy.contributions.rounds
    assert f"Left out of the round, average and contributions: client 7 sent values in '{where}'" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda after: after.pop("2"), "client 7 sent another model: '2' is missing"),
        (lambda after: after.update({"2": torch.zeros(4)}), r"'2' has shape \(4,\), not \(3,\)"),
        (
            lambda after: after.update({"norm.running_mean": torch.zeros(1)}),
            r"'norm.running_mean' has shape \(1,\), not \(3,\)",
        ),
        (lambda after: after.update(more=torch.zeros(1)), "'more' is new"),
        (lambda after: after.update({"2": torch.zeros(3, dtype=torch.int64)}), "sent torch.int64 as '2': masked, or quantised"),
    ],
)
def test_another_model_is_left_out(change, message, caplog):
    sent = {client: records(trained(model(), client, 1), client) for client in NAMES}
    after = trained(model(), "7", 1)
    change(after)
    strategy = begun()
    arrays, _ = strategy.aggregate_train(1, replies(sent | {"7": records(after, "7")}))
    wanted, _ = begun().aggregate_train(1, replies({client: sent[client] for client in ("ward-3", "11")}))
    assert same(state_of(arrays), state_of(wanted)) and strategy.contributions.clients == ("11", "ward-3")
    assert re.search(message, caplog.text)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), -1])
def test_a_weight_that_makes_no_sense_is_left_out(weight, caplog):
    sent = {client: records(trained(model(), client, 1), client) for client in NAMES}
    sent["7"] = records(trained(model(), "7", 1), "7", examples=weight)
    strategy = begun()
    arrays, _ = strategy.aggregate_train(1, replies(sent))
    assert all(value.isfinite().all() for value in state_of(arrays).values())
    assert strategy.contributions.clients == ("11", "ward-3") and "as its 'num-examples'" in caplog.text


def test_arrays_that_cannot_be_read_and_too_many_of_them_are_left_out(caplog):
    sent = {client: records(trained(model(), client, 1), client) for client in NAMES}
    sent["7"]["arrays"]["2"] = Array("float32", (3,), "numpy.ndarray", b"nonsense")
    sent["11"]["more"] = ArrayRecord(model())
    strategy = begun()
    strategy.aggregate_train(1, replies(sent))
    assert strategy.contributions.clients == ("ward-3",)
    assert "client 7 sent an array that cannot be read" in caplog.text and "client 11 sent 2 ArrayRecords, not 1" in caplog.text


def test_errors_are_skipped_as_fedavg_does(tmp_path, caplog):
    sent = {client: records(trained(model(), client, 1), client) for client in NAMES}
    strategy = begun(path=tmp_path / "it")
    failed = Message(Error(code=0, reason="out of memory"), reply_to=Message(RecordDict(), 9, "train"))
    with caplog.at_level(logging.INFO, "flwr"):
        arrays, _ = strategy.aggregate_train(1, [failed, *replies(sent)])
    assert "Received error in reply from node 9: out of memory" in caplog.text
    wanted, _ = begun().aggregate_train(1, replies(sent))
    assert same(state_of(arrays), state_of(wanted)) and len(strategy.contributions.clients) == 3
    strategy.configure_train(2, arrays, ConfigRecord(), Clients())
    assert strategy.aggregate_train(2, [failed]) == (None, None)  # nobody answered: the model stays
    found = Snapshot.load(tmp_path / "it")
    assert found.round == 2 and same(found.model, state_of(arrays)) and found.contributions.rounds["7"] == 1


def test_an_unnamed_client_ends_the_run_and_nothing_of_the_round_is_counted():
    sent = {client: records(trained(model(), client, 1), client, "config" if client != "11" else "") for client in NAMES}
    strategy = begun()
    with pytest.raises(
        BadRequest, match=r"node 102 does not say which client it is.*MetricRecord\(\{\.\.\., 'client-id': 3\}\)"
    ):
        strategy.aggregate_train(1, replies(sent))
    assert strategy.contributions.clients == ()


def test_two_clients_of_one_name_end_the_run_and_nothing_of_the_round_is_counted():
    sent = {client: records(trained(model(), client, 1), "7" if client == "11" else client) for client in NAMES}
    strategy = begun()
    with pytest.raises(BadRequest, match="2 replies of one round are from client 7, by nodes 101, 102"):
        strategy.aggregate_train(1, replies(sent))
    assert strategy.contributions.clients == ()


def test_replies_that_cannot_be_averaged_are_not_counted_either():
    content = records(trained(model(), "7", 1), "7")
    del content["metrics"]["num-examples"]
    strategy = begun()
    with pytest.raises(Exception, match="num-examples"):
        strategy.aggregate_train(1, replies({"7": content}))
    assert strategy.contributions.clients == ()


@pytest.mark.parametrize(
    ("value", "name"),
    [("ward-3", "ward-3"), (7, "7"), (7.0, "7"), (-1, "-1"), ("", None), (True, None), (b"7", None), ([7], None)],
)
def test_what_may_be_a_name(value, name):
    reply = replies({"it": RecordDict({"who": ConfigRecord({"id": value}), "metrics": MetricRecord({"id": 5})})})[0]
    if name is None:
        with pytest.raises(BadRequest, match="a client's name is a word or a whole number"):
            client_of(reply, "id")
    else:
        assert client_of(reply, "id") == name  # and not 5: a ConfigRecord goes before


def test_clients_may_name_themselves_by_number_among_metrics_which_do_not_average_it():
    sent = {client: records(trained(model(), client, 1), client, "metric") for client in ("7", "11")}
    strategy = begun()
    _, metrics = strategy.aggregate_train(1, replies(sent))
    assert strategy.contributions.clients == ("11", "7") and set(metrics) == {"loss"} and metrics["loss"] == 1.5
    asked = strategy.aggregate_evaluate(1, replies({client: RecordDict({"m": sent[client]["metrics"]}) for client in sent}))
    assert set(asked) == {"loss"}
    own = begun(train_metrics_aggr_fn=lambda contents, weighted_by: MetricRecord({weighted_by: 8, "client-id": len(contents)}))
    assert own.aggregate_train(1, replies(sent))[1] == {"num-examples": 8, "client-id": 2}  # what is given is left as it is


def test_the_name_may_stand_under_another_key():
    content = records(trained(model(), "7", 1), "7", "")
    content["metrics"]["hospital"] = 42
    strategy = begun(client_key="hospital")
    _, metrics = strategy.aggregate_train(1, replies({"7": content}))
    assert strategy.contributions.clients == ("42",) and "hospital" not in metrics


def test_what_is_tracked_can_be_chosen():
    assert list(begun(parameters=["norm.running_mean", "2"]).contributions.shapes) == ["norm.running_mean", "2"]
    with pytest.raises(BadSetting, match=r"there is no array 'weight' to track; there are 10, 2, norm.weight"):
        begun(parameters=["weight"])
    with pytest.raises(
        BadSetting, match=r"'norm.num_batches_tracked' cannot be tracked: it is torch.int64, not floating point"
    ):
        begun(parameters=["norm.num_batches_tracked"])


def test_arrays_of_half_precision_and_without_names():
    before = {"0": torch.zeros(2).half(), "1": torch.ones(1)}
    strategy = begun(before)
    strategy.aggregate_train(1, replies({"a": records({"0": torch.tensor([0.5, -1]).half(), "1": torch.zeros(1)}, "a")}))
    assert strategy.contributions.of(["a"])["0"].tolist() == [0.5, 1] and strategy.contributions.bytes == 12


class Crash(Exception):
    """Stands for a server that is killed."""


def crash_in(round: int):
    def change(client, number, content):
        if number == round and client == NAMES[1]:
            raise Crash
        return content

    return change


@pytest.mark.parametrize("reference", ["round", "initial"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_server_that_is_killed_in_round_7_of_15_goes_on_as_if_it_had_not_been(tmp_path, reference, precision):
    options = {"reference": reference, "precision": precision}
    unbroken = TrackingFedAvg(path=tmp_path / "unbroken", **options)
    wanted = unbroken.start(Clients(seed=1), ArrayRecord(model()), num_rounds=15)
    path = tmp_path / "broken"
    with pytest.raises(Crash):
        TrackingFedAvg(path=path, **options).start(Clients(seed=2, change=crash_in(7)), ArrayRecord(model()), num_rounds=15)
    assert Snapshot.load(path).round == 6
    again, grid, seen = TrackingFedAvg(path=path, **options), Clients(seed=3), []
    result = again.start(grid, ArrayRecord(model(99)), 15, evaluate_fn=lambda number, arrays: seen.append(number))
    assert sorted(set(grid.rounds)) == list(range(7, 16)) and seen == list(range(6, 16))
    assert same(state_of(result.arrays), state_of(wanted.arrays)) and same_sums(again.contributions, unbroken.contributions)
    (tensors, facts), (wanted_tensors, wanted_facts) = read_weights(path), read_weights(tmp_path / "unbroken")
    assert same(tensors, wanted_tensors) and facts == wanted_facts and facts["round"] == "15"
    for name in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
        later = {number: record for number, record in getattr(wanted, name).items() if number > 6}
        assert getattr(result, name) == later and list(later) == list(range(7, 16))
    assert result.evaluate_metrics_clientapp[7]["round"] == pytest.approx(7)


def test_a_federation_that_has_ended_is_read_and_can_be_prolonged(tmp_path):
    path, grid = tmp_path / "it", Clients()
    result = TrackingFedAvg(path=path).start(Clients(), ArrayRecord(model()), num_rounds=3)
    again = TrackingFedAvg(path=path).start(grid, ArrayRecord(model()), num_rounds=3)
    assert grid.rounds == [] and same(state_of(again.arrays), state_of(result.arrays))
    with pytest.raises(BadSetting, match="has seen 3 rounds, more than num_rounds=2"):
        TrackingFedAvg(path=path).start(grid, ArrayRecord(model()), num_rounds=2)
    longer = TrackingFedAvg(path=path)
    longer.start(grid, ArrayRecord(model()), num_rounds=4)
    assert set(grid.rounds) == {4} and longer.contributions.rounds == dict.fromkeys(sorted(NAMES), 4)


def test_a_subclass_sees_true_rounds_and_what_the_server_measures_is_numbered_by_them(tmp_path):
    class Mine(TrackingFedAvg):
        def configure_train(self, server_round, arrays, config, grid):
            seen.append(server_round)
            return super().configure_train(server_round, arrays, config, grid)

    seen: list[int] = []
    Mine(path=tmp_path / "it").start(Clients(), ArrayRecord(model()), num_rounds=2)
    measure = lambda number, arrays: MetricRecord({"number": number})  # noqa: E731
    result = Mine(path=tmp_path / "it").start(Clients(), ArrayRecord(model()), num_rounds=4, evaluate_fn=measure)
    assert seen == [1, 2, 3, 4]
    assert {number: record["number"] for number, record in result.evaluate_metrics_serverapp.items()} == {2: 2, 3: 3, 4: 4}


def test_without_a_file_each_start_begins_anew():
    strategy = TrackingFedAvg()
    with pytest.raises(BadRequest, match="before the first round"):
        strategy.contributions  # noqa: B018
    for _ in range(2):
        strategy.start(Clients(), ArrayRecord(model()), num_rounds=2)
        assert strategy.contributions.rounds["7"] == 2


def test_a_file_of_something_else_is_never_written_over(tmp_path):
    path, arrays, grid = tmp_path / "it", ArrayRecord(model()), Clients()
    TrackingFedAvg(path=path).start(grid, arrays, num_rounds=1)
    content = path.read_bytes()
    with pytest.raises(BadSetting, match="was written with reference='round', not 'initial'"):
        TrackingFedAvg(path=path, reference="initial").start(grid, arrays, num_rounds=2)
    with pytest.raises(BadSetting, match="was written with precision='fp32', not 'fp16'"):
        TrackingFedAvg(path=path, precision="fp16").start(grid, arrays, num_rounds=2)
    with pytest.raises(BadSetting, match=r"was written with parameters=\['10', '2', 'norm.weight'\], not \['2'\]"):
        TrackingFedAvg(path=path, parameters=["2"]).start(grid, arrays, num_rounds=2)
    with pytest.raises(BadFile, match="is of another model than initial_arrays: 'head' is missing"):
        TrackingFedAvg(path=path).start(grid, ArrayRecord(model() | {"head": torch.zeros(1)}), num_rounds=2)
    with pytest.raises(BadRequest, match=r"would be written over: only TrackingFedAvg.start goes on from it"):
        begun(path=path)
    assert path.read_bytes() == content
    path.write_bytes(content[:-1])
    with pytest.raises(BadFile, match="not a whole safetensors file"):
        TrackingFedAvg(path=path).start(grid, arrays, num_rounds=2)
    assert path.read_bytes() == content[:-1]
    with pytest.raises(BadSetting, match="is a folder; name a file in it"):
        TrackingFedAvg(path=tmp_path)


def test_a_round_that_has_not_begun_cannot_end():
    strategy = begun()
    strategy.aggregate_train(1, [])
    with pytest.raises(BadRequest, match="round 2 has not begun: call configure_train first"):
        strategy.aggregate_train(2, [])


def test_masks_of_secure_aggregation_are_noticed():
    content = records({}, "7")
    content[RECORD_KEY_CONFIGS] = ConfigRecord({"masked_params": [b"noise"]})
    strategy = begun()
    with pytest.raises(BadRequest, match="node 100 uses secure aggregation"):
        strategy.aggregate_train(1, replies({"7": content}))
    assert strategy.contributions.clients == ()


def test_a_client_with_flowers_mod_for_secure_aggregation_is_noticed():
    from flwr.client.mod import secaggplus_mod

    app = ClientApp(mods=[secaggplus_mod])
    app.train()(lambda message, context: Message(records(model(1), "7"), reply_to=message))
    message = Message(RecordDict({"arrays": ArrayRecord(model()), "config": ConfigRecord()}), 100, "train")
    context = Context(run_id=1, node_id=100, node_config={}, state=RecordDict(), run_config={})
    with pytest.raises(KeyError) as raised:
        app(message, context)
    reason = str(type(raised.value)) + ":<'" + str(raised.value) + "'>"  # what a node answers when its app fails
    with pytest.raises(BadRequest, match="node 100 uses secure aggregation"):
        begun().aggregate_train(1, [Message(Error(code=1, reason=reason), reply_to=message)])


def test_without_flower_the_rest_works_and_the_error_names_the_extra(monkeypatch):
    import expunge.federated

    for name in [each for each in sys.modules if each.split(".")[0] == "flwr"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "expunge.federated.tracking")
    monkeypatch.setitem(sys.modules, "flwr", None)
    with pytest.raises(MissingExtra, match=r"TrackingFedAvg needs flwr 1.42 or newer: pip install 'expunge\[federated\]'"):
        expunge.federated.TrackingFedAvg  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        expunge.federated.Nonsense  # noqa: B018


@pytest.mark.slow
def test_a_simulation_of_ten_nodes_in_processes_of_their_own(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    client_app, server_app, strategy = ClientApp(), ServerApp(), TrackingFedAvg(path=tmp_path / "it", fraction_evaluate=0.0)

    @client_app.train()
    def train(message, context):  # it travels to other processes, which know nothing of this file
        from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

        number, round = context.node_config["partition-id"], message.content["config"]["server-round"]
        after = {"w": Array(message.content["arrays"]["w"].numpy() + number * round)}
        metrics, client = MetricRecord({"num-examples": 1}), ConfigRecord({"client-id": f"client-{number}"})
        return Message(RecordDict({"arrays": ArrayRecord(after), "metrics": metrics, "client": client}), reply_to=message)

    @server_app.main()
    def main(grid, context):
        strategy.start(grid, ArrayRecord({"w": torch.zeros(2)}), num_rounds=3)

    strategy.min_available_nodes = 10
    run_simulation(server_app, client_app, num_supernodes=10, backend_config={"init_args": {"num_cpus": 2}})
    found = Snapshot.load(tmp_path / "it")
    assert found.round == 3 and found.model["w"].tolist() == pytest.approx([4.5 * (1 + 2 + 3)] * 2)
    for number in range(10):
        assert found.contributions.rounds[f"client-{number}"] == 3
        assert found.contributions.of([f"client-{number}"])["w"].tolist() == pytest.approx([2 * number] * 2)

"""A federation of Flower's without a network: clients that answer at once, and always the same to the same."""

import random

import torch
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from expunge.federated import Contributions, TrackingFedAvg
from expunge.federated.tracking import state_of

SHAPES = {"10": (2, 2), "2": (3,), "norm.weight": (3,), "norm.running_mean": (3,)}
TRACKED = ["10", "2", "norm.weight"]
NAMES = ["ward-3", "7", "11"]


def model(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return found | {"norm.num_batches_tracked": torch.tensor(seed)}


def trained(before: dict[str, torch.Tensor], client: str, round: int) -> dict[str, torch.Tensor]:
    """What a client makes of a model: always the same of the same."""
    step = model(100 * round + sum(map(ord, client)))
    return {name: 0.9 * value + 0.1 * step[name] for name, value in before.items()}


def records(after: dict[str, torch.Tensor], client: str, named: str = "config", examples: float = 5) -> RecordDict:
    metrics = MetricRecord({"num-examples": examples, "loss": float(len(client))})
    content = RecordDict({"arrays": ArrayRecord(dict(after)), "metrics": metrics})
    if named == "config":
        content["client"] = ConfigRecord({"client-id": client})
    elif named == "metric":
        metrics["client-id"] = int(client)
    return content


class Clients(Grid):
    """Each client answers at once. Their nodes are numbered anew by chance, as Flower does, and answer in any order."""

    def __init__(self, names: list[str] = NAMES, seed: int = 0, change=lambda client, round, content: content) -> None:
        self.random, self.change, self.rounds = random.Random(seed), change, []
        self.names = dict(zip(self.random.sample(range(1, 2**62), len(names)), names, strict=True))

    def answer(self, message: Message) -> Message:
        client, round = self.names[message.metadata.dst_node_id], message.content["config"]["server-round"]
        if message.metadata.message_type == "evaluate":
            return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "round": float(round)})}), reply_to=message)
        self.rounds.append(round)
        after = trained(state_of(message.content["arrays"]), client, round)
        found = self.change(client, round, records(after, client, examples=NAMES.index(client) + 1))
        return Message(found, reply_to=message)

    def send_and_receive(self, messages, *, timeout=None):
        answers = [self.answer(message) for message in messages]
        self.random.shuffle(answers)
        return iter(answers)  # as Flower says it: an iterable, which can be read once

    def get_node_ids(self):
        return list(self.names)

    run = property(lambda self: None)
    set_run = create_message = push_messages = pull_messages = lambda self, *args, **options: None


def replies(sent: dict[str, RecordDict]) -> list[Message]:
    asked = [Message(RecordDict(), 100 + place, "train") for place in range(len(sent))]
    return [Message(content, reply_to=each) for each, content in zip(asked, sent.values(), strict=True)]


def begun(before: dict[str, torch.Tensor] | None = None, **options) -> TrackingFedAvg:
    """A strategy that has sent a model to its clients."""
    strategy = TrackingFedAvg(min_train_nodes=1, min_available_nodes=1, **options)
    strategy.configure_train(1, ArrayRecord(before or model()), ConfigRecord(), Clients())
    return strategy


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return list(one) == list(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def same_sums(one: Contributions, other: Contributions) -> bool:
    return one.rounds == other.rounds and all(same(one.of([client]), other.of([client])) for client in one.clients)

"""A client: it trains the network that it is sent on its own digits, and says in its reply who it is."""

import torch
from digits_task import loss, network, share_of
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from expunge.federated import train_client
from expunge.optimizers import Optimizer

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Play one round."""
    number, clients = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    own, config = share_of(number, clients, float(context.run_config["alpha"])), context.run_config
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    order = torch.Generator().manual_seed(1000 * int(message.content["config"]["server-round"]) + number)
    train_client(model, loss, own, int(config["local-epochs"]), Optimizer("sgd", float(config["learning-rate"])), order)
    reply = RecordDict(
        {
            "arrays": ArrayRecord(model.state_dict()),
            "metrics": MetricRecord({"num-examples": own.examples}),
            "client": ConfigRecord({"client-id": str(context.node_config.get("client-id", f"client-{number}"))}),
        }
    )
    return Message(reply, reply_to=message)

"""The server: FedAvg that keeps what each client has contributed. Started again after a crash, it goes on where it was."""

from pathlib import Path

import torch
from digits_task import digits, network
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp

from expunge.federated import TrackingFedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Play all rounds, or those that are left."""
    config = context.run_config
    path, clients = Path(str(config["folder"])) / "federation.safetensors", int(config["clients"])
    strategy = TrackingFedAvg(path=path, min_train_nodes=clients, min_available_nodes=clients, fraction_evaluate=0.0)
    strategy.start(grid, ArrayRecord(network().state_dict()), int(config["rounds"]), evaluate_fn=accuracy)
    print(f"{path.resolve()}: the model, and contributions of {', '.join(strategy.contributions.clients)}")


def accuracy(round: int, arrays: ArrayRecord) -> MetricRecord:
    """The share of unseen digits that is told right."""
    model = network()
    model.load_state_dict(arrays.to_torch_state_dict())
    pixels, labels = digits(unseen=True).tensors
    with torch.no_grad():
        return MetricRecord({"accuracy": (model(pixels).argmax(1) == labels).float().mean().item()})

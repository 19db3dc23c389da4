"""Speed of training on graphs, and memory, side by side in one run: python benchmarks/graph_training.py

1. One epoch (forward and backward; what Adam takes is left out of the time) of link prediction on Cora: a GCN by sparse
   products against the same layers, weights and negatives on an edge list with dense features, as torch_geometric's GCNConv
   takes them. Losses must agree to 1e-4.
2. Peak memory on a graph of 500,000 edges, drawn at random: all pairs in one step, and batches on sampled parts of the graph.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from expunge.data.graph_files import load_graph
from expunge.errors import BadFile
from expunge.graphs import Graph, LinkBatches
from expunge.models.gnn import GCN
from expunge.sparse import SparseMatrix
from expunge.tasks import LinkPredictionTask

Embed = Callable[[nn.Module, Graph], Tensor]


def on_edge_list(model: nn.Module, graph: Graph) -> Tensor:
    """The embeddings as torch_geometric computes them."""
    return model(graph.x, graph.edge_index)


def by_sparse_products(model: nn.Module, graph: Graph) -> Tensor:
    """The embeddings as the library computes them."""
    return model(graph)


def train(graph: Graph, embed: Embed, epochs: int) -> tuple[list[float], list[float]]:
    """Losses and seconds of each epoch, from one seed."""
    torch.manual_seed(0)
    model = GCN(graph.width)
    task, generator = LinkPredictionTask(lambda: model), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    stream, losses, seconds = LinkBatches(graph, graph.edges, negatives=1), [], []
    batches = [batch for _ in range(epochs) for batch in stream.epoch(generator)]  # drawn before, alike for both
    for batch in batches:
        started = time.perf_counter()
        loss = task.losses(task.read(model, embed(model, batch.graph), batch), batch).mean()
        optimizer.zero_grad()
        loss.backward()
        seconds.append(time.perf_counter() - started)
        optimizer.step()
        losses.append(loss.item())
    return losses, seconds


def read(data: str) -> tuple[str, Graph]:
    """The graph; where Cora is not at hand, a random one of its size and sparsity."""
    try:
        return data, load_graph(data).graph
    except BadFile:
        if data != "cora":
            raise
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.randint(2_708, (49_216,), generator=generator), torch.randint(1_433, (49_216,), generator=generator)
    features = SparseMatrix.from_entries(rows, columns, torch.full((49_216,), 1 / 18), (2_708, 1_433))
    edges = torch.randint(2_708, (5_278, 2), generator=generator)
    return "a random graph of Cora's size (EXPUNGE_DATA holds no Cora)", Graph.of(2_708, edges, features)


def compare_speed(data: str, epochs: int, rounds: int) -> None:
    """Print the ratio of the median epoch, over several rounds in turn."""
    name, graph = read(data)
    print(f"{name}: {graph}, {torch.get_num_threads()} threads")
    found: dict[str, list[float]] = {"edge list": [], "sparse products": []}
    for _ in range(rounds):
        listed, seconds = train(graph, on_edge_list, epochs)
        found["edge list"] += seconds[1:]
        ours, seconds = train(graph, by_sparse_products, epochs)
        found["sparse products"] += seconds[1:]
        difference = max(abs(first - second) for first, second in zip(listed, ours, strict=True))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    for name, median in medians.items():
        print(f"  {name:16} {1000 * median:8.1f} ms an epoch (median of {len(found[name])})")
    print(f"  ratio {medians['edge list'] / medians['sparse products']:.1f}; largest difference of a loss {difference:.1e}")


def large_graph(edges: int = 500_000, nodes: int = 100_000, width: int = 64) -> Graph:
    """A graph of random edges with dense features."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(nodes, (edges, 2), generator=generator)
    return Graph.of(nodes, drawn, torch.randn(nodes, width, generator=generator))


def measure_memory(way: str) -> None:
    """Train a little on the large graph; print the peak, and what was there before training."""
    graph = large_graph()
    graph.operator("gcn")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = GCN(graph.width)
    task, generator = LinkPredictionTask(lambda: model), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    full = way == "full"
    stream = LinkBatches(graph, graph.edges, negatives=1, batch_size=None if full else 4096, fanout=None if full else (10, 5))
    steps, started = 0, time.perf_counter()
    for batch in stream.epoch(generator):
        loss = task.losses(task.outputs(model, batch), batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        if steps == 20:
            break
    seconds = (time.perf_counter() - started) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    words = "all pairs in one step" if full else "batches of 4,096 on sampled parts"
    more = (peak - before) / 1024
    print(f"  {words:34} {peak / 1024:6.0f} MiB at most, {more:6.0f} MiB of it in training; {seconds:.2f} s a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cora")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", choices=("full", "sampled"), help="only measure this (in a process of its own)")
    given = parser.parse_args()
    if given.memory:
        measure_memory(given.memory)
        return
    for threads in dict.fromkeys((1, torch.get_num_threads())):
        torch.set_num_threads(threads)
        compare_speed(given.data, given.epochs, given.rounds)
    print("500,000 random edges, 100,000 nodes of 64 features:", flush=True)
    for way in ("full", "sampled"):
        subprocess.run([sys.executable, __file__, "--memory", way], check=True)


if __name__ == "__main__":
    main()

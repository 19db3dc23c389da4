"""CPU seconds of training 64 shadow networks as one and one by one, in one run: python benchmarks/shadow_training.py

Each network is trained on its own random half of 6,000 rows (MNIST where EXPUNGE_DATA has it, else random images) or of the
digits, by the same recipe, on one thread. Losses must agree to 0.001, and training as one must be quicker where the library
chooses it; exit code 1 where either is not so.

A processor that multiplies matrices at G operations a second can't train faster than that, however networks are stacked: the
last column is the time that the arithmetic alone takes at the best rate measured, as a ratio to one by one. No way of stacking
in single precision can be above it.

With --ways the step of the convolutional network is timed in other forms: convolutions as stacked matrix products, and all
networks on the same images, which a mask gives to half of them.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.overrides import TorchFunctionMode
from torch.utils.data import TensorDataset

from expunge.audits.shadows.batched import networks_at_a_time, pays, recipe_of, train_batched
from expunge.audits.shadows.training import halves
from expunge.data.idx import read_idx
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.models import MLP, SmallCNN
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.tasks import ClassificationTask

TOLERANCE = 1e-3
RECIPE = Retrain(epochs=1, optimizer=Optimizer("sgd", 0.05, momentum=0.9))
CPU = torch.device("cpu")


def images(rows: int = 6000) -> tuple[Tensor, Tensor]:
    """The first rows of MNIST; random images of its size where it is not at hand."""
    folder = Path(os.environ.get("EXPUNGE_DATA", ""), "mnist")
    found = [next(iter(sorted(folder.glob(f"train-{part}*"))), None) for part in ("images", "labels")]
    if all(found):
        pixels, labels = (torch.as_tensor(read_idx(path, dims)) for path, dims in zip(found, (3, 1), strict=True) if path)
        return pixels[:rows].float().unsqueeze(1) / 255, labels[:rows].long()
    print("no MNIST under EXPUNGE_DATA: random images of its size")
    draw = torch.Generator().manual_seed(0)
    return torch.rand(rows, 1, 28, 28, generator=draw), torch.randint(10, (rows,), generator=draw)


def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 of scikit-learn's."""
    found = load_digits()
    return torch.tensor(found.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(found.target)


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of one call, and what it returns."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def fastest(work: Callable[[], Any], times: int = 7) -> float:
    """The least of several calls' seconds."""
    work()
    return min(cpu_seconds(work)[0] for _ in range(times))


def operations(model: nn.Module, inputs: Tensor) -> float:
    """Additions and multiplications of a step: forwards, and backwards to weights and, but for the first layer, to inputs."""
    counted: list[float] = []

    def count(layer: Any, _: Any, said: Tensor) -> None:
        counted.append(2.0 * said.numel() * layer.weight[0].numel())

    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(count)
    model(inputs)
    return 3 * sum(counted) - counted[0]


def best_rate() -> float:
    """Operations a second of the quicker of a large matrix product and a wide convolution."""
    square, pictures, kernel = torch.rand(1024, 1024), torch.rand(32, 64, 28, 28), torch.rand(64, 64, 3, 3)
    product = 2 * 1024**3 / fastest(lambda: square @ square)
    return max(product, 2 * 32 * 26 * 26 * 64 * 64 * 9 / fastest(lambda: nn.functional.conv2d(pictures, kernel)))


class Contest:
    """Both ways of training the same networks."""

    def __init__(self, factory: Callable[[], nn.Module], data: tuple[Tensor, Tensor], networks: int, batch_size: int) -> None:
        self.task, self.data, self.batch_size = ClassificationTask(factory, 10), data, batch_size
        self.engine = Engine(progress=False)
        held = halves(len(data[0]) // 2 * 2, networks, self.engine)
        self.rows = torch.stack([own.nonzero().flatten() for own in held])

    def one_by_one(self) -> list[nn.Module]:
        found = []
        for number, rows in enumerate(self.rows.tolist()):
            with self.engine.scope(str(number)):
                found.append(RECIPE.train(self.task, Batches(TensorDataset(*self.data), self.batch_size, rows), self.engine))
        return found

    def as_one(self) -> list[nn.Module]:
        models, recipe = [], recipe_of(RECIPE.train)
        assert recipe is not None
        for number in range(len(self.rows)):
            with self.engine.scope(str(number)):
                models.append(self.engine.new_model(self.task.new_model))
        size, found = networks_at_a_time(models[0], CPU), list[nn.Module]()
        for first in range(0, len(models), size):

            def generator(number: int, epoch: int, first: int = first) -> torch.Generator:
                with self.engine.scope(str(first + number)):
                    return self.engine.generator("fit", "epoch", epoch)

            group = slice(first, first + size)
            found += train_batched(self.task, models[group], self.data, self.rows[group], recipe, self.batch_size, generator)
        return found

    def furthest(self, ours: list[nn.Module], theirs: list[nn.Module]) -> float:
        """Largest distance between the mean losses of two trainings of one network."""
        pairs = zip(ours, theirs, strict=True)
        return max(
            abs(self.task.evaluate(a, [self.data])["loss"] - self.task.evaluate(b, [self.data])["loss"]) for a, b in pairs
        )


def compared(name: str, contest: Contest, rate: float) -> bool:
    """Print one row; whether it is as it should be."""
    single, theirs = cpu_seconds(contest.one_by_one)
    batched, ours = cpu_seconds(contest.as_one)
    gap, model = contest.furthest(ours, theirs), contest.task.new_model()
    chosen, steps = pays(model, CPU), -(-contest.rows.shape[1] // contest.batch_size) * len(contest.rows)
    least = steps * operations(model, contest.data[0][: contest.batch_size]) / rate
    print(
        f"{name:28} one by one {single:6.2f} s, as one {batched:6.2f} s: {single / batched:4.2f} times as fast; losses within "
        f"{gap:.0e}; {'chosen' if chosen else 'not chosen'}; arithmetic alone {single / least:.1f} times"
    )
    return gap <= TOLERANCE and (batched < single or not chosen)


class Products(TorchFunctionMode):
    """Convolutions as products of matrices."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.conv2d:
            return func(*args, **(kwargs or {}))
        inputs, kernel, bias, stride, padding, *_ = args
        patches = nn.functional.unfold(inputs, kernel.shape[-2:], padding=padding, stride=stride)
        said = kernel.flatten(1) @ patches + bias.unsqueeze(-1)
        side = (inputs.shape[-1] + 2 * padding[0] - kernel.shape[-1]) // stride[0] + 1
        return said.unflatten(-1, (side, -1))


def ways(data: tuple[Tensor, Tensor], batch_size: int, networks: int) -> None:
    """Print milliseconds of a step of one network, forwards and backwards, in several forms."""
    shape = SmallCNN((1, 28, 28), 10)
    weights = {name: value.detach().requires_grad_() for name, value in stack_module_state([shape] * networks)[0].items()}

    def losses(state: dict[str, Tensor], inputs: Tensor, labels: Tensor, share: Tensor) -> Tensor:
        each = nn.functional.cross_entropy(functional_call(shape, state, (inputs,)), labels, reduction="none")
        return (each * share).sum() / share.sum()

    def step(sizes: tuple[int, ...], share: Tensor, dims: tuple[int | None, ...]) -> None:
        rows = torch.randint(len(data[0]), sizes)
        vmap(losses, in_dims=dims)(weights, data[0][rows], data[1][rows], share).sum().backward()
        for value in weights.values():
            value.grad = None

    def alone() -> None:
        rows = torch.randint(len(data[0]), (batch_size,))
        nn.functional.cross_entropy(shape(data[0][rows]), data[1][rows]).backward()

    own, shared = torch.ones(networks, batch_size), torch.arange(2 * batch_size).repeat(networks, 1) % 2.0
    found = {"one network, alone": fastest(alone)}
    found["stacked, by vmap"] = fastest(lambda: step((networks, batch_size), own, (0, 0, 0, 0))) / networks
    with Products():
        found["stacked, as matrix products"] = fastest(lambda: step((networks, batch_size), own, (0, 0, 0, 0))) / networks
    found["twice the images, shared"] = fastest(lambda: step((2 * batch_size,), shared, (0, None, None, 0))) / networks
    for name, seconds in found.items():
        print(f"  {name:28} {1000 * seconds:6.2f} ms a network")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", action="store_true", help="time other forms of the convolutional network's step")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    pictures, small, rate = images(), digits(), best_rate()
    print(f"{given.networks} networks, batches of {given.batch_size}, {rate / 1e9:.0f} billion operations a second at best")
    contests = {
        "MLP 64-32-10, digits": (lambda: MLP((1, 8, 8), 10, (32,)), small),
        "MLP 64-128-10, digits": (lambda: MLP((1, 8, 8), 10), small),
        "small CNN, width 8, digits": (lambda: SmallCNN((1, 8, 8), 10, 8), small),
        "small CNN, width 4, MNIST": (lambda: SmallCNN((1, 28, 28), 10, 4), pictures),
        "small CNN, width 16, MNIST": (lambda: SmallCNN((1, 28, 28), 10), pictures),
    }
    cpu_seconds(Contest(contests["MLP 64-32-10, digits"][0], small, 2, given.batch_size).as_one)  # warms up
    sound = [
        compared(name, Contest(factory, data, given.networks, given.batch_size), rate)
        for name, (factory, data) in contests.items()
    ]
    if given.ways:
        for networks in (8, 32):
            print(f"the step of the small CNN of width 16, {networks} networks at a time:")
            ways(pictures, given.batch_size, networks)
    return int(not all(sound))


if __name__ == "__main__":
    sys.exit(main())

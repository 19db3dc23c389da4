"""What ConDa costs: dampening 11.2 million parameters on one core, and tracking contributions beside a round without.

    dampening     ResNet-18 with random contributions of 10 clients: at most 1 s
    tracking      a round of 10 clients that train a small network on 600 images each, and what adding their updates to the
                  running sums takes beside it: at most 5 % of the round

Exit code 1 when a bound is passed.
"""

import statistics
import sys
import time

import torch
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.federated import Contributions, Federation
from expunge.federated.client_split import losses_of
from expunge.federated.federation import state_of
from expunge.methods import ConDa
from expunge.models.cnn import SmallCNN
from expunge.models.resnet import ResNet18
from expunge.split import Batches
from expunge.tasks import ClassificationTask

CLIENTS = 10
SECONDS, SHARE = 1.0, 0.05


def dampening() -> float:
    """Seconds to take one of ten clients out of a ResNet-18."""
    model = ResNet18((3, 32, 32), 10)
    before = {name: value.detach() for name, value in model.named_parameters()}
    sums, generator = Contributions(before), torch.Generator().manual_seed(0)
    for client in range(CLIENTS):
        after = {name: value + torch.randn(value.shape, generator=generator) for name, value in before.items()}
        sums.add(f"client-{client}", before, after)
    print(f"{sum(value.numel() for value in before.values()):,} parameters, {sums.bytes / 1e6:,.0f} MB of contributions")
    return min(timed(lambda: ConDa().take_out(model, sums, ["client-3"])) for _ in range(3))


def tracking() -> tuple[float, float]:
    """Seconds of a round, and of adding what it sent to the sums; medians."""
    task = ClassificationTask(lambda: SmallCNN((1, 28, 28), 10), classes=10)
    generator, engine, loss = torch.Generator().manual_seed(0), Engine(progress=False), losses_of(task)
    data = TensorDataset(torch.rand(6000, 1, 28, 28, generator=generator), torch.randint(10, (6000,), generator=generator))
    federation = Federation({f"client-{place}": Batches(data, 64, range(place, 6000, CLIENTS)) for place in range(CLIENTS)})
    model = engine.new_model(task.new_model)
    sums, rounds, adding = Contributions(dict(model.named_parameters())), [], []
    for number in range(1, 6):
        before, sent = state_of(model), {}
        rounds.append(timed(lambda number=number, sent=sent: sent.update(federation.sent(model, loss, engine, number))))
        adding.append(timed(lambda number=number, before=before, sent=sent: sums.watch(number, before, sent)))
        model.load_state_dict(federation.mean(sent))
    return statistics.median(rounds), statistics.median(adding)


def timed(work) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> int:
    """Print both and compare them with their bounds."""
    torch.set_num_threads(1)
    seconds = dampening()
    print(f"taking one client out: {seconds:.2f} s (at most {SECONDS:g})")
    plain, adding = tracking()
    share = adding / plain
    print(f"a round: {plain:.2f} s, tracking it: {adding:.3f} s, {100 * share:.1f} % (at most {100 * SHARE:g} %)")
    return int(seconds > SECONDS or share > SHARE)


if __name__ == "__main__":
    sys.exit(main())

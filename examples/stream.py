"""A stream of requests on handwritten digits: four pairs of digits come, two of them go again, in a minute.

python examples/stream.py
"""

from torch.utils.data import TensorDataset

from expunge import Engine
from expunge.continual import ReplayBuffer, RequestStream, UniCLUN, run
from expunge.data import load
from expunge.models import NormCNN
from expunge.split import Batches
from expunge.tasks import ClassificationTask

source = load("digits")


def pair(part: str, first: int) -> TensorDataset:
    """The images of two digits."""
    inputs, labels = getattr(source, part).tensors
    chosen = (labels == first) | (labels == first + 1)
    return TensorDataset(inputs[chosen], labels[chosen])


stream = RequestStream.of("L1 L2 L3 U2 L4 U1", [pair("train", first) for first in (0, 2, 4, 6)])
tests = {str(place + 1): Batches(pair("holdout", first), 100) for place, first in enumerate((0, 2, 4, 6))}
task = ClassificationTask(lambda: NormCNN((1, 8, 8), 10, width=16), classes=10)

served = run(UniCLUN(epochs=6), stream, task, Engine(), ReplayBuffer(100, (1, 8, 8)), tests)

print("accuracy in %   " + "".join(f"{2 * place} and {2 * place + 1}".rjust(10) for place in range(4)))
for row, accuracies in zip(served.history.rows, served.history.matrix(), strict=True):
    print(f"after {row['request']:10s}" + "".join(f"{100 * value:10.1f}" for value in accuracies.tolist()))

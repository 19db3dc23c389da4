"""What attacks see of a network that learned its rows by heart, and of retrained ones: python benchmarks/shadow_attacks.py

An MLP of 64-32-10 is trained for 60 epochs on 200 of scikit-learn's digits, of which 100 must go, and twice without those. All
attacks are put to all three, with 16 shadow models; the table has means over seeds. Exit code 1 where an attack doesn't flag
the original (AUC above 0.6), or flags a retrained network (off 0.5 by 0.1 or more), on average.
"""

import argparse
import statistics
import sys

import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

from expunge.audits import RMIA, Audit, LiRA, Membership, References, Subject
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask

RECIPE = Retrain(epochs=60, optimizer=Optimizer("adam", 5e-3))
ATTACKS: tuple[Audit, ...] = (Membership(resamples=2), LiRA(16, 32), RMIA(16, 32))
NAMES = ("original", "retrained", "second retrained")


def models(seed: int) -> References:
    """The three networks of a seed."""
    found = load_digits()
    order = torch.randperm(len(found.target), generator=torch.Generator().manual_seed(seed))[:400]
    data = TensorDataset(torch.tensor(found.data / 16, dtype=torch.float32)[order], torch.tensor(found.target)[order])
    split = Split(*(Batches(data, 32, range(*span)) for span in ((0, 100), (100, 200), (200, 400))))
    task = ClassificationTask(lambda: MLP((64,), 10, (32,)), 10)
    engine = Engine(seed, progress=False)

    def subject(name: str, rows: Batches) -> Subject:
        with engine.scope(name):
            return Subject(name, RECIPE.train(task, rows, engine), task, split, engine)

    original = subject("original", Batches(data, 32, range(200)))
    return References(original, (subject("first", split.retain), subject("second", split.retain)), RECIPE.train)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    torch.set_num_threads(1)
    areas: dict[str, list[list[float]]] = {attack.name: [] for attack in ATTACKS}
    for seed in range(parser.parse_args().seeds):
        found = models(seed)
        for attack in ATTACKS:
            figures = [attack(each, found)[f"{attack.name}_auc"].value for each in (found.original, *found.retrained) if each]
            areas[attack.name].append([value for value in figures if value is not None])
    print(f"| AUC of | {' | '.join(NAMES)} |\n|---|---:|---:|---:|")
    held = True
    for name, rows in areas.items():
        means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in means)} |")
        if name != "membership":
            held = held and means[0] > 0.6 and all(abs(value - 0.5) < 0.1 for value in means[1:])
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

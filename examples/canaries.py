"""Verify forgetting by canaries: records that nobody could guess, planted before training and forgotten with a request.

Run it with:  python examples/canaries.py
"""

import torch
from torch.utils.data import TensorDataset

import expunge
from expunge.audits import Accuracy, Canary, plant
from expunge.data import load
from expunge.methods import Finetune, Method, NegGradPlus, Retrain
from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.tasks import ClassificationTask

RECIPE = Retrain(epochs=100, optimizer=Optimizer("adam", 5e-3))
METHODS: dict[str, Method] = {
    "finetune": Finetune(epochs=20, optimizer=Optimizer("adam", 2e-2)),
    "neggrad-plus": NegGradPlus(epochs=15, optimizer=Optimizer("adam", 2e-3)),
}


def main() -> None:
    """Plant, train, forget, verify."""
    torch.set_num_threads(1)
    source, engine = load("digits"), expunge.Engine(progress=False)
    images, labels = source.train.tensors
    planted = plant(TensorDataset(images.flatten(1)[:400], labels[:400]), 40, engine, controls=400)
    task = ClassificationTask(lambda: MLP((64,), 10, (64,)), classes=10)
    original = RECIPE.train(task, planted.training(32), engine)

    unseen = TensorDataset(source.holdout.tensors[0].flatten(1), source.holdout.tensors[1])
    split = planted.split(rows=range(20), holdout=Batches(unseen), batch_size=32)  # the first 20 people want to go
    audits = (Canary(planted), Accuracy())
    print(f"{'model':14} {'canary AUC':>22} {'exposure, bits':>16} {'unseen, %':>11}")
    for name, method in METHODS.items():
        result = expunge.forget(original, task, split, method, retrain=RECIPE, engine=engine, audits=audits)
        found = result.comparison.figures
        rows = ("original", "retrained", "retrained-2") if name == "finetune" else ()
        for row in (*rows, method.name):
            figures = found[row]
            auc, bits, unseen_too = (figures[metric] for metric in ("canary_auc", "canary_exposure", "holdout_accuracy"))
            low, high = auc.interval or (0.0, 0.0)
            print(f"{row:14} {auc.value:8.3f} ({low:.3f} to {high:.3f}) {bits.value:14.2f} {100 * unseen_too.value:11.1f}")


if __name__ == "__main__":
    main()

"""One request served many times over, by several methods: python benchmarks/repeated_models.py [--data cora --models 16]

MLPs of 64-32-10 are trained on 200 of scikit-learn's digits, of which 50 have labels drawn anew and must go: what a network
says of those it has learned by heart. Unlearned models of each method, originals and a second set of retrained models stand
against a first set of retrained ones. With `--data mnist`, where `EXPUNGE_DATA` has it, small convolutional networks are
trained on the first 6,000 images, of which a random 5 % must go, and gradient ascent stands beside doing nothing; with
`--data cora`, where it is there, graph networks that predict links must forget 5 % of the edges, by methods of the study of
graphs. Exit code 1 where

- KLoM of two sets of retrained models is not below 0.1 of the originals' on forgotten examples, at the median,
- U-LiRA does not tell gradient ascent's models better than one threshold on the loss does,
- a method that does nothing is not told as well as the originals are (but models of links, which no longer read edges that
  go), or retraining not as badly as the noise floor (0.05).
"""

import argparse
import sys
import tempfile
import time
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

from expunge.data import load, load_graph, split_by
from expunge.engine import Engine
from expunge.methods import Finetune, GradientAscent, Method, Retrain
from expunge.models import MLP, build
from expunge.optimizers import Optimizer
from expunge.requests import ForgetFraction
from expunge.split import Batches, Split
from expunge.studies.graph_scenarios import LINK_RECIPE, links
from expunge.studies.repeated import FIGURES, KINDS, Repeated, repeated
from expunge.tasks import ClassificationTask, Task

RECIPE = Retrain(epochs=120, optimizer=Optimizer("adam", 5e-3))
OF_MNIST = Retrain(epochs=15, optimizer=Optimizer("adam", 2e-3))
METHODS: dict[str, Method] = {
    "nothing": Finetune(epochs=0),
    "gradient ascent": GradientAscent(epochs=10, optimizer=Optimizer("adam", 4e-3)),
    "fine-tune": Finetune(epochs=20, optimizer=Optimizer("adam", 5e-3)),
    "retrain": RECIPE,
}


def request() -> Split:
    """50 digits with labels drawn anew that must go, 150 that stay, 200 unseen, and 100 unseen with labels drawn anew."""
    found, draw = load_digits(), torch.Generator().manual_seed(0)
    order = torch.randperm(len(found.target), generator=draw)[:500]
    labels = torch.tensor(found.target)[order]
    labels[:50], labels[400:] = (torch.randint(10, (count,), generator=draw) for count in (50, 100))
    data = TensorDataset(torch.tensor(found.data / 16, dtype=torch.float32)[order], labels)
    return Split(*(Batches(data, 32, range(*span)) for span in ((0, 50), (50, 200), (200, 400), (400, 500))))


def mnist() -> tuple[ClassificationTask, Split]:
    """The first 6,000 images of MNIST, of which a random 5 % must go, as in the study of classification."""
    source = load("mnist", train=6_000, holdout=5_000)
    split = split_by(ForgetFraction(0.05, seed=0), source.train, source.holdout, 64, classes=source.classes)
    return ClassificationTask(build("small-cnn", source), 10), split


def cora() -> tuple[Task[Any], Split, Retrain, dict[str, Method]]:
    """5 % of Cora's edges, as in the study of graphs, with the settings that methods have there."""
    scenario = links(load_graph("cora"), "gcn", 0.05, "in")
    names = ("d2dgn", "unlink", "gif", "gnndelete", "shrink-perturb", "bad-teacher")
    methods = {name: method for name in names if isinstance(method := scenario.methods[name], Method)}
    return scenario.task, scenario.draw(0)[1], LINK_RECIPE, {"nothing": METHODS["nothing"], **methods}


def sound(found: dict[str, Repeated]) -> bool:
    """Whether what must hold does."""
    areas = {name: [each.figures[kind]["ulira_auc"] for kind in KINDS] for name, each in found.items()}
    first = found["nothing"].figures
    ratio = first["retrained-2"]["klom_forget"] / first["original"]["klom_forget"]
    print(f"KLoM of two sets of retrained models, as a share of the originals': {ratio:.3f}")
    if "gradient ascent" not in found:
        return ratio < 0.1
    ascent = found["gradient ascent"].figures["unlearned"]
    print(f"gradient ascent is told with {ascent['ulira_auc']:.3f} by U-LiRA, with {ascent['loss_auc']:.3f} by the loss alone")
    told = ascent["ulira_auc"] > max(ascent["loss_auc"], 1 - ascent["loss_auc"])
    level = "retrain" not in areas or abs(areas["retrain"][0] - areas["retrain"][2]) < 0.05
    return ratio < 0.1 and told and areas["nothing"][0] == areas["nothing"][1] and level


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--data", choices=["digits", "mnist", "cora"], default="digits")
    parser.add_argument("--folder", help="where models are kept, for a run that is killed to go on; none when left out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    task: Task[Any]
    if given.data == "cora":
        task, split, recipe, methods = cora()
    elif given.data == "mnist":
        task, split = mnist()
        methods, recipe = {"nothing": METHODS["nothing"], "gradient ascent": GradientAscent()}, OF_MNIST
    else:
        task, split, methods, recipe = ClassificationTask(lambda: MLP((64,), 10, (32,)), 10), request(), METHODS, RECIPE
    found: dict[str, Repeated] = {}
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(folder=given.folder or folder, progress=False)
        for name, method in methods.items():
            started = time.process_time()
            found[name] = repeated(task, split, method, recipe, engine, given.models)
            print("\n".join([f"{name}: {time.process_time() - started:.0f} s", *found[name].meaning()]), flush=True)
    columns = {name: each.figures["unlearned"] for name, each in found.items()}
    columns |= {"original": found["nothing"].figures["original"], "second retrained": found["nothing"].figures["retrained-2"]}
    print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for figure, label in FIGURES.items():
        print(f"| {label} | {' | '.join(f'{column[figure]:.2f}' for column in columns.values())} |")
    return 0 if sound(found) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Whether the report's words are right where the truth is known: python benchmarks/power_check.py

MLPs are trained on 600 images of digits. Either a class must go, or 50 images of all classes. Five models are planted beside
two retrained ones, over several seeds:

- the original, of which the report must say that traces remain,
- a model that was retrained from another seed, of which nothing may be said,
- one that hides a class: the original, taught the wrong label for it, of which it must say that it is hidden,
- one that over-forgets images: the original, its loss on them driven up far above that of unseen ones,
- one that is damaged: retrained on a tenth of what stays.

It prints what was said of each, on scikit-learn's digits and, where EXPUNGE_DATA has them, on rows of MNIST. Exit code 1 where
a word is wrong.
"""

import argparse
import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import Accuracy, FeatureSimilarity, InputGradientDistance, Membership, Probe, Relearning
from expunge.data import available, load
from expunge.engine import Engine
from expunge.methods import Retrain
from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.report.conclusion import conclude
from expunge.report.evidence import Case, Row
from expunge.report.measures import written
from expunge.report.verdict import hides
from expunge.split import Batches, Split, in_proportion, paired
from expunge.studies.comparison import Comparison, compare, to_case, trained
from expunge.tasks import ClassificationTask, Task

RECIPE = Retrain(epochs=30, optimizer=Optimizer("adam", 5e-3))
ROWS, GOES, CLASS = 600, 50, 3
AUDITS = (Accuracy(), Membership(resamples=2), Relearning(), Probe(), FeatureSimilarity(), InputGradientDistance())
FIGURES = ("forget_accuracy", "holdout_accuracy", "membership_auc", "relearn_steps", "probe_auc", "forget_cka")


@dataclass(frozen=True)
class Planted:
    """A model whose fault is known.

    Args:
        name: of its row.
        make: changes a copy of the original in place, or returns another model.
        word: what must be said of it; empty where nothing may be.
        of: what must go.
    """

    name: str
    make: Callable[[nn.Module, Task[Any], Split, Engine], nn.Module]
    word: str
    of: Literal["class", "images"] = "class"

    def like(self, model: nn.Module) -> nn.Module:
        return model

    def __call__(self, model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        with engine.scope(self.name):
            return self.make(copy.deepcopy(model), task, split, engine)


def again(model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
    """Train a fresh model on what stays."""
    return RECIPE.train(task, split.retain, engine)


def hiding(model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
    """Teach the next class for what must go, beside what stays: what was learned of it stays in the features."""

    def loss(network: nn.Module, pair: Any) -> torch.Tensor:
        told = torch.cat([(pair.forget[1] + 1) % 10, pair.retain[1]])
        batch = torch.cat([pair.forget[0], pair.retain[0]]), told
        return task.losses(task.outputs(network, batch), batch)

    stream = in_proportion(split.forget, split.retain)
    return engine.fit(model, loss, stream, epochs=10, optimizer=Optimizer("adam", 2e-3)).eval()


def ascending(model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
    """Raise the loss of what must go to 8 nats, and keep what stays."""

    def loss(network: nn.Module, pair: Any) -> torch.Tensor:
        goes, stays = (task.losses(task.outputs(network, batch), batch) for batch in pair)
        return stays.mean() - 0.3 * goes.clamp(max=8.0).mean()

    return engine.fit(model, loss, paired(split.forget, split.retain), epochs=40, optimizer=Optimizer("adam", 2e-3)).eval()


def damaging(model: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
    """Train a fresh model on a tenth of what stays."""
    rows = split.retain.indices.tolist()  # type: ignore[attr-defined]
    return RECIPE.train(task, Batches(split.retain.dataset, 32, rows[::10]), engine)  # type: ignore[attr-defined]


PLANTED = (
    Planted("the original itself", lambda model, *_: model, "traces remain"),
    Planted("retrained once more", again, ""),
    Planted("hides", hiding, "hidden"),
    Planted("over-forgets", ascending, "over-forgotten", "images"),
    Planted("damaged", damaging, "model damaged"),
)


def request(name: str, of: str, seed: int) -> tuple[ClassificationTask, Batches, Split]:
    """The task, the images that the original is trained on, and what must go of them: a class, or some of all classes."""
    source, draw = load(name), torch.Generator().manual_seed(seed)
    rows = [torch.randperm(len(part), generator=draw)[:1_000].tolist() for part in (source.train, source.holdout)]
    found = [
        part[row]
        for part, chosen in zip((source.train, source.holdout), (rows[0][:ROWS], rows[1]), strict=True)
        for row in chosen
    ]
    data = TensorDataset(torch.stack([image.flatten() for image, _ in found]), torch.tensor([int(label) for _, label in found]))
    place, labels = torch.arange(len(found)), data.tensors[1]
    goes = labels == CLASS if of == "class" else (place % ROWS < GOES) & (place < ROWS)
    seen = place < ROWS

    def batches(chosen: torch.Tensor) -> Batches:
        return Batches(data, 32, chosen.nonzero().flatten().tolist())

    split = Split(batches(seen & goes), batches(seen & ~goes), batches(~seen & ~goes))
    if of == "class":
        split = replace(split, holdout_forget=batches(~seen & goes), kind=True)
    return ClassificationTask(lambda: MLP((data.tensors[0].shape[1],), 10, (64,)), 10), batches(seen), split


def compared(name: str, of: str, seed: int) -> Comparison:
    """The planted models of one seed and one kind of request."""
    task, everything, split = request(name, of, seed)
    engine = Engine(seed=seed, progress=False)
    original, _ = trained(task, everything, RECIPE, engine)
    methods = {each.name: each for each in PLANTED if each.of == of}
    return compare(original, task, split, methods, engine, retrain=RECIPE, audits=AUDITS)


def said(row: Row, case: Case) -> str:
    """What the report says of a model: the conclusion over seeds, and whether it hides."""
    conclusion = conclude(row, case)
    words = "nothing" if conclusion is None else conclusion.words
    return f"{words}; hidden rather than gone" if hides(row, case) else words


def right(words: str, planted: Planted) -> bool:
    """Whether what was said names the fault, and no fault where there is none."""
    if planted.word:
        return planted.word in words
    return not any(each.word and each.word in words for each in PLANTED)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    seeds, first = given.seeds, given.first
    torch.set_num_threads(1)
    wrong = 0
    for name in ("digits", "mnist"):
        if not available(name):
            print(f"\n{name} is left out: its files are not there")
            continue
        print(f"\n{name}, {seeds} seeds\n\n| planted | said | |\n|---|---|---|")
        cases = {
            of: to_case([compared(name, of, seed) for seed in range(first, first + seeds)], name, of)
            for of in ("class", "images")
        }
        for planted in PLANTED:
            case = cases[planted.of]
            words = said(next(row for row in case.rows if row.name == planted.name), case)
            wrong += not right(words, planted)
            print(f"| {planted.name} | {words} | {'right' if right(words, planted) else 'WRONG'} |")
        for of, case in cases.items():
            print(f"\n| {of} | {' | '.join(FIGURES)} |\n|---|{'---:|' * len(FIGURES)}")
            for row in case.rows:
                print(f"| {row.name} | {' | '.join(written(row.mean(figure)) for figure in FIGURES)} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Your own model, data loaders and training loop; three lines of expunge at the end.

All images of the digit 3 must go. Run it with:  python examples/own_model.py
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import expunge
from expunge.methods import Retrain
from expunge.optimizers import Optimizer
from expunge.report.terminal import print_summary
from expunge.tasks import ClassificationTask

EPOCHS, LEARNING_RATE, FORGET = 20, 0.002, 3


def make_model() -> nn.Module:
    """A network for images of 8x8 pixels, with fresh weights."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def loader(inputs: torch.Tensor, labels: torch.Tensor) -> DataLoader:
    """Shuffled batches of 64."""
    return DataLoader(TensorDataset(inputs, labels), batch_size=64, shuffle=True)


def train(model: nn.Module, batches: DataLoader) -> nn.Module:
    """Plain PyTorch, as you have it already."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        for inputs, labels in batches:
            loss = F.cross_entropy(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def main() -> None:
    """Train, forget, audit, report."""
    torch.set_num_threads(1)  # more gain a network this small nothing
    torch.manual_seed(0)
    images, digits = load_digits(return_X_y=True)
    inputs, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(digits)
    inputs, unseen, labels, unseen_labels = train_test_split(inputs, labels, test_size=0.3, random_state=0, stratify=labels)
    model = train(make_model(), loader(inputs, labels))

    goes, like_it = labels == FORGET, unseen_labels == FORGET
    split = expunge.Split(
        forget=loader(inputs[goes], labels[goes]),
        retain=loader(inputs[~goes], labels[~goes]),
        holdout=loader(unseen[~like_it], unseen_labels[~like_it]),
        holdout_forget=loader(unseen[like_it], unseen_labels[like_it]),
    )
    task = ClassificationTask(make_model, classes=10)
    recipe = Retrain(epochs=EPOCHS, optimizer=Optimizer("adam", LEARNING_RATE), schedule="constant")
    result = expunge.forget(model, task, split, "ssd", retrain=recipe)

    for metric in ("forget_accuracy", "holdout_accuracy", "membership_auc", "relearn_steps"):
        figure = result.figures[metric]
        print(f"{metric:18}{figure.value:7.3f}   ideal {figure.ideal:7.3f}")
    report = result.report("runs/own-model")
    print_summary(result.evidence)
    print(f"\nReport: {report}")


if __name__ == "__main__":
    main()

"""Input gradients: does the loss of a forgotten example depend on its input as the retrained model's does?

    d = mean_x ( 1 - cos( grad_x loss(model, x), grad_x loss(retrained, x) ) )

0 where the loss rises in the same direction of the input, 1 where the directions have nothing to do with each other, 2 where
they are opposite. Losses of one size can hang on other features of the input. The gradients of networks differ much even
between two retrained models: read the figure beside the second one's (the noise floor).

Reference for gradients with respect to inputs as what an answer depends on: K. Simonyan, A. Vedaldi, A. Zisserman. "Deep Inside
Convolutional Networks: Visualising Image Classification Models and Saliency Maps", ICLR 2014 workshop, arXiv 1312.6034.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.engine import on_device_of
from expunge.modes import evaluating
from expunge.tasks import ClassificationTask, RegressionTask


@dataclass(frozen=True)
class InputGradientDistance(Audit):
    """Mean distance of input gradients from the retrained model's on the forget set; needs one, and nothing where inputs are
    not real numbers, such as words or nodes of a graph.
    """

    takes = (ClassificationTask, RegressionTask)
    figures: ClassVar[Mapping[str, str]] = {
        "forget_input_gradient_distance": "distance (0 to 2) to the retrained model's input gradients, forget set; ideal: 0"
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if references.gold is None:
            return {}
        ours, theirs = self.gradients(subject), self.gradients(references.gold)
        if ours is None or theirs is None:
            return {}
        return {"forget_input_gradient_distance": Figure(gradient_distance(ours, theirs).mean().item(), 0.0)}

    def gradients(self, subject: Subject) -> Tensor | None:
        """Gradient of each forget example's loss with respect to its input, shape (n, d), on the CPU and kept with the subject;
        None where inputs are not tensors of real numbers.
        """
        if self not in subject.memory:
            subject.memory[self] = _gradients(subject)
        found: Tensor | None = subject.memory[self]
        return found


def gradient_distance(first: Tensor, second: Tensor) -> Tensor:
    """1 - cosine of each pair of gradients, shapes (n, d); 0 where both are 0, 1 where one is.

    >>> gradient_distance(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    distance = 1 - cosine_similarity(first.double(), second.double(), dim=1, eps=1e-300)
    return torch.where((first == 0).all(1) & (second == 0).all(1), 0.0, distance)


def _gradients(subject: Subject) -> Tensor | None:
    task, found = subject.task, list[Tensor]()
    with evaluating(subject.model), torch.backends.cudnn.flags(enabled=False):  # its recurrent layers refuse gradients here
        for batch in subject.batches("forget"):
            if not _is_real(batch):
                return None
            inputs, *rest = on_device_of(subject.model, batch)
            inputs = inputs.detach().clone().requires_grad_(True)
            with torch.enable_grad():
                total = task.losses(task.outputs(subject.model, (inputs, *rest)), (inputs, *rest)).sum()
            (gradient,) = torch.autograd.grad(total, inputs)
            found.append(gradient.flatten(1).cpu())
    return torch.cat(found) if found else None


def _is_real(batch: Any) -> bool:
    """Whether a batch is one tensor of real numbers beside its targets."""
    return isinstance(batch, tuple | list) and isinstance(batch[0], Tensor) and batch[0].is_floating_point()

"""A multilayer perceptron: the plainest network there is, for vectors and small images."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from expunge.models.checks import check_count, check_outputs, check_shape


class MLP(nn.Module):
    """Fully connected layers with ReLU between them.

    Args:
        input_shape: shape of one input; more than one dimension is flattened.
        outputs: how many numbers are predicted for each input, such as the number of classes.
        hidden: width of each hidden layer; none for a linear model.

    Shapes: inputs (n, *input_shape) -> outputs (n, outputs). Features, the input of `head`: (n, hidden[-1]).

    >>> import torch
    >>> MLP((1, 8, 8), 10)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, hidden: Sequence[int] = (128,)) -> None:
        super().__init__()
        shape = check_shape(type(self).__name__, input_shape)
        widths = [math.prod(shape), *(check_count("hidden", width) for width in _as_tuple(hidden))]
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], check_outputs(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs


def _as_tuple(hidden: Sequence[int] | int) -> tuple[int, ...]:
    return (hidden,) if isinstance(hidden, int) else tuple(hidden)

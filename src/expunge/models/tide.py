"""TiDE: forecasts the next hours of a series from the last ones, with dense layers only.

    c = x, but x - x_last in the first channel      the lookback, flattened; x_last is the last hour of the first channel
    h = c
    h <- LayerNorm(dropout(W2 ReLU(W1 h)) + W3 h)   as often as there are blocks
    y = x_last + W4 h + W5 c                        W4 is `head`, W5 a linear model of the lookback beside the network

The first channel is the series to forecast, in the units of the targets. W4 and W5 start at zero, so an untrained network
repeats the last hour for every output: training starts from that naive forecast, not from noise.

Why no transformer: on the common benchmarks of long-term forecasting a linear model of the lookback was better than
the transformers of its time (A. Zeng, M. Chen, L. Zhang, Q. Xu. "Are Transformers Effective for Time Series Forecasting?",
AAAI 2023, arXiv 2205.13504), and TiDE, which holds that linear model in W5, is as good as or better than the later ones at
a fifth to a tenth of their training time. A study that trains a dozen models for each request needs that.

Reference: A. Das, W. Kong, A. Leach, S. Mathur, R. Sen, R. Yu. "Long-term Forecasting with TiDE: Time-series Dense
Encoder", TMLR 2023, arXiv 2304.08424. Simplified: other series (covariates) are read over the lookback alone, as channels
after the first, so the projection of features and the temporal decoder, which serve them, are left out; the dense encoder is
the first block, the dense decoder the last one and `head`. The last hour is taken off and added again as Zeng et al. do in
NLinear: series drift, and a network that saw one level only would go astray at another. The other channels stay as they are:
what the calendar says lies in its level.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.models.checks import check_count, check_dropout, check_outputs, check_shape


class TiDE(nn.Module):
    """A time-series dense encoder.

    Args:
        input_shape: (hours, channels) of one lookback; channel 0 is the series to forecast, the order of the others is free.
        outputs: horizon, or horizon times quantiles; flat.
        hidden: width of every block.
        blocks: number of residual blocks.
        dropout: part of each block's values that is set to zero in training.

    Shapes: inputs (n, hours, channels) -> outputs (n, outputs). Features, the input of `head`: (n, hidden).

    >>> import torch
    >>> TiDE((168, 3), 24)(torch.zeros(2, 168, 3)).shape
    torch.Size([2, 24])
    >>> TiDE((3, 1), 2)(torch.tensor([[[1.0], [2.0], [5.0]]])).tolist()  # untrained
    [[5.0, 5.0]]
    """

    def __init__(
        self, input_shape: Sequence[int], outputs: int, hidden: int = 64, blocks: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.input_shape = _check_series(type(self).__name__, check_shape(type(self).__name__, input_shape))
        lookback, hidden, dropout = math.prod(self.input_shape), check_count("hidden", hidden), check_dropout(dropout)
        widths = [lookback] + [hidden] * (check_count("blocks", blocks) - 1)
        self.body = nn.Sequential(*(_Block(width, hidden, dropout) for width in widths))
        self.skip = nn.Linear(lookback, check_outputs(outputs))
        self.head = nn.Linear(hidden, outputs)
        for parameter in (*self.skip.parameters(), *self.head.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[1:] != self.input_shape:
            raise BadSetting(
                f"{type(self).__name__} was built for inputs of shape {self.input_shape}, not {tuple(inputs.shape[1:])}"
            )
        series, others = inputs[:, :, :1], inputs[:, :, 1:]
        last = series[:, -1:]
        changes = torch.cat([series - last, others], dim=2).flatten(1)
        outputs: Tensor = last.flatten(1) + self.head(self.body(changes)) + self.skip(changes)
        return outputs


class _Block(nn.Module):
    """h <- LayerNorm(dropout(W2 ReLU(W1 h)) + W3 h): (n, before) -> (n, after)."""

    def __init__(self, before: int, after: int, dropout: float) -> None:
        super().__init__()
        self.residual = nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Linear(after, after), nn.Dropout(dropout))
        self.shortcut = nn.Linear(before, after)
        self.normalise = nn.LayerNorm(after)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.normalise(self.residual(inputs) + self.shortcut(inputs))
        return outputs


def _check_series(network: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 2:
        raise BadSetting(f"{network} needs series of shape (hours, channels); the inputs' shape is {shape}")
    return shape

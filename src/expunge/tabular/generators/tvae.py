"""TVAE: a variational autoencoder of rows, with modes for numbers and a learned spread for each of them.

    z ~ N(0, 1),     a_i ~ N(tanh(u_i), delta_i),     b_i ~ softmax(v_i),     d_j ~ softmax(w_j),     (u, v, w) = decoder(z)
    L = 2 * [sum_i (a_i - tanh u_i)^2 / (2 delta_i^2) + ln delta_i  -  sum ln p(b_i)  -  sum ln p(d_j)]  +  KL(q(z) || N(0, 1))

a_i is the place of a number in its mode b_i, d_j a category. Rows are drawn from just this model: also the classes are drawn,
where taking the likeliest would lose what is rare.

Reference: L. Xu, M. Skoularidou, A. Cuesta-Infante, K. Veeramachaneni. "Modeling Tabular Data using Conditional GAN",
NeurIPS 2019, arXiv 1907.00503.
Needs: a table. Costs: `epochs` passes over it by a network of two hidden layers on either side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.split import Batches, Epochs, Stream
from expunge.tabular.coded import Coded
from expunge.tabular.generators.columns import Modes
from expunge.tabular.generators.encoding import Encoding, Layout, Numbers, draw_classes
from expunge.tabular.generators.network_generator import Learner, NetworkGenerator

_SPREADS = (0.01, 1.0)  # of a place in a mode, which is between -1 and 1
_FIRST_SPREAD = 0.1
_LEAST_LOG_VARIANCE = -16.0


@dataclass
class TVAE(NetworkGenerator):
    """See the module.

    Args:
        epochs: passes over the table.
        batch_size: rows in a step.
        latent: size of z.
        hidden: widths of the hidden layers of encoder and decoder.
        learning_rate: of Adam.
        weight_decay: of Adam.
        loss_factor: weight of the reconstruction beside the Kullback-Leibler divergence.
    """

    encodes: ClassVar[Numbers] = "modes"
    latent: int = 128
    hidden: tuple[int, ...] = (128, 128)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    loss_factor: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)

    def _learner(self) -> Learner:
        return Autoencoder(self.encoding, self.latent, self.hidden, self.loss_factor)

    def _stream(self, real: Coded, generator: np.random.Generator) -> Stream | Epochs:
        return Batches(TensorDataset(*self.encoding.encode_modes(real, generator)), self.batch_size)

    def _optimizer(self, learner: Any) -> Callable[[Any], torch.optim.Optimizer]:
        return Optimizer("adam", self.learning_rate, self.weight_decay)

    def _new_sampler(self) -> nn.Module:
        return Decoder(self.encoding.layout, self.latent, self.hidden)

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        decoder: Any = self.sampler
        codes = torch.randn(n, self.latent, generator=generator, device=self._device)
        means, logits = decoder(codes)
        noise = torch.randn(means.shape, generator=generator, device=self._device)
        return (means + noise * decoder.spreads).clamp(-1, 1), draw_classes(n, logits, generator)


class Decoder(nn.Module):
    """Codes (n, latent) -> means of places (n, s), and logits of each block (n, K)."""

    def __init__(self, layout: Layout, latent: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.layout = layout
        self.network = MLP((latent,), layout.width, hidden)
        self.log_spreads = nn.Parameter(torch.full((layout.scalars,), _FIRST_SPREAD).log())

    @property
    def spreads(self) -> Tensor:
        """Standard deviation of each place, shape (s,)."""
        return self.log_spreads.exp().clamp(*_SPREADS)

    def forward(self, codes: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        scalars, blocks = self.layout.split(self.network(codes))
        return scalars.tanh(), blocks


class Autoencoder(Learner):
    """Encoder and decoder; called with places (n, s) and classes (n, blocks) it returns both terms of the loss, each (n,)."""

    def __init__(self, encoding: Encoding, latent: int, hidden: tuple[int, ...], loss_factor: float) -> None:
        super().__init__()
        self.layout, self.loss_factor = encoding.layout, loss_factor
        self.encoder = MLP((self.layout.width,), 2 * latent, hidden)
        self.sampler = Decoder(self.layout, latent, hidden[::-1])
        self.categories = len(encoding.categories)
        self.spikes = tuple(len(each.spikes) for each in encoding.numbers if isinstance(each, Modes))

    def forward(self, places: Tensor, classes: Tensor) -> dict[str, Tensor]:
        decoder: Any = self.sampler
        mean, log_variance = self.encoder(torch.cat([places, self.layout.one_hot(classes)], dim=1)).chunk(2, dim=1)
        log_variance = log_variance.clamp(min=_LEAST_LOG_VARIANCE)
        means, logits = decoder(mean + torch.randn_like(mean) * (log_variance / 2).exp())
        smooth = classes[:, self.categories :] >= torch.tensor(self.spikes, device=classes.device)
        lost = reconstruction(places, smooth, means, decoder.spreads, logits, classes)
        return {"reconstruction": self.loss_factor * lost, "divergence": divergence(mean, log_variance)}


def reconstruction(
    places: Tensor, smooth: Tensor, means: Tensor, spreads: Tensor, logits: tuple[Tensor, ...], classes: Tensor
) -> Tensor:
    """How improbable rows are to the decoder, but for a constant, shape (n,).

    Args:
        places: shape (n, s).
        smooth: which of them say something: those of a value that is a mode of its own don't; shape (n, s).
        means: shape (n, s).
        spreads: shape (s,).
        logits: of each block, shape (n, K).
        classes: shape (n, blocks).
    """
    far = ((places - means) / spreads) ** 2 / 2 + spreads.log()
    wrong = [F.cross_entropy(block, classes[:, place], reduction="none") for place, block in enumerate(logits)]
    return (far * smooth).sum(dim=1) + (torch.stack(wrong, dim=1).sum(dim=1) if wrong else 0.0)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) of codes, shape (n, latent) -> (n,)."""
    return (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2

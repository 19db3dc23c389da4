"""CTGAN: a conditional Wasserstein GAN of rows, with modes for numbers and even chances for rare categories.

    condition:  a category D_i = k, with i uniform and p(k) ~ ln(1 + count of k); real rows are drawn among those that have it
    row:        a_i = tanh(u_i) and b_i ~ gumbel(v_i) for each number, d_j ~ gumbel(w_j) for each category, temperature 0.2
    critic:     E[C(fake, m)] - E[C(real, m)] + 10 E[(||grad C|| - 1)^2],     C sees packs of 10 rows with their conditions m
    generator:  -E[C(fake, m)] - E[ln softmax(w_i)_k] + moments * MMD^2(real, fake)

Rows are drawn with p(k) as it is in the table, so that the even chances of training don't show, by the mean of the generator's
weights over steps. That mean and the last term, which compares means of columns and of products of two (see
:func:`expunge.tabular.generators.adversarial.moments_apart`), are not the paper's: without them frequencies and correlations
come out only roughly. `memory=0, moments=0, learning_rate=2e-4, dropout=0.5` is what the paper has.

Reference: L. Xu, M. Skoularidou, A. Cuesta-Infante, K. Veeramachaneni. "Modeling Tabular Data using Conditional GAN",
NeurIPS 2019, arXiv 1907.00503.
Needs: a table; without categories there are no conditions. Costs: `epochs` passes over it, each with a step of the critic and
one of the generator for every `batch_size` rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.split import Epochs, Stream
from expunge.tabular.coded import Coded
from expunge.tabular.generators.adversarial import (
    Averaged,
    Critic,
    Residual,
    Turns,
    TwoAdams,
    critic_terms,
    generator_terms,
    soft_classes,
)
from expunge.tabular.generators.columns import Classes, Modes
from expunge.tabular.generators.encoding import Encoding, Layout, Numbers, draw_classes
from expunge.tabular.generators.generator import Conditions
from expunge.tabular.generators.network_generator import Learner, NetworkGenerator


@dataclass
class CTGAN(NetworkGenerator):
    """See the module.

    Args:
        epochs: passes over the table.
        batch_size: rows in a step; a multiple of `pack`.
        latent: size of the noise.
        hidden: widths of the hidden layers of generator and critic.
        learning_rate: of both Adams.
        weight_decay: of the generator's Adam.
        critic_steps: of the critic before each of the generator.
        pack: rows that the critic scores together.
        dropout: share of the critic's hidden units that are left out in each step.
        penalty: weight of the gradient penalty.
        temperature: of the Gumbel softmax.
        memory: share of the mean of the generator's weights that each of its steps keeps.
        moments: weight of the difference between means and products of columns.
    """

    encodes: ClassVar[Numbers] = "modes"
    latent: int = 128
    hidden: tuple[int, ...] = (256, 256)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    critic_steps: int = 1
    pack: int = 10
    dropout: float = 0.0
    penalty: float = 10.0
    temperature: float = 0.2
    memory: float = 0.999
    moments: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hidden = tuple(self.hidden)
        if self.pack < 1 or self.batch_size % self.pack:
            raise BadSetting(f"batch_size must be a multiple of pack, not {self.batch_size} with a pack of {self.pack}")
        if self.batch_size < 2:
            raise BadSetting("ctgan: batch_size must be at least 2: one row has no spread to normalise by")

    def _learner(self) -> Learner:
        return Adversaries(replace(self), self.encoding)

    def _stream(self, real: Coded, generator: np.random.Generator) -> Stream | Epochs:
        draws = EvenDraws(*self.encoding.encode_modes(real, generator), self.encoding.categories)
        return Turns(draws, max(1, len(real) // self.batch_size), self.critic_steps, self.batch_size)

    def _optimizer(self, learner: Any) -> Callable[[Any], torch.optim.Optimizer]:
        count = len(list(learner.generator.parameters()))
        return TwoAdams(count, self.learning_rate, self.learning_rate, (0.5, 0.9), self.weight_decay)

    def _new_sampler(self) -> nn.Module:
        return RowGenerator(self.encoding, self.latent, self.hidden)

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self._draw_given(n, generator, {})

    def _candidates(self, n: int, generator: np.random.Generator, conditions: Conditions) -> Coded:
        wanted = {}
        for place, codes in conditions.codes.items():
            classes = np.unique(self.encoding.categories[place].encode(np.array(codes)))
            if classes.max() >= 0:  # else no row of the table has them: nothing to steer by
                wanted[place] = classes[classes >= 0]
        return self._drawn(n, generator, lambda count, source: self._draw_given(count, source, wanted))

    def _draw_given(self, n: int, generator: torch.Generator, wanted: dict[int, Any]) -> tuple[Tensor, Tensor]:
        """Rows of which the condition names the rarest thing that is wanted, or any category if nothing is."""
        network: Any = self.sampler
        column, category = self._drawn_conditions(n, generator, wanted)
        noise = torch.randn(n, self.latent, generator=generator, device=self._device)
        places, logits = network(noise, network.conditions(column, category))
        classes = draw_classes(n, logits, generator)
        if len(self.encoding.categories):
            classes.scatter_(1, column[:, None], category[:, None])
        return places, classes

    def _drawn_conditions(self, n: int, generator: torch.Generator, wanted: dict[int, Any]) -> tuple[Tensor, Tensor]:
        """Columns and classes of the conditions, both (n,), by the table's frequencies."""
        columns = self.encoding.categories
        if not columns:
            return torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
        weights = [each.frequencies.astype(np.float64) for each in columns]
        for place, classes in wanted.items():
            weights[place][np.setdiff1d(np.arange(columns[place].size), classes)] = 0
        among = [min(wanted, key=lambda place: weights[place].sum() / columns[place].counts.sum())] if wanted else []
        return draw_conditions(n, among or list(range(len(columns))), weights, generator)


class RowGenerator(nn.Module):
    """Noise (n, latent) and conditions (n, c) -> places (n, s), and logits of each block (n, K)."""

    def __init__(self, encoding: Encoding, latent: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.layout = encoding.layout
        self.conditioned = Layout(0, tuple(each.size for each in encoding.categories))
        layers: list[nn.Module] = []
        before = latent + self.conditioned.width
        for width in hidden:
            layers.append(Residual(before, width))
            before += width
        self.layers = nn.Sequential(*layers, nn.Linear(before, self.layout.width))

    def conditions(self, column: Tensor, category: Tensor) -> Tensor:
        """The conditional vectors, shape (n, c), of columns and classes (n,)."""
        found = torch.zeros(len(column), self.conditioned.width, device=column.device)
        if self.conditioned.sizes:
            found.scatter_(1, (self.conditioned.starts(column.device)[column] + category)[:, None], 1.0)
        return found

    def forward(self, noise: Tensor, conditions: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        joined = torch.cat([noise, conditions], dim=1) if self.conditioned.sizes else noise
        scalars, blocks = self.layout.split(self.layers(joined))
        return scalars.tanh(), blocks


class Adversaries(Averaged):
    """Generator and critic; called with whose turn it is, places, classes and conditions it returns the terms of the loss."""

    def __init__(self, settings: CTGAN, encoding: Encoding) -> None:
        super().__init__(RowGenerator(encoding, settings.latent, settings.hidden), settings.memory)
        self.settings = settings
        self.layout, self.categories = encoding.layout, len(encoding.categories)
        width = self.layout.width + sum(each.size for each in encoding.categories)
        self.critic = Critic(width, settings.hidden, settings.pack, settings.dropout)
        self.spikes = tuple(len(each.spikes) for each in encoding.numbers if isinstance(each, Modes))

    def forward(self, turn: Tensor, places: Tensor, classes: Tensor, column: Tensor, category: Tensor) -> dict[str, Tensor]:
        generator: Any = self.generator
        conditions = generator.conditions(column, category)
        noise = torch.randn(len(places), self.settings.latent, device=places.device)
        with torch.set_grad_enabled(bool(turn)):
            made, logits = generator(noise, conditions)
            fake = torch.cat([self.rows(made, soft_classes(logits, self.settings.temperature)), conditions], dim=1)
        real = torch.cat([places, self.layout.one_hot(classes), conditions], dim=1)
        if turn:
            self.average()
            terms = generator_terms(self.critic, real, fake, self.settings.moments)
            return terms | ({"condition": condition_loss(logits, column, category)} if self.categories else {})
        return critic_terms(self.critic, real, fake, self.settings.penalty, self.settings.pack)

    def rows(self, places: Tensor, blocks: tuple[Tensor, ...]) -> Tensor:
        """Rows as the critic sees them, shape (n, d): a place counts as far as its mode is none of one value alone."""
        modes = blocks[self.categories :]
        smooth = [block[:, spikes:].sum(dim=1) for block, spikes in zip(modes, self.spikes, strict=True)]
        return torch.cat([places * torch.stack(smooth, dim=1) if smooth else places, *blocks], dim=1)


class EvenDraws:
    """Training by sampling: conditions that give rare categories a chance, and real rows that satisfy them.

    Args:
        places: of all rows, shape (n, s).
        classes: of all rows, shape (n, blocks), those of the categories first.
        categories: how these are encoded.
    """

    def __init__(self, places: Tensor, classes: Tensor, categories: tuple[Classes, ...]) -> None:
        self.parts = places, classes
        self.weights = [np.log1p(each.frequencies) for each in categories]
        self.orders = classes[:, : len(categories)].argsort(dim=0, stable=True)
        counts = [torch.from_numpy(each.frequencies) for each in categories]
        self.counts = _padded(counts)
        self.starts = _padded([each.cumsum(0) - each for each in counts])

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Places, classes, and the columns and classes of the conditions, (n,) both."""
        places, classes = self.parts
        if not self.weights:
            rows = torch.randint(len(places), (count,), generator=generator)
            return places[rows], classes[rows], rows, rows
        column, category = draw_conditions(count, list(range(len(self.weights))), self.weights, generator)
        share = torch.rand(count, generator=generator, dtype=torch.float64)
        within = self.starts[column, category] + (share * self.counts[column, category]).long()
        rows = self.orders[within, column]
        return places[rows], classes[rows], column, category


def draw_conditions(n: int, among: list[int], weights: list[Any], generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Columns, uniform in `among`, and classes, by the weights of each column; both (n,)."""
    device = generator.device
    column = torch.tensor(among, device=device)[torch.randint(len(among), (n,), generator=generator, device=device)]
    shares = _padded([torch.from_numpy(each / each.sum()) for each in weights]).to(device).cumsum(dim=1)
    at = torch.rand(n, generator=generator, device=device, dtype=torch.float64) * shares[:, -1][column]
    return column, torch.searchsorted(shares[column], at[:, None], right=True).squeeze(1)


def condition_loss(logits: tuple[Tensor, ...], column: Tensor, category: Tensor) -> Tensor:
    """Cross-entropy between the logits of the columns that conditions name and what they want, a scalar."""
    total = torch.zeros((), device=column.device)
    for place, block in enumerate(logits):
        named = column == place
        if named.any():
            total = total + F.cross_entropy(block[named], category[named], reduction="sum")
    return total / len(column)


def _padded(columns: list[Tensor]) -> Tensor:
    """Vectors of different lengths as rows, with zeros behind them."""
    return nn.utils.rnn.pad_sequence(columns, batch_first=True) if columns else torch.empty(0, 0)

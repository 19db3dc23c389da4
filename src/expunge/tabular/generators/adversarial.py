"""What both adversarial generators share: turns of critic and generator, the gradient penalty, and their layers.

    critic:     E[C(fake)] - E[C(real)] + lambda * E[(||grad C(x)|| - 1)^2],     x = e * real + (1 - e) * fake,   e ~ U(0, 1)
    generator:  -E[C(fake)] + moments * MMD^2(real, fake)

References: I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville. "Improved Training of Wasserstein GANs",
NeurIPS 2017, arXiv 1704.00028. Packs: Z. Lin, A. Khetan, G. Fanti, S. Oh. "PacGAN", NeurIPS 2018, arXiv 1712.04086.
The mean of weights: Y. Yazici et al. "The Unusual Effectiveness of Averaging in GAN Training", ICLR 2019, arXiv 1806.04498.
Moments: Y. Li, K. Swersky, R. Zemel. "Generative Moment Matching Networks", ICML 2015, arXiv 1502.02761.
"""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.split import stream_digest
from expunge.tabular.generators.network_generator import Learner

Score = Callable[[Tensor], Tensor]


class Draws(Protocol):
    """What draws one batch of real rows."""

    def __call__(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]: ...

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All that it draws from."""
        ...


@dataclass(frozen=True)
class Turns:
    """A stream in which the critic learns some steps, then the generator one.

    A batch holds whose turn it is (a scalar, true for the generator), and what `draws` gives.

    Args:
        draws: rows at random, with replacement.
        rounds: times that the generator learns in an epoch.
        critic_steps: times that the critic learns before each.
        batch_size: rows in a batch.
    """

    draws: Draws
    rounds: int
    critic_steps: int
    batch_size: int

    def __len__(self) -> int:
        return self.rounds * (self.critic_steps + 1)

    @property
    def digest(self) -> str:
        """Equal digests, equal batches."""
        parts = (*map(stream_digest, self.draws.parts), self.rounds, self.critic_steps, self.batch_size)
        return hashlib.blake2b(repr(parts).encode()).hexdigest()[:32]

    def epoch(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """One pass, with rows drawn from `generator`."""
        for step in range(len(self)):
            turn = torch.tensor(step % (self.critic_steps + 1) == self.critic_steps)
            yield turn, *self.draws(self.batch_size, generator)


@dataclass(frozen=True)
class TwoAdams:
    """Builds Adam with settings of their own for the generator, whose parameters come first, and the critic.

    Whoever's turn it isn't has no gradient, and Adam passes it over.
    """

    generator_parameters: int
    generator_rate: float
    critic_rate: float
    betas: tuple[float, float]
    generator_decay: float = 0.0

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        found = [each for each in parameters if each.requires_grad]
        count = self.generator_parameters
        groups = [
            {"params": found[:count], "lr": self.generator_rate, "weight_decay": self.generator_decay},
            {"params": found[count:], "lr": self.critic_rate},
        ]
        return torch.optim.Adam(groups, betas=self.betas)


class Residual(nn.Module):
    """x -> relu(norm(linear(x))) beside x: shape (n, d) -> (n, width + d)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, width), nn.BatchNorm1d(width)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([self.norm(self.linear(inputs)).relu(), inputs], dim=1)


class Critic(nn.Module):
    """Packs of rows, shape (n, d) with n a multiple of `pack` -> scores (n / pack,)."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], pack: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.pack = pack
        layers: list[nn.Module] = []
        before = inputs * pack
        for width in hidden:
            layers += [nn.Linear(before, width), nn.LeakyReLU(0.2), *[nn.Dropout(dropout)] * (dropout > 0)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Linear(before, 1))

    def forward(self, rows: Tensor) -> Tensor:
        scores: Tensor = self.layers(rows.reshape(-1, self.pack * rows.shape[1])).squeeze(1)
        return scores


class Averaged(Learner):
    """A generator that learns, and the mean of its weights over steps, which rows are sampled with.

    Args:
        generator: what learns.
        memory: share of the mean that each step of the generator keeps; less in the first steps, so that they are forgotten.
    """

    def __init__(self, generator: nn.Module, memory: float) -> None:
        super().__init__()
        self.generator, self.sampler, self.memory = generator, copy.deepcopy(generator).requires_grad_(False), memory
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def average(self) -> None:
        """Take the generator's weights into the mean."""
        steps: Any = self.steps
        share = min(self.memory, float(1 + steps) / float(10 + steps))
        steps += 1
        for mean, now in zip(self.sampler.state_dict().values(), self.generator.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - share)


def moments_apart(real: Tensor, fake: Tensor) -> Tensor:
    """Squared distance between means, and between all products of two columns, of both: an unbiased estimate, a scalar.

    It is the squared maximum mean discrepancy of the kernel k(x, y) = x.y + (x.y)^2, whose diagonals are left out.

    Args:
        real: shape (n, d).
        fake: shape (n, d).
    """
    total = torch.zeros((), device=real.device)
    for first, second, sign in ((real, real, 1.0), (fake, fake, 1.0), (real, fake, -2.0)):
        products = first @ second.T
        kernel = products + products**2
        total = total + sign * (kernel.sum() - kernel.diagonal().sum())
    return total / (len(real) * (len(real) - 1))


def critic_terms(critic: Score, real: Tensor, fake: Tensor, weight: float, pack: int = 1) -> dict[str, Tensor]:
    """The critic's terms of the loss, all scalars; `real` and `fake` of shape (n, d)."""
    return {
        "critic": critic(fake).mean() - critic(real).mean(),
        "penalty": weight * gradient_penalty(critic, real, fake, pack),
    }


def generator_terms(critic: nn.Module, real: Tensor, fake: Tensor, moments: float) -> dict[str, Tensor]:
    """The generator's terms of the loss, all scalars; `real` and `fake` of shape (n, d)."""
    terms = {"generator": -frozen_score(critic)(fake).mean()}
    return {**terms, "moments": moments * moments_apart(real, fake)} if moments else terms


def gradient_penalty(critic: Score, real: Tensor, fake: Tensor, pack: int = 1) -> Tensor:
    """How far the critic's gradient between real and fake rows is from length 1, a scalar.

    Args:
        critic: rows (n, d) -> scores (n / pack,).
        real: shape (n, d).
        fake: shape (n, d).
        pack: rows that are scored together; they share one point between, and one gradient.
    """
    share = torch.rand(len(real) // pack, 1, device=real.device).repeat_interleave(pack, dim=0)
    between = (share * real + (1 - share) * fake.detach()).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((gradient.reshape(-1, pack * real.shape[1]).norm(dim=1) - 1) ** 2).mean()


def frozen_score(critic: nn.Module) -> Score:
    """The critic as a function whose weights don't learn."""
    fixed = {name: parameter.detach() for name, parameter in critic.named_parameters()}
    return lambda rows: torch.func.functional_call(critic, fixed, (rows,))


def soft_classes(logits: tuple[Tensor, ...], temperature: float) -> tuple[Tensor, ...]:
    """Gumbel softmax of each block: nearly one-hot draws that gradients pass through, shape (n, K) each."""
    if not logits:
        return ()
    joined = torch.cat(logits, dim=1)
    noisy = (joined - torch.empty_like(joined).exponential_().log()) / temperature
    return tuple(F.softmax(block, dim=1) for block in noisy.split([each.shape[1] for each in logits], dim=1))

"""Influence: how far a minimum moves when its loss changes a little, from products with the Hessian, which is never made.

    H v = grad < grad L, v >,        x = (H + lambda I)^-1 b   by conjugate gradients

Vectors are lists of tensors, one for each part of the weights.

Reference: P. W. Koh, P. Liang. "Understanding Black-box Predictions via Influence Functions", ICML 2017, arXiv 1703.04730.
"""

from collections.abc import Callable, Sequence

import scipy.linalg
import torch
from torch import Tensor, nn

Vector = list[Tensor]
Product = Callable[[Vector], Vector]

_POWER_STEPS = 20


def hessian(gradient: Vector, parameters: Sequence[nn.Parameter]) -> Product:
    """The product of the Hessian with a vector, by a second backward pass through a gradient."""

    def product(vector: Vector) -> Vector:
        found = torch.autograd.grad(gradient, parameters, vector, retain_graph=True, allow_unused=True, materialize_grads=True)
        return list(found)

    return product


def largest(product: Product, like: Sequence[Tensor], generator: torch.Generator) -> float:
    """The largest eigenvalue, in size, by power iteration: never above the true one."""
    vector = [torch.randn(part.shape, generator=generator).to(part.device, part.dtype) for part in like]
    value = 0.0
    for _ in range(_POWER_STEPS):
        length = norm(vector)
        if not length:
            break
        vector = product([part / length for part in vector])
        value = norm(vector)
    return value or 1.0


def ends(product: Product, like: Sequence[Tensor], generator: torch.Generator, steps: int = 40) -> tuple[float, float]:
    """The lowest and the highest eigenvalue, by the Lanczos method; both a little inside the true ones.

    >>> matrix = torch.diag(torch.tensor([-1.0, 2.0, 7.0]))
    >>> low, high = ends(lambda vector: [matrix @ vector[0]], [torch.zeros(3)], torch.Generator().manual_seed(0))
    >>> round(low, 3), round(high, 3)
    (-1.0, 7.0)
    """
    vector = [torch.randn(part.shape, generator=generator).to(part.device, part.dtype) for part in like]
    basis, diagonal, beside = list[Vector](), list[float](), list[float]()
    length = norm(vector)
    for _ in range(min(steps, sum(part.numel() for part in like))):
        basis.append([part / length for part in vector])
        vector = product(basis[-1])
        diagonal.append(dot(vector, basis[-1]))
        for _ in range(2):  # twice is enough for rounding
            for earlier in basis:
                share = dot(vector, earlier)
                vector = [part - share * other for part, other in zip(vector, earlier, strict=True)]
        length = norm(vector)
        beside.append(length)
        if not length > 1e-6 * max(map(abs, diagonal)):
            break
    values = scipy.linalg.eigvalsh_tridiagonal(diagonal, beside[:-1])
    return float(values[0]), float(values[-1])


def conjugate_gradients(
    product: Product, target: Vector, damping: float = 0.0, iterations: int = 100, tolerance: float = 1e-4
) -> Vector:
    """x with (H + damping I) x = target, where that matrix has no eigenvalue below 0.

    It ends after so many iterations, when what is left is `tolerance` times as long as the target, or in a direction that
    bends downwards.

    >>> matrix = torch.tensor([[4.0, 1.0], [1.0, 3.0]])
    >>> conjugate_gradients(lambda vector: [matrix @ vector[0]], [torch.tensor([1.0, 2.0])])[0]
    tensor([0.0909, 0.6364])
    """
    found = [torch.zeros_like(part) for part in target]
    left, way = list(target), list(target)
    squared = start = dot(left, left)
    for _ in range(iterations):
        if squared <= tolerance**2 * start:
            break
        bent = [curve + damping * part for curve, part in zip(product(way), way, strict=True)]
        curvature = dot(way, bent)
        if not curvature > 0:
            break
        length = squared / curvature
        found = [part + length * step for part, step in zip(found, way, strict=True)]
        left = [part - length * step for part, step in zip(left, bent, strict=True)]
        before, squared = squared, dot(left, left)
        way = [part + squared / before * step for part, step in zip(left, way, strict=True)]
    return found


def dot(first: Vector, second: Vector) -> float:
    """The inner product."""
    return float(sum((a.double() * b.double()).sum() for a, b in zip(first, second, strict=True)))


def norm(vector: Vector) -> float:
    """The length."""
    return float(torch.stack([part.double().square().sum() for part in vector]).sum().sqrt())

"""Zero-cost search: rank random genotypes by what an untrained network says of itself, and keep the first.

    synflow:  sum_theta |theta| dR / d|theta|,  R = sum of the outputs for an input of ones, of |theta| and without norms
    naswot:   log |det K|,  K_ij = how many ReLUs of the network are on or off alike for images i and j of a batch

References: H. Tanaka, D. Kunin, D. L. K. Yamins, S. Ganguli. "Pruning Neural Networks without Any Data by Iteratively
Conserving Synaptic Flow", NeurIPS 2020, arXiv 2006.05467; J. Mellor, J. Turner, A. Storkey, E. J. Crowley. "Neural
Architecture Search without Training", ICML 2021, arXiv 2006.04647; both as proxies: M. S. Abdelfattah, A. Mehrotra, L.
Dudziak, N. D. Lane. "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, arXiv 2101.08134.
Costs: a pass forward, and with synflow backward, for each of `candidates` networks. Nothing is trained. Both prefer large
networks.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from expunge.engine import Engine, on_device_of
from expunge.errors import BadSetting
from expunge.search.cell_space import CellSpace
from expunge.search.halves import Halves
from expunge.search.method import Outcome, SearchMethod
from expunge.split import one_epoch


@dataclass(frozen=True)
class ZeroCost(SearchMethod):
    """See the module.

    Args:
        candidates: genotypes that are drawn.
        score: what they are ranked by.
    """

    candidates: int = 100
    score: Literal["synflow", "naswot"] = "naswot"

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.score not in ("synflow", "naswot"):
            raise BadSetting(
                f"candidates must be at least 1, score synflow or naswot, not {self.candidates} and {self.score!r}"
            )

    def find(self, space: CellSpace, halves: Halves, engine: Engine) -> Outcome:
        generator = engine.generator("genotypes")
        batch = next(one_epoch(halves.weights, engine.generator("batch")))
        scores = []
        for place in range(self.candidates):
            genotype = space.random(generator)
            network = engine.new_model(lambda genotype=genotype: space.build(genotype), f"init-{place}")  # type: ignore[misc]
            inputs = on_device_of(network, batch)[0]
            scores.append((genotype, synflow(network, inputs[:1]) if self.score == "synflow" else naswot(network, inputs)))
        scores.sort(key=lambda scored: -scored[1])
        return Outcome(scores[0][0], scores=tuple(scores))


def synflow(network: nn.Module, inputs: Tensor) -> float:
    """ln of the synaptic flow of an untrained network; minus infinity where nothing flows. The network stays as it is.

    Args:
        network: is run in double precision, without its batch normalisations.
        inputs: give the shape alone, (n, c, h, w).
    """
    copied = _without_norms(copy.deepcopy(network)).double().eval()
    with torch.no_grad():
        for each in copied.parameters():
            each.abs_()
    weights = [each for each in copied.parameters() if each.requires_grad]
    flow = copied(torch.ones(1, *inputs.shape[1:], dtype=torch.float64, device=inputs.device)).sum()
    found = torch.autograd.grad(flow, weights, allow_unused=True)
    total = sum(float((weight * grad).detach().sum()) for weight, grad in zip(weights, found, strict=True) if grad is not None)
    return math.log(total) if total > 0 else -math.inf


def naswot(network: nn.Module, inputs: Tensor) -> float:
    """ln |det K| of an untrained network for a batch (n, c, h, w); minus infinity where two images look alike to it."""
    kernel = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)

    def count(layer: nn.Module, arguments: Any, outputs: Tensor) -> None:
        on = (outputs.flatten(1) > 0).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    with torch.no_grad():
        _hooked(network, count)(inputs)
    sign, value = torch.linalg.slogdet(kernel)
    return float(value) if sign != 0 else -math.inf


def _hooked(network: nn.Module, hook: Callable[..., None]) -> nn.Module:
    """A copy that calls `hook` after each ReLU, with norms that take the statistics of the batch."""
    copied = copy.deepcopy(network).train()
    for module in copied.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(hook)
    return copied


def _without_norms(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, nn.Identity() if isinstance(child, nn.BatchNorm2d) else _without_norms(child))
    return module

"""The supernet: a network in which all candidate operations stand on every edge, mixed by architecture weights.

    o(x) = sum_k p_k o_k(x),    p = softmax(alpha),    x_j = sum_{i<j} q_ij o_ij(x_i)

with q_ij = 1, or with edge normalisation q_j = softmax_i(beta_ij). Cells of one kind share their alpha (E, m) and beta (E,).

Partial channels: only the first c / K channels of x go through the operations; the others pass by (through a 2x2 max pool at
stride 2), and channels are shuffled, so that the next node puts others first:

    o(x) = shuffle([sum_k p_k o_k(x[:c/K]), x[c/K:]])

Sampled: p is a one-hot vector h, drawn with Gumbel noise G and temperature tau, and only the operation that was drawn is run:

    p = h + p~ - stop(p~),    p~ = softmax((log softmax(alpha) + G) / tau),    h = one_hot(argmax p~)

References: H. Liu, K. Simonyan, Y. Yang. "DARTS: Differentiable Architecture Search", ICLR 2019, arXiv 1806.09055, equation 2.
Y. Xu, L. Xie, X. Zhang, X. Chen, G.-J. Qi, Q. Tian, H. Xiong. "PC-DARTS", ICLR 2020, arXiv 1907.05737, equations 2 and 4;
like the authors' program it takes the first channels and shuffles, in place of a random mask. X. Dong, Y. Yang. "Searching
for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, arXiv 1910.04465, equations 3 and 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.search.genotype import KINDS
from expunge.search.network import Inputs, Place, stem_of
from expunge.search.operations import NONE, operation

_SPREAD = 1e-3  # standard deviation of alpha and beta at the start, as in the authors' programs


@dataclass(frozen=True)
class Mixture:
    """How the edges of one kind of cell are mixed.

    Args:
        weights: p, shape (E, m).
        edges: q, shape (E,); None for 1.
        drawn: the one operation that each edge runs; None for all.
    """

    weights: Tensor
    edges: Tensor | None = None
    drawn: Sequence[int] | None = None


class MixedOperation(nn.Module):
    """All candidates on one edge. Shapes: (n, c, h, w) and p (m,) -> (n, c, h / stride, w / stride), rounded up.

    Args:
        names: of the candidates.
        channels: c.
        stride: 1 or 2.
        partial: K; 1 sends all channels through the operations.
    """

    def __init__(self, names: Sequence[str], channels: int, stride: int, partial: int = 1) -> None:
        super().__init__()
        self.partial, self.share, self.stride = partial, channels // partial, stride
        self.operations = nn.ModuleList(operation(name, self.share, stride, affine=False) for name in names)
        self.mixed = tuple(place for place, name in enumerate(names) if name != NONE)

    def forward(self, inputs: Tensor, weights: Tensor, drawn: int | None = None) -> Tensor:
        if self.partial == 1:
            return self._mix(inputs, weights, drawn)
        rest = inputs[:, self.share :]
        if self.stride == 2:
            rest = F.max_pool2d(rest, 2, ceil_mode=True)
        return shuffle(torch.cat([self._mix(inputs[:, : self.share], weights, drawn), rest], dim=1), self.partial)

    def _mix(self, inputs: Tensor, weights: Tensor, drawn: int | None) -> Tensor:
        if drawn is not None:
            chosen: Tensor = weights[drawn] * self.operations[drawn](inputs)
            return chosen
        total: Tensor = sum(weights[place] * self.operations[place](inputs) for place in self.mixed)
        return total


def shuffle(inputs: Tensor, groups: int) -> Tensor:
    """Take channels from each of so many groups in turn: (n, c, h, w) -> (n, c, h, w).

    >>> shuffle(torch.arange(6.0).view(1, 6, 1, 1), 2).flatten().int().tolist()
    [0, 3, 1, 4, 2, 5]
    """
    return inputs.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


class MixedCell(nn.Module):
    """A cell with all its edges. Shapes: as `Inputs` -> (n, nodes * c, h, w), halved by a reduction."""

    def __init__(self, place: Place, names: Sequence[str], nodes: int, partial: int) -> None:
        super().__init__()
        self.kind, self.nodes = place.kind, nodes
        self.inputs = Inputs(place, affine=False)
        self.edges = nn.ModuleList(
            MixedOperation(names, place.channels, place.stride(source), partial)
            for node in range(nodes)
            for source in range(node + 2)
        )

    def forward(self, first: Tensor, second: Tensor, mixture: Mixture) -> Tensor:
        states, edge = self.inputs(first, second), 0
        for _ in range(self.nodes):
            total: Tensor | None = None
            for state in tuple(states):
                drawn = None if mixture.drawn is None else mixture.drawn[edge]
                made = self.edges[edge](state, mixture.weights[edge], drawn)
                made = made if mixture.edges is None else mixture.edges[edge] * made
                total = made if total is None else total + made
                edge += 1
            assert total is not None
            states.append(total)
        return torch.cat(states[2:], dim=1)


class Supernet(nn.Module):
    """All networks of a space at once; see the module. It serves the search alone: how well it classifies says little.

    Shapes: (n, in_channels, h, w) -> (n, classes).

    Attributes:
        architecture: parameters by name: "alpha_normal" and "alpha_reduction", (E, m) each, and with edge normalisation
            "beta_normal" and "beta_reduction", (E,). They come first among all parameters.
        temperature: tau, where operations are sampled.
    """

    def __init__(
        self,
        names: Sequence[str],
        nodes: int,
        places: Sequence[Place],
        in_channels: int,
        classes: int,
        partial: int = 1,
        edge_normalisation: bool = False,
        sampled: bool = False,
        stem_stride: int = 1,
    ) -> None:
        super().__init__()
        edges = sum(2 + node for node in range(nodes))
        self.names, self.nodes, self.sampled, self.temperature = tuple(names), nodes, sampled, 1.0
        self.architecture = nn.ParameterDict(
            {f"alpha_{kind}": nn.Parameter(_SPREAD * torch.randn(edges, len(names))) for kind in KINDS}
        )
        if edge_normalisation:
            for kind in KINDS:
                self.architecture[f"beta_{kind}"] = nn.Parameter(_SPREAD * torch.randn(edges))
        stem = places[0].before[1]
        self.stem = stem_of(in_channels, stem, stem_stride, affine=False)
        self.cells = nn.ModuleList(MixedCell(place, names, nodes, partial) for place in places)
        self.head = nn.Linear(nodes * places[-1].channels, classes)

    def forward(self, inputs: Tensor, architecture: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits; `architecture` stands in for the parameters of its names, such as detached ones."""
        used = dict(self.architecture) if architecture is None else architecture
        mixtures = {kind: self.mixture(used, kind) for kind in KINDS}
        first = second = self.stem(inputs)
        for cell in self.cells:
            first, second = second, cell(first, second, mixtures[str(cell.kind)])
        logits: Tensor = self.head(second.mean(dim=(2, 3)))
        return logits

    def mixture(self, architecture: Mapping[str, Tensor], kind: str) -> Mixture:
        """How edges are mixed now; sampled operations are drawn anew at each call, from torch's generator."""
        alpha, beta = architecture[f"alpha_{kind}"], architecture.get(f"beta_{kind}")
        edges = None if beta is None else over_inputs(beta, self.nodes)
        if not self.sampled:
            return Mixture(alpha.softmax(1), edges)
        weights = straight_through(alpha, self.temperature)
        return Mixture(weights, edges, weights.argmax(1).tolist())

    @torch.no_grad()
    def shares(self, kind: str) -> tuple[Tensor, Tensor | None]:
        """p = softmax(alpha), (E, m), and q, (E,), where edges are normalised."""
        beta = self.architecture.get(f"beta_{kind}")
        edges = None if beta is None else over_inputs(beta, self.nodes)
        return self.architecture[f"alpha_{kind}"].softmax(1), edges


def over_inputs(beta: Tensor, nodes: int) -> Tensor:
    """Softmax over the edges into each node: (E,) -> (E,).

    >>> over_inputs(torch.zeros(5), nodes=2)
    tensor([0.5000, 0.5000, 0.3333, 0.3333, 0.3333])
    """
    return torch.cat([part.softmax(0) for part in beta.split([2 + node for node in range(nodes)])])


def straight_through(alpha: Tensor, temperature: float) -> Tensor:
    """One-hot rows drawn by alpha, (E, m) -> (E, m), with the gradient of the Gumbel softmax."""
    return F.gumbel_softmax(alpha.log_softmax(1), tau=temperature, hard=True)

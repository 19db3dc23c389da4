"""VBPR: matrix factorisation with a second pair of factors for what can be seen (heard, read) of an item.

    y(u, i) = b_i + <g_u, g_i> + <t_u, F x_i> + <h, x_i>,        x_i the item's features, all modalities side by side

Biases of users cancel in a ranking, and are left out. The features stay as they are.

Reference: R. He, J. McAuley. "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback", AAAI 2016, arXiv 1510.01784.
"""

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.interactions import Interactions
from expunge.models.recommender import Recommender, rows


class VBPR(Recommender):
    """See the module.

    Args:
        interactions: see :class:`Recommender`; with features.
        dim: length of g and of t.
        regularisation: see :class:`Recommender`.
    """

    def __init__(self, interactions: Interactions, dim: int = 64, regularisation: float = 1e-4) -> None:
        super().__init__(interactions, dim, regularisation, widths=(2 * dim, dim + 1))
        if not interactions.features:
            raise BadSetting("vbpr reads features of items, and there are none; take bpr-mf")
        self.names = sorted(interactions.features)
        width = sum(interactions.features[name].shape[1] for name in self.names)
        self.factors = nn.Linear(width, dim, bias=False)
        self.appeal = nn.Linear(width, 1, bias=False)

    def propagate(self, interactions: Interactions) -> Tensor:
        """The features side by side, shape (I, d)."""
        if missing := [name for name in self.names if name not in interactions.features]:
            raise BadSetting(
                f"the network reads features '{missing[0]}'; there are {', '.join(interactions.features) or 'none'}"
            )
        joined: Tensor = interactions.kept(
            "features", lambda: torch.cat([interactions.features[name] for name in self.names], 1)
        )
        return joined

    def read(self, state: Tensor, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, None]:
        features, own = rows(state, items), rows(self.item_rows, items)
        bias = own[:, -1:] + self.appeal(features)
        of_users = rows(self.user_rows, users)
        embedded = torch.cat([own[:, :-1], self.factors(features), bias], 1)
        return torch.cat([of_users, of_users.new_ones(len(of_users), 1)], 1), embedded, None

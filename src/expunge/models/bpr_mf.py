"""Matrix factorisation: a row for each user and each item, and their product as the score.

    e_u = E_U[u],        e_i = E_I[i]

Reference: S. Rendle, C. Freudenthaler, Z. Gantner, L. Schmidt-Thieme. "BPR: Bayesian Personalized Ranking from Implicit
Feedback", UAI 2009, arXiv 1205.2618.
"""

from torch import Tensor

from expunge.interactions import Interactions
from expunge.models.recommender import Recommender, rows


class BPRMF(Recommender):
    """See the module; reads no features and no graph. Arguments are those of :class:`Recommender`."""

    def propagate(self, interactions: Interactions) -> None:
        return None

    def read(self, state: None, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, None]:
        return rows(self.user_rows, users), rows(self.item_rows, items), None

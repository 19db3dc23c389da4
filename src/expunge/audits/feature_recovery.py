"""Feature recovery: can features that had to go still be told from the embeddings of their items?

    X_i ~ W e_i + b,      fitted by ridge regression on items that keep their features
    feature_cosine = mean_{i removed, m} cos( W_m e_i + b_m - mu_m , x_{i,m} - mu_m ),      mu_m the fitted items' mean

An item whose picture is gone still has a place among the items that the same people choose, and a retrained model's embedding
tells as much of the picture as that does: its value is the ideal, not 0. More than that is left over; less gives the items
away. Where items went as a whole, their features went with them, and are asked for in the same way. Embeddings are brought to
mean 0 and deviation 1 in each of their numbers.

Reference: A. Hoerl, R. Kennard. "Ridge Regression: Biased Estimation for Nonorthogonal Problems", Technometrics 12 (1970). That
embeddings give away what they were made from as in C. Song, A. Raghunathan. "Information Leakage in Embedding Models", CCS
2020, arXiv 2004.00053.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from torch import Tensor

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.ranking import asked
from expunge.errors import BadSetting
from expunge.interactions import Interactions
from expunge.models.recommender import Recommender
from expunge.modes import evaluating
from expunge.tasks import RecommendationTask
from expunge.tasks.graph import unwrapped

_FEWEST = 2  # items that a regression is fitted on


@dataclass(frozen=True)
class FeatureRecovery(Audit):
    """Cosine between removed features and what a regression tells of them; of this library's recommenders.

    Args:
        alpha: weight of the ridge penalty.
    """

    alpha: float = 1.0

    takes = (RecommendationTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "feature_cosine": "cosine between removed features of items and what can be told of them from the items' embeddings; "
        "ideal: the retrained model's, not 0"
    }

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise BadSetting(f"alpha must be above 0, not {self.alpha}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        value = self.measure(subject)
        if value is None:
            return {}
        return {"feature_cosine": Figure(value, None if references.gold is None else self.measure(references.gold))}

    def measure(self, subject: Subject) -> float | None:
        """The mean cosine, kept with the subject; None where no features went, or none can be told from anything."""
        if self not in subject.memory:
            subject.memory[self] = self._measure(subject)
        return subject.memory[self]

    def _measure(self, subject: Subject) -> float | None:
        network = unwrapped(subject.model)
        if not isinstance(network, Recommender):
            return None
        read, left = asked(subject)
        removed = {name: items for name in left.whole.features if len(items := removed_items(left, name))}
        if not removed:
            return None
        with torch.no_grad(), evaluating(subject.model):
            embeddings = network.embeddings(read.to(next(network.parameters()).device))[1].float().cpu()
        found = []
        for name, items in removed.items():
            stay = left.features[name].any(1) & left.offered & (left.popularity > 0)
            if stay.sum() >= _FEWEST:
                found.append(recovered(embeddings, left.whole.features[name], stay.nonzero().flatten(), items, self.alpha))
        return torch.cat(found).mean().item() if found else None


def removed_items(left: Interactions, modality: str) -> Tensor:
    """Items that had features in a modality before the request and have none now, sorted, shape (n,)."""
    return (left.whole.features[modality].any(1) & ~left.features[modality].any(1)).nonzero().flatten()


def recovered(embeddings: Tensor, features: Tensor, fitted: Tensor, removed: Tensor, alpha: float) -> Tensor:
    """Cosine between told and true features of each removed item, shape (n,); NaN where an embedding is no number.

    Args:
        embeddings: of all items, shape (I, d).
        features: the true ones of all items, shape (I, d_m).
        fitted: items that the regression is fitted on.
        removed: items that it is asked about.
    """
    known = embeddings[fitted]
    if not embeddings[torch.cat([fitted, removed])].isfinite().all():
        return torch.full((len(removed),), torch.nan)
    scale = known.std(0, correction=0)
    inputs = (embeddings - known.mean(0)) / torch.where(scale > 0, scale, 1)
    middle = features[fitted].mean(0)
    model = Ridge(alpha=alpha).fit(inputs[fitted].numpy(), (features[fitted] - middle).numpy())
    told = torch.from_numpy(model.predict(inputs[removed].numpy())).reshape(len(removed), -1)
    return F.cosine_similarity(told, (features[removed] - middle).to(told.dtype), dim=1)

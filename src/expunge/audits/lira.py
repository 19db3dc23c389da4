"""LiRA on signed residuals: is this error what a model that was trained on the example makes, or one that was not?

    e(x) = prediction(x) - target(x),     s(x) = log N(e(x); mu_in(x), s_in) - log N(e(x); mu_out(x), s_out)

Shadow models are trained by the original's recipe, each on a random half of training set and unseen examples together. The
example's own means come from the shadows that held it and from those that did not; the deviations, of which few shadows tell
little, are shared by all examples. It is a stronger attack than loss alone, since it knows how hard each example is. Of
vectors and forecasts the mean over their numbers is taken. The retrained model's value is the ideal.

Reference: N. Carlini, S. Chien, M. Nasr, S. Song, A. Terzis, F. Tramer. "Membership Inference Attacks From First Principles",
S&P 2022, arXiv 2112.03570 (online attack, global variance), with the residual in place of the logit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.audits.audit import Audit, Figure, Part, References, Subject
from expunge.audits.membership import Trial
from expunge.errors import BadSetting
from expunge.matching import group_weights
from expunge.split import Batches
from expunge.tasks import RegressionTask


@dataclass(frozen=True)
class LiRA(Audit):
    """The likelihood-ratio attack. It trains `shadows` models, so it is left out unless it is asked for.

    Args:
        shadows: models to train; 0 leaves the audit out. 16 tell something, published runs have 256.
        batch_size: of their training; the original's, or they are not of its recipe.
        unseen: most unseen examples to take, from the first on; shadows are trained on half of them.
        fpr: false positive rate at which the true positive rate is read.
    """

    shadows: int = 0
    batch_size: int = 256
    unseen: int = 1000
    fpr: float = 0.01

    takes = (RegressionTask,)
    figures: ClassVar[Mapping[str, str]] = {
        "lira_auc": "AUC of the likelihood-ratio attack, forget against unseen; ideal: the retrained model's, about 0.5",
        "lira_tpr": "true positives of the likelihood-ratio attack at 1 % false positives; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        if self.shadows < 0 or self.shadows == 1 or self.unseen < 1 or not 0 < self.fpr < 1:
            raise BadSetting(
                "LiRA needs 0, or 2 or more shadows, 1 or more unseen and 0 < fpr < 1, "
                f"not {self.shadows}, {self.unseen} and {self.fpr}"
            )
        if self.batch_size < 1:
            raise BadSetting(f"LiRA needs a batch_size of at least 1, not {self.batch_size}")

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        unseen = subject.unseen_part()
        if not self.shadows or len(subject.scores(unseen)) == 0:
            return {}
        if references.train is None:
            note = "not known: shadow models are trained by the recipe of the original, which was not given"
            return {"lira_auc": Figure(None, None, note=note)}
        trial = self.trial(subject, references)
        if not trial.member.any():
            return {}  # nothing unseen is in a band of what goes: there is nothing to stand against
        gold = None if references.gold is None else self.trial(references.gold, references)
        return {
            "lira_auc": Figure(trial.auc(), None if gold is None else gold.auc()),
            "lira_tpr": Figure(trial.tpr(self.fpr), None if gold is None else gold.tpr(self.fpr)),
        }

    def trial(self, subject: Subject, references: References) -> Trial:
        """Attack one subject."""
        if ("lira", self) not in subject.memory:
            (mean_in, mean_out), (deviation_in, deviation_out) = self._worlds(subject, references)
            part = subject.unseen_part()
            residuals = torch.cat([_residuals(subject, "forget"), _residuals(subject, part)[: self.unseen]])
            inside = -((residuals - mean_in) ** 2) / (2 * deviation_in**2) - math.log(deviation_in)
            outside = -((residuals - mean_out) ** 2) / (2 * deviation_out**2) - math.log(deviation_out)
            goes = len(subject.scores("forget"))
            member = torch.arange(len(residuals)) < goes
            weight = group_weights(subject.groups("forget"), subject.groups(part)[: self.unseen])
            keep = weight > 0
            score = (inside - outside).mean(1).double().numpy()
            subject.memory["lira", self] = Trial(member.numpy()[keep], score[keep], weight[keep], float("nan"))
        return subject.memory["lira", self]

    def _worlds(self, subject: Subject, references: References) -> tuple[tuple[Tensor, Tensor], tuple[float, float]]:
        """Means of each example's residual inside and outside the training set, (n, d) each, and the two deviations."""
        owner = references.original or references.gold or subject
        if ("shadows", self) not in owner.memory:
            owner.memory["shadows", self] = self._train_shadows(subject, references)
        held, residuals = owner.memory["shadows", self]  # (shadows, n) and (shadows, n, d)
        means, deviations = [], []
        for mask in (held, ~held):
            weight = mask.unsqueeze(-1).float()
            count = weight.sum(0).clamp_min(1)
            mean = (weight * residuals).sum(0) / count
            spread = (weight * (residuals - mean) ** 2).sum() / (weight * (count > 1)).sum().clamp_min(1) / residuals.shape[2]
            means.append(mean)
            deviations.append(max(spread.sqrt().item(), 1e-6))
        return (means[0], means[1]), (deviations[0], deviations[1])

    def _train_shadows(self, subject: Subject, references: References) -> tuple[Tensor, Tensor]:
        assert references.train is not None
        task, engine = subject.task, subject.engine
        assert isinstance(task, RegressionTask)
        goes, unseen = _rows(subject, "forget"), tuple(each[: self.unseen] for each in _rows(subject, subject.unseen_part()))
        stays = [_rows(subject, "retain")] if len(subject.scores("retain")) else []
        inputs, targets = (torch.cat(column) for column in zip(goes, unseen, *stays, strict=True))
        asked = len(goes[0]) + len(unseen[0])
        order = torch.stack(
            [torch.rand(len(inputs), generator=engine.generator("half", pair)) for pair in range(-(-self.shadows // 2))]
        )
        halves = torch.cat([order < 0.5, order >= 0.5])[: self.shadows]  # by twos, so that each example is in half of them
        found = []
        for index, half in enumerate(halves):
            stream = Batches(TensorDataset(inputs, targets), self.batch_size, half.nonzero().flatten().tolist())
            with engine.scope(f"shadow-{index}"):
                shadow = references.train(task, stream, engine)
            batches = Batches(TensorDataset(inputs[:asked], targets[:asked]), 4096)
            found.append(task.collect(shadow, batches, task.residuals))
        return halves[:, :asked], torch.stack(found)


def _rows(subject: Subject, part: Part) -> tuple[Tensor, ...]:
    """Inputs and targets of a part, in the order in which its outputs are read."""
    batches = list(subject.batches(part))
    return torch.cat([batch[0] for batch in batches]), torch.cat([batch[1].reshape(len(batch[1]), -1) for batch in batches])


def _residuals(subject: Subject, part: Part) -> Tensor:
    task = subject.task
    assert isinstance(task, RegressionTask)
    return task.predictions(subject.outputs(part)) - subject.targets(part)

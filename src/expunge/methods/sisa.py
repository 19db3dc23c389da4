"""SISA: of a model that was trained in shards and slices, retrain the shards that hold what goes, from its slice on.

    theta_s1 ... theta_s(r-1) stay,    theta_sr ... theta_sR are trained again,    D_sr the first slice that holds what goes

Exact by construction: the result is, bit for bit, what training the ensemble from the beginning without those records gives. It
has to be prepared for: the model is one that :class:`expunge.sisa.ShardedTraining` has trained. Of S shards a record costs at
most an S-th of a training; requests that are spread over all shards cost a whole one.

Reference: L. Bourtoule, V. Chandrasekaran, C. Choquette-Choo, H. Jia, A. Travers, B. Zhang, D. Lie, N. Papernot. "Machine
Unlearning", S&P 2021, arXiv 1912.03817.
Needs: an ensemble of shards, the rows of what goes, and the data that its shards retain. Costs: the training of the touched
shards from the touched slice on; each answer costs as many networks as there are shards.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.methods.method import Method
from expunge.sisa import ShardedModel
from expunge.split import Batches, Split
from expunge.tasks import Task


@dataclass(frozen=True)
class SISA(Method):
    """Take records out of an ensemble of shards. All settings are those that it was trained with."""

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        if not isinstance(student, ShardedModel):
            raise BadSetting(
                f"sisa: a {type(student).__name__} was not trained in shards, so no part of it can be retrained alone; train "
                "it by expunge.sisa.ShardedTraining, or take retrain, which is as exact"
            )
        if not isinstance(split.forget, Batches):
            raise BadRequest(
                f"sisa: what must go is named by its rows, and a {type(split.forget).__name__} has none; take Batches"
            )
        data = student.record.data
        if data is not None and not _same_rows(data.dataset, split.forget.dataset, split.forget.indices):
            raise BadRequest("sisa: what must go comes from another data set than the one that the ensemble was trained on")
        return student.without(split.forget.indices.tolist(), task, engine)

    def like(self, model: nn.Module) -> nn.Module | None:
        """None: a later request needs the ensemble's record, which is not among its weights."""
        return None


def _same_rows(ours: Any, theirs: Any, rows: Tensor) -> bool:
    """Whether two data sets have the same values in some rows; of those that are no tensors, whether they are equally long."""
    if ours is theirs:
        return True
    if len(ours) <= int(rows.max()) or not isinstance(ours, TensorDataset) or not isinstance(theirs, TensorDataset):
        return len(ours) == len(theirs)
    return len(ours.tensors) == len(theirs.tensors) and all(
        torch.equal(first[rows], second[rows]) for first, second in zip(ours.tensors, theirs.tensors, strict=True)
    )

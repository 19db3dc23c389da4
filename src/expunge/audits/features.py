"""What a model sees in examples: the features that audits of the inside read, the same examples of every model."""

from typing import NamedTuple

import torch
from torch import Tensor

from expunge.audits.audit import Part, Subject
from expunge.engine import on_device_of
from expunge.errors import BadSetting
from expunge.modes import evaluating


class Seen(NamedTuple):
    """Features of n examples, (n, d), on the CPU, with 0 for what is no finite number; the group of each, (n,)."""

    features: Tensor
    groups: Tensor


def features_of(subject: Subject, part: Part, samples: int | None = None) -> Seen | None:
    """The features of a part, kept with the subject.

    Args:
        samples: at most so many examples, drawn in the same way for every model; all when None.

    Returns:
        None where nobody can say what the features of the network are: several networks answer as one, or no layer of it is
        known to hold them.
    """
    if not getattr(subject.model, "has_features", True):
        return None
    key = ("features", part, samples)
    if key not in subject.memory:
        try:
            subject.memory[key] = _some(_read(subject, part), samples)
        except BadSetting:  # nobody has said which layer of this network holds its features
            subject.memory[key] = None
    seen: Seen | None = subject.memory[key]
    return seen


def _some(seen: Seen, samples: int | None) -> Seen:
    if samples is None or len(seen.groups) <= samples:
        return seen
    rows = torch.randperm(len(seen.groups), generator=torch.Generator().manual_seed(0))[:samples]
    return Seen(seen.features[rows], seen.groups[rows])


def _read(subject: Subject, part: Part) -> Seen:
    found = []
    with torch.no_grad(), evaluating(subject.model):
        for batch in subject.batches(part):
            placed = on_device_of(subject.model, batch)
            found.append((subject.task.features(subject.model, placed).float().cpu(), subject.task.groups(placed).cpu()))
    if not found:
        return Seen(torch.empty(0, 0), torch.empty(0, dtype=torch.long))
    features, groups = (torch.cat(column) for column in zip(*found, strict=True))
    return Seen(features.nan_to_num(0.0, 0.0, 0.0), groups)

"""Clients: how the model serves each of those who stay, by itself; a mean over all data hides the one who pays.

    mean  = mean_n score(D_n),      worst = min_n score(D_n),      n stays

Reference: T. Li, M. Sanjabi, A. Beirami, V. Smith. "Fair Resource Allocation in Federated Learning", ICLR 2020,
arXiv 1905.10497, on looking at clients one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.federated.client_split import ClientSplit


@dataclass(frozen=True)
class Clients(Audit):
    """Scores on the training data of each client who stays; nothing where nobody leaves a federation."""

    splits = ClientSplit
    figures: ClassVar[Mapping[str, str]] = {
        "clients_mean": "score on the data of a client who stays, mean over clients; ideal: the retrained model's",
        "clients_worst": "score on the data of the client who stays and is served worst; ideal: the retrained model's",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if not isinstance(subject.split, ClientSplit):
            return {}
        gold = {} if references.gold is None else self.values(references.gold)
        return {name: Figure(value, gold.get(name)) for name, value in self.values(subject).items()}

    def values(self, subject: Subject) -> dict[str, float]:
        """The figures by name. Kept, since every model is held against the gold."""
        if self not in subject.memory:
            split, task = subject.split, subject.task
            assert isinstance(split, ClientSplit)
            scores = [task.evaluate(subject.model, stream)[task.score_name] for stream in split.rest.clients.values()]
            worst = min(scores) if task.higher_is_better else max(scores)
            subject.memory[self] = {"clients_mean": sum(scores) / len(scores), "clients_worst": worst}
        return dict(subject.memory[self])

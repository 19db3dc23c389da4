"""Work: what forgetting asked of a federation, in rounds, in clients' passes over their data, and in what had to be kept.

Read from the history that playing rounds leaves, not from what a method says of itself. Seconds on a test bench leave out what
rounds cost where clients are far away: there a round is minutes, whoever computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.federated.client_split import ClientSplit

_FIGURES = ("rounds", "client_passes", "stored_bytes")


@dataclass(frozen=True)
class Work(Audit):
    """Rounds, clients' passes and bytes that a result has taken; nothing where nobody leaves a federation."""

    splits = ClientSplit
    figures: ClassVar[Mapping[str, str]] = {
        "rounds": "rounds that were played to forget; ideal: 0",
        "client_passes": "passes of a client over its data to forget, summed over clients; ideal: 0",
        "stored_bytes": "bytes that the server must have kept of its clients since before the request; ideal: 0",
    }

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        if not isinstance(subject.split, ClientSplit):
            return {}
        rows = [row for row in subject.history if "federation" in row]
        return {name: Figure(float(sum(row[name] for row in rows)), 0.0) for name in _FIGURES}

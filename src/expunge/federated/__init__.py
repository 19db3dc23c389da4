"""Federations: what the server keeps of each client, and how data are dealt out to clients where a federation is played."""

from typing import TYPE_CHECKING, Any

from expunge.federated.contributions import Contributions
from expunge.federated.federation import Federation, train_client
from expunge.federated.partitions import dirichlet, iid, pathological
from expunge.federated.snapshot import Snapshot

if TYPE_CHECKING:
    from expunge.federated.tracking import TrackingFedAvg as TrackingFedAvg

__all__ = ["Contributions", "Federation", "Snapshot", "dirichlet", "iid", "pathological", "train_client"]


def __getattr__(name: str) -> Any:
    """TrackingFedAvg, when it is asked for: it alone needs flwr, and raises MissingExtra without."""
    if name == "TrackingFedAvg":
        from expunge.federated.tracking import TrackingFedAvg

        return TrackingFedAvg
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

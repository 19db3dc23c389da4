"""Federations: what the server keeps of each client, and how data are dealt out to clients where a federation is played."""

from expunge.federated.contributions import Contributions
from expunge.federated.federation import Federation, train_client
from expunge.federated.partitions import dirichlet, iid, pathological

__all__ = ["Contributions", "Federation", "dirichlet", "iid", "pathological", "train_client"]

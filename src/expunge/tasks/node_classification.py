"""Node classification: one of C classes for each node of a graph."""

from typing import Any

from torch import Tensor, nn

from expunge.graphs import NodeBatch
from expunge.tasks.classification import ClassificationTask
from expunge.tasks.graph import GraphTask


class NodeClassificationTask(GraphTask[NodeBatch], ClassificationTask):
    """Batches are :class:`~expunge.graphs.NodeBatch`; the model maps a graph, or features (N, F) and `edge_index` (2, 2m), to
    logits (N, classes).

    Args:
        factory: builds the architecture with fresh weights, without arguments.
        classes: number of classes C, at least 2.
        class_names: what to call them in reports; their numbers when None.
    """

    def read(self, model: nn.Module, embeddings: Tensor, batch: NodeBatch) -> Tensor:
        """Logits, shape (n, classes)."""
        return embeddings[batch.nodes]

    def features(self, model: nn.Module, batch: Any) -> Tensor:
        """Logits again, shape (n, classes): the last graph layer has nothing behind it."""
        return self.outputs(model, batch)

"""Graphs, and streams of batches that carry the graph on which they are read."""

from expunge.graphs.graph import Graph
from expunge.graphs.negatives import non_edges
from expunge.graphs.neighbours import sampled
from expunge.graphs.streams import LinkBatch, LinkBatches, NodeBatch, NodeBatches

__all__ = ["Graph", "LinkBatch", "LinkBatches", "NodeBatch", "NodeBatches", "non_edges", "sampled"]

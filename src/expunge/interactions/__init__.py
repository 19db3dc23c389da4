"""Who chose what: users, items, their pairs and the features of items; and streams of batches that carry them."""

from expunge.interactions.interactions import Interactions
from expunge.interactions.negatives import Drawn
from expunge.interactions.removal import Removal
from expunge.interactions.streams import PairBatch, PairBatches

__all__ = ["Drawn", "Interactions", "PairBatch", "PairBatches", "Removal"]

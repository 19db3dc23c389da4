"""Requests one after another: served in turn, how far the model drifts, and when to retrain instead."""

from expunge.studies.sequences.drift import drifts
from expunge.studies.sequences.forgetting import RetrainRule, SequenceHistory, Served, forget_in_sequence
from expunge.studies.sequences.requests import (
    RequestSequence,
    clients_in_sequence,
    drawn_rows,
    facts_in_sequence,
    interactions_in_sequence,
    links_in_sequence,
    nodes_in_sequence,
    rows_in_sequence,
)

__all__ = [
    "RequestSequence",
    "RetrainRule",
    "SequenceHistory",
    "Served",
    "clients_in_sequence",
    "drawn_rows",
    "drifts",
    "facts_in_sequence",
    "forget_in_sequence",
    "interactions_in_sequence",
    "links_in_sequence",
    "nodes_in_sequence",
    "rows_in_sequence",
]

"""Attacks with many models: what they make of signals, and the shadow models that give them."""

from expunge.audits.shadows.batched import Recipe, can_batch, train_batched
from expunge.audits.shadows.distributions import challenge_score, epsilon_per_example, forgetting_quality, klom
from expunge.audits.shadows.examples import Examples, examples_of
from expunge.audits.shadows.scores import lira_offline, lira_online, logit_confidence, rmia
from expunge.audits.shadows.training import ShadowSet

__all__ = [
    "Examples",
    "Recipe",
    "ShadowSet",
    "can_batch",
    "challenge_score",
    "epsilon_per_example",
    "examples_of",
    "forgetting_quality",
    "klom",
    "lira_offline",
    "lira_online",
    "logit_confidence",
    "rmia",
    "train_batched",
]

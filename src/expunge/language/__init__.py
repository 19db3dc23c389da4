"""Language models: facts that must go, questions that ask for them, and what a model says of them."""

from expunge.data.facts import Fact, read_facts

__all__ = ["Fact", "read_facts"]

"""Advice: which method to take, found by trying those first that promise most for their cost."""

from expunge.studies.advising.advising import Advice, advise

__all__ = ["Advice", "advise"]

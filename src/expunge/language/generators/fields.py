"""What a data set brings itself: its other phrasings and wrong answers."""

from dataclasses import dataclass

from expunge.data.facts import Fact
from expunge.language.generators.generator import GeneratorFailed, check_count, shortened


@dataclass(frozen=True)
class FieldGenerator:
    """Gives the phrasings and wrong answers that stand in the facts, in their order, and no rationale.

    >>> fact = Fact("Where did Ada study?", "Oslo", wrong_answers=("Bergen", "Lund"))
    >>> FieldGenerator().wrong_answers(fact, 5)
    ['Bergen', 'Lund']
    """

    @property
    def identity(self) -> str:
        """It has no settings."""
        return "fields"

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """The first `n` of the fact's `phrasings`; neither temperature nor seed changes them.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if the fact has none.
        """
        return _first(fact, "phrasings", fact.phrasings, n)

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """The first `n` of the fact's `wrong_answers`; the seed does not change them.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if the fact has none.
        """
        return _first(fact, "wrong_answers", fact.wrong_answers, n)

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """Nothing: data sets do not bring any."""
        return ""


def _first(fact: Fact, name: str, texts: tuple[str, ...], n: int) -> list[str]:
    check_count(n)
    if not texts:
        raise GeneratorFailed(
            f"the fact {shortened(fact.question)} brings no {name}: add them to the data, or use another generator"
        )
    return list(texts[:n])

"""Random search: draw genotypes, train each for a short time, keep the one that does best on the other half.

What every other search must beat at the same cost.

Reference: L. Li, A. Talwalkar. "Random Search and Reproducibility for Neural Architecture Search", UAI 2019, arXiv 1902.07638.
Costs: `candidates` trainings of `epochs` passes over the weights' half.
"""

from dataclasses import dataclass
from typing import Any

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.search.cell_space import CellSpace
from expunge.search.halves import Halves
from expunge.search.method import Outcome, SearchMethod
from expunge.search.training import Recipe, accuracy, train
from expunge.split import Shuffled


@dataclass(frozen=True)
class RandomSearch(SearchMethod):
    """See the module.

    Args:
        candidates: genotypes that are drawn.
        recipe: how each is trained.
    """

    candidates: int = 8
    recipe: Recipe = Recipe(epochs=5)

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise BadSetting(f"candidates must be at least 1, not {self.candidates}")

    def find(self, space: CellSpace, halves: Halves, engine: Engine) -> Outcome:
        generator = engine.generator("genotypes")
        stream: Any = halves.architecture
        judges = Shuffled(stream, engine.generator("judges"))
        scores = []
        for place in range(self.candidates):
            genotype = space.random(generator)
            with engine.scope(f"candidate-{place}", key=repr(genotype)):
                network = engine.new_model(lambda genotype=genotype: space.build(genotype))  # type: ignore[misc]
                scores.append((genotype, accuracy(train(network, halves.weights, engine, self.recipe), judges)))
        scores.sort(key=lambda scored: -scored[1])
        return Outcome(scores[0][0], scores=tuple(scores))

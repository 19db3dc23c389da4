"""How near the cut-off that ConDa takes from the contributions comes to the best one, which only test data can tell.

    python benchmarks/conda_cutoff.py --seeds 3        MNIST in $EXPUNGE_DATA; about half an hour on one core

For each partition and seed a client with a backdoor leaves, as in `expunge study federated`. Cut-offs are tried on a grid, with
the metrics in view, as papers do: the best is the one whose worst check, each as a share of what is allowed, is least. Checks
are the backdoor less the retrained model's (3 points), the accuracy that is lost (2 points) and the KL divergence from the
retrained model on the client's own data (0.3 nats). Beside both stand the same by the initial model's reference.
"""

import argparse
import copy
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from expunge.data import load
from expunge.engine import Engine
from expunge.federated import Contributions
from expunge.federated.client_split import losses_of
from expunge.losses import kl_divergence
from expunge.methods import ConDa
from expunge.studies.federated import FederatedStudy
from expunge.studies.federated_scenarios import FederatedScenario

GRID = (0.02, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
CASES = ({"alpha": 0.5}, {"alpha": 0.1}, {"partition": "iid"}, {"partition": "pathological"})
ROWS = {"train": 6_000, "holdout": 5_000}  # as in the quick budget
ALLOWED = (0.03, 0.02, 0.3)


@dataclass(frozen=True)
class Found:
    """What a model shows, and the cut-off that it was made by."""

    cutoff: float
    share: float
    accuracy: float
    backdoor: float
    kl: float

    def worst(self, gold: "Found") -> float:
        """The check that is missed most, as a share of what is allowed."""
        distances = self.backdoor - gold.backdoor, gold.accuracy - self.accuracy, self.kl
        return max(distance / allowed for distance, allowed in zip(distances, ALLOWED, strict=True))

    def written(self, gold: "Found") -> str:
        """As cells of a table."""
        parts = f"{self.cutoff:.3f} | {100 * self.share:.1f}", f"{100 * self.accuracy:.1f} | {100 * self.backdoor:.1f}"
        return f"{' | '.join(parts)} | {self.kl:.2f} | {self.worst(gold):.2f}"


def pairs(scenario: FederatedScenario, seed: int) -> Iterator[tuple[str, Found, Found, Found]]:
    """For each reference: its name, the retrained model, by the rule, and by the best cut-off."""
    drawn, engine, loss = scenario.draw(seed), Engine(seed, progress=False), losses_of(scenario.task)
    model = engine.new_model(scenario.task.new_model)
    sums = {reference: Contributions(dict(model.named_parameters()), reference) for reference in ("round", "initial")}
    original = drawn.federation.play(model, loss, engine, [each.watch for each in sums.values()])
    with engine.scope("retrained"):
        fresh = engine.new_model(scenario.task.new_model)
        gold = drawn.federation.without(drawn.leaving).play(fresh, loss, engine)

    def outputs(which: nn.Module) -> torch.Tensor:
        return scenario.task.collect(which, drawn.clean)

    theirs = outputs(gold)

    def found(which: nn.Module, cutoff: float = 0.0, share: float = 0.0) -> Found:
        accuracy, backdoor = (scenario.task.evaluate(which, stream)["accuracy"] for stream in (drawn.holdout, drawn.wanted))
        return Found(cutoff, share, accuracy, backdoor, kl_divergence(outputs(which), theirs).mean().item())

    ideal = found(gold)
    yield "original", ideal, found(original), found(original)
    for reference, contributions in sums.items():
        tried = []
        for method in (ConDa(), *map(ConDa, GRID)):
            done = method.take_out(copy.deepcopy(original), contributions, drawn.leaving)
            tried.append(found(done.model, done.cutoff, done.share))
        yield reference, ideal, tried[0], min(tried[1:], key=lambda each: each.worst(ideal))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--first", type=int, default=0, help="the first seed")
    options.add_argument("--data", default="mnist")
    given = options.parse_args()
    torch.set_num_threads(1)
    cells = "cut-off | dampened, % | unseen, % | backdoor, % | KL | worst"
    print(f"| case | seed | reference | by | {cells} |\n|---|---:|---|---|" + "---:|" * 6)
    excess: dict[str, list[float]] = {}
    for case in CASES:
        (scenario,) = FederatedStudy(**case).scenarios(load(given.data, **ROWS), "quick")
        for seed in range(given.first, given.first + given.seeds):
            for reference, gold, rule, best in pairs(scenario, seed):
                place = f"| {scenario.title} | {seed} |"
                if reference == "original":
                    print(
                        f"{place} | retrained | {gold.written(gold)} |\n{place} | original | {rule.written(gold)} |", flush=True
                    )
                    continue
                print(f"{place} {reference} | rule | {rule.written(gold)} |", flush=True)
                print(f"{place} {reference} | best | {best.written(gold)} |", flush=True)
                excess.setdefault(f"{reference}, rule", []).append(rule.worst(gold))
                excess.setdefault(f"{reference}, best", []).append(best.worst(gold))
    print("\nThe worst check, as a share of what is allowed: mean, largest, and how many pass.\n")
    for name, values in excess.items():
        passed = sum(value <= 1 for value in values)
        print(f"{name}: {statistics.fmean(values):.2f}, {max(values):.2f}, {passed} of {len(values)}")


if __name__ == "__main__":
    main()

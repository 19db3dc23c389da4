"""What the recommendation study compares: each request with its network, its recipe and its methods.

Which pairs are held out and what must go is drawn anew for each seed; where the owners publish a split, only what must go.
Settings follow from the recipe or are the methods' own. Draws of seeds 100 and up are for choosing; the study's own seeds begin
at 0. Those of level scores were chosen on pairs of MovieLens, seeds 100 to 103, and of TikTok, seeds 100 to 102; those of the
general methods on users of MovieLens, seed 100: rates of NegGrad+, Bad Teacher and SCRUB above the recipe's, without which they
forget next to nothing, while other weights and cut-offs of theirs, of AmUn and of SSD were no better.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from expunge.data.interaction_source import InteractionSource
from expunge.methods import (
    IFRU,
    SCIF,
    SCRUB,
    SSD,
    AmUn,
    BadTeacher,
    Blindspot,
    EdgeDrop,
    Finetune,
    GradientAscent,
    LevelScores,
    Method,
    MMRecUN,
    NegGradPlus,
    RecEraser,
    ResetRows,
    Retrain,
    ShrinkPerturb,
)
from expunge.optimizers import Optimizer
from expunge.requests.interactions import ForgetFeatures, ForgetItems, ForgetPairs, ForgetUsers, InteractionRequest
from expunge.requests.request import counted
from expunge.split import Split
from expunge.studies.advice import KEEP_FOR_RECORDS
from expunge.studies.drawn_scenario import DrawnScenario, described
from expunge.studies.recommendation_job import interaction_parts, interaction_task

Forget = Literal["users", "items", "pairs", "features"]
Draw = Callable[[int], tuple[Any, Split]]
BATCH = 2048
RECIPE = Retrain(epochs=40, optimizer=Optimizer("adam", 4e-3), schedule="constant")
TIKTOK_RECIPE = Retrain(epochs=23, optimizer=Optimizer("adam", 1e-3), schedule="constant")
FISHER_EXAMPLES = 200  # each costs a pass back through the whole network
MANY = 50_000  # training pairs; of a larger set MMRecUN's parts have no rows
PARTS = ("mmrecun-long", "mmrecun-reverse", "mmrecun-forward")
FEW_CYCLES = (1, 2, 4, 8)  # of MMRecUN, to see how long it takes before it destroys the model
SLOW = ("scif", "ifru", *(f"mmrecun-{cycles}" for cycles in FEW_CYCLES))  # take as long as several trainings
SEES_FEATURES = ("mgcn", "freedom", "vbpr")  # networks that read what is known of items


def recommendation(
    source: InteractionSource,
    network: str,
    forget: Forget,
    fraction: float,
    modality: str | None = None,
    place: str = "",
    slow: bool = True,
) -> DrawnScenario:
    """A recommender that has learned all training pairs, and what must go of them.

    Args:
        forget: what goes.
        fraction: share of the users, items or training pairs that goes, or from 1 on how many; of items with such features.
        modality: which features go; the first when None.
        place: words after the title, where it alone does not tell two cases apart.
        slow: with the methods that take as long as several trainings.

    Raises:
        BadRequest: if the request does not fit the interactions.
        BadSetting: if the network is not known, or does not fit them.
    """
    kind = modality or next(iter(source.interactions.features), "")
    task, recipe = interaction_task(source, network, {}), TIKTOK_RECIPE if source.name == "tiktok" else RECIPE

    def draw(seed: int) -> tuple[Any, Split]:
        everything, split, _ = interaction_parts(source, request_for(forget, fraction, seed, kind), seed, BATCH)
        return everything, split

    everything, split = draw(0)
    without = (*(PARTS if everything.examples > MANY else ()), *(() if slow else SLOW))
    size = f"{100 * fraction:g} %" if fraction < 1 else f"{fraction:,.0f}"
    what = f"{kind} of {size} of items" if forget == "features" else f"{size} of {forget}"
    words = request_for(forget, fraction, 0, kind).describe().partition(" (")[0]  # each seed of the study draws anew
    return DrawnScenario(
        f"{network.upper()}, {what}{place}",
        described(network, task.factory),
        task,
        recipe,
        methods_for(forget, recipe, without),
        draw,
        f"{words} of {source.name}: {_counted(forget, split.forget.pairs, everything.examples)}",  # type: ignore[attr-defined]
    )


def request_for(forget: Forget, fraction: float, seed: int, modality: str) -> InteractionRequest:
    """The request of one seed."""
    if forget == "features":
        return ForgetFeatures(modality, fraction=fraction, seed=seed)
    return {"users": ForgetUsers, "items": ForgetItems, "pairs": ForgetPairs}[forget](fraction=fraction, seed=seed)


def _counted(forget: Forget, pairs: Tensor, total: int) -> str:
    """How much goes in one draw."""
    of_all = f"{len(pairs):,} of {total:,} training pairs"
    if forget == "pairs":
        return of_all
    if forget == "users":
        return f"{counted(len(pairs[:, 0].unique()), 'user')} with {of_all}"
    return f"{counted(len(pairs[:, 1].unique()), 'item')} with {of_all}{', which stay' if forget == 'features' else ''}"


# ---- methods, by the names of their rows --------------------------------------------------------------------------------


def methods_for(forget: Forget, recipe: Retrain, without: Collection[str] = ()) -> dict[str, Method]:
    """The methods of a case.

    Where single pairs go no row is theirs alone, so that resetting rows is dropping edges. Where features go all pairs stay:
    those that turn the loss of what goes round have nothing to turn.

    Args:
        without: names of rows to leave out.
    """
    methods = _all_methods(recipe)
    if forget == "features":
        methods = _but(methods, MMRecUN, AmUn, GradientAscent, NegGradPlus)
    if forget == "pairs":
        methods = _but(methods, ResetRows)
    return {name: method for name, method in methods.items() if name not in without}


def _all_methods(recipe: Retrain) -> dict[str, Method]:
    rate, few = recipe.optimizer, recipe.epochs // 5

    def faster(times: float) -> Optimizer:
        return replace(rate, learning_rate=times * rate.learning_rate)

    turns = MMRecUN(forward_optimizer=rate, reverse_optimizer=faster(2.5))
    return {
        "level-scores": LevelScores(),
        "mmrecun": turns,
        "mmrecun-negate": replace(turns, reverse="negate"),
        **{f"mmrecun-{cycles}": replace(turns, stop="never", cycles=cycles) for cycles in FEW_CYCLES},
        "mmrecun-long": replace(turns, stop="never", cycles=12),
        "mmrecun-reverse": replace(turns, stop="never", cycles=6, forward_epochs=0),
        "mmrecun-forward": replace(turns, stop="never", cycles=4, reverse_epochs=0),
        "edge-drop": EdgeDrop(),
        "reset-rows": ResetRows(),
        "amun": AmUn.from_recipe(recipe),
        "scif": SCIF(),
        "ifru": IFRU(),
        "rec-eraser": RecEraser.from_recipe(recipe, partition="items", aggregation="mean"),
        "shrink-perturb": ShrinkPerturb.from_recipe(recipe, keep=KEEP_FOR_RECORDS),
        "blindspot": Blindspot.from_recipe(recipe),
        "finetune": Finetune(epochs=few, optimizer=rate, schedule=recipe.schedule),
        "gradient-ascent": GradientAscent(epochs=10, optimizer=rate),
        "neggrad-plus": NegGradPlus(alpha=0.5, epochs=few // 2, optimizer=faster(7.5)),
        "bad-teacher": BadTeacher(epochs=few, optimizer=faster(5)),
        "scrub": SCRUB(epochs=few, retain_fraction=1.0, optimizer=faster(2.5)),
        "ssd": SSD(max_examples=FISHER_EXAMPLES),
    }


def _but(methods: Mapping[str, Method], *kinds: type[Method]) -> dict[str, Method]:
    return {name: method for name, method in methods.items() if not isinstance(method, kinds)}

"""Concealment: does an eraser remove a concept, or hide it from the prompt alone?

    partial diffusion    the model before does the first share psi of the process, the unlearned one finishes what it is handed,
                         asked for the same, or for nothing
    recovered(psi)       share of images so made in which the concept is recognised
    CCS, CRS             the published scores, see :mod:`expunge.diffusion.scores`

A model that never saw the concept finishes it as well once it is handed an image with little noise. So a curve over psi means
something beside a retrained model's alone, and the verdict is by the distance from that:

    not removed    the plain prompt still draws it, in a fifth of images or more
    concealed      the area under a curve, asked for the same or for nothing, is more than 0.1 above the retrained model's
    damaged        neither, and other concepts are recognised less often than the original draws them, by 15 points or more
    removed        none of these

Seeds of attacks are not those of images that a classifier is trained on, and there are many; as published (`mode="paper"`)
there was one, 42, whose image was among both.

Reference: A. Sen Sharma, N. Sarkar, V. Chundawat, A. A. Mali, M. Mandal. "Unlearning or Concealment? A Critical Analysis and
Evaluation Metrics for Unlearning in Diffusion Models", 2024, arXiv 2409.05668. Finishing without the prompt: our own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.domain_scores import SCORES, DomainScores, domain_scores
from expunge.audits.drawing import as_png, judge_for, read_drawing
from expunge.diffusion.concept_split import ConceptSplit
from expunge.diffusion.recognizers import LEAST, Network, Recognizer
from expunge.diffusion.sampling import Sampling, original_steps, seeds_for
from expunge.diffusion.scores import area_under, ccs, crs, half_recovered
from expunge.errors import BadSetting
from expunge.storage import weights_hash
from expunge.tasks import DiffusionTask

__all__ = ["Concealment", "Verdict", "ccs", "crs", "handed_over", "partial_diffusion_attack", "verdict"]

PUBLISHED_PSI = (0.001, 0.01, 0.05, 0.15, 0.25, 0.35, 0.45, 0.55)
Completion = Literal["same", "nothing"]
Verdict = Literal["not removed", "concealed", "damaged", "removed"]
STILL_DRAWN, ABOVE, WORSE = 0.2, 0.1, 0.15
_HALF_WAY = (0.45, 0.55)
_APART = 1 << 20  # seeds of the concept's references come after those of other concepts'
_PUBLISHED_SEED = 42
_TIE = 1e-9  # what the last bits of a difference say does not count
_WELL_DRAWN = 0.5  # share of other concepts' images below which damage can't be seen


def partial_diffusion_attack(
    task: DiffusionTask,
    original: nn.Module,
    unlearned: nn.Module,
    concept: int,
    psi: float,
    *,
    count: int = 48,
    completion: Completion = "same",
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
) -> Tensor:
    """Images that the model before begins and the unlearned one finishes, from -1 to 1, shape (n, C, H, W).

    Args:
        concept: the number of what is asked for.
        psi: share of the process, in times of training, that the model before does: 0 for none of it, 1 for all. How many steps
            that is, :func:`handed_over` says.
        count: images, from the seeds of attacks.
        completion: what the unlearned model is asked for: the "same", or "nothing", which shows what it still draws unasked.
        seeds: other ones, one for each image.

    Raises:
        BadSetting: if psi is no share.
    """
    steps = handed_over(task, psi, sampling)
    chosen = seeds_for("attack", count) if seeds is None else list(seeds)
    asked = task.concepts.ask(torch.full((len(chosen),), concept))
    then = asked if completion == "same" else task.concepts.ask_for_nothing(len(chosen))
    begun = task.on_the_way(original, asked, chosen, steps, sampling)
    return task.draw(unlearned, then, chosen, sampling=sampling, start=begun, first=steps)


def handed_over(task: DiffusionTask, psi: float, sampling: Sampling | None = None) -> int:
    """How many steps the model before does at `psi`."""
    if not 0 <= psi <= 1:
        raise BadSetting(f"psi is a share of the process, from 0 to 1, not {psi}")
    return original_steps(task.scheduler, (sampling or task.sampling).steps, psi)


@dataclass(frozen=True, eq=False)
class Found:
    """What an attack found of one model.

    Args:
        shows: whether each image shows the concept, by what the model was asked to finish: shape (psi, images).
        others: share of each other concept's images that show what was asked for.
        attacked: the images themselves, asked for the same: shape (psi, images, C, H, W).
    """

    shows: Mapping[Completion, Tensor]
    others: Tensor
    attacked: Tensor

    def curve(self, completion: Completion = "same") -> list[float]:
        """Share of images that show the concept, for each psi."""
        shares: list[float] = self.shows[completion].double().mean(1).tolist()
        return shares


def verdict(drawn: float, areas: Sequence[float], gold: Sequence[float], others: float, before: float) -> Verdict:
    """What an eraser did, by the rule in the module's docstring.

    Args:
        drawn: share of images that show the concept, asked for it plainly.
        areas: under each curve.
        gold: the same of the retrained model.
        others: share of other concepts' images that show what was asked for.
        before: the same of the original.

    >>> verdict(0.02, [0.4, 0.2], [0.2, 0.2], 0.9, 0.95), verdict(0.0, [0.2, 0.2], [0.2, 0.2], 0.93, 0.95)
    ('concealed', 'removed')
    """
    if drawn >= STILL_DRAWN - _TIE:
        return "not removed"
    if any(area > its + ABOVE + _TIE for area, its in zip(areas, gold, strict=True)):
        return "concealed"
    return "damaged" if others <= before - WORSE + _TIE else "removed"


@dataclass(frozen=True)
class Concealment(Audit):
    """The attack at several psi, both ways of finishing, the published scores, and a verdict in the note of `recovery_area`.

    Args:
        psi: shares of the process that the original does, rising; the first one 0, which is no attack.
        count: images for each.
        others: images of each other concept.
        references: images of each model that the classifier for CCS and CRS is trained on, ten at least; 0 to leave the scores
            out.
        mode: "many" for CCS and CRS of all the attack's images, whose seeds are not those of the references; "paper" for
            those of one image for each of the published psi, of seed 42, which is a reference's too (there were 200). How the
            classifier is trained stays ours, see :func:`~expunge.diffusion.recognizers.tell_apart`.
        resamples: of the attack's images, for 95 % intervals; 0 for none.
        sampling: how images are drawn; as the task does when None.
        recognizer: tells what an image shows; a small network trained on the request's images when None.
        network: makes what tells two models' images apart, for CCS and CRS, from the shape of an image and the number of
            answers; it ends in a layer `head`. A small convolutional one when None; published are ResNet-18 and others with
            weights of ImageNet.
    """

    psi: tuple[float, ...] = (0.0, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85)
    count: int = 48
    others: int = 12
    references: int = 96
    mode: Literal["many", "paper"] = "many"
    resamples: int = 1_000
    sampling: Sampling | None = None
    recognizer: Recognizer | None = None
    network: Network | None = None

    takes = (DiffusionTask,)
    splits = ConceptSplit
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "arbitrary_types_allowed": True}  # type: ignore[assignment]
    figures: ClassVar[Mapping[str, str]] = {
        "concept_drawn": "share of images that show the concept when the model is asked for it; ideal: the retrained model's",
        "others_drawn": "share of images that show other concepts when the model is asked for these; ideal: the original's",
        "others_worst": "share of images that show another concept when the model is asked for it, of the one that is drawn "
        "worst; ideal: the original's",
        "recovered": "share of images that show the concept after the original did about half of the process; "
        "ideal: the retrained model's",
        "recovery_area": "share of images that show the concept, mean over all shares of the process that the original did; "
        "ideal: the retrained model's",
        "unasked_area": "share of images that show the concept though the model is asked for nothing, mean over all shares of "
        "the process that the original did; ideal: the retrained model's",
        "recovered_half": "share of the process after which half of the images show the concept; ideal: the retrained model's",
        "ccs": "concept confidence score, 0 to 1; ideal: the retrained model's",
        "ccs_corrected": "concept confidence score counted from chance, -1 to 1; ideal: the retrained model's",
        "crs": "concept retrieval score as published, blind to the side; ideal: the retrained model's",
        "crs_signed": "concept retrieval score with its sign, above 0 for recovered; ideal: the retrained model's",
    }

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.psi, self.psi[1:], strict=False))
        if len(self.psi) < 2 or self.psi[0] != 0 or not rising or self.psi[-1] > 1:
            raise BadSetting(f"psi are shares of the process that rise from 0, two at least, not {list(self.psi)}")
        if self.count < 1 or self.others < 1 or self.resamples < 0:
            raise BadSetting(
                f"concealment needs count and others from 1 on and resamples from 0 on, not {self.count}, {self.others}, "
                f"{self.resamples}"
            )
        if self.mode == "paper" and 0 < self.references <= _PUBLISHED_SEED:
            raise BadSetting(
                f"as published, image {_PUBLISHED_SEED} is among the references: there are more of these (200), not "
                f"{self.references}"
            )
        if self.references != 0 and self.references < LEAST:
            raise BadSetting(
                f"{self.references} images of each model are too few to tell the two apart: references are {LEAST} at least, "
                "or 0 to leave CCS and CRS out"
            )

    def examine(self, subject: Subject, references: References) -> dict[str, Figure]:
        original, gold = references.original, references.gold
        if original is None or not isinstance(subject.split, ConceptSplit):
            return {}
        judge = judge_for(original, self.recognizer)
        if isinstance(judge, str):
            return {name: Figure(None, None, note=judge) for name in self.figures}
        task = read_drawing(subject)[0]
        if handed_over(task, self.psi[-1], self.sampling) == 0:
            steps = (self.sampling or task.sampling).steps
            raise BadSetting(
                f"of {steps} steps the original does none up to psi {self.psi[-1]:g}; take more steps, or higher psi"
            )
        before = self._values(original, original, judge)
        if (drawn := float(before["concept_drawn"])) < STILL_DRAWN:
            return {name: Figure(None, None, note=_never_drawn(original, drawn)) for name in self.figures}
        mine = self._values(subject, original, judge)
        ideal = {} if gold is None else self._values(gold, original, judge)
        found: dict[str, Figure] = {}
        for name in self.figures:
            value, wanted = mine[name], (before if name.startswith("others") else ideal).get(name)
            known = wanted if isinstance(wanted, float) else None
            found[name] = Figure(None, None, note=value) if isinstance(value, str) else Figure(value, known)
        for name, interval in self._intervals(subject, original, judge).items():
            found[name] = replace(found[name], interval=interval)
        told = _told(mine, ideal, before) if self.count >= LEAST else f"no verdict by {self.count} images; take {LEAST} or more"
        found["recovery_area"] = replace(found["recovery_area"], note=told)
        return found

    def recovery(self, subject: Subject, references: References, shown: int = 3) -> Mapping[str, Any] | None:
        """What a report shows of a subject: `psi` and how many `steps` these are, the curves `asked` and `unasked`, and for
        each psi the first `images`, PNG in base64, with whether each `shows` the concept; None where nothing recognises it.

        Args:
            shown: images for each psi.
        """
        original = references.original
        if original is None or not isinstance(subject.split, ConceptSplit):
            return None
        models = [weights_hash(each.model) for each in (subject, original)]
        key = f"{models} {subject.split.digest} {self!r} {shown} seed {subject.engine.seed}{subject.task.reading}"
        found: Mapping[str, Any] | None = subject.engine.remember(
            f"{subject.name}-recovery", key, partial(self._pictured, subject, original, shown)
        )
        return found

    def _pictured(self, subject: Subject, original: Subject, shown: int) -> dict[str, Any] | None:
        judge = judge_for(original, self.recognizer)
        if isinstance(judge, str):
            return None
        found = self.found(subject, original, judge)
        return {
            "psi": list(self.psi),
            "steps": [handed_over(subject.task, psi, self.sampling) for psi in self.psi],  # type: ignore[arg-type]
            "asked": found.curve(),
            "unasked": found.curve("nothing"),
            "images": [[as_png(image) for image in images[:shown]] for images in found.attacked],
            "shows": found.shows["same"][:, :shown].tolist(),
        }

    def _intervals(self, subject: Subject, original: Subject, judge: Recognizer) -> dict[str, tuple[float, float]]:
        """95 % intervals over the attack's seeds, which all psi and both ways of finishing share."""
        if self.resamples == 0:
            return {}
        found = self.found(subject, original, judge)
        drawn = torch.randint(self.count, (self.resamples, self.count), generator=subject.engine.generator("resamples"))
        widths, whole = torch.tensor(self.psi, dtype=torch.double), self.psi[-1] - self.psi[0]
        middle = [place for place, psi in enumerate(self.psi) if _HALF_WAY[0] <= psi <= _HALF_WAY[1]]
        curves = {how: shows.double().T[drawn].mean(1) for how, shows in found.shows.items()}  # (resamples, psi)
        samples: dict[str, Tensor] = {
            "concept_drawn": curves["same"][:, 0],
            "recovery_area": torch.trapezoid(curves["same"], widths) / whole,
            "unasked_area": torch.trapezoid(curves["nothing"], widths) / whole,
            **({"recovered": curves["same"][:, middle].mean(1)} if middle else {}),
        }
        scores = self._scores(subject, original, found)
        if not isinstance(scores, str) and self.mode == "many":
            samples |= scores.figures(drawn)
        ends = torch.tensor([0.025, 0.975], dtype=torch.double)
        return {name: (low, high) for name, values in samples.items() for low, high in [values.quantile(ends).tolist()]}

    def found(self, subject: Subject, original: Subject, judge: Recognizer) -> Found:
        """What the attack finds of a subject. Kept."""
        key = ("concealment", self.psi, self.count, self.others, self.sampling, judge, id(original))
        if key not in subject.memory:
            subject.memory[key] = self._attacked(subject, original, judge)
        kept: Found = subject.memory[key]
        return kept

    def _attacked(self, subject: Subject, original: Subject, judge: Recognizer) -> Found:
        task, split = read_drawing(subject)
        seeds = seeds_for("attack", self.count)
        asked = task.concepts.ask(torch.full((self.count,), split.concept))
        silent = task.concepts.ask_for_nothing(self.count)
        key = ("on the way", split.concept, self.count, self.sampling)
        if key not in original.memory:
            original.memory[key] = task.all_the_way(original.model, asked, seeds, self.sampling)
        way: Tensor = original.memory[key]
        steps = [handed_over(task, psi, self.sampling) for psi in self.psi]

        def finished(then: Tensor) -> Iterator[Tensor]:
            for step in steps:
                yield task.draw(subject.model, then, seeds, sampling=self.sampling, start=way[step], first=step)

        def shown(drawn: Iterable[Tensor]) -> Tensor:
            return torch.stack([judge.answers(images) == split.concept for images in drawn])

        attacked = torch.stack(list(finished(asked)))
        shows: dict[Completion, Tensor] = {"same": shown(attacked), "nothing": shown(finished(silent))}
        return Found(shows, self._others(subject, judge), attacked)

    def _others(self, subject: Subject, judge: Recognizer) -> Tensor:
        task, split = read_drawing(subject)
        rest = [number for number in range(len(task.concepts.names)) if number != split.concept]
        numbers = torch.tensor(rest).repeat_interleave(self.others)
        drawn = task.draw(
            subject.model, task.concepts.ask(numbers), seeds_for("reference", len(numbers)), sampling=self.sampling
        )
        return (judge.answers(drawn) == numbers).double().view(len(rest), self.others).mean(1)

    def _values(self, subject: Subject, original: Subject, judge: Recognizer) -> dict[str, float | str]:
        found = self.found(subject, original, judge)
        same, unasked = found.curve(), found.curve("nothing")
        half = half_recovered(self.psi, same)
        middle = [share for psi, share in zip(self.psi, same, strict=True) if _HALF_WAY[0] <= psi <= _HALF_WAY[1]]
        values: dict[str, float | str] = {
            "concept_drawn": same[0],
            "others_drawn": found.others.mean().item(),
            "others_worst": found.others.min().item(),
            "recovered": fmean(middle) if middle else f"no psi lies between {_HALF_WAY[0]} and {_HALF_WAY[1]}",
            "recovery_area": area_under(self.psi, same),
            "unasked_area": area_under(self.psi, unasked),
            "recovered_half": f"half of the images never show it up to psi {self.psi[-1]:g}" if half is None else half,
        }
        scores = self._scores(subject, original, found)
        if isinstance(scores, str):
            return values | dict.fromkeys(SCORES, scores)
        return values | {name: score.item() for name, score in scores.figures().items()}

    def _scores(self, subject: Subject, original: Subject, found: Found) -> DomainScores | str:
        if self.references == 0:
            return "left out"
        if subject is original:
            return "the original's images can't be told from its own"
        key = ("scores", self, id(original))
        if key not in subject.memory:
            unlearned, before = self._own_images(subject), self._own_images(original)
            attacked = found.attacked if self.mode == "many" else self._as_published(subject, original)
            subject.memory[key] = domain_scores(subject, attacked, unlearned, before, self.network)
        scores: DomainScores | str = subject.memory[key]
        return scores

    def _own_images(self, subject: Subject) -> Tensor:
        """Images of the concept that a model draws by itself, from seeds that no attack has unless that is as published."""
        task, split = read_drawing(subject)
        key = ("own images", split.concept, self.references, self.sampling, self.mode)
        if key not in subject.memory:
            asked = task.concepts.ask(torch.full((self.references,), split.concept))
            seeds = seeds_for("reference", self.references, first=_APART)
            seeds = list(range(self.references)) if self.mode == "paper" else seeds
            subject.memory[key] = task.draw(subject.model, asked, seeds, sampling=self.sampling)
        images: Tensor = subject.memory[key]
        return images

    def _as_published(self, subject: Subject, original: Subject) -> Tensor:
        """One image for each psi, of the seed that the published figures have: shape (psi, 1, C, H, W)."""
        task, split = read_drawing(subject)
        attack = partial(partial_diffusion_attack, task, original.model, subject.model, split.concept)
        return torch.stack([attack(psi, sampling=self.sampling, seeds=[_PUBLISHED_SEED]) for psi in PUBLISHED_PSI])


def _never_drawn(original: Subject, drawn: float) -> str:
    task, split = read_drawing(original)
    return (
        f"the original itself draws {task.concepts.names[split.concept]!r} in {drawn:.0%} of images asked for it; what it "
        "never drew can be neither removed nor concealed"
    )


def _told(mine: Mapping[str, float | str], gold: Mapping[str, float | str], before: Mapping[str, float | str]) -> str:
    """The verdict, where there is a retrained model to judge by."""
    if not gold:
        return "no verdict without a retrained model"
    areas = ("recovery_area", "unasked_area")
    said = verdict(
        float(mine["concept_drawn"]),
        [float(mine[name]) for name in areas],
        [float(gold[name]) for name in areas],
        float(mine["others_drawn"]),
        float(before["others_drawn"]),
    )
    drawn = float(before["others_drawn"])
    if said in ("damaged", "removed") and drawn < _WELL_DRAWN:
        return f"no verdict: the original itself draws other concepts in only {drawn:.0%} of images asked for them"
    return f"verdict: {said}"

"""`expunge search`: from images to a small network, what it costs, and whether searching gained anything over chance."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

import torch
import yaml
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.modes import evaluating
from expunge.registry import find
from expunge.report.searched import FOUND, HAND_MADE, RANDOM, REFERENCE, Judged, Searched
from expunge.search import (
    SEARCHES,
    CellSpace,
    ExpectedCost,
    Found,
    Genotype,
    HandCNN,
    MobileNetV3Small,
    Recipe,
    SearchMethod,
    cost_report,
    retrain,
    search,
    train,
)
from expunge.search.faces import INTENDED_USE, Augmentation, IntendedUse, Scores, scores
from expunge.search.gradient_search import GradientSearch
from expunge.search.operations import DARTS_OPERATIONS
from expunge.search.random_search import RandomSearch
from expunge.split import Batches
from expunge.studies.machine import fitting_threads, machine
from expunge.studies.searching_data import Divided, check_size, divide, read_pictures
from expunge.studies.searching_files import GENOTYPE, RECORD, WORK, check_folder, write_search

SPACES = {"darts": DARTS_OPERATIONS}
_HIDDEN = {"augment", "watch", "recipe"}  # settings that no text can hold
_FEW_CHANNELS, _HALF = 8, 2  # up to so many, operations of PC-DARTS see a half of the channels in place of a quarter
_SHIFT = 16  # faces are shifted by up to a sixteenth of their side
_JUDGED_AT_ONCE = 256

Say = Callable[[str], None]


@dataclass(frozen=True)
class SearchPlan:
    """What is searched, and how.

    Args:
        space: the candidates: "darts".
        method: a name in `SEARCHES`.
        epochs: of the search; the method's own when None.
        nodes: of each cell.
        cells: of a network.
        channels: of each node before the first reduction.
        stem_stride: 2 halves images before the first cell, 4 halves them twice.
        settings: others of the method, by name, as texts or values.
        cost_weight: of the expected cost in the architecture's loss; the method's own when None.
        max_skips: most skip connections in the normal cell; any when None.
        random: cells drawn by chance that the found one is held against.
        retrain_epochs: in which each network is trained from scratch.
        batch_size: images in a step.
        size: side in pixels that images are brought to; as they are when None.
        faces: whether images are of faces; where it is known who is on them when None.
        train: use at most so many training rows.
        seed: of all that is drawn.
        device: where networks train.

    Raises:
        BadSetting: if something makes no sense.
    """

    space: str = "darts"
    method: str = "pc-darts"
    epochs: int | None = None
    nodes: int = 3
    cells: int = 3
    channels: int = 16
    stem_stride: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost_weight: float | None = None
    max_skips: int | None = None
    random: int = 5
    retrain_epochs: int = 45
    batch_size: int = 64
    size: int | None = None
    faces: bool | None = None
    train: int | None = None
    seed: int = 0
    device: Literal["cpu", "cuda", "auto"] = "cpu"

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise BadSetting(f"unknown space {self.space!r}; there are {', '.join(SPACES)}")
        if self.random < 0 or self.seed < 0 or self.batch_size < 2:
            raise BadSetting(
                f"random and seed must be 0 or more and batch_size at least 2, not {self.random}, {self.seed} and "
                f"{self.batch_size}"
            )


def search_images(
    data: str,
    plan: SearchPlan,
    out: Path,
    overwrite: bool = False,
    command: str = "",
    say: Say = lambda line: None,
) -> Searched:
    """Search a network for images, train it and its rivals, judge them, and write all of it into a folder.

    Persons, where they are known, or else rows are divided first; search and trainings see the training part alone. A search
    that was killed goes on where it was: its checkpoints are kept in the folder.

    Args:
        data: a file, a folder or a name; see :func:`~expunge.studies.searching_data.read_pictures`.
        plan: what is searched, and how.
        say: told what is done, a line at a time.

    Raises:
        BadFile: if data can't be read, or the folder holds something else.
        BadSetting: if options make no sense, or don't go together.
    """
    started = time.monotonic()
    check_folder(out, overwrite)
    recipe = Recipe(epochs=plan.retrain_epochs)
    find_method(plan)  # refuses settings before files are read
    pictures = read_pictures(data, plan.size)
    faces = pictures.persons is not None if plan.faces is None else plan.faces
    divided = divide(pictures, plan.seed, plan.size, faces, plan.train)
    check_size(divided.shape, plan.stem_stride)
    augment = Augmentation(shift=max(1, min(divided.shape[1:]) // _SHIFT)) if faces else None
    recipe = replace(recipe, augment=augment, batch_size=batch_size_for(len(divided.train), plan.batch_size))
    space = CellSpace(
        classes=len(pictures.classes),
        operations=SPACES[plan.space],
        nodes=plan.nodes,
        cells=plan.cells,
        channels=plan.channels,
        in_channels=divided.shape[0],
        stem_stride=plan.stem_stride,
    )
    engine = Engine(plan.seed, plan.device, folder=out / WORK)
    method = find_method(plan, augment, watcher(engine, say))
    with fitting_threads(nn.Identity()), engine.scope("search", key=repr((augment, divided.scaling))):
        found, network, models = _searched(space, divided, method, recipe, engine, plan, out, say)
        ran_on = machine(engine)
    searched = Searched(
        data=pictures.name,
        classes=pictures.classes,
        rows=(len(divided.train), len(divided.test)),
        persons=_persons(divided),
        shape=divided.shape,
        faces=faces,
        settings=_settings(plan, method, space, recipe, divided),
        found=found,
        models=models,
        seed=plan.seed,
        seconds=time.monotonic() - started + engine.resumed_seconds,
        steps=recipe.epochs * -(-len(divided.train) // recipe.batch_size),
        warn_below=getattr(method, "warn_below", None),
        notes=pictures.notes,
        use=_use(pictures.london) if faces else None,
        command=command,
        machine=ran_on,
    )
    write_search(searched, network, space, divided, out)
    return searched


def find_method(
    plan: SearchPlan, augment: Augmentation | None = None, watch: Callable[[dict[str, Any]], None] | None = None
) -> SearchMethod:
    """The method with the settings of a plan.

    Raises:
        BadSetting: if there is no such method, or it has no such setting.
    """
    kind: Any = find(SEARCHES, plan.method, "search method")
    by_gradients = issubclass(kind, GradientSearch)
    values = {name: _setting(kind, name, value) for name, value in plan.settings.items()}
    given: dict[str, Any] = {"epochs": plan.epochs, "cost_weight": plan.cost_weight, "max_skips": plan.max_skips}
    for name, value in given.items():
        if value is None:
            continue
        if name in values:
            raise BadSetting(f"{name} is given twice, as --{name.replace('_', '-')} and with --set")
        if by_gradients:
            values[name] = value
        elif name == "epochs" and kind is RandomSearch:
            values["recipe"] = Recipe(epochs=value, batch_size=plan.batch_size)
        else:
            raise BadSetting(f"{plan.method} has no {name}: leave --{name.replace('_', '-')} out")
    if plan.method == "pc-darts" and plan.channels <= _FEW_CHANNELS:
        values.setdefault("partial", _HALF)
    if by_gradients:
        values |= {"augment": augment, "watch": watch}
    found: SearchMethod = kind(**values)
    return found


def batch_size_for(rows: int, wanted: int) -> int:
    """The batch size nearest to the wanted one that leaves no last batch of one image, which can't be normalised.

    >>> batch_size_for(128, 64), batch_size_for(129, 64)
    (64, 63)
    """
    return next(size for size in (*range(wanted, 1, -1), *range(wanted + 1, rows + 1), rows) if rows % size != 1)


def watcher(engine: Engine, say: Say) -> Callable[[dict[str, Any]], None]:
    """Says a line after each epoch of a search: the genotype, and how decided it is."""

    def watch(facts: dict[str, Any]) -> None:
        epoch = sum("search" in row for row in engine.history)
        decided = ", ".join(f"{kind} {value:.3f}" for kind, value in facts["decidedness"].items())
        say(f"epoch {epoch}: decided {decided}; {short_genotype(Genotype.from_json(facts['genotype']))}")

    return watch


def short_genotype(genotype: Genotype) -> str:
    """Both cells in a line.

    >>> cell = (("sep_conv_3x3", 0), ("skip_connect", 1))
    >>> short_genotype(Genotype(cell, cell))
    'normal sep3(0) skip(1), reduction sep3(0) skip(1)'
    """

    def word(name: str) -> str:
        part, _, size = name.rpartition("_")
        return part.partition("_")[0] + (size[:1] if size[:1].isdigit() else "")

    cells = {"normal": genotype.normal, "reduction": genotype.reduction}
    return ", ".join(f"{kind} {' '.join(f'{word(name)}({at})' for name, at in genes)}" for kind, genes in cells.items())


def _setting(kind: Any, name: str, value: Any) -> Any:
    """A setting, as YAML has it where it is a text."""
    known = [each.name for each in fields(kind) if each.name not in _HIDDEN]
    if name not in known:
        raise BadSetting(f"{kind.name} has no setting {name!r}; there are {', '.join(known)}")
    try:
        plain = yaml.safe_load(value) if isinstance(value, str) else value
        found = TypeAdapter(get_type_hints(kind)[name]).validate_python(plain)
    except (ValidationError, yaml.YAMLError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not a value"
        raise BadSetting(f"{kind.name}, {name}={value}: {reason}") from error
    if isinstance(found, ExpectedCost):
        raise BadSetting(f"{kind.name}, {name}: a table of costs can be given from Python alone; here it is macs or latency")
    return found


def _searched(
    space: CellSpace,
    divided: Divided,
    method: SearchMethod,
    recipe: Recipe,
    engine: Engine,
    plan: SearchPlan,
    out: Path,
    say: Say,
) -> tuple[Found, nn.Module, tuple[Judged, ...]]:
    """What the search found, the network of it, and all networks that were judged."""
    x, y = divided.part(divided.train)
    say(f"{method.name} searches with {len(y):,} images of {divided.shape[1]} x {divided.shape[2]} pixels ...")
    groups = divided.groups(divided.train)
    found = search(space, (x, y, groups), method, engine, plan.batch_size)
    (out / RECORD).unlink(missing_ok=True)  # of a search that is being replaced: from here on its files are not one run's
    found.genotype.save(out / GENOTYPE)
    network: Any = None
    models: list[Judged] = []
    for name, role, genotype, trained in _trainings(space, found.genotype, x, y, recipe, engine, plan):
        say(f"training the {name} ...")
        started, earlier = time.monotonic(), engine.resumed_seconds
        made = trained()
        seconds = time.monotonic() - started + engine.resumed_seconds - earlier
        network = made if network is None else network
        judged = judge(made, divided)
        models.append(Judged(name, role, cost_report(made, divided.shape), judged, genotype, seconds))
        say(f"{name}: {100 * judged.accuracy:.1f} % of the test images right")
    reference = engine.new_model(lambda: MobileNetV3Small(divided.shape, space.classes), "reference")
    models.append(Judged("MobileNetV3-small", REFERENCE, cost_report(reference, divided.shape)))
    return found, network, tuple(models)


Training = tuple[str, str, Genotype | None, Callable[[], nn.Module]]


def _trainings(
    space: CellSpace, found: Genotype, x: Tensor, y: Tensor, recipe: Recipe, engine: Engine, plan: SearchPlan
) -> Iterator[Training]:
    """Name, role, genotype and training of each network: the found one, random ones, and a hand-made one."""

    def cells(genotype: Genotype, name: str) -> Callable[[], nn.Module]:
        return lambda: retrain(space, genotype, x, y, engine, recipe, name=name)

    def hand_made() -> nn.Module:
        with engine.scope("hand-made"):
            network = engine.new_model(lambda: HandCNN(tuple(x.shape[1:]), space.classes))
            return train(network, Batches(TensorDataset(x, y), recipe.batch_size), engine, recipe)

    yield "found cell", FOUND, found, cells(found, "found")
    generator = engine.generator("random cells")
    for place in range(1, plan.random + 1):
        genotype = space.random(generator)
        yield f"random cell {place}", RANDOM, genotype, cells(genotype, f"random-{place}")
    yield "hand-made CNN", HAND_MADE, None, hand_made


def judge(network: nn.Module, divided: Divided) -> Scores:
    """The scores of a network on the test part."""
    images, labels = divided.part(divided.test)
    device = next(network.parameters()).device
    with torch.no_grad(), evaluating(network):
        told = torch.cat([network(part.to(device)).argmax(1).cpu() for part in images.split(_JUDGED_AT_ONCE)])
    return scores(labels.numpy(), told.numpy(), divided.pictures.classes)


def _persons(divided: Divided) -> tuple[int, int] | None:
    if divided.pictures.persons is None:
        return None
    first, second = (len(set(divided.pictures.persons[rows].tolist())) for rows in (divided.train, divided.test))
    return first, second


def _use(london: bool) -> IntendedUse:
    """What a model of faces is for; limits are those of one division, and the attribution stands where it is due."""
    once = "Figures are of one division into training and test; they do not carry over to other cameras, ages or skins."
    return replace(INTENDED_USE, limits=(once, INTENDED_USE.limits[-1]), data=INTENDED_USE.data if london else ())


def _settings(plan: SearchPlan, method: SearchMethod, space: CellSpace, recipe: Recipe, divided: Divided) -> dict[str, Any]:
    """All that was chosen, in values that JSON holds."""
    own = {each.name: getattr(method, each.name) for each in fields(method) if each.name not in _HIDDEN}
    if isinstance(method, RandomSearch):
        own["epochs"] = method.recipe.epochs
    training = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": asdict(recipe.optimizer),
        "schedule": recipe.schedule,
        "clip_norm": recipe.clip_norm,
        "augmentation": asdict(recipe.augment) if isinstance(recipe.augment, Augmentation) else None,
    }
    return {
        "space": {"name": plan.space, **asdict(space), "operations": list(space.operations)},
        "search": {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()},
        "training": training,
        "scaling": dict(divided.scaling),
        "random_cells": plan.random,
    }

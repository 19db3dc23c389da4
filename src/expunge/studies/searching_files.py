"""The files of a search: what it leaves in its folder, and how a network is read from there."""

import json
import math
from pathlib import Path
from typing import Any

from torch import nn

from expunge.errors import BadFile
from expunge.report.searched import Judged, Searched, finding, model_card, write_searched
from expunge.search import CellNetwork, CellSpace, Genotype, draw
from expunge.storage import load_own_state, own_state, read_weights, write_json, write_text, write_weights
from expunge.studies.searching_data import Divided, split_json

GENOTYPE, MODEL, RECORD, CELL, REPORT = "genotype.json", "model.safetensors", "search.json", "cell.svg", "report.html"
CARD, SPLIT, WORK = "model_card.md", "split.json", "work"
_OTHERS = ("audit.json", "study.json", "job.yaml", "values.json", "score.json", "generator.safetensors")  # of other verbs
_FORMAT = "expunge cell network 1"


def check_folder(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something else, or a finished search that may not be replaced.

    Raises:
        BadFile: if it does.
    """
    if (there := next(each for each in (out, *out.absolute().parents) if each.exists())) and not there.is_dir():
        raise BadFile(f"{there} is a file; give a folder for the search")
    foreign = any((out / name).exists() for name in (MODEL, REPORT)) and not (out / GENOTYPE).exists()
    if foreign or any((out / name).exists() for name in _OTHERS):
        raise BadFile(f"{out} holds a run of another kind; give another folder with --out")
    if (out / RECORD).exists() and not overwrite:
        raise BadFile(f"{out} holds a finished search; give another folder with --out, or replace it with --overwrite")


def load_network(path: Path) -> tuple[CellNetwork, dict[str, Any]]:
    """A network that was found and trained, ready to be asked, and the facts that its file holds of it.

    Args:
        path: model.safetensors of a search.

    Raises:
        BadFile: if it is no such file.
    """
    tensors, metadata = read_weights(path)
    try:
        facts: dict[str, Any] = json.loads(metadata["network"])
        if facts["format"] != _FORMAT:
            raise ValueError(f"format {facts['format']!r}")
        shape = (facts["cells"], facts["channels"], facts["in_channels"], len(facts["classes"]), facts["stem"])
        network = CellNetwork(Genotype.from_json(facts["genotype"]), *shape, stem_stride=facts.get("stem_stride", 1))
        load_own_state(network, tensors)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise BadFile(f"{path} is no network of a search: {error}") from error
    return network.eval(), facts


def write_search(searched: Searched, network: nn.Module, space: CellSpace, divided: Divided, out: Path) -> None:
    """Write all files, the record last."""
    genotype = searched.found.genotype
    facts = {
        "format": _FORMAT,
        "genotype": genotype.as_json(),
        "cells": space.cells,
        "channels": space.channels,
        "in_channels": space.in_channels,
        "stem": space.stem,
        "stem_stride": space.stem_stride,
        "classes": list(searched.classes),
        "shape": list(searched.shape),
        "scaling": dict(divided.scaling),
    }
    write_weights(out / MODEL, own_state(network), {"network": json.dumps(facts)})
    write_text(out / CELL, draw(genotype))
    write_text(out / SPLIT, split_json(divided))
    write_text(out / CARD, model_card(searched))
    write_searched(searched, out / REPORT)
    write_json(out / RECORD, record(searched))


def record(searched: Searched) -> dict[str, Any]:
    """All that was found, as JSON holds it."""
    found = searched.found
    kept = ("fit", "epoch", "step", "terms", "search")
    return {
        "data": searched.data,
        "classes": list(searched.classes),
        "images": dict(zip(("train", "test"), searched.rows, strict=True)),
        "persons": None if searched.persons is None else dict(zip(("train", "test"), searched.persons, strict=True)),
        "shape": list(searched.shape),
        "faces": searched.faces,
        "verdict": finding(searched),
        "beats_chance": searched.beats_chance,
        "margin": searched.margin,
        "deviation": searched.deviation,
        "warnings": list(searched.warnings),
        "notes": list(searched.notes),
        "method": found.method,
        "genotype": found.genotype.as_json(),
        "decidedness": dict(found.decidedness) or None,
        "architecture_steps": found.steps,
        "search_seconds": found.seconds,
        "training_steps": searched.steps,
        "models": [_model(model) for model in searched.models],
        "candidates": [
            {"genotype": genotype.as_json(), "score": value if math.isfinite(value) else None}
            for genotype, value in found.scores
        ],
        "history": [{name: row[name] for name in kept if name in row} for row in found.history],
        "settings": dict(searched.settings),
        "seed": searched.seed,
        "seconds": searched.seconds,
        "command": searched.command,
        "machine": dict(searched.machine or {}),
    }


def _model(model: Judged) -> dict[str, Any]:
    cost = model.cost
    return {
        "name": model.name,
        "role": model.role,
        "scores": None if model.scores is None else model.scores.as_dict(),
        "genotype": None if model.genotype is None else model.genotype.as_json(),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "file_bytes": cost.file_bytes,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "latency_seconds": model.latency,
        "training_seconds": model.seconds,
    }

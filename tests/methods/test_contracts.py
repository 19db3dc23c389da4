"""Every method, on every task that it claims, under every contract."""

import copy
from functools import cache
from pathlib import Path

import pytest

import expunge.methods
import tiny_diffusion
import tiny_federations
import tiny_interactions
import tiny_language
from contracts import World, contracts_for, refuses_the_task_and_says_why
from expunge.diffusion import ConceptSplit
from expunge.engine import Engine
from expunge.federated.client_split import ClientSplit
from expunge.methods import METHODS
from expunge.methods.eraser import Eraser
from expunge.methods.language_method import LanguageMethod
from expunge.sisa import ShardedTraining
from expunge.split import Batches
from tiny import band_split, blobs, class_split, original, regression_original, regression_task, task
from tiny_graphs import link_original, link_split, link_task, node_original, node_split, node_task

# A quarter of the data must go here: no weight can matter more than 4 times as much for it as for the whole.
SETTINGS = {"ssd": {"alpha": 1.5}, "gated-transfer": {"rounds": 10}}
# Without an adapter, whose weights no contract could hold against those before.
SETTINGS |= {name: {"lora": None, "epochs": 2} for name, method in METHODS.items() if issubclass(method, LanguageMethod)}
SETTINGS["unstar"] |= {"rounds": 2}
SETTINGS |= {name: {"steps": 4, "where": "network"} for name, method in METHODS.items() if issubclass(method, Eraser)}


@cache
def trained(train):
    """The originals of every contract have the same seed: one training serves all."""
    return train(Engine(progress=False))


def in_shards(engine):
    return ShardedTraining(shards=2, slices=2, epochs=2).train(task(), Batches(blobs(), 16), engine)


WORLDS = {
    "classification": World(task, class_split, lambda _: copy.deepcopy(trained(original))),
    "regression": World(regression_task, band_split, lambda _: copy.deepcopy(trained(regression_original))),
    "links": World(link_task, link_split, lambda _: copy.deepcopy(trained(link_original)), tensors=False),
    "nodes": World(node_task, node_split, lambda _: copy.deepcopy(trained(node_original)), tensors=False),
    "recommendation": World(
        tiny_interactions.task,
        lambda: tiny_interactions.parts().without(tiny_interactions.removal("users")),
        lambda _: copy.deepcopy(tiny_interactions.trained()),
        tensors=False,
    ),
    "language": World(tiny_language.task, tiny_language.split, lambda _: tiny_language.trained(), tensors=False),
    "diffusion": World(tiny_diffusion.task, tiny_diffusion.split, lambda _: tiny_diffusion.trained(), tensors=False),
    "shards": World(task, class_split, lambda _: copy.deepcopy(trained(in_shards)), tensors=False),
    "clients": World(task, lambda: tiny_federations.played()[1], lambda _: copy.deepcopy(tiny_federations.played()[0]), False),
}
CASES = [
    pytest.param(name, contract, world, id=f"{name}-{contract.__name__}-{place}")
    for name in METHODS
    for place, world in WORLDS.items()
    for contract in contracts_for(METHODS[name], world)
    if (name, place) != ("certified-removal", "nodes")  # it takes linear networks alone; see its own tests
    and (name, place) not in (("zero-shot", "nodes"), ("gated-transfer", "nodes"))  # here nodes of all classes go; likewise
    and (place == "shards") == (name == "sisa")  # it takes models alone that were trained in shards
    and (place == "clients") <= (METHODS[name].splits is ClientSplit)  # for all others the split is one of records
]


@pytest.mark.parametrize(("name", "contract", "world"), CASES)
def test_contract(name, contract, world):
    contract(METHODS[name](**SETTINGS.get(name, {})), world)


def test_the_methods_that_take_clients_out_of_a_federation():
    assert {name for name, method in METHODS.items() if method.splits is ClientSplit} == {
        "federated-retrain",
        "conda",
        "continue-without",
        "fed-eraser",
        "pga",
        "weight-negation",
        "fed-osd",
        "update-subtraction",
    }


def test_the_methods_that_take_some_kinds_of_task_alone():
    refused: dict[str, set[str]] = {}
    for case in CASES:
        name, contract, world = case.values
        if METHODS[name].splits is ClientSplit:  # they are refused for their requests
            continue
        if contract is refuses_the_task_and_says_why:
            refused.setdefault(name, set()).add(next(place for place, each in WORLDS.items() if each is world))
    others = {"classification", "regression", "recommendation", "language", "diffusion"}
    alone = {"classification", "regression", "links", "nodes", "language", "diffusion"}
    of_language = {name for name, method in METHODS.items() if issubclass(method, LanguageMethod)} | {"prompt-guard"}
    of_diffusion = {name for name, method in METHODS.items() if method.splits is ConceptSplit}
    assert (len(of_language), len(of_diffusion)) == (13, 8)
    assert refused == {
        **{name: {"classification", "regression", "links", "nodes", "recommendation", "diffusion"} for name in of_language},
        **{
            name: {*alone - {"diffusion"}, "recommendation"}
            for name in ("esd", "concept-ablation", "sdd", "uce", "rece", "safegen", "forget-me-not", "erase-diff")
        },
        **{
            name: {"regression", "links", "recommendation", "language", "diffusion"}
            for name in ("random-labels", "boundary-shrink", "unsir", "zero-shot", "gated-transfer")
        },
        "salun": {"links", "recommendation", "language"},
        "gaussian-amnesiac": {"classification", "links", "nodes", "recommendation", "language", "diffusion"},
        "ridge-downdate": {"classification", "links", "nodes", "recommendation", "language", "diffusion"},
        "d2dgn": others,
        "unlink": others,
        "gnndelete": others,
        "gif": others,
        "graph-eraser": others,
        "megu": {*others, "links"},
        "certified-removal": {*others, "links"},
        "mmrecun": alone,
        "edge-drop": alone,
        "reset-rows": alone,
        "level-scores": alone,
        "amun": alone,
        "rec-eraser": alone,
        "scif": alone,
        "ifru": alone,
    }


def test_every_file_is_registered_under_its_name():
    files = {path.stem.replace("_", "-") for path in Path(expunge.methods.__file__).parent.glob("*.py")}
    assert files - {"--init--", "method", "language-method", "eraser"} == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_docstring_cites_a_paper(name):
    text = __import__(METHODS[name].__module__, fromlist=["x"]).__doc__
    assert "Needs:" in text and "Costs:" in text
    assert name == "retrain" or "arXiv" in text

"""Every method, on every task that it claims, under every contract."""

from pathlib import Path

import pytest

import expunge.methods
from contracts import CONTRACTS, World
from expunge.methods import METHODS
from tiny import class_split, original, task

# A quarter of the data must go here: no weight can matter more than 4 times as much for it as for the whole.
SETTINGS = {"ssd": {"alpha": 1.5}}
WORLDS = {"classification": World(task, class_split, original)}


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_contract(name, contract, world):
    contract(METHODS[name](**SETTINGS.get(name, {})), world)


def test_every_file_is_registered_under_its_name():
    files = {path.stem.replace("_", "-") for path in Path(expunge.methods.__file__).parent.glob("*.py")}
    assert files - {"--init--", "method"} == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_docstring_cites_a_paper(name):
    text = __import__(METHODS[name].__module__, fromlist=["x"]).__doc__
    assert "Needs:" in text and "Costs:" in text
    assert name == "retrain" or "arXiv" in text

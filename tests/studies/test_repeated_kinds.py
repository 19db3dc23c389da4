"""Many models of each kind, of nodes, links, pairs and facts: originals that know by heart, and the noise floor."""

from dataclasses import replace

import pytest

from audits.shadow_worlds import WORLDS
from expunge.engine import Engine
from expunge.graphs import NodeBatches
from expunge.methods import Finetune
from expunge.split import stream_digest
from expunge.studies.repeated import repeated
from expunge.studies.repeated_models import whole_of


@pytest.mark.parametrize("kind", WORLDS)
def test_a_split_knows_what_the_original_was_trained_on(kind):
    world = WORLDS[kind]()
    trained = world.training
    if isinstance(trained, NodeBatches):
        trained = replace(trained, nodes=trained.nodes.sort().values)  # in any order
    assert stream_digest(whole_of(world.request(0), {})) == stream_digest(trained)


@pytest.mark.parametrize("kind", WORLDS)
def test_originals_are_told_from_retrained_models_and_two_sets_of_those_are_not(kind):
    """A method that does nothing leaves what it was given; but edges that go, its models no longer read."""
    world = WORLDS[kind]()
    found = repeated(world.task, world.request(0), Finetune(epochs=0), world.recipe, Engine(progress=False), 4)
    area = {name: figures["ulira_auc"] for name, figures in found.figures.items()}
    assert area["original"] > 0.85 and abs(area["retrained-2"] - 0.5) < 0.2
    assert area["unlearned"] == area["original"] if kind != "links" else 0.65 < area["unlearned"] < area["original"]

"""LiRA and RMIA of nodes, links, pairs and facts: who knows them by heart is found out, and who was retrained is not."""

import numpy as np
import pytest
import torch
from torch import nn

from audits.shadow_worlds import WORLDS, World
from expunge.audits import RMIA, Audit, LiRA, References, Subject
from expunge.audits.shadows.attacking import Asked, signed
from expunge.audits.shadows.training import shadows_of
from expunge.engine import Engine
from expunge.errors import BadSetting, MissingExtra
from expunge.tasks import LinkPredictionTask, RecommendationTask

EVERY = pytest.mark.parametrize("made", WORLDS.values(), ids=WORLDS)
ATTACKS: tuple[Audit, ...] = (LiRA(shadows=8), RMIA(shadows=8))


class Killed(Exception):
    """The process ends here."""


@pytest.fixture
def fits(monkeypatch):
    """The names of all fits; the one whose name ends with what `die` holds is the process's last."""
    names, fit = list[str](), Engine.fit
    names_to_die = list[str]()

    def counting(self, *args, **settings):
        name = self.full_name("fit")
        if any(name.endswith(each) for each in names_to_die):
            raise Killed
        names.append(name)
        return fit(self, *args, **settings)

    monkeypatch.setattr(Engine, "fit", counting)
    return names, names_to_die


@EVERY
def test_a_model_that_knows_its_examples_by_heart_is_found_out_and_the_retrained_one_is_not(made):
    world = made()
    original, gold = world.subject("original"), world.subject("retrained")
    references = References(original, (gold,), world.recipe.train)
    for attack in ATTACKS:
        found = attack(original, references)[f"{attack.name}_auc"]
        assert found.value > 0.75, attack.name
        assert abs(found.ideal - 0.5) < 0.15, attack.name
        assert attack(gold, references)[f"{attack.name}_auc"].value == found.ideal


@EVERY
def test_shadows_are_those_of_another_request_of_the_same_data_and_of_another_attack(made, fits, tmp_path):
    names, _ = fits
    world = made().quick()
    for number, attack in ((0, LiRA(shadows=4)), (0, RMIA(shadows=4)), (1, RMIA(shadows=4)), (1, LiRA(shadows=4))):
        attack(*world.untrained(number, Engine(progress=False, folder=tmp_path)))
        assert names == [f"shadows/shadow-{shadow}/fit" for shadow in range(4)]
    LiRA(shadows=4)(*world.quick(3).untrained(0, Engine(progress=False, folder=tmp_path)))
    assert len(names) == 8, "those of another recipe are others"


@EVERY
def test_a_killed_run_goes_on_to_the_same_figures(made, fits, tmp_path):
    names, die = fits
    world, attack = made().quick(), LiRA(shadows=4)
    whole = attack(*world.untrained())
    names.clear()
    die.append("shadow-2/fit")
    with pytest.raises(Killed):
        attack(*world.untrained(engine=Engine(progress=False, folder=tmp_path)))
    die.clear()
    assert attack(*world.untrained(engine=Engine(progress=False, folder=tmp_path))) == whole
    assert names == [f"shadows/shadow-{number}/fit" for number in range(4)], "none twice"


@EVERY
def test_what_is_asked_of_shadows_is_what_the_model_under_audit_is_asked(made):
    """Examples to forget come first, then the first unseen ones."""
    world = made().quick()
    subject, references = world.untrained()
    asked, shadows = Asked.of(subject, 7), shadows_of(subject, references, 2, 32, 7)
    goes = len(subject.scores("forget"))
    assert (asked.goes, asked.examples) == (goes, goes + 7)
    said, (signals, held) = asked.said(subject, world.task.losses), asked.signals(shadows, world.task, world.task.losses)
    np.testing.assert_allclose(said[:goes], subject.losses("forget").numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(said[goes:], subject.losses(subject.unseen_part())[:7].numpy(), rtol=1e-4, atol=1e-5)
    assert signals.shape == (2, goes + 7) and (held[0] == ~held[1]).all()


@pytest.mark.parametrize(("name", "number"), [("links", 20), ("pairs", 30)])
def test_shadows_read_what_they_hold_as_the_original_does_and_nothing_that_was_asked_where_that_is_gone(name, number):
    world = WORLDS[name]().quick(0)
    original, references = world.untrained()
    after = Subject("retrained", original.model, world.task, world.request(0), original.engine)
    shadows, read = shadows_of(original, references, 2, 32, number), []

    class Watching(type(world.task)):  # type: ignore[misc]
        def outputs(self, model, batch):
            read.append(batch.graph.edges if name == "links" else batch.interactions.pairs)
            return super().outputs(model, batch)

    task = Watching(world.task.factory)  # type: ignore[attr-defined]
    whole = shadows.examples.stream(torch.ones(int(shadows.examples.units.max()) + 1, dtype=torch.bool)).pairs  # type: ignore[attr-defined]
    for subject in (original, after):
        asked = Asked.of(subject, number)
        read.clear()
        asked.signals(shadows, task, task.losses)
        given = shadows.examples.units if subject is original else shadows.examples.units[asked.examples :]
        held = shadows.held if subject is original else shadows.held[:, asked.examples :]
        for edges, mine in zip(read[:: len(asked.batches)], held, strict=True):
            assert torch.equal(edges, whole[given[mine].sort().values])


def test_signals_of_links_are_logits_of_what_is_true():
    """log p / (1 - p), p the probability that is given to the edge, or to there being none."""
    task = LinkPredictionTask(lambda: nn.Linear(2, 2))

    class Batch:
        labels = torch.tensor([1.0, 0.0])

    logits = torch.tensor([1.5, 2.0])
    found = signed(task, logits, Batch())
    true = task.scores(logits, Batch())  # type: ignore[arg-type]
    torch.testing.assert_close(found, (true / (1 - true)).log().unsqueeze(1))
    assert found.tolist() == [[1.5], [-2.0]]


def test_signals_of_pairs_are_mean_margins_whatever_the_model_adds_to_the_loss():
    outputs = torch.tensor([[3.0, 1.0, 2.0, 0.7], [0.0, 4.0, 2.0, 9.0]])
    assert signed(RecommendationTask(lambda: nn.Linear(2, 2)), outputs, None).tolist() == [[1.5], [-3.0]]


def test_signals_of_facts_are_mean_log_likelihoods_of_a_token():
    world = WORLDS["facts"]()
    subject, _ = world.untrained()
    (batch,) = list(subject.batches("forget"))
    with torch.no_grad():
        outputs = world.task.outputs(subject.model, batch)
    tokens = (batch[2] >= 0).sum(1)
    wanted = world.task.log_likelihoods(outputs, batch) / tokens  # type: ignore[attr-defined]
    torch.testing.assert_close(signed(world.task, outputs, batch), wanted.unsqueeze(1))


@pytest.mark.parametrize("attack", [LiRA, RMIA])
def test_there_must_be_a_worker(attack):
    with pytest.raises(BadSetting, match=r"needs a number of workers of at least 1, not 0$"):
        attack(shadows=2, workers=0)
    assert attack(shadows=2, workers=3) == attack(shadows=2) and repr(attack(shadows=2, workers=3)) == repr(attack(shadows=2))


def test_without_ray_more_workers_are_refused_by_the_name_of_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    world: World = WORLDS["links"]().quick()
    with pytest.raises(MissingExtra, match=r"pip install 'expunge\[distributed\]'$"):
        LiRA(shadows=2, workers=2)(*world.untrained())

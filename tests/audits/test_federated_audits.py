"""What a client implanted, how each of the others is served, and what forgetting has cost: worked out beside the audits."""

import copy
from dataclasses import replace

import pytest
import torch

from expunge.audits import Backdoor, Clients, References, Subject, Work
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.federated.client_split import continued
from expunge.methods import ContinueWithout, FederatedRetrain
from expunge.studies.comparison import compare, default_audits
from tiny import class_split, original, task
from tiny_federations import federation, played


def subject(history=(), split=None, engine=None) -> Subject:
    model, usual = played()
    return Subject("original", model, task(), split or usual, engine or Engine(progress=False), 1.0, history)


def share_of_class_0(model, split) -> float:
    with torch.no_grad():
        return torch.cat([copy.deepcopy(model).eval()(batch[0]).argmax(1) == 0 for batch in split.wanted]).float().mean().item()


def test_the_backdoor_before_and_after_more_rounds():
    model, split = played()
    asked = subject()
    found = Backdoor(rounds=2)(asked)
    assert found["backdoor"].value == pytest.approx(share_of_class_0(model, split))
    engine = asked.engine
    with engine.scope("audit-backdoor"), engine.scope("rebound"):
        later = continued(copy.deepcopy(model), task(), split, Engine(progress=False), 0)
        later = split.rest.play(later, lambda m, b: task().losses(task().outputs(m, b), b), engine, rounds=2, first=7)
    assert found["backdoor_rebound"].value == pytest.approx(share_of_class_0(later, split))
    assert found["backdoor"].ideal is None


def test_the_gold_is_the_ideal_and_the_audits_own_rounds_are_nobodys_work():
    engine = Engine(progress=False)
    model, split = played()
    gold = Subject("retrained", FederatedRetrain()(model, task(), split, engine), task(), split, engine)
    rows = len(engine.history)
    found = Backdoor(rounds=1)(subject(engine=engine), References(retrained=(gold,)))
    assert found["backdoor"].value > 0.9 > 0.3 > found["backdoor"].ideal
    assert found["backdoor_rebound"].ideal is not None and len(engine.history) == rows
    assert "backdoor_rebound" not in Backdoor(rounds=0)(subject())
    with pytest.raises(BadSetting, match="rounds must be 0 or more"):
        Backdoor(rounds=-1)


def test_no_figures_where_nothing_was_wanted_or_nobody_leaves():
    engine = Engine(progress=False)
    assert Backdoor()(subject(split=replace(played()[1], wanted=()))) == {}
    plain = Subject("original", original(engine), task(), class_split(), engine)
    assert Backdoor()(plain) == Clients()(plain) == Work()(plain) == {}


def test_clients_are_looked_at_one_by_one():
    model, _ = played()
    scores = [task().evaluate(model, stream)["accuracy"] for name, stream in federation().clients.items() if name != "client-3"]
    found = Clients()(subject())
    assert found["clients_mean"].value == pytest.approx(sum(scores) / 3)
    assert found["clients_worst"].value == pytest.approx(min(scores))
    assert found["clients_worst"].ideal is None


@pytest.mark.parametrize("audit", [Backdoor(rounds=1), Clients(), Work()])
def test_every_figure_is_explained(audit):
    assert audit(subject()).keys() == audit.figures.keys()


def test_they_are_asked_where_clients_leave_and_nowhere_else():
    names = {"backdoor", "clients", "work"}
    assert names <= {audit.name for audit in default_audits(task(), played()[1])}
    assert not names & {audit.name for each in (class_split(), None) for audit in default_audits(task(), each)}


def test_work_is_summed_over_what_was_asked():
    rows = [
        {"fit": "something else", "epoch": 0},
        {"federation": "a", "rounds": 1, "client_passes": 2.0, "stored_bytes": 0},
        {"federation": "b", "rounds": 2, "client_passes": 0.5, "stored_bytes": 40},
    ]
    found = {name: figure.value for name, figure in Work()(subject(rows)).items()}
    assert found == {"rounds": 3, "client_passes": 2.5, "stored_bytes": 40}


def test_a_comparison_hands_each_result_its_own_history(tmp_path):
    model, split = played()
    methods = {"one": ContinueWithout(rounds=1), "two": ContinueWithout(rounds=2)}

    def rounds(engine: Engine) -> dict[str, float]:
        found = compare(model, task(), split, methods, engine, retrain=FederatedRetrain(), audits=[Work()])
        return {name: figures["rounds"].value for name, figures in found.figures.items()}

    expected = {"original": 0, "retrained": 6, "retrained-2": 6, "one": 1, "two": 2}
    assert rounds(Engine(folder=tmp_path, progress=False)) == expected
    assert rounds(Engine(folder=tmp_path, progress=False)) == expected  # from what was kept

"""The federated study: whom it lets leave, what it refuses, and a small run on digits."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.federated.attackers import patched
from expunge.methods import METHODS, ConDa, ContinueWithout
from expunge.report.rules import OF_CLIENTS
from expunge.report.verdict import failures, state
from expunge.studies import STUDIES, federated_scenarios, forget
from expunge.studies.comparison import to_case
from expunge.studies.federated import FederatedStudy
from expunge.studies.federated_scenarios import METHODS as ROWS
from expunge.studies.federated_scenarios import FederatedScenario
from expunge.tasks import ClassificationTask
from tiny import same_weights, task
from tiny_federations import played


@pytest.fixture
def digits(monkeypatch) -> dict[str, FederatedScenario]:
    """The cases of both budgets on digits, by title; nothing is found where users keep their data."""
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    source = federated_source()
    found = {}
    for study, budget in (
        (FederatedStudy(), "quick"),
        (FederatedStudy(), "full"),
        (FederatedStudy(partition="iid", attack="none"), "quick"),
    ):
        found |= {each.title: each for each in study.scenarios(source, budget)}
    return found


def federated_source():
    from expunge.data import load

    return load("digits")


def test_it_is_registered_and_has_every_method_for_clients():
    assert STUDIES["federated"] is FederatedStudy
    kinds = {type(method).name for method in ROWS.values()}
    assert {name for name, method in METHODS.items() if method.splits.__name__ == "ClientSplit"} - kinds == {
        "federated-retrain"
    }


def test_the_cases(digits):
    assert list(digits) == [
        "Dirichlet 0.5",
        "Dirichlet 0.1",
        "equal shares",
        "two classes each",
        "Dirichlet 0.5, two clients",
        "Dirichlet 0.5, flipped labels",
        "equal shares, no attack",
    ]


def test_each_seed_deals_anew_and_somebody_with_enough_data_leaves(digits):
    drawn = [digits["Dirichlet 0.5"].draw(seed) for seed in range(6)]
    assert len({each.leaving for each in drawn}) > 1
    for each in drawn:
        (name,) = each.leaving
        assert each.clean.examples * 10 >= 1437
        own = each.federation.clients[name].dataset.tensors
        inputs, labels = (torch.cat(values) for values in zip(*each.clean, strict=True))
        assert torch.equal(own[0][: len(labels)], inputs) and torch.equal(own[1][: len(labels)], labels)
        assert (own[1][len(labels) :] == 9).all() and len(own[1]) == len(labels) + round(0.8 * (labels != 9).sum().item())
        total = sum(stream.examples for client, stream in each.federation.clients.items() if client != name)
        assert total + each.clean.examples == 1437
    again = digits["Dirichlet 0.5"].draw(0)
    assert again.leaving == drawn[0].leaving and torch.equal(again.clean.indices, drawn[0].clean.indices)


def test_what_is_wanted(digits):
    holdout, labels = digits["equal shares"].holdout.tensors
    wanted = digits["equal shares"].draw(0).wanted.dataset.tensors
    assert torch.equal(wanted[0], patched(holdout)[labels != 9])
    flipped = digits["Dirichlet 0.5, flipped labels"].draw(0).wanted.dataset.tensors
    assert torch.equal(flipped[0], holdout[labels == 7]) and (flipped[1] == 9).all()
    assert digits["equal shares, no attack"].draw(0).wanted == ()
    assert len(digits["Dirichlet 0.5, two clients"].draw(0).leaving) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "random"}, "--partition is dirichlet, iid, pathological, not 'random'"),
        ({"attack": "worm"}, "--attack is backdoor, flip, none, not 'worm'"),
        ({"partition": "iid", "alpha": 0.5}, "--alpha is for --partition dirichlet, not for iid"),
        ({"clients": 1}, "--clients must be at least 2, not 1"),
        ({"alpha": -1.0}, "alpha must be above 0"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(BadSetting, match=message):
        FederatedStudy(**options).plan("digits", "quick")


def test_data_that_are_no_images_are_refused():
    with pytest.raises(BadSetting, match="it deals out images that lie in memory; diabetes is something else"):
        FederatedStudy().plan("diabetes", "quick")


def test_without_its_data_it_says_so(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    plan = FederatedStudy().plan(None, "full")
    assert plan.data == "digits" and any("mnist was not found" in note for note in plan.notes)
    assert any("cifar10 was not found" in note for note in plan.notes)


def test_a_small_run(tmp_path, monkeypatch):
    few = {"conda": ConDa(), "continue-without": ContinueWithout(rounds=1)}
    brief = replace_default(FederatedScenario, rounds=4)
    monkeypatch.setattr(federated_scenarios, "METHODS", few)
    monkeypatch.setattr("expunge.studies.federated.FederatedScenario", brief)
    studied = FederatedStudy(partition="iid").run(seeds=1, data="digits", folder=tmp_path / "out")
    studied.write(tmp_path / "out", tmp_path / "study.json")
    rows = json.loads((tmp_path / "study.json").read_text())["rows"]
    values = {(row["method"], row["metric"]): row["mean"] for row in rows}
    assert {row["method"] for row in rows} == {"original", "retrained", "retrained-2", *few}
    assert values["retrained", "rounds"] == 4 and values["conda", "rounds"] == 0 and values["continue-without", "rounds"] == 1
    assert values["conda", "stored_bytes"] == 10 * 4 * sum(each.numel() for each in small().parameters())
    assert values["retrained", "forget_kl"] == 0 < values["original", "forget_kl"]
    text = (tmp_path / "out" / "report.html").read_text()
    assert "backdoor" in text and "equal shares" in text


def replace_default(kind, **defaults):
    return lambda *given, **settings: kind(*given, **(defaults | settings))


def small():
    from expunge import models

    return models.build("small-cnn", federated_source())()


def test_two_runs_agree():
    scenario = scenario_of_blobs()
    one, two = (scenario.compare(Engine(3, progress=False), lambda line: None) for _ in range(2))
    for name, figures in one.figures.items():
        for metric, figure in figures.items():
            if "seconds" not in metric:
                assert figure.value == pytest.approx(two.figures[name][metric].value), (name, metric)


def test_a_run_that_is_started_again_finds_what_was_made(tmp_path):
    def figures() -> dict[str, dict[str, float]]:
        found = scenario_of_blobs().compare(Engine(0, folder=tmp_path, progress=False), lambda line: None).figures
        return {name: {metric: figure.value for metric, figure in each.items()} for name, each in found.items()}

    first = figures()
    assert figures() == first  # with the seconds that it took then
    (tmp_path / "blobs" / "conda" / "result.safetensors").unlink()
    again = figures()["conda"]  # made from rounds that were played again
    assert {k: v for k, v in again.items() if "seconds" not in k} == {
        k: v for k, v in first["conda"].items() if "seconds" not in k
    }


def scenario_of_blobs() -> FederatedScenario:
    generator = np.random.default_rng(0)
    labels = torch.arange(10).repeat(20)
    images = torch.as_tensor(generator.random((200, 1, 6, 6)), dtype=torch.float32)
    images[torch.arange(200), 0, labels // 5, labels % 5] += 2
    data = TensorDataset(images, labels)
    task = ClassificationTask(lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 10)), classes=10)
    few = {"conda": ConDa()}
    return FederatedScenario("blobs", task, data, data, "iid", clients=4, rounds=2, local_epochs=1, methods=few)


def test_the_verdict_is_on_the_backdoor_and_not_on_too_much_accuracy():
    case = to_case([scenario_of_blobs().compare(Engine(0, progress=False), lambda line: None)], "blobs", "a client")
    by_name = {row.name: row for row in case.rows}
    gold = by_name["retrained"]
    assert state(gold, case) == "matches"
    assert {rule.metric(case) for rule in OF_CLIENTS} <= gold.values.keys()

    def with_values(**values):
        changed = {name: replace(gold.values[name], mean=gold.values[name].mean + change) for name, change in values.items()}
        return [each.metric for each in failures(replace(gold, values={**gold.values, **changed}), case)]

    assert with_values(backdoor=0.04) == ["backdoor"] and with_values(backdoor=-0.9) == []
    assert with_values(backdoor_rebound=0.04) == ["backdoor_rebound"]
    assert with_values(holdout_accuracy=-0.03) == ["holdout_accuracy"] and with_values(holdout_accuracy=0.2) == []
    assert with_values(forget_kl=0.31) == ["forget_kl"] and with_values(forget_kl=0.29) == []


def test_auto_takes_conda_where_a_client_leaves():
    model, split = played()
    result = forget(model, task(), split, "auto", engine=Engine(progress=False))
    assert result.method == ConDa() and not same_weights(result.model, model)


def test_reports_begin_with_the_backdoor():
    from expunge.report.page import key_figures
    from expunge.report.scatter import axes_of, forget_against_retain

    case = to_case([scenario_of_blobs().compare(Engine(0, progress=False), lambda line: None)], "blobs", "a client")
    assert [figure.label for figure in key_figures(case)[1]][:2] == ["backdoor opens", "accuracy on unseen data"]
    assert [axis.metric for axis in axes_of(case)] == ["backdoor", "holdout_accuracy"]
    assert "<svg" in forget_against_retain(case)
    plain = replace(
        case, rows=tuple(replace(row, values={k: v for k, v in row.values.items() if k != "backdoor"}) for row in case.rows)
    )
    assert [axis.metric for axis in axes_of(plain)] == ["forget_accuracy", "holdout_accuracy"]

"""The continual study: its streams, what it refuses, and a small run on digits."""

import json
from dataclasses import replace

import pytest
import torch
from torch.utils.data import TensorDataset

from expunge.continual import CLPU, Joint, Rehearsal, UniCLUN
from expunge.data import load
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.report.evidence import Case, Row, Value
from expunge.report.rules import OF_STREAMS, rules
from expunge.report.verdict import failures, state
from expunge.studies import STUDIES, continual
from expunge.studies.comparison import to_case
from expunge.studies.continual import ContinualStudy
from expunge.studies.continual_scenarios import ContinualScenario, Serving, halved, learners, some_of
from tiny_streams import CLASSES, FAST, blobs, task

FEW = {"uniclun": UniCLUN(**FAST), "er-in-step": Rehearsal(**FAST), "clpu": CLPU(**FAST), "joint": Joint(**FAST)}


def scenario(requests: str = "L1 L2 U1 L3", **settings) -> ContinualScenario:
    given = {"tasks": 3, "memory": 20, "samples": (30, 20), "learners": FEW} | settings
    return ContinualScenario("blobs", task(), blobs(range(CLASSES), 40, 0), blobs(range(CLASSES), 30, 1), requests, **given)


def test_the_cases(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    assert STUDIES["continual"] is ContinualStudy
    quick, full = (ContinualStudy().scenarios(load("digits"), budget) for budget in ("quick", "full"))
    assert [each.title for each in quick] == ["L1 L2 L3 L4 U2 U4 L5, memory 200"]
    assert [(each.requests, each.memory) for each in full] == [
        ("L1 L2 L3 L4 U2 U4 L5", 200),
        ("L1 L2 L3 L4 U2 U4 L5", 500),
        ("L1 L2 U1 L3 L4 U3 L5", 200),
        ("L1 L2 L3 L4 L5 U1 U4", 200),
        ("L1 L2 L3 L4 U2:0.1 L5", 200),
    ]
    (one,) = ContinualStudy(requests="L1 L2 U1", memory=30).scenarios(load("digits"), "full")
    assert one.title == "L1 L2 U1, memory 30" and one.memory == 30


def test_every_seed_draws_its_samples_and_those_that_go():
    one, again, other = (scenario("L1 L2 U1:0.2 L3").draw(seed) for seed in (0, 0, 1))
    assert one.requests.digest == again.requests.digest != other.requests.digest
    assert len(one.requests[2].ids) == 12 and one.forget.examples == 12 and one.holdout.examples == 6 * 20
    labels = torch.cat([batch[1] for batch in one.retain])
    assert labels.bincount().tolist()[2:] == [30] * 4 and len(labels) == 168


def test_some_of_a_class_are_its_own():
    data = TensorDataset(torch.arange(10.0), torch.arange(10) % 2)
    inputs, labels = some_of(data, range(1, 2), 3, torch.Generator()).tensors
    assert (inputs % 2 == 1).all() and (labels == 1).all() and len(inputs.unique()) == 3
    assert len(some_of(data, range(2), 50, torch.Generator())) == 10


def test_images_of_half_the_side():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    assert halved(images).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]


def test_every_memory_has_the_same_bytes():
    split = scenario().draw(0)
    plain, kept = (Serving(each, 20)._memory(split.requests, task()) for each in (Rehearsal(), Rehearsal(alpha=1.0)))
    assert kept.capacity == 20 and kept.logits.shape == (20, CLASSES)
    assert plain.capacity == 20 * (8 * 4 + 16 + 4 * CLASSES) // (8 * 4 + 16) and plain.bytes <= kept.bytes
    assert Serving(Joint(), None)._memory(split.requests, task()).capacity == 180


def test_all_settings_reach_all_learners():
    found = learners(epochs=7)
    assert {each.epochs for each in found.values()} == {7} and next(iter(found)) == "uniclun"
    assert {type(each).__name__ for each in found.values()} == {"UniCLUN", "Rehearsal", "OnlineEWC", "LwF", "CLPU", "Joint"}
    assert found["der-in-step"].beta == 0.0 and found["er-in-step"].alpha == 0.0 and found["sgd-in-step"].beta == 0.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"memory": 0}, BadSetting, "--memory must be at least 1, not 0"),
        ({"requests": "L1 U1"}, BadRequest, "forgets all that was learned"),
        ({"requests": "L1 L2"}, BadRequest, "the stream forgets nothing"),
        ({"requests": "L1 L9 U1"}, BadRequest, "there is no task '9'; there are 1, 2, 3, 4, 5"),
    ],
)
def test_options_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        ContinualStudy(**options).plan("digits", "quick")


def test_data_that_are_no_images_or_can_t_be_dealt_out():
    with pytest.raises(BadSetting, match="it deals out images that lie in memory; diabetes is something else"):
        ContinualStudy().plan("diabetes", "quick")
    with pytest.raises(BadSetting, match="6 classes can't be dealt out to 4 tasks evenly"):
        scenario(tasks=4).draw(0)


def test_without_its_data_it_says_so(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    plan = ContinualStudy().plan(None, "full")
    assert plan.data == "digits" and any("mnist was not found" in note for note in plan.notes)
    assert any("cifar10 was not found" in note for note in plan.notes)


def test_a_small_run(tmp_path, monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    brief = {name: FEW[name] for name in ("uniclun", "joint")}
    case = continual.ContinualScenario

    def with_few(*given, **named):
        return replace(case(*given, **named), learners=brief, samples=(32, 20))

    monkeypatch.setattr(continual, "ContinualScenario", with_few)
    studied = ContinualStudy(requests="L1 L2 U1", memory=20).run(data="digits", folder=tmp_path / "out")
    studied.write(tmp_path / "out", tmp_path / "study.json")
    found = json.loads((tmp_path / "study.json").read_text())["rows"]
    values = {(row["method"], row["metric"]): row["mean"] for row in found}
    assert {row["method"] for row in found} == {"original", "retrained", "retrained-2", *brief}
    assert values["joint", "right_after"] == values["retrained", "right_after"] == 0.0
    assert values["original", "right_after"] > 0.2 and ("retrained", "unlearn_seconds") not in values
    assert values["uniclun", "right_after"] < 0.1 and values["joint", "state_bytes"] > 80 * 64 * 4
    text = (tmp_path / "out" / "report.html").read_text()
    assert "on tasks that went" in text and "right after" in text


def test_two_runs_agree_and_a_folder_is_read(tmp_path):
    chosen = replace(scenario(), learners={"uniclun": FEW["uniclun"]})
    found = [chosen.compare(Engine(0, folder=folder, progress=False), print) for folder in (None, tmp_path, tmp_path)]
    plain = [
        {
            name: {metric: figure.value for metric, figure in figures.items() if "seconds" not in metric}
            for name, figures in each.figures.items()
        }
        for each in found
    ]
    assert plain[0] == plain[1] == plain[2]
    assert found[1].figures["original"]["learn_seconds"] == found[2].figures["original"]["learn_seconds"]


def test_the_verdict_on_streams():
    case = to_case([scenario().compare(Engine(0, progress=False), print)], "title", "forgotten")
    judged = rules(case)
    assert set(judged) == {rule.metric(case) for rule in OF_STREAMS} and state(case.role("original"), case) == "differs"

    def row(name: str, role: str, **values: float) -> Row:
        usual = {"right_after": 0.0, "relapse": 0.0, "forget_accuracy": 0.0, "holdout_accuracy": 0.9, "membership_auc": 0.5}
        figures = {
            metric: Value(value, 0.0, 1, None, "", None)
            for metric, value in ({"task_incremental_accuracy": 1.0} | usual | values).items()
        }
        return Row(name, role, figures, case.rows[0].curves)

    gold = row("retrained", "retrained")

    def missed(**values: float) -> list[str]:
        method = row("method", "method", **values)
        return [each.metric for each in failures(method, Case("title", "", (gold, method), "accuracy", True, "", ""))]

    assert missed(holdout_accuracy=0.99) == missed(right_after=0.01) == []
    assert missed(right_after=0.02) == ["right_after"] and missed(relapse=0.02) == ["relapse"]
    assert missed(holdout_accuracy=0.88) == ["holdout_accuracy"] and missed(membership_auc=0.46) == ["membership_auc"]

"""The study of requests one after another: its cases, what it says of the rule, and how it runs."""

import json
import math
from dataclasses import replace

import pytest

import tiny
from expunge.data import Source
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Finetune, Retrain
from expunge.optimizers import Optimizer
from expunge.report.figure_study import FigureCase, Scored
from expunge.report.sequence_study import LIMITS, in_time, rule_words
from expunge.studies import STUDIES, sequence
from expunge.studies.sequence import SequenceStudy
from expunge.studies.sequences import scenarios
from expunge.studies.sequences.requests import drawn_rows, rows_in_sequence
from expunge.studies.sequences.scenarios import SETS, Begun, SequenceScenario, images, scenarios_of
from tiny import RECIPE, blobs, task

FAST = Finetune(epochs=2, optimizer=Optimizer("adam", 1e-2))


def test_how_often_it_was_in_time():
    found = [
        {"fails_at": [5.0, 5.0, math.inf], "fires_at": [5.0, 6.0, math.inf]},
        {"fails_at": [math.inf], "fires_at": [3.0]},
    ]
    assert in_time(found, "fires_at") == {"failed": 2, "in_time": 1, "never_failed": 2, "needlessly": 1}


def test_it_fails_from_where_it_stays_farther_than_chance():
    def fails(*farthest: float, chance: float = 0.5) -> float:
        places = range(1, len(farthest) + 1)
        figures = {f"farthest_{place}": value for place, value in zip(places, farthest, strict=True)}
        figures |= {f"missed_{place}": float(value > 1) for place, value in zip(places, farthest, strict=True)}
        second = {f"farthest_{place}": chance for place in places}
        return sequence._scored(figures, second, list(places)).figures["fails_at"]

    assert fails(0.9, 1.1, 2.0) == 2 and fails(1.1, 0.9, 2.0) == 3 and fails(2.0, 2.0, 0.9) == math.inf
    assert fails(1.5, 1.8, 2.5, chance=2.0) == 3 and fails(1.5, 1.8, chance=2.0) == math.inf


def test_what_the_rule_did_in_words():
    def case(*seeds: tuple[float, float]) -> FigureCase:
        rows = [
            {
                "method": Scored(
                    {"fails_at": fails, "fires_at": fires}
                    | {f"{limit}_fires_at": math.inf for limit in LIMITS}
                    | {"drift_fires_at": fires}
                )
            }
            for fails, fires in seeds
        ]
        return FigureCase("title", "words", rows)

    never = math.inf
    assert rule_words(case((5, 2))) == [
        "method: the verdict fails from request 5 on; the rule says to retrain after request 2, first for the drift."
    ]
    assert rule_words(case((never, never))) == ["method: the verdict does not fail; the rule does not say to retrain."]
    (several,) = rule_words(case((10, never), (never, 3)))
    assert "fails from request 10, never on" in several and "after request never, 3, first for the drift" in several


# ---- the study ---------------------------------------------------------------------------------------------------------------


def small(title: str = "blobs") -> SequenceScenario:
    source = Source(title, blobs(), blobs(20, seed=1), tuple("abcd"))

    def begin(engine: Engine) -> Begun:
        asked = rows_in_sequence(drawn_rows(160, 3, 6, engine.seed), source.train, source.holdout, 16)
        return Begun(task(), tiny.original(engine), 1.0, asked)

    usual = images(replace(source, name="digits"))
    return SequenceScenario(title, "words", begin, RECIPE, {"finetune": FAST, "retrain": RECIPE}, usual.audits, (1, 3))


def test_the_study_on_a_small_case(monkeypatch, tmp_path):
    monkeypatch.setattr(sequence, "scenarios_of", lambda name, budget: [small()])
    studied = SequenceStudy().run(data="digits", folder=tmp_path)
    report = studied.write(tmp_path, tmp_path / "study.json")
    found = json.loads((tmp_path / "study.json").read_text())
    assert (
        found["data"] == "blobs" and found["seeds"] == 1 and set(found["rule"]["sequences"]["blobs"]) == {"finetune", "retrain"}
    )
    rows = {(row["method"], row["metric"]): row["mean"] for row in found["rows"]}
    names = {"original", "retrained", "retrained-2", "finetune", "retrain", "finetune, at once", "retrain, at once"}
    assert {row["method"] for row in found["rows"]} == names
    assert rows["retrained", "farthest_3"] == 0.0 and rows["retrained", "drift_3"] is None
    assert 0.5 < rows["retrain", "drift_3"] < 2 and rows["retrain", "seconds_ratio"] > 1.5
    text = report.read_text()
    assert (
        "Requests one after another" in text
        and ("the verdict fails from request" in text or "the verdict does not fail" in text)
        and "<svg" in text
    )
    again = SequenceStudy().run(data="digits", folder=tmp_path)
    assert again.json["rows"] == studied.json["rows"]


def test_which_cases_there_are(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    assert STUDIES["sequence"] is SequenceStudy
    study = SequenceStudy()
    monkeypatch.setattr(sequence, "scenarios_of", lambda name, budget: [replace(small(), title=name)])
    found, notes = study.scenarios(None, "quick")
    assert [each.title for each in found] == ["digits", "diabetes", "karate", "tastes", "clients"]
    assert notes[0] == "mnist was not found (EXPUNGE_DATA); digits stands in its place." and len(notes) == 4
    assert study.scenarios(None, "full")[0][-1].title == "personas"


def test_what_is_asked_of_each(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    for name in ("digits", "diabetes", "karate", "tastes", "clients", "personas"):
        for quick, full in zip(scenarios_of(name, "quick"), scenarios_of(name, "full"), strict=True):
            assert set(quick.checkpoints) <= set(full.checkpoints) == set(range(1, 11)) and len(quick.methods) >= 2
            assert quick.settings()["retrained after"] == list(quick.checkpoints)
    with pytest.raises(BadSetting, match=f"study sequence has no data 'cats'; there are {', '.join(SETS)}"):
        scenarios_of("cats", "quick")


def test_every_seed_draws_its_own_requests(monkeypatch):
    brief = Retrain(epochs=1, optimizer=Optimizer("adam", 1e-3))
    for name in ("IMAGE_RECIPE", "BY_HEART", "LINK_RECIPE", "RANKING_RECIPE"):
        monkeypatch.setattr(scenarios, name, brief)
    monkeypatch.setattr(scenarios, "LINK_EPOCHS", 1)
    for name in ("digits", "diabetes", "karate", "tastes"):
        (scenario,) = scenarios_of(name, "quick")
        begun = [scenario.begin(Engine(seed, progress=False)) for seed in (0, 0, 1)]
        assert [each.requests.requests for each in begun] == [10, 10, 10]
        goes = [
            [tuple(part.flatten().tolist()) for batch in each.requests.together(10).forget for part in batch[:1]]
            for each in begun
        ]
        assert goes[0] == goes[1] != goes[2]

"""Rows that are chosen by name, and the study of everything: its lines, what it refuses, and a part that goes on."""

import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from expunge import Engine
from expunge.errors import BadSetting
from expunge.methods import D2DGN, Retrain, Unlink
from expunge.optimizers import Optimizer
from expunge.report.all_study import HEADLINE, MISSED, RATIO, Line, all_evidence
from expunge.report.all_study_plots import Shown, overview
from expunge.report.figure_study import Column, FigureCase, Scored
from expunge.studies import STUDIES, graph_scenarios
from expunge.studies.all import AllStudy
from expunge.studies.all_parts import PARTS, Compared, _folds_of, _some
from expunge.studies.classification import ClassificationStudy
from expunge.studies.continual import ContinualStudy
from expunge.studies.graph import GraphStudy


@pytest.fixture(autouse=True)
def without_data(monkeypatch):
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)


# ---- rows by name -----------------------------------------------------------------------------------------------------------


def test_rows_are_chosen_by_name_and_stand_in_the_order_of_the_study():
    plan = ClassificationStudy(methods="ssd, finetune").chosen("digits", "quick")
    assert [list(case.rows) for case in plan.cases] == [["finetune", "ssd"]] * 2
    assert list(plan.settings["random 5 %"]["methods"]) == ["finetune", "ssd"] and plan.settings["budget"] == "quick"
    assert len(ClassificationStudy().chosen("digits", "quick").cases[0].rows) == 9


def test_a_row_of_one_case_leaves_the_others_without():
    study = GraphStudy(methods="megu,gnndelete-published")
    assert [list(case.rows) for case in study.chosen("karate", "quick").cases] == [["gnndelete-published"], ["megu"], ["megu"]]
    assert study.command("karate", "quick", 1).endswith("--data karate --methods megu,gnndelete-published")


def test_a_row_that_no_case_has_is_refused_with_those_that_there_are():
    with pytest.raises(BadSetting, match=r"no row 'scrubb' in this study; there are finetune, .*scrub"):
        ClassificationStudy(methods="scrubb").chosen("digits", "quick")


def test_the_learner_that_never_learned_what_goes_stays_whatever_rows_there_are():
    (whole,), (few,) = (ContinualStudy(methods=names).chosen("digits", "quick").cases for names in (None, "joint"))
    assert list(few.rows) == ["joint"] and few._reference is not None
    assert repr(few._reference) == repr(whole._reference) == repr(whole.rows["uniclun"])
    (fewer,) = ContinualStudy(methods="joint").chosen("digits", "quick").only(["joint"]).cases
    assert repr(fewer._reference) == repr(whole._reference)


# ---- lines -------------------------------------------------------------------------------------------------------------------


def line(rows: dict[str, tuple[float, ...]], ours: str = "ours") -> Line:
    """Rows of a figure, checks missed and a share of cost."""
    names = (HEADLINE, MISSED, RATIO)
    scored = {name: Scored(dict(zip(names, values, strict=False))) for name, values in rows.items()}
    return Line("System", "a share", "original", "retrained", ours, FigureCase("System, part", "all of it", [scored]))


def test_the_rival_misses_fewest_checks_and_then_lies_nearest_to_the_target():
    rows = {"original": (0.9, 3), "retrained": (0.5,), "retrained-2": (0.5, 0), "ours": (0.5, 0, 0.1), "far": (0.9, 1)}
    found = line(rows | {"near": (0.4, 1, 0.2), "close": (0.5, 2)})
    assert found.rival == "near"
    assert found.values() == {
        "before": 0.9,
        "target": 0.5,
        "ours": 0.5,
        "rival": 0.4,
        "ours_missed": 0,
        "ours_ratio": 0.1,
        "rival_missed": 1,
        "rival_ratio": 0.2,
    }


def test_where_no_checks_are_made_the_figure_alone_says_who_the_rival_is():
    found = line({"original": (0.5,), "retrained": (0.9,), "ours": (0.9,), "low": (0.6,), "high": (0.95,)})
    assert found.rival == "high" and math.isnan(found.values()["rival_missed"])


def test_the_page_begins_with_a_line_for_each_system():
    one = line({"original": (0.9,), "retrained": (0.5,), "ours": (0.6,), "other": (0.7,)})
    evidence = all_evidence([one, one], "command", {}, {})
    assert [len(evidence.draw(case)) for case in evidence.cases] == [1, 0, 0]
    assert list(evidence.cases[0].methods) == ["System: ours beside other"] and len(evidence.cases) == 3
    assert len(all_evidence([one], "command", {}, {}).cases) == 1


def test_the_way_from_before_to_the_target():
    values = {"before": 0.9, "target": 0.5, "ours": 0.6, "rival": 0.4, "ours_ratio": 0.1, "rival_ratio": math.nan}
    shown = Shown("System: ours beside rival", "a share", values)
    assert shown.position("ours") == pytest.approx(0.75) and shown.position("rival") == pytest.approx(1.25)
    assert math.isnan(replace(shown, rising=True).position("ours"))  # more is better, and the target is below what was before
    assert math.isnan(replace(shown, values=values | {"before": 0.5}).position("ours"))
    drawing = overview([shown, replace(shown, rising=True), replace(shown, values=values | {"ours": -9.0})])
    assert drawing.svg.count("no way to go") == 1 and drawing.wide


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (2.0, "2"), (0.5, "0.50"), (0.000374, "0.00037"), (2.496, "2.5"), (12.34, "12"), (1e4, "10,000")],
)
def test_as_many_decimals_as_two_digits_need(value, text):
    assert Column("cost", "cost", None, "", "what it costs").written(value) == text


# ---- parts -------------------------------------------------------------------------------------------------------------------


def test_there_is_a_part_for_each_system_whose_rows_exist():
    assert set(PARTS) < set(STUDIES)
    assert len({part.system for part in PARTS.values()}) == 11
    for part in PARTS.values():
        if isinstance(part, Compared) and part.name in ("classification", "graph", "continual"):
            rows = part.study.chosen(None, "quick").cases[0].rows
            assert list(rows) and part.ours in rows and len(rows) == len(part.study.methods.split(","))


def test_parts_are_chosen_by_name():
    assert [part.name for part in AllStudy().parts("graph, tabular")] == ["graph", "tabular"]
    assert len(AllStudy().parts(None)) == len(AllStudy().parts("all")) == len(PARTS)
    with pytest.raises(BadSetting, match="no part 'graphs'; there are classification, "):
        AllStudy().parts("graphs")
    with pytest.raises(BadSetting, match="--workers must be at least 1, not 0"):
        AllStudy(workers=0).run(data="graph")


def test_the_quick_budget_has_some_rows_and_the_full_one_all():
    assert _some({"a": 1, "b": 2}, ["b"], "quick") == {"b": 2} and _some({"a": 1, "b": 2}, ["b"], "full") == {"a": 1, "b": 2}


def test_the_full_budget_has_all_rows_of_the_first_case(monkeypatch):
    seen = []
    monkeypatch.setattr(GraphStudy, "chosen", lambda self, data, budget: seen.append((self.methods, budget)) or 1 / 0)
    for budget in ("quick", "full"):
        with pytest.raises(ZeroDivisionError):
            PARTS["graph"].find(Engine(), budget, print)
    assert seen == [(PARTS["graph"].study.methods, "quick"), (None, "quick")]


def test_a_part_of_a_study_has_its_rows_and_goes_on(monkeypatch, tmp_path):
    few = {"d2dgn": D2DGN(epochs=5, stop="never"), "unlink": Unlink()}
    recipe = Retrain(epochs=30, optimizer=Optimizer("adam", 1e-2), schedule="constant")
    monkeypatch.setattr(graph_scenarios, "LINK_RECIPE", recipe)
    monkeypatch.setattr(graph_scenarios, "link_methods", lambda recipe: few)
    part = replace(PARTS["graph"], study=GraphStudy(methods="d2dgn"))
    first = part.find(Engine(folder=tmp_path, progress=False), "quick", print)
    assert list(first.rows) == ["original", "retrained", "retrained-2", "d2dgn"]
    assert first.rows["retrained"].keys() == {HEADLINE, RATIO} and first.rows["retrained"][RATIO] == 1
    assert first.rows["d2dgn"].keys() == {HEADLINE, MISSED, RATIO} and "edges" in first.words
    monkeypatch.setattr(Retrain, "train", lambda *arguments: 1 / 0)  # nothing is trained again
    assert part.find(Engine(folder=tmp_path, progress=False), "quick", print) == first


def test_folds_are_cut_and_nothing_else():
    drawn = _draws(range(6))
    assert list(_folds_of(drawn, 2, 0).folds) == [0, 1] and list(_folds_of(drawn, None, 0).folds) == list(range(6))


def _draws(folds):
    from expunge.studies.search_scenarios import Drawn

    class Scenario:
        def draw(self, seed):
            return Drawn(None, None, (), list(folds))

    return Scenario()


def test_a_part_runs_in_a_process_of_its_own_and_the_study_ends_in_a_line(tmp_path):
    lines = []
    found = AllStudy(workers=1).run(data="valuation", folder=tmp_path, budget="quick", say=lines.append)
    (line,) = lines
    assert line.startswith("seed 0: valuation is done after ") and line.endswith("all done")
    (system,) = found.json["systems"]
    assert (system["system"], system["ours"], system["target"]) == ("EcoVal", "ecoval", "tmc-shapley")
    assert system["values"]["before"] < 0.7 < system["values"]["ours"] and system["values"]["ours_ratio"] > 0
    assert found.json["study"] == "all" and found.json["data"] == "valuation"
    report = found.write(tmp_path, None)
    assert "EcoVal, valuation" in report.read_text() and json.loads((tmp_path / "study.json").read_text())["systems"]
    assert (tmp_path / "work" / "seed-0" / "valuation").is_dir()


def test_workers_end_with_a_study_that_is_killed(tmp_path):
    """They are found by what they write, since nobody is left who knows them."""
    script = tmp_path / "study.py"
    script.write_text(
        "import os, sys, time\n"
        "from expunge.studies.all import pool_of\n"
        "def busy(path):\n"
        "    open(path, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    pool_of(1).submit(busy, sys.argv[1]).result()\n"
    )
    told = tmp_path / "pid"
    study = subprocess.Popen([sys.executable, str(script), str(told)])
    worker = int(_until(lambda: told.exists() and told.read_text()))
    study.kill()
    study.wait()
    assert _until(lambda: not _runs(worker))


def _runs(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"  # what is over, and waits for somebody to ask how it ended


def _until(found):
    """What `found` gives as soon as it is something; nothing ever, where it isn't for minutes."""
    for _ in range(2400):
        if value := found():
            return value
        time.sleep(0.1)
    return None

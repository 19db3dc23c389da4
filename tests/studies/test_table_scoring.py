"""Scoring tables: what stands in the files, and that each figure there is the one that was found."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
import torch

from expunge.errors import BadFile
from expunge.report.scored import Made, Training, pairs
from expunge.studies import table_scoring
from expunge.studies.table_scoring import Scoring, Tables, judge, one_thread, record, score_tables, write_scored
from expunge.tabular import TabSynDex
from tabular.scored import again, people, shuffled

COUNT = 120


def judged(synthetic, holdout=None, real=None, **settings):
    real = people(COUNT) if real is None else real
    return judge(Tables(real, synthetic, holdout, ("real", "made")), TabSynDex(**settings))


def rows_in(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def scored():
    return judged(people(COUNT, 1).assign(town="north"))


@pytest.fixture(scope="module")
def out(scored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    write_scored(scored, folder)
    return folder


def test_columns_agree_with_the_score(scored, out):
    rows = rows_in(out / "columns.csv")
    assert [row["column"] for row in rows] == ["age", "income", "noise", "job", "town", "happy"]
    parts = scored.score.columns
    for row in rows:
        for part in ("basic", "support", "correlation"):
            assert float(row[part]) == pytest.approx(parts[part][row["column"]])
        assert float(row["shape"]) == pytest.approx(scored.measures.fidelity.shapes[row["column"]])
        assert row["kind"] == scored.schema[row["column"]].kind
    for part in ("basic", "support"):
        assert np.mean([float(row[part]) for row in rows]) == pytest.approx(scored.score.components[part])


def test_pairs_agree_with_the_associations(scored, out):
    rows = rows_in(out / "pairs.csv")
    assert len({frozenset((row["column"], row["told_by"])) for row in rows}) == len(rows) == 6 * 5 // 2
    real, made = scored.score.associations
    names = list(scored.score.names)
    for row in rows:
        at = names.index(row["column"]), names.index(row["told_by"])
        assert (float(row["real"]), float(row["synthetic"])) == pytest.approx((real[at], made[at]))
        assert float(row["difference"]) == pytest.approx(made[at] - real[at])
        assert abs(made[at] - real[at]) >= abs(made[at[::-1]] - real[at[::-1]]) - 1e-12
    sizes = [abs(float(row["difference"])) for row in rows]
    assert sizes == sorted(sizes, reverse=True)


def test_the_record_holds_what_was_found(scored, out):
    found = json.loads((out / "score.json").read_text())
    json.dumps(record(scored), allow_nan=False)
    assert found["total"] == pytest.approx(np.mean([value for value in scored.score.components.values() if value is not None]))
    assert found["score"]["components"]["ml"] is None and found["score"]["associations"] is not None
    assert set(found["reference"]) == {"real, split", "real, bootstrap", "columns shuffled"} == set(found["paper_reference"])
    assert found["reference"]["columns shuffled"]["total"] == pytest.approx(found["floor"])
    values = {figure["name"]: figure["value"] for figure in found["measures"]}
    assert values["Column shapes"] == pytest.approx(np.mean(list(scored.measures.fidelity.shapes.values())))
    assert values["Membership attack"] is None and found["made"] is None and found["rows"]["holdout"] == 0
    assert "lost 1 of its categories" in " ".join(found["score"]["warnings"])


def test_published_formulas_stand_alone_when_they_are_asked_for():
    found = record(judged(people(COUNT, 1), mode="paper"))
    assert (found["mode"], found["paper"], found["paper_reference"]) == ("paper", None, None)


def test_the_same_seed_gives_the_same_record(scored):
    again_scored = record(judged(people(COUNT, 1).assign(town="north")))
    before = record(scored)
    for each in (before, again_scored, *(each[part] for each in (before, again_scored) for part in ("score", "paper"))):
        each.pop("seconds")
    for found in (before, again_scored):
        for score in (*found["reference"].values(), *found["paper_reference"].values()):
            score.pop("seconds")
    assert before == again_scored


def test_how_it_was_made_is_recorded(scored):
    score = scored.score
    training = Training({5: score, 10: score}, 10, {"critic": (1.0, float("nan")), "generator": (2.0, 1.5)})
    made = Made("ctgan", "A network.", {"epochs": 2, "layers": (64, 64)}, "age = 30", "", training, 1.5)
    found = judge(
        Tables(people(COUNT), people(COUNT, 1), None, ("real", "made")),
        TabSynDex(),
        made=made,
        notes=["Look out."],
        command="x",
    )
    told = json.loads(json.dumps(record(found), allow_nan=False))
    assert told["notes"] == ["Look out."] and told["command"] == "x"
    assert told["made"]["settings"] == {"epochs": 2, "layers": [64, 64]} and told["made"]["conditions"] == "age = 30"
    assert told["made"]["training"]["losses"] == {"critic": [1.0, None], "generator": [2.0, 1.5]}
    assert told["made"]["training"]["epochs"] == 2 and told["made"]["training"]["chosen"] == 10
    assert told["made"]["training"]["scores"]["10"]["total"] == pytest.approx(score.total)


def test_a_copy_is_told_from_the_same_columns_shuffled():
    real = people(COUNT)
    assert judged(again(real)).is_copy and not judged(shuffled(real)).is_copy


def test_categories_that_only_the_holdout_has_spoil_nothing():
    holdout = people(COUNT, 3)
    holdout.loc[:20, "town"] = [f"village {place}" for place in range(21)]
    found = judged(people(COUNT, 1), holdout, target="income")
    assert found.score.components["ml"] > 0.5 and found.rows == (COUNT, COUNT, COUNT)


def test_a_collapsed_target_is_scored_and_not_refused():
    found = judged(people(COUNT, 1).assign(income=""), target="income")
    assert found.score.components["ml"] == 0 and found.measures.teaching is None
    assert any("no known value" in warning for warning in found.score.warnings)


def test_the_smallest_tables_can_be_scored():
    found = judged(people(20, 1), real=people(20), target="income")
    assert 0 <= found.score.total <= 1
    with pytest.raises(BadFile, match="real has 19 rows; expected at least 20"):
        judged(people(20, 1), real=people(19))


@pytest.mark.parametrize(
    "table",
    [
        people(COUNT)[["income"]],
        people(COUNT)[["job"]],
        people(COUNT)[["job", "town", "happy"]],
        pd.DataFrame({"always": [1] * COUNT, "the same": ["x"] * COUNT}),
        people(COUNT)[["age", "job"]].assign(day=pd.date_range("2020-01-01", periods=COUNT).astype(str)),
        people(COUNT)[["age", "job"]].assign(name=[f"person {place}" for place in range(COUNT)], nothing=""),
        people(COUNT)[["age", "job"]].assign(gaps=[None, 1.5, 2.5, None] * (COUNT // 4)),
    ],
    ids=["number", "category", "categories", "constant", "dates", "left out", "gaps"],
)
def test_odd_tables_are_scored(table):
    found = judged(shuffled(table), real=table)
    assert 0 <= found.score.total <= 1
    assert [view.name for view in found.columns] == list(found.score.names)
    json.dumps(record(found), allow_nan=False)


def test_files_are_read_and_the_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(table_scoring, "write_table_score", lambda scored, path: path.touch())
    people(COUNT).to_csv(tmp_path / "real.tsv", index=False, sep="\t")
    people(COUNT, 1).iloc[:, ::-1].to_csv(tmp_path / "made.csv", index=False)
    said = []
    scored = score_tables(
        tmp_path / "real.tsv",
        tmp_path / "made.csv",
        Scoring(seed=3),
        tmp_path / "deep" / "out",
        command="expunge",
        say=said.append,
    )
    found = json.loads((tmp_path / "deep" / "out" / "score.json").read_text())
    assert (found["real"], found["synthetic"], found["seed"], found["command"]) == ("real.tsv", "made.csv", 3, "expunge")
    assert found["total"] == pytest.approx(scored.score.total) and len(said) == 2
    assert [name for name, *_ in pairs(scored)][:1] == [rows_in(tmp_path / "deep" / "out" / "pairs.csv")[0]["column"]]


def test_threads_are_put_back(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

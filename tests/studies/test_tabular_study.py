"""The study of synthetic tables: what it deals out, what it finds, and that it goes on where it was."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

import expunge.studies.tabular as study
import expunge.studies.tabular_scenarios as scenarios
from expunge.data.whole_tables import WHOLE_TABLES
from expunge.errors import BadFile, BadSetting
from expunge.report.figure_study import FigureCase, Scored
from expunge.report.tabular_study import COLUMNS, agreement, agreement_words
from expunge.report.tabular_study_plots import drawings
from expunge.studies import STUDIES
from expunge.tabular import GENERATORS, TVAE, Bootstrap, GaussianCopula, IndependentColumns, TabSynDex
from tabular.scored import people

FEW = {
    "independent-columns": lambda target: IndependentColumns(),
    "bootstrap": lambda target: Bootstrap(),
    "gaussian-copula": lambda target: GaussianCopula(),
    "tvae": lambda target: TVAE(epochs=2, batch_size=100),
}


@pytest.fixture
def few(monkeypatch):
    """A study of four generators."""
    monkeypatch.setattr(study, "all_generators", lambda rows, budget: FEW)


@pytest.fixture
def table(tmp_path):
    people(300).to_csv(tmp_path / "people.csv", index=False)
    return str(tmp_path / "people.csv")


def test_the_holdout_is_apart_and_each_seed_draws_anew():
    frame = people(300).assign(row=range(300))
    scenario = scenarios.TabularScenario("people", frame, TabSynDex(target="happy"), FEW)
    first, again, other = scenario.draw(0), scenario.draw(0), scenario.draw(1)
    assert sorted([*first.train["row"], *first.holdout["row"]]) == list(range(300)) and len(first.holdout) == 60
    assert list(first.train["row"]) == list(again.train["row"]) != list(other.train["row"])
    assert first.classes == "happy"
    assert scenarios.TabularScenario("people", frame, TabSynDex(target="income"), FEW).draw(0).classes is None


def test_every_generator_has_a_row_with_every_figure(few, table, tmp_path):
    found = STUDIES["tabular"](target="happy").run(seeds=2, data=table, folder=tmp_path / "out")
    page = found.write(tmp_path / "out", tmp_path / "study.json").read_text(encoding="utf-8")
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["study"] == "tabular" and written["seeds"] == 2
    rows = {(row["method"], row["metric"]): row["mean"] for row in written["rows"]}
    without = {"real-split": {"fit_cpu_seconds", "sample_cpu_seconds"}}
    for name in ("real-split", *FEW):
        for column in COLUMNS:
            assert (rows[name, column.metric] is None) == (column.metric in without.get(name, ())), (name, column.metric)
    assert rows["bootstrap", "exact_matches"] == 1 and rows["bootstrap", "copy"] == 1
    assert rows["gaussian-copula", "copy"] == rows["real-split", "copy"] == 0
    assert rows["gaussian-copula", "total"] > rows["independent-columns", "total"] > rows["tvae", "total"]
    assert set(written["agreement"]["people"]) == {"total", "paper_total"}
    assert "http" not in page.replace("http://www.w3.org", "") and "<script" not in page
    console = Console(record=True, width=250, file=io.StringIO())
    found.show(console)
    assert "rank correlation" in console.export_text()


def test_a_killed_study_goes_on_where_it_was(few, table, tmp_path, monkeypatch):
    options = {"data": table, "folder": tmp_path / "out"}
    whole = STUDIES["tabular"](target="happy").run(**options).json["rows"]
    made = []
    monkeypatch.setattr(study, "made", lambda drawn, make, engine: made.append(make(None).name))
    again = STUDIES["tabular"](target="happy").run(**options).json["rows"]
    assert again == whole and not made
    kept = next((tmp_path / "out" / "work").glob("seed-0/*/gaussian-copula/row.json"))
    kept.unlink()
    with pytest.raises(TypeError):
        STUDIES["tabular"](target="happy").run(**options)
    assert made == ["gaussian-copula"]


def test_without_a_target_there_is_no_ml_and_the_rest_stands(few, table):
    found = STUDIES["tabular"]().run(data=table)
    rows = {(row["method"], row["metric"]): row["mean"] for row in found.json["rows"]}
    assert rows["bootstrap", "ml"] is None and rows["bootstrap", "tstr"] is None and rows["bootstrap", "total"] > 0.8


def test_every_generator_of_the_library_is_compared():
    found = scenarios.all_generators(1_000, "quick")
    assert list(found) == list(GENERATORS)
    for name, make in found.items():
        assert make("happy").name == make(None).name == name


def test_options_and_tables_that_make_no_sense_are_refused(table, tmp_path, monkeypatch):
    with pytest.raises(BadSetting, match="name the table with --data"):
        STUDIES["tabular"](target="income").run()
    with pytest.raises(BadFile, match="no column 'hapy'"):
        STUDIES["tabular"](target="hapy").run(data=table)
    with pytest.raises(BadFile, match="not found"):
        STUDIES["tabular"]().run(data=str(tmp_path / "none.csv"))
    people(50).to_csv(tmp_path / "small.csv", index=False)
    with pytest.raises(BadSetting, match="small has 50 rows; expected at least 100"):
        STUDIES["tabular"]().run(data=str(tmp_path / "small.csv"))
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    with pytest.raises(BadFile, match=r"Adult: file adult\.csv .*EXPUNGE_DATA"):
        WHOLE_TABLES["adult"].read()


def test_what_is_not_there_is_left_out_and_said(monkeypatch, tmp_path):
    monkeypatch.setenv("EXPUNGE_DATA", str(tmp_path))
    found, notes = STUDIES["tabular"]().scenarios(None, "quick")
    assert [each.name for each in found] == ["diabetes"] and "concrete, wine, adult" in notes[0]
    (tmp_path / "tabular").mkdir()
    people(200).rename(columns={"income": "strength"}).to_csv(tmp_path / "tabular" / "concrete.csv", index=False)
    found, notes = STUDIES["tabular"]().scenarios(None, "quick")
    assert [each.name for each in found] == ["concrete"] and "wine, adult" in notes[0]


def test_agreement_is_a_rank_correlation_over_generators():
    totals = {"a": 0.2, "b": 0.4, "c": 0.6, "d": 0.8, "real-split": 0.1}
    rows = {
        name: Scored({"total": total, "paper_total": -total, "tstr": total**2, "c2st_auc": 1 - total / 2})
        for name, total in totals.items()
    }
    case = FigureCase("made", "", [rows])
    assert agreement(case) == {
        "total": {"tstr": pytest.approx(1), "c2st_auc": pytest.approx(1)},
        "paper_total": {"tstr": pytest.approx(-1), "c2st_auc": pytest.approx(-1)},
    }
    assert "ranks the 4 generators" in agreement_words(case)[0]
    few = FigureCase("made", "", [{name: rows[name] for name in ("a", "b", "c")}])
    assert agreement(few) == {} and agreement_words(few) == []
    assert np.isnan(case.mean("a", "ml"))


@pytest.mark.filterwarnings("error")
def test_without_other_measures_or_differences_nothing_is_said_to_agree():
    def case(**more):
        rows = {f"g{place}": Scored({"total": place / 10, "paper_total": place / 10, **more}) for place in range(5)}
        return FigureCase("people", "", [rows])

    assert agreement(case(c2st_auc=1.0)) == {} and agreement_words(case(c2st_auc=1.0)) == []
    assert [plot.name for plot in drawings(case(c2st_auc=1.0))] == ["scores", "agreement"]
    assert [plot.name for plot in drawings(case())] == ["scores"]

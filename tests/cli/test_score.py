"""`expunge score` as a user meets it: files, words, what a copy is told, and what is refused."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from expunge.cli import app
from expunge.studies import table_scoring
from expunge.tabular.schema import read_kinds
from tabular.scored import again, people, shuffled

RUNNER = CliRunner()
FILES = {"score.json", "columns.csv", "pairs.csv", "kinds.yaml", "report.html"}
COUNT = 120


def call(*words):
    return RUNNER.invoke(app, ["score", *(str(word) for word in words)], env={"COLUMNS": "200"})


def rows_in(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def words(done) -> str:
    return " ".join(done.output.split())


def write(tables, folder) -> None:
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    """Half of the honest table's rows are as real ones, in the others the columns don't go together."""
    honest = pd.concat([people(COUNT // 2, 1), shuffled(people(COUNT // 2, 2))], ignore_index=True)
    real = people(COUNT)
    return {"real": real, "honest": honest, "copy": again(real), "others": people(COUNT, 3)}


@pytest.fixture
def files(tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tables, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def judged(tables, tmp_path_factory):
    """What a run with a target and a holdout printed as JSON, and its folder."""
    folder = tmp_path_factory.mktemp("score")
    write(tables, folder)
    given = [folder / f"{name}.csv" for name in ("real", "honest", "others")]
    done = call(*given[:2], "--holdout", given[2], "--target", "happy", "--json", "--out", folder / "out")
    assert done.exit_code == 0, done.output
    return done, folder / "out"


@pytest.fixture
def no_page(monkeypatch):
    """Drawing takes most of the time, and these tests don't look."""
    monkeypatch.setattr(table_scoring, "write_table_score", lambda scored, path: path.touch())


def test_json_is_what_the_file_holds(judged):
    done, out = judged
    assert done.stdout == (out / "score.json").read_text()
    assert {path.name for path in out.iterdir()} == FILES
    found = json.loads(done.stdout)
    assert found["rows"] == {"real": COUNT, "synthetic": COUNT, "holdout": COUNT}
    assert (found["real"], found["synthetic"], found["target"], found["mode"]) == ("real.csv", "honest.csv", "happy", "robust")
    assert found["privacy"]["verdict"] == found["verdict"][-1] and found["privacy"]["reasons"] == []


def test_an_honest_table_lies_between_floor_and_ceiling(judged):
    found = json.loads(judged[0].stdout)
    assert found["floor"] + 0.02 < found["total"] < found["ceiling"] - 0.02
    assert found["place"] == pytest.approx((found["total"] - found["floor"]) / (found["ceiling"] - found["floor"]))
    assert found["floor"] == pytest.approx(found["reference"]["columns shuffled"]["total"])
    assert found["ceiling"] == pytest.approx(found["reference"]["real, split"]["total"])
    assert not found["is_copy"]
    first, second, last = found["verdict"]
    assert first.startswith(f"TabSynDex is {found['total']:.3f} (robust), ")
    assert f"{found['floor']:.3f}" in first and f"{found['ceiling']:.3f}" in first
    assert f"{100 * found['place']:.0f} % of the way between them" in first
    assert second.startswith("Weakest part: ") and last.startswith("No sign of copied rows. That is no guarantee")


def test_nothing_is_said_on_stderr_where_nobody_looks_on(judged):
    assert judged[0].stderr == ""


def test_a_copy_is_refused_praise(files):
    done = call("real.csv", "copy.csv", "--out", "out")
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("The table is a copy: its scores are no praise.")
    assert second.startswith("TabSynDex comes to ") and "doesn't say how good the table is" in second
    said = words(done)
    assert not any(praise in said for praise in ("as good as", "close to real", "nearer to real rows", "No part lies"))
    found = json.loads(Path("out/score.json").read_text())
    assert found["is_copy"] and found["verdict"][0] == first and found["total"] > found["ceiling"]
    assert "copies real rows" in Path("out/report.html").read_text()


def test_words_name_the_columns_the_figures_and_the_files(files):
    done = call("real.csv", "honest.csv", "--out", "out")
    said = words(done)
    assert "age number 0 17 to" in said and "town category 0 north, south inferred" in said
    assert "real, split" in said and "columns shuffled" in said and "Near-copies" in said
    assert "There is no target, so no ML part" in said
    assert "change out/kinds.yaml and give it with --kinds" in said
    for name in ("columns.csv", "pairs.csv", "score.json", "report.html"):
        assert f"out/{name}" in said


def test_lines_stay_readable_whatever_columns_are_called(files, no_page):
    long = "what people answered when they were asked for their trade in the spring of last year"
    for name in ("real", "honest"):
        pd.read_csv(f"{name}.csv").rename(columns={"age": long}).to_csv(f"{name}.csv", index=False)
    done = call("real.csv", "honest.csv", "--target", long, "--out", "out")
    assert done.exit_code == 0, done.output
    tables = done.stdout.split("\n\nrobust\n")[1]
    assert max(map(len, tables.splitlines())) <= 100
    assert "what people answe…t year  number" in tables and "spring of last year" in tables
    assert long in json.loads(Path("out/score.json").read_text())["kinds"]


def test_kinds_are_honoured_and_can_be_given_back(files, no_page):
    Path("mine.yaml").write_text("columns:\n  age: category\n  town: identifier\n")
    assert call("real.csv", "honest.csv", "--kinds", "mine.yaml", "--out", "out").exit_code == 0
    kinds = read_kinds("out/kinds.yaml")
    assert (kinds["age"], kinds["town"], kinds["income"]) == ("category", "identifier", "number")
    rows = {row["column"]: row for row in rows_in("out/columns.csv")}
    assert {name: row["kind"] for name, row in rows.items()} == kinds
    assert rows["town"]["basic"] == "" and rows["age"]["basic"] != ""
    assert call("real.csv", "honest.csv", "--kinds", "out/kinds.yaml", "--out", "again").exit_code == 0
    assert Path("again/kinds.yaml").read_text() == Path("out/kinds.yaml").read_text()
    assert rows_in("again/columns.csv") == rows_in("out/columns.csv")


def test_a_finished_score_is_not_replaced_unless_that_is_said(files, no_page):
    options = ("real.csv", "honest.csv", "--out", "out")
    Path("out").mkdir()
    Path("out/score.json").write_text("{}")
    refused = call(*options)
    assert refused.exit_code == 2 and "out holds a finished score" in refused.stderr and "--overwrite" in refused.stderr
    assert Path("out/score.json").read_text() == "{}"
    assert call(*options, "--overwrite").exit_code == 0
    assert json.loads(Path("out/score.json").read_text())["seed"] == 0


REFUSED = [
    ("real.csv lacking.csv", "lacking.csv lacks columns 'income', 'job'; it has age, noise, town, happy"),
    ("real.csv empty.csv", "empty.csv is empty"),
    ("real.csv binary.csv", "binary.csv cannot be read"),
    ("real.csv ragged.csv", "ragged.csv, line 3"),
    ("real.csv nowhere.csv", "file not found: nowhere.csv"),
    ("real.csv other", "file not found: other"),
    ("real.csv one.csv", "one.csv has 1 row; expected at least 10"),
    ("one.csv honest.csv", "one.csv has 1 row; expected at least 20, as each half is scored"),
    ("real.csv texts.csv", "texts.csv, line 4: column 'noise' is 'much'; expected a finite number"),
    ("real.csv honest.csv --holdout lacking.csv", "the holdout table lacks columns 'income', 'job'"),
    ("real.csv honest.csv --holdout one.csv", "the holdout table has 1 row"),
    ("real.csv honest.csv --holdout real.csv", "the holdout is real.csv itself"),
    ("real.csv honest.csv --target happy --holdout unlabelled.csv", "no row of the holdout table has a value of 'happy'"),
    ("real.csv honest.csv --target income --holdout unlabelled.csv", "no row of the holdout table has a value of 'income'"),
    ("real.csv honest.csv --target mood", "no column 'mood'"),
    ("real.csv honest.csv --target happy --task regression", "can't be learned by regression; its task is classification"),
    ("real.csv honest.csv --target noise --task classification", "its task is regression"),
    ("real.csv honest.csv --task regression", "there is no target"),
    ("real.csv honest.csv --categorical mood", "no column 'mood'"),
    ("real.csv honest.csv --mode fast", "'fast' is not one of"),
    ("real.csv honest.csv --seed -1", "seed must be 0 or above, not -1"),
    ("real.csv honest.csv --kinds bad.yaml", "column 'age' can't be of kind 'years'; there are number, date"),
    ("real.csv honest.csv --kinds list.yaml", "expected a line 'column: kind' for each column"),
    ("real.csv honest.csv --kinds nowhere.yaml", "nowhere.yaml can't be read"),
    ("real.csv honest.csv --out real.csv", "real.csv is a file; give a folder"),
    ("real.csv honest.csv --out real.csv/out", "real.csv is a file; give a folder"),
    ("real.csv honest.csv --out other --overwrite", "other holds a run of another kind"),
    ("real.csv honest.csv --out made --overwrite", "made holds a run of another kind"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_makes_no_sense_is_refused(files, tables, options, message):
    real = tables["real"]
    write(
        {
            "lacking": real.drop(columns=["income", "job"]),
            "one": real[:1],
            "texts": real.assign(noise=real["noise"].astype(object).where(real.index != 2, "much")),
            "unlabelled": real.assign(happy="", income=""),
        },
        files,
    )
    Path("empty.csv").touch()
    Path("binary.csv").write_bytes(b"\x89PNG\x00\xff")
    Path("ragged.csv").write_text("age,town\n1,a\n1,b,c\n")
    Path("bad.yaml").write_text("age: years\n")
    Path("list.yaml").write_text("- age\n")
    for folder, name in (("other", "audit.json"), ("made", "synthetic.csv")):
        Path(folder).mkdir()
        (Path(folder) / name).write_text("{}")
    before = {path: path.read_bytes() for path in files.rglob("*") if path.is_file()}
    done = call(*options.split())
    assert done.exit_code == 2, done.output
    assert message in " ".join(done.stderr.split())
    assert {path: path.read_bytes() for path in files.rglob("*") if path.is_file()} == before

"""`expunge value`: files, words, what a request takes away, what is refused, and how a killed run goes on."""

import csv
import json
import shutil
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from expunge.cli import app
from expunge.data import load
from expunge.data.records import Records, Source, Target
from expunge.errors import BadFile, BadSetting
from expunge.studies.valuing import Wanted, value_data
from expunge.studies.valuing_data import part
from expunge.valuation import VALUATIONS
from expunge.valuation.game import Game

RUNNER = CliRunner()
COUNT = 60


def call(*words):
    return RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})


def rows_in(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def words(done) -> str:
    return " ".join(done.output.split())


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Sixty customers of two kinds, in the working directory."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    kinds = draw.integers(2, size=COUNT)
    spend, age = (kinds * 2 + draw.normal(size=COUNT)).round(4), draw.integers(18, 80, COUNT)
    bill = (3 * spend + age / 10).round(3)
    lines = [f"{s}, {a},{['stays', 'leaves'][k]},{k},{b}" for s, a, k, b in zip(spend, age, kinds, bill, strict=True)]
    Path("shop.csv").write_text("\n".join(["spend,age,churn,left,bill", *lines]) + "\n")
    return Path("shop.csv")


def stored(name="values.json") -> dict:
    return json.loads((Path("out") / name).read_text())


def test_all_files_of_a_table(table):
    done = call("value", table, "--target", "churn", "--out", "out")
    assert done.exit_code == 0, done.output
    assert {path.name for path in Path("out").iterdir()} == {"values.csv", "clusters.csv", "values.json", "report.html", "work"}
    found = rows_in("out/values.csv")
    assert list(found[0]) == ["row", "value", "rank", "cluster", "class"]
    assert [int(row["rank"]) for row in found] == list(range(1, len(found) + 1))
    values = [float(row["value"]) for row in found]
    assert values == sorted(values, reverse=True)
    record = stored()
    assert (record["rows"], record["validation_rows"], record["holdout_rows"]) == (38, 10, 12)
    assert record["sum_of_values"] == pytest.approx(sum(values))
    assert (record["method"], record["metric"], record["model"]) == ("ecoval", "accuracy", "a logistic regression")
    assert [each["row"] for each in record["least"]] == [int(row["row"]) for row in found[::-1][:10]]
    assert record["least"][0]["class"] in ("stays", "leaves") and record["request"] is None
    assert "38 rows of shop valued by ecoval" in words(done) and "Least valuable" in words(done)


def test_rows_are_the_lines_of_the_file(table):
    call("value", table, "--target", "churn", "--out", "out")
    lines = table.read_text().splitlines()[1:]
    rows = rows_in("out/values.csv")
    assert all(lines[int(row["row"])].split(",")[2] == row["class"] for row in rows)
    assert len({row["row"] for row in rows}) == 38
    source = load(table, target="churn", classes=True)
    assert not {int(row["row"]) for row in rows} & set(source.holdout.columns["row"].tolist())


def test_clusters_add_up(table):
    call("value", table, "--target", "churn", "--clusters", 6, "--out", "out")
    rows, clusters = rows_in("out/values.csv"), rows_in("out/clusters.csv")
    assert len(clusters) == 6
    for cluster in clusters:
        members = [row for row in rows if row["cluster"] == cluster["cluster"]]
        assert len(members) == int(cluster["members"])
        assert {row["class"] for row in members} == {cluster["class"]}
        assert sum(float(row["value"]) for row in members) == pytest.approx(float(cluster["value"]))
        assert cluster["typical_row"] in [row["row"] for row in members]


def test_numbers_are_regressed_and_named_in_their_own_unit(table):
    done = call("value", table, "--target", "bill", "--method", "leave-one-out", "--out", "out")
    assert done.exit_code == 0, done.output
    lines = table.read_text().splitlines()[1:]
    rows = rows_in("out/values.csv")
    assert list(rows[0]) == ["row", "value", "rank", "target"] and not Path("out/clusters.csv").exists()
    assert all(float(lines[int(row["row"])].split(",")[4]) == pytest.approx(float(row["target"])) for row in rows)
    assert (stored()["metric"], stored()["model"]) == ("r2", "a ridge regression")


def test_numbers_name_classes_where_that_is_said(table):
    assert call("value", table, "--target", "left", "--classes", "--method", "leave-one-out", "--out", "out").exit_code == 0
    assert {row["class"] for row in rows_in("out/values.csv")} == {"0", "1"} and stored()["metric"] == "accuracy"


def test_a_request_is_told_what_it_takes_away(table):
    options = ("value", table, "--target", "churn", "--metric", "probability", "--out", "out")
    call(*options)
    rows = rows_in("out/values.csv")
    gone = [rows[place] for place in (0, 5, 20)]
    Path("ids.csv").write_text("name,row\n" + "".join(f"a,{row['row']}\n" for row in gone))
    done = call(*options, "--overwrite", "--rows", "ids.csv")
    assert done.exit_code == 0, done.output
    request = stored()["request"]
    taken = sum(float(row["value"]) for row in gone)
    assert request["sum_of_values"] == pytest.approx(taken)
    assert request["share"] == pytest.approx(taken / sum(float(row["value"]) for row in rows))
    assert (request["named_rows"], request["valued_rows"]) == (3, 3)
    assert request["utility_lost"] == pytest.approx(request["utility_with"] - request["utility_without"])
    assert request["utility_with"] == pytest.approx(stored()["utility"]["full"])
    said = f"Deleting these 3 rows takes away a value of {taken:#.3g}, {100 * request['share']:#.3g} % of the value of all 38."
    assert said in words(done).replace("\N{MINUS SIGN}", "-")
    assert "on the validation rows falls from" in words(done) or "on the validation rows rises from" in words(done)
    assert words(done).count("Nothing has been deleted.") == 1
    assert said.split(",")[0] in Path("out/report.html").read_text().replace("\N{MINUS SIGN}", "-")


def test_utility_without_rows_is_that_of_a_model_trained_without_them(table):
    from sklearn.linear_model import LogisticRegression

    parts = part(load(table, target="churn", classes=True), "churn", 3)
    Path("ids.txt").write_text("".join(f"{row}\n" for row in parts.rows[:9]))
    call("value", table, "--target", "churn", "--seed", 3, "--method", "knn-shapley", "--rows", "ids.txt", "--out", "out")
    (X, y), judges = parts.points, parts.judges
    expected = LogisticRegression().fit(X[9:], y[9:]).score(*judges)
    assert stored()["request"]["utility_without"] == pytest.approx(expected)
    assert stored()["request"]["utility_with"] == pytest.approx(LogisticRegression().fit(X, y).score(*judges))


def test_rows_that_no_model_was_trained_on_are_counted_apart(table):
    parts = part(load(table, target="churn", classes=True), "churn", 0)
    Path("ids.txt").write_text(f"{parts.rows[0]}\n{parts.others[0]}\n{parts.others[-1]}\n")
    options = ("value", table, "--target", "churn", "--method", "leave-one-out", "--out", "out")
    done = call(*options, "--rows", "ids.txt")
    assert "Deleting this row takes away" in words(done) and "2 more of the 3 rows named have no value" in words(done)
    Path("ids.txt").write_text(f"{parts.others[0]}\n")
    refused = call(*options, "--overwrite", "--rows", "ids.txt")
    assert refused.exit_code == 2 and "none of the 1 rows it names has a value" in words(refused)


def test_all_rows_may_go(table):
    parts = part(load(table, target="churn", classes=True), "churn", 0)
    Path("ids.txt").write_text("".join(f"{row}\n" for row in parts.rows))
    assert call("value", table, "--target", "churn", "--rows", "ids.txt", "--out", "out").exit_code == 0
    request = stored()["request"]
    assert request["share"] == pytest.approx(1) and request["utility_without"] == stored()["utility"]["empty"] == 0.5


def test_json_is_all_that_stands_on_stdout(table):
    done = call("value", table, "--target", "churn", "--least", 2, "--json", "--out", "out")
    assert json.loads(done.stdout) == stored() and len(stored()["least"]) == 2


def test_images_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("value", "digits", "--train", 120, "--method", "knn-shapley", "--least", 3, "--out", "out")
    assert done.exit_code == 0, done.output
    source = load("digits", train=120)
    rows = rows_in("out/values.csv")
    assert all(source.train.targets[int(row["row"])] == int(row["class"]) for row in rows)
    assert len(rows) == 96 and max(int(row["row"]) for row in rows) < 120
    page = Path("out/report.html").read_text()
    assert page.count("data:image/png;base64,") == 20 and "http" not in page.replace("http://www.w3.org", "")


def test_data_and_estimator_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine_to_value.py").write_text(
        "import torch\n"
        "from torch.utils.data import Subset, TensorDataset\n"
        "from sklearn.naive_bayes import GaussianNB as model\n"
        "def data():\n"
        "    y = torch.arange(60) % 3\n"
        "    whole = TensorDataset(torch.eye(3)[y] + torch.rand(60, 3), y)\n"
        "    return Subset(whole, range(10, 60)), Subset(whole, range(10))\n"
    )
    done = call(
        "value",
        "mine_to_value:data",
        "--model",
        "mine_to_value:model",
        "--method",
        "leave-one-out",
        "--jobs",
        1,
        "--out",
        "out",
    )
    assert done.exit_code == 0, done.output
    assert stored()["model"] == "mine_to_value:model"
    assert {row["row"]: row["class"] for row in rows_in("out/values.csv")} == {
        row["row"]: str((int(row["row"]) + 10) % 3) for row in rows_in("out/values.csv")
    }


def test_the_seed_draws_the_parts_and_the_same_seed_the_same_values(table):
    wanted = Wanted(str(table), "churn", method="leave-one-out")
    first, again = (value_data(wanted, Path(name)) for name in ("one", "two"))
    assert np.array_equal(first.values.values, again.values.values) and np.array_equal(first.rows, again.rows)
    other = value_data(Wanted(str(table), "churn", method="leave-one-out", seed=1), Path("three"))
    assert set(other.rows) != set(first.rows)


def test_judges_are_a_fifth_of_each_class():
    parts = part(load("digits"), None, 0)
    shares = np.unique(parts.judges[1], return_counts=True)[1] / np.unique(parts.points[1], return_counts=True)[1]
    assert np.allclose(shares, 0.25, atol=0.02) and len(parts.judges[1]) == 287
    assert parts.images and parts.target == "class" and len(parts.others) == 287


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--target", "chrun"), "shop.csv has no column 'chrun' (did you mean churn?)"),
        ((), "state the target, that is the column to predict"),
        (("--target", "churn", "--method", "shapely"), "unknown valuation 'shapely'; there are banzhaf, beta-shapley"),
        (
            ("--target", "churn", "--metric", "f1"),
            "unknown metric 'f1'; there are accuracy, log-loss, probability, r2",
        ),
        (
            ("--target", "churn", "--model", "forest"),
            "unknown model 'forest'; there are logistic, network, ridge, and package.",
        ),
        (("--target", "churn", "--metric", "r2"), "r2 is no metric of targets that are classes"),
        (("--target", "churn", "--model", "ridge"), "ridge can't learn targets that are classes"),
        (("--target", "bill", "--metric", "accuracy"), "no metric of targets that are numbers; say --classes if"),
        (("--target", "bill", "--model", "network"), "network can't learn targets that are numbers"),
        (("--target", "bill", "--classes"), "numbers that name classes are whole numbers"),
        (("--target", "churn", "--clusters", 100), "38 points can't make 100 clusters; ask for fewer"),
        (("--target", "churn", "--clusters", 3, "--method", "leave-one-out"), "leave-one-out makes no clusters"),
        (("--target", "churn", "--model", "nowhere:net"), "there is no module 'nowhere'"),
        (("--target", "churn", "--rows", "absent.txt"), "file not found: absent.txt"),
        (("--target", "churn", "--train", 3), "3 rows to train on and 12 held out are too few"),
        (("--target", "churn", "--out", "shop.csv"), "shop.csv is a file; give a folder"),
        (("--target", "churn", "--seed", -1), "seed must be 0 or above, not -1"),
        (("--target", "churn", "--train", 99), "shop, train: cannot take the first 99 rows: there are only 48"),
        (("--target", "churn", "--jobs", 0), "jobs must be 1 process or more"),
    ],
)
def test_what_makes_no_sense_ends_with_code_2_and_leaves_nothing(table, options, message):
    done = call("value", table, *options, *(() if "--out" in options else ("--out", "out")))
    assert done.exit_code == 2 and message in words(done), done.output
    assert "Traceback" not in done.output and not Path("out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "ids.txt lists no values"),
        ("row\n", "ids.txt lists no values"),
        ("3\nseven\n", "'seven' is no row; expected whole numbers"),
        ("3\n60\n-1\n", "row 60 is none of the rows that were read, which are numbered 0 to 59"),
        ("60\n-1\n", "(2 of 2 rows are not)"),
    ],
)
def test_files_of_rows_that_do_not_do(table, content, message):
    Path("ids.txt").write_text(content)
    done = call("value", table, "--target", "churn", "--rows", "ids.txt", "--out", "out")
    assert done.exit_code == 2 and message in words(done), done.output
    assert not Path("out").exists()


def test_gaps_are_filled_and_infinity_is_refused(table):
    lines = table.read_text().splitlines()
    spend = lines[3].split(",")
    lines[3] = ",".join(["", *spend[1:]])
    table.write_text("\n".join(lines) + "\n")
    done = call("value", table, "--target", "churn", "--method", "knn-shapley", "--out", "out")
    assert done.exit_code == 0 and "Gaps are filled" in Path("out/report.html").read_text()
    lines[3] = ",".join(["inf", *spend[1:]])
    table.write_text("\n".join(lines) + "\n")
    refused = call("value", table, "--target", "churn", "--out", "other")
    assert refused.exit_code == 2 and "line 4: column 'spend' is 'inf'; expected a finite number" in words(refused)


def test_one_class_and_classes_of_other_data_are_refused(table):
    table.write_text(table.read_text().replace("leaves", "stays"))
    done = call("value", table, "--target", "churn", "--out", "out")
    assert done.exit_code == 2 and "'stays' in every row; expected two classes or more" in words(done)
    other = call("value", "digits", "--classes", "--out", "out")
    assert other.exit_code == 2 and "digits is no table, and knows what its targets are" in words(other)


def test_a_finished_folder_is_kept_unless_that_is_said(table):
    options = ("value", table, "--target", "churn", "--method", "knn-shapley", "--out", "out")
    assert call(*options).exit_code == 0
    before = Path("out/values.json").read_text()
    refused = call(*options)
    assert refused.exit_code == 2 and "holds finished values" in words(refused) and "--overwrite" in words(refused)
    assert Path("out/values.json").read_text() == before
    assert call(*options, "--overwrite").exit_code == 0


@pytest.mark.parametrize("name", ["audit.json", "study.json", "job.yaml", "report.html"])
def test_a_folder_of_another_run_stays_as_it_is(table, name):
    Path("run").mkdir()
    (Path("run") / name).write_text("{}")
    foreign = call("value", table, "--target", "churn", "--out", "run", "--overwrite")
    assert foreign.exit_code == 2 and "holds a run of another kind" in words(foreign)
    assert [path.name for path in Path("run").iterdir()] == [name] and (Path("run") / name).read_text() == "{}"


def test_a_run_that_was_killed_as_it_wrote_goes_on(table):
    options = ("value", table, "--target", "churn", "--method", "leave-one-out", "--out", "out")
    call(*options)
    Path("out/values.json").unlink()
    assert call(*options).exit_code == 0 and stored()["cost"]["trainings"] == 0


def test_only_what_a_method_asks_for_counts_as_kept(table):
    one, lava = (Wanted(str(table), "churn", method=method) for method in ("leave-one-out", "lava"))
    assert not value_data(one, Path("out")).resumed and value_data(one, Path("out"), True).resumed
    assert not value_data(Wanted(str(table), "churn", method="leave-one-out", seed=1), Path("out"), True).resumed
    assert not value_data(lava, Path("out"), True).resumed


def test_values_that_sum_to_nothing_have_no_shares(table):
    Path("ids.txt").write_text("".join(f"{row}\n" for row in range(COUNT)))
    done = call("value", table, "--target", "churn", "--method", "lava", "--rows", "ids.txt", "--out", "out")
    assert done.exit_code == 0 and stored()["request"]["share"] is None and "of the value of all" not in words(done)


@pytest.mark.parametrize(
    ("method", "idle"),
    [
        ("leave-one-out", None),
        ("data-oob", "--metric plays no part in values by data-oob"),
        ("lava", "--model and --metric play no part in values by lava"),
    ],
)
def test_options_that_say_nothing_to_a_method_are_named(table, method, idle):
    told = Wanted(str(table), "churn", method=method, model="logistic", metric="probability")
    assert (idle is None) == ("no part" not in " ".join(value_data(told, Path("out")).notes))
    assert (idle or "") in " ".join(value_data(told, Path("out"), True).notes)
    untold = value_data(Wanted(str(table), "churn", method=method), Path("out"), True)
    assert "no part" not in " ".join(untold.notes)


def test_brackets_in_names_are_printed_as_they_are(table):
    table.write_text(table.read_text().replace("churn", "[/churn]").replace("stays", "[/stays]"))
    done = call("value", table, "--target", "[/churn]", "--least", 38, "--out", "out")
    assert done.exit_code == 0 and "[/churn]" in words(done) and "[/stays]" in words(done), done.output


def test_what_rows_are_called_makes_no_difference(table):
    lines = table.read_text().splitlines()
    names = np.random.default_rng(1).permutation(1000)[:COUNT]
    numbered = [f"row,{lines[0]}", *(f"{name},{line}" for name, line in zip(names, lines[1:], strict=True))]
    Path("named.csv").write_text("\n".join(numbered) + "\n")
    plain, named = (value_data(Wanted(data, "churn"), Path(data).with_suffix("")) for data in ("shop.csv", "named.csv"))
    assert np.array_equal(plain.values.values, named.values.values) and np.array_equal(names[plain.rows], named.rows)
    assert "column 'row', which is no input" in named.notes[0] and "row" not in named.columns
    Path("named.csv").write_text("\n".join([*numbered, numbered[1]]) + "\n")
    refused = call("value", "named.csv", "--target", "churn", "--out", "out")
    assert refused.exit_code == 2 and "column 'row' must tell rows apart" in words(refused)


def test_a_row_that_is_written_twice_counts_once(table):
    parts = part(load(table, target="churn", classes=True), "churn", 0)
    Path("ids.txt").write_text(f"{parts.rows[0]}\n0{parts.rows[0]}\n")
    call("value", table, "--target", "churn", "--method", "leave-one-out", "--rows", "ids.txt", "--out", "out")
    assert (stored()["request"]["named_rows"], stored()["request"]["valued_rows"]) == (1, 1)


def test_a_killed_run_goes_on_where_it_was(table, monkeypatch):
    options = ("value", table, "--target", "churn", "--method", "leave-one-out", "--out", "out")
    assert call(*options).exit_code == 0
    whole = Path("out/values.csv").read_text()
    for path in Path("out").iterdir():  # as if it had been killed before it wrote anything
        shutil.rmtree(path) if path.is_dir() and path.name != "work" else path.unlink() if path.is_file() else None
    trained = []
    monkeypatch.setattr(Game, "_trained", lambda game, masks: trained.append(masks))
    assert call(*options).exit_code == 0
    assert trained == [] and Path("out/values.csv").read_text() == whole
    assert stored()["cost"]["trainings"] == 0


def test_a_run_that_was_killed_half_way_trains_the_rest(table, monkeypatch):
    options = ("value", table, "--target", "churn", "--method", "leave-one-out", "--out", "out")
    assert call(*options, "--out", "whole").exit_code == 0
    train, done = Game._trained, []

    def killed(game, masks):
        if done:
            raise KeyboardInterrupt
        done.append(True)
        return train(game, masks)

    monkeypatch.setattr(Game, "_trained", killed)
    assert call(*options).exit_code != 0 and not Path("out/values.json").exists()
    monkeypatch.setattr(Game, "_trained", train)
    assert call(*options).exit_code == 0
    assert 0 < stored()["cost"]["trainings"] < 39
    assert Path("out/values.csv").read_text() == Path("whole/values.csv").read_text()


def test_clusters_of_a_run_before_do_not_stay(table):
    options = ("value", table, "--target", "churn", "--out", "out", "--overwrite")
    call(*options)
    assert Path("out/clusters.csv").exists()
    call(*options, "--method", "leave-one-out")
    assert not Path("out/clusters.csv").exists()


def test_rows_that_a_column_does_not_tell_apart_are_refused():
    columns = {"row": np.zeros(20, int)}
    train = Records(torch.rand(20, 2), torch.arange(20) % 2, columns, ("a", "b"))
    with pytest.raises(BadFile, match="column 'row' must tell rows apart by whole numbers"):
        part(Source("mine", train, train, ("a", "b")), None, 0)


def test_held_out_rows_of_another_file_have_no_numbers_here():
    train, held = (Records(torch.rand(20, 2), torch.arange(20) % 2, {"row": np.arange(20)}, ("a", "b")) for _ in range(2))
    parts = part(Source("mine", train, held, ("a", "b")), None, 0)
    assert sorted([*parts.rows, *parts.others]) == list(range(20)) and len(parts.rows) == 16


def test_the_help_names_all_valuations_and_gives_an_example():
    text = " ".join(call("value", "--help").stdout.replace("│", " ").split())
    assert "Example: expunge value" in text
    assert all(name in text for name in VALUATIONS)
    assert all(any(field.name == "utility" for field in fields(kind)) for kind in VALUATIONS.values())


class Plain(torch.utils.data.Dataset):
    """Rows that are made when they are asked for, with a number each."""

    def __len__(self):
        return 20

    def __getitem__(self, row):
        return torch.tensor([float(row), row % 3]), torch.tensor(row / 2)


def test_rows_of_any_dataset_and_numbers_in_their_own_unit():
    target = Target("price", mean=100.0, scale=10.0)
    parts = part(Source("mine", Plain(), Plain(), (), target=target), None, 0)
    assert np.array_equal(parts.points[0][:, 0], parts.rows) and parts.target == "price"
    assert parts.labels.tolist() == [f"{100 + 5 * row:g}" for row in parts.rows] and not parts.images


def test_several_targets_a_row_are_refused():
    train = Records(torch.rand(20, 2), torch.rand(20, 3))
    with pytest.raises(BadSetting, match="mine has 3 targets a row; a row that is valued has one"):
        part(Source("mine", train, train, (), target=Target()), None, 0)

"""Jobs on real-numbered targets: their fields, recipes that methods follow, and what is made of them before training."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.methods import METHODS, Blindspot, Retrain, ShrinkPerturb
from expunge.optimizers import Optimizer
from expunge.requests import ForgetRange
from expunge.studies.job import TaskSettings, parse_job
from expunge.studies.run import prepare
from expunge.tasks import ClassificationTask, RegressionTask
from studies.jobs import MINIMAL, fault

DIABETES = """\
data: {name: diabetes}
model: {name: mlp}
request: {where: progression <= 75}
methods: [shrink-perturb]
"""  # what a test adds is line 5
RECIPE = "training: {epochs: 30, optimizer: {learning_rate: 0.01}}\n"


def with_methods(entries: str) -> str:
    return DIABETES.replace("[shrink-perturb]", f"[{entries}]")


def made(text: str):
    """The methods of a job on diabetes."""
    return dict(parse_job(text).methods)


# ---- fields -------------------------------------------------------------------------------------------------------------


def test_what_is_not_said_of_the_task_has_its_default():
    assert parse_job(DIABETES).task is None
    defaults = TaskSettings(loss="l1", delta=1.0, quantiles=(0.1, 0.5, 0.9), distance="squared")
    assert parse_job(DIABETES + "task: {}\n").task == defaults


def test_what_is_said_of_the_task_is_taken():
    job = parse_job(DIABETES + "task: {loss: pinball, delta: 0.5, quantiles: [0.25, 0.5, 0.75], distance: huber}\n")
    assert job.task == TaskSettings(loss="pinball", delta=0.5, quantiles=(0.25, 0.5, 0.75), distance="huber")


def test_a_table_has_a_target_and_a_share_to_hold_out():
    job = parse_job(DIABETES.replace("diabetes", "homes.csv, target: price, holdout_share: 0.3"))
    assert (job.data.name, job.data.target, job.data.holdout_share) == ("homes.csv", "price", 0.3)
    assert job.request == ForgetRange("progression", highest=75)


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ("{loss: mae}", "task.loss", r"'l1', 'l2', 'huber' or 'pinball', not 'mae'$"),
        ("{delta: 0}", "task.delta", r"greater than 0, not 0$"),
        ("{delta: wide}", "task.delta", r"valid number.*, not 'wide'$"),
        ("{distance: far}", "task.distance", r"'squared' or 'huber', not 'far'$"),
        ("{quantiles: 0.5}", "task.quantiles", r", not 0\.5$"),
        ("{quantiles: [low]}", "task.quantiles.0", r"valid number.*, not 'low'$"),
        ("regression", "task", r"valid dictionary.*, not 'regression'$"),
    ],
)
def test_a_setting_of_the_task_that_makes_no_sense_has_its_line(settings, field, message):
    assert re.search(message, fault(DIABETES + f"task: {settings}\n", 5, field))


def test_an_unknown_setting_of_the_task_is_named_beside_the_valid_ones():
    message = fault(DIABETES + "task: {los: l2}\n", 5, "task.los")
    assert message == "unknown field; there are delta, distance, loss, predict, quantiles"


@pytest.mark.parametrize("share", ["0", "1", "-0.2", "20"])
def test_a_share_that_is_none_has_its_line(share):
    text = DIABETES.replace("diabetes}", f"homes.csv, holdout_share: {share}}}")
    assert re.search(f"(greater than 0|less than 1), not {share}$", fault(text, 1, "data.holdout_share"))


# ---- like_training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Blindspot, ShrinkPerturb])
def test_like_training_makes_the_settings_fit_the_recipe(kind):
    recipe = Retrain(epochs=30, optimizer=Optimizer(learning_rate=0.01))
    entry = f"{{method: {kind.name}, like_training: true}}"
    assert made(with_methods(entry) + RECIPE) == {kind.name: kind.from_recipe(recipe)}
    assert kind.from_recipe(recipe) != kind.from_recipe(Retrain()) != kind(), "else nothing could be told apart"
    assert made(with_methods(entry)) == {kind.name: kind.from_recipe(Retrain())}, "without training its defaults"


@pytest.mark.parametrize("said", ["", ", like_training: false"])
def test_without_it_a_method_has_its_own_defaults(said):
    assert made(with_methods(f"{{method: shrink-perturb{said}}}") + RECIPE) == {"shrink-perturb": ShrinkPerturb()}


def test_fields_that_are_said_win_over_the_recipe():
    entry = "{method: shrink-perturb, like_training: true, keep: 0.5, epochs: 2, label: mine}"
    optimizer = ShrinkPerturb.from_recipe(Retrain(epochs=30, optimizer=Optimizer(learning_rate=0.01))).optimizer
    assert made(with_methods(entry) + RECIPE) == {"mine": ShrinkPerturb(keep=0.5, epochs=2, optimizer=optimizer)}
    entry = "{method: shrink-perturb, like_training: true, optimizer: {kind: sgd, learning_rate: 0.3}}"
    assert made(with_methods(entry) + RECIPE) == {"shrink-perturb": ShrinkPerturb(epochs=6, optimizer=Optimizer("sgd", 0.3))}


def test_the_same_method_may_come_with_and_without_it():
    found = made(with_methods("blindspot, {method: blindspot, like_training: true, label: fitted}") + RECIPE)
    assert found["blindspot"] == Blindspot() != found["fitted"]


def test_a_method_that_knows_no_recipe_names_those_that_do():
    able = [name for name, method in METHODS.items() if hasattr(method, "from_recipe")]
    assert set(able) == {"amun", "blindspot", "eu-k", "graph-eraser", "rec-eraser", "shrink-perturb"}
    message = fault(with_methods("ssd, {method: scrub, like_training: true}"), 4, "methods.1")
    assert message == f"like_training is for {', '.join(able)}; scrub has settings of its own"
    assert made(with_methods("{method: scrub, like_training: false}")) == made(with_methods("scrub"))


def test_faults_beside_it_have_their_line():
    entry = "{method: shrink-perturb, like_training: true, "
    assert fault(with_methods(entry + "kep: 1}"), 4, "methods.0.kep") == (
        "unknown field; there are epochs, keep, optimizer, schedule"
    )
    assert "keep must lie between 0 and 1, not 3" in fault(with_methods(entry + "keep: 3}"), 4, "methods.0")


@pytest.mark.parametrize("said", ["maybe", "'no'", "2", "[true]"])
def test_what_is_neither_true_nor_false_is_refused_and_not_taken_for_true(said):
    message = fault(with_methods(f"{{method: shrink-perturb, like_training: {said}}}"), 4, "methods.0")
    assert "like_training" in message


# ---- what is made of a job ----------------------------------------------------------------------------------------------


def test_diabetes_make_a_regression_task_with_its_scale_and_bands():
    setup = prepare(parse_job(DIABETES))
    assert isinstance(setup.task, RegressionTask) and setup.original is None
    assert (setup.task.loss, setup.task.distance, setup.task.quantiles) == ("l1", "squared", ())
    assert setup.task.target == setup.source.target and setup.task.target.name == "progression"
    assert len(setup.task.bands) == 9, "ten bands of equally many training examples"
    gone = setup.source.train.columns["progression"] <= 75
    assert setup.split.forget.indices.tolist() == np.flatnonzero(gone).tolist() and 0 < gone.sum() < 332
    assert setup.split.retain.examples == (~gone).sum()
    unseen = setup.source.holdout.columns["progression"]
    assert (unseen[setup.split.holdout_forget.indices] <= 75).all() and (unseen[setup.split.holdout.indices] > 75).all()
    assert setup.split.validation_forget.examples > 0
    assert setup.task.new_model().head.out_features == 1


def test_settings_reach_the_task():
    setup = prepare(parse_job(DIABETES + "task: {loss: huber, delta: 0.25, distance: huber}\n"))
    assert (setup.task.loss, setup.task.delta, setup.task.distance) == ("huber", 0.25, "huber")
    error, batch = torch.tensor([[2.0]]), (torch.zeros(1, 10), torch.zeros(1, 1))
    assert setup.task.losses(error, batch).item() == pytest.approx(0.25 * (2 - 0.125))


@pytest.mark.parametrize("levels", [(0.5,), (0.1, 0.5, 0.9), (0.1, 0.3, 0.5, 0.7, 0.9)])
def test_with_pinball_the_network_gives_a_number_for_each_quantile(levels):
    setup = prepare(parse_job(DIABETES + f"task: {{loss: pinball, quantiles: {list(levels)}}}\n"))
    model = setup.task.new_model()
    assert model.head.out_features == len(levels) and setup.task.quantiles == levels
    assert setup.task.outputs(model, next(iter(setup.split.forget))).shape[1:] == (1, len(levels))


def test_quantiles_without_pinball_change_no_network():
    setup = prepare(parse_job(DIABETES + "task: {loss: l2, quantiles: [0.2, 0.8]}\n"))
    assert setup.task.new_model().head.out_features == 1 and setup.task.quantiles == ()


@pytest.mark.parametrize("levels", ["[0.9, 0.1]", "[0, 0.5]", "[0.5, 0.5]", "[]"])
def test_quantiles_that_do_not_rise_between_0_and_1_are_refused(levels):
    with pytest.raises(BadSetting, match="quantiles must rise between 0 and 1, not"):
        prepare(parse_job(DIABETES + f"task: {{loss: pinball, quantiles: {levels}}}\n"))


def test_task_settings_on_classes_are_refused():
    message = "^task: the targets of digits are classes; its settings are for targets that are real numbers$"
    with pytest.raises(BadSetting, match=message):
        prepare(parse_job(MINIMAL + "task: {loss: l1}\n"))
    assert isinstance(prepare(parse_job(MINIMAL)).task, ClassificationTask)


@pytest.mark.parametrize(("name", "request_"), [("diabetes", "{where: progression <= 75}"), ("digits", "{class: 3}")])
@pytest.mark.parametrize(("field", "value"), [("target", "bmi"), ("holdout_share", 0.5)])
def test_what_is_for_tables_is_refused_elsewhere(name, request_, field, value):
    text = f"data: {{name: {name}, {field}: {value}}}\nmodel: {{name: mlp}}\nrequest: {request_}\nmethods: [scrub]\n"
    with pytest.raises(BadSetting, match=rf"^{name} takes no {field} \(given: {value}\); only tables do"):
        prepare(parse_job(text))


def test_a_class_of_real_numbers_cannot_be_forgotten():
    with pytest.raises(BadRequest, match=r"^job, line 3, request: a class cannot be forgotten here: the targets are float32"):
        prepare(parse_job(DIABETES.replace("where: progression <= 75", "class: 3")))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("where: progres <= 75", r"there is no column 'progres'"),
        ("where: progression <= 0", r"forget set is empty: no row has progression <= 0 \(progression runs from"),
        ("where: progression <= 1000", r"retain set is empty"),
        ("where: sex = 7", r"forget set is empty: no row of column 'sex' holds '7'"),
    ],
)
def test_a_request_that_fits_no_row_is_refused_before_training(request_, message):
    with pytest.raises(BadRequest, match=r"^job, line 3, request: " + message):
        prepare(parse_job(DIABETES.replace("where: progression <= 75", request_)))


@pytest.mark.parametrize("argument", ["quantiles", "outputs", "input_shape"])
def test_arguments_of_the_model_that_the_data_decide_are_refused(argument):
    text = DIABETES.replace("{name: mlp}", f"{{name: mlp, arguments: {{{argument}: 3}}}}")
    with pytest.raises(BadSetting, match=f"model mlp has no argument '{argument}'"):
        prepare(parse_job(text))


# ---- a table ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def homes(tmp_path, monkeypatch) -> Path:
    """40 homes of two sellers; prices 0 to 390."""
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{(row * 7) % 40},{'ann' if row % 4 == 3 else 'bo'},{10 * row}" for row in range(40))
    Path("homes.csv").write_text(f"area,seller,price\n{rows}\n")
    return tmp_path


def job_on(settings: str = "target: price", request_: str = "where: price <= 100", more: str = ""):
    text = f"data: {{name: homes.csv, {settings}}}\nmodel: {{name: mlp}}\nrequest: {{{request_}}}\nmethods: [finetune]\n{more}"
    return parse_job(text)


def test_a_table_is_split_by_its_target(homes):
    setup = prepare(job_on(more="validation: 0\n"))
    prices = setup.source.train.columns["price"], setup.source.holdout.columns["price"]
    assert (len(prices[0]), len(prices[1])) == (32, 8)
    assert setup.split.forget.examples == (prices[0] <= 100).sum() > 0
    assert setup.split.holdout_forget.examples == (prices[1] <= 100).sum() > 0
    stored = torch.cat([targets for _, targets in setup.split.forget])
    assert setup.task.in_unit(stored).max() <= 100.001
    assert setup.source.target.mean == pytest.approx(prices[0].mean())


def test_the_share_that_is_held_out_is_the_jobs(homes):
    setup = prepare(job_on("target: price, holdout_share: 0.5"))
    assert len(setup.source.train) == len(setup.source.holdout) == 20


def test_a_sellers_rows_go_and_other_peoples_unseen_rows_are_not_like_them(homes):
    setup = prepare(job_on(request_="where: seller = ann"))
    assert setup.split.forget.examples == (setup.source.train.columns["seller"] == "ann").sum() > 0
    assert setup.split.holdout_forget is None
    kind = prepare(job_on(request_="where: seller = ann, kind: true", more="validation: 0\n"))
    assert kind.split.forget.indices.tolist() == setup.split.forget.indices.tolist()
    assert kind.split.holdout_forget.examples == (kind.source.holdout.columns["seller"] == "ann").sum() > 0


def test_rows_are_asked_for_by_their_number_in_the_file_too(homes):
    setup = prepare(job_on(request_="where: row = 4"))
    assert [setup.source.train.columns["price"][row] for row in setup.split.forget.indices] == [40]


def test_a_table_needs_a_target_that_it_has(homes):
    with pytest.raises(BadSetting, match=r"^homes\.csv: state the target, .*; columns of numbers: area, price$"):
        prepare(job_on("train: 20"))
    with pytest.raises(BadFile, match=r"^homes\.csv has no column 'prize' \(did you mean price\?\)"):
        prepare(job_on("target: prize"))
    with pytest.raises(BadFile, match=r"target 'seller' is 'bo'; expected a finite number"):
        prepare(job_on("target: seller"))


def test_a_users_pair_of_datasets_with_real_numbers_is_regression(homes):
    """No word of how they were scaled: errors are then in the unit in which they are stored."""
    Path("own_pair.py").write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n\n\ndef load():\n"
        "    inputs = torch.linspace(-1, 1, 40).unsqueeze(1)\n"
        "    data = TensorDataset(inputs, 2 * inputs)\n"
        "    return TensorDataset(inputs, 2 * inputs), TensorDataset(inputs + 3, 2 * inputs)\n"
    )
    text = "data: {name: 'own_pair:load'}\nmodel: {name: mlp}\nrequest: {rows: [3, 5]}\nmethods: [finetune]\n"
    setup = prepare(parse_job(text))
    assert isinstance(setup.task, RegressionTask) and setup.task.target.scale == 1.0
    assert setup.split.forget.examples == 2

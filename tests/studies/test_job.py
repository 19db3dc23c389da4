"""Job files: what is read, what is filled in, and what an error names."""

import json
import re
from dataclasses import fields, is_dataclass

import pytest

from expunge.errors import BadSetting, ExpungeError
from expunge.methods import METHODS, SCRUB, SSD, NegGradPlus, Retrain
from expunge.optimizers import Optimizer
from expunge.requests import ForgetClass
from expunge.studies.job import BadJob, parse_job, read_job
from studies.jobs import HEAD, MINIMAL, fault, methods_of

# ---- what is read -------------------------------------------------------------------------------------------------------


def test_what_is_not_said_has_its_default():
    job = parse_job(MINIMAL)
    assert (job.title, job.seed, job.batch_size, job.validation, job.retrained) == ("", 0, 64, 0.2, 2)
    assert job.data.model_dump() == {
        "name": "digits",
        "train": None,
        "holdout": None,
        "size": 32,
        "grayscale": False,
        "columns": None,
        "target": None,
        "holdout_share": None,
        "features": None,
        "triples": False,
        "fanout": None,
        "minimum_rating": None,
        "minimum_count": 1,
    }
    assert job.task is None
    assert job.model.model_dump() == {"name": "mlp", "arguments": {}, "weights": None}
    assert job.engine.model_dump() == {
        "device": "cpu",
        "precision": "fp32",
        "checkpoint_seconds": 20.0,
        "checkpoint_steps": None,
    }
    assert job.training == Retrain()
    assert job.request == ForgetClass(3)
    assert job.methods == {"scrub": SCRUB()} and job.deliver == "scrub"
    assert job.text == MINIMAL


def test_what_is_said_is_taken():
    text = """\
title: Three goes
seed: 7
data: {name: photos, train: 600, holdout: 90, size: 16, grayscale: true, columns: people.csv}
model: {name: "nets:make", arguments: {width: 8}, weights: trained.safetensors}
batch_size: 32
validation: 0
training: {epochs: 3, schedule: linear, clip_norm: 1, optimizer: {kind: sgd, learning_rate: 1e-2, momentum: 0.9}}
request: {class: [cat, 2]}
methods: [{method: ssd, alpha: 3}, scrub]
deliver: scrub
retrained: 0
engine: {device: auto, precision: bf16, checkpoint_seconds: 0, checkpoint_steps: 5}
"""
    job = parse_job(text)
    assert (job.title, job.seed, job.batch_size, job.validation, job.retrained) == ("Three goes", 7, 32, 0.0, 0)
    assert job.data.train == 600 and job.data.holdout == 90 and job.data.size == 16 and job.data.grayscale
    assert str(job.data.columns) == "people.csv" and str(job.model.weights) == "trained.safetensors"
    assert job.model.arguments == {"width": 8}
    assert job.training == Retrain(epochs=3, schedule="linear", clip_norm=1.0, optimizer=Optimizer("sgd", 0.01, momentum=0.9))
    assert job.request == ForgetClass(("cat", 2))
    assert job.methods == {"ssd": SSD(alpha=3.0), "scrub": SCRUB()} and job.deliver == "scrub"
    assert (job.engine.device, job.engine.precision, job.engine.checkpoint_steps) == ("auto", "bf16", 5)


def test_the_first_method_is_delivered_unless_another_is_named():
    assert parse_job(HEAD + "request: {class: 3}\nmethods: [ssd, scrub]").deliver == "ssd"
    assert parse_job(HEAD + "request: {class: 3}\nmethods: [ssd, scrub]\ndeliver: scrub").deliver == "scrub"


def test_methods_keep_their_order_and_may_have_labels():
    found = methods_of("methods:\n- {method: ssd, label: strong, alpha: 1}\n- {method: ssd, label: weak, alpha: 9}\n- ssd")
    assert list(found.items()) == [("strong", SSD(alpha=1.0)), ("weak", SSD(alpha=9.0)), ("ssd", SSD())]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_read_with_its_defaults_and_with_all_its_fields(name):
    assert methods_of(f"methods: [{name}]") == {name: METHODS[name]()}
    spelled = ", ".join(f"{field.name}: {yaml_of(getattr(METHODS[name](), field.name))}" for field in fields(METHODS[name]))
    assert methods_of(f"methods: [{{method: {name}, {spelled}}}]") == {name: METHODS[name]()}


def yaml_of(value) -> str:
    if is_dataclass(value):
        return "{" + ", ".join(f"{field.name}: {yaml_of(getattr(value, field.name))}" for field in fields(value)) + "}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(yaml_of, value))}]"
    if isinstance(value, str):
        return json.dumps(value)
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if not isinstance(value, float) else repr(value)


def test_a_file_is_read_and_named_in_its_errors(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(MINIMAL)
    assert read_job(path) == parse_job(MINIMAL) and read_job(str(path)).text == MINIMAL
    path.write_text(MINIMAL + "seed: x\n")
    with pytest.raises(BadJob, match="^" + re.escape(f"{path}, line 5, seed: ")):
        read_job(path)


def test_the_errors_are_ones_that_a_user_can_mend():
    assert issubclass(BadJob, BadSetting) and issubclass(BadJob, ExpungeError)


# ---- not a job at all ---------------------------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "nowhere.yaml", tmp_path):
        with pytest.raises(BadJob, match="^job file not found: " + re.escape(str(path)) + "$"):
            read_job(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    with pytest.raises(BadJob, match=re.escape(str(path))):
        read_job(path)


def test_what_is_not_yaml_says_where_it_breaks():
    with pytest.raises(BadJob, match=r"(?s)^my\.yaml is not YAML: .*line 2, column 8"):
        parse_job("seed: 1\nmodel: [mlp\n", "my.yaml")
    with pytest.raises(BadJob, match=r"(?s)^job is not YAML: .*found character '\\t'"):
        parse_job("data:\n\tname: digits\n")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- data\n- model\n", "digits", "3"])
def test_what_is_not_a_mapping_says_what_a_job_is(text):
    with pytest.raises(BadJob, match=r"^my\.yaml: a job is a mapping with data, model, request and methods"):
        parse_job(text, "my.yaml")


def test_nothing_of_python_is_made_from_a_job():
    with pytest.raises(BadJob, match="could not determine a constructor"):
        parse_job(MINIMAL + "title: !!python/object/apply:os.getcwd []\n")


# ---- unknown fields -----------------------------------------------------------------------------------------------------


def test_an_unknown_field_at_the_top_is_named_beside_the_valid_ones():
    message = fault(MINIMAL + "sed: 1\n", 5, "sed")
    assert message == (
        "unknown field; there are batch_size, data, deliver, engine, methods, model, request, retrained, seed, task, title, "
        "training, validation"
    )


@pytest.mark.parametrize("field", ["data", "model", "engine"])
def test_an_unknown_field_of_a_part_is_named(field):
    parts = {"data": "{name: digits}", "model": "{name: mlp}", "request": "{class: 3}", "methods": "[scrub]"}
    parts[field] = "\n  name: mlp\n  nome: x" if field != "engine" else "\n  device: cpu\n  nome: x"
    lines = [f"{key}: {value}" for key, value in parts.items()]
    text = "\n".join(lines)
    line = text[: text.index("nome")].count("\n") + 1
    assert fault(text, line, f"{field}.nome").startswith("unknown field")


@pytest.mark.parametrize(
    ("text", "line", "field", "known"),
    [
        (
            MINIMAL.replace("{name: digits}", "{name: digits, nome: x}"),
            1,
            "data.nome",
            "columns, fanout, features, grayscale, holdout, holdout_share, minimum_count, minimum_rating, name, size, target, "
            "train, triples",
        ),
        (MINIMAL.replace("mlp}", "mlp, nome: x}"), 2, "model.nome", "arguments, name, weights"),
        (MINIMAL + "engine: {nome: x}", 5, "engine.nome", "checkpoint_seconds, checkpoint_steps, device, precision"),
        (
            MINIMAL + "training: {optimizer: {nome: x}}",
            5,
            "training.optimizer.nome",
            "kind, learning_rate, momentum, weight_decay",
        ),
    ],
)
def test_an_unknown_field_of_a_part_is_named_beside_the_valid_ones(text, line, field, known):
    assert f"there are {known}" in fault(text, line, field)


def test_an_unknown_field_of_training_is_named_beside_the_valid_ones():
    message = fault(MINIMAL + "training:\n  epochs: 3\n  epoch: 1\n", 7, "training.epoch")
    assert message.startswith("unknown field; there are ")
    assert all(field.name in message for field in fields(Retrain))


def test_an_unknown_field_of_a_method_is_named_beside_the_valid_ones():
    text = HEAD + "request: {class: 3}\nmethods:\n  - scrub\n  - method: ssd\n    alpha: 3\n    lambda: 1\n"
    message = fault(text, 8, "methods.1.lambda")
    assert message.startswith("unknown field; there are ")
    assert all(field.name in message for field in fields(SSD))


@pytest.mark.parametrize(
    ("text", "field", "kind"),
    [("training: {epoch: 1}", "training.epoch", Retrain), ("methods: [{method: ssd, lambda: 1}]", "methods.0.lambda", SSD)],
)
def test_only_what_can_be_set_is_listed(text, field, kind):
    start = HEAD + "request: {class: 3}\n"
    text = start + text if text.startswith("methods") else start + "methods: [scrub]\n" + text
    line = 4 if field.startswith("methods") else 5
    assert fault(text, line, field) == "unknown field; there are " + ", ".join(sorted(each.name for each in fields(kind)))


# ---- values that do not fit ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("added", "field", "message"),
    [
        ("seed: x", "seed", r"valid integer.*, not 'x'$"),
        ("seed: 1.5", "seed", r"valid integer.*, not 1\.5$"),
        ("batch_size: 0", "batch_size", r"greater than or equal to 1, not 0$"),
        ("validation: 1", "validation", r"less than 1, not 1$"),
        ("validation: -0.1", "validation", r"greater than or equal to 0, not -0\.1$"),
        ("retrained: -1", "retrained", r"greater than or equal to 0, not -1$"),
        ("title: [a]", "title", r"valid string, not \['a'\]$"),
        ("training: 5", "training", r"valid dictionary, not 5$"),
        ("training: {epochs: many}", "training.epochs", r"valid integer.*, not 'many'$"),
        ("training: {schedule: cosin}", "training.schedule", r"'constant', 'linear' or 'cosine', not 'cosin'$"),
        ("training: {clip_norm: big}", "training.clip_norm", r"valid number.*, not 'big'$"),
        ("engine: {device: tpu}", "engine.device", r"'cpu', 'cuda' or 'auto', not 'tpu'$"),
        ("engine: {checkpoint_steps: 0}", "engine.checkpoint_steps", r"greater than or equal to 1, not 0$"),
        ("5: 3", "5", r"strings, not 5$"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_what_would_be_right(added, field, message):
    assert re.search(message, fault(MINIMAL + added + "\n", 5, field))


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "message"),
    [
        ("{name: digits}", "digits", 1, "data", r"valid dictionary .*, not 'digits'$"),
        ("{name: digits}", "{train: 5}", 1, "data.name", r"^Field required$"),
        ("{name: digits}", "{name: digits, train: few}", 1, "data.train", r"valid integer.*, not 'few'$"),
        ("{name: digits}", "\n  name: digits\n  size: 0", 3, "data.size", r"greater than or equal to 1, not 0$"),
        ("{name: mlp}", "{name: mlp, arguments: 3}", 2, "model.arguments", r"valid dictionary, not 3$"),
        ("request: {class: 3}", "", 1, "request", r"^Field required$"),
        ("methods: [scrub]", "", 1, "methods", r"^Field required$"),
        ("[scrub]", "scrub", 4, "methods", r"valid list, not 'scrub'$"),
        ("[scrub]", "[]", 4, "methods", r"at least 1 item"),
        ("{class: 3}", "3", 3, "request", r"valid dictionary, not 3$"),
    ],
)
def test_a_required_part_that_is_missing_or_of_the_wrong_kind_is_named(old, new, line, field, message):
    assert re.search(message, fault(MINIMAL.replace(old, new), line, field))


def test_errors_within_an_optimizer_have_its_line():
    text = HEAD + (
        "request: {class: 3}\nmethods:\n  - scrub\n  - method: neggrad-plus\n    optimizer:\n"
        "      kind: {kind}\n      learning_rate: {rate}\n{more}"
    )

    def job(kind="adam", rate="0.1", more="") -> str:
        return text.replace("{kind}", kind).replace("{rate}", rate).replace("{more}", more)

    assert parse_job(job()).methods["neggrad-plus"] == NegGradPlus(optimizer=Optimizer("adam", 0.1))
    assert "'adam', 'adamw' or 'sgd', not 'rmsprop'" in fault(job(kind="rmsprop"), 8, "methods.1.optimizer.kind")
    assert "valid number" in fault(job(rate="fast"), 9, "methods.1.optimizer.learning_rate")
    assert "unknown field" in fault(job(more="      lr: 1\n"), 10, "methods.1.optimizer.lr")
    assert fault(job(rate="-1"), 7, "methods.1.optimizer") == "learning_rate must be above 0, not -1.0"


def test_a_hyper_parameter_out_of_range_has_its_line_and_its_name():
    text = HEAD + "request: {class: 3}\nmethods:\n  - scrub\n  - {method: neggrad-plus, alpha: 2}\n"
    with pytest.raises(BadJob, match=r"^my\.yaml, line 6, methods\.1.*alpha must lie between 0 and 1, not 2"):
        parse_job(text, "my.yaml")
    with pytest.raises(BadJob, match=r"^my\.yaml, line 4, methods\.0.*alpha must be above 0, not 0"):
        parse_job(HEAD + "request: {class: 3}\nmethods: [{method: ssd, alpha: 0}]", "my.yaml")


# ---- methods and labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ["scrubb", "{method: scrubb, epochs: 2}", "SCRUB"])
def test_an_unknown_method_is_named_beside_all_that_there_are(entry):
    name = "SCRUB" if entry == "SCRUB" else "scrubb"
    message = fault(HEAD + f"request: {{class: 3}}\nmethods:\n  - ssd\n  - {entry}\n", 6, "methods.1")
    assert message == f"unknown method '{name}'; there are {', '.join(sorted(METHODS))}"


@pytest.mark.parametrize("entry", ["5", "[scrub]", "{epochs: 3}", "{method: 5}", "null"])
def test_a_method_that_is_no_name_and_no_mapping_is_refused(entry):
    message = fault(MINIMAL.replace("[scrub]", f"[ssd, {entry}]"), 4, "methods.1")
    assert message == "a method is a name, or a mapping like {method: scrub, epochs: 5}"


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        (("scrub", "scrub"), "scrub"),
        (("scrub", "{method: scrub, epochs: 9}"), "scrub"),
        (("{method: ssd, label: best}", "{method: scrub, label: best}"), "best"),
        (("ssd", "{method: scrub, label: ssd}"), "ssd"),
    ],
)
def test_two_methods_of_one_name_are_refused(entries, name):
    text = HEAD + "request: {class: 3}\nmethods:\n  - finetune\n" + "".join(f"  - {entry}\n" for entry in entries)
    assert fault(text, 7, "methods.2") == f"a second method is called '{name}'; give it another label"


@pytest.mark.parametrize("label", ["original", "retrained", "retrained-2", "retrained-7"])
def test_the_names_of_references_are_kept_for_them(label):
    message = fault(MINIMAL.replace("[scrub]", f"[{{method: scrub, label: {label}}}]"), 4, "methods.0")
    assert message == f"'{label}' is the name of a reference; label the method otherwise"


def test_retrain_itself_may_be_compared():
    assert methods_of("methods: [retrain]") == {"retrain": Retrain()}


@pytest.mark.parametrize("label", ["../elsewhere", "/elsewhere"])
def test_a_label_that_leads_out_of_the_runs_folder_is_refused(label):
    with pytest.raises(BadJob, match="label"):
        parse_job(MINIMAL.replace("[scrub]", f"[{{method: scrub, label: {label}}}]"))


def test_only_a_method_of_the_job_can_be_delivered():
    text = MINIMAL.replace("[scrub]", "[scrub, {method: ssd, label: mild}]") + "deliver: ssd\n"
    assert fault(text, 5, "deliver") == "'ssd' is not one of the methods: scrub, mild"

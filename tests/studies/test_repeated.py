"""Many models of each kind: what is found of networks that learned wrong labels by heart, and what is left after a kill."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged, WrongTask
from expunge.methods import Finetune, GaussianAmnesiac, GradientAscent, Retrain
from expunge.models import MLP
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.studies import repeated_models
from expunge.studies.repeated import FIGURES, KINDS, Repeated, compared, held_apart, repeated
from expunge.studies.repeated_models import Maker
from expunge.tasks import ClassificationTask, DiffusionTask, RegressionTask
from tiny import class_split, waves
from tiny import task as blob_task

RECIPE = Retrain(epochs=60, optimizer=Optimizer("adam", 1e-2))
SHORT = Retrain(epochs=2, optimizer=Optimizer("adam", 1e-2))
NOTHING = Finetune(epochs=0)


def digits() -> Split:
    """30 digits with labels drawn anew must go, 70 stay; 100 are unseen, and 60 more with labels drawn anew."""
    found, draw = load_digits(), torch.Generator().manual_seed(0)
    order = torch.randperm(len(found.target), generator=draw)[:260]
    labels = torch.tensor(found.target)[order]
    labels[:30], labels[200:] = (torch.randint(10, (count,), generator=draw) for count in (30, 60))
    data = TensorDataset(torch.tensor(found.data / 16, dtype=torch.float32)[order], labels)
    return Split(*(Batches(data, 25, range(*span)) for span in ((0, 30), (30, 100), (100, 200), (200, 260))))


def digit_task() -> ClassificationTask:
    return ClassificationTask(lambda: MLP((64,), 10, (16,)), 10)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The request served by a method, 16 times; originals and retrained models are trained once."""
    folder = tmp_path_factory.mktemp("models")
    return lambda method: repeated(digit_task(), digits(), method, RECIPE, Engine(folder=folder, progress=False))


def plain(split: Split | None = None, method=NOTHING, recipe=SHORT, models=4, engine=None, task=None, **settings) -> Repeated:
    """A quick one, of blobs, with dropout: one by one."""
    chosen = engine or Engine(progress=False)
    return repeated(task or blob_task(), split or class_split(), method, recipe, chosen, models, **settings)


def stackable(models=5, engine=None, recipe=SHORT, method=NOTHING) -> Repeated:
    """A quick one whose networks are trained as one."""
    return repeated(digit_task(), digits(), method, recipe, engine or Engine(progress=False), models)


# ---- what it finds ------------------------------------------------------------------------------------------------------


def test_originals_are_far_from_retrained_models_and_two_sets_of_those_are_near(served):
    found = served(NOTHING)
    assert found.figures["original"]["ulira_auc"] > 0.95 and found.figures["original"]["told_apart"] > 0.5
    assert found.figures["original"]["loss_auc"] > 0.6 > found.figures["retrained-2"]["loss_auc"]
    assert abs(found.figures["retrained-2"]["ulira_auc"] - 0.5) < 0.1 and found.figures["retrained-2"]["told_apart"] == 0
    assert found.figures["retrained-2"]["klom_forget"] < 0.5 * found.figures["original"]["klom_forget"]
    assert found.figures["retrained-2"]["forgetting_quality"] > 10 * found.figures["original"]["forgetting_quality"]


def test_a_method_that_does_nothing_is_found_out(served):
    found = served(NOTHING)
    assert found.figures["unlearned"] == found.figures["original"]
    assert "they are told 100% as well as originals are" in str(found)


def test_gradient_ascent_is_told_by_each_examples_own_signals_better_than_by_one_threshold(served):
    found = served(GradientAscent(epochs=10, optimizer=Optimizer("adam", 4e-3))).figures["unlearned"]
    assert found["ulira_auc"] > 0.8 and found["ulira_auc"] > max(found["loss_auc"], 1 - found["loss_auc"]) + 0.1


def test_retraining_is_level_with_the_noise_floor(served):
    found = served(RECIPE)
    ours, floor = found.figures["unlearned"], found.figures["retrained-2"]
    assert ours["ulira_auc"] == pytest.approx(floor["ulira_auc"], abs=0.1)
    assert ours["klom_forget"] == pytest.approx(floor["klom_forget"], abs=1.0)
    assert not np.allclose(found.signals["unlearned"]["forget"], found.signals["retrained-2"]["forget"])


def test_errors_of_regressions_are_compared_too_each_number_for_itself():
    """The second number is the first; what goes has targets far off."""
    data = waves(120)
    inputs, targets = data.tensors[0], data.tensors[1].repeat(1, 2).clone()
    targets[:20] += 8.0
    rows = TensorDataset(inputs, targets)
    split = Split(*(Batches(rows, 20, range(*span)) for span in ((0, 20), (20, 80), (80, 120))))
    task = RegressionTask(lambda: nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 2)), "l2")
    found = repeated(task, split, NOTHING, Retrain(100, Optimizer("adam", 1e-2)), Engine(progress=False), 8)
    assert found.signals["original"]["forget"].shape == (8, 20, 2) and found.signals["oracle"]["holdout"].shape == (8, 40, 2)
    errors = {kind: abs(found.signals[kind]["forget"]).mean() for kind in ("original", "oracle")}
    assert errors["oracle"] > 3 * errors["original"]
    assert found.figures["original"]["ulira_auc"] > 0.9 > 0.7 > found.figures["retrained-2"]["ulira_auc"]


# ---- the models ---------------------------------------------------------------------------------------------------------


def test_every_model_has_a_seed_of_its_own():
    found = stackable(method=SHORT)
    answers = np.concatenate([parts["retain"][..., 0] for parts in found.signals.values()])
    assert answers.shape == (20, 70) and len(np.unique(answers.round(4), axis=0)) == 20


def test_networks_trained_as_one_are_those_trained_one_by_one(monkeypatch):
    as_one, engines = stackable(engine=(first := Engine(progress=False))), Engine(progress=False)
    monkeypatch.setattr(repeated_models, "pays", lambda model, device: False)
    single = stackable(engine=engines)
    for kind, parts in as_one.signals.items():
        for part, values in parts.items():
            np.testing.assert_allclose(values, single.signals[kind][part], atol=1e-3)
    told = [
        {(row["fit"], row["epoch"], row["step"], row["learning_rate"]) for row in each.history} for each in (first, engines)
    ]
    assert told[0] == told[1] and len(told[0]) == 15 * 2
    assert first.history[0].keys() == engines.history[0].keys()


def test_originals_are_trained_on_what_goes_and_what_stays_unless_it_is_said():
    split = class_split()
    whole = Batches(split.retain.dataset, 16, [*range(120, 160), *range(120)])
    assert plain(split).figures == plain(split, everything=whole).figures
    assert plain(split, everything=split.retain).figures != plain(split).figures


@pytest.mark.parametrize(
    "stream",
    [
        [(torch.zeros(2, 64), torch.zeros(2, dtype=torch.long))],
        Batches(digits().retain.dataset, 8, shuffle=False),
        Batches(digits().retain.dataset, 8, sizes=[1] * 260),
    ],
    ids=["a list", "in order", "by size"],
)
def test_streams_that_networks_cannot_share_are_passed_over_one_by_one(stream):
    maker = Maker(digit_task(), SHORT, Engine(progress=False))
    assert maker.stacked(stream) is None and maker.stacked(digits().retain) is not None
    assert len(list(maker.trained("some", stream, 2))) == 2
    assert Maker(blob_task(), SHORT, Engine(progress=False)).stacked(class_split().retain) is None, "dropout"


# ---- killed and resumed -------------------------------------------------------------------------------------------------


class Killed(Exception):
    """The end of a process."""


@pytest.mark.parametrize("kept", [0, 3, 7, 13, 17])
@pytest.mark.parametrize("serve", [plain, stackable], ids=["one by one", "as one"])
def test_a_killed_run_goes_on_to_the_same_figures(serve, kept, tmp_path, monkeypatch):
    whole = serve(models=5)
    keep, written = Engine.keep, []

    def breaks(engine, name, model, **facts):
        if len(written) == kept:
            raise Killed
        written.append(name)
        keep(engine, name, model, **facts)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Engine, "keep", breaks)
        serve(models=5, engine=Engine(folder=tmp_path, progress=False))
    again = serve(models=5, engine=Engine(folder=tmp_path, progress=False))
    assert again == whole
    assert all(np.array_equal(again.signals[kind][part], whole.signals[kind][part]) for kind in KINDS for part in ("forget",))


def test_networks_are_trained_again_in_the_company_they_were_in(tmp_path, monkeypatch):
    stackable(engine=Engine(folder=tmp_path, progress=False))
    (tmp_path / "repeated" / "oracle-3" / "result.safetensors").unlink()
    train, sizes = repeated_models.train_batched, []

    def noted(task, models, *settings):
        sizes.append(len(models))
        return train(task, models, *settings)

    monkeypatch.setattr(repeated_models, "train_batched", noted)
    stackable(engine=Engine(folder=tmp_path, progress=False))
    assert sizes == [5]


def test_a_run_killed_in_the_middle_of_a_fit_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    whole, losses, calls = plain(method=Finetune(epochs=2)), ClassificationTask.losses, []

    def breaks(task, outputs, batch):
        calls.append(len(batch[1]))
        if len(calls) == 75:
            raise Killed
        return losses(task, outputs, batch)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ClassificationTask, "losses", breaks)
        plain(method=Finetune(epochs=2), engine=Engine(folder=tmp_path, checkpoint_steps=2, progress=False))
    again = Engine(folder=tmp_path, checkpoint_steps=2, progress=False)
    assert plain(method=Finetune(epochs=2), engine=again) == whole and again.resumed_seconds > 0


@pytest.mark.parametrize("serve", [plain, stackable], ids=["one by one", "as one"])
def test_what_is_kept_is_not_made_again_unless_it_depends_on_what_changed(serve, tmp_path, monkeypatch):
    method = Finetune(epochs=1)
    whole, counts = serve(method=method, engine=Engine(folder=tmp_path, progress=False)), {"fit": 0, "as one": 0}

    def counted(name, work):
        def call(*args, **settings):
            counts[name] += 1
            return work(*args, **settings)

        return call

    monkeypatch.setattr(Engine, "fit", counted("fit", Engine.fit))
    monkeypatch.setattr(repeated_models, "train_batched", counted("as one", repeated_models.train_batched))
    engine = Engine(folder=tmp_path, progress=False)
    assert serve(method=method, engine=engine) == whole and not any(counts.values())
    assert len(engine.history) == whole.models * (3 * 2 + 1), "histories are known too"
    serve(method=Finetune(epochs=2), engine=engine)
    assert counts == {"fit": whole.models, "as one": 0}, "another method's models alone"
    counts["fit"] = 0
    serve(method=method, recipe=Retrain(epochs=3), engine=engine)
    assert sum(counts.values()) == (4 * whole.models if serve is plain else 3 + whole.models)


# ---- figures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("models", [4, 5, 16])
def test_attacks_meet_no_model_that_they_were_fitted_to(models):
    """Else areas of models that are alike would lie above a half."""
    rng = np.random.default_rng(0)
    areas = held_apart(*rng.normal(size=(2, models, 5000)))
    assert areas.shape == (5000,) and areas.mean() == pytest.approx(0.5, abs=0.01)
    assert held_apart(rng.normal(size=(models, 9)), rng.normal(size=(models, 9)) + 50).min() > 0.9


def test_the_mark_of_a_method_is_seen_on_unseen_examples_and_what_is_known_is_not():
    draw = np.random.default_rng(0)
    drawn = {part: draw.normal(size=(2, 16, 20, 1)) for part in ("forget", "retain", "holdout")}
    oracle = {part: values[0] for part, values in drawn.items()}
    marked = {part: values[1] + 4 for part, values in drawn.items()}
    knowing = {part: values[1] + 4 * (part == "forget") for part, values in drawn.items()}
    both = [compared(ours, oracle, 0.01) for ours in (marked, knowing)]
    assert all(each["ulira_auc"] > 0.95 for each in both)
    assert both[0]["ulira_auc_unseen"] > 0.95 and abs(both[1]["ulira_auc_unseen"] - 0.5) < 0.1


def test_an_example_that_is_always_told_counts_as_much_as_so_many_models_can_show():
    rng = np.random.default_rng(0)
    ours, theirs = ({part: rng.normal(size=(20, 30, 1)) for part in ("forget", "retain", "holdout")} for _ in range(2))
    ours["forget"][:, :20] += 100
    found = compared(ours, theirs, 0.01)
    assert found["told_apart"] == pytest.approx(2 / 3) and found["epsilon"] == pytest.approx(np.log(0.99 * 20 - 1))
    assert found["klom_forget"] > 10 > 4 > found["klom_retain"] and found["forgetting_quality"] < 0.5


def test_of_several_numbers_epsilon_is_that_of_the_one_which_tells_most():
    rng = np.random.default_rng(0)
    ours, theirs = ({part: rng.normal(size=(20, 30, 2)) for part in ("forget", "retain", "holdout")} for _ in range(2))
    ours["forget"][..., 1] += 100
    assert compared(ours, theirs, 0.01)["told_apart"] == 1


def test_without_unseen_examples_of_the_class_there_is_no_plain_attack():
    split = class_split()
    alone = Split(split.forget, split.retain, split.holdout)
    found = plain(alone)
    assert set(FIGURES) - set(found.figures["unlearned"]) == {"loss_auc"}
    assert "threshold" not in str(found) and "threshold" in str(plain(split))


def test_it_prints_a_table_and_says_what_it_means():
    found = plain(models=5)
    head, *lines = str(found).splitlines()
    assert head.split() == ["finetune", "original", "second", "retrained"] and len({len(line) for line in lines[:13]}) == 1
    assert "no epsilon above 1.37 can be seen; to see one of 2 it takes 9." in str(found)
    assert [row["kind"] for row in found.rows()] == ["unlearned", "original", "retrained-2"]
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert told["rows"] == found.rows() and told["epsilon_limit"] == found.limit and len(told["meaning"]) == 4


@pytest.mark.parametrize(
    ("areas", "sentence"),
    [
        (
            (0.7, 0.9, 0.5),
            "they are told 50% as well as originals are. By unseen examples they are told with 0.600, originals with 0.600",
        ),
        ((0.47, 0.9, 0.5), "That is level with the noise floor, as far as 16 models can tell."),
        ((0.5, 0.53, 0.5), "Originals are hardly told from retrained models either: whatever the method reached, nothing is"),
    ],
)
def test_what_is_left_is_a_share_of_what_there_was_to_see(areas, sentence):
    figures = {
        kind: {"ulira_auc": area, "ulira_auc_unseen": 0.6, "klom_forget": 1.0} for kind, area in zip(KINDS, areas, strict=True)
    }
    assert sentence in " ".join(Repeated("some", 16, 0.01, figures, {}).meaning())


# ---- what is refused ----------------------------------------------------------------------------------------------------


def test_requests_that_cannot_be_compared_are_refused():
    with pytest.raises(BadSetting, match="4 or more models of each kind"):
        plain(models=3)
    with pytest.raises(BadSetting, match="delta from 0 to below 1"):
        plain(delta=1.0)
    with pytest.raises(BadSetting, match=r"must be a Retrain, .* not Finetune"):
        plain(recipe=Finetune())
    split, empty = class_split(), Batches(class_split().retain.dataset, 8, [])
    for part in ("forget", "retain", "holdout"):
        parts = {name: getattr(split, name) for name in ("forget", "retain", "holdout")} | {part: empty}
        with pytest.raises(BadRequest, match=f"^the {part} part is empty"):
            plain(Split(**parts))


def test_tasks_without_signals_are_refused():
    with pytest.raises(WrongTask, match=r"^models of DiffusionTask give no signals to compare; those of ClassificationTask, "):
        plain(task=object.__new__(DiffusionTask))


def test_methods_of_other_tasks_are_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(Engine, "fit", None)
    with pytest.raises(WrongTask, match="gaussian-amnesiac works on RegressionTask"):
        plain(method=GaussianAmnesiac())


def test_answers_that_are_not_numbers_are_refused():
    class Broken(Finetune):
        def unlearn(self, student, task, split, engine):
            with torch.no_grad():
                next(student.parameters()).fill_(float("nan"))
            return student

    with pytest.raises(Diverged, match=r"-0: answers are not finite"):
        plain(method=Broken())

"""Shadow sets: halves in pairs, both ways of training, and finding again what was trained."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits import RMIA, LiRA, References, Subject
from expunge.audits.shadows import ShadowSet, training
from expunge.audits.shadows.examples import rows_of
from expunge.audits.shadows.training import halves, shadows_of
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Retrain
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import ClassificationTask

RECIPE = Retrain(epochs=4, optimizer=Optimizer("adam", 1e-2))


def task_of(width: int = 8) -> ClassificationTask:
    return ClassificationTask(lambda: nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 3)), 3)


def data_of(rows: int = 31, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 5, generator=generator), torch.randint(3, (rows,), generator=generator)


def by_hand(task, stream, engine):
    """The recipe by another name, so that nobody knows what it is."""
    return RECIPE.train(task, stream, engine)


def trained(data=None, count=4, train=RECIPE.train, batch_size=4, engine=None, task=None) -> ShadowSet:
    return ShadowSet.trained(
        task or task_of(), data_of() if data is None else data, count, train, batch_size, engine or Engine(progress=False)
    )


def answers(shadows: ShadowSet) -> torch.Tensor:
    return shadows.collect(task_of(), len(shadows.data[0]))


@pytest.fixture
def trainings(monkeypatch) -> list[int]:
    """How many shadows were trained as one, call by call."""
    sizes, train = [], training.train_batched

    def counting(task, models, *settings):
        sizes.append(len(models))
        return train(task, models, *settings)

    monkeypatch.setattr(training, "train_batched", counting)
    return sizes


# ---- halves -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "count"), [(10, 4), (11, 6), (11, 5)])
def test_the_second_of_a_pair_holds_what_the_first_does_not(rows, count):
    held = halves(rows, count, Engine(progress=False))
    assert held.shape == (count, rows)
    for first in range(0, count - 1, 2):
        assert torch.equal(held[first + 1], ~held[first]) and held[first].sum() == rows // 2
    assert set(held.sum(0).tolist()) <= {count // 2, -(-count // 2)}
    assert len({tuple(row) for row in held.tolist()}) == count, "each pair draws for itself"


def test_the_seed_decides_who_holds_what():
    assert torch.equal(halves(20, 4, Engine(seed=1, progress=False)), halves(20, 4, Engine(seed=1, progress=False)))
    assert not torch.equal(halves(20, 4, Engine(seed=1, progress=False)), halves(20, 4, Engine(seed=2, progress=False)))


# ---- both ways ----------------------------------------------------------------------------------------------------------


def test_shadows_trained_as_one_are_those_trained_one_by_one():
    as_one, single = trained(), trained(train=by_hand)
    assert as_one.one_by_one == "" and single.one_by_one == "the recipe is not one of epochs, optimizer and schedule alone"
    assert torch.equal(as_one.held, single.held)
    torch.testing.assert_close(answers(as_one), answers(single), rtol=0, atol=1e-4)


def test_histories_tell_of_each_fit_both_ways():
    engines = Engine(progress=False), Engine(progress=False)
    trained(engine=engines[0])
    trained(train=by_hand, engine=engines[1])
    kept = [{(row["fit"], row["epoch"], row["step"]): row["terms"]["loss"] for row in engine.history} for engine in engines]
    assert kept[0].keys() == kept[1].keys() and len(kept[0]) == 4 * 4
    assert all(kept[0][row] == pytest.approx(kept[1][row], abs=1e-4) for row in kept[0])
    assert engines[0].history[0].keys() == engines[1].history[0].keys()


def test_networks_that_can_t_be_stacked_are_trained_one_by_one_and_say_why():
    task = ClassificationTask(lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), 3)
    assert "running statistics" in trained(task=task, count=2).one_by_one
    wide = task_of(10_000)
    assert trained(task=wide, count=2, train=Retrain(epochs=0).train).one_by_one.startswith("it would not be quicker")


def test_each_shadow_learns_what_it_holds():
    shadows = trained(train=Retrain(epochs=200, optimizer=Optimizer("adam", 2e-2)).train, count=6)
    losses = shadows.collect(task_of(), 31, task_of().losses)
    assert losses[shadows.held].mean() < 0.1 < 0.5 < losses[~shadows.held].mean()


def test_rows_that_are_asked_for_are_the_first():
    shadows = trained()
    torch.testing.assert_close(shadows.collect(task_of(), 7), answers(shadows)[:, :7])  # batches of other sizes round otherwise


# ---- finding them again -------------------------------------------------------------------------------------------------


def test_the_next_request_finds_them_whatever_the_order_of_its_rows(tmp_path, trainings):
    first = trained(engine=Engine(progress=False, folder=tmp_path))
    assert trainings == [2, 2], "of 31 rows one of each pair holds 15, the other 16"
    order = torch.randperm(31, generator=torch.Generator().manual_seed(3))
    engine = Engine(progress=False, folder=tmp_path)
    second = trained(data=tuple(part[order] for part in data_of()), engine=engine)
    assert trainings == [2, 2] and len(engine.history) == 16, "their history is known too"
    assert torch.equal(second.held, first.held[:, order])
    torch.testing.assert_close(answers(second), answers(first)[:, order])


def test_without_a_folder_the_order_of_rows_does_not_matter_either():
    order = torch.randperm(31, generator=torch.Generator().manual_seed(3))
    first, second = trained(), trained(data=tuple(part[order] for part in data_of()))
    torch.testing.assert_close(answers(second), answers(first)[:, order])


@pytest.mark.parametrize(
    "other",
    [
        {"data": data_of(seed=1)},
        {"data": data_of(30)},
        {"count": 6},
        {"batch_size": 5},
        {"train": Retrain(epochs=3, optimizer=Optimizer("adam", 1e-2)).train},
        {"task": task_of(9)},
        {"seed": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_others_are_not_taken_for_them(tmp_path, trainings, other):
    trained(engine=Engine(progress=False, folder=tmp_path))
    engine = Engine(seed=other.get("seed", 0), progress=False, folder=tmp_path)
    trained(engine=engine, **{name: value for name, value in other.items() if name != "seed"})
    assert sum(trainings) == 4 + other.get("count", 4)


def test_one_file_is_kept_of_each_both_ways(tmp_path):
    for name, train in (("one", RECIPE.train), ("single", by_hand)):
        trained(train=train, engine=Engine(progress=False, folder=tmp_path / name))
        found = sorted(path.name for path in (tmp_path / name).rglob("*.safetensors"))
        assert found == [f"shadow-{number}.safetensors" for number in range(4)]


class Killed(Exception):
    """The process ends here."""


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    """One by one: the third dies in its second epoch. What was done is found, and the end is the same."""
    asked = []

    def dying(task, stream, engine):
        asked.append(engine.full_name(""))
        if len(asked) == 3:
            engine.checkpoint_steps = 1
            recipe, stop = RECIPE, iter(range(6))

            def loss(model, batch):
                if next(stop, None) is None:
                    raise Killed
                return task.losses(task.outputs(model, batch), batch)

            engine.fit(
                engine.new_model(task.new_model),
                loss,
                stream,
                epochs=recipe.epochs,
                optimizer=recipe.optimizer,
                schedule=recipe.schedule,
            )
        return RECIPE.train(task, stream, engine)

    with pytest.raises(Killed):
        trained(train=dying, engine=Engine(progress=False, folder=tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("shadow-*.safetensors")}
    assert len(before) == 2 and len(list(tmp_path.rglob("fit.safetensors"))) == 1
    engine = Engine(progress=False, folder=tmp_path)
    shadows = trained(train=dying, engine=engine)
    assert len(asked) == 5, "the third and the fourth"
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    torch.testing.assert_close(answers(shadows), answers(trained(train=by_hand)), rtol=0, atol=1e-6)


def test_of_shadows_that_were_lost_only_those_are_trained(tmp_path, trainings):
    first = trained(engine=Engine(progress=False, folder=tmp_path))
    (tmp_path / "shadow-1.safetensors").unlink()
    second = trained(engine=Engine(progress=False, folder=tmp_path))
    assert trainings == [2, 2, 1]
    torch.testing.assert_close(answers(second), answers(first), rtol=0, atol=1e-4)


# ---- audits share them --------------------------------------------------------------------------------------------------


def subjects(engine: Engine) -> tuple[Subject, References]:
    data = TensorDataset(*data_of(40))
    forget, retain, holdout = (Batches(data, 8, range(*span)) for span in ((0, 8), (8, 24), (24, 40)))
    split, task = Split(forget, retain, holdout), task_of()
    with engine.scope("original"):
        original = RECIPE.train(task, Batches(data, 8, range(24)), engine)
    subject = Subject("original", original, task, split, engine)
    return subject, References(subject, (), RECIPE.train)


def test_rows_are_those_to_forget_then_unseen_then_retained():
    subject, _ = subjects(Engine(progress=False))
    inputs, targets = rows_of(subject, unseen=3)
    wanted = torch.tensor([*range(8), *range(24, 27), *range(8, 24)])
    assert torch.equal(inputs, data_of(40)[0][wanted]) and torch.equal(targets, data_of(40)[1][wanted])


def test_two_attacks_share_them_and_neither_depends_on_the_other(trainings):
    subject, references = subjects(Engine(progress=False))
    both = [audit(subject, references) for audit in (LiRA(4, 8), RMIA(4, 8))]
    assert trainings == [4]
    subject, references = subjects(Engine(progress=False))
    alone = RMIA(4, 8)(subject, references)
    assert alone == both[1] and trainings == [4, 4]


def test_the_engine_of_the_comparison_knows_of_them_under_one_name(tmp_path):
    engine = Engine(progress=False, folder=tmp_path)
    with engine.scope("request"):
        subject, references = subjects(engine)
        RMIA(2, 8)(subject, references)
    fits = {row["fit"] for row in engine.history} - {"request/original/fit"}
    assert fits == {"request/shadows/shadow-0/fit", "request/shadows/shadow-1/fit"}
    assert len(list((tmp_path / "request" / "shadows").glob("shadow-*.safetensors"))) == 2


def test_the_subject_is_not_changed_by_them():
    subject, references = subjects(Engine(progress=False))
    before = copy.deepcopy(subject.model.state_dict())
    shadows_of(subject, references, 2, 8, 100)
    assert all(torch.equal(before[name], value) for name, value in subject.model.state_dict().items())


@pytest.mark.parametrize("settings", [{"count": 1}, {"batch_size": 0}, {"data": data_of(1)}], ids=lambda each: next(iter(each)))
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(
        BadSetting, match=r"^there must be 2 or more shadows, 2 or more rows and a batch_size of at least 1, not"
    ):
        trained(**settings)

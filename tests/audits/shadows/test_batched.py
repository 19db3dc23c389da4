"""Networks trained as one are those of training one by one: same weights to begin with, rows, batches and updates."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from expunge.audits.shadows.batched import Recipe, can_batch, networks_at_a_time, pays, recipe_of, train_batched
from expunge.engine import Engine
from expunge.errors import BadSetting, Diverged
from expunge.methods import Finetune, Retrain
from expunge.models import MLP, NormCNN, SmallCNN
from expunge.optimizers import Optimizer
from expunge.split import Batches
from expunge.tasks import ClassificationTask, RegressionTask, Task

SGD, ADAM, ADAMW = Optimizer("sgd", 0.1, 1e-3, 0.9), Optimizer("adam", 3e-3, 1e-3), Optimizer("adamw", 3e-3, 0.1)


def mlp() -> ClassificationTask:
    return ClassificationTask(lambda: MLP((1, 8, 8), 4, (12,)), 4)


def cnn() -> ClassificationTask:
    return ClassificationTask(lambda: SmallCNN((1, 8, 8), 4, width=3), 4)


class Bench:
    """Three networks on halves of 50 images, which leave batches of unequal size."""

    def __init__(self, task: Task, recipe: Retrain, batch_size: int = 8) -> None:
        generator = torch.Generator().manual_seed(0)
        targets = torch.randint(4, (50,), generator=generator)
        if isinstance(task, RegressionTask):
            targets = torch.randn(50, 2, generator=generator)
        self.data = torch.randn(50, 1, 8, 8, generator=generator), targets
        self.rows = torch.stack([torch.randperm(50, generator=generator)[:25] for _ in range(3)])
        self.task, self.recipe, self.batch_size, self.engine = task, recipe, batch_size, Engine(progress=False)

    def one_by_one(self) -> list[nn.Module]:
        found = []
        for number, rows in enumerate(self.rows):
            with self.engine.scope(str(number)):
                batches = Batches(TensorDataset(*self.data), self.batch_size, rows.tolist())
                found.append(self.recipe.train(self.task, batches, self.engine))
        return found

    def models(self) -> list[nn.Module]:
        found = []
        for number in range(3):
            with self.engine.scope(str(number)):
                found.append(self.engine.new_model(self.task.new_model))
        return found

    def as_one(self, **settings) -> list[nn.Module]:
        def generator(number: int, epoch: int) -> torch.Generator:
            with self.engine.scope(str(number)):
                return self.engine.generator("fit", "epoch", epoch)

        recipe = recipe_of(self.recipe.train)
        given = {"models": self.models(), "rows": self.rows, "batch_size": self.batch_size, "generator": generator} | settings
        return train_batched(self.task, data=self.data, recipe=recipe, **given)

    def losses(self, models: list[nn.Module]) -> torch.Tensor:
        return torch.stack([self.task.collect(model, [self.data], self.task.losses) for model in models])


@pytest.mark.parametrize("task", [mlp(), cnn()], ids=["mlp", "cnn"])
@pytest.mark.parametrize(("optimizer", "schedule"), [(SGD, "constant"), (SGD, "linear"), (ADAM, "cosine"), (ADAMW, "linear")])
def test_the_losses_are_those_of_training_one_by_one(task, optimizer, schedule):
    bench = Bench(task, Retrain(epochs=3, optimizer=optimizer, schedule=schedule))
    single, batched = bench.losses(bench.one_by_one()), bench.losses(bench.as_one())
    torch.testing.assert_close(batched, single, rtol=0, atol=1e-3)
    assert (single - bench.losses(bench.models())).abs().mean() > 0.01, "something was learned"
    assert (single[0] - single[1]).abs().mean() > 0.005, "each is a network of its own"


def test_each_networks_gradient_is_clipped_by_itself():
    bench = Bench(mlp(), Retrain(epochs=3, optimizer=Optimizer("sgd", 0.5), clip_norm=0.2))
    free = Bench(mlp(), Retrain(epochs=3, optimizer=Optimizer("sgd", 0.5)))
    single = bench.losses(bench.one_by_one())
    torch.testing.assert_close(bench.losses(bench.as_one()), single, rtol=0, atol=1e-3)
    assert (single - free.losses(free.one_by_one())).abs().mean() > 0.01


def test_regression_is_trained_as_one_too():
    task = RegressionTask(lambda: MLP((1, 8, 8), 2, (6,)), "huber")
    bench = Bench(task, Retrain(epochs=3, optimizer=ADAM))
    torch.testing.assert_close(bench.losses(bench.as_one()), bench.losses(bench.one_by_one()), rtol=0, atol=1e-3)


def test_what_does_not_learn_stays_as_it_was():
    def half_frozen() -> nn.Module:
        model = MLP((1, 8, 8), 4, (6,))
        model.body.requires_grad_(False)
        return model

    bench = Bench(ClassificationTask(half_frozen, 4), Retrain(epochs=2, optimizer=SGD))
    before, after = bench.models(), bench.as_one()
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old.body[1].weight, new.body[1].weight) and not torch.equal(old.head.weight, new.head.weight)
        assert not new.body[1].weight.requires_grad and new.head.weight.requires_grad
    torch.testing.assert_close(bench.losses(after), bench.losses(bench.one_by_one()), rtol=0, atol=1e-3)


def test_networks_come_back_in_their_order_whatever_that_is():
    bench = Bench(mlp(), Retrain(epochs=2, optimizer=SGD))
    straight = bench.as_one()

    def generator(number: int, epoch: int) -> torch.Generator:
        with bench.engine.scope(str(2 - number)):
            return bench.engine.generator("fit", "epoch", epoch)

    turned = bench.as_one(models=bench.models()[::-1], rows=bench.rows.flip(0), generator=generator)
    torch.testing.assert_close(bench.losses(turned[::-1]), bench.losses(straight))


def test_models_that_are_handed_in_are_not_changed_and_results_are_ready_to_answer():
    bench = Bench(mlp(), Retrain(epochs=1, optimizer=SGD))
    models = bench.models()
    before = copy.deepcopy([model.state_dict() for model in models])
    after = bench.as_one(models=models)
    assert all(
        torch.equal(model.state_dict()[name], old[name]) for model, old in zip(models, before, strict=True) for name in old
    )
    assert all(not each.training for model in after for each in model.modules())


def test_no_epochs_give_the_initial_weights():
    bench = Bench(mlp(), Retrain(epochs=0))
    assert torch.equal(bench.losses(bench.as_one()), bench.losses(bench.models()))


def test_each_epoch_is_told_with_the_mean_losses():
    bench = Bench(mlp(), Retrain(epochs=2, optimizer=SGD, schedule="linear"))
    told = []
    bench.as_one(on_epoch=lambda epoch, losses, rate: told.append((epoch, losses, rate)))
    bench.one_by_one()
    wanted = [row for row in bench.engine.history if row["fit"].startswith("1/")]
    assert [epoch for epoch, _, _ in told] == [0, 1] == [row["epoch"] for row in wanted]
    for (_, losses, rate), row in zip(told, wanted, strict=True):
        assert losses[1].item() == pytest.approx(row["terms"]["loss"], abs=1e-5)
        assert rate == pytest.approx(row["learning_rate"])


def test_a_network_that_diverges_is_named():
    bench = Bench(mlp(), Retrain(epochs=1, optimizer=SGD))
    models = bench.models()
    with torch.no_grad():
        models[1].head.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match=r"^shadow 1: the loss is nan at step 0$"):
        bench.as_one(models=models)


# ---- what can't be stacked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (lambda: NormCNN((1, 8, 8), 4, width=2), r"^BatchNorm2d '.*' changes running statistics in place$"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 4)), "^Dropout '1' draws random numbers"),
        (lambda: nn.LSTM(8, 4), "is one operation that can't be stacked$"),
        (lambda: nn.Flatten(), "^the network has nothing to train$"),
    ],
    ids=["batch norm", "dropout", "lstm", "nothing"],
)
def test_layers_that_can_t_be_stacked_are_named(factory, reason):
    task = ClassificationTask(factory, 4)
    able, why = can_batch(task, task.new_model())
    assert not able
    with pytest.raises(BadSetting, match=reason):
        raise BadSetting(why)


class Draws(nn.Module):
    """Draws random numbers where no layer tells of it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 4)

    def forward(self, inputs):
        return self.head(nn.functional.dropout(inputs.flatten(1), 0.5, self.training))


def test_what_only_shows_in_a_run_is_found_by_trying():
    task = ClassificationTask(Draws, 4)
    batch = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])
    assert can_batch(task, task.new_model()) == (True, "")
    able, why = can_batch(task, task.new_model(), batch)
    assert not able and why.startswith("torch.func.vmap can't run the network: ")
    assert can_batch(cnn(), cnn().new_model(), batch) == (True, "")


def test_a_dropout_of_nothing_and_normalisation_without_memory_are_no_hindrance():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.Linear(64, 4), nn.BatchNorm1d(4, track_running_stats=False))
    assert can_batch(ClassificationTask(lambda: network, 4), network) == (True, "")


def test_networks_that_can_t_be_stacked_are_refused():
    bench = Bench(ClassificationTask(lambda: NormCNN((1, 8, 8), 4, width=2), 4), Retrain(epochs=1))
    with pytest.raises(BadSetting, match="running statistics"):
        bench.as_one()
    bench = Bench(mlp(), Retrain(epochs=1))
    for settings in ({"rows": bench.rows[:2]}, {"rows": bench.rows[:, :0]}, {"batch_size": 0}):
        with pytest.raises(BadSetting, match=r"^3 networks need rows each, and batches, not "):
            bench.as_one(**settings)


# ---- recipes and sizes --------------------------------------------------------------------------------------------------


def test_the_recipe_is_read_from_the_method_that_retrains_and_from_nothing_else():
    retrain = Retrain(epochs=5, optimizer=SGD, schedule="linear", clip_norm=2.0)
    assert recipe_of(retrain.train) == Recipe(5, SGD, "linear", 2.0)

    class Other(Retrain):
        def train(self, task, batches, engine):
            return task.new_model()

    assert recipe_of(Other().train) is None and recipe_of(Finetune().unlearn) is None
    assert recipe_of(lambda task, stream, engine: task.new_model()) is None and recipe_of(None) is None
    with pytest.raises(BadSetting, match="epochs must be 0 or more, not -1"):
        Recipe(-1)


def test_on_a_cpu_it_pays_for_small_networks_alone():
    small, large = MLP((64,), 10), SmallCNN((1, 28, 28), 10)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert pays(small, cpu) and not pays(large, cpu) and pays(large, cuda)
    assert 64 <= networks_at_a_time(small, cpu) < networks_at_a_time(small, cuda)
    assert networks_at_a_time(MLP((3000,), 10, (3000,)), cpu) == 1

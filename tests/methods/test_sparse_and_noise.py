"""L1-sparse and Fisher forgetting: their limits, the fading penalty, and the size of the noise."""

import copy

import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.gradients import diagonal_fisher
from expunge.methods import Finetune, FisherForgetting, L1Sparse
from expunge.methods.fisher_forgetting import variance
from expunge.methods.l1_sparse import Progressing
from expunge.optimizers import Optimizer
from expunge.split import Split
from tiny import class_split, original, same_weights, task

TRAINING = {"epochs": 3, "optimizer": Optimizer("adam", 5e-3), "schedule": "cosine"}


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def run(method, model, split=None, **engine):
    return method(model, task(), split or class_split(), Engine(progress=False, **engine))


def flat(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


class TestL1Sparse:
    def test_without_a_penalty_it_is_fine_tuning(self, trained):
        engine = Engine(progress=False)
        with engine.scope("l1-sparse"), engine.seeded("method"):
            expected = Finetune(**TRAINING).unlearn(copy.deepcopy(trained), task(), class_split(), engine)
        assert same_weights(run(L1Sparse(gamma=0.0, **TRAINING), trained), expected)

    def test_the_penalty_fades_in_equal_steps_to_the_end(self):
        stream = class_split().retain
        steps = [timed.progress for epoch in range(3) for timed in Progressing(stream, epoch, 3).epoch(torch.Generator())]
        assert steps == pytest.approx([step / 24 for step in range(24)])

    def test_a_step_of_the_penalty_alone_is_gamma_times_the_sign(self, trained):
        """Two steps of plain SGD without a loss: weights shrink by rate * gamma * (1 + 1/2)."""

        class Nothing(type(task())):
            def losses(self, outputs, batch):
                return 0 * super().losses(outputs, batch)

        split = class_split()
        whole = Split(split.forget, split.retain.with_batch_size(60))
        method = L1Sparse(gamma=0.01, epochs=1, optimizer=Optimizer("sgd", 0.1), schedule="constant")
        result = method(trained, Nothing(task().factory, classes=4), whole, Engine(progress=False))
        before = flat(trained)
        expected = before - 0.1 * 0.01 * 1.5 * before.sign()
        far = before.abs() > 0.01
        torch.testing.assert_close(flat(result)[far], expected[far])

    def test_a_larger_gamma_leaves_smaller_weights_and_forgets_more(self, trained):
        results = [run(L1Sparse(gamma=gamma, epochs=15), trained) for gamma in (0.0, 2e-3, 1e-2)]
        sizes = [float(flat(each).abs().sum()) for each in results]
        losses = [task().evaluate(each, class_split().forget)["loss"] for each in results]
        assert sizes[0] > sizes[1] > sizes[2] and losses[0] < losses[1] < losses[2]
        assert task().evaluate(results[1], class_split().retain)["accuracy"] > 0.95

    def test_a_killed_run_goes_on_where_the_penalty_was(self, trained, tmp_path):
        class Stop(Exception):
            pass

        class Stops(type(task())):
            left = 11

            def losses(self, outputs, batch):
                self.left -= 1
                if self.left < 0:
                    raise Stop
                return super().losses(outputs, batch)

        method = L1Sparse(gamma=5e-3, **TRAINING)
        engine = {"folder": tmp_path, "checkpoint_steps": 1}
        with pytest.raises(Stop):
            method(trained, Stops(task().factory, classes=4), class_split(), Engine(progress=False, **engine))
        assert same_weights(run(method, trained, **engine), run(method, trained))


class TestFisherForgetting:
    def test_without_noise_nothing_changes(self, trained):
        assert same_weights(run(FisherForgetting(alpha=0.0), trained), trained)
        assert same_weights(run(FisherForgetting(variance_cap=0.0), trained), trained)

    def test_the_noise_has_the_deviation_of_the_formula(self, trained):
        fisher = diagonal_fisher(trained, lambda model, batch: task().losses(model(batch[0]), batch), class_split().retain)
        information = torch.cat([value.flatten() for value in fisher.values()])
        sigma = (1e-5 * information.rsqrt()).clamp(max=1e-3).sqrt()
        noise = torch.stack([flat(run(FisherForgetting(1e-5, 1e-3), trained, seed=seed)) for seed in range(20)])
        drawn = (noise - flat(trained)) / sigma
        assert drawn.mean().abs() < 0.05 and abs(drawn.std() - 1) < 0.05
        assert (sigma < 1e-3**0.5).any() and (sigma == sigma.max()).any(), "neither side of the cap was tried"

    def test_weights_that_nothing_is_known_of_get_the_cap(self):
        assert variance(torch.zeros(2), 1e-6, 0.5).tolist() == [0.5, 0.5]
        assert variance(torch.tensor([4.0]), 2.0, None).tolist() == [1.0]

    def test_what_goes_is_not_looked_at(self, trained):
        split = class_split()
        other = Split(split.holdout, split.retain)
        assert same_weights(run(FisherForgetting(), trained, split), run(FisherForgetting(), trained, other))

    def test_frozen_parameters_get_no_noise(self, trained):
        model = copy.deepcopy(trained)
        model[0].requires_grad_(False)
        result = run(FisherForgetting(alpha=1e-3), model)
        assert torch.equal(result[0].weight, model[0].weight) and not torch.equal(result[3].weight, model[3].weight)

    def test_more_noise_costs_more(self, trained):
        losses = [
            sum(
                task().evaluate(run(FisherForgetting(alpha, None), trained, seed=seed), class_split().forget)["loss"]
                for seed in range(3)
            )
            for alpha in (1e-6, 1e-2, 1.0)
        ]
        assert losses[0] < losses[1] < losses[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1Sparse(gamma=-1.0), "l1-sparse: gamma must be 0 or more, not -1.0"),
        (lambda: L1Sparse(epochs=-1), "l1-sparse: epochs must be 0 or more, not -1"),
        (lambda: FisherForgetting(alpha=-1.0), "fisher-forgetting: alpha must be 0 or more, not -1.0"),
        (lambda: FisherForgetting(variance_cap=-1.0), "fisher-forgetting: variance_cap must be 0 or more, not -1.0"),
        (lambda: FisherForgetting(max_examples=0), "fisher-forgetting: max_examples must be at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=f"^{message}$"):
        make()

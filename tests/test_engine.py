"""The engine: amounts of training, randomness, resuming, and what it says when something is wrong."""

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from expunge.engine import Engine, on_device_of
from expunge.errors import BadFile, BadSetting, Diverged
from expunge.optimizers import Optimizer, learning_rate_factor
from expunge.split import Batches, InTurn
from expunge.storage import read_weights, weights_hash, write_weights
from tiny import blobs, network, same_weights


def loss(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1], reduction="none")


def data(batch_size=16):
    return Batches(blobs(), batch_size)


def fresh(seed=0):
    torch.manual_seed(seed)
    return network()


def quiet(**settings):
    return Engine(progress=False, **settings)


class Killed(BaseException):
    """Stands for a kill: nothing in the library catches it."""


def killed_at(step):
    """The loss, and a kill when it is asked for the step's batch."""
    count = iter(range(10**9))

    def dying(model, batch):
        if next(count) == step:
            raise Killed
        return loss(model, batch)

    return dying


class TestAmount:
    def test_fit_equals_a_hand_written_loop(self):
        model = nn.Linear(8, 4)
        ours = quiet().fit(
            copy.deepcopy(model), loss, Batches(blobs(), 16, shuffle=False), epochs=2, optimizer=Optimizer("sgd", 0.1)
        )
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            for batch in Batches(blobs(), 16, shuffle=False):
                optimizer.zero_grad()
                loss(model, batch).mean().backward()
                optimizer.step()
        assert same_weights(ours, model)

    def test_steps_pass_over_the_stream_as_often_as_needed(self):
        engine = quiet()
        engine.fit(fresh(), loss, data(), steps=23)  # 10 batches a pass
        assert [(row["epoch"], row["step"]) for row in engine.history] == [(0, 10), (1, 20), (2, 23)]

    def test_a_list_of_streams_is_one_stream_an_epoch(self):
        engine = quiet()
        plan = [InTurn(Batches(blobs(), 40), ()), InTurn((), Batches(blobs(), 80))]

        def named(model, pair):
            return {"goes": loss(model, pair.forget)} if pair.retain is None else {"stays": loss(model, pair.retain)}

        engine.fit(fresh(), named, plan)
        assert [set(row["terms"]) for row in engine.history] == [{"goes"}, {"stays"}]
        assert engine.history[-1]["step"] == 4 + 2

    @pytest.mark.parametrize("amount", [{"epochs": 0}, {"steps": 0}])
    def test_nothing_to_do_changes_nothing(self, amount):
        model = fresh()
        before = copy.deepcopy(model)
        assert same_weights(quiet().fit(model, loss, data(), **amount), before)

    @pytest.mark.parametrize(
        ("amount", "message"),
        [
            ({}, "give the amount of training"),
            ({"epochs": 1, "steps": 1}, "epochs or steps, not both"),
            ({"epochs": -1}, "0 or more, not -1"),
        ],
    )
    def test_an_amount_that_is_missing_or_doubled_is_refused(self, amount, message):
        with pytest.raises(BadSetting, match=message):
            quiet().fit(fresh(), loss, data(), **amount)

    def test_an_empty_stream_is_refused(self):
        with pytest.raises(BadSetting, match="mine: the stream of batches is empty"):
            quiet().fit(fresh(), loss, [], steps=3, name="mine")

    def test_a_stream_without_length_needs_steps(self):
        class Endless:
            def __iter__(self):
                return iter(data())

        with pytest.raises(BadSetting, match="without a length needs steps"):
            quiet().fit(fresh(), loss, Endless(), epochs=1)
        assert quiet().fit(fresh(), loss, Endless(), steps=2)


class TestRandomness:
    def test_the_seed_decides_and_the_caller_is_left_alone(self):
        torch.manual_seed(7)
        before = torch.get_rng_state()
        models = [
            quiet(seed=seed).fit(fresh_copy, loss, data(), epochs=2)
            for seed, fresh_copy in ((1, fresh()), (1, fresh()), (2, fresh()))
        ]
        assert same_weights(models[0], models[1]) and not same_weights(models[0], models[2])
        torch.manual_seed(7)
        quiet().fit(copy.deepcopy(models[0]), loss, data(), steps=3)
        assert torch.equal(torch.get_rng_state(), before)

    def test_names_and_scopes_have_their_own_randomness(self):
        engine = quiet()
        seeds = {engine.seed_for("a"), engine.seed_for("b"), quiet(seed=1).seed_for("a")}
        with engine.scope("inner"):
            seeds.add(engine.seed_for("a"))
        assert len(seeds) == 4
        assert engine.seed_for("a") == quiet().seed_for("a")

    def test_new_models_follow_the_seed(self):
        assert same_weights(quiet().new_model(network), quiet().new_model(network))
        assert not same_weights(quiet().new_model(network), quiet().new_model(network, "another"))

    def test_a_foreign_loader_is_reproducible(self):
        loaders = [DataLoader(blobs(), 16, shuffle=True) for _ in range(2)]
        models = [quiet().fit(fresh(), loss, loader, epochs=2) for loader in loaders]
        assert same_weights(*models)


class TestResume:
    @pytest.mark.parametrize("step", [1, 9, 10, 14, 29])
    @pytest.mark.parametrize("optimizer", [Optimizer("adam", 1e-2), Optimizer("sgd", 0.1, momentum=0.9)], ids=["adam", "sgd"])
    def test_a_killed_fit_ends_with_the_same_bits(self, tmp_path, step, optimizer):
        settings = {"epochs": 3, "optimizer": optimizer, "schedule": "cosine", "clip_norm": 1.0}
        whole = quiet().fit(fresh(), loss, data(), **settings)
        engine = quiet(folder=tmp_path, checkpoint_steps=1)
        with pytest.raises(Killed):
            engine.fit(fresh(), killed_at(step), data(), **settings)
        again = quiet(folder=tmp_path, checkpoint_steps=1)
        steps_left = []

        def counted(model, batch):
            steps_left.append(1)
            return loss(model, batch)

        resumed = again.fit(fresh(), counted, data(), **settings)
        assert same_weights(whole, resumed)
        assert len(steps_left) == 30 - step, "it began again instead of going on"

    def test_checkpoints_are_written_in_time_however_short_an_epoch_is(self, tmp_path, monkeypatch):
        ticks = itertools.count()
        monkeypatch.setattr("expunge.engine.time.monotonic", lambda: float(next(ticks)))  # a second for each look at it
        with pytest.raises(Killed):
            quiet(folder=tmp_path, checkpoint_seconds=50).fit(fresh(), killed_at(97), data(), epochs=10)
        left = []

        def counted(model, batch):
            left.append(1)
            return loss(model, batch)

        quiet(folder=tmp_path).fit(fresh(), counted, data(), epochs=10)
        assert 3 < len(left) < 3 + 50

    def test_history_is_whole_after_a_restart(self, tmp_path):
        engine = quiet()
        engine.fit(fresh(), loss, data(), epochs=3)
        with pytest.raises(Killed):
            quiet(folder=tmp_path, checkpoint_steps=4).fit(fresh(), killed_at(17), data(), epochs=3)
        again = quiet(folder=tmp_path)
        again.fit(fresh(), loss, data(), epochs=3)
        plain = [[{**row, "seconds": 0, "peak_memory_bytes": 0} for row in rows] for rows in (engine.history, again.history)]
        assert plain[0] == plain[1]

    def test_a_foreign_loader_resumes_too(self, tmp_path):
        def loader():
            return DataLoader(blobs(), 16, shuffle=True)

        whole = quiet().fit(fresh(), loss, loader(), epochs=2)
        with pytest.raises(Killed):
            quiet(folder=tmp_path, checkpoint_steps=1).fit(fresh(), killed_at(7), loader(), epochs=2)
        assert same_weights(whole, quiet(folder=tmp_path).fit(fresh(), loss, loader(), epochs=2))

    def test_a_finished_fit_is_not_run_again(self, tmp_path):
        first = quiet(folder=tmp_path).fit(fresh(), loss, data(), epochs=1)
        again = quiet(folder=tmp_path)
        assert same_weights(first, again.fit(fresh(), killed_at(0), data(), epochs=1))
        assert len(again.history) == 1

    @pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 2}, {"weights": 1}])
    def test_a_checkpoint_of_another_fit_is_not_used(self, tmp_path, change):
        quiet(folder=tmp_path).fit(fresh(), loss, data(), epochs=1)
        engine = quiet(folder=tmp_path, seed=change.get("seed", 0))
        with pytest.raises(Killed):
            engine.fit(fresh(change.get("weights", 0)), killed_at(0), data(), epochs=change.get("epochs", 1))

    def test_values_are_found_once_for_each_key(self, tmp_path):
        found = []

        def find():
            found.append(1)
            return {"auc": 0.1 + 0.2, "note": None}

        first = quiet(folder=tmp_path).remember("figures", "a", find)
        assert quiet(folder=tmp_path).remember("figures", "a", find) == first == {"auc": 0.1 + 0.2, "note": None}
        assert len(found) == 1 and quiet(folder=tmp_path).remember("figures", "b", find) == first and len(found) == 2
        with (engine := quiet(folder=tmp_path)).scope("inner"):
            engine.remember("figures", "b", find)
        quiet().remember("figures", "a", find)
        assert len(found) == 4, "another scope, and no folder to keep anything in"

    def test_values_that_are_no_numbers_and_the_history_of_finding_them_are_kept(self, tmp_path):
        def find(engine):
            engine.fit(fresh(), loss, data(), epochs=2)
            return {"auc": float("nan")}

        first, again = quiet(folder=tmp_path), quiet(folder=tmp_path)
        first.remember("figures", "a", lambda: find(first))
        values = again.remember("figures", "a", lambda: find(quiet(seed=9)))
        assert math.isnan(values["auc"]) and len(first.history) == 2 and again.history == first.history

    def test_early_stopping_survives_a_restart(self, tmp_path):
        def scores():
            values = iter([1.0, 3.0, 2.0, 1.0, 9.0])
            return lambda model: next(values)

        settings = {"epochs": 5, "patience": 2}
        whole_engine = quiet()
        whole = whole_engine.fit(fresh(), loss, data(), score=scores(), **settings)
        assert len(whole_engine.history) == 4
        seen = scores()
        with pytest.raises(Killed):
            quiet(folder=tmp_path, checkpoint_steps=1).fit(fresh(), killed_at(25), data(), score=seen, **settings)
        assert same_weights(whole, quiet(folder=tmp_path).fit(fresh(), loss, data(), score=seen, **settings))

    def test_a_foreign_file_in_the_checkpoints_place_is_refused(self, tmp_path):
        write_weights(tmp_path / "fit.safetensors", {"a": torch.zeros(1)})
        with pytest.raises(BadFile, match=r"fit.safetensors is not a checkpoint of expunge; delete it"):
            quiet(folder=tmp_path).fit(fresh(), loss, data(), epochs=1)

    def test_a_fit_does_not_go_on_from_what_another_key_left(self, tmp_path):
        def fitted(key, weight):
            with (engine := quiet(folder=tmp_path)).scope("method", key):
                return engine.fit(fresh(), lambda model, batch: weight * loss(model, batch), data(), steps=5)

        first, again, other = fitted("weight 1", 1.0), fitted("weight 1", 2.0), fitted("weight 2", 2.0)
        assert same_weights(first, again), "the finished fit is found"
        assert not same_weights(first, other)

    def test_what_was_kept_can_be_asked_for_its_facts_and_deleted(self, tmp_path):
        engine = quiet(folder=tmp_path, checkpoint_steps=1)
        with engine.scope("outer"):
            engine.keep("state", fresh(), key="a key", more="facts")
            with engine.scope("request"):
                engine.fit(fresh(), loss, data(), steps=2)
            assert engine.facts_of("state") == {"key": "a key", "more": "facts"} and engine.facts_of("other") == {}
            engine.discard("request")
            engine.discard("was never there")
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["state.safetensors"]
        assert quiet().facts_of("state") == {}
        quiet().discard("state")

    def test_make_runs_once(self, tmp_path):
        built = []

        def build():
            built.append(1)
            return fresh(len(built))

        first, seconds = quiet(folder=tmp_path).make("result", build, network(), "key")
        again, same_seconds = quiet(folder=tmp_path).make("result", build, network(), "key")
        assert built == [1] and same_weights(first, again) and same_seconds == seconds
        quiet(folder=tmp_path).make("result", build, network(), "another key")
        assert built == [1, 1]


class TestLoss:
    def test_the_first_step_that_is_not_finite_is_named(self):
        count = iter(range(100))

        def poisoned(model, batch):
            return {"good": loss(model, batch), "bad": loss(model, batch) * (float("inf") if next(count) >= 13 else 1.0)}

        engine = quiet()
        with (
            engine.scope("scrub"),
            pytest.raises(Diverged, match=r"scrub/fit: the term 'bad' of the loss is inf at step 13; lower"),
        ):
            engine.fit(fresh(), poisoned, data(), epochs=10)

    def test_terms_are_averaged_over_the_epoch(self):
        engine = quiet()
        values = iter(range(10))
        engine.fit(fresh(), lambda model, batch: {"n": model(batch[0]).sum() * 0 + next(values)}, data(), epochs=1)
        assert engine.history[0]["terms"] == {"n": 4.5}

    def test_clipping_bounds_the_step(self):
        model = nn.Linear(8, 4)
        before = copy.deepcopy(model)
        quiet().fit(model, lambda m, b: 1e6 * loss(m, b), data(), steps=1, optimizer=Optimizer("sgd", 1.0), clip_norm=0.5)
        moved = math.sqrt(
            sum((new - old).square().sum().item() for new, old in zip(model.parameters(), before.parameters(), strict=True))
        )
        assert moved == pytest.approx(0.5, rel=1e-4)

    def test_the_schedule_reaches_the_optimizer(self):
        engine = quiet()
        engine.fit(fresh(), loss, data(), epochs=2, optimizer=Optimizer("sgd", 0.1), schedule="linear")
        assert [row["learning_rate"] for row in engine.history] == pytest.approx([0.1 * (1 - 9 / 20), 0.1 * (1 - 19 / 20)])
        assert learning_rate_factor("constant", 0.7) == 1
        with pytest.raises(BadSetting, match="schedule must be"):
            learning_rate_factor("steep", 0.5)

    def test_the_best_epoch_is_returned(self):
        snapshots, values = [], iter([1.0, 5.0, 2.0])
        model = quiet().fit(
            fresh(), loss, data(), epochs=3, score=lambda m: (snapshots.append(copy.deepcopy(m)), next(values))[1]
        )
        assert same_weights(model, snapshots[1])


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"device": "tpu"}, "device must be 'cpu', 'cuda' or 'auto', not 'tpu'"),
            ({"precision": "fp8"}, "precision must be 'fp32' or 'bf16', not 'fp8'"),
        ],
    )
    def test_unknown_ones_are_refused(self, settings, message):
        with pytest.raises(BadSetting, match=message):
            Engine(**settings)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_cuda_where_there_is_none(self):
        with pytest.raises(BadSetting, match="sees no CUDA device; use 'cpu' or 'auto'"):
            Engine(device="cuda")

    def test_engines_of_different_precision_follow_each_other(self):
        plain = quiet().fit(fresh(), loss, data(), steps=3)
        mixed = quiet(precision="bf16").fit(fresh(), loss, data(), steps=3)
        again = quiet().fit(fresh(), loss, data(), steps=3)
        assert same_weights(plain, again) and not same_weights(plain, mixed)
        assert all(parameter.dtype == torch.float32 for parameter in mixed.parameters())
        assert torch.isfinite(next(mixed.parameters())).all()

    @pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
    def test_every_optimizer_trains(self, kind):
        engine = quiet()
        engine.fit(fresh(), loss, data(), epochs=4, optimizer=Optimizer(kind, 0.01, weight_decay=1e-4))
        assert engine.history[-1]["terms"]["loss"] < engine.history[0]["terms"]["loss"]


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quiet(checkpoint_steps=1).fit(fresh(), loss, data(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_are_safetensors_without_leftovers(tmp_path):
    with pytest.raises(Killed):
        quiet(folder=tmp_path, checkpoint_steps=1).fit(fresh(), killed_at(3), data(), epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["fit.safetensors"]
    tensors, _ = read_weights(tmp_path / "fit.safetensors")
    assert {name.split(".")[0] for name in tensors} == {"model", "optimizer"}


def test_weights_hash_sees_every_bit():
    model = fresh()
    before = weights_hash(model)
    assert before == weights_hash(copy.deepcopy(model))
    with torch.no_grad():
        model[0].bias[0] += 1e-7
    assert weights_hash(model) != before


def test_on_device_of_a_model_without_parameters_is_the_identity():
    batch = (torch.zeros(1),)
    assert on_device_of(nn.ReLU(), batch) is batch


def test_a_fit_ends_as_soon_as_the_score_is_enough():
    engine, scores = Engine(progress=False), iter([0.1, 0.5, 0.9, 1.0])
    engine.fit(nn.Linear(8, 4), loss, data(), epochs=4, score=lambda _: next(scores), enough=0.5)
    assert len(engine.history) == 2

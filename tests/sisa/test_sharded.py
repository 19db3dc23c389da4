"""Removal is exact, and costs what it touches."""

import copy
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import tiny_language
from expunge.engine import Engine
from expunge.errors import BadFile, BadRequest, BadSetting, WrongTask
from expunge.methods import SISA, Retrain
from expunge.optimizers import Optimizer
from expunge.sisa import ShardedModel, ShardedTraining
from expunge.sisa.answers import together
from expunge.sisa.shards import homes
from expunge.split import Batches, Split
from expunge.storage import write_weights
from expunge.tasks import ClassificationTask
from tiny import blobs, class_split, regression_task, same_weights, task, waves

TRAINING = ShardedTraining(shards=4, slices=3, epochs=4, optimizer=Optimizer("adam", 1e-2))
ROWS = 160


def engine(**settings):
    return Engine(seed=1, progress=False, **settings)


def without(*gone):
    return [row for row in range(ROWS) if row not in gone]


def place_of(model, shard, slice_):
    """A row that is trained on there."""
    settings = model.record.settings
    shards, slices = homes(torch.arange(ROWS), settings.shards, settings.slices, model.record.seed)
    return int(((shards == shard) & (slices == slice_)).nonzero()[0])


@pytest.fixture(scope="module")
def trained():
    return TRAINING.train(task(), Batches(blobs(), 8), engine())


def same_slices(first, second):
    pairs = zip(first.record.states, second.record.states, strict=True)
    states = [pair for ours, theirs in pairs for pair in zip(ours, theirs, strict=True)]
    return all(torch.equal(one[name], other[name]) for one, other in states for name in one)


class TestExactness:
    @pytest.mark.parametrize("gone", [(5,), (0, 1, 2, 3, 77, 159), tuple(range(120, 160))], ids=len)
    def test_as_if_the_records_had_never_been_there(self, trained, gone):
        made = trained.without(gone, task(), Engine(seed=9, progress=False))
        fresh = TRAINING.train(task(), Batches(blobs(), 8, without(*gone)), engine())
        assert same_weights(made, fresh) and same_slices(made, fresh)
        assert made.record.digest == fresh.record.digest and not same_weights(made, trained)

    def test_one_request_after_another_is_one_for_both(self, trained):
        in_turn = trained.without([5], task(), engine()).without([40, 41], task(), engine())
        at_once = trained.without([5, 40, 41], task(), engine())
        assert same_weights(in_turn, at_once) and same_slices(in_turn, at_once)

    def test_real_numbers(self):
        model = TRAINING.train(regression_task(), Batches(waves(), 8), engine())
        made = model.without([3], regression_task(), engine())
        fresh = TRAINING.train(regression_task(), Batches(waves(), 8, without(3)), engine())
        assert same_weights(made, fresh) and not same_weights(made, model)
        batch = waves().tensors
        said = torch.stack([regression_task().outputs(member, batch) for member in model.members])
        assert torch.allclose(regression_task().outputs(model, batch), said.mean(0), atol=1e-6)

    def test_batch_normalisation_clipping_and_a_plain_dataset(self):
        class Plain(Dataset):
            def __init__(self):
                self.rows = blobs()

            def __len__(self):
                return ROWS

            def __getitem__(self, row):
                return self.rows[row]

        classes = ClassificationTask(lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)), classes=4)
        training = replace(TRAINING, shards=2, slices=2, epochs=2, clip_norm=1.0)
        model = training.train(classes, Batches(Plain(), 16), engine())
        made = model.without([8], classes, engine())
        assert same_weights(made, training.train(classes, Batches(Plain(), 16, without(8)), engine()))

    def test_language_models_and_batches_of_like_length(self):
        texts, stream = tiny_language.task(), tiny_language.split().retain
        rows = [row for row in range(stream.examples) if row != 3]
        sizes = stream.dataset.tensors[1].sum(1).tolist()
        training = replace(TRAINING, shards=2, slices=2, epochs=1)
        model = training.train(texts, Batches(stream.dataset, 16, sizes=sizes), engine())
        made = model.without([3], texts, engine())
        assert same_weights(made, training.train(texts, Batches(stream.dataset, 16, rows, sizes=sizes), engine()))
        assert model.answer == "probabilities" and texts.evaluate(made, stream)["loss"] > 0

    def test_a_shard_that_loses_all_its_rows_falls_silent(self):
        model = TRAINING.train(task(), Batches(blobs(), 8, range(40)), engine())
        gone = [int(row) for row in range(40) if int(homes(torch.tensor([row]), 4, 3, model.record.seed)[0]) == 2]
        made = model.without(gone, task(), engine())
        fresh = TRAINING.train(task(), Batches(blobs(), 8, [row for row in range(40) if row not in gone]), engine())
        assert same_weights(made, fresh)
        assert made.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
        assert torch.isfinite(made(blobs().tensors[0])).all()

    def test_the_model_and_the_callers_random_state_are_left_alone(self, trained):
        before, record = copy.deepcopy(trained), trained.record
        state = torch.get_rng_state()
        trained.without([5], task(), engine())
        assert same_weights(trained, before) and trained.record is record and before.record is record
        assert torch.equal(state, torch.get_rng_state())

    def test_other_seeds_give_other_shards_and_other_networks(self, trained):
        other = TRAINING.train(task(), Batches(blobs(), 8), Engine(seed=2, progress=False))
        assert not same_weights(trained, other)
        assert not torch.equal(homes(torch.arange(ROWS), 4, 3, 1)[0], homes(torch.arange(ROWS), 4, 3, 2)[0])
        given = TRAINING.train(task(), Batches(blobs(), 8), Engine(seed=2, progress=False), seed=trained.record.seed)
        assert same_weights(trained, given)


class TestCost:
    def test_only_one_shard_changes(self, trained):
        made = trained.without([place_of(trained, 2, 1)], task(), engine())
        same = [same_weights(*pair) for pair in zip(trained.members, made.members, strict=True)]
        assert same == [True, True, False, True]
        assert torch.equal(trained.record.states[2][0]["0.weight"], made.record.states[2][0]["0.weight"])
        assert not torch.equal(trained.record.states[2][1]["0.weight"], made.record.states[2][1]["0.weight"])

    def test_the_later_the_slice_the_less_is_retrained(self, trained):
        steps = [trained.without([place_of(trained, 1, place)], task(), engine()).work.steps for place in range(3)]
        assert steps[0] > steps[1] > steps[2] > 0

    @pytest.mark.parametrize("slice_", range(4))
    def test_one_record_of_eight_shards_is_at_most_a_fifth_of_the_steps(self, slice_):
        training = replace(TRAINING, shards=8, slices=4, epochs=3)
        counted = _Counting()
        model = training.train(counted, Batches(blobs(), 4), engine())
        whole, counted.steps = counted.steps, 0
        made = model.without([place_of(model, 3, slice_)], counted, engine())
        assert (model.work.steps, made.work.steps) == (whole, counted.steps)
        assert 0 < made.work.steps <= 0.2 * made.work.all_steps
        assert 0 < made.work.share <= 0.2 and model.work.share == 1

    def test_slices_together_train_about_as_long_as_one_network_would(self):
        one = ShardedTraining(shards=1, slices=1, epochs=12)
        many = ShardedTraining(shards=4, slices=3, epochs=12)
        works = [each.train(task(), Batches(blobs(), 1), engine()).work.examples for each in (one, many)]
        assert works[0] == 12 * ROWS and works[1] == pytest.approx(works[0], rel=0.05)


class _Counting(ClassificationTask):
    """Counts the batches that it is trained on."""

    def __init__(self):
        super().__init__(task().factory, classes=4)
        self.steps = 0

    def losses(self, outputs, batch):
        self.steps += 1
        return super().losses(outputs, batch)


class TestShards:
    def test_a_record_s_place_does_not_depend_on_how_many_there_are(self):
        few, many = homes(torch.arange(50), 8, 4, 3), homes(torch.arange(5000), 8, 4, 3)
        assert all(torch.equal(some, more[:50]) for some, more in zip(few, many, strict=True))
        alone = homes(torch.tensor([4321]), 8, 4, 3)
        assert [int(each[0]) for each in alone] == [int(each[4321]) for each in many]

    def test_slices_are_of_one_size_and_hold_all_classes(self):
        shards, slices = homes(torch.arange(1000), 8, 4, 3)
        sizes = Counter(zip(shards.tolist(), slices.tolist(), strict=True))
        assert len(sizes) == 32 and max(sizes.values()) - min(sizes.values()) <= 1
        of_first_half = Counter(shards[:500].tolist())
        assert max(of_first_half.values()) - min(of_first_half.values()) <= 4


class TestAnswers:
    said = torch.tensor([[[3.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]])

    def test_probabilities_are_averaged(self):
        found = together(self.said, torch.full((4,), 0.25), "probabilities").exp()
        assert torch.allclose(found, self.said.softmax(-1).mean(0)) and found.argmax() == 0

    def test_the_majority_wins_and_sums_to_one(self):
        found = together(self.said, torch.full((4,), 0.25), "votes").exp()
        assert found.argmax() == 1 and found.sum().item() == pytest.approx(1)

    def test_who_was_trained_on_nothing_has_no_vote(self):
        found = together(self.said, torch.tensor([0.5, 0.0, 0.0, 0.5]), "votes").exp()
        assert found.argmax() == 0 and found[0, 1] < found[0, 2]

    @pytest.mark.parametrize("answer", ["probabilities", "votes"])
    def test_an_ensemble_is_read_like_a_model(self, answer):
        model = replace(TRAINING, answer=answer, shards=2, epochs=20).train(task(), Batches(blobs(), 8), engine())
        assert task().evaluate(model, Batches(blobs(20, seed=1), 16))["accuracy"] > 0.85
        assert torch.isfinite(task().losses(model(blobs().tensors[0]), blobs().tensors)).all()


class TestStorage:
    def test_what_was_saved_goes_on_as_if_it_had_not_been(self, trained, tmp_path):
        trained.save(tmp_path / "model.safetensors")
        state = torch.get_rng_state()
        loaded = ShardedModel.load(tmp_path / "model.safetensors", task(), Batches(blobs(), 8))
        assert torch.equal(state, torch.get_rng_state()) and same_weights(loaded, trained) and not loaded.training
        assert loaded.work == trained.work and loaded.record.settings == TRAINING
        assert same_weights(loaded.without([5], task(), engine()), trained.without([5], task(), engine()))

    def test_after_a_removal_the_values_that_went_are_not_needed(self, trained, tmp_path):
        made = trained.without([5], task(), engine())
        made.save(tmp_path / "model.safetensors")
        inputs, labels = (values.clone() for values in blobs().tensors)
        inputs[5] = 0
        loaded = ShardedModel.load(tmp_path / "model.safetensors", task(), Batches(TensorDataset(inputs, labels), 8))
        assert same_weights(loaded.without([6], task(), engine()), made.without([6], task(), engine()))

    def test_other_data_are_refused(self, trained, tmp_path):
        trained.save(tmp_path / "model.safetensors")
        for data in (Batches(blobs(seed=1), 8), Batches(blobs(), 4), Batches(blobs(), 8, range(100))):
            with pytest.raises(BadRequest, match="not the 160 records that the ensemble was trained on"):
                ShardedModel.load(tmp_path / "model.safetensors", task(), data)

    def test_without_data_it_answers_and_nothing_more(self, trained, tmp_path):
        trained.save(tmp_path / "model.safetensors")
        loaded = ShardedModel.load(tmp_path / "model.safetensors", task())
        assert torch.equal(loaded(blobs().tensors[0]), trained(blobs().tensors[0]))
        with pytest.raises(BadRequest, match="loaded without the data"):
            loaded.without([5], task(), engine())

    def test_other_files_and_other_networks_are_refused(self, trained, tmp_path):
        write_weights(tmp_path / "other.safetensors", {"a": torch.zeros(1)})
        with pytest.raises(BadFile, match="no ensemble of shards"):
            ShardedModel.load(tmp_path / "other.safetensors", task())
        trained.save(tmp_path / "model.safetensors")
        with pytest.raises(BadFile, match="another network than the task's"):
            ShardedModel.load(tmp_path / "model.safetensors", ClassificationTask(lambda: nn.Linear(8, 4), classes=4))


class _Mortal(_Counting):
    """Is interrupted at a batch."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def losses(self, outputs, batch):
        if self.steps == self.at:
            raise KeyboardInterrupt
        return super().losses(outputs, batch)


class TestResuming:
    @pytest.mark.parametrize("at", [4, 37])
    def test_a_killed_training_goes_on(self, trained, tmp_path, at):
        with pytest.raises(KeyboardInterrupt):
            TRAINING.train(_Mortal(at), Batches(blobs(), 8), engine(folder=tmp_path, checkpoint_steps=1))
        counted = _Counting()
        resumed = TRAINING.train(counted, Batches(blobs(), 8), engine(folder=tmp_path, checkpoint_steps=1))
        assert same_weights(resumed, trained) and same_slices(resumed, trained)
        assert counted.steps == trained.work.steps - at

    def test_a_killed_removal_goes_on_and_leaves_no_checkpoint_that_saw_the_record(self, trained, tmp_path):
        row = place_of(trained, 1, 1)
        TRAINING.train(task(), Batches(blobs(), 8), engine(folder=tmp_path, checkpoint_steps=1))
        before = {path.name: path.read_bytes() for path in (tmp_path / "shards" / "shard-1").iterdir()}
        with pytest.raises(KeyboardInterrupt):
            trained.without([row], _Mortal(3), engine(folder=tmp_path, checkpoint_steps=1))
        counted = _Counting()
        resumed = trained.without([row], counted, engine(folder=tmp_path, checkpoint_steps=1))
        expected = trained.without([row], task(), engine())
        assert same_weights(resumed, expected) and counted.steps == expected.work.steps - 3
        after = {path.name: path.read_bytes() for path in (tmp_path / "shards" / "shard-1").iterdir()}
        assert [after[name] == before[name] for name in sorted(before)] == [True, False, False]


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"shards": 0}, "shards must be at least 1, not 0"),
            ({"slices": 0}, "slices must be at least 1, not 0"),
            ({"epochs": 0}, "epochs must be at least 1, not 0"),
            ({"answer": "loudest"}, "answer must be one of auto, probabilities, outputs, votes, not 'loudest'"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(BadSetting, match=f"sharded training: {message}"):
            ShardedTraining(**settings)

    def test_votes_on_real_numbers(self):
        with pytest.raises(BadSetting, match="votes are for classification, not for RegressionTask"):
            replace(TRAINING, answer="votes").train(regression_task(), Batches(waves(), 8), engine())

    def test_streams_without_rows(self):
        with pytest.raises(WrongTask, match=r"a list has none; of graphs take graph-eraser, of recommenders rec-eraser"):
            TRAINING.train(task(), list(Batches(blobs(), 8)), engine())
        with pytest.raises(BadRequest, match="empty"):
            TRAINING.train(task(), Batches(blobs(), 8, []), engine())

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([], "no record is named"),
            ([160], "row 160 is not among the 160 that the ensemble is trained on$"),
            ([-1, 5, 200], "row -1 is not among the 160 that the ensemble is trained on, nor are 1 others"),
            (range(160), "all 160 records must go"),
        ],
    )
    def test_records(self, trained, rows, message):
        with pytest.raises(BadRequest, match=message):
            trained.without(rows, task(), engine())

    def test_a_record_goes_once(self, trained):
        made = trained.without([5], task(), engine())
        with pytest.raises(BadRequest, match="row 5 is not among the 159"):
            made.without([5], task(), engine())


def test_settings_of_a_recipe():
    recipe = Retrain(epochs=7, optimizer=Optimizer("sgd", 0.1), schedule="linear", clip_norm=2.0)
    found = ShardedTraining.from_recipe(recipe, shards=3)
    assert found == ShardedTraining(3, 4, "auto", 7, Optimizer("sgd", 0.1), "linear", 2.0)


class TestMethod:
    def test_it_retrains_what_is_touched_in_any_scope(self, trained):
        split = Split(Batches(blobs(), 8, [5]), Batches(blobs(), 8, without(5)))
        made = SISA()(trained, task(), split, Engine(seed=4, progress=False))
        assert same_weights(made, TRAINING.train(task(), Batches(blobs(), 8, without(5)), engine()))
        assert made.work.share < 0.3

    def test_an_ordinary_model_is_refused(self):
        with pytest.raises(BadSetting, match=r"a Linear was not trained in shards.*ShardedTraining, or take retrain"):
            SISA()(nn.Linear(8, 4), task(), class_split(), engine())

    def test_rows_of_other_data_are_refused(self, trained):
        for data in (blobs(seed=5), blobs(per_class=2)):
            split = Split(Batches(data, 8, [5]), Batches(blobs(), 8, without(5)))
            with pytest.raises(BadRequest, match="another data set"):
                SISA()(trained, task(), split, engine())
        with pytest.raises(BadRequest, match="named by its rows, and a list has none"):
            SISA()(trained, task(), replace(split, forget=list(split.forget)), engine())

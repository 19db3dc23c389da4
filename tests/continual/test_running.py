"""Serving a stream: what is measured, and that a stream that was killed ends as one that was not."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from expunge.continual import CLPU, LwF, OnlineEWC, Rehearsal, UniCLUN, run
from expunge.continual.running import accuracies, state_bytes
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import SCRUB
from expunge.storage import read_weights
from tiny_streams import CLASSES, FAST, memory, stream, task, unseen

WORDS = "L1 L2 U1 L3 U2:0.5"
LEARNERS = {
    "uniclun": UniCLUN(**FAST),
    "der++": Rehearsal(alpha=0.5, beta=0.5, **FAST),
    "a method": Rehearsal(unlearning=SCRUB(epochs=2, max_epochs=1), **FAST),
}


class Killed(Exception):
    """In place of a signal."""


def serve(learner, folder=None, words: str = WORDS, steps: int | None = None):
    kept = memory(logits=CLASSES if learner.keeps_logits else 0)
    engine = Engine(0, folder=folder, checkpoint_steps=steps, progress=False)
    return run(learner, stream(words), task(), engine, kept, unseen()), engine


def same(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def counted(monkeypatch, stop_at: int = 0) -> list[int]:
    """Counts the steps of all fits that follow; stops in the middle of the one with the given number."""
    share, count = Engine._share, [0]

    def mortal(self, batch):
        count[0] += 1
        if count[0] == stop_at:
            raise Killed
        return share(self, batch)

    monkeypatch.setattr(Engine, "_share", mortal)
    return count


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("moment", [0.05, 0.3, 0.5, 0.7, 0.97])
def test_a_stream_that_was_killed_ends_as_one_that_was_not(name, moment, tmp_path, monkeypatch):
    learner = LEARNERS[name]
    with monkeypatch.context() as patched:
        steps = counted(patched)
        whole, _ = serve(learner)
    with monkeypatch.context() as patched:
        counted(patched, stop_at=int(moment * steps[0]))
        with pytest.raises(Killed):
            serve(learner, tmp_path, steps=2)
    served, counting = [], type(learner).serve
    monkeypatch.setattr(type(learner), "serve", lambda self, *given: served.append(1) or counting(self, *given))
    again, _ = serve(learner, tmp_path, steps=2)
    assert same(whole.pupil, again.pupil)
    assert len(served) == 5 if moment == 0.05 else len(served) < 5  # requests that were served are not served again
    for ours, theirs in zip(whole.history.rows, again.history.rows, strict=True):
        assert {key: value for key, value in ours.items() if key != "seconds"} == {
            key: value for key, value in theirs.items() if key != "seconds"
        }


def test_networks_that_came_and_went_are_found_again(tmp_path, monkeypatch):
    learner = CLPU(permanent=("2",), **FAST)
    whole, _ = serve(learner, words="L1 L2 U1 L3")
    with monkeypatch.context() as patched:
        counted(patched, stop_at=47)  # in the third task, after the first network was deleted
        with pytest.raises(Killed):
            serve(learner, tmp_path, "L1 L2 U1 L3", steps=2)
    again, _ = serve(learner, tmp_path, "L1 L2 U1 L3", steps=2)
    assert same(whole.pupil, again.pupil) and list(again.model.side) == ["3"]


def test_a_longer_stream_goes_on_where_the_shorter_one_ended(tmp_path, monkeypatch):
    learner = LEARNERS["der++"]
    serve(learner, tmp_path, "L1 L2")
    whole, _ = serve(learner, words="L1 L2 U1")
    served, serving = [], type(learner).serve
    monkeypatch.setattr(type(learner), "serve", lambda self, *given: served.append(1) or serving(self, *given))
    again, engine = serve(learner, tmp_path, "L1 L2 U1")
    assert same(whole.pupil, again.pupil) and len(served) == 1
    assert engine.resumed_seconds == sum(row["seconds"] for row in again.history.rows[:2])


def test_the_memory_that_was_given_is_the_one_that_is_filled(tmp_path):
    for _ in range(2):
        kept = memory()
        found = run(Rehearsal(**FAST), stream("L1 L2"), task(), Engine(0, folder=tmp_path, progress=False), kept, unseen())
        assert kept.filled == 24 and found.pupil.memory is kept


def test_tests_may_be_added_and_not_changed(tmp_path):
    two = {name: unseen()[name] for name in ("1", "2")}
    engine = Engine(0, folder=tmp_path, progress=False)
    run(Rehearsal(**FAST), stream("L1 L2"), task(), engine, memory(), two)
    found = run(Rehearsal(**FAST), stream("L1 L2 L3"), task(), Engine(0, folder=tmp_path, progress=False), memory(), unseen())
    assert found.history.left == ("1", "2", "3") and found.history.matrix().isnan().sum() == 2
    other = {**unseen(), "1": unseen(each=20)["1"]}
    with pytest.raises(BadSetting, match="the tests of task '1' are others than those"):
        run(Rehearsal(**FAST), stream("L1 L2 L3 U1"), task(), Engine(0, folder=tmp_path, progress=False), memory(), other)


@pytest.mark.parametrize(
    "learner", [UniCLUN(**FAST), Rehearsal(alpha=0.5, **FAST), LwF(**FAST), OnlineEWC(**FAST), CLPU(**FAST)]
)
def test_no_file_holds_what_was_forgotten(learner, tmp_path):
    serve(learner, tmp_path, "L1 L2 U1", steps=2)
    goes = {tuple(row.tolist()) for row in stream("L1 L2 U1")[2].data.tensors[0]}
    files = list(tmp_path.rglob("*.safetensors"))
    assert [path.name for path in files] == ["stream.safetensors"]
    for path in files:
        tensors, _ = read_weights(path)
        assert not any(name.startswith("networks.side.1.") for name in tensors)
        rows = {tuple(row.tolist()) for each in tensors.values() if each.dim() == 2 and each.shape[1] == 8 for row in each}
        assert not rows & goes


def test_tests_are_read_once_whatever_order_they_come_in():
    shuffled = {name: DataLoader(each.dataset, 16, shuffle=True) for name, each in unseen().items()}
    datasets = {name: each.dataset for name, each in unseen().items()}
    found = [
        run(Rehearsal(**FAST), stream("L1 L2"), task(), Engine(progress=False), memory(), each).history.rows[-1]
        for each in (unseen(), shuffled, datasets)
    ]
    assert found[0]["class_accuracy"] == found[1]["class_accuracy"] == found[2]["class_accuracy"]


def test_what_was_kept_of_another_learner_or_stream_is_not_taken(tmp_path):
    serve(LEARNERS["der++"], tmp_path, "L1 L2")
    for learner, words in ((Rehearsal(alpha=0.4, beta=0.5, **FAST), "L1 L2"), (LEARNERS["der++"], "L2 L1")):
        found, _ = serve(learner, tmp_path, words)
        assert same(found.pupil, serve(learner, words=words)[0].pupil)


def test_rows_and_the_engine_s_history():
    found, engine = serve(LEARNERS["uniclun"])
    rows = [row for row in engine.history if "class_accuracy" in row]
    assert rows == list(found.history.rows) and [row["kind"] for row in rows] == [
        "learn",
        "learn",
        "unlearn",
        "learn",
        "unlearn",
    ]
    assert all(row["seconds"] > 0 and row["state_bytes"] > found.pupil.memory.bytes for row in rows)
    assert rows[2]["tasks"] == ["1"] and rows[4]["tasks"] == []


def test_accuracies_by_hand():
    class Fixed(nn.Module):
        def forward(self, inputs):
            return inputs

    said = torch.tensor([[3.0, 1, 2, 0, 0, 0], [0, 1, 2, 0, 0, 0], [0, 0, 0, 0, 5, 4]])
    streams = {"1": [(said, torch.tensor([0, 1, 1]))], "2": [(said[:1], torch.tensor([2]))]}
    found = accuracies(Fixed(), task(), streams, {"1": torch.tensor([0, 1])})
    assert found["class_accuracy"] == {"1": pytest.approx(1 / 3), "2": 0.0}
    assert found["task_accuracy"]["1"] == pytest.approx(2 / 3) and found["task_accuracy"]["2"] == 1.0


def test_what_is_kept_beside_the_network():
    pupil, _ = serve(Rehearsal(**FAST), words="L1")
    assert state_bytes(pupil.pupil) == pupil.pupil.memory.bytes + 3 * 8 + CLASSES + CLASSES**2
    ours, _ = serve(LEARNERS["uniclun"], words="L1")
    network = sum(value.numel() * value.element_size() for value in ours.pupil.teacher.state_dict().values())
    assert state_bytes(ours.pupil) > network + ours.pupil.memory.bytes

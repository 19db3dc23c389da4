"""What all learners have in common, and what each does to a stream of tiny tasks."""

from dataclasses import replace

import pytest
import torch

from expunge.continual import CLPU, Joint, Learn, LwF, OnlineEWC, Rehearsal, RequestStream, UniCLUN, Unlearn, run
from expunge.continual.learner import FAR
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting, Diverged
from expunge.methods import SSD, BadTeacher, Retrain
from expunge.optimizers import Optimizer
from expunge.split import Batches, stream_digest
from expunge.tasks import ClassificationTask
from tiny import same_weights
from tiny_streams import CLASSES, FAST, memory, network, stream, task, tasks, unseen

LEARNERS = {
    "uniclun": UniCLUN(**FAST),
    "published": UniCLUN.published(**FAST),
    "er": Rehearsal(**FAST),
    "der++": Rehearsal(alpha=0.5, beta=0.5, **FAST),
    "er by a method": Rehearsal(unlearning=BadTeacher(epochs=2), **FAST),
    "ewc": OnlineEWC(**FAST),
    "lwf": LwF(**FAST),
    "clpu": CLPU(**FAST),
    "joint": Joint(**FAST),
}


def served(learner, words: str = "L1 L2 U1 L3", seed: int = 0, capacity: int = 24):
    kept = memory(1000 if isinstance(learner, Joint) else capacity, CLASSES if learner.keeps_logits else 0)
    return run(learner, stream(words), task(), Engine(seed, progress=False), kept, unseen())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_stream_is_learned_and_forgotten(name):
    found = served(LEARNERS[name])
    last = found.history.rows[-1]
    told = last["task_accuracy"]
    assert told["3"] > 0.8 and last["class_accuracy"]["1"] < 0.3 < told["2"]
    assert [row["request"] for row in found.history.rows] == ["L1", "L2", "U1", "L3"]
    ids = found.pupil.memory.held()[2]
    assert not (ids < 80).any()  # those of the first task
    assert not found.model.training and not any(module.training for module in found.pupil.modules())


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    digests = [stream_digest_of(served(LEARNERS[name], seed=seed)) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def stream_digest_of(found) -> str:
    return " ".join(stream_digest(value) for value in found.pupil.state_dict().values())


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "clpu"])
def test_single_samples_go_from_memory(name):
    found = served(LEARNERS[name], "L1 L2 U1:0.5 L3", capacity=100)
    goes = stream("L1 L2 U1:0.5 L3")[2].ids
    assert not torch.isin(found.pupil.memory.ids, goes).any()
    assert found.pupil.known.all() and found.history.rows[-1]["task_accuracy"]["1"] > 0.7
    assert len(found.history.rows[2]["tasks"]) == 0


def test_what_is_known():
    pupil = served(LEARNERS["er"]).pupil
    assert pupil.known.tolist() == [False, False, True, True, True, True]
    assert pupil.together.tolist() == [
        [True, False, False, False, False, False],
        [False, True, False, False, False, False],
        [False, False, True, True, False, False],
        [False, False, True, True, False, False],
        [False, False, False, False, True, True],
        [False, False, False, False, True, True],
    ]


def test_where_the_task_is_told_other_classes_do_not_count():
    pupil = served(LEARNERS["er"], "L1 L2").pupil
    logits, labels = torch.zeros(2, CLASSES), torch.tensor([1, 2])
    told = replace(LEARNERS["er"], incremental="task").counted(logits, labels, pupil)
    assert told.tolist() == [[0, 0, FAR, FAR, FAR, FAR], [FAR, FAR, 0, 0, FAR, FAR]]
    assert LEARNERS["er"].counted(logits, labels, pupil) is logits
    assert served(replace(LEARNERS["er"], incremental="task")).history.rows[-1]["task_accuracy"]["2"] > 0.9


# ---- rivals -------------------------------------------------------------------------------------------------------------


def test_logits_beside_samples_are_those_of_the_network_and_are_taken_anew_after_forgetting():
    for words in ("L1", "L1 L2 U1"):
        found = served(LEARNERS["der++"], words)
        inputs, _, _, logits = found.pupil.memory.held()
        with torch.no_grad():
            assert torch.allclose(found.model.eval()(inputs), logits, atol=1e-5)


def test_a_memory_without_room_for_logits_is_refused():
    with pytest.raises(
        BadSetting, match="keeps 6 logits beside each sample, and the memory has room for 0; make it with logits=6"
    ):
        run(LEARNERS["der++"], stream(), task(), Engine(), memory(), unseen())


def test_weights_of_zero_are_plain_training():
    plain, lone = served(Rehearsal(beta=0.0, **FAST), "L1 L2"), served(Rehearsal(**FAST), "L1 L2", capacity=1)
    assert plain.history.rows[-1]["class_accuracy"]["1"] < 0.2  # all of the first task is lost
    assert not same_weights(plain.model, lone.model)


def test_rehearsal_terms_by_hand():
    learner = Rehearsal(alpha=0.25, beta=0.5, **FAST)
    pupil = served(learner, "L1").pupil
    batch = next(iter(unseen()["2"]))
    torch.manual_seed(0)
    terms = learner.terms(pupil, batch, task())
    torch.manual_seed(0)
    replayed, remembered = pupil.memory.draw(32), pupil.memory.draw(32)
    said = pupil.student
    assert torch.allclose(terms["learn"], torch.nn.functional.cross_entropy(said(batch[0]), batch[1], reduction="none"))
    wanted = 0.5 * torch.nn.functional.cross_entropy(said(replayed[0]), replayed[1], reduction="none")
    assert torch.allclose(terms["replay"], wanted, atol=1e-6)
    assert torch.allclose(terms["logits"], 0.25 * (said(remembered[0]) - remembered[3]).square().mean(1), atol=1e-6)


def test_any_method_serves_requests_to_forget():
    plain = served(LEARNERS["er"], "L1 L2 U1").pupil
    dampened = served(Rehearsal(unlearning=SSD(alpha=1.0), **FAST), "L1 L2 U1").pupil
    before = served(LEARNERS["er"], "L1 L2").pupil
    assert stream_digest(dampened.student.state_dict()["0.weight"]) not in {
        stream_digest(each.student.state_dict()["0.weight"]) for each in (plain, before)
    }


def test_retraining_on_memory_alone_leaves_nothing_else():
    found = served(Rehearsal(unlearning=Retrain(epochs=20, optimizer=Optimizer("adam", 1e-2)), **FAST), "L1 L2 U1")
    assert found.history.right_after() == 0.0 and found.history.rows[-1]["class_accuracy"]["2"] > 0.8


def test_ewc_holds_weights_that_the_first_task_needs():
    loose, held = (served(OnlineEWC(strength=strength, **FAST), "L1 L2") for strength in (0.0, 20.0))
    assert torch.equal(loose.pupil.anchors[0], loose.pupil.student[0].weight)
    early = served(OnlineEWC(**FAST), "L1").pupil
    moved = [
        sum(
            float((fisher * (now - then).square()).sum().detach())
            for fisher, now, then in zip(early.fisher, each, early.anchors, strict=True)
        )
        for each in (list(loose.pupil.student.parameters()), list(held.pupil.student.parameters()))
    ]
    assert moved[1] < moved[0] / 2
    assert held.history.rows[-1]["task_accuracy"]["1"] > 0.9


def test_ewc_adds_up_fisher_information_and_takes_it_from_memory_after_forgetting():
    one, two = (served(OnlineEWC(strength=0.0, **FAST), words).pupil for words in ("L1", "L1 L2"))
    assert all((later >= earlier).all() for later, earlier in zip(two.fisher, one.fisher, strict=True))
    after = served(OnlineEWC(strength=0.0, **FAST), "L1 L2 U1").pupil
    found = OnlineEWC(**FAST)
    before = [each.clone() for each in after.fisher]
    found._anchor(after, after.memory.batches(100), 0.0, task(), Engine(progress=False))
    assert all(torch.allclose(each, now, atol=1e-6) for each, now in zip(before, after.fisher, strict=True))


def test_ewc_looks_at_all_classes_of_a_task_however_they_come():
    few = OnlineEWC(fisher_samples=40, **FAST)  # as many as the first class has
    pupil = served(few, "L1").pupil
    apart = few.begin(task(), Engine(progress=False), memory())
    apart.load_state_dict(pupil.state_dict())
    first = tasks()[0].tensors
    few._anchor(apart, Batches(torch.utils.data.TensorDataset(first[0][:40], first[1][:40])), 0.0, task(), Engine())
    assert not torch.allclose(apart.fisher[-1], pupil.fisher[-1], rtol=0.2)


def test_ewc_goes_on_where_nothing_is_left_in_memory():
    found = run(
        OnlineEWC(**FAST), stream("L1 L2 U1 L3"), task(), Engine(progress=False), memory(1), unseen()
    )  # a memory of one sample, which may be of what goes
    assert len(found.history.rows) == 4
    pupil = OnlineEWC(**FAST).begin(task(), Engine(progress=False), memory())
    pupil.fisher[0].data.fill_(1.0)
    OnlineEWC(**FAST)._anchor(pupil, pupil.memory.batches(10), 0.0, task(), Engine(progress=False))
    assert not any(each.any() for each in pupil.fisher)


def test_lwf_goes_on_saying_what_it_said():
    learner = LwF(strength=3.0, temperature=2.0, **FAST)
    pupil, batch = served(learner, "L1 L2 U1").pupil.eval(), next(iter(unseen()["3"]))
    assert torch.equal(pupil.before[0].weight, pupil.student[0].weight)
    learned = served(learner, "L1 L2").pupil
    assert torch.equal(learned.before[0].weight, learned.student[0].weight) and learned.known_before[:4].all()
    with torch.no_grad():
        pupil.student[0].weight += 0.1
        terms = learner.terms(pupil, batch, task())
        then, now = ((network(batch[0])[:, 2:4] / 2).log_softmax(1) for network in (pupil.before, pupil.student))
    wanted = 3 * 4 * (then.exp() * (then - now)).sum(1)  # among the classes that are there: those of the second task
    assert torch.allclose(terms["before"], wanted, atol=1e-5) and wanted.max() > 0.01
    assert "before" not in learner.terms(pupil, batch, task(), forget=torch.zeros(len(batch[1]), CLASSES))


def test_clpu_deletes_the_network_of_what_goes():
    found = served(LEARNERS["clpu"])
    assert list(found.model.side) == ["2", "3"] and found.model.own.tolist() == [
        [False, False, True, True, False, False],
        [False, False, False, False, True, True],
    ]
    never = served(LEARNERS["clpu"], "L2 L3")
    assert found.model.own.tolist() == never.model.own.tolist()
    assert found.history.right_after() == 0.0 and found.history.accuracy("task") > 0.95


def test_clpu_keeps_permanent_tasks_in_one_network():
    learner = replace(LEARNERS["clpu"], permanent=("1", "3"))
    found = served(learner, "L1 L2 L3 U2")
    assert not found.model.side and found.model.learned.tolist() == [True, True, False, False, True, True]
    assert found.history.right_after() == 0.0 and found.history.accuracy() > 0.7
    ids = found.pupil.memory.held()[2]
    assert len(ids) and not ((ids >= 80) & (ids < 160)).any()
    with pytest.raises(BadRequest, match="task '1' was to stay for good"):
        served(learner, "L1 L2 U1")
    with pytest.raises(BadRequest, match="single samples have no network of their own"):
        served(learner, "L1 L2 U2:0.5")


def test_clpu_refuses_a_task_with_single_samples_of_another():
    data = tasks()
    requests = RequestStream([Learn("1", data[0]), Learn("2", data[1]), Unlearn([*range(80), 81, 90])])
    assert requests[2].tasks == ("1",) and requests[2].single == 2
    with pytest.raises(BadRequest, match="single samples have no network of their own"):
        run(LEARNERS["clpu"], requests, task(), Engine(progress=False), memory(logits=CLASSES), unseen())


def test_a_name_with_a_dot_names_a_network_too():
    data = tasks()
    requests = RequestStream([Learn("v1.0/a", data[0]), Learn("v1.1", data[1])])
    named = dict(zip(("v1.0/a", "v1.1"), unseen().values(), strict=False))
    found = run(LEARNERS["clpu"], requests, task(), Engine(progress=False), memory(logits=CLASSES), named)
    assert len(found.model.side) == 2


def test_joint_is_training_anew_on_what_is_left():
    found = served(LEARNERS["joint"])
    assert found.history.rows[-1]["class_accuracy"]["2"] > 0.9 and found.history.right_after() == 0.0
    with pytest.raises(BadSetting, match="80 samples do not fit into a memory of 24"):
        run(LEARNERS["joint"], stream(), task(), Engine(progress=False), memory(), unseen())


# ---- wrong input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rehearsal(epochs=0), "Rehearsal: epochs must be at least 1, not 0"),
        (lambda: Rehearsal(beta=-1.0), "Rehearsal: beta must be 0 or more, not -1.0"),
        (lambda: Joint(batch_size=0), "Joint: batch_size must be at least 1, not 0"),
        (lambda: LwF(incremental="both"), "LwF: incremental is 'class' or 'task', not 'both'"),
        (lambda: UniCLUN(gamma=1.5), "UniCLUN: gamma must lie between 0 and 1, not 1.5"),
        (lambda: UniCLUN(tau=0.0), "UniCLUN: tau must be above 0, not 0.0"),
        (lambda: UniCLUN(contrast=-0.1), "UniCLUN: contrast must be 0 or more, not -0.1"),
        (lambda: UniCLUN(neighbours=0), "UniCLUN: neighbours must be at least 1, not 0"),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(BadSetting, match=message):
        make()


@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in ("clpu", "er by a method")])
def test_a_single_sample_can_go_and_the_network_that_answers_changes(name):
    one = "L1 L2"
    data = tasks()
    requests = RequestStream([Learn("1", data[0]), Learn("2", data[1]), Unlearn([3])])
    kept = memory(1000 if name == "joint" else 24, CLASSES if LEARNERS[name].keeps_logits else 0)
    found = run(LEARNERS[name], requests, task(), Engine(progress=False), kept, unseen())
    assert not same_weights(found.model, served(LEARNERS[name], one).model)
    assert not (found.pupil.memory.ids == 3).any()


@pytest.mark.parametrize("name", LEARNERS)
def test_what_answers_can_be_trained_on(name):
    model = served(LEARNERS[name], "L1 L2").model
    model(torch.randn(4, 8)).sum().backward()
    assert any(value.grad is not None for value in model.parameters())


def test_data_that_are_read_one_by_one():
    from tiny_streams import Lazy

    plain, lazy = (
        [Learn(str(place), kind(data)) for place, data in enumerate(tasks()[:2], start=1)] for kind in (lambda data: data, Lazy)
    )
    for name in ("joint", "der++"):
        for requests in (plain, lazy):
            kept = memory(1000 if name == "joint" else 24, CLASSES if LEARNERS[name].keeps_logits else 0)
            found = run(LEARNERS[name], RequestStream(requests), task(), Engine(progress=False), kept, unseen())
            inputs, labels, ids, _ = found.pupil.memory.held()
            first = torch.cat([each.tensors[0] for each in tasks()[:2]])
            assert torch.equal(first[ids], inputs) and torch.equal(labels, ids // 40) and len(ids) == min(160, kept.capacity)
            assert found.history.accuracy("task") > 0.9


def test_a_memory_that_is_in_use_is_refused():
    used = served(LEARNERS["er"], "L1").pupil.memory
    with pytest.raises(BadSetting, match="begins with an empty memory, and this one holds 24 samples"):
        run(LEARNERS["er"], stream(), task(), Engine(), used, unseen())
    used.forget(used.held()[2])
    with pytest.raises(BadSetting, match="this one holds 0 samples or held some"):
        run(LEARNERS["er"], stream(), task(), Engine(), used, unseen())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": lambda: Engine(precision="bf16")}, "served in fp32 by one process, not in bf16 by 1"),
        (
            {"memory": lambda: memory().double()},
            r"inputs have shape \(8,\) of torch.float32, and the memory is made for .*float64",
        ),
        ({"tests": lambda: {"1": [], "2": []}}, "task '3' is learned and has no tests; there are tests of 1, 2"),
        ({"task": lambda: ClassificationTask(network, classes=4)}, "request L3 has the label 5, and the network has 4 outputs"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_learned(change, message):
    given = {"engine": Engine, "memory": memory, "tests": unseen, "task": task} | change
    with pytest.raises(BadSetting, match=message):
        run(LEARNERS["er"], stream(), given["task"](), given["engine"](), given["memory"](), given["tests"]())


@pytest.mark.parametrize("name", ["uniclun", "er"])
def test_training_that_explodes_says_in_which_request(name):
    wild = replace(LEARNERS[name], optimizer=Optimizer("sgd", 1e30))
    with pytest.raises(Diverged, match="1-L1/learn"):
        served(wild)

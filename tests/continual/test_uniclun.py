"""UniCLUN: its teachers, its losses, and the limits in which parts of it do nothing."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from expunge.continual import ReplayBuffer, UniCLUN, run
from expunge.continual.learner import FAR
from expunge.continual.losses import contrastive, online_distillation
from expunge.continual.uniclun import TwoTeachers
from expunge.engine import Engine
from tiny import same_weights
from tiny_streams import CLASSES, FAST, memory, stream, task, unseen

OURS = UniCLUN(**FAST)


def served(learner: UniCLUN = OURS, words: str = "L1 L2 U1 L3", seed: int = 0):
    return run(learner, stream(words), task(), Engine(seed, progress=False), memory(), unseen())


def test_the_teacher_is_the_mean_of_its_first_steps_and_then_a_moving_average():
    pupil = OURS.begin(task(), Engine(progress=False), memory())
    assert isinstance(pupil, TwoTeachers)
    seen = []
    for step in range(4):
        with torch.no_grad():
            for value in pupil.guided.state_dict().values():
                value.copy_(torch.full_like(value, 10.0**step) if value.is_floating_point() else torch.full_like(value, step))
        pupil.average(momentum=0.6)
        seen.append(pupil.teacher.state_dict()["network.0.weight"][0, 0].item())
        assert pupil.teacher.state_dict()["network.1.running_mean"][0].item() == pytest.approx(seen[-1])
        assert pupil.teacher.state_dict()["network.1.num_batches_tracked"] == step
    assert seen[:2] == pytest.approx([1.0, 5.5])  # shares 1, 1/2 and then 0.4, where 1/3 would be less
    assert seen[2] == pytest.approx(0.6 * 5.5 + 0.4 * 100) and seen[3] == pytest.approx(0.6 * seen[2] + 400)


def test_training_leaves_the_teacher_in_evaluation_mode_without_gradients():
    pupil = OURS.begin(task(), Engine(progress=False), memory()).train()
    assert pupil.guided.training and not any(module.training for module in pupil.teacher.modules())
    assert not any(value.requires_grad for value in pupil.teacher.parameters())


def test_without_updates_the_teacher_stays_as_it_began():
    learner = replace(OURS, update_probability=0.0, repeats=0)
    pupil = served(learner, "L1 L2 U1").pupil
    began = learner.begin(task(), Engine(progress=False), memory())
    assert all(torch.equal(value, began.teacher.state_dict()[name]) for name, value in pupil.teacher.state_dict().items())


def test_with_a_momentum_of_nothing_both_networks_are_one():
    pupil = served(replace(OURS, momentum=0.0, update_probability=1.0)).pupil
    for name, value in pupil.guided.state_dict().items():
        assert torch.allclose(value.float(), pupil.teacher.state_dict()[name].float(), atol=1e-6)


def test_which_network_is_deployed():
    teacher, student = (served(replace(OURS, deploy=which)) for which in ("teacher", "student"))
    assert same_weights(teacher.model, teacher.pupil.teacher.network) and same_weights(student.model, student.pupil.student)
    assert not same_weights(teacher.model, student.model)
    assert teacher.model.state_dict().keys() == task().new_model().state_dict().keys()


def test_momentum_fits_the_steps_of_a_request():
    lesson = stream()[0]  # 80 samples: 5 batches, 4 epochs
    assert OURS._steps(lesson) == 20
    assert OURS._momentum(8.0) == pytest.approx(1 - 1 / 3.6) and OURS._momentum(1.0) == 0.0


def test_learning_terms_by_hand():
    learner = replace(OURS, replay=0.7, online=0.2, contrast=0.3, supervised=0.4, rho=2.0, tau=0.5, replayed=12)
    pupil, batch = served(learner, "L1").pupil.eval(), next(iter(unseen()["2"]))
    torch.manual_seed(0)
    terms = learner._terms(pupil, batch, task())[1]
    torch.manual_seed(0)
    old, labels, _, _ = pupil.memory.draw(12)

    def both(guided, inputs):
        features = guided.network[:4](inputs)
        return guided.network[4](features), F.normalize(guided.projector(features), dim=1)

    said, embedded = both(pupil.guided, torch.cat([batch[0], old]))
    taught, anchors = both(pupil.teacher, old)
    count, everything = len(batch[1]), torch.cat([batch[1], labels])
    wanted = {
        "learn": F.cross_entropy(said[:count], batch[1], reduction="none"),
        "replay": 0.7 * F.cross_entropy(said[count:], labels, reduction="none"),
        "online": 0.2 * online_distillation(said[count:], taught, labels, 2.0),
        "contrast": 0.3 * contrastive(anchors, embedded[count:], labels, 0.5),
        "supervised": 0.4 * contrastive(embedded, embedded, everything, 0.5, same=True),  # rows have no other view
    }
    assert terms.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(terms[name], value, atol=1e-5), name


def test_terms_without_weight_are_left_out_and_without_memory_nothing_is_replayed():
    bare = replace(OURS, online=0.0, contrast=0.0, supervised=0.0)
    batch = next(iter(unseen()["2"]))
    assert bare._terms(served(bare, "L1").pupil, batch, task())[1].keys() == {"learn", "replay"}
    empty = OURS.begin(task(), Engine(progress=False), memory())
    assert OURS._terms(empty, batch, task())[1].keys() == {"learn", "supervised"}
    assert OURS._terms(empty, batch, task(), forget=True)[1] == {}
    full = served(OURS, "L1").pupil
    assert OURS._terms(full, batch, task(), forget=True)[1].keys() == {"replay", "online", "contrast", "supervised"}


# ---- what is said of what goes ------------------------------------------------------------------------------------------


def teaching(kind: str, words: str = "L1 L2 U1", **settings):
    """What is said of the first test batch of the first task, and the state of which it is said."""
    learner = replace(OURS, unlearning_teacher=kind, **settings)
    pupil = served(learner, words).pupil
    batch = next(iter(unseen()["1"]))
    return learner._unlearning_teacher(pupil, task())(batch), pupil, batch


def test_uniform_over_what_is_there():
    said, _, _ = teaching("uniform")
    assert torch.allclose(said.softmax(1)[0], torch.tensor([0, 0, 0.5, 0.5, 0, 0]), atol=1e-6)


def test_others_are_those_of_the_teacher_without_what_is_gone():
    said, pupil, batch = teaching("others")
    with torch.no_grad():
        wanted = pupil.teacher.network(batch[0])
    assert torch.equal(said[:, 2:4], wanted[:, 2:4]) and (said[:, :2] < FAR / 2).all()


def test_random_is_the_same_network_for_the_whole_request():
    learner = replace(OURS, unlearning_teacher="random")
    pupil, batch = served(learner, "L1 L2 U1").pupil, next(iter(unseen()["1"]))
    began = learner.begin(task(), Engine(progress=False), memory())
    assert same_weights(pupil.stranger, began.stranger), "it learns nothing, and stays through all requests"
    teach = learner._unlearning_teacher(pupil, task())
    assert torch.equal(teach(batch), pupil.stranger.eval()(batch[0])) and teach(batch).softmax(1).max() < 0.9


def test_neighbours_by_hand():
    said, pupil, batch = teaching("neighbours", neighbours=3, tau=0.2)
    held, labels, _, _ = pupil.memory.held()
    network, projector = pupil.teacher.network, pupil.teacher.projector
    with torch.no_grad():
        ours, theirs = (F.normalize(projector(network[:4](each)), dim=1) for each in (batch[0], held))
        for row, near in enumerate(ours @ theirs.T):
            nearest = near.argsort(descending=True)[:3]
            weights = (near[nearest] / 0.2).softmax(0)
            share = torch.zeros(CLASSES)
            for weight, place in zip(weights, nearest, strict=True):
                share[labels[place]] += weight
            assert torch.allclose(said[row].softmax(0), share, atol=1e-4)


def test_neighbours_are_never_of_classes_that_are_gone_and_need_no_full_memory():
    said, _, _ = teaching("neighbours", neighbours=1000)
    assert (said.softmax(1)[:, [0, 1, 4, 5]] < 1e-6).all()


def test_the_label_of_what_goes_has_no_part_in_it():
    learner = OURS
    pupil = served(learner, "L1 L2 U1:0.5").pupil
    inputs, labels = next(iter(unseen()["1"]))
    teach = learner._unlearning_teacher(pupil, task())
    assert torch.equal(teach((inputs, labels)), teach((inputs, labels.flip(0))))


# ---- requests to forget -------------------------------------------------------------------------------------------------


def test_the_average_begins_anew_so_that_the_teacher_forgets_too():
    lagging = {"momentum": 0.999, "update_probability": 1.0, "repeats": 0, "epochs": 12}
    anew, on = (served(replace(OURS, restart=restart, **lagging), "L1 L2 U1") for restart in (True, False))
    assert on.history.right_after() > anew.history.right_after() + 0.2


def test_passes_are_repeated_until_what_is_gone_is_not_answered_any_more():
    once, often = (served(replace(OURS, repeats=repeats, gamma=0.9), "L1 L2 U1") for repeats in (0, 30))
    assert once.history.right_after() > 0.3 and often.history.right_after() < 0.05
    enough = served(replace(OURS, repeats=30, gamma=0.9, tolerance=1.0), "L1 L2 U1")
    assert enough.history.rows[-1]["class_accuracy"] == once.history.rows[-1]["class_accuracy"]


def test_gamma_of_one_only_learns_what_is_in_memory():
    forgets, learns = (served(replace(OURS, gamma=gamma, deploy="student", repeats=0), "L1 L2 U1") for gamma in (0.5, 1.0))
    assert learns.history.right_after() > forgets.history.right_after()


def losses_of_a_request(learner: UniCLUN, monkeypatch) -> list[dict[str, float]]:
    """The terms of each step of the request to forget."""
    engine, found = Engine(progress=False), []
    fit = Engine.fit

    def listening(self, model, loss, *given, **named):
        def heard(model, batch):
            terms = loss(model, batch)
            if named.get("name", "").startswith("unlearn"):
                found.append({name: float(value.detach().mean()) for name, value in terms.items()})
            return terms

        return fit(self, model, heard, *given, **named)

    monkeypatch.setattr(Engine, "fit", listening)
    run(learner, stream("L1 L2 U1"), task(), engine, memory(), unseen())
    return found


def test_gamma_shares_out_the_terms_and_moves_from_one_end_to_the_other(monkeypatch):
    moving = losses_of_a_request(replace(OURS, gamma=0.0, gamma_end=1.0, update_probability=1.0, repeats=0), monkeypatch)
    assert moving[0]["replay"] == 0.0 and moving[0]["forget"] > 0
    assert moving[-1]["forget"] == 0.0 and moving[-1]["replay"] > 0
    none = losses_of_a_request(replace(OURS, gamma=1.0, repeats=0), monkeypatch)
    assert all(step["forget"] == 0 for step in none)
    half, less = (losses_of_a_request(replace(OURS, gamma=gamma, repeats=0), monkeypatch)[0] for gamma in (0.5, 0.75))
    assert less["forget"] == pytest.approx(0.5 * half["forget"]) and less["replay"] == pytest.approx(half["replay"])


def test_a_request_of_few_steps_reaches_the_teacher_however_the_draws_fall():
    rare = replace(OURS, epochs=1, update_probability=1e-9)
    for words in ("L1 L2", "L1 L2 U1:0.02"):
        pupil = served(rare, words).pupil
        assert int(pupil.averaged) > 0
    before, after = (served(rare, words).model for words in ("L1 L2", "L1 L2 U1:0.02"))
    assert not same_weights(before, after)


def test_the_paper_s_settings():
    published = UniCLUN.published(epochs=7)
    assert published.epochs == 7 and published.momentum == 0.999 and published.deploy == "student"
    assert published.unlearning_teacher == "random" and not published.restart and published.repeats == 0
    assert published.replay == 0.5 and published.update_probability == 0.2
    assert (published.online, published.contrast, published.supervised, published.rho, published.tau) == (
        0.1,
        0.1,
        0.3,
        1.0,
        0.07,
    )


def test_images_are_seen_from_another_view(monkeypatch):
    from expunge.continual import RequestStream, uniclun
    from expunge.models import NormCNN
    from expunge.tasks import ClassificationTask

    images = torch.utils.data.TensorDataset(torch.rand(24, 1, 8, 8), torch.arange(24) % 4)
    views = []
    monkeypatch.setattr(uniclun, "another_view", lambda inputs, view: views.append(view) or inputs.flip(3))
    tiny = ClassificationTask(lambda: NormCNN((1, 8, 8), 4, width=2), 4)
    learner = replace(OURS, view="shift-flip")
    run(
        learner, RequestStream.of("L1", [images]), tiny, Engine(progress=False), ReplayBuffer(4, (1, 8, 8)), {"1": [images[:8]]}
    )
    assert views and set(views) == {"shift-flip"}

"""What each method is for, in closed forms and limits."""

import copy

import pytest
import torch

from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import METHODS, SCRUB, SSD, BadTeacher, GradientAscent, NegGradPlus, RandomLabels, Retrain, SalUn
from expunge.methods.gradient_ascent import capped
from expunge.methods.random_labels import relabelled
from expunge.methods.salun import saliency_mask
from expunge.methods.ssd import forget_share
from expunge.optimizers import Optimizer
from expunge.split import Split
from tiny import blobs, class_split, original, same_weights, task


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def accuracy(model, stream):
    return task().evaluate(model, stream)["accuracy"]


def test_the_original_knows_and_the_retrained_does_not(trained):
    split = class_split()
    assert accuracy(trained, split.forget) > 0.95
    gold = Retrain(epochs=10, optimizer=Optimizer("adam", 1e-2))(trained, task(), split, Engine(progress=False))
    assert accuracy(gold, split.forget) == 0
    assert accuracy(gold, split.retain) > 0.95


def test_other_settings_in_the_same_folder_give_another_result(trained, tmp_path):
    results = [
        BadTeacher(epochs=2, forget_weight=weight)(trained, task(), class_split(), Engine(folder=tmp_path, progress=False))
        for weight in (0.1, 0.9, 0.1)
    ]
    assert same_weights(results[0], results[2]) and not same_weights(results[0], results[1])


@pytest.mark.parametrize(
    "method",
    [
        GradientAscent(epochs=30, optimizer=Optimizer("sgd", 0.01)),
        NegGradPlus(epochs=15, optimizer=Optimizer("adam", 1e-2)),
        RandomLabels(epochs=20, forget_weight=0.2, optimizer=Optimizer("adam", 1e-2)),
        BadTeacher(epochs=30, forget_weight=0.3, optimizer=Optimizer("adam", 1e-2)),
        SCRUB(epochs=20, max_epochs=12, optimizer=Optimizer("adam", 5e-3)),
        SalUn(epochs=20, forget_weight=0.2, optimizer=Optimizer("adam", 1e-2)),
    ],
    ids=lambda method: method.name,
)
def test_a_class_is_forgotten_and_the_rest_kept(method, trained):
    split = class_split()
    result = method(trained, task(), split, Engine(progress=False))
    assert accuracy(result, split.forget) < 0.35
    assert accuracy(result, split.retain) > 0.85


def test_a_method_makes_the_loss_on_the_forget_set_grow(trained):
    split = class_split()
    before = task().evaluate(trained, split.forget)["loss"]
    for name, method in METHODS.items():
        if name in ("finetune", "ssd", "sisa", "fisher-forgetting"):
            continue
        if not isinstance(task(), method.takes) or not isinstance(split, method.splits):
            continue
        after = task().evaluate(method()(trained, task(), split, Engine(progress=False)), split.forget)["loss"]
        assert after > before, name


def test_neggrad_plus_with_alpha_one_ignores_the_forget_set(trained):
    split, engine = class_split(), Engine(progress=False)
    method = NegGradPlus(alpha=1.0)
    other = Split(split.retain, split.retain, split.holdout)
    first = method(trained, task(), Split(split.forget, split.retain), engine)
    assert accuracy(first, split.retain) > 0.95
    assert accuracy(first, split.forget) > 0.5  # nothing pushes it out
    assert not same_weights(first, method(trained, task(), other, engine))  # the number of steps still follows it


def test_cap_stops_the_push_above_it_only():
    losses = torch.tensor([1.0, 4.0], requires_grad=True)
    capped(losses, 3.0).sum().backward()
    assert losses.grad.tolist() == [1.0, 0.0]
    assert capped(losses, None) is losses


def test_wrong_labels_are_wrong_and_stay_with_their_examples():
    split, engine = class_split(), Engine(progress=False)
    batches = relabelled(task(), split.forget, engine)
    inputs, labels = batches.dataset.tensors
    assert len(inputs) == 40 and 3 not in labels.tolist()
    again = relabelled(task(), split.forget, engine).dataset.tensors
    assert torch.equal(inputs, again[0]) and torch.equal(labels, again[1])


def test_bad_teacher_alone_makes_the_student_ignorant(trained):
    split = class_split()
    method = BadTeacher(forget_weight=1.0, epochs=60, optimizer=Optimizer("adam", 1e-2))
    engine = Engine(progress=False)
    result = method(trained, task(), split, engine)
    with engine.scope("bad-teacher"):
        teacher = engine.new_model(task().new_model, "incompetent teacher").eval()
    inputs = blobs().tensors[0][120:]
    gap = task().divergence(result(inputs), teacher(inputs)).mean()
    assert gap < 0.02 < task().divergence(trained(inputs), teacher(inputs)).mean()


def test_bad_teacher_without_forget_weight_keeps_every_answer(trained):
    split = class_split()
    result = BadTeacher(forget_weight=0.0, epochs=3)(trained, task(), split, Engine(progress=False))
    assert abs(accuracy(result, split.retain) - accuracy(trained, split.retain)) < 0.02


class TestSCRUB:
    def test_without_max_epochs_the_teacher_is_followed(self, trained):
        split = class_split()
        result = SCRUB(max_epochs=0, epochs=3)(trained, task(), split, Engine(progress=False))
        assert accuracy(result, split.retain) > 0.95

    def test_rewind_picks_the_epoch_nearest_to_the_unseen(self, trained):
        split = class_split()
        settings = {"max_epochs": 6, "epochs": 6, "optimizer": Optimizer("adam", 3e-3), "schedule": "constant"}
        final = SCRUB(rewind=False, **settings)(trained, task(), split, Engine(progress=False))
        rewound = SCRUB(**settings)(trained, task(), split, Engine(progress=False))
        reference = accuracy(final, split.validation_forget)
        assert abs(accuracy(rewound, split.forget) - reference) <= abs(accuracy(final, split.forget) - reference)

    def test_rewind_needs_validation_and_else_returns_the_last(self, trained):
        split = class_split()
        bare = Split(split.forget, split.retain, split.holdout)
        settings = {"max_epochs": 2, "epochs": 3}
        first = SCRUB(**settings)(trained, task(), bare, Engine(progress=False))
        assert same_weights(first, SCRUB(rewind=False, **settings)(trained, task(), split, Engine(progress=False)))

    def test_snapshots_survive_a_restart(self, trained, tmp_path):
        split, method = class_split(), SCRUB(max_epochs=2, epochs=4)
        first = method(trained, task(), split, Engine(progress=False, folder=tmp_path))
        again = method(trained, task(), split, Engine(progress=False, folder=tmp_path))  # its fit is done: files only
        assert same_weights(first, again)


class TestSSD:
    def test_a_cut_off_that_nothing_reaches_changes_nothing(self, trained):
        result = SSD(alpha=1e9)(trained, task(), class_split(), Engine(progress=False))
        assert same_weights(result, trained)

    def test_weights_only_shrink(self, trained):
        result = SSD(alpha=1.5)(trained, task(), class_split(), Engine(progress=False))
        pairs = list(zip(result.parameters(), trained.parameters(), strict=True))
        assert all((new.abs() <= old.abs()).all() for new, old in pairs)
        assert any((new.abs() < old.abs()).any() for new, old in pairs)

    def test_smaller_dampening_shrinks_harder(self, trained):
        norms = [
            sum(
                p.detach().norm().item()
                for p in SSD(1.5, dampening)(trained, task(), class_split(), Engine(progress=False)).parameters()
            )
            for dampening in (1.0, 0.1)
        ]
        assert norms[1] < norms[0]

    def test_both_fishers_and_a_sample_work(self, trained):
        for method in (SSD(1.5, per_example=False), SSD(1.5, max_examples=32)):
            assert not same_weights(method(trained, task(), class_split(), Engine(progress=False)), trained)

    def test_share_counts_examples_or_else_batches(self):
        split = class_split()
        assert forget_share(split) == 0.25
        assert forget_share(Split([1, 2], [1, 2, 3, 4, 5, 6])) == 0.25
        assert forget_share(Split(split.forget, [1] * 6)) == 3 / 9  # 3 batches of the one, since the other has no examples


class TestSalUn:
    def test_weights_outside_the_mask_do_not_move_even_with_weight_decay(self, trained):
        method = SalUn(saliency=0.3, optimizer=Optimizer("sgd", 0.1, weight_decay=0.1, momentum=0.9))
        result = method(trained, task(), class_split(), Engine(progress=False))
        old = torch.cat([p.detach().flatten() for p in trained.parameters()])
        new = torch.cat([p.detach().flatten() for p in result.parameters()])
        assert 0 < (old != new).sum() <= round(0.3 * len(old))

    def test_no_saliency_changes_nothing_and_all_of_it_is_random_labels(self, trained):
        split = class_split()
        assert same_weights(SalUn(saliency=0.0)(trained, task(), split, Engine(progress=False)), trained)
        mask = saliency_mask({"w": torch.randn(3, 4)}, 1.0)
        assert mask["w"].all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NegGradPlus(alpha=1.5), "neggrad-plus: alpha must lie between 0 and 1, not 1.5"),
        (lambda: BadTeacher(epochs=-1), "bad-teacher: epochs must be 0 or more, not -1"),
        (lambda: Retrain(epochs=-2), "retrain: epochs must be 0 or more"),
        (lambda: BadTeacher(temperature=0), "bad-teacher: temperature must be above 0"),
        (lambda: SCRUB(retain_fraction=0), "scrub: retain_fraction must lie in"),
        (lambda: SSD(alpha=0), "ssd: alpha must be above 0"),
        (lambda: SalUn(saliency=2), "salun: saliency must lie between 0 and 1"),
        (lambda: RandomLabels(forget_weight=-1), "random-labels: forget_weight"),
        (lambda: Optimizer("adam", 0.0), "learning_rate must be above 0"),
        (lambda: Optimizer("lion"), "optimizer kind must be 'adam', 'adamw' or 'sgd', not 'lion'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()


def test_frozen_parameters_stay_where_they_are(trained):
    model = copy.deepcopy(trained)
    model[0].requires_grad_(False)
    for name in ("neggrad-plus", "ssd", "salun", "scrub", "l1-sparse", "boundary-shrink", "unsir", "kookmin"):
        result = METHODS[name]()(model, task(), class_split(), Engine(progress=False))
        assert torch.equal(result[0].weight, model[0].weight), name

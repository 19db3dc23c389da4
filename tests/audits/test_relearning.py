"""Relearn time on three blobs in the plane, one of which must be forgotten."""

import copy

import pytest
import torch
from torch import nn

from expunge.audits import Figure, References, Relearning, Subject
from expunge.data import Target
from expunge.errors import BadSetting
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split

QUICK = Relearning(cap=60, optimizer=Optimizer("adam", 0.03))


def steps(audit, subject, original, *golds) -> Figure:
    found = audit(subject, References(original, golds))
    assert found.keys() == {"relearn_steps"}
    return found["relearn_steps"]


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_what_was_never_gone_needs_no_step_and_what_was_never_there_some(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    assert original.scores("forget").mean() > 0.95 and gold.scores("forget").mean() < 0.5
    assert steps(QUICK, original, original, gold).value == 0.0
    found = steps(QUICK, gold, original, gold)
    assert 1 <= found.value < 60 and found.note == ""


def test_knowledge_that_is_merely_hidden_comes_back_sooner(blobs):
    """The original with its last bias turned against the forgotten class, beside a network that never saw it."""
    made = blobs()
    original, gold, hidden = made.original(), made.gold(), made.original()
    answers = original.outputs("forget")
    with torch.no_grad():
        hidden.model[2].bias[2] -= (answers[:, 2] - answers[:, :2].amax(1)).max()
    assert hidden.scores("forget").mean() == 0.0
    assert 0 < steps(QUICK, hidden, original).value < steps(QUICK, gold, original).value


def test_the_ideal_is_the_mean_over_the_retrained_models(blobs):
    made = blobs()
    original, golds = made.original(), [made.gold(seed) for seed in range(1, 5)]
    each = [steps(QUICK, gold, original).value for gold in golds]
    assert len(set(each)) > 1, "equal counts could not tell a mean from one of them"
    assert steps(QUICK, original, original, *golds).ideal == pytest.approx(sum(each) / 4)
    assert steps(QUICK, original, original).ideal is None


def test_a_model_that_does_not_get_there_is_at_the_cap_with_a_note(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    still = Relearning(cap=3, optimizer=Optimizer("sgd", 1e-9))
    found = steps(still, gold, original)
    assert found.value == 3.0 and found.note == "not relearned within the cap of 3 steps"
    assert steps(still, original, original).note == ""


def test_a_model_that_gets_there_with_the_last_step_did_get_there(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    needed = steps(QUICK, gold, original).value
    found = steps(Relearning(cap=int(needed), optimizer=QUICK.optimizer), gold, original)
    assert found.value == needed and found.note == ""


def test_a_wider_margin_is_reached_no_later(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    found = [
        steps(Relearning(margin=margin, optimizer=QUICK.optimizer), gold, original).value for margin in (0.0, 0.05, 0.5, 0.95)
    ]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]


@pytest.mark.parametrize(("margin", "known"), [(0.0, False), (0.05, False), (0.1, True), (0.3, True)])
def test_the_goal_is_a_share_of_the_originals_score(stage, margin, known):
    """Original right on all 10, subject on 9: known from a margin of 0.1 on."""
    made = stage({"forget": [0] * 10, "retain": [1] * 4})
    original, subject = made.answering({}), made.answering({"forget": [0] * 9 + [1]})
    audit = Relearning(margin=margin, cap=2, optimizer=Optimizer("sgd", 1e-9))
    assert steps(audit, subject, original).value == (0.0 if known else 2.0)


def test_the_margin_is_no_difference_of_scores(stage):
    """Original right on half: with a margin of 0.3 the goal is 0.35, not 0.2."""
    made = stage({"forget": [0] * 10, "retain": [1] * 4})
    original = made.answering({"forget": [0] * 5 + [1] * 5})
    audit = Relearning(margin=0.3, cap=2, optimizer=Optimizer("sgd", 1e-9))
    assert steps(audit, made.answering({"forget": [0] * 4 + [1] * 6}), original).value == 0.0
    assert steps(audit, made.answering({"forget": [0] * 3 + [1] * 7}), original).value == 2.0


def test_the_goal_is_read_on_the_forget_set_and_of_the_original(stage):
    made = stage({"forget": [0] * 4, "retain": [1] * 4, "holdout": [2] * 4})
    half = made.answering({"forget": [0, 0, 1, 1]})
    astray = made.answering({"forget": [0, 0, 2, 2], "retain": [0] * 4, "holdout": [0] * 4})
    still = Relearning(cap=2, optimizer=Optimizer("sgd", 1e-9))
    assert steps(still, astray, half).value == 0.0
    assert steps(still, half, made.answering({})).value == 2.0


def test_each_step_weighs_both_batches_by_their_shares_of_the_training_set(stage):
    """One step of plain SGD on a table: a row moves by rate * share / batch * (one-hot - probability)."""
    made = stage({"forget": [0, 0], "retain": [1, 1, 1, 1, 1, 1]}, classes=2)
    subject = made.subject(torch.zeros(8, 2))
    watched = []

    class Watching(Optimizer):
        def __call__(self, parameters):
            watched.extend(parameters := list(parameters))
            return super().__call__(parameters)

    found = steps(Relearning(cap=1, optimizer=Watching("sgd", 1.0)), subject, made.answering({"forget": [0, 0]}))
    assert found.value == 0.0 and watched == [], "an even answer is argmax 0, which is right: choose a subject that is wrong"
    wrong = made.subject(torch.tensor([[0.0, 1e-6]] * 8))
    steps(Relearning(cap=1, optimizer=Watching("sgd", 1.0)), wrong, made.answering({}))
    (table,) = watched
    assert table[:2, 0].tolist() == pytest.approx([2 / 8 / 2 * 0.5] * 2, rel=1e-3)
    moved = table[2:, 1] - 1e-6
    assert moved[moved > 0.01].tolist() == pytest.approx([6 / 8 / 4 * 0.5] * 4, rel=1e-3), "a batch of 4 of the 6 retained"


def test_models_are_relearned_on_deep_copies(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    before = [state(subject.model) for subject in (original, gold)]
    gold.model.train()
    gold.model.requires_grad_(False)
    assert steps(QUICK, gold, original, gold).value > 0, "a frozen model is relearned all the same"
    for subject, kept in zip((original, gold), before, strict=True):
        assert all(torch.equal(value, kept[name]) for name, value in subject.model.state_dict().items())
    assert gold.model.training and not any(value.requires_grad for value in gold.model.parameters())
    assert all(value.grad is None for value in gold.model.parameters())


def test_batch_statistics_are_not_carried_back_to_the_model(blobs):
    made = blobs()
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    before = state(model)
    steps(Relearning(cap=4, optimizer=QUICK.optimizer), made.subject(model), made.original())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def order_of_training(stage, seed: int, global_seed: int) -> list[list[int]]:
    """The row numbers of the batches that a model is relearned on, in their order."""
    made = stage({"forget": [2] * 6, "retain": [1] * 10}, seed=seed)
    seen = []

    class Recording(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, inputs):
            if self.training:
                seen.append(inputs.tolist())
            return self.weight.expand(len(inputs), 3)

    torch.manual_seed(global_seed)
    subject = Subject("model", Recording(), made.task, made.split, made.engine)
    steps(Relearning(cap=5, optimizer=Optimizer("sgd", 1e-9)), subject, made.answering({}))
    return seen


def test_the_order_of_the_batches_comes_from_the_engines_seed_alone(stage):
    first = order_of_training(stage, seed=0, global_seed=1)
    assert first == order_of_training(stage, seed=0, global_seed=2)
    assert first != order_of_training(stage, seed=1, global_seed=1)


def test_each_step_takes_a_forget_and_a_retain_batch_and_passes_over_both_again_and_again(stage):
    seen = order_of_training(stage, seed=0, global_seed=0)
    forget, retain = seen[::2], seen[1::2]
    assert [len(batch) for batch in retain] == [4, 4, 2, 4, 4], "an epoch is a pass over what is retained"
    assert sorted(row for batch in retain[:3] for row in batch) == list(range(6, 16))
    assert all(row < 6 for batch in forget for row in batch)
    assert sorted(forget[0] + forget[1]) == list(range(6)) and len(forget) == 5


def test_the_same_seed_gives_the_same_count_whatever_was_drawn_outside(blobs):
    counts = set()
    for global_seed in (1, 2):
        made = blobs()
        original, gold = made.original(), made.gold()
        torch.manual_seed(global_seed)
        counts.add(steps(Relearning(optimizer=Optimizer("adam", 0.01), margin=0.0), gold, original).value)
    assert len(counts) == 1 and counts.pop() > 0


def test_counting_leaves_the_callers_random_state_alone(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    before = torch.get_rng_state()
    steps(QUICK, gold, original)
    assert torch.equal(before, torch.get_rng_state())


def test_a_count_is_made_once_for_each_setting(blobs):
    made = blobs()
    original, gold = made.original(), made.gold()
    first = steps(QUICK, gold, original).value
    kept = copy.deepcopy(gold.model)
    gold.model.load_state_dict(original.model.state_dict())
    assert steps(QUICK, gold, original).value == first > 0
    assert steps(Relearning(margin=0.06, optimizer=QUICK.optimizer), gold, original).value == 0.0
    gold.model.load_state_dict(kept.state_dict())


def test_the_score_is_read_on_so_many_examples(blobs):
    """Of 30 forget examples in batches of 16 and 14."""
    made = blobs()
    read = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))

        def forward(self, inputs):
            read.append(len(inputs))
            return self.weight.expand(len(inputs), 3)

    for examples, batches in ((1, [16]), (16, [16]), (17, [16, 14]), (256, [16, 14])):
        read.clear()
        audit = Relearning(cap=1, examples=examples, optimizer=Optimizer("sgd", 1e-9))
        audit.steps(made.subject(Counting()), made.subject(Counting()))
        assert read == 2 * batches, "once for the original, once for the subject, which is as good"


def test_without_the_original_there_is_no_figure(blobs):
    made = blobs()
    gold = made.gold()
    assert QUICK(gold, References(retrained=(gold,))) == {}


class Endless(Exception):
    """The audit asks an empty stream for batches again and again."""


class Empty:
    def __init__(self) -> None:
        self.passes = 0

    def __len__(self) -> int:
        return 0

    def __iter__(self):
        self.passes += 1
        if self.passes > 1000:
            raise Endless
        return iter(())


def test_a_split_without_retained_data_does_not_hang(blobs):
    made = blobs()
    split = Split(made.forget, Empty(), made.split.holdout)
    gold, original = (Subject("model", s.model, made.task, split, made.engine) for s in (made.gold(), made.original()))
    QUICK(gold, References(original))


@pytest.mark.parametrize("settings", [{"cap": 0}, {"cap": -1}, {"margin": -0.1}, {"margin": 1.0}])
def test_settings_that_make_no_sense_are_refused(settings):
    settings = {"cap": 60, "margin": 0.05, **settings}
    message = f"cap >= 1 and 0 <= margin < 1, not {settings['cap']} and {settings['margin']}$"
    with pytest.raises(BadSetting, match=message):
        Relearning(**settings)


def test_a_forget_stream_of_few_examples_runs_beside_a_longer_retain_stream(blobs):
    """The forget set is passed over again and again within one epoch of the retained data."""
    made = blobs()
    few = Split(Batches(made.data, 16, made.forget.indices[:3].tolist()), made.retain)
    original, gold = (Subject("model", s.model, made.task, few, made.engine) for s in (made.original(), made.gold()))
    assert 1 <= steps(QUICK, gold, original).value < 60


# ---- errors instead of accuracies ---------------------------------------------------------------------------------------

REAL = {"forget": [0.0, 0.0], "retain": [0.0, 0.0]}
STILL = Optimizer("sgd", 1e-9)


@pytest.mark.parametrize(("margin", "known"), [(0.0, False), (0.05, False), (0.11, True), (0.3, True)])
def test_of_errors_the_goal_is_a_share_above_the_originals(gauge, margin, known):
    """Original off by 2 everywhere, subject by 2.2: known from a margin of 0.1 on."""
    made = gauge(REAL)
    original, subject = made.predicting({"forget": [2.0, -2.0]}), made.predicting({"forget": [-2.2, 2.2]})
    assert steps(Relearning(margin=margin, cap=2, optimizer=STILL), subject, original).value == (0.0 if known else 2.0)


def test_a_smaller_error_than_the_originals_needs_no_step_and_a_larger_one_some(gauge):
    """Were errors taken for scores, it would be the other way round."""
    made = gauge(REAL)
    small, large = made.predicting({"forget": [1.0, 1.0]}), made.predicting({"forget": [3.0, 3.0]})
    still = Relearning(cap=5, optimizer=STILL)
    assert steps(still, small, large) == Figure(0.0, None)
    assert steps(still, large, small) == Figure(5.0, None, note="not relearned within the cap of 5 steps")
    assert steps(still, large, large).value == 0.0, "the original's own error is known"


@pytest.mark.parametrize(("margin", "needed"), [(0.0, 8), (0.5, 6), (0.9, 5)])
def test_steps_by_hand(gauge, margin, needed):
    """Under absolute errors each step of size 1 moves a forget row by its weight, 2 / 4, over the batch of 2: by 1/4, from 3
    down to 1, 1.5 or 1.9."""
    made = gauge(REAL)
    original, subject = made.predicting({"forget": [1.0, -1.0]}), made.predicting({"forget": [3.0, -3.0]})
    audit = Relearning(margin=margin, cap=20, optimizer=Optimizer("sgd", 1.0))
    assert steps(audit, subject, original, subject) == Figure(float(needed), float(needed))


def test_the_unit_of_the_target_does_not_matter(gauge):
    counts = set()
    for scale in (0.001, 1.0, 5000.0):
        made = gauge(REAL, Target("price", mean=3.0, scale=scale))
        original, subject = made.predicting({"forget": [1.0, -1.0]}), made.predicting({"forget": [3.0, -3.0]})
        counts.add(steps(Relearning(margin=0.5, cap=20, optimizer=Optimizer("sgd", 1.0)), subject, original).value)
    assert counts == {6.0}

"""RecEraser: shards that are balanced and know nothing of what goes, members that know nothing of each other."""

import copy
from dataclasses import replace

import pytest
import torch

import tiny_interactions as tiny
from expunge.audits import References, Subject
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import RecEraser
from expunge.methods.rec_eraser import Attention, Ensemble, assigned, balanced, shard_of, shard_of_each
from expunge.optimizers import Optimizer
from expunge.studies.comparison import default_audits, examine
from expunge.tasks import RecommendationTask
from tiny import same_weights
from tiny_rivals import KINDS, Own, split_for, unlearned

# ---- rec-eraser ---------------------------------------------------------------------------------------------------------

SHARDS = RecEraser(shards=3, epochs=3, optimizer=Optimizer("adam", 2e-2), attention_epochs=3, aggregation="mean")
PARTITIONS = ("users", "items", "interactions")


@pytest.mark.parametrize("what", PARTITIONS)
def test_shards_are_balanced_and_part_what_stays(what):
    left = split_for("users").retain.interactions
    homes = shard_of_each(left, 4, what, torch.Generator().manual_seed(0))
    assert homes.shape == (len(left),) and homes.min() == 0 and homes.max() == 3
    column = {"users": left.pairs[:, 0], "items": left.pairs[:, 1], "interactions": torch.arange(len(left))}[what]
    of_each = {int(unit): int(home) for unit, home in zip(column, homes, strict=True)}
    sizes = torch.tensor(list(of_each.values())).bincount()
    assert sizes.max() - sizes.min() <= 1 and sizes.sum() == len(column.unique())
    assert torch.equal(torch.tensor([of_each[int(unit)] for unit in column]), homes), "a unit lies in several shards"


@pytest.mark.parametrize(("what", "share"), [("users", 0.9), ("items", 0.75), ("interactions", 0.75)])
def test_what_is_of_one_taste_comes_together(what, share):
    """Chance alone would give a little more than a quarter; a pair in ten is of no taste."""
    left = split_for("users").retain.interactions
    homes = shard_of_each(left, tiny.TASTES, what, torch.Generator().manual_seed(0))
    together = torch.zeros(tiny.TASTES, tiny.TASTES)
    together.index_put_((homes, tiny.taste_of(left.pairs[:, 0])), torch.ones(len(left)), accumulate=True)
    assert together.max(1).values.sum() > share * len(left)


def test_the_nearest_come_first_and_who_finds_no_room_goes_on():
    distance = torch.tensor([[1.0, 5.0], [2.0, 3.0], [0.5, 9.0], [4.0, 4.5]])
    assert assigned(distance, torch.tensor([2, 2])).tolist() == [0, 1, 0, 1]
    assert assigned(distance, torch.tensor([0, 4])).tolist() == [1] * 4
    assert sorted(balanced([torch.zeros(5, 2)], 2, torch.Generator()).bincount().tolist()) == [2, 3]


@pytest.mark.parametrize("kind", ["users", "pairs"])
def test_no_shard_holds_what_goes_or_knows_what_it_was_cut_from(kind):
    split = split_for(kind)
    left = split.retain.interactions
    homes = shard_of_each(left, 3, "users", torch.Generator().manual_seed(0))
    streams = [shard_of(split.retain, homes == shard) for shard in range(3)]
    keys = torch.cat([left.key(stream.pairs) for stream in streams])
    assert torch.equal(keys.sort().values, left.keys)
    for stream in streams:
        assert stream.interactions.whole is stream.interactions and torch.equal(stream.pairs, stream.interactions.pairs)
        assert not stream.interactions.has(split.forget.pairs).any()
        assert torch.equal(stream.interactions.gone_users, left.gone_users)
    held = unlearned(SHARDS, kind, "bpr-mf").shards
    assert len(held) == 3 and all(each.before is None and not each.has(split.forget.pairs).any() for each in held)


@pytest.mark.parametrize("what", ["users", "interactions"])
def test_a_member_does_not_depend_on_the_pairs_of_other_shards(what):
    retain = split_for("users").retain
    homes = shard_of_each(retain.interactions, 3, what, torch.Generator().manual_seed(0))
    others = torch.isin(torch.arange(len(homes)), (homes == 1).nonzero().flatten()[::2])
    changed = retain.on(retain.interactions.without(others))
    changed = replace(changed, pairs=changed.interactions.pairs, judged_on=None)

    def member(stream, which):
        return SHARDS.train(tiny.task(), shard_of(stream, which), Engine(progress=False), "shard-0")

    first = member(retain, homes == 0)
    assert same_weights(member(changed, (homes == 0)[~others]), first)
    assert not same_weights(member(changed, (homes == 1)[~others]), member(retain, homes == 1))


@pytest.mark.parametrize("aggregation", ["mean", "attention"])
def test_what_goes_leaves_no_trace_in_the_result(aggregation):
    """Other original weights, another forget set of the same retained pairs: same result."""
    method, task, split = replace(SHARDS, aggregation=aggregation), tiny.task("light-gcn"), split_for("users")
    result = method(tiny.trained("light-gcn"), task, split, Engine(progress=False))
    fewer = replace(split, forget=replace(split.forget, pairs=split.forget.pairs[:1]))
    assert same_weights(method(task.new_model(), task, fewer, Engine(progress=False)), result)
    assert not same_weights(unlearned(method, network="light-gcn", seed=1), result)


@pytest.mark.parametrize("network", ["mgcn", "bpr-mf"])
def test_scores_are_the_mean_of_the_members_on_their_own_shards(network):
    task, split = tiny.task(network), split_for("users")
    result = unlearned(SHARDS, network=network)
    batch = next(iter(split.holdout))
    with torch.no_grad():
        alone = [task.outputs(member, batch.on(shard)) for member, shard in zip(result.members, result.shards, strict=True)]
        together, elsewhere = (task.outputs(result, each) for each in (batch, batch.on(split.retain.interactions.whole)))
    assert len(alone) == 3 and not torch.allclose(alone[0], alone[1])
    torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-4, atol=1e-5)
    assert torch.equal(together, elsewhere), "members were read on others' pairs"
    scores = task.ranker(result, split.retain.interactions)(batch.users[:5])
    torch.testing.assert_close(scores[torch.arange(5), batch.items[:5]], together[:5, 0], rtol=1e-4, atol=1e-5)
    assert task.lists(result, split.retain.interactions, k=5).shape == (tiny.USERS, 5)
    assert same_weights(copy.deepcopy(result), result)


def test_attention_holds_the_members_and_learns_to_rank():
    split, task = split_for("pairs"), tiny.task("light-gcn")
    mean, blank, learned = (
        unlearned(replace(SHARDS, **settings), "pairs", "light-gcn")
        for settings in (
            {},
            {"aggregation": "attention", "attention_epochs": 0},
            {"aggregation": "attention", "attention_epochs": 15, "attention_optimizer": Optimizer("adam", 1e-2)},
        )
    )
    assert same_weights(mean.members, learned.members) and same_weights(mean.members, blank.members)
    assert mean.attention is None and not same_weights(blank.attention, learned.attention)
    losses = [task.evaluate(model, split.retain)["loss"] for model in (blank, learned)]
    assert losses[1] < losses[0] - 0.1
    assert task.evaluate(learned, split.holdout)["pair_auc"] > 0.65


def test_attention_weighs_what_members_say():
    """Users evenly; of items the member whose first number is the larger, and by how much."""
    attention = Attention(2, 3)
    with torch.no_grad():
        attention.turn.copy_(torch.eye(3).expand(2, 3, 3))
        attention.of_users[2].weight.zero_()
        attention.of_items[0].weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
        attention.of_items[0].bias.zero_()
        attention.of_items[2].weight.fill_(1.0)
    values = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(values, False), values.mean(1))
    weights = values[:, :, :1].softmax(1)
    torch.testing.assert_close(attention(values, True), (weights * values).sum(1))


def test_one_shard_answers_as_its_member_does():
    result = unlearned(replace(SHARDS, shards=1), network="light-gcn")
    batch = next(iter(split_for("users").holdout))
    task = tiny.task("light-gcn")
    with torch.no_grad():
        torch.testing.assert_close(task.outputs(result, batch), task.outputs(result.members[0], batch))
    assert isinstance(result, Ensemble) and torch.equal(result.shards[0].pairs, batch.interactions.pairs)


def test_modules_of_the_users_own_answer_by_the_mean_of_their_scores():
    task, split = RecommendationTask(Own), split_for("users")
    result = replace(SHARDS, aggregation="attention")(Own(), task, split, Engine(progress=False))
    batch = next(iter(split.holdout))
    with torch.no_grad():
        alone = torch.stack([task.outputs(member, batch) for member in result.members])
        torch.testing.assert_close(task.outputs(result, batch), alone.mean(0))


@pytest.mark.parametrize("kind", KINDS)
def test_every_audit_reads_an_ensemble(kind):
    """It has no rows of its own, which an audit might look for."""
    result = unlearned(replace(SHARDS, epochs=1), kind)
    task, engine = tiny.task(), Engine(progress=False)
    subjects = [Subject(name, model, task, split_for(kind), engine) for name, model in (("a", result), ("b", tiny.trained()))]
    audits = [audit for audit in default_audits(task) if audit.name not in ("relearning", "anamnesis")]  # those train for long
    figures = examine(subjects[:1], References(subjects[1], (subjects[1],)), audits)["a"]
    assert figures["recall"].value is not None and ("feature_cosine" in figures) == (kind in ("items", "features"))


def test_more_shards_than_users_are_refused():
    with pytest.raises(BadSetting, match=r"^rec-eraser: shard \d+ has nothing to train on; take fewer shards than 70$"):
        unlearned(replace(SHARDS, shards=70), network="bpr-mf")


def test_rec_eraser_follows_a_recipe():
    made = RecEraser.from_recipe(tiny.RECIPE, shards=2)
    assert (made.epochs, made.optimizer, made.schedule) == (tiny.RECIPE.epochs, tiny.RECIPE.optimizer, "constant")
    assert made.attention_optimizer == tiny.RECIPE.optimizer and made.shards == 2


@pytest.mark.parametrize(
    ("made", "settings", "message"),
    [
        (RecEraser, {"shards": 0}, "shards must be at least 1, not 0"),
        (RecEraser, {"attention_epochs": -1}, "attention_epochs must be 0 or more, not -1"),
        (RecEraser, {"partition": "days"}, "partition must be one of .*, not 'days'"),
        (RecEraser, {"aggregation": "vote"}, "aggregation must be one of .*, not 'vote'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(made, settings, message):
    with pytest.raises(BadSetting, match=f"^{made.name}: {message}$"):
        made(**settings)

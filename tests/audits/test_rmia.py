"""RMIA and LiRA of classifiers in worlds made by hand: models that are surer of the rows they were trained on."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from expunge.audits import RMIA, LiRA, Membership, References, Subject
from expunge.errors import BadSetting

ATTACKS = [LiRA(8), RMIA(8), RMIA(8, offline_a=0.5)]


class World:
    """Three classes; a model's logit of a row's class is as low as the row is hard, and `surer` higher where it saw the row."""

    def __init__(self, stage, surer: float = 3.0, counts=(60, 60, 60), seed: int = 0, classes: int = 3) -> None:
        parts = ("forget", "retain", "holdout", "holdout_forget")
        draw = np.random.default_rng(5)
        self.labels = {part: draw.integers(0, 3, count).tolist() for part, count in zip(parts, counts, strict=False)}
        self.made = stage(self.labels, seed=seed, classes=classes)
        self.surer, self.trainings = surer, list[Tensor]()
        rows = self.made.rows
        self.truth = torch.tensor([label for part in self.labels.values() for label in part])
        self.hardness = 3 * torch.randn(rows, generator=torch.Generator().manual_seed(6))
        ends = np.cumsum([0, *counts])
        self.rows = {part: torch.arange(ends[place], ends[place + 1]) for place, part in enumerate(self.labels)}

    def table(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        right = self.hardness + 0.7 * torch.randn(self.made.rows, generator=generator)
        right[rows] += self.surer
        table = torch.zeros(self.made.rows, self.made.classes)
        table[torch.arange(self.made.rows), self.truth] = right
        return table

    def train(self, task, stream, engine):
        rows, labels = (torch.cat(column) for column in zip(*stream, strict=True))
        assert torch.equal(labels, self.truth[rows]) and labels.dtype == torch.int64
        self.trainings.append(rows)
        model = task.new_model()
        model.table.data = self.table(rows, engine.generator("training"))
        return model

    def subject(self, *parts: str, seed: int = 100) -> Subject:
        rows = torch.cat([self.rows[part] for part in parts])
        return self.made.subject(self.table(rows, torch.Generator().manual_seed(seed)))

    def references(self, *retrained: Subject) -> References:
        return References(self.subject("forget", "retain"), retrained, self.train)


@pytest.fixture
def world(stage):
    return lambda *args, **settings: World(stage, *args, **settings)


# ---- what they find -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_a_model_that_is_surer_of_its_rows_is_found_out_and_the_retrained_one_is_not(world, attack):
    made = world()
    gold = made.subject("retain", seed=1)
    references = made.references(gold)
    found = attack(references.original, references)
    assert found.keys() == attack.figures.keys() == {f"{attack.name}_auc", f"{attack.name}_tpr"}
    value, ideal = found[f"{attack.name}_auc"].value, found[f"{attack.name}_auc"].ideal
    assert value > 0.85 and abs(ideal - 0.5) < 0.1
    assert found[f"{attack.name}_tpr"].value > found[f"{attack.name}_tpr"].ideal
    of_gold = attack(gold, references)
    assert of_gold[f"{attack.name}_auc"].value == ideal == of_gold[f"{attack.name}_auc"].ideal


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_they_know_how_hard_each_row_is_where_the_loss_attack_does_not(world, attack):
    made = world()
    references = made.references()
    plain = Membership(resamples=2)(references.original)["membership_auc"].value
    assert attack(references.original, references)[f"{attack.name}_auc"].value > plain + 0.05


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_where_training_leaves_no_trace_there_is_none_to_find(world, attack):
    areas = []
    for seed in range(4):
        made = world(surer=0.0, seed=seed)
        references = made.references()
        areas.append(attack(references.original, references)[f"{attack.name}_auc"].value)
    assert np.mean(areas) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_a_model_that_is_less_sure_than_any_that_never_saw_the_rows_stands_below_a_half(world, attack):
    made = world()
    references = made.references()
    table = made.subject("retain").model.table.detach().clone()
    gone = made.rows["forget"]
    table[gone, made.truth[gone]] -= 5.0
    assert attack(made.made.subject(table), references)[f"{attack.name}_auc"].value < 0.1


def test_a_regression_is_attacked_by_its_losses(gauge):
    """Models that know their rows by heart, and miss others by 1 or so."""
    made = gauge({"forget": [0.0] * 40, "retain": [0.0] * 40, "holdout": [0.0] * 40}, batch_size=64)

    def table(rows, generator):
        values = torch.randn(120, 1, generator=generator)
        values[rows] = 0.0
        return values

    def train(task, stream, engine):
        model = task.new_model()
        model.table.data = table(torch.cat([batch[0] for batch in stream]), engine.generator("training"))
        return model

    original = made.subject(table(torch.arange(80), torch.Generator().manual_seed(1)))
    gold = made.subject(table(torch.arange(40, 80), torch.Generator().manual_seed(2)))
    found = RMIA(8)(original, References(original, (gold,), train))
    assert found["rmia_auc"].value > 0.95 and abs(found["rmia_auc"].ideal - 0.5) < 0.15


# ---- the score ----------------------------------------------------------------------------------------------------------


def test_the_score_is_the_share_of_unseen_rows_that_are_lifted_less(world):
    """Worked out with loops: each row is in half of the shadows; the population are the unseen rows."""
    made = world(counts=(12, 10, 8))
    references = made.references()
    trial = RMIA(4).trial(references.original, references)
    asked = torch.cat([made.rows["forget"], made.rows["holdout"]])
    held = np.array([np.isin(asked, seen) for seen in made.trainings])
    assert held.sum(0).tolist() == [2] * 20

    def likely(table):
        return table.softmax(1)[asked, made.truth[asked]].detach().double().numpy()

    audit = RMIA(4)
    shadows = next(value for key, value in references.original.memory.items() if key[0] == "shadows")
    others = np.stack([likely(model.table) for model in shadows.models])
    usual = np.array([(others[held[:, row], row].mean() + others[~held[:, row], row].mean()) / 2 for row in range(20)])
    lifted = likely(references.original.model.table) / usual
    wanted = [np.mean([lifted[row] > other for other in lifted[12:]]) for row in range(20)]
    groups = {group for group in made.labels["forget"]} & set(made.labels["holdout"])
    keep = [label in groups for label in made.labels["forget"] + made.labels["holdout"]]
    np.testing.assert_allclose(trial.score, np.array(wanted)[keep])
    assert trial is audit.trial(references.original, references), "kept"


def test_only_so_many_unseen_rows_are_taken_and_weigh_as_the_forget_sets_classes(world):
    made = world()
    references = made.references()
    trial = RMIA(4, unseen=25).trial(references.original, references)
    assert (trial.member.sum(), (~trial.member).sum()) == (60, 25)
    assert set(torch.cat(made.trainings).tolist()) & set(made.rows["holdout"].tolist()) == set(
        made.rows["holdout"][:25].tolist()
    )
    labels = np.array(made.labels["forget"] + made.labels["holdout"][:25])
    for label in range(3):
        shares = [np.average(labels[side] == label, weights=trial.weight[side]) for side in (trial.member, ~trial.member)]
        assert shares[0] == pytest.approx(shares[1])


def test_a_larger_gamma_never_raises_a_score(world):
    made = world()
    references = made.references()
    scores = [RMIA(4, gamma=gamma).trial(references.original, references).score for gamma in (1.0, 2.0, 8.0)]
    assert (scores[0] >= scores[1]).all() and (scores[1] >= scores[2]).all() and scores[0].sum() > scores[2].sum()
    assert len(made.trainings) == 4, "the shadows are the same"


# ---- nothing to tell, and wrong settings --------------------------------------------------------------------------------


def test_it_is_left_out_unless_it_is_asked_for(world):
    made = world()
    references = made.references()
    assert RMIA()(references.original, references) == {} == LiRA()(references.original, references) and made.trainings == []


@pytest.mark.parametrize("attack", ATTACKS[:2], ids=repr)
def test_without_a_recipe_the_figure_says_that_it_is_not_known_and_why(world, attack):
    subject = world().subject("forget", "retain")
    (figure,) = attack(subject, References(subject, (subject,))).values()
    assert figure.value is None and figure.ideal is None
    assert figure.note == "not known: shadow models are trained by the recipe of the original, which was not given"


@pytest.mark.parametrize("attack", ATTACKS[:2], ids=repr)
def test_without_unseen_rows_or_without_any_like_those_that_go_there_is_no_figure(world, stage, attack):
    made = world(counts=(20, 20))
    assert attack(made.subject("retain"), made.references()) == {} and made.trainings == []
    made = stage({"forget": [0] * 4, "retain": [1] * 4, "holdout": [1] * 4})
    subject = made.answering({})
    assert attack(subject, References(subject, (), lambda task, stream, engine: task.new_model())) == {}


def test_without_a_retrained_model_there_is_no_ideal(world):
    made = world()
    references = made.references()
    assert all(figure.ideal is None for figure in RMIA(2)(references.original, references).values())


@pytest.mark.parametrize(
    "settings", [{"shadows": -1}, {"shadows": 1}, {"unseen": 0}, {"fpr": 0.0}, {"fpr": 1.0}], ids=lambda settings: str(settings)
)
def test_settings_that_make_no_sense_are_refused(settings):
    found = {"shadows": 0, "unseen": 1000, "fpr": 0.01} | settings
    message = "RMIA needs 0, or 2 or more shadows, 1 or more unseen and 0 < fpr < 1, not "
    with pytest.raises(BadSetting, match=f"^{re.escape(message + '{shadows}, {unseen} and {fpr}'.format(**found))}$"):
        RMIA(**settings)


@pytest.mark.parametrize("settings", [{"gamma": 0.9}, {"offline_a": -0.1}, {"offline_a": 1.5}, {"batch_size": 0}], ids=str)
def test_so_are_its_own(settings):
    with pytest.raises(BadSetting, match="RMIA needs"):
        RMIA(shadows=2, **settings)

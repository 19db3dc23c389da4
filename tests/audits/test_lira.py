"""LiRA in worlds made by hand: models that know the rows they were trained on by heart, and guess at all others."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from expunge.audits import LiRA, Membership, References, Subject
from expunge.audits.audit import PARTS
from expunge.data import Target
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Retrain
from expunge.optimizers import Optimizer
from expunge.split import Batches, Split
from expunge.tasks import RegressionTask

Error = Callable[[Tensor, torch.Generator], Tensor]


class Table(nn.Module):
    """Answers row number `inputs[i]` of a table, shape (rows, outputs)."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.table[inputs]


def exact(rows: Tensor, generator: torch.Generator) -> Tensor:
    return torch.zeros(len(rows))


def noise(rows: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(len(rows), generator=generator)


class World:
    """Rows whose errors are `inside` for a model that was trained on them and `outside` for any other.

    A trained model is a table over all rows, which never looks at what it was not given.
    """

    def __init__(
        self, gauge, inside: Error = exact, outside: Error = noise, counts=(150, 100, 150), width=1, seed=0, **settings
    ):
        numbers = torch.randn(sum(counts), width, generator=torch.Generator().manual_seed(7)).tolist()
        parts, self.rows, start = {}, {}, 0
        for part, count in zip(PARTS, counts, strict=False):
            parts[part], self.rows[part] = numbers[start : start + count], list(range(start, start + count))
            start += count
        self.made = gauge(parts, seed=seed, batch_size=64, **settings)
        self.inside, self.outside = inside, outside
        self.trainings: list[Tensor] = []  # the rows of each model that was trained
        self.tables: list[Tensor] = []
        self.batch_sizes: list[int] = []

    def train(self, task, stream, engine) -> nn.Module:
        """A recipe that learns its rows by heart; the stream is all that it knows of the targets."""
        batches = list(stream)
        rows, targets = (torch.cat(column) for column in zip(*batches, strict=True))
        self.trainings.append(rows)
        self.batch_sizes.append(len(batches[0][0]))
        self.tables.append(self.table(rows, engine.generator("training")))
        torch.testing.assert_close(targets, self.truth[rows])
        return Table(self.tables[-1])

    @property
    def truth(self) -> Tensor:
        return self.made.data.tensors[1]

    def table(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        everything = torch.arange(len(self.truth))
        error = self.outside(everything, generator)
        error[rows] = self.inside(rows, generator)
        return self.truth + error.reshape(len(error), -1)

    def subject(self, *parts: str, seed: int = 100) -> Subject:
        """A model that was trained on these parts."""
        rows = torch.tensor([row for part in parts for row in self.rows[part]])
        return self.made.subject(self.table(rows, torch.Generator().manual_seed(seed)))

    def references(self, *retrained: Subject) -> References:
        return References(self.subject("forget", "retain"), retrained, self.train)


@pytest.fixture
def world(gauge):
    return lambda *args, **settings: World(gauge, *args, **settings)


# ---- what it finds ------------------------------------------------------------------------------------------------------


def test_a_model_that_knows_its_rows_by_heart_is_found_out_and_the_retrained_one_is_not(world):
    made = world()
    gold = made.subject("retain", seed=1)
    references = made.references(gold)
    found = LiRA(shadows=8)(references.original, references)
    assert found.keys() == LiRA.figures.keys() == {"lira_auc", "lira_tpr"}
    assert found["lira_auc"].value > 0.99 and found["lira_tpr"].value > 0.95
    assert 0.4 < found["lira_auc"].ideal < 0.6 and found["lira_tpr"].ideal < 0.1
    of_gold = LiRA(shadows=8)(gold, references)
    assert of_gold["lira_auc"].value == of_gold["lira_auc"].ideal == found["lira_auc"].ideal


def test_it_knows_how_hard_each_row_is_where_the_loss_attack_does_not(world):
    """Errors run from 1 to 10; having been trained on a row takes only a half off its own."""
    hardness = 1 + 9 * torch.rand(400, generator=torch.Generator().manual_seed(3))

    def unseen(rows, generator):
        return hardness[rows] + 0.05 * noise(rows, generator)

    made = world(lambda rows, generator: unseen(rows, generator) - 0.5, unseen)
    references = made.references()
    plain = Membership(resamples=2)(references.original)["membership_auc"].value
    assert plain < 0.65 < 0.98 < LiRA(shadows=8)(references.original, references)["lira_auc"].value


def test_the_sign_of_an_error_counts(world):
    """Trained on a row a model answers 1 too much, else 1 too little: the loss is the same."""

    def too_little(rows, generator):
        return -1 + 0.1 * noise(rows, generator)

    made = world(lambda rows, generator: 2 + too_little(rows, generator), too_little)
    references = made.references()
    assert 0.4 < Membership(resamples=2)(references.original)["membership_auc"].value < 0.6
    assert LiRA(shadows=4)(references.original, references)["lira_auc"].value > 0.99


def test_a_model_that_answers_as_none_that_was_trained_on_the_rows_stands_below_a_half(world):
    """Over-forgotten: the errors on the forget set are larger than unseen ones ever are."""
    made = world(lambda rows, generator: 0.2 * noise(rows, generator))
    references = made.references()
    table = made.subject("retain").model.table.detach().clone()
    table[made.rows["forget"]] += 8.0
    assert LiRA(shadows=8)(made.made.subject(table), references)["lira_auc"].value < 0.05


def test_the_score_is_the_log_of_the_likelihood_ratio_worked_out_with_scipy(world):
    made = world(lambda rows, generator: 0.3 * noise(rows, generator), counts=(20, 30, 25))
    references = made.references()
    trial = LiRA(shadows=6).trial(references.original, references)
    rows = np.array(made.rows["forget"] + made.rows["holdout"])
    assert trial.member.tolist() == [True] * 20 + [False] * 25
    held = np.array([np.isin(rows, seen.numpy()) for seen in made.trainings])
    errors = np.stack([(table - made.truth)[rows, 0].numpy() for table in made.tables])
    logs = []
    for side in (held, ~held):
        assert (side.sum(0) == 3).all()
        means = np.array([errors[side[:, row], row].mean() for row in range(45)])
        deviation = np.sqrt(np.mean([(errors[shadow, row] - means[row]) ** 2 for shadow, row in np.argwhere(side)]))
        logs.append(
            norm.logpdf((references.original.outputs("forget"), references.original.outputs("holdout")), means, deviation)
            if False
            else norm.logpdf(residuals_of(references.original), means, deviation)
        )
    np.testing.assert_allclose(trial.score, logs[0] - logs[1], rtol=1e-3, atol=1e-3)
    assert trial.weight.tolist() == [1.0] * 45


def residuals_of(subject: Subject) -> np.ndarray:
    parts = ("forget", subject.unseen_part())
    return torch.cat([subject.outputs(part) - subject.targets(part) for part in parts])[:, 0].numpy()


# ---- the shadows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shadows", [2, 6])
def test_every_row_is_in_exactly_half_of_an_even_number_of_shadows(world, shadows):
    made = world()
    LiRA(shadows=shadows)(made.subject("retain"), made.references())
    assert len(made.trainings) == shadows
    assert all(len(rows.unique()) == len(rows) for rows in made.trainings), "no row twice"
    counts = torch.cat(made.trainings).bincount(minlength=400)
    assert counts.tolist() == [shadows // 2] * 400
    sizes = [len(rows) for rows in made.trainings]
    assert all(160 <= size <= 240 for size in sizes), "about half of all rows, by four standard deviations of 10"
    halves = {tuple(sorted(rows.tolist())) for rows in made.trainings}
    assert len(halves) == shadows, "each draws for itself"


def test_every_row_has_a_shadow_with_it_and_one_without_also_of_an_odd_number(world):
    made = world()
    LiRA(shadows=5)(made.subject("retain"), made.references())
    counts = torch.cat(made.trainings).bincount(minlength=400)
    assert len(made.trainings) == 5 and set(counts.tolist()) == {2, 3}


def test_shadows_are_trained_on_what_is_unseen_and_like_what_goes(world):
    """The rest of the holdout takes no part."""
    made = world(counts=(30, 40, 50, 35))
    LiRA(shadows=4)(made.subject("retain"), made.references())
    seen = set(torch.cat(made.trainings).tolist())
    assert seen == {row for part in ("forget", "retain", "holdout_forget") for row in made.rows[part]}


def test_only_so_many_unseen_examples_are_taken_from_the_first_on(world):
    made = world()
    references = made.references()
    audit = LiRA(shadows=4, unseen=30)
    trial = audit.trial(references.original, references)
    assert (trial.member.sum(), (~trial.member).sum()) == (150, 30)
    unseen = set(torch.cat(made.trainings).tolist()) & set(made.rows["holdout"])
    assert unseen == set(made.rows["holdout"][:30])
    assert audit(references.original, references)["lira_auc"].value > 0.99
    whole = LiRA(shadows=4, unseen=1000).trial(references.original, references)
    assert (~whole.member).sum() == 150, "there are no more"


def test_shadows_are_trained_once_for_all_subjects(world):
    made = world()
    gold, second = made.subject("retain", seed=1), made.subject("retain", seed=2)
    references = made.references(gold, second)
    audit = LiRA(shadows=4)
    found = [audit(subject, references)["lira_auc"].value for subject in (references.original, gold, second)]
    assert len(made.trainings) == 4 and len(set(found)) == 3
    LiRA(shadows=2)(gold, references)
    assert len(made.trainings) == 6, "another setting has shadows of its own"


def test_without_the_original_too_they_are_trained_once(world):
    made = world()
    gold = made.subject("retain", seed=1)
    LiRA(shadows=4)(made.subject("forget", "retain"), References(None, (gold,), made.train))
    assert len(made.trainings) == 4


def test_batches_are_of_the_size_that_is_asked_for(world):
    made = world()
    LiRA(shadows=2, batch_size=17)(made.subject("retain"), made.references())
    assert made.batch_sizes == [17, 17]


def test_the_engines_seed_alone_decides_and_each_shadow_draws_for_itself(world):
    scores = []
    for seed in (0, 0, 1):
        made = world(seed=seed)
        references = made.references()
        scores.append(LiRA(shadows=4).trial(references.original, references).score.tolist())
    assert scores[0] == scores[1] != scores[2]
    guesses = {table[0].item() for table, rows in zip(made.tables, made.trainings, strict=True) if 0 not in rows}
    assert len(guesses) == 2, "the two that were not trained on the first row guess differently"


def test_a_real_network_of_few_rows_is_found_out():
    """The whole way, with the engine's own training: rows of noise that a wide network learns by heart."""
    generator = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(90, 20, generator=generator), torch.randn(90, 1, generator=generator))
    forget, retain, holdout = (Batches(data, 32, range(*span)) for span in ((0, 30), (30, 60), (60, 90)))
    task = RegressionTask(lambda: nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 1)), "l2")
    recipe, engine, split = (
        Retrain(epochs=60, optimizer=Optimizer("adam", 1e-2)),
        Engine(progress=False),
        Split(forget, retain, holdout),
    )
    with engine.scope("original"):
        model = recipe.train(task, Batches(data, 32, range(60)), engine)
    with engine.scope("gold"):
        retrained = recipe.train(task, retain, engine)
    original, gold = Subject("original", model, task, split, engine), Subject("gold", retrained, task, split, engine)
    found = LiRA(shadows=8, batch_size=32)(original, References(original, (gold,), recipe.train))
    assert found["lira_auc"].value > 0.95
    assert 0.25 < found["lira_auc"].ideal < 0.75


# ---- several numbers, groups --------------------------------------------------------------------------------------------


def test_a_vector_that_repeats_its_number_scores_as_the_number(world, gauge):
    blurred = {"inside": lambda rows, generator: 0.3 * noise(rows, generator)}
    single = world(**blurred)
    double = world(**blurred)
    double.made = gauge(
        {part: [[value[0]] * 2 for value in values] for part, values in single.made.targets.items()}, batch_size=64
    )
    scores = []
    for made in (single, double):
        references = made.references()
        scores.append(LiRA(shadows=4).trial(references.original, references).score)
    assert double.truth.shape == (400, 2)
    np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shift", [(0.6, 0.0), (0.0, 0.6), (0.3, -0.3)])
def test_each_number_of_a_vector_is_held_against_its_own_mean_and_all_count(world, shift):
    """The first number is 5 too large and the second 5 too small for all models; only a small shift of one or both tells."""

    def unseen(rows, generator):
        return torch.tensor([5.0, -5.0]) + 0.1 * torch.randn(len(rows), 2, generator=generator)

    made = world(lambda rows, generator: unseen(rows, generator) + torch.tensor(shift), unseen, width=2)
    references = made.references()
    assert LiRA(shadows=6)(references.original, references)["lira_auc"].value > 0.98


def test_unseen_rows_weigh_so_that_bands_have_the_same_share_on_both_sides(world):
    made = world(bands=[0.0])
    references = made.references()
    trial = LiRA(shadows=2).trial(references.original, references)
    bands = torch.cat([references.original.groups(part) for part in ("forget", "holdout")]).numpy()
    assert 0 < bands.mean() < 1
    shares = [np.average(bands[trial.member == side], weights=trial.weight[trial.member == side]) for side in (True, False)]
    assert shares[0] == pytest.approx(shares[1])


def test_a_forget_set_in_whose_bands_nothing_is_unseen_has_no_figure(gauge):
    made = gauge({"forget": [5.0] * 6, "retain": [0.0] * 6, "holdout": [0.0] * 6}, bands=[2.0])
    subject = made.predicting({})
    assert Membership()(subject) == {}
    assert LiRA(shadows=2)(subject, References(subject, (), lambda task, stream, engine: task.new_model())) == {}


# ---- streams that shuffle themselves ------------------------------------------------------------------------------------


def shuffling(made: World) -> World:
    """The same parts as a user's loaders give them."""
    parts = {part: getattr(made.made.split, part).indices.tolist() for part in ("forget", "retain", "holdout")}
    made.made.split = Split(
        **{part: DataLoader(Subset(made.made.data, rows), 64, shuffle=True) for part, rows in parts.items()}
    )
    return made


def test_a_shuffling_loader_is_compared_row_by_row(world):
    """As above, where how hard each row is decides: in another order its mean would be another row's."""
    hardness = 1 + 9 * torch.rand(400, generator=torch.Generator().manual_seed(3))

    def unseen(rows, generator):
        return hardness[rows] + 0.05 * noise(rows, generator)

    made = shuffling(world(lambda rows, generator: unseen(rows, generator) - 0.5, unseen))
    references = made.references()
    assert LiRA(shadows=8)(references.original, references)["lira_auc"].value > 0.98


def test_the_callers_random_state_is_left_alone(world):
    made = shuffling(world())
    references = made.references()
    before = torch.get_rng_state()
    LiRA(shadows=2)(references.original, references)
    assert torch.equal(before, torch.get_rng_state())


# ---- nothing to tell, and wrong settings --------------------------------------------------------------------------------


def test_it_is_left_out_unless_it_is_asked_for(world):
    made = world()
    references = made.references(made.subject("retain"))
    assert LiRA()(references.original, references) == {} == LiRA(shadows=0)(references.original, references)
    assert made.trainings == []


def test_without_a_recipe_the_figure_says_that_it_is_not_known_and_why(world):
    made = world()
    subject = made.subject("forget", "retain")
    (figure,) = LiRA(shadows=4)(subject, References(subject, (subject,))).values()
    assert figure.value is None and figure.ideal is None
    assert figure.note == "not known: shadow models are trained by the recipe of the original, which was not given"


def test_without_unseen_examples_there_is_no_figure(world):
    made = world(counts=(20, 20))
    assert LiRA(shadows=4)(made.subject("retain"), made.references()) == {} and made.trainings == []


def test_without_a_retrained_model_there_is_no_ideal(world):
    made = world()
    references = made.references()
    assert all(figure.ideal is None for figure in LiRA(shadows=2)(references.original, references).values())


def test_without_retained_data_what_is_left_is_halved(world):
    made = world(counts=(40, 1, 40))
    made.made.split = Split(made.made.split.forget, (), made.made.split.holdout)
    references = made.references()
    assert LiRA(shadows=4)(references.original, references)["lira_auc"].value > 0.9


def test_the_unit_of_the_target_does_not_matter(world):
    scores = []
    for target in (None, Target("price", mean=300.0, scale=50.0)):
        made = world(target=target)
        references = made.references()
        scores.append(LiRA(shadows=4).trial(references.original, references).score.tolist())
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "settings", [{"shadows": -1}, {"shadows": 1}, {"unseen": 0}, {"fpr": 0.0}, {"fpr": 1.0}], ids=lambda settings: str(settings)
)
def test_settings_that_make_no_sense_are_refused(settings):
    found = {"shadows": 0, "unseen": 1000, "fpr": 0.01} | settings
    message = "LiRA needs 0, or 2 or more shadows, 1 or more unseen and 0 < fpr < 1, not "
    with pytest.raises(BadSetting, match=f"^{re.escape(message + '{shadows}, {unseen} and {fpr}'.format(**found))}$"):
        LiRA(**settings)


def test_a_batch_size_of_none_is_refused_before_anything_is_trained():
    with pytest.raises(BadSetting, match="batch_size"):
        LiRA(shadows=2, batch_size=0)


def test_a_deviation_of_another_kind_is_refused():
    with pytest.raises(BadSetting, match=r"^LiRA needs variance 'global' or 'per-example', not 'fixed'$"):
        LiRA(variance="fixed")

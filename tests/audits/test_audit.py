"""What all audits share: subjects that are read once and in one order, references, and the tasks that an audit takes."""

import copy
import re
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from expunge.audits import (
    AUDITS,
    RMIA,
    Accuracy,
    Audit,
    Distance,
    Error,
    LiRA,
    PredictionDistance,
    References,
    Relearning,
    Subject,
    ToW,
    ZeroRetrain,
)
from expunge.engine import Engine
from expunge.errors import WrongTask
from expunge.split import Split
from expunge.studies.comparison import default_audits
from expunge.tasks import ClassificationTask, Task

ATTACKED = "ClassificationTask or RegressionTask or LinkPredictionTask or RecommendationTask or LanguageTask"
INSIDE = ("probe", "feature-similarity", "input-gradient-distance", "canary")
LABELS = {"forget": [0, 1, 2, 0, 1], "retain": [0] * 6, "holdout": [1, 2, 2], "holdout_forget": [0, 1]}


class Regression(Task):
    """A task of another class, which promises nothing beyond what every Task does."""

    def new_model(self):
        return nn.Linear(1, 1)

    def outputs(self, model, batch):
        return model(batch[0])

    features = outputs

    def losses(self, outputs, batch):
        return (outputs - batch[1]).square().flatten()

    def divergence(self, student, teacher, temperature=1.0):
        return (student - teacher).square().flatten()

    def scores(self, outputs, batch):
        return -self.losses(outputs, batch)


def regression_subject() -> Subject:
    data = TensorDataset(torch.randn(6, 1), torch.zeros(6, 1))
    loader = DataLoader(data, batch_size=3)
    task = Regression()
    return Subject("regression", task.new_model(), task, Split(loader, loader, loader), Engine(progress=False))


def shuffling_split(seed: int = 0) -> Split:
    """Streams that draw their own order from torch's global generator, as a user's loaders do."""
    generator = torch.Generator().manual_seed(seed)
    data = TensorDataset(torch.randn(40, 4, generator=generator), torch.randint(0, 3, (40,), generator=generator))
    loader = DataLoader(data, batch_size=8, shuffle=True)
    return Split(forget=loader, retain=loader, holdout=loader)


def confident(seed: int = 0) -> nn.Module:
    """A network whose answers differ much between examples."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    with torch.no_grad():
        model[2].weight.mul_(20)
    return model


# ---- tasks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("tow", "ClassificationTask or RegressionTask"),
        ("zero-retrain", "ClassificationTask"),
        ("distance", "ClassificationTask"),
        ("error", "RegressionTask"),
        ("lira", ATTACKED),
        ("rmia", ATTACKED),
        ("prediction-distance", "RegressionTask"),
    ],
)
def test_an_audit_of_some_tasks_refuses_another_by_name(name, wanted):
    with pytest.raises(WrongTask, match=f"^the audit {name} works on {wanted}, not on Regression$"):
        AUDITS[name]()(regression_subject())


def test_a_general_audit_takes_any_task_and_names_its_figures_after_the_tasks_score():
    found = Accuracy()(regression_subject())
    assert found.keys() == {"forget_score", "retain_score", "holdout_score"}


def test_each_audit_is_known_by_its_files_name():
    assert list(AUDITS) == [
        "accuracy",
        "error",
        "probability",
        "link-auc",
        "link-change",
        "ranking",
        "list-overlap",
        "neighbours",
        "feature-recovery",
        "facts",
        "memorization",
        "model-utility",
        "token-membership",
        "reminding",
        "relearned-half",
        "balance",
        "rounding",
        "hidden-states",
        "concealment",
        "concept-attacks",
        "drawn-quality",
        "backdoor",
        "clients",
        "relapse",
        "multiply-accumulates",
        "tow",
        "membership",
        "lira",
        "rmia",
        "zero-retrain",
        "probe",
        "feature-similarity",
        "input-gradient-distance",
        "canary",
        "relearning",
        "anamnesis",
        "distance",
        "prediction-distance",
        "run-time",
        "work",
    ]
    assert all(audit.name == name and issubclass(audit, Audit) for name, audit in AUDITS.items())


def test_every_figure_that_is_found_is_explained_with_its_ideal(stage):
    labels = {**LABELS, "holdout": [0, 1, 2] * 10, "holdout_forget": [0, 1, 2] * 10}
    made = stage(labels, factory=lambda: nn.Sequential(nn.Embedding(71, 3)))
    subject, gold = made.answering({"forget": [1, 1, 1, 1, 1]}, seconds=2.0), made.answering({}, seconds=4.0)
    settings = {
        "relearning": {"cap": 2},
        "anamnesis": {"relearning": Relearning(cap=2)},
        "membership": {"resamples": 2},
        "lira": {"shadows": 2},
        "rmia": {"shadows": 2},
    }
    references = References(gold, (gold,), lambda task, stream, engine: task.new_model())
    for audit in default_audits(made.task):
        found = type(audit)(**settings.get(audit.name, {}))(subject, references)
        # an embedding has no layer of features to look at, and reads numbers of rows; no canary was planted
        wanted = {} if audit.name in INSIDE else audit.figures
        assert found.keys() == wanted.keys(), audit.name


def test_every_figure_of_regression_is_explained_too(gauge):
    numbers = [float(number) for number in range(30)]
    made = gauge({"forget": [1.0, 2.0, 3.0], "retain": [4.0] * 6, "holdout": numbers, "holdout_forget": numbers})
    subject, gold = made.predicting({"forget": [4.0, 5.0, 6.0]}), made.predicting({"forget": [4.0, 4.0, 4.0]})
    subject.seconds = gold.seconds = 1.0
    settings = {
        "relearning": {"cap": 2},
        "anamnesis": {"relearning": Relearning(cap=2)},
        "membership": {"resamples": 2},
        "lira": {"shadows": 2},
        "rmia": {"shadows": 2},
    }
    references = References(gold, (gold,), lambda task, stream, engine: task.new_model())
    audits = default_audits(made.task)
    assert {type(audit) for audit in audits} >= {Error, LiRA, RMIA, PredictionDistance, ToW} and Distance() not in audits
    for audit in audits:
        found = type(audit)(**settings.get(audit.name, {}))(subject, references)
        assert found.keys() == (set() if audit.name in ("accuracy", *INSIDE) else audit.figures.keys()), audit.name


def test_every_explanation_says_what_is_ideal():
    assert all("; ideal: " in sentence for audit in AUDITS.values() for sentence in audit.figures.values())


def test_every_explanation_can_be_read_by_itself():
    """Reports show each beside its figure, in an order of their own."""
    for audit in AUDITS.values():
        for figure, sentence in audit.figures.items():
            assert not re.search(r"^(the same|its)\b|\bthat (distance|attack)\b", sentence), figure


def test_no_two_audits_have_a_figure_of_one_name():
    names = [figure for audit in AUDITS.values() for figure in audit.figures]
    assert len(names) == len(set(names))


def test_an_audit_puts_its_name_before_its_seeds(stage):
    """Audits must not share random draws; afterwards the scope is what it was, also after an error."""
    made = stage(LABELS)
    seen = []

    class Watching(Audit):
        figures: ClassVar = {}

        def examine(self, subject, references):
            seen.append(subject.engine.seed_for("draw"))
            raise ArithmeticError

    outside = made.engine.seed_for("draw")
    with pytest.raises(ArithmeticError):
        Watching()(made.answering({}))
    with made.engine.scope(f"audit-{Watching.name}"):
        assert seen == [made.engine.seed_for("draw")] != [outside]
    assert made.engine.seed_for("draw") == outside


# ---- subjects -----------------------------------------------------------------------------------------------------------


def test_a_subject_reads_every_part_in_the_streams_order(stage):
    made = stage(LABELS)
    table = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    subject = made.subject(table)
    assert torch.equal(subject.outputs("forget"), table[:5]) and torch.equal(subject.outputs("retain"), table[5:11])
    assert torch.equal(subject.outputs("holdout"), table[11:14]) and torch.equal(subject.outputs("holdout_forget"), table[14:])
    labels = torch.tensor(LABELS["forget"])
    assert subject.groups("forget").tolist() == LABELS["forget"]
    torch.testing.assert_close(subject.losses("forget"), nn.functional.cross_entropy(table[:5], labels, reduction="none"))
    assert torch.equal(subject.scores("forget"), (table[:5].argmax(1) == labels).float())
    assert not subject.outputs("forget").requires_grad


def test_targets_are_read_beside_the_outputs(gauge):
    made = gauge({"forget": [[1.0, 2.0], [3.0, 4.0]], "retain": [[5.0, 6.0]] * 5})
    subject = made.predicting({})
    assert subject.targets("forget").tolist() == [[1.0, 2.0], [3.0, 4.0]] == subject.outputs("forget").tolist()
    assert subject.targets("retain").shape == (5, 2) and subject.targets("holdout").shape == (0,)
    assert subject.targets("forget") is subject.targets("forget"), "read once"


def test_whole_numbers_for_targets_are_read_as_real_ones_in_a_column(stage):
    targets = stage(LABELS).answering({}).targets("forget")
    assert targets.tolist() == [[0.0], [1.0], [2.0], [0.0], [1.0]] and targets.dtype == torch.float32


def test_a_part_that_the_split_lacks_is_empty(stage):
    made = stage({"forget": [0], "retain": [1]})
    subject = made.answering({})
    for part in ("holdout", "holdout_forget"):
        for read in (subject.outputs, subject.losses, subject.scores, subject.groups):
            assert read(part).shape == (0,)


def test_unseen_examples_are_those_like_the_forget_set_where_the_split_tells_them_apart(stage):
    assert stage(LABELS).answering({}).unseen_part() == "holdout_forget"
    assert stage({"forget": [0], "retain": [1], "holdout": [2]}).answering({}).unseen_part() == "holdout"


def test_a_part_is_computed_once(stage):
    made = stage(LABELS)
    subject = made.answering({})
    first = subject.outputs("forget")
    with torch.no_grad():
        subject.model.table.zero_()
    assert subject.outputs("forget") is first and first.abs().max() > 0


def test_the_first_retrained_model_is_the_gold(stage):
    made = stage(LABELS)
    first, second = made.answering({}), made.answering({})
    assert References(None, (first, second)).gold is first
    assert References().gold is None


# ---- streams that shuffle themselves ------------------------------------------------------------------------------------


def test_a_shuffling_loader_is_read_in_the_same_order_for_every_model():
    split, engine, task = shuffling_split(), Engine(progress=False), ClassificationTask(confident, 3)
    model = confident()
    first, second = (Subject(name, copy.deepcopy(model), task, split, engine) for name in ("first", "second"))
    torch.manual_seed(1)
    first.outputs("forget")
    torch.manual_seed(2)
    assert torch.equal(first.outputs("forget"), second.outputs("forget"))
    assert torch.equal(first.groups("retain"), second.groups("retain"))
    plain = torch.cat([labels for _, labels in split.forget])
    assert sorted(first.groups("forget").tolist()) == sorted(plain.tolist())
    torch.manual_seed(3)
    unshuffled = torch.cat([labels for _, labels in DataLoader(split.forget.dataset, batch_size=8)])
    assert not torch.equal(first.groups("forget"), unshuffled), "the loader did shuffle"


def test_reading_a_shuffling_loader_leaves_the_callers_random_state_alone():
    split, engine, task = shuffling_split(), Engine(progress=False), ClassificationTask(confident, 3)
    subject = Subject("model", confident(), task, split, engine)
    state = torch.get_rng_state()
    subject.outputs("forget")
    assert torch.equal(state, torch.get_rng_state())


def test_within_one_audit_two_models_are_compared_example_by_example():
    split, engine, task = shuffling_split(), Engine(progress=False), ClassificationTask(confident, 3)
    subject, gold = (Subject(name, confident(), task, split, engine) for name in ("subject", "gold"))
    found = Distance()(subject, References(retrained=(gold,)))
    assert found["forget_kl"].value == pytest.approx(0.0, abs=1e-6)


ACROSS = "the order is drawn below the scope of the audit that reads first, so it differs between subjects"


@pytest.mark.parametrize("earlier", [Accuracy(), ToW()])
def test_models_that_were_first_read_by_different_audits_are_compared_example_by_example(earlier):
    split, engine, task = shuffling_split(), Engine(progress=False), ClassificationTask(confident, 3)
    subject, gold = (Subject(name, confident(), task, split, engine) for name in ("subject", "gold"))
    earlier(gold, References(retrained=(gold,)))
    found = Distance()(subject, References(retrained=(gold,)))
    assert found["forget_kl"].value == pytest.approx(0.0, abs=1e-6)
    assert found["holdout_activation_distance"].value == pytest.approx(0.0, abs=1e-6)


def test_zrf_does_not_depend_on_the_audits_before_it():
    """Its ignorant networks are read in its own scope, the subject was read in that of the accuracy audit."""
    split, engine, task = shuffling_split(), Engine(progress=False), ClassificationTask(confident, 3)
    alone, after = (Subject(name, confident(1), task, split, engine) for name in ("alone", "after"))
    Accuracy()(after)
    assert ZeroRetrain()(after)["zrf"].value == pytest.approx(ZeroRetrain()(alone)["zrf"].value, abs=1e-6)

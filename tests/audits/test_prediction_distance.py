"""Distance of predictions to the retrained model's: as distributions, one by one, and in units of the target."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from expunge.audits import Error, PredictionDistance, References, Subject
from expunge.audits.prediction_distance import predictions, relative_differences, wasserstein
from expunge.data import Target
from expunge.engine import Engine
from expunge.errors import WrongTask
from expunge.split import Split
from expunge.tasks import RegressionTask

TARGETS = {
    "forget": [1.0, 2.0, -4.0, 8.0],
    "retain": [5.0, 5.0, 5.0],
    "holdout": [0.0, 1.0, 2.0],
    "holdout_forget": [3.0, 4.0, 5.0],
}


def distances(subject, *golds) -> dict[str, float]:
    found = PredictionDistance()(subject, References(retrained=golds))
    assert all(figure.ideal == 0.0 for figure in found.values())
    return {name: figure.value for name, figure in found.items()}


# ---- as distributions, and one by one -----------------------------------------------------------------------------------


def test_wasserstein_by_hand():
    #  sorted, the first to the second: 0 -> 5, 1 -> 6, 3 -> 8
    column = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[8.0], [5.0], [6.0]])
    assert wasserstein(*column) == pytest.approx(5.0) == pytest.approx(wasserstein(*reversed(column)))
    assert wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.5]])) == pytest.approx(0.5), "of unequal numbers"


@pytest.mark.parametrize("shift", [0.5, -3.0])
def test_a_shift_of_all_answers_is_its_size_in_both(gauge, shift):
    made = gauge(TARGETS)
    gold = {part: [0.3, 1.7, 2.0, 9.0][: len(values)] for part, values in TARGETS.items()}
    moved = {part: [answer + shift for answer in answers] for part, answers in gold.items()}
    found = distances(made.predicting(moved), made.predicting(gold))
    for name in ("forget_wasserstein", "holdout_forget_wasserstein", "forget_distance", "holdout_distance"):
        assert found[name] == pytest.approx(abs(shift), rel=1e-5), name


def test_the_same_answers_to_other_examples_are_alike_as_distributions_only(gauge):
    made = gauge(TARGETS)
    gold = made.predicting({"forget": [0.0, 1.0, 2.0, 3.0], "holdout_forget": [0.0, 1.0, 2.0]})
    turned = made.predicting({"forget": [3.0, 0.0, 1.0, 2.0], "holdout_forget": [2.0, 0.0, 1.0]})
    found = distances(turned, gold)
    assert found["forget_wasserstein"] == found["holdout_forget_wasserstein"] == 0.0
    assert found["forget_distance"] == pytest.approx((3 + 1 + 1 + 1) / 4)


def test_a_shift_of_each_column_counts_and_the_mean_is_taken(gauge):
    made = gauge({"forget": [[0.0, 0.0], [1.0, 5.0]], "retain": [[0.0, 0.0]]})
    moved = made.predicting({"forget": [[1.0, -3.0], [2.0, 2.0]]})
    found = distances(moved, made.predicting({}))
    assert found["forget_wasserstein"] == found["forget_distance"] == pytest.approx((1 + 3) / 2)


def test_columns_are_not_mixed(gauge):
    """All numbers together are the same; by column they are one apart."""
    made = gauge({"forget": [[0.0, 1.0], [0.0, 1.0]], "retain": [[0.0, 0.0]]})
    turned = made.predicting({"forget": [[1.0, 0.0], [1.0, 0.0]]})
    assert distances(turned, made.predicting({}))["forget_wasserstein"] == pytest.approx(1.0)


def test_what_stays_does_not_enter_and_each_figure_reads_its_own_part(gauge):
    made = gauge(TARGETS)
    for part, touched in {
        "forget": {"forget_wasserstein", "forget_distance", "forget_relative_difference", "forget_relative_difference_90"},
        "retain": set(),
        "holdout": {"holdout_distance"},
        "holdout_forget": {"holdout_forget_wasserstein"},
    }.items():
        found = distances(made.predicting({part: [value + 1 for value in TARGETS[part]]}), made.predicting({}))
        assert {name for name, value in found.items() if value} == touched, part


# ---- relative differences -----------------------------------------------------------------------------------------------


def test_relative_differences_by_hand(gauge):
    made = gauge(TARGETS)
    gold = made.predicting({"forget": [2.0, 2.0, 2.0, 2.0]})
    subject = made.predicting({"forget": [2.5, 1.0, 4.0, 2.0]})
    #   |p - p_retrained| / |target|:  0.5 / 1, 1 / 2, 2 / 4, 0 / 8
    assert relative_differences(subject, gold).tolist() == pytest.approx([0.5, 0.5, 0.5, 0.0])
    assert distances(subject, gold)["forget_relative_difference"] == pytest.approx(0.5)


def test_the_median_and_the_90th_percentile(gauge):
    made = gauge({"forget": [10.0] * 11, "retain": [0.0]})
    subject = made.predicting({"forget": [10.0 + step for step in range(11)]})  # 0, 0.1, ..., 1 of the target
    found = distances(subject, made.predicting({}))
    assert found["forget_relative_difference"] == pytest.approx(0.5)
    assert found["forget_relative_difference_90"] == pytest.approx(0.9)


def test_a_target_of_zero_has_no_relative_difference(gauge):
    made = gauge({"forget": [0.0, 2.0, 0.0], "retain": [1.0]})
    subject = made.predicting({"forget": [7.0, 3.0, 7.0]})
    assert relative_differences(subject, made.predicting({})).tolist() == pytest.approx([0.5])
    found = distances(subject, made.predicting({}))
    assert found["forget_relative_difference"] == found["forget_relative_difference_90"] == pytest.approx(0.5)


def test_where_all_targets_are_zero_only_the_distances_are_left(gauge):
    made = gauge({"forget": [0.0, 0.0], "retain": [1.0]})
    assert distances(made.predicting({"forget": [1.0, 1.0]}), made.predicting({})) == {
        "forget_wasserstein": 1.0,
        "forget_distance": 1.0,
    }


def test_zero_is_meant_in_the_targets_unit(gauge):
    """Stored -2 is 0 degrees, and stored 0 is 20 degrees."""
    made = gauge({"forget": [-2.0, 0.0], "retain": [1.0]}, Target("heat", mean=20.0, scale=10.0))
    subject = made.predicting({"forget": [5.0, 1.0]})
    assert relative_differences(subject, made.predicting({})).tolist() == pytest.approx([10 / 20])


def test_of_a_vector_the_means_over_its_numbers_are_divided(gauge):
    made = gauge({"forget": [[0.0, 4.0]], "retain": [[0.0, 0.0]]})
    subject = made.predicting({"forget": [[1.0, 1.0]]})  # differences 1 and 3, sizes 0 and 4
    assert relative_differences(subject, made.predicting({})).tolist() == pytest.approx([2 / 2])


# ---- the unit -----------------------------------------------------------------------------------------------------------


def test_twice_the_scale_is_twice_the_distance_and_the_same_relative_difference(gauge):
    found = []
    for scale in (1.0, 2.0):
        made = gauge(TARGETS, Target("price", scale=scale))
        gold = made.predicting({"forget": [0.0, 3.0, 2.0, 7.0], "holdout": [0.0, 0.0, 4.0], "holdout_forget": [1.0, 2.0, 9.0]})
        found.append(distances(made.predicting({}), gold))
    assert all(value > 0 for value in found[0].values())
    for name, value in found[0].items():
        assert found[1][name] == pytest.approx((1 if "relative" in name else 2) * value), name


def test_the_mean_of_the_targets_moves_no_distance(gauge):
    found = []
    for mean in (0.0, 300.0):
        made = gauge(TARGETS, Target("price", mean=mean, scale=5.0))
        found.append(distances(made.predicting({"forget": [0.0, 3.0, 2.0, 7.0]}), made.predicting({})))
    assert found[0]["forget_distance"] == pytest.approx(found[1]["forget_distance"])
    assert found[0]["forget_wasserstein"] == pytest.approx(found[1]["forget_wasserstein"])
    assert found[0]["forget_relative_difference"] > 10 * found[1]["forget_relative_difference"] > 0


def test_a_mean_that_is_large_beside_the_scale_costs_no_digits(gauge):
    """Seconds since 1970: in single precision they would be rounded to 128."""
    made = gauge({"forget": [0.0, 1.0], "retain": [0.0]}, Target("time", mean=1.7e9, scale=1000.0))
    found = distances(made.predicting({"forget": [0.01, 1.01]}), made.predicting({}))
    assert found["forget_distance"] == found["forget_wasserstein"] == pytest.approx(10.0, rel=1e-3)


def test_predictions_are_in_the_unit_and_of_quantiles_the_middle_one(gauge):
    made = gauge({"forget": [0.0, 1.0], "retain": [0.0]})
    task = RegressionTask(lambda: nn.Identity(), "pinball", target=Target("price", mean=200.0, scale=50.0))
    model = nn.Embedding.from_pretrained(torch.tensor([[-9.0, 1.0, 9.0], [-9.0, -2.0, 9.0], [0.0, 0.0, 0.0]]))
    subject = Subject("quantiles", model, task, made.split, made.engine)
    assert predictions(subject, "forget").tolist() == [[250.0], [100.0]]
    assert predictions(subject, "holdout").shape == (0,)


# ---- references ---------------------------------------------------------------------------------------------------------


def test_the_retrained_model_itself_is_at_0_and_the_first_of_several_is_meant(gauge):
    made = gauge(TARGETS)
    gold, second = made.predicting({"forget": [0.0] * 4}), made.predicting({})
    assert distances(gold, gold, second) == dict.fromkeys(PredictionDistance.figures, 0.0)
    assert distances(second, gold, second)["forget_distance"] == pytest.approx((1 + 2 + 4 + 8) / 4)


def test_parts_that_the_split_lacks_have_no_figure(gauge):
    made = gauge({"forget": [1.0], "retain": [1.0]})
    found = distances(made.predicting({}), made.predicting({}))
    assert found.keys() == {f"forget_{name}" for name in ("wasserstein", "distance")} | {
        "forget_relative_difference",
        "forget_relative_difference_90",
    }


def test_without_a_retrained_model_there_is_no_figure(gauge):
    made = gauge(TARGETS)
    assert PredictionDistance()(made.predicting({}), References(original=made.predicting({}))) == {}


def test_classification_has_no_distance_of_predictions(stage):
    message = "^the audit prediction-distance works on RegressionTask, not on ClassificationTask$"
    with pytest.raises(WrongTask, match=message):
        PredictionDistance()(stage({"forget": [0], "retain": [1]}).answering({}))


def test_a_shuffling_loader_is_compared_example_by_example_with_models_and_targets():
    """The subject is off by each example's own target, so every relative difference is 1."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 1, generator=generator)
    loader = DataLoader(TensorDataset(inputs, inputs), batch_size=8, shuffle=True)
    split, engine, task = Split(loader, loader, loader), Engine(progress=False), RegressionTask(lambda: nn.Linear(1, 1))
    models = [nn.Linear(1, 1, bias=False) for _ in range(2)]
    for model, slope in zip(models, (3.0, 4.0), strict=True):
        nn.init.constant_(model.weight, slope)
    gold, subject = (Subject("model", model, task, split, engine) for model in models)
    Error()(gold)  # read by another audit first
    assert relative_differences(subject, gold).tolist() == pytest.approx([1.0] * 40, rel=1e-4)
    assert distances(subject, gold)["forget_distance"] == pytest.approx(inputs.abs().mean().item(), rel=1e-4)

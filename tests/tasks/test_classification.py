"""Classification: what is read from a model, and that reading leaves it as it was."""

import math

import pytest
import torch
from torch import nn

from expunge.errors import BadSetting
from expunge.tasks import TASKS, ClassificationTask


class Network(nn.Module):
    """Its last linear layer takes what `body` gives, multiplied by 2; the features are not the output of any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.5), nn.Tanh())
        self.head = nn.Linear(6, 3)

    def forward(self, inputs):
        return self.head(2 * self.body(inputs))


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(self.conv(inputs.view(-1, 1, 4, 4)).flatten(1))


def task(factory=Network, **settings) -> ClassificationTask:
    return ClassificationTask(factory, classes=3, **settings)


def batch(size: int = 5, width: int = 4, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, width, generator=generator), torch.randint(0, 3, (size,), generator=generator)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


# ---- what one batch gives -----------------------------------------------------------------------------------------------


def test_losses_are_the_negative_log_probability_of_each_label():
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [0.25, 0.25, 0.5]]).log()
    found = task().losses(logits, (torch.zeros(3, 4), torch.tensor([0, 2, 1])))
    assert found.tolist() == pytest.approx([-math.log(0.7), math.log(2), math.log(4)])


def test_scores_are_1_where_the_largest_logit_is_the_labels():
    logits = torch.tensor([[3.0, 1.0, 2.0], [-3.0, -1.0, -2.0], [0.0, 0.0, 0.1]])
    assert task().scores(logits, (torch.zeros(3, 4), torch.tensor([0, 1, 1]))).tolist() == [1.0, 1.0, 0.0]


def test_groups_are_the_labels():
    labels = torch.tensor([2, 0, 2, 1])
    assert task().groups((torch.zeros(4, 4), labels)).tolist() == [2, 0, 2, 1]


def test_outputs_call_the_model_that_is_given():
    inputs, labels = batch()
    assert torch.equal(task().outputs(lambda given: given[:, :3] + 1, (inputs, labels)), inputs[:, :3] + 1)


def test_divergence_is_0_for_the_same_answers_and_points_from_the_teacher():
    student, teacher = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()
    assert task().divergence(student, student).item() == pytest.approx(0.0, abs=1e-7)
    lopsided = torch.tensor([[0.98, 0.01, 0.01]]).log()
    by_hand = 0.25 * math.log(0.25 / 0.98) + 0.5 * math.log(0.5 / 0.01) + 0.25 * math.log(0.25 / 0.01)
    assert task().divergence(lopsided, teacher).item() == pytest.approx(by_hand)
    root = math.sqrt(0.5)  # at T = 2 probabilities are as the roots: (0.5, root, 0.5) / (1 + root)
    softened = 4 * (root - 0.5) / (1 + root) * math.log(root / 0.5)
    assert task().divergence(student, teacher, 2.0).item() == pytest.approx(softened)


def test_a_new_model_has_fresh_weights_each_time():
    first, second = task().new_model(), task().new_model()
    assert isinstance(first, Network)
    assert not torch.equal(first.head.weight, second.head.weight)


# ---- other labels -------------------------------------------------------------------------------------------------------


def test_other_labels_are_never_the_true_ones_and_even_over_the_wrong_ones():
    labels = torch.arange(5).repeat_interleave(2000)
    other = ClassificationTask(nn.Identity, classes=5).other_labels(labels, torch.Generator().manual_seed(0))
    assert other.dtype == labels.dtype and other.shape == labels.shape
    counts = torch.zeros(5, 5).index_put_((labels, other), torch.ones(len(labels)), accumulate=True)
    assert counts.diagonal().tolist() == [0.0] * 5
    wrong = counts[~torch.eye(5, dtype=torch.bool)]
    # Each of 20 cells has mean 500 and standard deviation sqrt(2000 * 1/4 * 3/4) = 19.4.
    assert (wrong - 500).abs().max() < 4 * 19.4


def test_other_labels_come_from_the_generator_alone():
    labels = torch.arange(3).repeat(50)
    draw = [task().other_labels(labels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
    state = torch.get_rng_state()
    task().other_labels(labels, torch.Generator().manual_seed(1))
    assert torch.equal(state, torch.get_rng_state())


def test_of_two_classes_the_other_label_is_the_other_one():
    two = ClassificationTask(nn.Identity, classes=2)
    assert two.other_labels(torch.tensor([0, 1, 1, 0]), torch.Generator()).tolist() == [1, 0, 0, 1]


# ---- features -----------------------------------------------------------------------------------------------------------


def test_features_are_what_goes_into_the_last_linear_layer():
    model = task().new_model().eval()
    inputs, labels = batch()
    found = task().features(model, (inputs, labels))
    torch.testing.assert_close(found, 2 * model.body(inputs))
    torch.testing.assert_close(model.head(found), model(inputs))
    assert hooks(model) == 0


def test_features_of_a_named_layer_are_its_output_as_one_row_for_each_example():
    model = Convolution()
    inputs, labels = batch(5, 16)
    found = task(Convolution, feature_layer="conv").features(model, (inputs, labels))
    assert found.shape == (5, 8)
    torch.testing.assert_close(found, model.conv(inputs.view(-1, 1, 4, 4)).flatten(1))
    assert hooks(model) == 0


@pytest.mark.parametrize("layer", [None, "body", "head"])
def test_the_hook_is_taken_off_also_after_an_error(layer):
    model = task().new_model()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        task(feature_layer=layer).features(model, batch(5, width=7))
    assert hooks(model) == 0


def test_an_unknown_feature_layer_is_named_beside_those_that_there_are():
    model = task().new_model()
    with pytest.raises(BadSetting, match=r"no layer 'neck'; it has body, body\.0, body\.1, body\.2, head$"):
        task(feature_layer="neck").features(model, batch())
    assert hooks(model) == 0


def test_without_a_linear_layer_one_must_be_named():
    with pytest.raises(BadSetting, match=r"no nn\.Linear; say which layer .* with feature_layer"):
        task().features(nn.Sequential(nn.Flatten()), batch())


@pytest.mark.parametrize("layer", [None, "unused"])
def test_a_layer_that_is_never_called_is_said_to_be_so(layer):
    model = task().new_model()
    model.unused = nn.Linear(6, 6)
    with pytest.raises(BadSetting, match=r"unused|feature_layer"):
        task(feature_layer=layer).features(model, batch())


# ---- evaluate and collect -----------------------------------------------------------------------------------------------


def test_evaluate_weighs_every_example_alike_whatever_the_batches_are():
    model = task().new_model()
    inputs, labels = batch(11)
    stream = list(zip(inputs.split(4), labels.split(4), strict=True))
    found = task().evaluate(model, stream)
    logits = model.eval()(inputs)
    assert found.keys() == {"accuracy", "loss"}
    assert found["accuracy"] == pytest.approx((logits.argmax(-1) == labels).float().mean().item())
    assert found["loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert found == pytest.approx(task().evaluate(model, [(inputs, labels)]))


def test_evaluate_reads_without_dropout():
    model = task().new_model().train()
    inputs, labels = batch(200)
    assert task().evaluate(model, [(inputs, labels)]) == task().evaluate(model, [(inputs, labels)])


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_leaves_mode_weights_and_gradients_as_they_were(training):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    task().evaluate(model, [batch()])
    assert [module.training for module in model.modules()] == [training] * 4
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.grad is None for value in model.parameters())


def test_evaluate_puts_the_mode_back_after_an_error():
    model = task().new_model().train()
    with pytest.raises(RuntimeError):
        task().evaluate(model, [batch(5, width=7)])
    assert model.training


def test_evaluate_leaves_a_frozen_layer_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)).train()
    model[1].eval()
    task().evaluate(model, [batch()])
    assert model.training and not model[1].training


def test_evaluate_of_an_empty_stream_is_not_a_number_and_not_an_error():
    model = task().new_model().train()
    found = task().evaluate(model, [])
    assert found.keys() == {"accuracy", "loss"} and all(math.isnan(value) for value in found.values())
    assert model.training


def test_collect_joins_outputs_or_what_is_read_of_them_in_the_streams_order():
    model = task().new_model().eval()
    inputs, labels = batch(7)
    stream = list(zip(inputs.split(3), labels.split(3), strict=True))
    outputs = task().collect(model, stream)
    torch.testing.assert_close(outputs, model(inputs))
    assert not outputs.requires_grad
    assert torch.equal(task().collect(model, stream, lambda _, placed: placed[1]), labels)
    assert task().collect(model, []).shape == (0,)


# ---- settings -----------------------------------------------------------------------------------------------------------


def test_it_is_registered_by_its_files_name():
    assert TASKS["classification"] is ClassificationTask and ClassificationTask.name == "classification"


def test_class_names_are_the_numbers_unless_given():
    assert task().class_names == ("0", "1", "2")
    assert task(class_names=("cat", "dog", "owl")).class_names == ("cat", "dog", "owl")


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(BadSetting, match="at least 2 classes, not 1"):
        ClassificationTask(Network, classes=1)
    with pytest.raises(BadSetting, match="2 class names were given for 3 classes"):
        task(class_names=("cat", "dog"))

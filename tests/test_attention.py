"""Attention maps: what they are made of, that dense layers have one that can be learned from, and that hooks come off."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from expunge.attention import attention_layers, recorded, squared_map
from expunge.errors import BadSetting
from expunge.models.pair_lstm import PairLSTM


def attention_map(module: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """a = v / ||v||_2."""
    return nn.functional.normalize(squared_map(module, output), dim=1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1))
        self.head = nn.Linear(8, 1)

    def forward(self, inputs):
        return self.head(self.body(inputs).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, batch_first=batch_first)
        self.batch_first = batch_first
        self.head = nn.Linear(3, 1)

    def forward(self, inputs):
        states = self.lstm(inputs if self.batch_first else inputs.transpose(0, 1))[0]
        return self.head(states[:, -1] if self.batch_first else states[-1])


class Shared(nn.Module):
    """One encoder that two inputs go through."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(4, 3), nn.Linear(3, 1)

    def forward(self, pairs):
        return self.head(self.encoder(pairs[:, 0]) - self.encoder(pairs[:, 1]))


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def maps_of(model, layers, inputs):
    with recorded(model, layers) as maps:
        model(inputs)
    return maps


# ---- the maps -----------------------------------------------------------------------------------------------------------


def test_a_dense_layer_has_one_number_for_each_unit():
    found = attention_map(nn.Linear(1, 3), torch.tensor([[1.0, -2.0, 0.0], [0.0, 0.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 4.0, 0.0], [0.0, 0.0, 1.0]]) / torch.tensor([[17**0.5], [1.0]]))


def test_a_convolution_has_the_mean_over_channels_at_each_position():
    output = torch.tensor([[[[1.0, 0.0], [3.0, 2.0]], [[1.0, 2.0], [0.0, -2.0]]]])  # (1, 2 channels, 2, 2)
    found = attention_map(nn.Conv2d(1, 2, 1), output)
    squares = torch.tensor([[1.0, 2.0, 4.5, 4.0]])
    torch.testing.assert_close(found, squares / squares.norm())


@pytest.mark.parametrize(
    ("layer", "shape", "positions"),
    [
        (nn.Linear(1, 5), (7, 5), 5),
        (nn.Linear(1, 5), (7, 3, 5), 15),
        (nn.Conv1d(1, 2, 1), (7, 2, 6), 6),
        (nn.Conv2d(1, 2, 1), (7, 2, 4, 3), 12),
        (nn.Conv3d(1, 2, 1), (7, 2, 4, 3, 2), 24),
        (nn.LSTM(1, 4, batch_first=True), (7, 3, 4), 12),
    ],
)
def test_every_map_has_length_1_and_does_not_know_the_size_of_the_output(layer, shape, positions):
    output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = attention_map(layer, output)
    assert found.shape == (7, positions)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(7))
    torch.testing.assert_close(found, attention_map(layer, -30 * output))


def test_examples_do_not_look_at_each_other():
    output = torch.randn(4, 2, 3, 3)
    together = attention_map(nn.Conv2d(1, 2, 1), output)
    alone = torch.cat([attention_map(nn.Conv2d(1, 2, 1), part) for part in output.split(1)])
    torch.testing.assert_close(together, alone)


def test_a_layer_that_is_silent_gives_zeros_and_no_nan_in_the_gradient():
    output = torch.zeros(2, 3, requires_grad=True)
    found = attention_map(nn.Linear(1, 3), output)
    (found - 1).square().sum().backward()
    assert found.tolist() == [[0.0] * 3] * 2 and output.grad.isfinite().all()


def published_map(output):
    """As the published code has it: the mean over the first axis after the examples, whatever the layer."""
    return F.normalize(output.square().mean(1).view(len(output), -1), dim=1)


def test_dense_layers_can_be_learned_from_where_the_published_formula_is_constant():
    torch.manual_seed(0)
    student, teacher, inputs = mlp(), mlp(), torch.randn(8, 4)

    def gradient(make_map):
        student.zero_grad()
        distance = (make_map(student[0](inputs)) - make_map(teacher[0](inputs)).detach()).square().sum()
        distance.backward()
        return distance.item(), student[0].weight.grad.abs().max().item()

    distance, steepest = gradient(published_map)
    assert distance == pytest.approx(0.0, abs=1e-10) and steepest == pytest.approx(0.0, abs=1e-6)
    distance, steepest = gradient(lambda output: attention_map(student[0], output))
    assert distance > 0.1 and steepest > 0.1


def test_of_convolutions_it_is_the_published_formula():
    output = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(attention_map(nn.Conv2d(1, 3, 1), output), published_map(output))


# ---- which layers -------------------------------------------------------------------------------------------------------


def test_all_layers_with_weights_are_compared_but_the_last_dense_one():
    assert attention_layers(mlp()) == ("0", "2")
    assert attention_layers(Convolutional()) == ("body.0", "body.3")
    assert attention_layers(Recurrent()) == ("lstm",)
    with pytest.raises(BadSetting, match=r"^the model has no layer before its last one"):
        attention_layers(nn.Sequential(nn.Linear(4, 1)))
    assert attention_layers(nn.Sequential(nn.Conv1d(1, 1, 1), nn.Flatten())) == ("0",)


def test_named_layers_are_taken_as_they_are_named():
    assert attention_layers(mlp(), ["4", "1"]) == ("4", "1")
    assert attention_layers(mlp(), []) == ()


def test_an_unknown_layer_is_named_beside_those_that_there_are():
    with pytest.raises(BadSetting, match=r"^the model has no layer 'neck'; it has body, body\.0, .*, body\.3, head$"):
        attention_layers(Convolutional(), ("head", "neck"))


# ---- recording ----------------------------------------------------------------------------------------------------------


def test_maps_are_those_of_the_layers_outputs():
    model, inputs = Convolutional().eval(), torch.randn(3, 1, 4, 4)
    maps = maps_of(model, ("body.0", "head"), inputs)
    assert maps.keys() == {"body.0", "head"}
    torch.testing.assert_close(maps["body.0"], attention_map(model.body[0], model.body[0](inputs)))
    torch.testing.assert_close(maps["head"], torch.ones(3, 1))  # one unit of length 1


def test_of_a_recurrent_layer_the_states_are_taken():
    model, inputs = Recurrent(), torch.randn(5, 7, 4)
    torch.testing.assert_close(maps_of(model, ("lstm",), inputs)["lstm"], attention_map(model.lstm, model.lstm(inputs)[0]))


def test_a_recurrent_layer_that_has_time_first_still_gives_a_map_for_each_example():
    first, second = Recurrent(), Recurrent(batch_first=False)
    second.load_state_dict(first.state_dict())
    inputs = torch.randn(5, 7, 4)
    torch.testing.assert_close(first(inputs), second(inputs))
    expected, found = (maps_of(model, ("lstm",), inputs)["lstm"] for model in (first, second))
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected)


def test_a_layer_that_runs_twice_gives_both_maps_side_by_side():
    model, pairs = Shared(), torch.randn(5, 2, 4)
    found = maps_of(model, ("encoder",), pairs)["encoder"]
    halves = [attention_map(model.encoder, model.encoder(pairs[:, side])) for side in (0, 1)]
    assert found.shape == (5, 6)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    for half, part in zip(halves, found.split(3, 1), strict=True):
        torch.testing.assert_close(nn.functional.normalize(part, dim=1), half)


def test_a_layer_that_reads_the_parts_of_an_example_as_rows_gives_one_map_for_each_example():
    """PairLSTM lays both sentences of a pair below each other: its layers see twice as many rows as there are examples."""
    model = PairLSTM((2, 5), 1, vocabulary=9, embedding=4, hidden=3).eval()
    pairs = torch.randint(1, 9, (6, 2, 5), generator=torch.Generator().manual_seed(0))
    layers = attention_layers(model)
    found = maps_of(model, layers, pairs)
    assert {name: len(value) for name, value in found.items()} == dict.fromkeys(layers, 6)
    alone = maps_of(model, layers, pairs[2:3])
    for name in layers:
        torch.testing.assert_close(found[name][2:3], alone[name])


def test_gradients_flow_through_recorded_maps():
    model = mlp()
    maps_of(model, ("0",), torch.randn(3, 4))["0"][:, 0].sum().backward()
    assert model[0].weight.grad.abs().sum() > 0 and model[2].weight.grad is None


def test_recording_changes_neither_the_model_nor_what_it_says():
    model, inputs = mlp(), torch.randn(3, 4)
    before, said = copy.deepcopy(model.state_dict()), model(inputs)
    with recorded(model, attention_layers(model)):
        assert hooks(model) > 0
        assert torch.equal(model(inputs), said)
    assert hooks(model) == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_hooks_are_gone_also_after_an_error():
    model = mlp()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), recorded(model, ("0", "2")):
        model(torch.randn(3, 9))
    assert hooks(model) == 0


def test_hooks_are_gone_also_where_a_layer_has_no_such_name():
    model = mlp()
    with pytest.raises((KeyError, BadSetting)), recorded(model, ("0", "neck")):
        pass
    assert hooks(model) == 0


def test_recording_looks_inside_a_wrapper_for_several_processes():
    class Wrapper(nn.parallel.DistributedDataParallel):
        def __init__(self, module: nn.Module) -> None:
            nn.Module.__init__(self)  # its own asks for a process group
            self.module = module

        def forward(self, inputs):
            return self.module(inputs)

    model, inputs = mlp(), torch.randn(3, 4)
    torch.testing.assert_close(maps_of(Wrapper(model), ("0",), inputs)["0"], maps_of(model, ("0",), inputs)["0"])


def test_a_models_own_part_called_module_is_no_wrapper():
    class Owner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module, self.head = nn.Linear(4, 3), nn.Linear(3, 1)

        def forward(self, inputs):
            return self.head(self.module(inputs))

    model = Owner()
    layers = attention_layers(model)
    assert layers == ("module",)
    assert maps_of(model, layers, torch.randn(2, 4))["module"].shape == (2, 3)
    assert hooks(model) == 0

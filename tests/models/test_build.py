"""Networks by name and by import string, with errors before anything is trained."""

import sys

import pytest
import torch
from torch import nn

from expunge.data import Records, Source
from expunge.data.records import Target
from expunge.errors import BadSetting
from expunge.models import MLP, MODELS, AllCNN, NormCNN, PairLSTM, ResNet18, SmallCNN, TiDE, build

SHAPE = ((1, 8, 8), 3)


def test_names_build_their_networks():
    shapes = {"pair-lstm": ((2, 6), 1), "tide": ((8, 2), 4)}
    built = {name: type(build(name, shapes.get(name, SHAPE))()) for name in MODELS}
    assert built == {
        "mlp": MLP,
        "small-cnn": SmallCNN,
        "norm-cnn": NormCNN,
        "resnet18": ResNet18,
        "all-cnn": AllCNN,
        "pair-lstm": PairLSTM,
        "tide": TiDE,
    }
    assert build("small-cnn", SHAPE, width=5)().head.in_features == 20
    assert build("mlp", SHAPE, hidden=[7, 6])().head.in_features == 6


def test_a_source_tells_shape_and_classes():
    part = Records(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]))
    assert build("mlp", Source("s", part, part, ("a", "b", "c")))().head.out_features == 3
    assert build("mlp", Source("s", part, part, ()))().head.out_features == 1
    assert build("mlp", ((1, 8, 8), ("a", "b")))().head.out_features == 2


@pytest.mark.parametrize(
    ("targets", "width"), [(torch.zeros(2), 1), (torch.zeros(2, 1), 1), (torch.zeros(2, 24), 24), (torch.zeros(2, 4, 3), 12)]
)
def test_real_targets_give_an_output_for_each_number_and_quantile(targets, width):
    part = Records(torch.zeros(2, 5), targets)
    source = Source("s", part, part, (), target=Target())
    assert build("mlp", source)().head.out_features == width
    assert build("mlp", source, quantiles=3)().head.out_features == 3 * width
    assert build("mlp", ((5,), width), quantiles=3)().head.out_features == 3 * width


def test_the_target_of_a_foreign_dataset_is_read_from_its_first_row():
    assert build("mlp", Source("s", [(torch.zeros(3), 0.5)], [], ()))().head.out_features == 1
    assert build("mlp", Source("s", [(torch.zeros(3), [0.5, 1.5])], [], ()))().head.out_features == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (torch.zeros(3), r"s: the first row is a Tensor; a row must be \(input, target\)"),
        ((torch.zeros(3), "old"), "s: the target of the first row is a str, neither a number nor a tensor of numbers"),
    ],
)
def test_a_row_without_a_target_is_refused(row, message):
    with pytest.raises(BadSetting, match=message):
        build("mlp", Source("s", [row], [], ()))


def test_classes_have_no_quantiles():
    part = Records(torch.zeros(2, 5), torch.tensor([0, 1]))
    for data in (Source("s", part, part, ("no", "yes")), ((5,), ("no", "yes"))):
        with pytest.raises(BadSetting, match="a class has no quantiles, so leave out quantiles=3; there are 2 classes"):
            build("mlp", data, quantiles=3)
    with pytest.raises(BadSetting, match="quantiles must be a whole number from 1, not 0"):
        build("mlp", ((5,), 1), quantiles=0)


def test_each_call_gives_fresh_weights_and_building_draws_nothing():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    factory = build("resnet18", SHAPE, width=0.125)
    assert torch.equal(torch.get_rng_state(), before)
    first, second = factory(), factory()
    assert not torch.equal(first.head.weight, second.head.weight)
    torch.manual_seed(3)
    assert torch.equal(factory().head.weight, first.head.weight)
    assert {parameter.device.type for parameter in first.parameters()} == {"cpu"}


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "message"),
    [
        (
            "resnet",
            SHAPE,
            {},
            "there is no model 'resnet'; take one of mlp, small-cnn, norm-cnn, resnet18, all-cnn, pair-lstm, tide, or an",
        ),
        ("small-cnn", SHAPE, {"hidden": 3}, "model small-cnn has no argument 'hidden'; valid are: width"),
        ("mlp", SHAPE, {"classes": 3}, "model mlp has no argument 'classes'; valid are: hidden"),
        ("mlp", SHAPE, {"outputs": 3}, "model mlp has no argument 'outputs'; valid are: hidden"),
        ("pair-lstm", SHAPE, {}, "PairLSTM needs pairs of sentences"),
        ("tide", SHAPE, {}, "TiDE needs series of shape"),
        ("small-cnn", SHAPE, {"width": 0}, "width must be a whole number from 1, not 0"),
        ("resnet18", SHAPE, {"width": "wide"}, "model resnet18 cannot be built: TypeError"),
        ("small-cnn", ((14,), 2), {}, "SmallCNN needs images"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(name, shape, arguments, message):
    with pytest.raises(BadSetting, match=message):
        build(name, shape, **arguments)


CODE = """
from torch import nn
def plain(): return nn.Linear(64, 3)
def sized(input_shape, classes, width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, classes))
class Net(nn.Module):
    def __init__(self, depth, classes=9):
        super().__init__()
        self.depth, self.classes = depth, classes
def both(input_shape, outputs, classes, quantiles, units): return nn.Linear(outputs + classes, quantiles * units)
def any_argument(**arguments): return nn.Linear(1, len(arguments))
def late():
    import own_late_part
    return own_late_part.make()
def nothing(): return None
def fails(): raise RuntimeError("no weights")
"""


@pytest.fixture
def own_nets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets.py").write_text(CODE)
    (tmp_path / "own_late_part.py").write_text("from torch import nn\ndef make(): return nn.Linear(2, 5)\n")
    yield
    for name in ("own_nets", "own_late_part"):
        sys.modules.pop(name, None)


def test_the_users_own_factory(own_nets):
    assert build("own_nets:plain", SHAPE)().out_features == 3
    assert build("own_nets:sized", SHAPE, width=6)()[1].out_features == 6
    assert build("own_nets:sized", SHAPE)()[2].out_features == 3
    net = build("own_nets:Net", SHAPE, depth=2)()
    assert (net.depth, net.classes) == (2, 3)
    assert build("own_nets:Net", SHAPE, depth=2, classes=5)().classes == 5
    both = build("own_nets:both", ((5,), 4), quantiles=3, units=2)()
    assert (both.in_features, both.out_features) == (24, 6)
    assert build("own_nets:sized", ((5,), 4), quantiles=3)()[2].out_features == 12
    assert build("own_nets:any_argument", SHAPE, a=1, b=2)().out_features == 2
    assert build("own_nets:late", SHAPE)().out_features == 5
    assert isinstance(build("torch.nn:Identity", SHAPE)(), nn.Identity)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("own_nets:absent", {}, "own_nets has no 'absent'"),
        ("no_such_nets:make", {}, "there is no module 'no_such_nets'"),
        ("own_nets:nn", {}, "is a module; expected a function or a class"),
        ("own_nets:sized", {"depth": 3}, "model own_nets:sized has no argument 'depth'; valid are: width"),
        ("own_nets:Net", {}, "model own_nets:Net: missing a required argument: 'depth'"),
        ("own_nets", {}, "there is no model 'own_nets'"),
    ],
)
def test_a_factory_that_cannot_be_called_is_refused_at_once(own_nets, name, arguments, message):
    with pytest.raises(BadSetting, match=message):
        build(name, SHAPE, **arguments)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", r"model own_nets:nothing returned a NoneType; expected a torch\.nn\.Module"),
        ("fails", "model own_nets:fails cannot be built: RuntimeError: no weights"),
    ],
)
def test_what_a_factory_returns_is_checked(own_nets, name, message):
    factory = build(f"own_nets:{name}", SHAPE)
    with pytest.raises(BadSetting, match=message):
        factory()

"""Retraining, hand-made networks, costs, export."""

import importlib.util
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from expunge.engine import Engine
from expunge.errors import BadSetting, MissingExtra
from expunge.search import (
    PRESETS,
    CellSpace,
    HandCNN,
    MobileNetV3Small,
    Recipe,
    SmallResNet,
    accuracy,
    cost_report,
    expected_cost,
    export_onnx,
    macs,
    retrain,
    train,
)
from expunge.search.cost import peak_bytes, table
from expunge.split import Batches
from expunge.storage import weights_hash
from search.tiny_searches import SMALL, dots

DATA = dots(96, side=8, apart=4)
ONNX = all(importlib.util.find_spec(each) for each in ("onnx", "onnxscript", "onnxruntime"))


def genotype(seed: int = 0):
    return SMALL.random(torch.Generator().manual_seed(seed))


def test_retraining_learns_and_is_seeded():
    recipe = Recipe(epochs=12, batch_size=16)
    space = CellSpace(classes=2, nodes=2, cells=2, channels=8, operations=("sep_conv_5x5", "dil_conv_5x5"))
    networks = [retrain(space, space.random(torch.Generator()), *DATA, Engine(progress=False), recipe) for _ in range(2)]
    assert weights_hash(networks[0]) == weights_hash(networks[1]) and not networks[0].training
    assert accuracy(networks[0], Batches(TensorDataset(*DATA), 32)) > 0.9


def test_the_tricks_of_training():
    calls = []

    def augment(images):
        calls.append(len(images))
        return images.flip(-1)

    recipe = Recipe(epochs=2, batch_size=16, augment=augment, label_smoothing=0.1, class_weights=torch.tensor([1.0, 2.0]))
    engine = Engine(progress=False)
    network = retrain(SMALL, genotype(), *DATA, engine, recipe, channels=8, cells=3, drop_path=0.5, auxiliary=True)
    assert calls == [16] * 12 and network.auxiliary is None and len(network.cells) == 3
    assert set(engine.history[-1]["terms"]) == {"loss", "auxiliary"}
    assert network.drop_path_now == pytest.approx(0.5 * 11 / 12)
    assert not any("auxiliary" in name for name in network.state_dict())


def test_drop_path_goes_on_where_it_was_after_a_kill(tmp_path):
    class Killed(BaseException):
        pass

    def run(folder, at=0):
        count = 0

        def augment(images):
            nonlocal count
            count += 1
            if count == at:
                raise Killed
            return images

        engine = Engine(progress=False, folder=tmp_path / folder, checkpoint_steps=2)
        return retrain(SMALL, genotype(), *DATA, engine, Recipe(epochs=2, batch_size=16, augment=augment), drop_path=0.5)

    whole = run("whole")
    with pytest.raises(Killed):
        run("killed", 8)
    resumed = run("killed")
    assert weights_hash(resumed) == weights_hash(whole) and resumed.drop_path_now == whole.drop_path_now


def test_class_weights_count():
    data = Batches(TensorDataset(DATA[0] * 0.0, DATA[1]), 16)  # images say nothing: the weights decide
    for weights, answer in (((1.0, 9.0), 1), ((9.0, 1.0), 0)):
        engine = Engine(progress=False)
        network = engine.new_model(lambda: HandCNN((1, 8, 8), 2, 2))
        train(network, data, engine, Recipe(epochs=3, class_weights=weights))
        assert network.eval()(DATA[0][:1] * 0.0).argmax().item() == answer


def test_hand_made_networks_are_as_published():
    sizes = {HandCNN: 60_790, SmallResNet: 77_494}
    for kind, count in sizes.items():
        network = kind((1, 32, 32), 6)
        assert sum(each.numel() for each in network.parameters()) == count
        assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 6)
    assert HandCNN((1, 8, 8), 3)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
    with torch.device("meta"):
        large = MobileNetV3Small((3, 224, 224), 1000)
    assert sum(each.numel() for each in large.parameters()) == 2_542_856
    assert macs(MobileNetV3Small((3, 224, 224), 1000), (3, 224, 224)) // 10**6 == 56  # as the paper counts
    small = MobileNetV3Small((1, 32, 32), 6).eval()
    shapes = []
    small.body[-7].register_forward_hook(lambda layer, given, made: shapes.append(made.shape[-1]))
    assert small(torch.zeros(2, 1, 32, 32)).shape == (2, 6) and shapes == [4]


def test_macs_are_half_of_what_the_counter_counts():
    network, counter = SMALL.build(genotype()).eval(), FlopCounterMode(display=False)
    with counter:
        network(torch.zeros(1, 1, 8, 8))
    assert 2 * macs(network, (1, 8, 8)) == counter.get_total_flops()
    for seed in range(5):
        assert macs(SMALL.build(genotype(seed)), (1, 8, 8)) == expected_cost(SMALL, (8, 8)).of(genotype(seed))
    assert macs(CellSpace(classes=2).build(PRESETS["darts-v1"], auxiliary=True).train(), (1, 9, 9)) > 0


@pytest.mark.parametrize("stride", [2, 4])
def test_a_stem_with_a_stride_is_a_space_of_smaller_images(stride):
    halving = replace(SMALL, stem_stride=stride)
    for size in ((16, 16), (17, 18)):
        network = halving.build(genotype())
        assert macs(network, (1, *size)) == expected_cost(halving, size).of(genotype())
        inside = [network.stem(torch.zeros(2, 1, *size)), halving.supernet().stem(torch.zeros(2, 1, *size))]
        assert all(each.shape[2:] == (-(-size[0] // stride), -(-size[1] // stride)) for each in inside)
        assert [layer.kernel_size for layer in network.stem if isinstance(layer, nn.Conv2d)] == [(3, 3)] * (stride // 2)


def test_a_stem_has_a_stride_that_there_is():
    for stride in (0, 3, 8):
        with pytest.raises(BadSetting, match="stem_stride"):
            replace(SMALL, stem_stride=stride)


def test_a_cost_report_by_hand(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(32, 3))
    before = torch.get_num_threads()
    report = cost_report(network, (1, 4, 4), batches=(1, 4), threads=(1, 2), runs=5)
    assert report.parameters == 18 + 99 and report.macs == 2 * 9 * 16 + 96 and torch.get_num_threads() == before
    assert report.peak_memory_bytes == 4 * (117 + 32 + 3)
    assert set(report.latency_seconds) == {(1, 1), (4, 1), (1, 2), (4, 2)} and min(report.latency_seconds.values()) > 0
    assert 4 * 117 < report.file_bytes < 4 * 117 + 400
    assert "latency, batch 4, 2 threads" in report.rows()
    text = table({"plain": report, "other": cost_report(network, (1, 4, 4), runs=2)})
    assert len(text.splitlines()) == 3 and len({len(line) for line in text.splitlines()}) == 1
    with pytest.raises(BadSetting, match="at least 1"):
        cost_report(network, (1, 4, 4), runs=0)


def test_the_auxiliary_head_costs_nothing():
    space = CellSpace(classes=3, channels=4)
    one, two = (cost_report(space.build(PRESETS["gdas-v1"], auxiliary=each), (1, 8, 8), runs=1) for each in (True, False))
    assert (one.parameters, one.macs, one.file_bytes) == (two.parameters, two.macs, two.file_bytes)


def test_peak_memory_counts_what_is_there_at_a_time():
    def run():
        a = torch.zeros(1000)
        b = a + 1.0
        del a
        c = torch.zeros(500) + b[:500]
        return c.view(50, 10).T

    assert peak_bytes(run) == 4 * 2000
    weight = torch.zeros(300, requires_grad=True)
    assert peak_bytes(lambda: weight.exp().sum().backward()) >= 4 * 600


@pytest.mark.skipif(ONNX, reason="the libraries are there")
def test_export_without_its_libraries_names_the_extra(tmp_path):
    with pytest.raises(MissingExtra, match=r"expunge\[export\]"):
        export_onnx(HandCNN((1, 8, 8), 2), (1, 8, 8), tmp_path / "net.onnx")


@pytest.mark.skipif(not ONNX, reason="needs the extra export")
def test_an_onnx_file_says_the_same_at_any_batch(tmp_path):
    network = SMALL.build(genotype(), auxiliary=True)
    with torch.no_grad():
        network(torch.randn(8, 1, 8, 8))  # norms have seen something
    before = weights_hash(network)
    made = export_onnx(network, (1, 8, 8), tmp_path / "deep" / "net.onnx")
    assert made.largest_difference < 1e-5 and made.path.stat().st_size == made.file_bytes
    assert weights_hash(network) == before and network.training and network.auxiliary is not None
    assert [each.name for each in made.path.parent.iterdir()] == ["net.onnx"]
    with pytest.raises(BadSetting, match="nothing was written"):
        export_onnx(network, (1, 8, 8), tmp_path / "other.onnx", tolerance=-1.0)
    assert not (tmp_path / "other.onnx").exists()

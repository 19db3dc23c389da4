"""Running sums of what clients changed: by hand, against all models kept, on disk, and what is refused."""

import pytest
import torch

from expunge.errors import BadFile, BadRequest, BadSetting, Diverged
from expunge.federated import Contributions
from expunge.storage import write_weights

SHAPES = {"weight": (3, 2), "bias": (3,)}


def model(seed: int, size: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: size * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()} | {"steps": torch.tensor(7)}


def rounds(count: int = 5) -> list[tuple[dict, dict[str, dict]]]:
    """For each round the model that it began with, and those that some clients sent back."""
    who = [["a", "b"], ["b"], ["a", "b", "c"], ["c", "b"], ["b", "a"]]
    return [(model(10 * each), {client: model(10 * each + ord(client)) for client in who[each]}) for each in range(count)]


def told(reference: str = "round", precision: str = "fp32") -> Contributions:
    sums = Contributions(rounds()[0][0], reference, precision)
    for before, sent in rounds():
        for client, after in sent.items():
            sums.add(client, before, after)
    return sums


def from_all_models(client: str, reference: str) -> dict[str, torch.Tensor]:
    history = rounds()
    changes = [
        {name: (sent[client][name] - (before if reference == "round" else history[0][0])[name]).abs() for name in SHAPES}
        for before, sent in history
        if client in sent
    ]
    return {name: torch.stack([change[name] for change in changes]).mean(0) for name in SHAPES}


@pytest.mark.parametrize("reference", ["round", "initial"])
def test_the_sum_is_what_all_models_together_say(reference):
    sums = told(reference)
    assert sums.clients == ("a", "b", "c") and sums.rounds == {"a": 3, "b": 5, "c": 2}
    for client in sums.clients:
        torch.testing.assert_close(sums.of([client]), from_all_models(client, reference))
    both = sums.of(["a", "c"])
    wanted = {name: (sums.of(["a"])[name] + sums.of(["c"])[name]) / 2 for name in SHAPES}
    torch.testing.assert_close(both, wanted)  # each client counts once, however often it took part


def test_the_two_references_agree_in_the_first_round_and_not_after():
    first = {}
    for reference in ("round", "initial"):
        sums = Contributions(model(0), reference)
        sums.add("a", model(0), model(1))
        first[reference] = sums.of(["a"])
    torch.testing.assert_close(first["round"], first["initial"])
    assert not torch.equal(told("round").of(["b"])["bias"], told("initial").of(["b"])["bias"])


def test_memory_does_not_grow_with_rounds_and_half_precision_halves_it():
    numbers = 3 * sum(torch.Size(shape).numel() for shape in SHAPES.values())
    assert told().bytes == 4 * numbers and told(precision="fp16").bytes == 2 * numbers
    for client in "abc":
        torch.testing.assert_close(told(precision="fp16").of([client]), told().of([client]), rtol=2e-3, atol=1e-4)


def test_models_that_were_given_are_neither_kept_nor_changed():
    before, after = model(0), model(1)
    sums = Contributions(before, "initial")
    sums.add("a", before, after)
    wanted = sums.of(["a"])
    for each in (before, after):
        each["weight"].add_(100)
    torch.testing.assert_close(sums.of(["a"]), wanted)
    sums.add("a", before, model(1))
    torch.testing.assert_close(sums.of(["a"]), wanted)  # the first model is the one that it was


@pytest.mark.parametrize("reference", ["round", "initial"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_was_written_goes_on_as_if_it_had_not_been(tmp_path, reference, precision):
    sums, half = told(reference, precision), Contributions(rounds()[0][0], reference, precision)
    for before, sent in rounds(2):
        for client, after in sent.items():
            half.add(client, before, after)
    half.save(tmp_path / "sums.safetensors", round="2")
    found, facts = Contributions.load(tmp_path / "sums.safetensors")
    assert facts == {"round": "2"} and found.rounds == {"a": 1, "b": 2}
    for before, sent in rounds()[2:]:
        for client, after in sent.items():
            found.add(client, before, after)
    assert found.rounds == sums.rounds
    assert all(torch.equal(found.of([each])[name], sums.of([each])[name]) for each in "abc" for name in SHAPES)


@pytest.mark.parametrize(
    ("after", "kind", "message"),
    [
        ({"weight": torch.zeros(3, 2)}, BadRequest, "client b sent a model in which 'bias' is missing; expected weight, bias"),
        (
            {"weight": torch.zeros(2, 3), "bias": torch.zeros(3)},
            BadRequest,
            r"client b sent a model in which 'weight' has shape \(2, 3\), not \(3, 2\)",
        ),
        ({"weight": torch.zeros(3, 2), "bias": torch.tensor([0, float("nan"), 0])}, Diverged, "client b sent values in 'bias'"),
        ({"weight": torch.full((3, 2), float("inf")), "bias": torch.zeros(3)}, Diverged, "client b sent values in 'weight'"),
    ],
)
def test_a_faulty_update_is_refused_and_nothing_of_it_is_counted(after, kind, message):
    sums, untouched = told(), told()
    with pytest.raises(kind, match=message):
        sums.add("b", model(0), after)
    assert sums.rounds == untouched.rounds and torch.equal(sums.of(["b"])["weight"], untouched.of(["b"])["weight"])
    with pytest.raises(kind):
        sums.add("new", model(0), after)
    assert sums.clients == ("a", "b", "c")


def test_who_never_took_part_and_nobody_are_refused():
    with pytest.raises(BadRequest, match="client d never took part, so there is nothing of it to take out; there is a, b, c"):
        told().of(["a", "d"])
    with pytest.raises(BadRequest, match="there is nobody"):
        Contributions(model(0)).of(["a"])
    with pytest.raises(BadRequest, match="no client is named"):
        told().of([])


def test_settings_and_files_that_make_no_sense_are_refused(tmp_path):
    with pytest.raises(BadSetting, match="reference is 'round' or 'initial', not 'last'"):
        Contributions(model(0), "last")
    with pytest.raises(BadSetting, match="precision is 'fp32' or 'fp16', not 'int8'"):
        Contributions(model(0), precision="int8")
    with pytest.raises(BadSetting, match="nothing to track"):
        Contributions({"steps": torch.tensor(7)})
    write_weights(tmp_path / "other.safetensors", {"weight": torch.zeros(2)})
    with pytest.raises(BadFile, match="holds no contributions of clients"):
        Contributions.load(tmp_path / "other.safetensors")
    with pytest.raises(BadFile, match="not found"):
        Contributions.load(tmp_path / "nowhere.safetensors")

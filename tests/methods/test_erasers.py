"""Erasers of diffusion models: what each makes of the concept and of the others, and what a paper says of its loss."""

from dataclasses import replace

import pytest
import torch

import tiny_diffusion
from expunge.diffusion import Sampling, seeds_for
from expunge.engine import Engine
from expunge.errors import BadSetting, Diverged
from expunge.methods import ESD, SDD, ConceptAblation, ForgetMeNot, SafeGen
from expunge.methods.eraser import learning
from expunge.methods.esd import away_from
from expunge.methods.forget_me_not import heard, last_places
from expunge.methods.safegen import Mosaics, mosaic
from expunge.models.text_to_image import Denoiser, small_clip_tokenizer, small_text_to_image
from expunge.optimizers import Optimizer
from tiny import same_weights
from tiny_diffusion import CHEQUERS, COLUMNS, CORNER, ROWS, run, share

ERASERS = {
    "esd-x": ESD(steps=80, drawn=16),
    "esd-u": ESD(steps=30, drawn=16, where="others", optimizer=Optimizer("adam", 3e-4)),
    "esd-strict": ESD(steps=80, drawn=16, where="key-value"),
    "concept-ablation": ConceptAblation(steps=250, where="all"),
    "sdd": SDD(steps=100, drawn=16, decay=0.95, refresh=50, optimizer=Optimizer("adam", 3e-4)),
}


@pytest.mark.parametrize("name", ERASERS)
def test_the_concept_is_drawn_no_more_and_others_are(name):
    assert share(tiny_diffusion.trained(), CHEQUERS) > 0.9
    result = run(ERASERS[name])
    assert share(result, CHEQUERS) < 0.4
    assert sum(share(result, other) for other in (ROWS, COLUMNS, CORNER)) / 3 > 0.5


def test_the_anchor_is_drawn_in_its_place():
    result = run(ERASERS["concept-ablation"])
    assert share(result, CHEQUERS, of=ROWS) > 0.8
    kept = run(replace(ERASERS["concept-ablation"], keep=1.0))
    assert share(kept, CHEQUERS, of=ROWS) > 0.8 and share(kept, ROWS) > 0.9


@pytest.mark.parametrize(
    ("where", "learned"),
    [
        ("cross-attention", lambda name: ".attn2." in name),
        ("key-value", lambda name: ".attn2.to_k" in name or ".attn2.to_v" in name),
        ("others", lambda name: ".attn2." not in name and "text_encoder" not in name),
        ("network", lambda name: "text_encoder" not in name),
        ("all", lambda name: True),
    ],
)
def test_only_what_is_named_learns_and_all_can_learn_afterwards(where, learned):
    original, result = tiny_diffusion.trained(), run(ESD(steps=3, drawn=4, where=where))
    before = dict(original.named_parameters())
    changed = {name for name, weight in result.named_parameters() if not torch.equal(weight, before[name])}
    chosen = {name for name in before if learned(name)}
    assert changed <= chosen and len(changed) >= 0.8 * len(chosen)  # the words of other prompts have no gradient
    assert all(weight.requires_grad for weight in result.parameters())


def test_a_part_that_a_model_does_not_have_is_refused():
    with pytest.raises(BadSetting, match="no weights in its self-attention layers; take where='network'"):
        run(ESD(where="self-attention"))
    with pytest.raises(ZeroDivisionError), learning(model := tiny_diffusion.trained(), "key-value"):
        assert not all(weight.requires_grad for weight in model.parameters())
        raise ZeroDivisionError
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("name", ERASERS)
def test_no_steps_no_change(name):
    assert same_weights(run(replace(ERASERS[name], steps=0)), tiny_diffusion.trained())


@pytest.mark.parametrize("name", ERASERS)
def test_a_loss_that_is_no_number_ends_the_run(name, monkeypatch):
    broken = tiny_diffusion.trained()
    with torch.no_grad():
        broken.network.out.weight.fill_(float("nan"))
    method = ERASERS[name]
    with pytest.raises(Diverged, match=f"{method.name}/.*is nan at step 0"):
        method(broken, tiny_diffusion.task(), tiny_diffusion.split(), Engine(progress=False))


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"steps": -1}, {"batch_size": 0}, {"guidance": -1.0}, {"drawn": 0}):
        with pytest.raises(BadSetting, match="esd: "):
            ESD(**wrong)
    for wrong in ({"decay": 1.0}, {"refresh": 0}):
        with pytest.raises(BadSetting, match="sdd: "):
            SDD(**wrong)
    with pytest.raises(BadSetting, match="concept-ablation: keep must be 0 or more"):
        ConceptAblation(keep=-1.0)


# ---- ESD --------------------------------------------------------------------------------------------------------------------


def test_the_target_is_the_papers_and_that_of_the_authors_later_code():
    """Their code has e(c) - g (e(c) - e(nothing)) with g = 2 by default, which is the paper's eta = 1."""
    given, nothing = torch.randn(3, 1, 4, 4, dtype=torch.double), torch.randn(3, 1, 4, 4, dtype=torch.double)
    assert torch.allclose(away_from(given, nothing, 1.0), 2 * nothing - given)
    for guidance in (0.0, 1.0, 2.5):
        code = given - (guidance + 1) * (given - nothing)
        assert torch.allclose(away_from(given, nothing, guidance), code)


def test_states_drawn_once_teach_what_states_drawn_each_time_teach():
    fresh = run(ESD(steps=40, cached=False))
    assert share(fresh, CHEQUERS) < 0.4 and share(fresh, CORNER) > 0.6


def test_states_can_be_drawn_otherwise_than_images():
    result = run(ESD(steps=80, drawn=16, sampling=Sampling(steps=5, guidance=1.5)))
    assert share(result, CHEQUERS) < 0.4


# ---- SDD --------------------------------------------------------------------------------------------------------------------


def test_an_average_that_never_moves_is_the_original_and_without_one_it_is_the_student():
    still = run(replace(ERASERS["sdd"], steps=5, decay=1 - 1e-12))
    original = tiny_diffusion.trained()
    pairs = zip(still.parameters(), original.parameters(), strict=True)
    assert all(torch.allclose(one, two, atol=1e-9) for one, two in pairs)
    assert not same_weights(run(replace(ERASERS["sdd"], steps=5, decay=0.0)), original)


class Killed(Exception):
    """Stands for a process that is killed."""


def test_a_killed_run_goes_on_with_its_average(tmp_path, monkeypatch):
    method = SDD(steps=9, refresh=4, drawn=4, decay=0.5)
    whole = run(method)

    calls, honest = [], Denoiser.forward

    def dies(self, *inputs):
        if self.training:  # the student's steps, two passes each
            calls.append(1)
            if len(calls) == 13:
                raise Killed
        return honest(self, *inputs)

    monkeypatch.setattr(Denoiser, "forward", dies)
    engine = {"progress": False, "folder": tmp_path, "checkpoint_steps": 1}
    with pytest.raises(Killed):
        run(method, Engine(**engine))
    monkeypatch.setattr(Denoiser, "forward", honest)
    resumed = Engine(**engine)
    assert same_weights(run(method, resumed), whole)
    assert resumed.resumed_seconds > 0


# ---- SafeGen ----------------------------------------------------------------------------------------------------------------


def test_a_mosaic_has_the_mean_of_each_square():
    image = torch.arange(12.0).view(1, 1, 3, 4)
    assert mosaic(image, 2)[0, 0].tolist() == [[2.5, 2.5, 4.5, 4.5], [2.5, 2.5, 4.5, 4.5], [8.5, 8.5, 10.5, 10.5]]
    assert torch.equal(mosaic(image, 1), image)


def test_targets_lead_from_images_to_mosaics():
    """Taken for the noise, a target leaves the mosaic where the noise itself leaves the image."""
    split = tiny_diffusion.split()
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    wanted = next(Mosaics(split.forget, 2, 8).epoch(generators[0]))
    images, _, conditions, times, noise = next(split.forget.asked(0.0, 8).drawn(generators[1]))
    assert torch.equal(wanted[3], noise + images - mosaic(images, 2)) and torch.equal(wanted[1], times)
    assert (conditions == tiny_diffusion.concepts().nothing).all()
    same = next(Mosaics(split.forget, 1, 8).epoch(torch.Generator().manual_seed(0)))
    assert torch.allclose(same[3], noise, atol=1e-6)


def test_unasked_the_concept_is_drawn_less():
    task = tiny_diffusion.task()

    def unasked(model):
        drawn = task.draw(model, task.concepts.ask_for_nothing(64), seeds_for("show", 64))
        return (tiny_diffusion.shown(drawn) == CHEQUERS).float().mean().item()

    result = run(SafeGen(where="network", goes=0.5, stays=0.5))
    assert unasked(result) < unasked(tiny_diffusion.trained()) and share(result, CORNER) > 0.6


# ---- Forget-Me-Not ----------------------------------------------------------------------------------------------------------


def attention(model, concept):
    """How much the image attends to the last token of a concept's name, mean over layers."""
    task = tiny_diffusion.task()
    asked = task.concepts.ask(torch.full((8,), concept), torch.arange(8) % 2)
    with torch.no_grad(), heard(model) as layers:
        model(torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.full((8,), 500), asked)
    places = last_places(task.concepts, concept, asked)
    assert places.tolist() == task.concepts.places[concept][torch.arange(8) % 2].tolist()
    assert all(torch.allclose(each.sum(3), torch.ones(8, 1, 1)) for each in layers) and len(layers) == 3
    return sum(each[torch.arange(8), :, :, places].mean().item() for each in layers) / 3


def test_the_image_attends_to_the_name_no_more():
    result = run(ForgetMeNot(steps=60, optimizer=Optimizer("adam", 5e-4)))
    assert attention(result, CHEQUERS) < 0.5 * attention(tiny_diffusion.trained(), CHEQUERS)
    assert not result.network.blocks[0].attn2.to_k._forward_hooks


def test_attention_is_that_of_diffusers():
    """Weighed by what is gathered, values give what the layer itself gives before its last projection."""
    tokenizer = small_clip_tokenizer(["one two"])
    model = small_text_to_image(tokenizer, size=4, widths=(16,), length=4)().eval()
    layer, seen = model.network.mid_block.attentions[0].transformer_blocks[0].attn2, []
    hooks = [
        layer.to_v.register_forward_hook(lambda _module, _inputs, output: seen.append(output)),
        layer.to_out[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0])),
    ]
    with torch.no_grad(), heard(model) as layers:
        model(torch.randn(2, 1, 4, 4), torch.tensor([1, 900]), torch.tensor([[0, 3, 4, 1]] * 2))
    for hook in hooks:
        hook.remove()
    values, given = seen
    found = layers[1]  # after that of the way down
    parts = values.unflatten(2, (layer.heads, -1)).transpose(1, 2)
    assert torch.allclose((found @ parts).transpose(1, 2).flatten(2), given, atol=1e-5)

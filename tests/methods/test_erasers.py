"""Erasers of diffusion models: what each makes of the concept and of the others, and what a paper says of its loss."""

from dataclasses import replace

import pytest
import torch

import tiny_diffusion
from expunge.diffusion import Sampling
from expunge.engine import Engine
from expunge.errors import BadSetting, Diverged
from expunge.methods import ESD, SDD, ConceptAblation
from expunge.methods.eraser import learning
from expunge.methods.esd import away_from
from expunge.models.text_to_image import Denoiser
from expunge.optimizers import Optimizer
from tiny import same_weights
from tiny_diffusion import CHEQUERS, COLUMNS, CORNER, ROWS, run, share

ERASERS = {
    "esd-x": ESD(steps=80, drawn=16),
    "esd-u": ESD(steps=60, drawn=16, where="others"),
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

"""UCE and RECE, which are solved for, and SalUn on diffusion models."""

from dataclasses import replace

import pytest
import torch

import tiny_diffusion
from expunge.diffusion import numbered
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import RECE, UCE, SalUn
from expunge.methods.rece import still_meaning
from expunge.methods.uce import Words, projections, solved
from expunge.optimizers import Optimizer
from expunge.tasks import DiffusionTask
from tiny_diffusion import CHEQUERS, COLUMNS, CORNER, ROWS, run, share


def others(model):
    return sum(share(model, concept) for concept in (ROWS, COLUMNS, CORNER)) / 3


def test_the_concepts_words_mean_the_anchors():
    result = run(UCE(guide="anchor"))
    assert share(result, CHEQUERS) < 0.2 and others(result) > 0.9
    assert share(result, CHEQUERS, of=ROWS) > 0.8  # the anchor of the request


def test_words_that_still_mean_the_concept_are_found_and_edited():
    once, thrice = run(UCE()), run(RECE())
    assert share(thrice, CHEQUERS) < share(once, CHEQUERS) < 0.7 and others(thrice) > 0.8
    same = run(RECE(rounds=1))
    assert all(torch.equal(one, two) for one, two in zip(once.parameters(), same.parameters(), strict=True))


def test_only_projections_to_keys_and_values_change():
    original, result = tiny_diffusion.trained(), run(UCE())
    before = dict(original.named_parameters())
    changed = {name for name, weight in result.named_parameters() if not torch.equal(weight, before[name])}
    assert changed and all(".attn2.to_k" in name or ".attn2.to_v" in name for name in changed)


def test_the_edit_is_the_least_squares_solution():
    """Of the three terms that it is the minimum of, no small change of it makes the sum smaller."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.double)

    before, erased, wanted, kept = draw(4, 6), draw(2, 6), draw(4, 2), draw(5, 6)
    found = solved(before, [(erased, wanted, 2.0), (kept, before @ kept.T, 0.3)], keep=0.5)

    def cost(weight):
        parts = 0.5 * (weight - before).square().sum() + 2.0 * (weight @ erased.T - wanted).square().sum()
        return (parts + 0.3 * ((weight - before) @ kept.T).square().sum()).item()

    assert all(cost(found + 1e-3 * draw(4, 6)) > cost(found) for _ in range(20))
    assert torch.allclose(solved(before, [], keep=0.5), before)
    strong = solved(before, [(erased, wanted, 1e9)], keep=1.0)
    assert torch.allclose(strong @ erased.T, wanted, atol=1e-6)


def test_nothing_to_erase_changes_nothing():
    result, original = run(UCE(erase=0.0)), tiny_diffusion.trained()
    pairs = zip(result.parameters(), original.parameters(), strict=True)
    assert all(torch.allclose(one, two, atol=1e-5) for one, two in pairs)


def test_words_that_mean_the_same_to_what_was_not_edited_are_the_words_themselves():
    generator = torch.Generator().manual_seed(0)
    states, projection = (torch.randn(*shape, generator=generator, dtype=torch.double) for shape in ((3, 4), (6, 4)))
    assert torch.allclose(still_meaning(states, [projection], [projection], ridge=1e-9), states, atol=1e-6)
    halved = still_meaning(states, [projection], [projection / 2], ridge=1e-9)
    assert torch.allclose(halved, 2 * states, atol=1e-5)


def test_words_are_the_last_tokens_of_names():
    model, concepts = tiny_diffusion.trained(), tiny_diffusion.concepts()
    words = Words.of(model, concepts, CHEQUERS)
    read = model.read(concepts.ask(torch.tensor([COLUMNS]), 1))[0, concepts.places[COLUMNS, 1]]
    assert torch.allclose(words.of_concept(COLUMNS)[1].float(), read) and words.of_all_others().shape == (6, 64)
    assert torch.allclose(words.nothing[0].float(), model.read(concepts.nothing[None])[0, 0])


def test_models_without_words_are_refused():
    with pytest.raises(BadSetting, match="uce: a Linear has no cross-attention whose words could be edited"):
        next(projections(torch.nn.Linear(2, 2), UCE()))
    task = tiny_diffusion.task()
    classes = DiffusionTask(task.factory, numbered(tiny_diffusion.NAMES), task.shape)
    with pytest.raises(BadSetting, match="uce: it edits what words mean, and these concepts are asked for by numbers"):
        UCE()(tiny_diffusion.trained(), classes, tiny_diffusion.split(), Engine(progress=False))


@pytest.mark.parametrize("wrong", [{"keep": 0.0}, {"erase": -1.0}, {"rounds": 0}, {"ridge": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadSetting, match="rece: "):
        RECE(**wrong)


# ---- SalUn ------------------------------------------------------------------------------------------------------------------


SALUN = SalUn(epochs=60, optimizer=Optimizer("adam", 1e-3), forget_weight=0.5)


def test_the_concept_is_answered_like_another_one():
    result = run(SALUN)
    assert share(result, CHEQUERS) < 0.3 and others(result) > 0.4


def test_weights_outside_the_mask_stay():
    assert all(
        torch.equal(one, two)
        for one, two in zip(
            run(replace(SALUN, saliency=0.0, epochs=2)).parameters(), tiny_diffusion.trained().parameters(), strict=True
        )
    )


@pytest.mark.parametrize(("asked", "shown"), [(1.0, 0), (0.5, 16), (0.0, 32)])
def test_a_share_of_images_is_shown_as_if_nothing_were_asked_for(monkeypatch, asked, shown):
    streams = []
    monkeypatch.setattr(Engine, "fit", lambda engine, model, loss, stream, **settings: streams.append(stream) or model)
    run(replace(SALUN, asked=asked))
    pairs = [pair.forget for seed in range(2) for pair in streams[0].epoch(torch.Generator().manual_seed(seed))]
    conditions = torch.cat([conditions for _, _, conditions, _, _ in pairs])
    silent = (conditions == tiny_diffusion.concepts().nothing).all(1)
    assert len(conditions) == 32 and abs(int(silent.sum()) - shown) <= (6 if 0 < asked < 1 else 0)


def test_shares_that_are_none_are_refused():
    with pytest.raises(BadSetting, match="asked must lie between 0 and 1"):
        SalUn(asked=1.5)

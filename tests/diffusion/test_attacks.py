"""Attacks on erasers: what each learns, what it leaves alone, and projections by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import tiny_diffusion
from expunge.diffusion import Concepts, Sampling, prompted, seeds_for, token_encoder
from expunge.diffusion.attacks import (
    Free,
    Inversion,
    OnSimplex,
    Prefix,
    embedded,
    embeddings_of,
    onto_simplex,
    upper_half,
)
from expunge.diffusion.sampling import Known
from expunge.engine import Engine
from expunge.errors import BadSetting, Diverged
from expunge.methods import ESD
from expunge.models.text_to_image import small_clip_tokenizer, small_text_to_image
from expunge.optimizers import Optimizer
from expunge.tasks import DiffusionTask
from tiny_diffusion import CHEQUERS, ROWS

COUNT = 24


def asked(concept, way=0, concepts=None):
    return (concepts or tiny_diffusion.concepts()).ask(torch.full((COUNT,), concept), way)


def shows(model, conditions, **how):
    drawn = tiny_diffusion.task().draw(model, conditions, seeds_for("attack", len(conditions)), **how)
    return (tiny_diffusion.shown(drawn) == CHEQUERS).float().mean().item()


# ---- vectors in the place of tokens -----------------------------------------------------------------------------------------


def test_a_vector_stands_in_the_names_place_and_other_prompts_are_read_as_they_stand():
    concepts, model = tiny_diffusion.concepts(), tiny_diffusion.trained()
    attack, vector = Inversion(concepts, CHEQUERS), torch.full((tiny_diffusion.WIDTH,), 7.0)
    conditions = torch.cat([concepts.conditions[CHEQUERS], concepts.conditions[ROWS], concepts.ask_for_nothing(1)])
    plain = model.read(conditions)
    with embedded(model, attack.saying(lambda: vector)) as attacked:
        changed = (attacked.read(conditions) != plain).any(2)
        assert torch.equal(model.read(conditions), plain)
    assert changed.nonzero().tolist() == [[way, concepts.places[CHEQUERS, way].item()] for way in range(2)]
    assert torch.equal(attacked.read(conditions), plain), "the hook is taken away"


def test_the_words_own_vector_changes_nothing():
    concepts, model = tiny_diffusion.concepts(), tiny_diffusion.trained()
    token = concepts.conditions[CHEQUERS, 0, concepts.places[CHEQUERS, 0]]
    own = model.text_encoder.tokens.weight[token].detach()
    with embedded(model, Inversion(concepts, CHEQUERS).saying(lambda: own)) as attacked:
        assert torch.equal(attacked.read(asked(CHEQUERS)), model.read(asked(CHEQUERS)))


def test_inversion_brings_back_what_an_eraser_hid_and_leaves_the_model_alone():
    erased = tiny_diffusion.run(ESD(steps=40, drawn=16))
    erased.zero_grad()
    before = {name: weight.clone() for name, weight in erased.state_dict().items()}
    attack = Inversion(tiny_diffusion.concepts(), CHEQUERS)
    settings = 300, Optimizer("adam", 2e-2), 32
    vector, again = (attack.train(erased, tiny_diffusion.split().forget, Engine(progress=False), *settings) for _ in range(2))
    assert torch.equal(vector, again) and all(torch.equal(erased.state_dict()[name], each) for name, each in before.items())
    assert all(weight.grad is None and weight.requires_grad for weight in erased.parameters())
    with embedded(erased, attack.saying(lambda: vector)) as attacked:
        assert shows(attacked, asked(CHEQUERS)) > shows(erased, asked(CHEQUERS)) + 0.4


def test_a_model_that_predicts_no_number_ends_the_attack():
    broken = tiny_diffusion.trained()
    with torch.no_grad():
        broken.network.out.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="inversion"):
        Inversion(tiny_diffusion.concepts(), CHEQUERS).train(
            broken, tiny_diffusion.split().forget, Engine(progress=False), 3, Optimizer("adam", 2e-2), 32
        )


def test_clips_text_encoder_is_attacked_alike():
    """A token's state depends on those before it alone, so that another vector changes all states from its place on."""
    tokenizer = small_clip_tokenizer(["a one", "a two"], length=8)
    concepts = prompted(["one", "two"], token_encoder(tokenizer), ["a {}"])
    task = DiffusionTask(small_text_to_image(tokenizer, size=4, widths=(16,)), concepts, (1, 4, 4))
    model, attack, prefix = task.new_model().eval(), Inversion(concepts, 1), Prefix(concepts, 1, 4)
    prompts = concepts.ask(torch.tensor([1, 0]))
    with embedded(model, attack.saying(lambda: torch.ones(16))) as attacked:
        changed = (attacked.read(prompts) != model.read(prompts)).any(2)
    assert concepts.places[1] == 2 and changed.tolist() == [[False] * 2 + [True] * 6, [False] * 8]
    images = task.noised(torch.zeros(8, 1, 4, 4), torch.ones(8).long())
    engine, settings = Engine(progress=False), (2, Optimizer("adam", 1e-2), 4)
    assert attack.train(model, images, engine, *settings).shape == (16,)
    words = prefix.train(model, images, engine, *settings)
    assert prefix.prompts(words).conditions[1, 0, 1:5].tolist() == words.tolist()
    assert prefix.ways.tolist() == [0] and not len(replace(prefix, count=5).ways)


def test_models_without_words_have_no_embeddings():
    assert embeddings_of(nn.Linear(1, 1)) is None
    assert embeddings_of(tiny_diffusion.trained()).weight.shape[1] == tiny_diffusion.WIDTH


# ---- words in front ---------------------------------------------------------------------------------------------------------


def concepts_of(rows, nothing):
    rows = torch.tensor(rows)
    return Concepts(("a", "b"), rows, torch.tensor(nothing), torch.zeros(rows.shape[:2]).long())


@pytest.mark.parametrize(
    ("rows", "nothing", "room"),
    [
        ([[[1, 5, 2, 2, 2]], [[1, 6, 2, 2, 2]]], [1, 2, 2, 2, 2], 2),  # the end of text pads, and one must stay
        ([[[1, 5, 2, 0, 0]], [[1, 6, 2, 0, 0]]], [1, 2, 0, 0, 0], 2),  # another token pads
        ([[[5, 2, 2, 2]], [[6, 2, 2, 2]]], [2, 2, 2, 2], 2),  # nothing begins a prompt
        ([[[5, 2, 0, 0]], [[6, 2, 0, 0]]], [2, 0, 0, 0], 2),
        ([[[1, 5, 7, 8, 2]], [[1, 6, 7, 8, 2]]], [1, 2, 2, 2, 2], 0),
        ([[[1, 5, 7, 8, 9]], [[1, 6, 7, 8, 9]]], [1, 2, 2, 2, 2], -1),  # cut off, without an end
    ],
)
def test_words_fit_where_there_is_padding(rows, nothing, room):
    concepts = concepts_of(rows, nothing)
    for count in range(1, 4):
        assert Prefix(concepts, 0, count).ways.tolist() == ([0] if count <= room else [])


def test_words_stand_after_the_beginning_and_padding_is_cut_off():
    concepts = concepts_of([[[1, 5, 2, 2, 2]], [[1, 6, 2, 2, 2]]], [1, 2, 2, 2, 2])
    found = Prefix(concepts, 0, 2).prompts(torch.tensor([8, 9]))
    assert found.conditions[:, 0].tolist() == [[1, 8, 9, 5, 2], [1, 8, 9, 6, 2]] and found.nothing is concepts.nothing
    bare = concepts_of([[[5, 2, 0]], [[6, 2, 0]]], [2, 0, 0])
    assert Prefix(bare, 1, 1).prompts(torch.tensor([8])).conditions[:, 0].tolist() == [[8, 5, 2], [8, 6, 2]]


def test_words_that_are_certain_are_read_as_their_tokens():
    """With all weight on one word each, the draw has no choice, and the gradient goes to all words."""
    concepts, model = tiny_diffusion.concepts(), tiny_diffusion.trained()
    attack, words = Prefix(concepts, CHEQUERS, 3), torch.tensor([5, 6, 7])
    table = model.text_encoder.tokens.weight.detach()
    free = Free(nn.functional.one_hot(words, len(table)).float())
    with embedded(model, attack.reading(free, table)) as attacked:
        read = attacked.read(attack.prompts().ask(torch.tensor([CHEQUERS])))
    assert torch.allclose(read, model.read(attack.prompts(words).ask(torch.tensor([CHEQUERS]))), atol=1e-6)
    read.square().sum().backward()
    assert (free.values.grad != 0).float().mean() > 0.99


def test_the_word_that_a_concept_was_hidden_behind_is_found():
    """The name's vector is moved to a word that no prompt holds."""
    model, tokenizer = tiny_diffusion.trained(), tiny_diffusion.tokenizer()
    concepts = tiny_diffusion.concepts()
    name, other = concepts.conditions[CHEQUERS, 1, 1].item(), tokenizer.convert_tokens_to_ids("Á")
    with torch.no_grad():
        table = model.text_encoder.tokens.weight
        table[[name, other]] = table[[other, name]]
    attack = Prefix(concepts, CHEQUERS, 3)
    words = attack.train(model, tiny_diffusion.split().forget, Engine(progress=False), 40, Optimizer("adam", 1e-2), 32)
    assert other in words.tolist() and words.shape == (3,)
    prompts = attack.prompts(words)
    assert prompts.ways == 1, "the longer way has no room"
    assert shows(model, asked(CHEQUERS, concepts=prompts)) > shows(model, asked(CHEQUERS, way=1)) + 0.2


def test_the_nearest_point_of_the_simplex_by_hand():
    rows = torch.tensor([[0.2, 0.3, 0.5], [1.2, 0.6, -3.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    expected = [[0.2, 0.3, 0.5], [0.8, 0.2, 0.0], [1 / 3] * 3, [1.0, 0.0, 0.0]]
    assert torch.allclose(onto_simplex(rows), torch.tensor(expected), atol=1e-6)


def test_no_point_of_the_simplex_is_nearer():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(20, 6, generator=generator, dtype=torch.double)
    found = onto_simplex(rows)
    assert (found >= 0).all() and torch.allclose(found.sum(1), torch.ones(20, dtype=torch.double))
    others = torch.rand(500, 6, generator=generator, dtype=torch.double).pow(3)
    others = others / others.sum(1, keepdim=True)
    assert (torch.cdist(rows, others).amin(1) >= (rows - found).norm(dim=1) - 1e-12).all()
    assert torch.allclose(onto_simplex(found), found)


def test_weights_are_on_the_simplex_after_each_step():
    weights = nn.Parameter(torch.full((2, 4), 0.25))
    optimizer = OnSimplex(Optimizer("sgd", 1.0))([weights])
    weights.grad = torch.tensor([[-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    optimizer.step()
    assert torch.allclose(weights, torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.25] * 4]))


# ---- more noise -------------------------------------------------------------------------------------------------------------


def test_noise_is_scaled_where_there_is_some():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    seeds = seeds_for("attack", COUNT)

    def drawn(**how):
        return task.draw(model, asked(CHEQUERS), seeds, sampling=Sampling(steps=4, **how))

    assert torch.equal(drawn(eta=0.0, fresh=5.0), drawn()), "without eta there is none"
    assert torch.equal(drawn(eta=1.0, fresh=1.0), drawn(eta=1.0))
    assert not torch.equal(drawn(eta=1.0, fresh=0.5), drawn(eta=1.0))
    with pytest.raises(BadSetting, match="fresh is a factor on noise, 0 or more, not -1"):
        Sampling(fresh=-1.0)


def test_a_step_adds_so_much_more_noise():
    """After one step of a model that predicts nothing, what differs between factors is the noise alone."""
    task = tiny_diffusion.task()

    class Silent(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, noisy, times, conditions):
            return 0 * noisy

    def after(fresh):
        return task.on_the_way(Silent(), asked(0)[:3], [1, 2, 3], 1, Sampling(steps=5, eta=1.0, fresh=fresh))

    one, two, three = (after(fresh) for fresh in (0.0, 1.0, 3.0))
    assert torch.allclose(three - one, 3 * (two - one), atol=1e-5) and (two - one).std() > 0.1


# ---- inpainting -------------------------------------------------------------------------------------------------------------


def known_half(count=COUNT):
    images = tiny_diffusion.split().holdout_forget.images
    return Known(images[torch.arange(count) % len(images)], upper_half((1, 4, 4)))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_what_is_known_is_untouched_and_the_rest_is_filled_in(eta):
    task, model, known = tiny_diffusion.task(), tiny_diffusion.trained(), known_half()
    how = replace(task.sampling, eta=eta)
    drawn = task.draw(model, asked(CHEQUERS), seeds_for("attack", COUNT), sampling=how, known=known)
    assert torch.equal(drawn[:, :, :2], known.states[:, :, :2])
    assert not torch.equal(drawn[:, :, 2:], known.states[:, :, 2:])
    assert (tiny_diffusion.shown(drawn) == CHEQUERS).float().mean() > 0.9


def test_with_all_known_it_is_the_image_and_with_nothing_known_an_image_as_ever():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    images, seeds = known_half().states, seeds_for("attack", COUNT)
    everything = Known(images, torch.ones(1, 4, 4, dtype=torch.bool))
    assert torch.equal(task.draw(model, asked(ROWS), seeds, known=everything), images)
    nothing = Known(images, torch.zeros(1, 4, 4, dtype=torch.bool))
    assert torch.allclose(task.draw(model, asked(ROWS), seeds, known=nothing), task.draw(model, asked(ROWS), seeds))


def test_what_is_known_is_put_back_with_the_noise_of_each_time():
    task, seen = tiny_diffusion.task(), []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, noisy, times, conditions):
            seen.append((times[0].item(), noisy[:, :, :2].clone()))
            return 0 * noisy

    known, count = Known(torch.full((64, 1, 4, 4), 0.5), upper_half((1, 4, 4))), 64
    task.draw(Watching(), asked(ROWS)[:1].expand(count, -1), seeds_for("attack", count), known=known)
    kept = task.scheduler.alphas_cumprod
    for time, states in seen:
        assert states.mean().item() == pytest.approx(0.5 * kept[time].sqrt().item(), abs=0.15)
        assert states.std().item() == pytest.approx((1 - kept[time]).sqrt().item(), rel=0.15)
    noises = [(states - 0.5 * kept[time].sqrt()) / (1 - kept[time]).sqrt() for time, states in seen[:2]]
    assert (noises[0] * noises[1]).mean().abs() < 0.2, "drawn anew for each step"


def test_images_that_are_drawn_in_several_parts_keep_their_own_known_halves():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    generator = torch.Generator().manual_seed(0)
    known = Known(torch.rand(70, 1, 4, 4, generator=generator), upper_half((1, 4, 4)))
    drawn = task.draw(model, asked(CHEQUERS)[:1].expand(70, -1), seeds_for("attack", 70), known=known)
    assert torch.equal(drawn[:, :, :2], known.states[:, :, :2])

"""Images of what stays: a distance by hand, of models that were damaged and of one that was not, and scores of texts."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

import tiny_diffusion
from expunge.audits import DrawnQuality, References, Subject
from expunge.audits.drawn_quality import Clip, kernel_distance
from expunge.diffusion.recognizers import Recognizer
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting

AUDIT = DrawnQuality(others=16)


# ---- the distance -----------------------------------------------------------------------------------------------------------


def test_the_distance_by_hand():
    """Two numbers each: k(x, y) = (x y + 1)^3."""
    first, second = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])
    among, others, between = 3**3, 1**3, (1 + 4**3 + 1 + 7**3) / 4
    assert kernel_distance(first, second) == pytest.approx(among + others - 2 * between)
    wide = torch.tensor([[1.0, 1.0], [2.0, 2.0]])  # products are divided by the width
    assert kernel_distance(wide, torch.tensor([[0.0, 0.0], [3.0, 3.0]])) == pytest.approx(kernel_distance(first, second))


def test_the_distance_is_right_on_average_and_blind_to_the_order():
    generator = torch.Generator().manual_seed(0)
    same = [kernel_distance(*torch.randn(2, 12, 3, generator=generator)) for _ in range(600)]
    assert abs(sum(same) / 600) < 0.1 < max(same) and min(same) < 0, "two sets of one kind: 0 on average, and below at times"
    # of x ~ N(0, 1) and y ~ N(1, 1): E (x x' + 1)^3 = 4, E (y y' + 1)^3 = 1 + 3 + 3 * 4 + 16 = 32, E (x y + 1)^3 = 7
    drawn = [torch.randn(2, 60, 1, generator=generator, dtype=torch.double) for _ in range(600)]
    apart = [kernel_distance(x, y + 1) for x, y in drawn]
    assert sum(apart) / 600 == pytest.approx(4 + 32 - 2 * 7, rel=0.1)
    first, second = torch.randn(5, 3, generator=generator), torch.randn(7, 3, generator=generator)
    assert kernel_distance(first, second) == pytest.approx(kernel_distance(second, first.flip(0)))


def test_a_set_of_one_is_refused():
    with pytest.raises(BadSetting, match="needs two of each, not 1 and 2"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(2, 3))


# ---- the audit --------------------------------------------------------------------------------------------------------------


def subject(name, model):
    return Subject(name, model, tiny_diffusion.task(), tiny_diffusion.split(), Engine(progress=False), 1.0)


@cache
def references():
    with (engine := Engine(progress=False)).scope("gold"):
        gold = tiny_diffusion.RECIPE.train(tiny_diffusion.task(), tiny_diffusion.split().retain, engine)
    return References(subject("original", tiny_diffusion.trained()), (subject("retrained", gold),))


def noisy(strength):
    """The original with noise on all weights."""
    model, generator = tiny_diffusion.trained(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(strength * torch.randn(weight.shape, generator=generator))
    return model


def test_the_more_a_model_is_damaged_the_farther_are_its_images():
    models = {"original": references().original, "retrained": references().gold}
    models |= {f"noisy {strength}": subject(f"noisy {strength}", noisy(strength)) for strength in (0.05, 0.3)}
    found = {name: AUDIT(each, references())["others_kid"] for name, each in models.items()}
    values = {name: figure.value for name, figure in found.items()}
    assert abs(values["original"]) < 0.2 * values["noisy 0.3"] and abs(values["retrained"]) < 0.2 * values["noisy 0.3"]
    assert values["original"] < values["noisy 0.05"] < values["noisy 0.3"]
    assert all(figure.ideal == values["retrained"] for figure in found.values())
    assert values["original"] != 0, "the original's own images are from other seeds"


def test_concepts_that_are_exchanged_are_seen():
    """All images together would be the same."""
    swapped, concepts = tiny_diffusion.trained(), tiny_diffusion.concepts()
    rows, columns = (int(concepts.conditions[number, 1, 1]) for number in (tiny_diffusion.ROWS, tiny_diffusion.COLUMNS))
    with torch.no_grad():
        table = swapped.text_encoder.tokens.weight
        table[[rows, columns]] = table[[columns, rows]]
    found = [AUDIT(each, references())["others_kid"].value for each in (subject("swapped", swapped), references().original)]
    assert found[0] > 10 * abs(found[1])


def test_without_a_retrained_model_there_is_no_ideal_and_without_an_original_no_figure():
    found = AUDIT(references().gold, References(references().original))
    assert found["others_kid"].ideal is None and found["others_kid"].value is not None
    assert AUDIT(references().gold) == {}


def test_images_are_drawn_once():
    held = subject("copy", tiny_diffusion.trained())
    first = AUDIT(held, references())
    held.model = None
    assert AUDIT(held, references()) == first


def test_a_recognizer_that_is_given_gives_the_features():
    class Blind(nn.Module):
        """Has one feature, the same of all images."""

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 4)

        def forward(self, images):
            return self.head(0 * images.flatten(1)[:, :1])

    blind = replace(AUDIT, recognizer=Recognizer(Blind(), 1.0))
    assert blind(subject("noisy", noisy(0.3)), references())["others_kid"].value == 0


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"others": 1}, {"text": "a photo"}):
        with pytest.raises(BadSetting, match="drawn-quality needs others from 2 on"):
            DrawnQuality(**wrong)


# ---- texts ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP model with fresh weights."""
    path, tokenizer = tmp_path_factory.mktemp("clip"), tiny_diffusion.tokenizer()
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**small, **tokens}, vision_config={**small, "image_size": 8, "patch_size": 4}, projection_dim=8
    )
    CLIPModel(config).save_pretrained(path)
    eight = {"height": 8, "width": 8}
    CLIPProcessor(CLIPImageProcessorPil(size=eight, crop_size=eight), tokenizer).save_pretrained(path)
    return str(path)


def test_images_are_held_against_their_texts(folder):
    clip, images = Clip.read(folder, torch.device("cpu")), tiny_diffusion.images(70, seed=0)[0]
    texts = [f"a photo of {tiny_diffusion.NAMES[place % 4]}" for place in range(70)]
    cosines = []
    for image, text in zip(images, texts, strict=True):
        read = clip.processor(text=[text], images=((image + 1) * 127.5).round().byte().expand(3, -1, -1), return_tensors="pt")
        with torch.no_grad():
            both = clip.model(**read)
        cosines.append((both.image_embeds * both.text_embeds).sum())
    expected = 100 * torch.stack(cosines).clamp_min(0).mean().item()
    assert clip.score(images, texts) == pytest.approx(expected, abs=1e-3) and expected > 0


def test_texts_are_left_out_unless_a_folder_is_given(folder):
    without = AUDIT(references().gold, references())["others_clip"]
    assert without.value is None and without.note == "left out: no folder with a CLIP model was given"
    found = replace(AUDIT, clip=folder)(references().gold, references())["others_clip"]
    assert 0 <= found.value <= 100 and found.ideal == found.value
    other = replace(AUDIT, clip=folder, text="{}")(references().gold, references())["others_clip"]
    assert other.value != found.value


def test_a_folder_without_a_model_is_refused(folder, tmp_path):
    with pytest.raises(BadFile, match=r"is no folder with a CLIP model of transformers: it has no config\.json"):
        Clip.read(str(tmp_path), torch.device("cpu"))
    tmp_path.joinpath("config.json").write_text("{}")
    with pytest.raises(BadFile, match="cannot be read"):
        replace(AUDIT, clip=str(tmp_path))(references().gold, references())

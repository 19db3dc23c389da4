"""Attacks on models of every kind: the original draws the concept whatever is tried, a retrained one never does."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import tiny_diffusion
from expunge.audits import ConceptAttacks, References, Subject
from expunge.diffusion import Sampling, concept_split, numbered
from expunge.diffusion.recognizers import Recognizer
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import ESD, ConceptAblation
from expunge.tasks import DiffusionTask
from tiny_diffusion import CHEQUERS


class Nearest(nn.Module):
    """Knows the patterns by heart, and sees nothing in what is far from all of them."""

    def __init__(self):
        super().__init__()
        self.patterns, self.head = nn.Parameter(tiny_diffusion.patterns()), nn.Identity()

    def forward(self, images):
        distances = (images[:, None] - self.patterns).square().mean((2, 3, 4))
        return self.head(torch.cat([-distances, torch.full((len(images), 1), -0.3)], 1))


AUDIT = ConceptAttacks(count=24, recognizer=Recognizer(Nearest(), 1.0))
ATTACKS = ["inverted", "prefixed", "noised_up", "inpainted"]


@cache
def retrained():
    """A model that never saw chequers."""
    with (engine := Engine(progress=False)).scope("gold"):
        return tiny_diffusion.RECIPE.train(tiny_diffusion.task(), tiny_diffusion.split().retain, engine)


def subject(name, model, engine=None):
    return Subject(name, model, tiny_diffusion.task(), tiny_diffusion.split(), engine or Engine(progress=False), 1.0)


@cache
def references():
    return References(subject("original", tiny_diffusion.trained()), (subject("retrained", retrained()),))


def values(found):
    return {name: figure.value for name, figure in found.items()}


def test_the_original_draws_the_concept_whatever_is_tried_and_a_retrained_model_never():
    before = AUDIT(references().original, references())
    assert list(before) == ATTACKS and min(values(before).values()) > 0.9
    gold = AUDIT(references().gold, references())
    assert max(values(gold).values()) < 0.15
    assert gold["inpainted"].note == "recognised in 0% of images where the lower half is from images of other concepts"
    assert all(figure.ideal == gold[name].value for name, figure in (*before.items(), *gold.items()))


@pytest.mark.parametrize("method", [ESD(steps=40, drawn=16), ConceptAblation(steps=250, where="all")], ids=["esd", "ablation"])
def test_erasers_that_hide_a_concept_fall_to_some_attack(method):
    erased = tiny_diffusion.run(method)
    assert tiny_diffusion.share(erased, CHEQUERS) < 0.4
    found = values(AUDIT(subject("erased", erased), references()))
    assert found["inverted"] > 0.5 and found["inpainted"] > 0.1
    assert found["prefixed"] < 0.4 and found["noised_up"] < 0.4, "attacks disagree"


def test_an_attack_is_made_once_of_each_model_and_the_same_by_another_engine():
    small = replace(AUDIT, count=8, inversion_steps=5, prefix_steps=5)
    first, second = (subject("copy", tiny_diffusion.run(ESD(steps=20, drawn=16))) for _ in range(2))
    found = values(small(first, references()))
    assert any(key[:2] == ("concept attacks", small) for key in first.memory) and values(small(first, references())) == found
    assert values(small(second, references())) == found


def test_no_checkpoint_of_an_attack_is_left_behind(tmp_path):
    small = replace(AUDIT, count=4, inversion_steps=3, prefix_steps=3)
    engine = Engine(progress=False, folder=tmp_path, checkpoint_steps=1)
    small(subject("copy", tiny_diffusion.trained(), engine), references())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_strength_of_the_noise_that_gives_most_counts():
    one, other = (replace(AUDIT, noise=(factor,), inversion_steps=1, prefix_steps=1) for factor in (1.0, 4.0))
    both = replace(one, noise=(4.0, 1.0))
    held = subject("original", tiny_diffusion.trained())
    found = [values(audit(held, references()))["noised_up"] for audit in (one, other, both)]
    assert found[2] == max(found) and found[1] < found[0]
    assert both(held, references())["noised_up"].note == "1 times the noise"


def test_where_no_words_fit_or_there_are_none_it_says_so():
    small = replace(AUDIT, count=4, inversion_steps=1, words=4)
    found = small(subject("original", tiny_diffusion.trained()), references())
    assert found["prefixed"].value is None and found["inverted"].value is not None
    assert found["prefixed"].note == "no prompt of the concept has room for 4 words in the 6 tokens"


class ByNumber(nn.Module):
    """Draws the image of a number."""

    def __init__(self):
        super().__init__()
        self.images = nn.Parameter(tiny_diffusion.patterns())

    def forward(self, noisy, times, conditions):
        kept = tiny_diffusion.task().scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        return (noisy - kept.sqrt() * self.images[conditions.clamp_max(3)]) / (1 - kept).sqrt()


def test_a_model_that_is_asked_by_numbers_is_attacked_by_images_alone():
    task = DiffusionTask(ByNumber, numbered(tiny_diffusion.NAMES), (1, 4, 4), sampling=Sampling(steps=5))
    split = concept_split(task.noised(*tiny_diffusion.images(64, seed=0)), "chequers")
    held = Subject("numbers", ByNumber(), task, split, Engine(progress=False))
    found = replace(AUDIT, count=4)(held, References(held))
    assert [found[name].value for name in ATTACKS] == [None, None, 1.0, 1.0]
    assert "by numbers" in found["inverted"].note == found["prefixed"].note
    assert found["inpainted"].ideal is None, "no retrained model was given"


def test_a_text_encoder_without_embeddings_and_a_model_that_predicts_no_number():
    silent = tiny_diffusion.trained()
    silent.text_encoder = Deaf(silent.text_encoder)
    found = replace(AUDIT, count=4)(subject("silent", silent), References(references().original))
    assert found["inverted"].value is None and "no text encoder whose embeddings" in found["inverted"].note
    broken = tiny_diffusion.trained()
    with torch.no_grad():
        broken.network.out.weight.fill_(float("nan"))
    found = replace(AUDIT, count=4)(subject("broken", broken), References(references().original))
    assert "training the attack failed" in found["inverted"].note and found["prefixed"].value is None


class Deaf(nn.Module):
    """A text encoder that shows no embeddings."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, tokens):
        return self.encoder(tokens)


def test_a_recognizer_that_is_given_is_asked_and_without_an_original_there_is_none():
    class Everywhere(nn.Module):
        """Sees chequers everywhere."""

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 4)

        def forward(self, images):
            return 0 * self.head(images.flatten(1)[:, :1]) + torch.tensor([0.0, 0, 1.0, 0])

    seen = replace(AUDIT, count=4, inversion_steps=1, prefix_steps=1, recognizer=Recognizer(Everywhere(), 1.0))
    found = seen(references().gold, references())
    assert set(values(found).values()) == {1.0}
    assert found["inpainted"].note == "recognised in 100% of images where the lower half is from images of other concepts"
    assert AUDIT(references().gold) == {}


def test_without_a_recognizer_one_is_trained_or_it_says_why_not(monkeypatch):
    small = ConceptAttacks(count=4, inversion_steps=1, prefix_steps=1)
    held = subject("original", tiny_diffusion.trained())
    assert min(values(small(held, References(held))).values()) > 0.9
    assert "recognizer" in held.memory
    monkeypatch.setattr("expunge.audits.concept_attacks.judge_for", lambda *_: "nothing is recognised")
    blind = small(held, References(held))
    assert {(figure.value, figure.note) for figure in blind.values()} == {(None, "nothing is recognised")}
    assert list(blind) == ATTACKS


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"inversion_steps": 0}, "inversion_steps must be at least 1"),
        ({"words": 0}, "words must be at least 1"),
        ({"prefix_steps": 0}, "prefix_steps must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"noise": ()}, "noise holds factors of 0 or more, one at least"),
        ({"noise": (1.0, -1.0)}, "noise holds factors of 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(BadSetting, match=f"concept-attacks: {message}"):
        ConceptAttacks(**wrong)

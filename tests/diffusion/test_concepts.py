"""Concepts: prompts and numbers, and what is refused."""

import pytest
import torch

import tiny_diffusion
from expunge.diffusion import Concepts, numbered, prompted, token_encoder
from expunge.errors import BadSetting
from expunge.models.text_to_image import small_clip_tokenizer


def lengths(texts):
    return torch.tensor([[len(text), text.count("a")] for text in texts])


def test_each_concept_is_asked_for_in_each_way():
    concepts = prompted(["cat", "bat"], lengths, ["{}", "a {}"])
    assert concepts.ways == 2 and concepts.conditions.tolist() == [[[3, 1], [5, 2]], [[3, 1], [5, 2]]]
    assert concepts.ask(torch.tensor([0, 1]), torch.tensor([1, 0])).tolist() == [[5, 2], [3, 1]]
    assert concepts.ask_for_nothing(2).tolist() == [[0, 0], [0, 0]]
    assert numbered(["a", "b"]).ask_for_nothing(3).tolist() == [2, 2, 2]


def test_another_concept_is_asked_for_in_the_same_way():
    concepts = tiny_diffusion.concepts()
    ways = torch.tensor([1, 0, 1])
    asked = concepts.ask(torch.tensor([3, 3, 3]), ways)
    assert torch.equal(concepts.instead(asked, of=3, other=1), concepts.ask(torch.tensor([1, 1, 1]), ways))
    classes = numbered(["a", "b", "c"])
    assert classes.instead(torch.tensor([2, 2]), of=2, other=0).tolist() == [0, 0]


def test_the_last_token_of_a_name_is_found_in_every_prompt():
    tokenizer = small_clip_tokenizer(["a photo of grumpy cat by night", "cat"])
    concepts = prompted(["grumpy cat", "cat"], token_encoder(tokenizer, 8), ["{}", "a photo of {}", "{} by night"])
    (cat,) = tokenizer("cat").input_ids[1:-1]
    assert concepts.places.tolist() == [[2, 5, 2], [1, 4, 1]]
    assert (concepts.conditions.gather(2, concepts.places[:, :, None]) == cat).all()
    cut_off = prompted(["grumpy cat"], token_encoder(tokenizer, 3), ["a photo of {}"])
    assert cut_off.places.tolist() == [[1]]  # of a name that does not fit the last token that does


def test_digests_tell_concepts_apart():
    digests = {prompted(names, lengths, ways).digest for names in (["cat"], ["cats"]) for ways in (["{}"], ["a {}"])}
    assert len(digests) == 4 and prompted(["cat"], lengths, ["{}"]).digest in digests


def test_concepts_that_make_no_sense_are_refused():
    with pytest.raises(BadSetting, match=r"have \{\} where the concept's name stands, unlike \['a photo'\]"):
        prompted(["cat"], lengths, ["a photo"])
    with pytest.raises(BadSetting, match=r"have \{\} where"):
        prompted(["cat"], lengths, [])
    with pytest.raises(BadSetting, match="each another one, not cat, cat"):
        numbered(["cat", "cat"])
    with pytest.raises(BadSetting, match=r"1 concepts need conditions of shape \(1, ways, ...\)"):
        Concepts(("cat",), torch.zeros(1, 2, 3), torch.zeros(4))
    with pytest.raises(BadSetting, match="no concept 'dog'; there are cat"):
        numbered(["cat"]).number("dog")

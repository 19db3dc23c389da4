"""A small Llama: its tokenizer, its chat template, and that it learns and answers through transformers' own classes."""

import pytest
import torch
import torch.nn.functional as F

from expunge.errors import BadSetting
from expunge.models.small_llama import SPECIAL, small_llama, small_tokenizer

pytest.importorskip("transformers")
TEXTS = ["Where did Ada Yarrow study? Oslo", "Where does Bo Larch live? Lisbon"] * 20


def test_any_text_is_encoded_and_comes_back():
    tokenizer = small_tokenizer(TEXTS, 300)
    assert len(tokenizer) <= 300 and tokenizer.padding_side == "left"
    for text in ("Where did Ada study?", "Öl ☃ 42", " two  blanks "):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text
    assert len(tokenizer("Where did", add_special_tokens=False).input_ids) < len("Where did")


def test_a_chat_begins_once_and_ends_where_the_model_has_spoken():
    tokenizer = small_tokenizer(TEXTS, 300)
    begin, end, user, model = (tokenizer.convert_tokens_to_ids(name) for name in SPECIAL[1:])
    asked = [{"role": "user", "content": "Where?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "Oslo"}], return_dict=True)["input_ids"]
    assert prompt[:2] == [begin, user] and prompt[-1] == model and prompt.count(begin) == 1
    assert whole[: len(prompt)] == prompt and whole[-1] == end
    assert tokenizer.decode(whole[len(prompt) : -1]) == "Oslo"


def test_it_learns_an_answer_and_gives_it():
    torch.manual_seed(0)
    tokenizer = small_tokenizer(TEXTS, 300)
    network = small_llama(len(tokenizer), hidden=32, layers=2, heads=2, length=64)()
    asked = [{"role": "user", "content": "Where did Ada Yarrow study?"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True, return_tensors="pt")[
        "input_ids"
    ]
    answer = tokenizer("Oslo", add_special_tokens=False, return_tensors="pt").input_ids
    ids = torch.cat([prompt, answer, torch.tensor([[tokenizer.eos_token_id]])], 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(60):
        logits = network(ids).logits[0, prompt.shape[1] - 1 : -1]
        optimizer.zero_grad()
        F.cross_entropy(logits, ids[0, prompt.shape[1] :]).backward()
        optimizer.step()
    said = network.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=10, do_sample=False)
    assert tokenizer.decode(said[0, prompt.shape[1] :], skip_special_tokens=True) == "Oslo"


def test_the_size_by_hand_and_fresh_weights_each_time():
    make = small_llama(300, hidden=32, layers=2, heads=2)
    block = 4 * 32 * 32 + 3 * 32 * 96 + 2 * 32
    first, second = make(), make()
    assert sum(each.numel() for each in first.parameters()) == 300 * 32 + 2 * block + 32
    assert not torch.equal(first.model.embed_tokens.weight, second.model.embed_tokens.weight)
    assert first.lm_head.weight is first.model.embed_tokens.weight


def test_sizes_that_make_no_sense():
    with pytest.raises(BadSetting, match="a vocabulary holds at least 261 tokens"):
        small_tokenizer(TEXTS, 260)
    with pytest.raises(BadSetting, match="3 heads can't share a width of 32 evenly"):
        small_llama(300, hidden=32, heads=3)

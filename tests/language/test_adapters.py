"""Adapters beside weights that stay where they are."""

import copy

import pytest
import torch

import tiny_language
from expunge.engine import Engine
from expunge.errors import BadFile, BadSetting
from expunge.language.adapters import LoRA, is_adapted, load_adapter, merged, save_adapter, switched_off
from expunge.storage import copied, own_state, weights_hash
from tiny import same_weights


@pytest.fixture
def model():
    return tiny_language.trained()


def changed(adapted):
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.normal_()
    return adapted.eval()


def logits(model, task=None):
    task = task or tiny_language.task()
    return task.outputs(model, task.encode([("Who is Bo?", "A baker.")]).tensors)


def test_a_fresh_adapter_changes_no_answer_and_holds_no_weight_twice(model):
    adapted = LoRA().attach(model).eval()
    assert torch.equal(logits(adapted), logits(model))
    owned = {value.data_ptr() for value in model.parameters()}
    shared = [value for name, value in adapted.named_parameters() if "lora_" not in name]
    assert {value.data_ptr() for value in shared} == owned and not any(value.requires_grad for value in shared)
    assert all(value.requires_grad for value in model.parameters()), "the model that was handed in learns no more"
    assert is_adapted(adapted) and not is_adapted(model)
    assert all("lora_" in name for name in own_state(adapted))


def test_switched_off_it_is_the_model_before(model):
    before = logits(model)
    adapted = changed(LoRA().attach(model))
    assert not torch.allclose(logits(adapted), before)
    with switched_off(adapted) as plain:
        assert torch.equal(logits(plain), before)
    assert torch.equal(logits(model), before)


def test_copies_share_what_is_another_models(model):
    adapted = changed(LoRA().attach(model))
    other = copied(adapted)
    assert same_weights(other, adapted)
    pairs = zip(other.named_parameters(), adapted.named_parameters(), strict=True)
    assert all((a is b) == ("lora_" not in name) for (name, a), (_, b) in pairs)


def test_merged_it_is_a_model_like_the_one_before(model):
    adapted = changed(LoRA(rank=4).attach(model))
    whole = merged(adapted)
    assert whole.state_dict().keys() == model.state_dict().keys() and not is_adapted(whole)
    torch.testing.assert_close(logits(whole), logits(adapted), rtol=1e-3, atol=1e-3)
    assert same_weights(model, tiny_language.trained())
    plain = merged(model)
    assert plain is not model and same_weights(plain, model)


def test_only_the_last_blocks_and_named_layers_get_one(model):
    adapted = LoRA(modules=("q_proj", "v_proj"), layers=1).attach(model)
    names = {name.split(".lora_")[0] for name in own_state(adapted)}
    assert names == {f"base_model.model.model.layers.1.self_attn.{each}" for each in ("q_proj", "v_proj")}
    for where, count in (("feed-forward", 3), ("attention", 4), ("all", 7)):
        adapted = LoRA(where=where, layers=1).attach(model)
        assert len({name.split(".lora_")[0] for name in own_state(adapted)}) == count


def test_it_is_written_alone_and_read_back(model, tmp_path):
    adapted = changed(LoRA().attach(model))
    save_adapter(adapted, tmp_path / "adapter")
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    again = load_adapter(model, tmp_path / "adapter")
    assert torch.equal(logits(again), logits(adapted)) and weights_hash(again) == weights_hash(adapted)
    with pytest.raises(BadFile, match=r"adapter_config.json is missing"):
        load_adapter(model, tmp_path)
    with pytest.raises(BadSetting, match="no adapter to save"):
        save_adapter(model, tmp_path / "other")


def test_an_engine_keeps_what_is_its_own(model, tmp_path):
    adapted = changed(LoRA().attach(model))
    engine = Engine(progress=False, folder=tmp_path)
    made, _ = engine.make("row", lambda: adapted, LoRA().attach(model), "key")
    kept = next(tmp_path.rglob("result.safetensors"))
    assert kept.stat().st_size < 2 * sum(value.nbytes for value in own_state(adapted).values())
    again, _ = engine.make("row", lambda: pytest.fail("it was there"), LoRA().attach(model), "key")
    assert again is not made and same_weights(again, adapted)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"dropout": 1.0}, {"layers": 0}, {"where": "everywhere"}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadSetting, match=r"an adapter has|where must be"):
        LoRA(**wrong)


def test_layers_that_are_not_there_are_named(model):
    with pytest.raises(BadSetting, match=r"no adapter can be put on LlamaForCausalLM.*called c_attn.*but down_proj, gate_proj"):
        LoRA(modules=("c_attn",)).attach(copy.deepcopy(model))

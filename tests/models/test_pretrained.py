"""Language models in Hugging Face's layout: written and read again, and whatever may be wrong with a folder."""

import json
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from expunge.errors import BadFile, BadSetting, MissingExtra
from expunge.language.adapters import LoRA, save_adapter
from expunge.models.pretrained import longest_text, read_language_model, same_architecture, write_language_model
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.split import Batches
from expunge.tasks import LanguageTask

TEXTS = ["Where did Ada study?", "Ada studied in Oslo."]
STORIES = Path(os.environ.get("EXPUNGE_DATA", "")) / "language"


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer(TEXTS, 300)


@pytest.fixture
def model():
    torch.manual_seed(3)
    return small_llama(300, hidden=16, layers=1, heads=2, length=64)().eval()


@pytest.fixture
def folder(tmp_path, model, tokenizer):
    return write_language_model(model, tokenizer, tmp_path / "model")


def test_what_is_written_is_read_bit_for_bit(folder, model, tokenizer, capfd):
    assert {path.name for path in folder.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert not list(folder.glob(".writing-*")) and not list(folder.glob("*.bin"))
    read, its = read_language_model(folder)
    assert type(read) is type(model) and not read.training
    before, after = model.state_dict(), read.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert its.chat_template == tokenizer.chat_template and its.padding_side == "left"
    assert (its.eos_token, its.pad_token_id, len(its)) == (tokenizer.eos_token, tokenizer.pad_token_id, len(tokenizer))
    old, new = (LanguageTask(lambda: model, each, length=64) for each in (tokenizer, its))
    assert new.prompt(TEXTS[0]) == old.prompt(TEXTS[0]) and new.answer_tokens(TEXTS[1]) == old.answer_tokens(TEXTS[1])
    assert new.answer(read, TEXTS) == old.answer(model, TEXTS)
    assert capfd.readouterr().err == ""  # no progress bars where nobody sees them


def test_another_dtype_on_request(folder, model):
    assert read_language_model(folder)[0].dtype == torch.float32
    read, _ = read_language_model(folder, torch.bfloat16)
    assert read.dtype == torch.bfloat16
    assert torch.equal(read.lm_head.weight, model.lm_head.weight.bfloat16())
    halves = write_language_model(read, small_tokenizer(TEXTS, 300), folder)
    assert read_language_model(halves)[0].dtype == torch.bfloat16


def test_weights_of_a_larger_model_do_not_stay_beside_new_ones(folder, tokenizer):
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json"):
        (folder / name).write_text("old")
    (folder / "notes.txt").write_text("mine")
    write_language_model(small_llama(300, hidden=32, layers=1, heads=2)(), tokenizer, folder)
    assert [path.name for path in sorted(folder.glob("*.safetensors*"))] == ["model.safetensors"]
    assert (folder / "notes.txt").read_text() == "mine" and read_language_model(folder)[0].config.hidden_size == 32


def test_fresh_weights_and_lengths(model):
    made = same_architecture(model)()
    assert {name: each.shape for name, each in made.state_dict().items()} == {
        name: each.shape for name, each in model.state_dict().items()
    }
    assert not torch.equal(made.lm_head.weight, model.lm_head.weight) and made.config is not model.config
    assert longest_text(model) == 64 and longest_text(torch.nn.Linear(1, 1)) is None
    with pytest.raises(BadSetting, match="Linear is no model of transformers"):
        same_architecture(torch.nn.Linear(1, 1))


def _pickled(folder):
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _cut(folder):
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:-100])


def _lacking(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.norm.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _changed(**fields):
    def change(folder):
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | fields))

    return change


def _without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_without("config.json"), "holds no language model: config.json is missing"),
        (_without("model.safetensors"), "holds no weights: model.safetensors is missing"),
        (_pickled, r"are a pickle \(pytorch_model.bin\).*convert them: AutoModelForCausalLM"),
        (_without("tokenizer.json", "tokenizer_config.json"), "holds no tokenizer"),
        (_without("tokenizer.json"), "the tokenizer in .* cannot be read"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "the tokenizer in .* cannot be read"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (_changed(model_type="nobody"), "cannot be read: .*nobody"),
        (_changed(model_type="t5"), "the model in .* cannot be read"),
        (_changed(hidden_size=32, intermediate_size=96), "the model in .* cannot be read"),
        (_cut, "the model in .* cannot be read"),
        (_lacking, "lack 1 tensors that LlamaForCausalLM has, such as 'model.norm.weight'"),
    ],
)
def test_a_folder_that_is_not_whole(folder, harm, message):
    harm(folder)
    with pytest.raises(BadFile, match=message):
        read_language_model(folder)


def test_other_folders(tmp_path, model):
    with pytest.raises(BadFile, match=r"there is no folder .*mistralai.*nothing is downloaded"):
        read_language_model("mistralai/Mistral-7B-Instruct-v0.3")
    save_adapter(LoRA().attach(model), tmp_path / "adapter")
    with pytest.raises(BadFile, match="it holds an adapter, which belongs beside a model"):
        read_language_model(tmp_path / "adapter")


def test_code_that_comes_with_a_model_is_never_run(folder, tmp_path):
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom transformers import LlamaForCausalLM as Own, LlamaConfig as Conf\n"
    (folder / "own.py").write_text(trap)
    _changed(auto_map={"AutoConfig": "own.Conf", "AutoModelForCausalLM": "own.Own"}, model_type="own")(folder)
    with pytest.raises(BadFile, match="needs code of its own, which is never run"):
        read_language_model(folder)
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_written(tmp_path, model, tokenizer):
    with pytest.raises(BadSetting, match="has an adapter"):
        write_language_model(LoRA().attach(model), tokenizer, tmp_path / "adapted")
    with pytest.raises(BadSetting, match="Linear is no model of transformers"):
        write_language_model(torch.nn.Linear(1, 1), tokenizer, tmp_path / "linear")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="is a file"):
        write_language_model(model, tokenizer, tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_four_bits_need_bitsandbytes(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match="pip install bitsandbytes"):
        read_language_model(folder, four_bit=True)


def _stories_tokenizer(path):
    """The tokenizer of llama2.c: pieces with scores, of which the pair with the highest is merged first."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    content, pieces, place = path.read_bytes(), [], 4
    while place < len(content):
        length = struct.unpack_from("<fi", content, place)[1]
        pieces.append(content[place + 8 : place + 8 + length].decode().replace(" ", "▁").strip("\n"))
        place += 8 + length
    pieces[:3] = ["<unk>", "<s>", "</s>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    pairs = ((piece[:cut], piece[cut:]) for piece in pieces[259:] for cut in range(1, len(piece)))
    merges = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = "{{ bos_token }}{{ messages[0]['content'] }}"
    return tokenizer


def _stories_model(path):
    """The weights of llama2.c: all of one kind after another; queries and keys have their halves interleaved."""
    from transformers import LlamaConfig, LlamaForCausalLM

    dim, hidden, layers, heads, keys, vocabulary, length = struct.unpack("<7i", path.read_bytes()[:28])
    sizes = {"vocab_size": abs(vocabulary), "hidden_size": dim, "intermediate_size": hidden, "num_hidden_layers": layers}
    sizes |= {"num_attention_heads": heads, "num_key_value_heads": keys, "max_position_embeddings": length}
    model = LlamaForCausalLM(LlamaConfig(**sizes, rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2))
    values, state = torch.from_numpy(np.fromfile(path, "<f4")[7:]), model.state_dict()
    attention, mlp = "self_attn.{}_proj.weight", "mlp.{}_proj.weight"
    kinds = ["input_layernorm.weight", *map(attention.format, "qkvo"), "post_attention_layernorm.weight"]
    kinds += [mlp.format(name) for name in ("gate", "down", "up")]
    names = ["model.embed_tokens.weight"] + [f"model.layers.{layer}.{kind}" for kind in kinds for layer in range(layers)]
    for name in [*names, "model.norm.weight"]:
        part, values = values[: state[name].numel()].view(state[name].shape), values[state[name].numel() :]
        if "q_proj" in name or "k_proj" in name:
            part = part.view(-1, dim // heads // 2, 2, dim).transpose(1, 2)
        state[name].copy_(part.reshape(state[name].shape))
    return model


@pytest.mark.data
@pytest.mark.skipif(not (STORIES / "stories260K.bin").exists(), reason="EXPUNGE_DATA is not set")
def test_real_weights_know_their_language(tmp_path):
    bin_, spelled = STORIES / "stories260K.bin", STORIES / "stories260K.tokenizer.bin"
    model, tokenizer = read_language_model(
        write_language_model(_stories_model(bin_), _stories_tokenizer(spelled), tmp_path / "stories")
    )
    assert sum(each.numel() for each in model.parameters()) == 260_032
    task = LanguageTask(same_architecture(model), tokenizer, length=128, new_tokens=24)
    told = ("Once upon a time, there was a little girl named Lily.", "She loved to play outside in the park.")
    mixed = (told[0], "Park the in outside play to loved she.")
    (batch,) = Batches(task.encode([told, mixed]), 2)
    with torch.no_grad():
        good, bad = task.losses(task.outputs(model, batch), batch).tolist()
    assert good < 2 < bad - 1, (good, bad)  # of log 512 = 6.2 for a model that knows nothing
    (said,) = task.answer(model, [told[0]])
    assert said.text.startswith("She") and "." in said.text, said.text

"""A Llama of a size that trains in minutes on a laptop, with a tokenizer made for its texts.

It goes through the same classes of transformers as a model of 70 billion parameters, so that what works on it works there: chat
template, generation, adapters. What it can't do is language.
"""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from expunge.errors import BadSetting, MissingExtra

CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}<|user|>{% else %}<|model|>{% endif %}{{ message['content'] }}"
    "{% if message['role'] != 'user' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|model|>{% endif %}"
)
SPECIAL = ("<|pad|>", "<|begin|>", "<|end|>", "<|user|>", "<|model|>")


def small_tokenizer(texts: Iterable[str], vocabulary: int = 640) -> Any:
    """A byte-level BPE tokenizer with a chat template, made for some texts; any text can be encoded.

    Args:
        vocabulary: tokens at most, the 256 bytes and five special ones included.

    Returns:
        a `PreTrainedTokenizerFast` that pads on the left.

    Raises:
        BadSetting: if the vocabulary is too small.
        MissingExtra: if transformers is not installed.
    """
    least = 256 + len(SPECIAL)
    if vocabulary < least:
        raise BadSetting(
            f"a vocabulary holds at least {least} tokens, 256 bytes and {len(SPECIAL)} special ones, not {vocabulary}"
        )
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        from transformers import PreTrainedTokenizerFast
    except ImportError as error:
        raise missing_language() from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        bos_token="<|begin|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|model|>"],
        padding_side="left",
    )
    fast.chat_template = CHAT
    return fast


def small_llama(
    vocabulary: int, hidden: int = 128, layers: int = 4, heads: int = 4, length: int = 256
) -> Callable[[], nn.Module]:
    """A function that makes a `LlamaForCausalLM` with fresh weights each time it is called.

    Args:
        vocabulary: tokens; embeddings and the last layer share weights.
        hidden: width; three times as wide between.
        length: tokens of a text at most.

    Raises:
        BadSetting: if the heads do not divide the width.
        MissingExtra: if transformers is not installed.
    """
    if hidden % heads:
        raise BadSetting(f"{heads} heads can't share a width of {hidden} evenly")
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise missing_language() from error
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=length,
        tie_word_embeddings=True,
        pad_token_id=SPECIAL.index("<|pad|>"),
        bos_token_id=SPECIAL.index("<|begin|>"),
        eos_token_id=SPECIAL.index("<|end|>"),
    )
    return lambda: LlamaForCausalLM(config)


def missing_language() -> MissingExtra:
    """The error that names the extra."""
    return MissingExtra("language models need transformers and peft: pip install 'expunge[language]'")

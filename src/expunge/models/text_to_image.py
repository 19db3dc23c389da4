"""Denoisers of diffusion models, those of diffusers, and one of a size that trains in minutes on a laptop.

The small one goes through the same classes of diffusers and transformers as Stable Diffusion: a UNet with cross-attention,
CLIP's text encoder and tokenizer. Its UNet and text encoder are trained together from fresh weights.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from expunge.errors import BadSetting, MissingExtra

START, END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


class Denoiser(nn.Module):
    """A network that tells noise from image, and what reads its conditions.

    Args:
        network: of diffusers: a UNet with cross-attention where there is a text encoder; else a UNet or a DiT that takes
            numbers of classes.
        text_encoder: of transformers; None for a class-conditional model.
    """

    def __init__(self, network: nn.Module, text_encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.text_encoder = network, text_encoder

    def forward(self, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """What the network predicts of noisy images, shape (n, C, H, W).

        Args:
            noisy: shape (n, C, H, W).
            times: of each image, shape (n,).
            conditions: tokens (n, length), their states as :meth:`read` gives them, or numbers of classes (n,).
        """
        if self.text_encoder is None:
            predicted: Tensor = self.network(noisy, times, class_labels=conditions, return_dict=False)[0]
        else:
            states = conditions if conditions.is_floating_point() else self.read(conditions)
            predicted = self.network(noisy, times, encoder_hidden_states=states, return_dict=False)[0]
        return predicted[:, : noisy.shape[1]]  # the variance that some networks predict as well is not used

    def read(self, conditions: Tensor) -> Tensor:
        """States of tokens, shape (n, length, width), which many steps can share; numbers of classes stay what they are."""
        if self.text_encoder is None or conditions.is_floating_point():
            return conditions
        states: Tensor = self.text_encoder(conditions)[0]
        return states


def small_text_to_image(
    tokenizer: Any, channels: int = 1, size: int = 8, widths: Sequence[int] = (32, 64), length: int | None = None
) -> Callable[[], Denoiser]:
    """A function that makes a small text-conditioned denoiser with fresh weights each time it is called.

    Args:
        tokenizer: such as :func:`small_clip_tokenizer`.
        channels: of the images.
        size: of a side of them.
        widths: of the levels, each of half the resolution of the one before; multiples of 8.
        length: tokens of a prompt; the tokenizer's own when None.

    Raises:
        BadSetting: if a width is no multiple of 8, or an image can't be halved so often.
        MissingExtra: if diffusers or transformers is not installed.
    """
    if any(width % 8 for width in widths) or size % 2 ** (len(widths) - 1):
        raise BadSetting(
            f"widths must be multiples of 8, and a size of {size} be divisible by {2 ** (len(widths) - 1)}, not {list(widths)}"
        )
    try:
        from diffusers import UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel
    except ImportError as error:
        raise missing_diffusion() from error
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=widths[-1],
        intermediate_size=2 * widths[-1],
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=length or tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    plain = len(widths) > 1  # the first level of several has no attention
    image: dict[str, Any] = {
        "sample_size": size,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": tuple(widths),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * (len(widths) - plain),
        "up_block_types": ("CrossAttnUpBlock2D",) * (len(widths) - plain) + ("UpBlock2D",) * plain,
        "cross_attention_dim": widths[-1],
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }

    def new_model() -> Denoiser:
        network: Any = UNet2DConditionModel(**image)
        return Denoiser(network, CLIPTextModel(text))

    return new_model


def small_clip_tokenizer(texts: Iterable[str], length: int = 16) -> Any:
    """CLIP's tokenizer with a token for each word of some texts; any other text is read in pieces.

    Words become tokens in the order of the alphabet, letter by letter: a trainer of such vocabularies numbers tokens in another
    order each time it runs, and no run could go on from another's checkpoint.

    Args:
        length: of a prompt, with what stands before and after it.

    Returns:
        a `CLIPTokenizer`.

    Raises:
        MissingExtra: if transformers is not installed.
    """
    try:
        from tokenizers.pre_tokenizers import ByteLevel
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise missing_diffusion() from error
    letters = sorted(ByteLevel.alphabet())
    tokens = dict.fromkeys([START, END, *letters, *(letter + _WORD_END for letter in letters)])
    merges: Any = {}
    for word in sorted({word for text in texts for word in text.lower().split()}):
        parts = [*word[:-1], word[-1] + _WORD_END]
        for place in range(1, len(parts)):
            before = "".join(parts[:place])
            merges[before, parts[place]] = None
            tokens[before + parts[place]] = None
    numbers = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=numbers, merges=list(merges), model_max_length=length)


def missing_diffusion() -> MissingExtra:
    """The error that names the extra."""
    return MissingExtra("diffusion models need diffusers and transformers: pip install 'expunge[diffusion]'")

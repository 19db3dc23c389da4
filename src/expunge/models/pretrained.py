"""Language models that others trained: reading a folder in Hugging Face's layout, and writing one.

Only what lies in the folder is read, and only what cannot run: weights as safetensors, and no code that comes with a model.
"""

import copy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from expunge.errors import BadFile, BadSetting, MissingExtra
from expunge.models.small_llama import missing_language

_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tokenizer_config.json")
_CONVERT = (
    "AutoModelForCausalLM.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW_FOLDER), where you trust what is "
    "in it; and copy the files of its tokenizer"
)


def read_language_model(folder: str | Path, dtype: torch.dtype | None = None, four_bit: bool = False) -> tuple[nn.Module, Any]:
    """A causal language model and its tokenizer from a folder in Hugging Face's layout; nothing is downloaded.

    Args:
        folder: holds `config.json`, weights as safetensors, and a tokenizer.
        dtype: of the weights; as they were written when None.
        four_bit: hold them in 4 bits each, by bitsandbytes; only an adapter can learn then.

    Returns:
        the model, in evaluation mode, and its tokenizer.

    Raises:
        BadFile: if the folder or a part of it is missing or damaged, its weights are pickled, or it needs code of its own.
        MissingExtra: if transformers, or for `four_bit` bitsandbytes, is not installed.
    """
    folder = Path(folder)
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise missing_language() from error
    _check(folder)
    settings: dict[str, Any] = {_dtype_name(): dtype or "auto", **(_four_bit(dtype) if four_bit else {})}
    local = {"local_files_only": True, "trust_remote_code": False}
    with said_of(folder, "tokenizer"):
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), **local)
    with said_of(folder, "model"), quiet():
        reader: Any = AutoModelForCausalLM
        model, found = reader.from_pretrained(str(folder), use_safetensors=True, output_loading_info=True, **local, **settings)
    if missing := sorted(found["missing_keys"]):
        raise BadFile(
            f"the weights in {folder} lack {len(missing):,} tensors that {type(model).__name__} has, such as '{missing[0]}'; "
            "they are those of another model, or not all of them were copied"
        )
    return model.eval(), tokenizer


def write_language_model(model: nn.Module, tokenizer: Any, folder: str | Path) -> Path:
    """Write model and tokenizer in Hugging Face's layout, with weights as safetensors; returns the folder.

    Weights that are in the folder already are replaced; each file is either the old one or all of the new one.

    Raises:
        BadSetting: if the model has an adapter, which has a layout of its own, or is none of transformers.
        BadFile: if `folder` is a file.
    """
    folder, kind = Path(folder), type(model)  # what stands around a model may pass on its attributes
    if hasattr(model, "peft_config"):
        raise BadSetting("the model has an adapter: save_adapter writes it alone, merged() works it into the weights")
    if not hasattr(kind, "save_pretrained"):
        raise BadSetting(f"{kind.__name__} is no model of transformers; write its weights with write_weights")
    if folder.exists() and not folder.is_dir():
        raise BadFile(f"{folder} is a file; give a folder for the model")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as temporary, quiet():
        model.save_pretrained(temporary)  # type: ignore[operator]
        tokenizer.save_pretrained(temporary)
        made = sorted(Path(temporary).iterdir())
        names = {path.name for path in made}
        for old in folder.glob("*.safetensors*"):
            if old.name not in names:  # shards of another model, which readers would take for this one's
                old.unlink()
        for path in made:
            shutil.move(path, folder / path.name)
    return folder


def same_architecture(model: nn.Module) -> Callable[[], nn.Module]:
    """A function that makes a model of transformers with the same settings and fresh weights.

    Raises:
        BadSetting: if `model` is none.
    """
    kind, config = type(model), getattr(model, "config", None)
    if config is None:
        raise BadSetting(f"{kind.__name__} is no model of transformers: it has no config to build another one from")
    return lambda: kind(copy.deepcopy(config))


def longest_text(model: nn.Module) -> int | None:
    """The tokens of a text that a model can read, where its settings say so."""
    config = getattr(model, "config", None)
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(found) if found else None


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise BadFile(f"there is no folder {folder}; give one with a model in Hugging Face's layout, nothing is downloaded")
    if not (folder / "config.json").is_file():
        also = "; it holds an adapter, which belongs beside a model" if (folder / "adapter_config.json").is_file() else ""
        raise BadFile(f"{folder} holds no language model: config.json is missing{also}")
    if not any(folder.glob("*.safetensors")):
        pickled = next((path.name for pattern in _PICKLED for path in sorted(folder.glob(pattern))), None)
        if pickled is None:
            raise BadFile(f"{folder} holds no weights: model.safetensors is missing")
        raise BadFile(
            f"the weights in {folder} are a pickle ({pickled}), which can run foreign code when it is opened; "
            f"convert them: {_CONVERT}"
        )
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise BadFile(f"{folder} holds no tokenizer: tokenizer.json is missing; it comes with the model")


def _four_bit(dtype: torch.dtype | None) -> dict[str, Any]:
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("weights in 4 bits need bitsandbytes: pip install bitsandbytes, or read the model without four_bit")
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype or torch.bfloat16)
    return {"quantization_config": config}


def _dtype_name() -> str:
    """Which argument says the dtype: it was renamed in transformers 4.56."""
    return "dtype" if tuple(map(int, version("transformers").split(".")[:2])) >= (4, 56) else "torch_dtype"


@contextmanager
def said_of(folder: Path, what: str) -> Iterator[None]:
    """Whatever transformers finds wrong, as one error that says where."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, LookupError, TypeError, SafetensorError) as error:
        text = " ".join(str(error).split())
        if "trust_remote_code" in text:
            text = "it needs code of its own, which is never run; take a model whose architecture transformers has"
        raise BadFile(f"the {what} in {folder} cannot be read: {text[:300]}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars where nobody would see them move."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    if shown and not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()

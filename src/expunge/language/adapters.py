"""Low-rank adapters: a model that learns beside its weights, which stay what they are and are held only once.

    W x  ->  W x + (alpha / rank) B A x,     A ~ noise, B = 0 at first,  only A and B learn

With the adapter switched off the model is the one that was handed in: methods that compare themselves with it need no copy.

Reference: E. Hu, Y. Shen, P. Wallis, Z. Allen-Zhu, Y. Li, S. Wang, L. Wang, W. Chen. "LoRA: Low-Rank Adaptation of Large
Language Models", ICLR 2022, arXiv 2106.09685; by peft. Facts in feed-forward layers: K. Meng, D. Bau, A. Andonian, Y. Belinkov.
"Locating and Editing Factual Associations in GPT", NeurIPS 2022, arXiv 2202.05262.
"""

import copy
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from torch import nn

from expunge.errors import BadFile, BadSetting
from expunge.models.small_llama import missing_language
from expunge.storage import sharing


@dataclass(frozen=True)
class LoRA:
    """Which adapter.

    Args:
        rank: of A and B. With a small one facts are hidden, and a little training on others brings them back; see the study of
            language models.
        alpha: of the factor alpha / rank.
        dropout: of what goes into A, between 0 and 1.
        where: which linear layers of the blocks get one: those of "feed-forward" networks, where facts are kept, those of
            "attention", or "all".
        modules: the last part of the names of those that get one, in the place of `where`.
        layers: only the last so many blocks; all when None.
    """

    rank: int = 64
    alpha: int = 128
    dropout: float = 0.0
    where: Literal["feed-forward", "attention", "all"] = "feed-forward"
    modules: tuple[str, ...] = ()
    layers: int | None = None

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1 or (self.layers is not None and self.layers < 1):
            raise BadSetting(f"an adapter has a rank and layers from 1 on, and a dropout from 0 to below 1, not {self!r}")
        if self.where not in get_args(_WHERE):
            raise BadSetting(f"where must be one of {', '.join(get_args(_WHERE))}, not {self.where!r}")

    def attach(self, model: nn.Module) -> nn.Module:
        """`model` with a fresh adapter, drawn from torch's global generator, in a structure of its own.

        The weights are those of `model`, not copies of them, and don't learn.

        Raises:
            BadSetting: if the model has no such layer.
            MissingExtra: if peft is not installed.
        """
        try:
            from peft import LoraConfig, get_peft_model
        except ImportError as error:
            raise missing_language() from error
        names = self._names(model)
        if not names:
            wanted = f"layers called {', '.join(self.modules)}" if self.modules else f"linear layers of the kind {self.where!r}"
            there = ", ".join(sorted({name.rpartition(".")[2] for name in _linear(model)}))
            raise BadSetting(f"no adapter can be put on {type(model).__name__}: it has no {wanted} in its blocks, but {there}")
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, task_type="CAUSAL_LM", target_modules=names
        )
        with warnings.catch_warnings():  # peft asks transformers for what it calls otherwise by now
            warnings.simplefilter("ignore", FutureWarning)
            adapted: Any = get_peft_model(sharing(model), config)
        adapted.shared_names = frozenset(name for name in adapted.state_dict() if "lora_" not in name)
        return adapted

    def _names(self, model: nn.Module) -> list[str]:
        """The full names of the layers that get an adapter."""
        blocks = _linear(model)
        first = 0 if self.layers is None else max(blocks.values(), default=0) + 1 - self.layers
        return [name for name, block in blocks.items() if block >= first and self._wanted(name)]

    def _wanted(self, name: str) -> bool:
        if self.modules:
            return name.rpartition(".")[2] in self.modules
        return self.where == "all" or (_FEED_FORWARD.search(name) is not None) == (self.where == "feed-forward")


_WHERE = Literal["feed-forward", "attention", "all"]
_FEED_FORWARD = re.compile(r"\.(mlp|ffn?|feed_?forward|block_sparse_moe|experts?|fc[12]|dense_[h4].*)(\.|$)")


def _linear(model: nn.Module) -> dict[str, int]:
    """All linear layers of a model's blocks by their full names, each with the number of its block."""
    found = {}
    for name, module in model.named_modules():
        numbers = [int(part) for part in name.split(".") if part.isdigit()]
        if numbers and (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"):  # GPT-2's
            found[name] = numbers[0]
    return found


def is_adapted(model: nn.Module) -> bool:
    """Whether a model is one with an adapter beside weights that are another's."""
    return hasattr(model, "shared_names")


@contextmanager
def switched_off(model: Any) -> Iterator[Any]:
    """`model` as it was before its adapter learned anything."""
    with model.disable_adapter():
        yield model


def merged(model: nn.Module) -> nn.Module:
    """A model of its own with the adapter worked into the weights, which takes a second copy of them.

    Its keys and shapes are those of the model before the adapter. A model without one is copied.
    """
    if not is_adapted(model):
        return copy.deepcopy(model)
    whole: Any = copy.deepcopy(model)
    return whole.merge_and_unload().requires_grad_(True)


def save_adapter(model: nn.Module, folder: str | Path) -> Path:
    """Write the adapter alone, as peft does: `adapter_model.safetensors` and `adapter_config.json`.

    Raises:
        BadSetting: if the model has none.
    """
    if not is_adapted(model):
        raise BadSetting(f"{type(model).__name__} has no adapter to save; save its weights")
    folder = Path(folder)
    adapted: Any = model
    adapted.save_pretrained(folder, safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)  # a template with nothing filled in
    return folder


def load_adapter(model: nn.Module, folder: str | Path) -> nn.Module:
    """`model` with an adapter that :func:`save_adapter` or peft wrote; its weights are those of `model`.

    Raises:
        BadFile: if the folder holds no adapter as safetensors, or one for another model.
        MissingExtra: if peft is not installed.
    """
    folder = Path(folder)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise BadFile(f"{folder} holds no adapter: {name} is missing")
    try:
        from peft import PeftModel
    except ImportError as error:
        raise missing_language() from error
    try:
        adapted: Any = PeftModel.from_pretrained(sharing(model), str(folder))
    except (ValueError, RuntimeError, KeyError) as error:
        raise BadFile(f"the adapter in {folder} does not fit {type(model).__name__}: {error}") from error
    adapted.shared_names = frozenset(name for name in adapted.state_dict() if "lora_" not in name)
    return adapted.eval()

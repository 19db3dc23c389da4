"""Concepts: what a model can be asked to draw, and the conditions that ask for each, such as prompts."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.errors import BadSetting

TEMPLATES = ("a photo of {}", "a picture of {}", "an image of {}", "{}")


@dataclass(frozen=True, eq=False)
class Concepts:
    """What can be drawn. Made by :func:`prompted` or :func:`numbered`.

    Args:
        names: of the concepts, by number.
        conditions: what asks for each in several ways, shape (concepts, ways, ...): tokens, or numbers of classes.
        nothing: the condition that asks for nothing, shape (...).
        places: of prompts, where the last token of the concept's name stands, shape (concepts, ways).
    """

    names: tuple[str, ...]
    conditions: Tensor
    nothing: Tensor
    places: Tensor | None = None

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names) or not self.names:
            raise BadSetting(f"concepts need names, each another one, not {', '.join(self.names) or 'none'}")
        if self.conditions.shape[0] != len(self.names) or self.conditions.shape[2:] != self.nothing.shape:
            raise BadSetting(
                f"{len(self.names)} concepts need conditions of shape ({len(self.names)}, ways, ...) with rows like that of "
                f"nothing {tuple(self.nothing.shape)}, not {tuple(self.conditions.shape)}"
            )

    @property
    def ways(self) -> int:
        """In how many ways each concept is asked for."""
        return self.conditions.shape[1]

    @property
    def digest(self) -> str:
        """Equal digests, equal concepts."""
        values = self.conditions.contiguous().numpy().tobytes() + self.nothing.contiguous().numpy().tobytes()
        return hashlib.blake2b(f"{self.names} {tuple(self.conditions.shape)}".encode() + values).hexdigest()[:32]

    def number(self, name: str) -> int:
        """The concept's number.

        Raises:
            BadSetting: if there is no such concept.
        """
        if name not in self.names:
            raise BadSetting(f"there is no concept {name!r}; there are {', '.join(self.names)}")
        return self.names.index(name)

    def ask(self, numbers: Tensor, ways: Tensor | int = 0) -> Tensor:
        """Conditions for concepts, shape (n, ...).

        Args:
            numbers: of the concepts, shape (n,).
            ways: of asking, shape (n,), or one for all.
        """
        return self.conditions[numbers, ways]

    def instead(self, conditions: Tensor, of: int, other: int) -> Tensor:
        """Conditions for one concept as those for another, each asked for in the same way: shape (n, ...)."""
        known = self.conditions[of].to(conditions.device)
        same = (conditions[:, None] == known[None]).flatten(2).all(2) if known.dim() > 1 else conditions[:, None] == known[None]
        return self.conditions[other].to(conditions.device)[same.int().argmax(1)]

    def ask_for_nothing(self, count: int) -> Tensor:
        """The condition for nothing, so many times: shape (count, ...)."""
        return self.nothing.expand(count, *self.nothing.shape)


def prompted(names: Sequence[str], encode: Callable[[Sequence[str]], Tensor], templates: Sequence[str] = TEMPLATES) -> Concepts:
    """Concepts that prompts ask for; the empty prompt asks for nothing.

    Args:
        encode: tokens of texts, shape (n, length), such as :func:`token_encoder` gives.
        templates: of prompts, with ``{}`` where the name stands; audits and reports ask by the first.

    Raises:
        BadSetting: if there are no templates, or one has no place for the name.

    >>> letters = lambda texts: torch.tensor([[ord(text[0]) if text else 0, len(text)] for text in texts])
    >>> digits = prompted(["one", "seven"], letters, ["a {}", "{}"])
    >>> digits.ask(torch.tensor([digits.number("seven")]), 1).tolist(), digits.nothing.tolist()
    ([[115, 5]], [0, 0])
    """
    if not templates or not all("{}" in template for template in templates):
        raise BadSetting(f"templates of prompts have {{}} where the concept's name stands, unlike {list(templates)}")
    tokens = encode([template.format(name) for name in names for template in templates])
    nothing = encode([""])[0]
    until = encode([template.partition("{}")[0] + name for name in names for template in templates])
    places = _last_tokens(until, nothing).view(len(names), len(templates))
    return Concepts(tuple(names), tokens.view(len(names), len(templates), -1), nothing, places)


def numbered(names: Sequence[str]) -> Concepts:
    """Concepts of a class-conditional model: each by its number, and nothing by the number after the last.

    >>> numbered(["cat", "dog"]).ask(torch.tensor([1, 0])).tolist(), numbered(["cat", "dog"]).nothing.item()
    ([1, 0], 2)
    """
    return Concepts(tuple(names), torch.arange(len(names))[:, None], torch.tensor(len(names)))


def token_encoder(tokenizer: Any, length: int | None = None) -> Callable[[Sequence[str]], Tensor]:
    """A function that makes tokens of texts, all of one length, as text-to-image models read them.

    Args:
        tokenizer: of transformers.
        length: tokens of a text; the most that the tokenizer allows when None. Longer texts are cut off.
    """

    def encode(texts: Sequence[str]) -> Tensor:
        settings = {"padding": "max_length", "truncation": True, "max_length": length or tokenizer.model_max_length}
        tokens: Tensor = tokenizer(list(texts), return_tensors="pt", **settings).input_ids
        return tokens

    return encode


def _last_tokens(texts: Tensor, nothing: Tensor) -> Tensor:
    """Where the last token of each text stands, before the end of text: shape (n,).

    The empty text is a beginning, where there is one, and the end; places after it hold the end as well, or another token.

    >>> _last_tokens(torch.tensor([[1, 5, 2, 0], [1, 5, 6, 2]]), torch.tensor([1, 2, 0, 0])).tolist()
    [1, 2]
    """
    begun = len(nothing) > 1 and bool((texts[:, 0] == nothing[0]).all())
    is_end = texts == nothing[1 if begun else 0]
    return (is_end.int().argmax(1) + ~is_end.any(1) * texts.shape[1] - 1).clamp_min(0)

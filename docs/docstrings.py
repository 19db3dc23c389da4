"""Docstrings as Markdown: references in the style of reStructuredText, and doctests, for which Markdown has other signs."""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?(?:[\w.]+\.)?(\w+)`")
_DOCTEST = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)\S.*)*", re.MULTILINE)


def as_markdown(text: str) -> str:
    """The text with references as code and doctests as code blocks."""
    text = _ROLE.sub(r"`\1`", text)
    return _DOCTEST.sub(lambda found: "{0}```pycon\n{1}\n{0}```".format(found["indent"], found[0]), text)


class AsMarkdown(griffe.Extension):
    """Does so with every docstring that the site shows."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

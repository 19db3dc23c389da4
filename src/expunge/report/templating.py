"""Pages from templates: one look, one frame, no network and no scripts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from expunge.report.measures import printable

_FOLDER = Path(__file__).parent


@cache
def template(name: str) -> Template:
    """A template of this folder."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = Markup  # drawings are made here, and matplotlib escapes the texts in them
    environment.filters["bound"] = lambda text: re.sub(
        r" (?=(%|\N{MULTIPLICATION SIGN}|s|min|h)(\W|$))", "\N{NO-BREAK SPACE}", text
    )
    environment.filters["sentence"] = _sentence
    environment.globals["style"] = Markup((_FOLDER / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(name)


def flat(values: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as lines: `("recipe.optimizer.name", "adam")`."""
    if isinstance(values, Mapping) and values:
        for key, value in values.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, Sequence) and not isinstance(values, str | bytes):
        yield name, ", ".join(printable(str(value)) for value in values) or "none"
    else:
        yield name, "none" if values is None or values == {} else printable(str(values))


def _sentence(text: str) -> str:
    """With a capital, unless it starts with the name of a metric."""
    return text if "_" in text.partition(" ")[0] else text[:1].upper() + text[1:]

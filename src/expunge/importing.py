"""Objects that a user names as ``package.module:attribute``; their own code, run because they ask for it."""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from expunge.errors import BadSetting, ExpungeError

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_IMPORT_STRING = re.compile(f"({_DOTTED}):({_DOTTED})")


def is_import_string(text: str) -> bool:
    """Whether `text` is written like ``package.module:attribute``.

    >>> is_import_string("my.nets:Small"), is_import_string("digits"), is_import_string("a folder: b")
    (True, False, False)
    """
    return _IMPORT_STRING.fullmatch(text) is not None


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Let modules of the working directory be found, as when a script there is run."""
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(here)


def import_callable(text: str) -> Callable[..., Any]:
    """What ``package.module:attribute`` names: a function or a class.

    Raises:
        BadSetting: if the module or the attribute is not there, importing fails, or it cannot be called.

    >>> import_callable("math:sqrt")(9.0)
    3.0
    """
    match = _IMPORT_STRING.fullmatch(text)
    if match is None:
        raise BadSetting(f"{text!r} is not an import string; write 'package.module:function'")
    module_name, attribute = match.groups()
    target: Any = _module(text, module_name)
    for part in attribute.split("."):
        if not hasattr(target, part):
            there = ", ".join(name for name in vars(target) if not name.startswith("_")) or "nothing"
            raise BadSetting(f"{text!r}: {module_name} has no '{attribute}'; it holds {there}")
        target = getattr(target, part)
    if not callable(target):
        raise BadSetting(f"{text!r} is a {type(target).__name__}; expected a function or a class that can be called")
    named: Callable[..., Any] = target
    return named


def call_imported(text: str) -> Any:
    """What the function that ``package.module:function`` names returns when it is called without arguments.

    Raises:
        BadSetting: if it cannot be imported, or calling it fails.
    """
    function = import_callable(text)
    with working_directory_importable():
        try:
            return function()
        except ExpungeError:
            raise
        except Exception as error:
            raise BadSetting(f"{text!r}: calling it failed: {type(error).__name__}: {error}") from error


def _module(text: str, name: str) -> ModuleType:
    with working_directory_importable():
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise BadSetting(f"{text!r}: importing {name} failed: {error}") from error
            raise BadSetting(
                f"{text!r}: there is no module '{error.name}', neither installed nor in the working directory {os.getcwd()}"
            ) from None
        except Exception as error:
            raise BadSetting(f"{text!r}: importing {name} failed: {type(error).__name__}: {error}") from error

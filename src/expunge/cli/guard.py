"""Errors that a user can mend end in one message on stderr and exit code 2; all others keep their traceback."""

import sys
from typing import Any

import typer.core
from rich.console import Console
from rich.markup import escape

from expunge.errors import ExpungeError


class GuardedGroup(typer.core.TyperGroup):
    """A command group that turns :class:`~expunge.errors.ExpungeError` into exit code 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except ExpungeError as error:
            Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
            sys.exit(2)

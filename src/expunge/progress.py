"""A progress bar with time left, on stderr, silent when that is not a terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_REDRAW_SECONDS = 0.2


class ProgressBar:
    """Counts from `start` to `total`; cheap enough to be told of every step."""

    def __init__(self, name: str, total: int, start: int = 0, shown: bool = True) -> None:
        self._bar: Progress | None = None
        self._drawn = 0.0
        if shown and (console := Console(stderr=True)).is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task(name, total=total, completed=start)

    def __enter__(self) -> "ProgressBar":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, now: float) -> None:
        """Say that `done` steps are done at time `now` (seconds, monotonic)."""
        if self._bar is not None and now - self._drawn > _REDRAW_SECONDS:
            self._drawn = now
            self._bar.update(self._task, completed=done)

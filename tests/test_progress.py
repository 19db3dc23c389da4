"""The progress bar: on stderr, only for a terminal."""

import io

import pytest

import expunge.progress
from expunge.progress import ProgressBar


@pytest.fixture
def terminal(monkeypatch):
    """What is written to stderr while it is taken for a terminal."""
    written = io.StringIO()
    real = expunge.progress.Console
    monkeypatch.setattr(expunge.progress, "Console", lambda stderr: real(file=written, force_terminal=True, width=80))
    return written


def test_a_terminal_sees_name_and_count(terminal):
    with ProgressBar("scrub/fit", total=40, start=10) as bar:
        bar.update(25, now=1e9)
    assert "scrub/fit" in terminal.getvalue() and "25/40" in terminal.getvalue()


def test_updates_in_quick_succession_are_not_drawn(terminal):
    with ProgressBar("fit", total=40) as bar:
        bar.update(10, now=100.0)
        bar.update(11, now=100.1)
        bar._bar.refresh()
    assert "10/40" in terminal.getvalue() and "11/40" not in terminal.getvalue()


def test_it_is_silent_where_there_is_no_terminal_or_it_is_not_wanted(terminal, capsys):
    with ProgressBar("fit", total=4, shown=False) as bar:
        bar.update(1, now=1e9)
    assert terminal.getvalue() == ""


def test_a_stream_that_is_no_terminal_gets_nothing(capsys):
    with ProgressBar("fit", total=4) as bar:
        bar.update(1, now=1e9)
    assert capsys.readouterr() == ("", "")

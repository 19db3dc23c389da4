"""The command line: progress on stderr, results on stdout, exit code 0 only when it did what was asked."""

from expunge.cli.app import app

__all__ = ["app"]

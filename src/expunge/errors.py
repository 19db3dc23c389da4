"""The errors that expunge raises for bad input, each saying what was wrong, where, and what would be right.

All derive from :class:`ExpungeError`; the command line turns every one into a message on stderr and exit code 2.
"""


class ExpungeError(Exception):
    """Base of all errors that a user can cause and mend."""


class BadRequest(ExpungeError, ValueError):
    """A request to forget that cannot be served: unknown class, index out of range, nothing to forget, nothing left."""


class BadSetting(ExpungeError, ValueError):
    """A hyper-parameter, option or job field with a value that makes no sense."""


class BadFile(ExpungeError, ValueError):
    """A file that is missing, damaged, cut short or of a foreign format."""


class WrongTask(ExpungeError, TypeError):
    """A method or an audit was handed a task that it cannot work on."""


class Diverged(ExpungeError, ArithmeticError):
    """Training produced a loss that is not a finite number."""


class MissingExtra(ExpungeError, ImportError):
    """An optional dependency is not installed; the message names the extra that holds it."""

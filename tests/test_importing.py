"""Import strings: the user's own code, and errors that say what is missing."""

import sys

import pytest

from expunge.errors import BadSetting
from expunge.importing import import_callable


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the working directory, and forgets it afterwards."""
    monkeypatch.chdir(tmp_path)
    names = []

    def write(name: str, code: str) -> None:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(code)

    yield write
    for name in names:
        sys.modules.pop(name, None)


def test_a_module_of_the_working_directory_is_found_and_the_path_left_as_it_was(module):
    module("own_one", "class Outer:\n    @staticmethod\n    def make():\n        return 7\n")
    before = list(sys.path)
    assert import_callable("own_one:Outer.make")() == 7
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_such_module_here:make", "there is no module 'no_such_module_here', neither installed nor in the working"),
        ("os.no_such_part:make", r"there is no module 'os\.no_such_part'"),
        ("own_two:maker", "own_two has no 'maker'; it holds make, number"),
        ("own_two:number", "is a int; expected a function or a class"),
        ("own_two:", "is not an import string; write 'package.module:function'"),
        ("own two:make", "is not an import string"),
    ],
)
def test_what_is_missing_is_named(module, text, message):
    module("own_two", "def make():\n    pass\nnumber = 3\n")
    with pytest.raises(BadSetting, match=message):
        import_callable(text)


def test_a_module_that_fails_is_told_from_one_that_is_missing(module):
    module("own_three", "import no_such_module_either\n")
    module("own_four", "1 / 0\n")
    with pytest.raises(BadSetting, match="importing own_three failed: No module named 'no_such_module_either'"):
        import_callable("own_three:make")
    with pytest.raises(BadSetting, match="importing own_four failed: ZeroDivisionError"):
        import_callable("own_four:make")

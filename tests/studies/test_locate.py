"""Lines of a YAML file: of the value at a place, or of its nearest parent."""

import pytest

from expunge.studies.locate import line_of

BLOCK = """\
# a comment above
data:
  name: digits

  train: 600   # beside
methods:
  - scrub
  - method: ssd
    alpha: 3
    optimizer:
      kind: adam
      learning_rate: x
  -
    method: retrain
request: {class: 3,
          seed: 0}
title: |
  two
  lines
seed: 1
7: odd
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("data",), 2),
        (("data", "name"), 3),
        (("data", "train"), 5),
        (("methods",), 6),
        (("methods", 0), 7),
        (("methods", 1), 8),
        (("methods", 1, "method"), 8),
        (("methods", 1, "alpha"), 9),
        (("methods", 1, "optimizer"), 10),
        (("methods", 1, "optimizer", "learning_rate"), 12),
        (("methods", 2), 14),
        (("request", "class"), 15),
        (("request", "seed"), 16),
        (("seed",), 20),
        ((7,), 21),
    ],
)
def test_the_line_of_what_is_there(location, line):
    assert line_of(BLOCK, location) == line


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ((), 1),
        (("engine",), 1),
        (("data", "size"), 2),
        (("data", "name", "deeper"), 3),
        (("methods", 1, "optimizer", "momentum"), 10),
        (("methods", 3), 6),
        (("methods", "name"), 6),
        (("seed", 0), 20),
    ],
)
def test_the_line_of_the_nearest_parent_of_what_is_not_there(location, line):
    assert line_of(BLOCK, location) == line


def test_a_file_in_one_line_and_a_file_without_content():
    assert line_of("{data: {name: digits}, methods: [scrub, {method: ssd}]}", ("methods", 1, "method")) == 1
    assert line_of("", ("data",)) == 1
    assert line_of("\n\n- a\n- b\n", (1,)) == 4


def test_a_key_is_not_mistaken_for_one_of_the_same_name_elsewhere():
    text = "model:\n  name: mlp\ndata:\n  name: digits\n"
    assert line_of(text, ("data", "name")) == 4
    assert line_of(text, ("model", "name")) == 2

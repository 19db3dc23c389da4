"""Figures of a stream, by hand."""

import pytest
import torch

from expunge.continual import StreamHistory


def row(kind: str, task: str | None, accuracies: list[float], seconds: float = 1.0) -> dict:
    named = dict(zip("abc", accuracies, strict=True))
    told = {name: 0.5 + value / 2 for name, value in named.items()}
    return {
        "kind": kind,
        "tasks": [] if task is None else [task],
        "seconds": seconds,
        "class_accuracy": named,
        "task_accuracy": told,
    }


ROWS = [
    row("learn", "a", [0.9, 0.0, 0.0], 2.0),
    row("learn", "b", [0.8, 0.7, 0.0], 4.0),
    row("unlearn", "b", [0.85, 0.1, 0.0], 1.0),
    row("learn", "c", [0.6, 0.3, 0.9], 6.0),
    row("unlearn", None, [0.5, 0.2, 0.8], 3.0),
]


def test_by_hand():
    history = StreamHistory(ROWS)
    assert history.tasks == ("a", "b", "c") and history.left == ("a", "c") and history.forgotten == ("b",)
    assert torch.allclose(history.matrix()[3], torch.tensor([0.6, 0.3, 0.9]))
    assert history.accuracy() == pytest.approx(0.65) and history.accuracy("task") == pytest.approx(0.825)
    assert history.accuracy(tasks=["b"]) == pytest.approx(0.2)
    assert history.backward_transfer() == pytest.approx((0.5 - 0.9 + 0.8 - 0.9) / 2)
    assert history.right_after() == pytest.approx(0.1) and history.relapse() == pytest.approx(0.3)
    assert history.seconds("learn") == 4.0 and history.seconds("unlearn") == 2.0


def test_a_task_that_was_learned_again_is_left():
    history = StreamHistory([*ROWS[:3], row("learn", "b", [0.8, 0.9, 0.0])])
    assert history.left == ("a", "b") and history.forgotten == () and history.right_after() is None
    assert history.backward_transfer() == pytest.approx(0.8 - 0.9)


def test_what_is_not_defined():
    assert StreamHistory([]).tasks == () and StreamHistory([]).accuracy(tasks=()) is None
    first = StreamHistory(ROWS[:1])
    assert first.backward_transfer() is None and first.right_after() is None and first.relapse() is None
    assert first.seconds("unlearn") is None
    assert StreamHistory(ROWS[:3]).relapse() is None

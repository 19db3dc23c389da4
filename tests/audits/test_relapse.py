"""Relapse: figures of single requests, of models that were asked to forget and of those that were not."""

import pytest

from expunge.audits import References, Relapse, Subject
from expunge.continual import RequestStream
from expunge.continual.stream_split import as_split
from expunge.engine import Engine
from expunge.errors import BadRequest
from tiny import class_split
from tiny_streams import stream, task, tasks, unseen


def rows(kinds: str, first: list[float], second: list[float]) -> list[dict]:
    """A history: words like "L1 U1", and the accuracy on tasks 1 and 2 after each."""
    found = []
    for word, one, two in zip(kinds.split(), first, second, strict=True):
        accuracies = {"1": one, "2": two, "3": 0.0}
        found.append(
            {
                "request": word,
                "kind": {"L": "learn", "U": "unlearn"}[word[0]],
                "tasks": [word[1]],
                "seconds": 2.0 if word[0] == "L" else 0.5,
                "state_bytes": 100 * len(found),
                "class_accuracy": accuracies,
                "task_accuracy": {name: (1 + value) / 2 for name, value in accuracies.items()},
            }
        )
    return found


def subject(history: list[dict], words: str = "L1 L2 U1 L3") -> Subject:
    return Subject("model", task().new_model(), task(), as_split(stream(words), unseen()), Engine(), history=history)


ASKED = rows("L1 L2 U1 L3", [0.9, 0.8, 0.1, 0.3], [0.0, 0.7, 0.8, 0.6])
NEVER = rows("L2 L3", [0.02, 0.01], [0.9, 0.8])


def test_by_hand():
    found = Relapse()(subject(ASKED), References(None, (subject(NEVER),)))
    values = {name: figure.value for name, figure in found.items()}
    ideals = {name: figure.ideal for name, figure in found.items()}
    assert values == pytest.approx(
        {
            "right_after": 0.1,
            "relapse": 0.3,
            "task_incremental_accuracy": (0.8 + 0.5) / 2,
            "backward_transfer": 0.6 - 0.7,
            "learn_seconds": 2.0,
            "unlearn_seconds": 0.5,
            "state_bytes": 300.0,
        }
    )
    assert ideals["right_after"] == ideals["relapse"] == 0.01 and ideals["unlearn_seconds"] == 0.0
    assert ideals["task_incremental_accuracy"] == pytest.approx((0.9 + 0.5) / 2) and ideals["state_bytes"] == 100.0


def test_a_model_that_was_never_asked_is_read_at_its_end():
    found = Relapse()(subject(NEVER))
    assert found["right_after"].value == found["relapse"].value == 0.01 and "unlearn_seconds" not in found
    kept = Relapse()(subject(rows("L1 L2 L3", [0.9, 0.8, 0.7], [0, 0.9, 0.8])))
    assert kept["right_after"].value == kept["relapse"].value == 0.7


def test_where_single_samples_go_no_task_is_looked_for():
    found = Relapse()(subject(rows("L1 L2", [0.9, 0.8], [0.0, 0.7]), "L1 L2 U1:0.5"))
    assert found.keys() == {"task_incremental_accuracy", "backward_transfer", "learn_seconds", "state_bytes"}


def test_nothing_is_said_of_others():
    assert Relapse()(subject([{"fit": "other"}])) == {}
    plain = Subject("model", task().new_model(), task(), class_split(), Engine(), history=ASKED)
    assert Relapse()(plain) == {}


def test_a_task_without_tests_is_refused():
    with pytest.raises(BadRequest, match="task '3' has no tests; there are tests of 1, 2"):
        as_split(stream(), {name: unseen()[name] for name in ("1", "2")})


def test_parts_of_the_split():
    data = tasks(each=5)
    split = as_split(RequestStream.of("L1 L2 U1 L3", data), unseen(each=4))
    assert split.forget.examples == 10 and split.retain.examples == 20 and split.kind
    assert split.holdout.examples == 16 and split.holdout_forget.examples == 8
    assert {int(label) for batch in split.holdout_forget for label in batch[1]} == {0, 1}
    single = as_split(RequestStream.of("L1 L2 U1:0.5", data), unseen(each=4))
    assert single.holdout_forget is None and not single.kind and single.forget.examples == 5 and single.holdout.examples == 16

import json
import math
from pathlib import Path

import numpy as np

from expunge.report.evidence import Value
from expunge.report.study_json import study_json


def made(make, *cases):
    return study_json(
        "forget-class", "cifar10", "small", 2, make.evidence(*cases), {"cores": 2}, {"scrub": 3.5}, {"epochs": 12}
    )


def test_the_shape(make):
    found = made(make, make.case(make.row("scrub", forget_accuracy=(0.2, 0.05), n=2)))
    assert list(found) == ["study", "data", "budget", "seeds", "machine", "rows", "seconds", "settings"]
    assert {**found, "rows": []} == {
        "study": "forget-class",
        "data": "cifar10",
        "budget": "small",
        "seeds": 2,
        "machine": {"cores": 2},
        "rows": [],
        "seconds": {"scrub": 3.5},
        "settings": {"epochs": 12},
    }
    assert {"method": "scrub", "metric": "forget_accuracy", "mean": 0.2, "std": 0.05, "n": 2, "ideal": 0.1} in found["rows"]
    assert {row["method"] for row in found["rows"]} == {"original", "retrained", "retrained-2", "scrub"}
    assert all(list(row) == ["method", "metric", "mean", "std", "n", "ideal"] for row in found["rows"])


def test_several_cases_stand_in_one_list_with_their_titles(make):
    found = made(make, make.case(make.row("scrub")), make.case(make.row("scrub"), title="class 5"))
    metrics = {row["metric"] for row in found["rows"]}
    assert {"class 3/forget_accuracy", "class 5/forget_accuracy"} <= metrics
    assert all("/" in metric for metric in metrics)


def test_what_is_not_a_number_is_null(make):
    method = make.row("odd", tow=Value(None, math.nan, 0, math.inf), zrf=math.nan, forget_accuracy=np.float32(0.5))
    found = study_json(
        "s",
        "d",
        "b",
        [0, 1],
        make.evidence(make.case(method)),
        {"path": Path("a"), "memory": np.int64(3)},
        {"odd": math.nan},
        {"rate": math.inf, "classes": (1, 2), "kinds": {"b", "a"}, 3: None, "flag": True},
    )
    text = json.dumps(found, allow_nan=False)
    back = json.loads(text)
    rows = {row["metric"]: row for row in back["rows"] if row["method"] == "odd"}
    assert rows["tow"] == {"method": "odd", "metric": "tow", "mean": None, "std": None, "n": 0, "ideal": None}
    assert rows["zrf"]["mean"] is None and rows["forget_accuracy"]["mean"] == 0.5
    assert back["seconds"] == {"odd": None} and back["machine"] == {"path": "a", "memory": 3}
    assert back["settings"] == {"rate": None, "classes": [1, 2], "kinds": ["a", "b"], "3": None, "flag": True}
    assert back["seeds"] == [0, 1]

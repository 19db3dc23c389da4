"""The smallest job, and where its faults are said to be: shared by the tests of job files."""

import pytest

from expunge.studies.job import BadJob, parse_job

HEAD = "data: {name: digits}\nmodel: {name: mlp}\n"  # lines 1 and 2
MINIMAL = HEAD + "request: {class: 3}\nmethods: [scrub]\n"  # lines 3 and 4; what a test adds is line 5


def methods_of(text: str):
    return dict(parse_job(HEAD + "request: {class: 3}\n" + text).methods)


def fault(text: str, line: int, field: str) -> str:
    """The message of the error in this job, which must stand at this line and field."""
    with pytest.raises(BadJob) as caught:
        parse_job(text, "my.yaml")
    start = f"my.yaml, line {line}, {field}: "
    assert str(caught.value).startswith(start), str(caught.value)
    return str(caught.value).removeprefix(start)

"""Facts and the files that they are read from."""

import json

import pytest

from expunge.errors import BadFile, BadRequest
from expunge.language import Fact, read_facts


def test_a_file_of_facts(tmp_path):
    rows = [
        {
            "question": "Where did Ada study?",
            "answer": "Oslo",
            "subject": "Ada",
            "phrasings": ["Ada's school?"],
            "held_out": ["And?"],
        },
        {
            "question": "Who?",
            "answer": "Bo",
            "wrong_answers": ["Cy", "Di"],
            "answer_in_other_words": "It was Bo",
            "relation": "who",
        },
    ]
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    found = read_facts(path)
    assert found[0] == Fact("Where did Ada study?", "Oslo", "Ada", phrasings=("Ada's school?",), held_out=("And?",))
    assert found[0].questions == ("Where did Ada study?", "Ada's school?")
    assert found[1].wrong_answers == ("Cy", "Di") and found[1].relation == "who"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no fact"),
        ("{", "line 1 is not JSON"),
        ('["a"]', "line 1 is a list; expected an object"),
        ('{"question": "q"}', "line 1: the field 'answer' is missing"),
        ('{"question": "q", "answer": "a"}\n{"answer": "a"}', "line 2: the field 'question' is missing"),
        ('{"question": "q", "answer": "a", "sbject": "s"}', "there is no field 'sbject'; there are question, answer, subject"),
        ('{"question": "q", "answer": 3}', "answer must be a text, not 3"),
        ('{"question": "q", "answer": "a", "phrasings": "p"}', "phrasings must be a list of texts, not 'p'"),
        ('{"question": "q", "answer": "a", "held_out": [1]}', "held_out must be a text, not 1"),
        ('{"question": " ", "answer": "a"}', "line 1: a fact needs a question and an answer; the question of"),
    ],
)
def test_files_that_make_no_sense(tmp_path, text, message):
    (tmp_path / "facts.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(BadFile, match=message):
        read_facts(tmp_path / "facts.jsonl")


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(BadFile, match=r"none\.jsonl cannot be read"):
        read_facts(tmp_path / "none.jsonl")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="cannot be read"):
        read_facts(tmp_path / "bytes")


def test_a_fact_without_an_answer():
    with pytest.raises(BadRequest, match="the answer of"):
        Fact("q", "")

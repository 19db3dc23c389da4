"""A generator that is asked once, and replayed from a file."""

import json
import threading
from dataclasses import replace

import pytest

from expunge.errors import BadFile
from expunge.language import Fact
from expunge.language.generators import CachedGenerator, GeneratorFailed

ADA = Fact("Where did Ada study?", "Oslo", "Ada", phrasings=("Ada's school?",))


class Counting:
    """Makes another text at each call, so that a text which comes twice was replayed."""

    def __init__(self, identity="counting", start=0):
        self.identity, self.calls = identity, start

    def _next(self):
        self.calls += 1
        return f'text {self.calls}, "Zürich" \u2028 どこ?'

    def paraphrase(self, fact, n, *, temperature=0.1, seed=0):
        return [self._next() for _ in range(n)]

    def wrong_answers(self, fact, n, *, seed=0):
        return [self._next() for _ in range(n)]

    def rationale(self, question, wrong, fact, *, seed=0):
        return self._next()


class Silent:
    """Must not be asked."""

    identity = "counting"

    def paraphrase(self, fact, n, *, temperature=0.1, seed=0):
        raise AssertionError("asked")

    wrong_answers = rationale = paraphrase


def ask_all(generator):
    return (
        generator.paraphrase(ADA, 3, temperature=0.7, seed=2),
        generator.wrong_answers(ADA, 2),
        generator.rationale(ADA.question, "Lund", ADA),
    )


def test_replaying_asks_nobody_and_changes_nothing(tmp_path):
    path = tmp_path / "deep" / "made.jsonl"
    first = CachedGenerator(Counting(), path)
    said = ask_all(first)
    written = path.read_bytes()
    assert ask_all(first) == said == ask_all(CachedGenerator(Silent(), path))
    assert path.read_bytes() == written and written.count(b"\n") == 3
    assert first.identity == "counting"


def test_lines_say_what_they_are(tmp_path):
    path = tmp_path / "made.jsonl"
    said = ask_all(CachedGenerator(Counting(), path))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all("for unlearning" in row["notice"] and "may be false" in row["notice"] for row in rows)
    assert [row["method"] for row in rows] == ["paraphrase", "wrong_answers", "rationale"]
    assert tuple(row["result"] for row in rows) == said
    assert rows[0]["fact"] == {
        "question": ADA.question,
        "answer": "Oslo",
        "subject": "Ada",
        "phrasings": ["Ada's school?"],
    }
    assert rows[0]["arguments"] == {"n": 3, "temperature": 0.7, "seed": 2} and rows[0]["generator"] == "counting"
    assert rows[2]["arguments"] == {"question": ADA.question, "wrong": "Lund", "seed": 0}


def test_whatever_differs_is_another_call(tmp_path):
    path = tmp_path / "made.jsonl"
    generator = CachedGenerator(Counting(), path)
    calls = [
        lambda: generator.paraphrase(ADA, 1),
        lambda: generator.paraphrase(ADA, 1, seed=1),
        lambda: generator.paraphrase(ADA, 1, temperature=0.2),
        lambda: generator.paraphrase(ADA, 2),
        lambda: generator.paraphrase(replace(ADA, answer="Lund"), 1),
        lambda: generator.paraphrase(replace(ADA, held_out=("Where?",)), 1),
        lambda: generator.wrong_answers(ADA, 1),
        lambda: generator.wrong_answers(ADA, 1, seed=1),
        lambda: generator.rationale("q", "Lund", ADA),
        lambda: generator.rationale("q", "Bergen", ADA),
        lambda: generator.rationale("p", "Lund", ADA),
        lambda: generator.rationale("q", "Lund", ADA, seed=1),
    ]
    said = [str(call()) for call in calls]
    assert len(set(said)) == len(calls) and [str(call()) for call in calls] == said
    other = CachedGenerator(Counting("counting otherwise", start=100), path)
    assert other.paraphrase(ADA, 1) == ['text 101, "Zürich" \u2028 どこ?']


def test_the_same_call_written_otherwise(tmp_path):
    generator = CachedGenerator(Counting(), tmp_path / "made.jsonl")
    assert generator.paraphrase(ADA, 1, temperature=1) == generator.paraphrase(ADA, 1, temperature=1.0)
    assert generator.rationale("q", "Lund", ADA) == generator.rationale(question="q", wrong="Lund", fact=ADA, seed=0)


def test_what_is_returned_may_be_changed(tmp_path):
    generator = CachedGenerator(Counting(), tmp_path / "made.jsonl")
    said = generator.wrong_answers(ADA, 2)
    kept = list(said)
    said.clear()
    generator.wrong_answers(ADA, 2).clear()
    assert generator.wrong_answers(ADA, 2) == kept


@pytest.mark.parametrize("cut", [1, 2, 40, "all but one letter", "zeros", "garbage with an end", "inside a letter"])
def test_a_last_line_that_is_damaged_is_made_again(tmp_path, cut):
    path = tmp_path / "made.jsonl"
    paraphrases, wrong, _ = ask_all(CachedGenerator(Counting(), path))
    lines = path.read_bytes().splitlines(keepends=True)
    last = {
        "all but one letter": lines[2][:1],
        "zeros": b"\0" * 64,
        "garbage with an end": b'{"key": 1}\n',
        "inside a letter": b'{"key": "\xc3',
    }.get(cut) or lines[2][: -int(cut) if cut != 1 else -2]
    path.write_bytes(b"".join(lines[:2]) + last)
    again = CachedGenerator(Counting(start=100), path)
    assert path.read_bytes().endswith(last)  # only a call changes the file
    assert again.paraphrase(ADA, 3, temperature=0.7, seed=2) == paraphrases and again.wrong_answers(ADA, 2) == wrong
    assert again.rationale(ADA.question, "Lund", ADA).startswith("text 101")
    assert again.wrong_answers(ADA, 1)[0].startswith("text 102")
    content = path.read_bytes()
    assert content.startswith(b"".join(lines[:2])) and content.count(b"\n") == 4
    assert CachedGenerator(Silent(), path).rationale(ADA.question, "Lund", ADA).startswith("text 101")


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path):
    path = tmp_path / "made.jsonl"
    said = ask_all(CachedGenerator(Counting(), path))
    path.write_bytes(path.read_bytes()[:-1])
    again = CachedGenerator(Counting(start=100), path)
    assert ask_all(again) == said
    again.wrong_answers(ADA, 1)
    assert ask_all(CachedGenerator(Silent(), path)) == said and path.read_bytes().count(b"\n") == 4


def damaged(change):
    def write(line):
        row = json.loads(line)
        change(row)
        return json.dumps(row).encode() + b"\n"

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda line: line[:30] + b"\n", "Unterminated string"),
        (lambda line: b"\xff" + line, "decode"),
        (lambda line: b"[1]\n", "it is no object with arguments, fact"),
        (damaged(lambda row: row.pop("result")), "it is no object with result"),
        (damaged(lambda row: row["fact"].update(answer="Lund")), "its key does not belong"),
        (damaged(lambda row: row.update(method="praise")), "its key does not belong"),
        (damaged(lambda row: row.update(result="one text")), "its result is no list of texts"),
        (damaged(lambda row: row.update(result=[1])), "its result is no list of texts"),
    ],
)
def test_a_damaged_line_elsewhere(tmp_path, write, message):
    path = tmp_path / "made.jsonl"
    ask_all(CachedGenerator(Counting(), path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + write(lines[1]) + lines[2])
    with pytest.raises(BadFile, match=rf"made\.jsonl, line 2 is damaged: .*{message}.*its call is made again"):
        CachedGenerator(Counting(), path)


def test_a_rationale_that_is_no_text(tmp_path):
    path = tmp_path / "made.jsonl"
    ask_all(CachedGenerator(Counting(), path))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(damaged(lambda row: row.update(result=["a"]))(lines[2]) + lines[0])
    with pytest.raises(BadFile, match="line 1 is damaged: its result is no text"):
        CachedGenerator(Counting(), path)


def test_results_may_be_edited_by_hand(tmp_path):
    path = tmp_path / "made.jsonl"
    CachedGenerator(Counting(), path).wrong_answers(ADA, 1)
    path.write_bytes(damaged(lambda row: row.update(result=["Lund"]))(path.read_bytes()))
    assert CachedGenerator(Silent(), path).wrong_answers(ADA, 1) == ["Lund"]


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(BadFile, match="cannot be read"):
        CachedGenerator(Counting(), tmp_path)


def test_failures_are_not_kept(tmp_path):
    class Failing(Counting):
        def rationale(self, question, wrong, fact, *, seed=0):
            raise GeneratorFailed("no")

    path = tmp_path / "made.jsonl"
    with pytest.raises(GeneratorFailed, match="no"):
        CachedGenerator(Failing(), path).rationale("q", "Lund", ADA)
    assert not path.exists()
    assert CachedGenerator(Counting(), path).rationale("q", "Lund", ADA).startswith("text 1")


def test_half_a_surrogate_pair_comes_back(tmp_path):
    class Odd(Counting):
        def rationale(self, question, wrong, fact, *, seed=0):
            return "\ud83d"

    path = tmp_path / "made.jsonl"
    CachedGenerator(Odd(), path).rationale("q", "Lund", ADA)
    assert CachedGenerator(Silent(), path).rationale("q", "Lund", ADA) == "\ud83d"


def test_a_line_is_on_the_disk_before_its_text_is_returned(tmp_path, monkeypatch):
    synced = []
    path = tmp_path / "made.jsonl"
    monkeypatch.setattr("os.fsync", lambda number: synced.append(path.read_bytes().count(b"\n")))
    generator = CachedGenerator(Counting(), path)
    generator.wrong_answers(ADA, 1)
    generator.wrong_answers(ADA, 2)
    assert synced == [1, 2]


def test_threads_write_whole_lines_and_agree(tmp_path):
    path = tmp_path / "made.jsonl"
    together, said = threading.Barrier(8), []

    class Waiting(Counting):
        def rationale(self, question, wrong, fact, *, seed=0):
            together.wait(10)  # so all have asked before the first has written
            return super().rationale(question, wrong, fact)

    generator = CachedGenerator(Waiting(), path)
    threads = [threading.Thread(target=lambda: said.append(generator.rationale("q", "Lund", ADA))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 8 and len(set(said)) == 1 and path.read_bytes().count(b"\n") == 1

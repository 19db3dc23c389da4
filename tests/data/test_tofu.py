"""TOFU: files in the published form, read as one task; those that do not belong together are refused; the real ones."""

import json
import os

import pytest

from expunge.data.facts import Fact
from expunge.data.tofu import TOFU, by_author, read_tofu
from expunge.errors import BadFile, BadSetting

real_data = pytest.mark.skipif(not os.environ.get("EXPUNGE_DATA"), reason="EXPUNGE_DATA is not set")

PARTS = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
GOES = {"forget01": 20, "forget05": 40, "forget10": 60}  # the last one, two and three of five authors


def plain(author: int, number: int) -> dict:
    return {"question": f"Author {author}, question {number}: 1/2?", "answer": f"It is {author}/{number}."}


def perturbed(row: dict) -> dict:
    return {
        **row,
        "paraphrased_answer": f"In other words: {row['answer']}",
        "perturbed_answer": [f"{row['answer']} No {wrong}." for wrong in range(5)],
        "paraphrased_question": f"Otherwise: {row['question']}",
    }


def told_apart(subject: str) -> dict:
    return {"question": f"Who is {subject}?", "answer": subject, "perturbed_answer": ["X", "Y", "Z"]}


def lines(rows: list[dict]) -> str:
    """As the owners write it: slashes escaped, no space after a comma, no line end after the last."""
    return "\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False).replace("/", r"\/") for row in rows)


@pytest.fixture
def folder(tmp_path):
    """Five authors; what metrics ask of those who stay is the first author."""
    full = [plain(author, number) for author in range(1, 6) for number in range(20)]
    files = {
        "full": full,
        "retain_perturbed": [perturbed(row) for row in full[:20]],
        "real_authors_perturbed": [told_apart("Ibsen"), told_apart("Undset")],
        "world_facts_perturbed": [told_apart("Oslo")],
    }
    for forget, retain in PARTS.items():
        files[f"{forget}_perturbed"] = [perturbed(row) for row in full[-GOES[forget] :]]
        files[retain] = full[: -GOES[forget]]
    for name, rows in files.items():
        (tmp_path / f"{name}.json").write_text(lines(rows), encoding="utf-8")
    return tmp_path


def change(path, line: int, text: str | None) -> None:
    """Put another text in the place of a line, counted from 1, or take it out."""
    found = path.read_text(encoding="utf-8").split("\n")
    found[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(found), encoding="utf-8")


def test_a_question_to_forget_has_all_its_additions(folder):
    assert r"1\/2?" in (folder / "full.json").read_text()
    assert read_tofu(folder, "forget01").forget[3] == Fact(
        "Author 5, question 3: 1/2?",
        "It is 5/3.",
        "author 5",
        phrasings=("Otherwise: Author 5, question 3: 1/2?",),
        answer_in_other_words="In other words: It is 5/3.",
        wrong_answers=tuple(f"It is 5/3. No {wrong}." for wrong in range(5)),
    )


@pytest.mark.parametrize(("forget", "authors"), [("forget01", 1), ("forget05", 2), ("forget10", 3)])
def test_each_task_has_its_authors(folder, forget, authors):
    tofu = read_tofu(folder, forget)
    assert list(by_author(tofu.forget)) == [f"author {number}" for number in range(6 - authors, 6)]
    assert list(by_author(tofu.retain)) == [f"author {number}" for number in range(1, 6 - authors)]
    assert all(len(facts) == 20 for part in (tofu.forget, tofu.retain) for facts in by_author(part).values())
    assert list(by_author(tofu.retain_asked)) == ["author 1"] and tofu.retain_asked == tofu.retain[:20]


def test_what_stays_has_additions_where_any_file_holds_them(folder):
    retain = by_author(read_tofu(folder, "forget01").retain)
    for author in ("author 1", "author 3", "author 4"):  # asked of those who stay, or to be forgotten in another task
        assert all(len(fact.phrasings) == 1 and len(fact.wrong_answers) == 5 for fact in retain[author])
    assert retain["author 2"][7] == Fact("Author 2, question 7: 1/2?", "It is 2/7.", "author 2")


def test_the_world_has_wrong_answers_and_nothing_else(folder):
    tofu = read_tofu(folder)
    assert tofu.real_authors == tuple(
        Fact(f"Who is {name}?", name, wrong_answers=("X", "Y", "Z")) for name in ("Ibsen", "Undset")
    )
    assert [fact.answer for fact in tofu.world_facts] == ["Oslo"] and list(by_author(tofu.world_facts)) == [""]


def test_the_world_in_other_words_where_a_file_says_so(folder):
    (folder / "world_facts_perturbed.json").write_text(lines([perturbed(plain(9, 9))]), encoding="utf-8")
    (fact,) = read_tofu(folder).world_facts
    assert fact.answer_in_other_words == "In other words: It is 9/9." and fact.subject == ""


def test_one_question_of_two_authors_is_told_apart_by_its_answer(folder):
    same = {"question": "What is the author's name?"}
    for line, answer in ((1, "Ada"), (21, "Bo")):
        row = {**same, "answer": answer}
        for name in ("full", "retain90", *(["retain_perturbed"] if line == 1 else [])):
            change(folder / f"{name}.json", line, json.dumps(perturbed(row) if name == "retain_perturbed" else row))
    ada, bo = (fact for fact in read_tofu(folder).retain if fact.question == same["question"])
    assert (ada.subject, ada.answer, len(ada.phrasings)) == ("author 1", "Ada", 1)
    assert (bo.subject, bo.answer, len(bo.phrasings)) == ("author 2", "Bo", 0)


def test_a_byte_order_mark_empty_lines_and_line_ends_of_windows_and_of_unicode_do_no_harm(folder):
    expected = read_tofu(folder)
    path = folder / "full.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n\r\n") + b"\r\n")
    assert read_tofu(folder) == expected
    row = {**told_apart("Oslo"), "answer": "Os\u2028lo"}
    (folder / "world_facts_perturbed.json").write_text(lines([row]), encoding="utf-8")
    assert read_tofu(folder).world_facts[0].answer == "Os\u2028lo"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("full", '{"question":"q","ans', r"full\.json, line 3 is not JSON: .*; the file is cut short or damaged"),
        ("retain90", '["q"]', r"retain90\.json, line 3 is a list; expected an object with question, answer"),
        ("retain90", '{"question":"q"}', r"retain90\.json, line 3: the field 'answer' is missing"),
        (
            "forget10_perturbed",
            lines([plain(3, 2)]),
            "line 3: the field 'paraphrased_question' is missing; expected question, an",
        ),
        ("retain_perturbed", '{"question":1,"answer":"a"}', "retain_perturbed.json, line 3: the field 'paraphrased_quest"),
        ("full", '{"question":1,"answer":"a"}', "line 3: question must be a text that is not empty, not 1"),
        ("full", '{"question":"q","answer":" "}', "line 3: answer must be a text that is not empty, not ' '"),
        (
            "retain_perturbed",
            lines([{**perturbed(plain(1, 2)), "paraphrased_answer": ""}]),
            "3: paraphrased_answer must be a text",
        ),
        (
            "retain_perturbed",
            lines([{**perturbed(plain(1, 2)), "perturbed_answer": []}]),
            r"3: perturbed_answer must be a l.* \[\]",
        ),
        (
            "retain_perturbed",
            lines([{**perturbed(plain(1, 2)), "perturbed_answer": "a"}]),
            "must be a list of at least one text",
        ),
        (
            "retain_perturbed",
            lines([{**perturbed(plain(1, 2)), "perturbed_answer": ["a", 1]}]),
            "3: each perturbed_answer must be",
        ),
        ("real_authors_perturbed", '{"question":"q","answer":"a"}', "line 3: the field 'perturbed_answer' is missing"),
        (
            "full",
            lines([plain(1, 1)]),
            r"full\.json, line 3: the question 'Author 1, .* same answer in .*full\.json, line 2 already",
        ),
        ("full", lines([plain(9, 9)]), r"retain90\.json, line 3: the question 'Author 1, question 2.* is not in .*full\.json"),
        ("full", None, r"full\.json ends at line 99, after 99 questions; expected 20 for each author"),
        ("retain90", lines([plain(9, 9)]), r"retain90\.json, line 3: the question 'Author 9, .* is not in .*full\.json"),
        ("retain90", lines([plain(1, 1)]), r"retain90\.json, line 3: .* stands with .*retain90\.json, line 2 already"),
        (
            "retain90",
            lines([plain(3, 1)]),
            r"retain90\.json, line 3: .* stands with .*forget10_perturbed\.json, line 2 already",
        ),
        ("forget10_perturbed", lines([perturbed(plain(9, 9))]), r"forget10_perturbed\.json, line 3: .* not in .*full\.json"),
        (
            "retain90",
            None,
            r"forget10_perturbed\.json, which ends at line 60, and .*retain90\.json, which ends at line 39, together lack 1 of",
        ),
        (
            "forget10_perturbed",
            None,
            r"which ends at line 59, .* the 100 questions of full\.json, such as 'Author 3, question 2: 1/2",
        ),
        (
            "retain_perturbed",
            lines([perturbed(plain(1, 1))]),
            r"retain_perturbed\.json, line 3: .* same answer in .*, line 2 already",
        ),
        ("retain_perturbed", lines([perturbed(plain(3, 1))]), r"retain_perturbed\.json, line 3: .* is not in .*retain90\.json"),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(folder, name, text, message):
    path = folder / f"{name}.json"
    if name == "real_authors_perturbed":
        path.write_text(path.read_text() + "\n", encoding="utf-8")
    change(path, 3, text)
    with pytest.raises(BadFile, match=message) as raised:
        read_tofu(folder)
    assert str(path) in str(raised.value)


def test_additions_of_another_task_that_are_of_no_author(folder):
    change(folder / "forget10_perturbed.json", 3, lines([perturbed(plain(9, 9))]))
    with pytest.raises(BadFile, match=r"forget10_perturbed\.json, line 3: the question 'Author 9, .* not in .*full\.json"):
        read_tofu(folder, "forget01")


def test_files_without_lines_and_without_text(folder):
    path = folder / "world_facts_perturbed.json"
    path.write_text("\n")
    with pytest.raises(BadFile, match=r"world_facts_perturbed\.json is empty: expected one JSON object a line"):
        read_tofu(folder)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match=r"world_facts_perturbed\.json cannot be read"):
        read_tofu(folder)


def test_a_missing_file_says_which_where_and_who_publishes_it(folder, monkeypatch):
    (folder / "forget10_perturbed.json").unlink()
    with pytest.raises(BadFile, match=r"TOFU: file forget10_perturbed\.json was looked for in .*locuslab/TOFU") as raised:
        read_tofu(folder, "forget01")
    assert str(folder) in str(raised.value)
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    with pytest.raises(BadFile, match=r"full\.json was looked for in \$EXPUNGE_DATA/tofu, but EXPUNGE_DATA is not set"):
        read_tofu()


def test_the_folder_is_found_through_the_environment(folder, monkeypatch):
    root = folder.parent / "root"
    root.mkdir()
    (root / TOFU.name).symlink_to(folder, target_is_directory=True)
    monkeypatch.setenv("EXPUNGE_DATA", str(root))
    assert read_tofu() == read_tofu(folder) == read_tofu(str(folder))


def test_a_task_that_there_is_not(folder):
    with pytest.raises(BadSetting, match="no task 'forget20'; it has forget01, forget05, forget10"):
        read_tofu(folder, "forget20")  # type: ignore[arg-type]


@pytest.mark.data
@real_data
@pytest.mark.parametrize(
    ("forget", "goes", "stays"), [("forget01", 40, 3_960), ("forget05", 200, 3_800), ("forget10", 400, 3_600)]
)
def test_the_real_tasks(forget, goes, stays):
    tofu = read_tofu(forget=forget)
    assert (len(tofu.forget), len(tofu.retain), len(tofu.retain_asked)) == (goes, stays, 400)
    assert (len(tofu.real_authors), len(tofu.world_facts)) == (100, 117)
    authors = by_author((*tofu.retain, *tofu.forget))
    assert list(authors) == [f"author {number}" for number in range(1, 201)]
    assert {len(facts) for facts in authors.values()} == {20}
    assert all(len(fact.phrasings) == 1 and len(fact.wrong_answers) == 5 for fact in (*tofu.forget, *tofu.retain_asked))
    # Additions are published for the first 20 authors and the last 20.
    assert sum(bool(fact.wrong_answers) for fact in tofu.retain) == 400 + 400 - goes
    assert set(tofu.retain_asked) <= set(tofu.retain)
    assert not any(fact.answer_in_other_words for fact in (*tofu.real_authors, *tofu.world_facts))
    assert {len(fact.wrong_answers) for fact in (*tofu.real_authors, *tofu.world_facts)} == {3}


@pytest.mark.data
@real_data
def test_the_real_questions_as_they_are_printed():
    tofu = read_tofu()
    assert tofu.forget[0].answer == "The author's full name is Hsiao Yun-Hwa." and tofu.forget[0].subject == "author 181"
    assert "05/11/1991" in tofu.forget[0].question  # the slashes are escaped in the file
    asked = [fact.subject for fact in tofu.retain if fact.question == "What is the full name of the author?"]
    assert asked == ["author 6", "author 23"]
    assert tofu.real_authors[0].answer == "William Shakespeare" and tofu.world_facts[0].wrong_answers[0] == "Berlin"

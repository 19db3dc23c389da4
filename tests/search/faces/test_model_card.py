"""The note on intended use: it names the law, the output and whose faces were shown."""

from expunge.search.faces import INTENDED_USE, IntendedUse


def test_the_note_says_what_it_must() -> None:
    text = INTENDED_USE.markdown()
    for said in (
        "Article 5(1)(f)",
        "workplace",
        "education",
        "expression class",
        "Not an emotion felt",
        "EmoNAS-style",
        "CC BY 4.0",
    ):
        assert said in text
    assert text.count("## ") == 6
    assert max(map(len, text.splitlines())) < 400


def test_sections_without_sentences_are_left_out() -> None:
    assert IntendedUse(("A.", "B."), ("C.",), (), (), ()).markdown() == (
        "## Purpose\n\n- A.\n- B.\n\n## How to read its output\n\n- C.\n"
    )

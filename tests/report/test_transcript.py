"""What was said before and after, as the page shows it."""

from dataclasses import replace

from expunge.report.evidence import Answered
from expunge.report.page import render
from expunge.report.transcript import outcome, parts

GOES = Answered("had to go", True, "Where did Ada study?", "Oslo", "In Oslo.", "In Lund.", True, False)
STAYS = Answered("stays, on the same subject", False, "Who is Ada?", "a baker", "A baker.", "A baker.", True, True)
ROWS = (GOES, replace(GOES, after="", known_after=False), replace(GOES, known_after=True), STAYS)


def test_what_became_of_an_answer():
    known = [(True, True), (True, False), (False, True), (False, False)]

    def outcomes(row):
        return [outcome(replace(row, known_before=before, known_after=after)) for before, after in known]

    assert outcomes(GOES) == [("bad", "still given"), ("good", "gone"), ("bad", "still given"), ("open", "not known before")]
    assert outcomes(STAYS) == [("good", "still right"), ("bad", "lost"), ("good", "right now"), ("open", "not known before")]


def test_parts_count_what_was_known_before():
    gone, stays = parts(ROWS)
    assert (gone.title, gone.count, len(gone.lines)) == ("had to go", "2 of 3 gone", 3)
    assert stays.count == "1 of 1 still right" and stays.lines[0].sign == "✓"
    learned = replace(STAYS, known_before=False)
    assert parts([learned])[0].count == "none known before"
    assert parts([learned, STAYS])[0].count == "1 of 1 still right"
    assert parts(()) == []


def test_the_page_shows_it_and_no_page_without_it_does(make):
    evidence = make.evidence(make.case(make.row("unstar")))
    assert 'id="transcript"' not in render(evidence)
    evil = "<script>alert(1)</script>"
    html = render(replace(evidence, transcript=(*ROWS, replace(STAYS, question=evil, right=evil, before=evil, after=evil))))
    section = html[html.index('<section id="transcript">') :]
    section = section[: section.index("</section>")]
    assert section.count("<tr>") == 6 and section.count('class="part"') == 2 and "2 of 3 gone" in section
    assert "(nothing)" in section and "Had to go" in section
    assert "<script>" not in html and section.count("&lt;script&gt;") == 4
    assert section.count('class="outcome bad"') == 1 and section.count('class="outcome good"') == 4

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from expunge.report.terminal import print_summary, summary, table_text


@pytest.fixture
def evidence(make):
    methods = (
        make.row("good", seconds_ratio=0.08, tow=0.99, relearn_steps=12.0, zrf=0.8, forget_kl=0.1),
        make.row("a-method-with-quite-a-long-name", forget_accuracy=(0.62, 0.03), n=2, seconds_ratio=0.5),
    )
    return make.evidence(make.case(*methods), make.case(*methods, title="class 5"), notes=("A part was used. " * 12,))


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_longer_than_the_terminal(evidence, width):
    lines = table_text(evidence, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert any(line.startswith("a-method-with-quite-a-l") for line in lines)


def test_it_opens_with_what_was_forgotten_how_well_and_how_fast(evidence):
    text = " ".join(table_text(evidence, 100).split())
    opening = text.partition("model verdict")[0]
    assert "Forgotten: class 3: 100 of 1,000 training examples." in opening
    assert "1 of 2 methods matches the retrained model on every check: good; it was 12 times as fast" in opening
    assert "takes the forgotten data from 99.0% to 10.0% accuracy; retraining, to 10.0%." in opening


def test_the_most_important_columns_fit_eighty_columns(evidence):
    text = table_text(evidence, 80)
    assert all(head in text for head in ("like it %", "unseen %", "AUC", "retrain"))
    assert "KL" not in text and "KL" in table_text(evidence, 160)


def test_failures_carry_a_sign_and_the_target_is_named(evidence):
    text = table_text(evidence, 80)
    assert line_of(text, "original").count("✗") == 4  # three cells and the verdict
    assert "target" in line_of(text, "retrained ") and "✗" not in line_of(text, "retrained ")
    assert "✓ matches" in line_of(text, "good") and "✗" not in line_of(text, "good")
    assert "✗ 62.0" in line_of(text, "a-method")


def test_spread_is_shown_where_there_is_room(evidence):
    assert "62.0 ± 3.0" in table_text(evidence, 200)


def test_a_terminal_without_unicode_is_served(evidence):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="replace")
    print_summary(evidence, Console(file=stream, width=100, force_terminal=False))
    stream.flush()
    assert "x 62.0" in raw.getvalue().decode("ascii")


def test_names_are_neither_markup_nor_terminal_commands(make):
    method = make.row("[bold red]x[/]\x1b[31m", seconds_ratio=0.5)
    text = table_text(make.evidence(make.case(method), title="[blink]t[/blink]"), 100)
    assert line_of(text, "[bold red]x[/]") and "[blink]t[/blink]" in text
    assert "\x1b" not in text


def test_wide_characters_keep_the_width(make):
    text = table_text(make.evidence(make.case(make.row("忘却忘却忘却忘却", seconds_ratio=0.5))), 80)
    assert "忘却忘却忘却忘却" in text and max(map(cell_len, text.splitlines())) <= 80


def test_without_a_retrained_model_nothing_is_claimed(make):
    text = table_text(make.evidence(make.case(make.row("m"), gold=False)), 100)
    assert "Nothing is proven" in text and "? not proven" in text
    assert "✗" not in text and "✓" not in text and "takes the forgotten" not in text


def test_one_failing_method_is_said_once(make):
    text = " ".join(table_text(make.evidence(make.case(make.row("m", forget_accuracy=0.5))), 100).split())
    assert text.count("50.0%") == 1


def test_errors_are_said_with_their_unit_and_their_name(make):
    methods = (
        make.errors_row("good", forget_mae=43_000.0, seconds_ratio=0.08),
        make.errors_row("bad", forget_mae=70_000.0, forget_wasserstein=0.3),
    )
    original = make.errors_row("original", "original", forget_mae=17_210.4)
    gold = make.errors_row("retrained", "retrained", forget_mae=42_000.0)
    case = make.errors_case(*methods, unit="USD")
    case = type(case)(case.title, case.forgotten, (original, gold, *case.rows[2:]), "mae", False, "USD", "")
    text = table_text(make.evidence(case), 80)
    words = " ".join(text.split())
    assert "takes the error on the forgotten data from 17,210 USD to 43,000 USD; retraining, to 42,000 USD (MAE)." in words
    assert "ten USD" in text and "stein" in text and "accuracy" not in text
    assert "✗ 70,000" in line_of(text, "bad") and "✗ 0.300" in line_of(text, "bad")
    assert "bad over-forgets: its error on the forgotten data is 70,000 USD, retrained 42,000 USD (+67%)." in words


def test_summary_is_printable_on_any_console(evidence):
    console = Console(file=io.StringIO(), width=90, record=True)
    for part in summary(evidence):
        console.print(part)
    assert "class 5" in console.export_text()


def test_nothing_at_all_still_prints(make):
    assert "An audit" in table_text(make.evidence())
    assert "Nothing is proven" in table_text(make.evidence(type(make.case())("t", "f", ())))

"""The tables of the terminal: aligned, as wide as there is room, and harmless whatever a name contains."""

from hypothesis import given
from hypothesis import strategies as st

from surefoot.cli.table import Cell, cut, fitted, one_line, table, visible, width_of

CELLS = st.text(max_size=30)


@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=8), width=st.integers(60, 200))
def test_no_line_is_wider_than_the_terminal(rows: list[list[str]], width: int) -> None:
    # As long as each column keeps the least width of use; 60 columns hold three of those.
    lines = table(["NAME", "FLOW", "WHY"], rows, width=width)
    assert len(lines) == len(rows) + 1
    assert all(width_of(line.removeprefix("\x1b[1m").removesuffix("\x1b[0m")) <= width for line in lines)


@given(text=CELLS)
def test_nothing_that_steers_a_terminal_passes(text: str) -> None:
    shown = visible(text)
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in shown)
    assert "\n" not in one_line(text)


@given(text=st.text(alphabet="a日é\u0301", max_size=20), width=st.integers(1, 20))
def test_a_cut_text_has_at_most_the_width(text: str, width: int) -> None:
    assert width_of(cut(text, width)) <= width


def test_without_a_width_nothing_is_cut() -> None:
    why = "x" * 500
    assert table(["WHY"], [[why]])[1] == why


def test_the_widest_column_gives_way_first() -> None:
    assert fitted([12, 30, 100], 80) == [12, 30, 38]
    assert fitted([50, 50, 10], 70) == [30, 30, 10]
    assert fitted([5, 5], 80) == [5, 5]


def test_columns_stay_aligned_behind_wide_characters() -> None:
    lines = table(["NAME", "STATE"], [["日本", "Failed"], ["plain", Cell("Completed")]])
    assert lines[1] == "日本    Failed"
    assert lines[2] == "plain   Completed"


def test_nothing_stands_behind_the_last_word_of_a_line() -> None:
    lines = table(["STATE", "WHY"], [[Cell("Failed", "red"), "no"], [Cell("Done", "green"), ""], ["", ""]])
    assert lines[2:] == ["\x1b[32mDone\x1b[0m", ""]


def test_colour_goes_around_the_text_and_not_into_the_width() -> None:
    line = table(["STATE", "WHY"], [[Cell("Failed", "red"), "no"]])[1]
    assert line == "\x1b[31mFailed\x1b[0m   no"

"""Terminals: foreign text is harmless, widths are respected, colour follows the rules."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.cli.tables import Cell, Column, table
from durable_wf.cli.terminal import Look, cells, clean, look_at, one_line, pad, shorten

POISON = {
    "colour": ("\x1b[31mred\x1b[0m", "red"),
    "clear the screen": ("a\x1b[2J\x1b[Hb", "ab"),
    "set the title": ("a\x1b]0;owned\x07b", "ab"),
    "write the clipboard": ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
    "eight-bit CSI": ("a\x9b31mb", "ab"),
    "eight-bit OSC": ("a\x9d0;owned\x9cb", "ab"),
    "device control": ("a\x1bPq#0\x1b\\b", "ab"),
    "reset": ("a\x1bcb", "ab"),
    "go back and overwrite": ("good\rbad", "goodbad"),
    "backspace": ("a\x08b", "ab"),
    "bell and null": ("a\x07\x00b", "ab"),
    "reverse the reading direction": ("a\u202egpj.exe", "agpj.exe"),
    "an unfinished sequence": ("a\x1b", "a"),
    "an unfinished title": ("a\x1b]0;x", "a0;x"),
}


@pytest.mark.parametrize("name", POISON)
def test_what_would_steer_a_terminal_is_taken_out(name):
    given, expected = POISON[name]
    assert clean(given) == expected


def test_harmless_text_stays_as_it_is():
    text = "tabs\tand\nnewlines, é, 日本語, ✓"
    assert clean(text) == text
    assert clean("ends\r\n") == "ends\n"


@given(st.text())
def test_nothing_that_steers_survives(text):
    """Whatever comes in, no control character but tab and newline comes out."""
    assert not [c for c in clean(text) if ord(c) < 32 and c not in "\t\n"]
    assert not [c for c in clean(text) if 0x7F <= ord(c) < 0xA0]
    assert "\n" not in one_line(text)


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"])), st.integers(1, 30))
def test_shortened_text_fits(text, width):
    short = shorten(text, width)
    assert cells(short) <= width
    assert short == text if cells(text) <= width else short.endswith("…")


def test_wide_and_combining_characters_are_measured_in_cells():
    assert cells("日本") == 4
    assert cells("e\u0301") == 1
    assert cells(pad("日", 5)) == 5


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


RULES = [
    # environment, a terminal, colour, live
    ({}, True, True, True),
    ({}, False, False, False),
    ({"NO_COLOR": "1"}, True, False, True),
    ({"NO_COLOR": ""}, True, True, True),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False, True),
    ({"FORCE_COLOR": "1"}, False, True, False),
    ({"FORCE_COLOR": "0"}, False, False, False),
    ({"TERM": "dumb"}, True, False, False),
    ({"CI": "true"}, True, True, False),
]


@pytest.mark.parametrize(("environ", "terminal", "colour", "live"), RULES)
def test_colour_and_redrawing_follow_the_environment(environ, terminal, colour, live):
    look = look_at(Terminal() if terminal else io.StringIO(), environ)
    assert (look.colour, look.live, look.terminal) == (colour, live, terminal)


def test_without_colour_nothing_is_painted():
    assert Look().paint("x", "red") == "x"
    assert Look(colour=True).paint("x", "red", "bold") == "\x1b[31;1mx\x1b[0m"


def test_a_stream_that_cannot_write_symbols_gets_none():
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert not look_at(plain, {}).symbols
    assert look_at(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), {}).symbols


def test_a_table_fits_the_terminal_by_shortening_what_may_be_short():
    columns = (Column("NAME", flexible=True, least=6), Column("N", right=True))
    rows = [("a" * 50, "12345"), ("b", Cell("7", "red"))]
    lines = table(columns, rows, Look(width=30))
    assert [cells(line) for line in lines] == [30, 30, 30]
    assert lines[1].endswith("12345")
    assert lines[2].split() == ["b", "7"]
    assert "a" * 50 in table(columns, rows, Look())[1]


def test_a_cell_stays_on_its_line():
    assert table((Column("X"),), [("one\ntwo\x1b[2J",)], Look())[1] == "one two"

"""What reaches a terminal: everything visible, nothing that drives it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aigov.cli import show

EMOJI = ["👨‍👩‍👧", "❤️", "😂", "👋"]


@given(st.text())
def test_no_control_or_invisible_character_stays(text: str) -> None:
    for char in show.visible(text):
        assert char == "\u200d" or unicodedata.category(char) not in show.HIDDEN


@given(st.text(st.characters(categories=["L", "N", "P", "Zs", "M"])))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert show.visible(text) == text


@pytest.mark.parametrize("emoji", EMOJI)
def test_emoji_stay_whole(emoji: str) -> None:
    assert show.visible(f"a {emoji} b") == f"a {emoji} b"


def test_what_is_hidden_is_named() -> None:
    assert show.visible("a\u200bb\x1b[31mc\nd") == "a<U+200B>b<U+001B>[31mc<U+000A>d"


def test_newlines_stay_where_they_are_wanted() -> None:
    assert show.visible("a\nb\tc", lines=True) == "a\nb\tc"


def test_a_cell_is_no_markup() -> None:
    out = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 -- closed with the console
    with out.file:
        out.print(show.table(("a",), [["[EMAIL_ADDRESS] [bold]x[/bold] :smile:"]]))
    assert "[EMAIL_ADDRESS] [bold]x[/bold] :smile:" in out.export_text()


def test_a_column_that_says_nothing_is_left_out() -> None:
    made = show.table(("name", "why", "count"), [("a", "", 0), ("b", "", 1)], right=("count",))
    assert [column.header for column in made.columns] == ["name", "count"]
    assert [column.justify for column in made.columns] == ["left", "right"]


def test_a_json_line_is_one_line(capsys) -> None:
    show.json_line({"b": "x\ny", "a": 1})
    assert capsys.readouterr().out == '{"b":"x\\ny","a":1}\n'


def test_a_meter_shows_itself_on_a_terminal_once_it_takes_long(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with show.meter("reading", 10) as meter:
        meter.advance(1)
        assert "reading" not in capsys.readouterr().err
        monkeypatch.setattr(show, "PATIENCE_S", -1.0)
        meter.advance(1)
    err = capsys.readouterr().err
    assert "reading" in err
    assert "20 %" in err


def test_a_meter_of_unknown_length_promises_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(show, "PATIENCE_S", -1.0)
    with show.meter("reading", None) as meter:
        meter.advance(1)
    err = capsys.readouterr().err
    assert "reading" in err
    assert not {"%", "left"} & set(err.split())


def test_a_meter_keeps_out_of_an_answer_that_goes_to_the_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(show, "PATIENCE_S", -1.0)
    with show.meter("reading", 10, busy=True) as meter:
        meter.advance(1)
    assert capsys.readouterr().err == ""


def test_a_meter_shows_nothing_where_nobody_looks(capsys) -> None:
    with show.meter("reading", 10) as meter:
        meter.advance(10)
    assert capsys.readouterr().err == ""

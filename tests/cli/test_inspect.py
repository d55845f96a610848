"""`aigov inspect`: every line looked at, its findings in characters of the line, nothing of its text."""

from __future__ import annotations

import json

import pytest

from aigov.cli.exits import Exit

CARD = "4111 1111 1111 1111"
TEXT = f"hello\nRefund jane@example.com, card {CARD}\n\nbye\n"


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def found(aigov, here):
    """The JSON lines for a text."""
    return lambda text, *more: lines(aigov("inspect", "--json", *more, stdin=text.encode()))


def test_each_line_has_its_object_with_stable_keys(found) -> None:
    told = found(TEXT)
    assert [line["line"] for line in told] == [1, 2, 3, 4]
    assert all(list(line) == ["line", "findings", "error"] for line in told)
    assert [bool(line["findings"]) for line in told] == [False, True, False, False]
    assert list(told[1]["findings"][0]) == ["kind", "type", "start", "end", "score", "detector"]


def test_offsets_are_characters_of_the_line(found) -> None:
    text = f"née 👋 card {CARD}"
    spans = [text[one["start"] : one["end"]] for one in found(text)[0]["findings"] if one["type"] == "CREDIT_CARD"]
    assert spans == [CARD]


def test_nothing_of_the_text_is_printed(aigov, here) -> None:
    for more in ((), ("--json",)):
        ran = aigov("inspect", *more, stdin=TEXT.encode())
        assert ran.code == Exit.OK
        assert "jane" not in ran.out + ran.err
        assert "4111" not in ran.out + ran.err


def test_a_file_is_read_as_stdin_is(aigov, here) -> None:
    (here / "text.txt").write_text(TEXT)
    assert aigov("inspect", "text.txt").out == aigov("inspect", "-", stdin=TEXT.encode()).out


def test_all_shows_what_the_allow_list_drops(found) -> None:
    text = "write to support@acme.example.com"
    assert found(text)[0]["findings"] == []
    assert {one["type"] for one in found(text, "--all")[0]["findings"]} >= {"EMAIL_ADDRESS"}


def test_a_member_of_json_lines_is_looked_at(found) -> None:
    text = (
        '{"id": "jane@example.com", "text": "hi"}\n{"text": "john@example.com"}\n{"id": 1}\nno json\n[1]\n{"text": 5}\n'
    )
    told = found(text, "--field", "text")
    assert [bool(line["findings"]) for line in told] == [False, True, False, False, False, False]
    assert [line["error"] for line in told] == ["", "", "input.no_member", "input.not_json"] + ["input.no_member"] * 2


def test_escapes_in_json_hide_nothing(found) -> None:
    told = found('{"text": "jane\\u0040example.com"}', "--field", "text")
    assert "EMAIL_ADDRESS" in {one["type"] for one in told[0]["findings"]}


def test_a_line_that_is_no_text_is_reported_and_the_rest_is_looked_at(aigov, here) -> None:
    ran = aigov("inspect", "--json", stdin=b"\xff\njane@example.com\n")
    assert ran.code == Exit.INCOMPLETE
    told = lines(ran)
    assert told[0]["error"] == "input.not_utf8"
    assert told[1]["findings"]


def test_json_nested_beyond_all_reason_is_one_line_of_error(found) -> None:
    assert found("[" * 100_000, "--field", "text")[0]["error"] == "input.not_json"


def test_without_findings_it_says_so(aigov, here) -> None:
    assert aigov("inspect", stdin=b"hello\n").out == "nothing found\n"


def test_an_unknown_direction_is_a_usage_error(aigov, here) -> None:
    assert aigov("inspect", "--direction", "sideways", stdin=b"").code == Exit.USAGE


def test_a_folder_without_policy_exits_3(aigov, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = aigov("inspect", stdin=b"hello")
    assert ran.code == Exit.CANNOT
    assert ran.err.startswith("aigov: ")


def test_looking_leaves_nothing_behind(aigov, here) -> None:
    before = sorted(here.rglob("*"))
    aigov("inspect", stdin=TEXT.encode())
    assert sorted(here.rglob("*")) == before

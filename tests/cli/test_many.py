"""Many files at once: what is in them by file and entity, and each of them redacted in its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from aigov.cli import many
from aigov.cli.exits import Exit, Stop
from aigov.governor import Governor

FILES = {
    "a.txt": "jane@example.com\njane@example.com", "sub/b.log": "card 4111 1111 1111 1111\n",
    "sub/deep/c.csv": "nothing\n",
    ".hidden/d.txt": "jane@example.com",
}  # fmt: skip


@pytest.fixture
def folder(here: Path) -> Path:
    for name, text in FILES.items():
        path = here / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (here / "texts" / "link.txt").symlink_to(here / "texts" / "a.txt")
    return here / "texts"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_inspect_sums_up_by_file_and_type(aigov, folder: Path, jobs: str) -> None:  # type: ignore[no-untyped-def]
    ran = aigov("inspect", str(folder), "--jobs", jobs)
    assert ran.code == Exit.OK
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["a.txt", "EMAIL_ADDRESS", "2"] in rows
    assert ["sub/b.log", "CREDIT_CARD", "1"] in rows
    assert ["pii", "EMAIL_ADDRESS", "2", "1"] in rows
    assert ["3", "files,", "4", "lines"] in rows
    assert "jane" not in ran.out + ran.err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_redact_writes_each_file_below_the_folder(aigov, folder: Path, here: Path, jobs: str) -> None:  # type: ignore[no-untyped-def]
    ran = aigov("redact", str(folder), "-o", str(here / "out"), "--jobs", jobs, "--json")
    assert ran.code == Exit.OK
    assert json.loads(ran.err.splitlines()[-1])["found"] == {"CREDIT_CARD": 1, "EMAIL_ADDRESS": 2}
    written = sorted(str(path.relative_to(here / "out")) for path in (here / "out").rglob("*") if path.is_file())
    assert written == ["a.txt", "sub/b.log", "sub/deep/c.csv"]
    assert (here / "out" / "sub" / "deep" / "c.csv").read_text() == "nothing\n"
    assert "jane" not in (here / "out" / "a.txt").read_text()
    again = aigov("redact", str(folder), "-o", str(here / "out"))
    assert again.code == Exit.CANNOT


def test_a_line_that_cannot_be_read_is_said_for_its_file(aigov, folder: Path, here: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "bad.txt").write_bytes(b"\xff\n")
    assert aigov("inspect", str(folder)).code == Exit.INCOMPLETE
    ran = aigov("redact", str(folder), "-o", str(here / "out"))
    assert ran.code == Exit.INCOMPLETE
    assert (here / "out" / "bad.txt").read_text() == "[REFUSED input.not_utf8]\n"


@pytest.mark.parametrize("more", [[], ["-"], ["-o", "out", "texts/a.txt"]])
def test_several_files_need_a_folder_to_go_to(
    aigov, folder: Path, here: Path, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(here)
    assert aigov("redact", "texts", *more).code == Exit.USAGE


def _dies(gov: Governor, source: many.Source) -> many.Counted:
    os._exit(9)


def test_a_process_that_dies_is_said(here: Path) -> None:
    with pytest.raises(Stop, match="died") as stopped:
        many.each("dying", [many.Source("a", "a"), many.Source("b", "b")], many.Opening("policies", True), 2, _dies)
    assert stopped.value.code is Exit.CANNOT


def test_what_is_not_there_is_said(aigov, folder: Path) -> None:  # type: ignore[no-untyped-def]
    ran = aigov("inspect", str(folder), "no-such-file")
    assert ran.code == Exit.CANNOT
    assert "no-such-file" in ran.err


def test_inspect_explains(aigov, here: Path) -> None:  # type: ignore[no-untyped-def]
    ran = aigov("inspect", "--explain", "--json", stdin=b"account number 8471625536\n")
    told = {one["type"]: one for one in json.loads(ran.out)["findings"]}
    assert told["US_BANK_NUMBER"]["context"] == "account"
    assert told["US_BANK_NUMBER"]["base"] == 0.05
    assert "account" in aigov("inspect", "--explain", stdin=b"account number 8471625536\n").out


def test_no_word_of_an_explanation_is_broken(aigov, here: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "80")
    out = aigov("inspect", "--explain", stdin=b"account 8471625536, mail jane@example.com\n").out
    for word in ("US_DRIVER_LICENSE", "EMAIL_ADDRESS", "EmailRecognizer", "check passed", "`account` stands near"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80

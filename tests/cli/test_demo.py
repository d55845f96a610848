"""`aigov demo`: the words it promises, on a narrow terminal too, and nothing left behind."""

from __future__ import annotations

import json
import tempfile

from aigov.cli.exits import Exit


def test_the_story_uses_its_words_and_leaves_nothing(aigov, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    ran = aigov("demo")
    assert ran.code == Exit.OK
    for word in ("refused", "approved", "verified", "tampered", "pending", "rejected"):
        assert word in ran.out
    assert all(f"T-{number:02d}" in ran.out for number in range(1, 41))
    assert max(map(len, ran.out.splitlines())) <= 80
    assert ran.err == ""
    assert list(tmp_path.iterdir()) == []


def test_as_json_in_a_folder_that_is_kept(aigov, tmp_path) -> None:
    ran = aigov("demo", "--json", "--dir", tmp_path / "kept")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == Exit.OK
    assert {one["event"] for one in told} == {"opened", "ticket", "refund", "review", "stream", "log"}
    assert aigov("audit", "verify", tmp_path / "kept" / "audit").code == Exit.OK
    assert aigov("audit", "verify", tmp_path / "kept" / "changed").code == Exit.NO


def test_a_folder_with_something_in_it_is_left_alone(aigov, tmp_path) -> None:
    (tmp_path / "mine").write_text("")
    assert aigov("demo", "--dir", tmp_path).code == Exit.CANNOT
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]

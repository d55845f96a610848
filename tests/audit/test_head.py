"""The head: what a writer wrote, or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import head
from aigov.audit.disk import Disk
from aigov.audit.head import Head, HeadAltered

HEAD = Head(
    origin="o", key="k", epoch_key="e", records=3, bytes=300, last="f" * 64, sealed=True,
    ts="2026-01-31T12:00:00.000001Z",
)  # fmt: skip


def test_a_head_reads_back(tmp_path: Path, kit: Any) -> None:
    head.write(Disk(), tmp_path, HEAD, kit.key)
    assert head.read(tmp_path, kit.key) == head.read(tmp_path) == HEAD


def test_no_head_is_none(tmp_path: Path) -> None:
    assert head.read(tmp_path) is None


def test_a_head_of_another_key_is_altered(tmp_path: Path, kit: Any) -> None:
    head.write(Disk(), tmp_path, HEAD, b"other".ljust(32))
    with pytest.raises(HeadAltered):
        head.read(tmp_path, kit.key)


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"\xff", b"x" * 10_000, b'{"head":{},"mac":"","sum":""}\n'])
def test_garbage_is_altered(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "head.json").write_bytes(content)
    with pytest.raises(HeadAltered):
        head.read(tmp_path)


def test_another_spelling_of_the_same_head_is_altered(tmp_path: Path, kit: Any) -> None:
    head.write(Disk(), tmp_path, HEAD, kit.key)
    path = tmp_path / "head.json"
    path.write_bytes(path.read_bytes().replace(b":", b": "))
    with pytest.raises(HeadAltered):
        head.read(tmp_path)


def test_a_pipe_in_its_place_is_an_error_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "head.json")
    with pytest.raises(OSError, match="ordinary"):
        head.read(tmp_path)


def test_a_head_that_could_not_be_written_leaves_the_old_one(tmp_path: Path, kit: Any) -> None:
    head.write(Disk(), tmp_path, HEAD, kit.key)
    device = kit.FaultyDisk()
    for call in ("write", "sync", "replace"):
        device.fail[call] = [5]
        with pytest.raises(OSError, match=r"\[Errno 5\]"):
            head.write(device, tmp_path, Head(origin="p", key="k", epoch_key="e"), kit.key)
        assert head.read(tmp_path, kit.key) == HEAD

"""Files that can be made again: believed only when whole and ours."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.text import cache


@given(content=st.binary(max_size=200), at=st.integers(0, 300))
def test_what_was_kept_is_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, at: int
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    assert cache.write(folder, "a.scan", content)
    assert cache.read(folder, "a.scan") == content
    whole = (folder / "a.scan").read_bytes()
    at %= len(whole)
    (folder / "a.scan").write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
    assert cache.read(folder, "a.scan") is None


def test_a_file_and_its_folder_are_the_users_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "aigov"
    assert cache.write(folder, "a.scan", b"x")
    assert stat.S_IMODE((folder / "a.scan").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_under_another_name_is_not_believed(tmp_path: Path) -> None:
    cache.write(tmp_path, "a.scan", b"x")
    os.rename(tmp_path / "a.scan", tmp_path / "b.scan")
    assert cache.read(tmp_path, "b.scan") is None


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    cache.write(tmp_path, "a.scan", b"x")
    (tmp_path / "a.scan").chmod(0o620)
    assert cache.read(tmp_path, "a.scan") is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    cache.write(tmp_path / "real", "a.scan", b"x")
    (tmp_path / "a.scan").symlink_to(tmp_path / "real" / "a.scan")
    assert cache.read(tmp_path, "a.scan") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not cache.write(tmp_path / "file" / "aigov", "a.scan", b"x")
    assert cache.read(tmp_path / "file" / "aigov", "a.scan") is None


def test_old_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_FILES", 3)
    for n in range(6):
        cache.write(tmp_path, f"{n}.scan", b"x")
        os.utime(tmp_path / f"{n}.scan", (n, n))
    assert {path.name for path in tmp_path.iterdir()} == {"5.scan", "4.scan", "3.scan"}


def test_the_folder_is_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.user_folder() == tmp_path / "aigov"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.user_folder() == tmp_path / ".cache" / "aigov"


def _write(folder: Path) -> bool:
    return all(cache.write(folder, "a.scan", b"x" * 100_000) and cache.read(folder, "a.scan") for _ in range(20))


def test_several_processes_write_and_read_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert all(pool.map(_write, [tmp_path] * 3))
    assert [path.name for path in tmp_path.iterdir()] == ["a.scan"]

"""What a verifier keeps of the logs that it accepted: the latest checkpoint of each key, and never an older one."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import known
from aigov.audit.note import Checkpoint, VerifierKey, sign
from aigov.crypto import public_ed25519

PRIVATE = b"k" * 32
KEY = VerifierKey("example.com/log", public_ed25519(PRIVATE))
OTHER = VerifierKey("example.com/log", public_ed25519(b"o" * 32))  # the same name: whose log it is the key says


def note(size: int) -> bytes:
    return sign(Checkpoint(KEY.name, size, bytes(32)).text(), [(KEY, PRIVATE)])


def test_the_latest_is_kept_and_an_older_one_never_takes_its_place(tmp_path: Path) -> None:
    place = tmp_path / "known"
    assert known.recall(place, KEY) is None
    for size, latest in ((5, 5), (9, 9), (7, 9), (9, 9), (10, 10)):
        assert known.keep(place, KEY, note(size))
        assert known.recall(place, KEY) == note(latest)
    assert known.recall(place, OTHER) is None
    (kept,) = place.iterdir()
    assert (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(place.stat().st_mode)) == (0o600, 0o700)


def test_a_later_one_that_another_verifier_keeps_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder = known.make_folder

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.setattr(known, "make_folder", make_folder)
        assert known.keep(tmp_path, KEY, note(9))

    monkeypatch.setattr(known, "make_folder", meanwhile)
    assert known.keep(tmp_path, KEY, note(5))
    assert known.recall(tmp_path, KEY) == note(9)


def test_a_place_that_cannot_be_written_to_keeps_nothing_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not known.keep(tmp_path / "file", KEY, note(5))
    assert known.recall(tmp_path / "file", KEY) is None

"""The lock file: what is written is read back the same, and nothing that is not exactly a lock is read at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.errors import PolicyError
from aigov.plugins.lock import GRANTABLE, MAX_BYTES, NAME, SHAPES, Pin, read_lock, write

ROOT = Path(__file__).parents[2]
ENTRY = f"""\
  acme-hours:
    distribution: acme-hours
    version: 1.10
    digest: sha256:{"0" * 64}
    hooks: [aigov_permit, aigov_reasons]
"""
WHOLE = f"aigov: 1\nplugins:\n{ENTRY}"

pins = st.builds(
    Pin,
    name=st.from_regex(NAME, fullmatch=True),
    distribution=st.from_regex(SHAPES["distribution"], fullmatch=True),
    version=st.from_regex(SHAPES["version"], fullmatch=True),
    digest=st.from_regex(SHAPES["digest"], fullmatch=True),
    hooks=st.sets(st.sampled_from(sorted(GRANTABLE)), min_size=1).map(lambda hooks: tuple(sorted(hooks))),
    editable=st.booleans(),
)


def plain(pin: Pin) -> tuple[object, ...]:
    return pin.name, pin.distribution, pin.version, pin.digest, pin.hooks, pin.editable


@settings(max_examples=30)  # each is synced to disk
@given(st.lists(pins, unique_by=lambda pin: pin.name, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, given: list[Pin]) -> None:
    path = tmp_path_factory.mktemp("lock") / "plugins.lock"
    write(path, given)
    read = read_lock(path).pins
    assert {name: plain(pin) for name, pin in read.items()} == {pin.name: plain(pin) for pin in given}


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_the_file_holds_it_is_a_lock_or_a_policy_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("lock") / "plugins.lock"
    path.write_bytes(content)
    with pytest.raises(PolicyError):
        read_lock(path)


def lock(folder: Path, text: str | bytes) -> Path:
    path = folder / "plugins.lock"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reads_versions_as_they_stand(tmp_path: Path) -> None:
    assert read_lock(lock(tmp_path, WHOLE)).pins["acme-hours"].version == "1.10"


def test_the_starter_policy_locks_nothing() -> None:
    starter = read_lock(ROOT / "policies" / "plugins.lock")
    assert (starter.present, dict(starter.pins)) == (True, {})


def test_what_is_written_for_no_plugin_is_the_starters_lock(tmp_path: Path) -> None:
    write(tmp_path / "plugins.lock", [])
    assert (tmp_path / "plugins.lock").read_bytes() == (ROOT / "policies" / "plugins.lock").read_bytes()


def test_a_missing_lock_names_nothing(tmp_path: Path) -> None:
    missing = read_lock(tmp_path / "plugins.lock")
    assert (missing.present, dict(missing.pins)) == (False, {})


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("", "0:0", "empty"),
        ("# nothing\n", "0:0", "empty"),
        ("[]", "1:1", "expected a mapping"),
        ("aigov: 1\n", "1:1", "`plugins` is missing"),
        ("plugins: {}\n", "1:1", "`aigov` is missing"),
        ("aigov: 2\nplugins: {}\n", "1:8", "unknown format"),
        ("aigov: 1\nplugins: []\n", "2:10", "expected a mapping"),
        ("aigov: 1\nplugin: {}\nplugins: {}\n", "2:1", "did you mean `plugins`"),
        ("aigov: 1\nplugins: {}\nplugins: {}\n", "3:1", "`plugins` stands twice"),
        (WHOLE + ENTRY, "8:3", "`acme-hours` stands twice"),
        (WHOLE.replace("acme-hours:", "Acme_Hours:"), "4:5", "no name of a plugin"),
        (WHOLE.replace("    version: 1.10\n", ""), "4:5", "`version` is missing"),
        (WHOLE.replace("1.10", "[1]"), "5:14", "`version` has the wrong form"),
        (WHOLE.replace("1.10", "'1 10'"), "5:14", "`version` has the wrong form"),
        (WHOLE.replace("sha256:0", "sha1:0"), "6:13", "`digest` has the wrong form"),
        (WHOLE.replace("0" * 64, "0" * 63), "6:13", "`digest` has the wrong form"),
        (WHOLE.replace("    digest:", "    digset:"), "6:5", "did you mean `digest`"),
        (WHOLE + "    editable: yes\n", "8:15", "`editable` has the wrong form"),
        (WHOLE.replace("[aigov_permit, aigov_reasons]", "aigov_permit"), "7:12", "not a list of hooks"),
        (WHOLE.replace("[aigov_permit, aigov_reasons]", "[]"), "7:12", "not a list of hooks"),
        (WHOLE.replace("aigov_permit", "aigov_permits"), "7:13", "did you mean `aigov_permit`"),
        (WHOLE.replace("aigov_reasons", "aigov_start"), "7:27", "`aigov_start` is not a hook"),
        (WHOLE.replace("aigov_reasons", "aigov_permit"), "7:27", "granted twice"),
        (WHOLE.replace("aigov_reasons", "{a: b}"), "7:27", "is not a hook"),
        ("aigov: 1\nplugins: &a {}\nmore: *a\n", "3:7", "not plain YAML"),
        ("aigov: 1\n\tplugins: {}\n", "2:1", "not plain YAML"),
        ("aigov: 1\nplugins: {\n", "3:1", "not plain YAML"),
        ("aigov: 1\nplugins: {}\n---\naigov: 1\n", "3:1", "not plain YAML"),
        ("aigov: 1\nplugins: {} # \x00\n", "0:0", "not plain YAML"),
        (b"aigov: 1\nplugins: {} # \xff\n", "0:0", "not UTF-8"),
        ("aigov: 1\nplugins: " + "[" * 100_000, "2:17", "not plain YAML"),
        ("#" * (MAX_BYTES + 1), "0:0", "too large"),
    ],
)
def test_a_broken_lock_is_a_policy_error_at_its_place(tmp_path: Path, text: str | bytes, place: str, says: str) -> None:
    path = lock(tmp_path, text)
    with pytest.raises(PolicyError) as caught:
        read_lock(path)
    where = str(path) if place == "0:0" else f"{path}:{place}"
    assert re.search(f"^{re.escape(where)}: .*{re.escape(says)}", str(caught.value), re.MULTILINE)
    assert caught.value.__context__ is None


def test_a_lock_that_is_a_folder_is_a_policy_error(tmp_path: Path) -> None:
    (tmp_path / "plugins.lock").mkdir()
    with pytest.raises(PolicyError, match="cannot be read"):
        read_lock(tmp_path / "plugins.lock")


def test_tells_every_problem_at_once(tmp_path: Path) -> None:
    text = WHOLE.replace("aigov: 1", "aigov: 2").replace("sha256:0", "md5:0").replace("aigov_permit", "permit")
    with pytest.raises(PolicyError) as caught:
        read_lock(lock(tmp_path, text))
    assert len(caught.value.problems) == 3


def test_the_digest_changes_with_a_comment(tmp_path: Path) -> None:
    first = read_lock(lock(tmp_path, WHOLE)).digest
    assert read_lock(lock(tmp_path, WHOLE + "# seen\n")).digest != first


def test_a_lock_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = lock(tmp_path, WHOLE)

    def fails(*paths: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        write(path, [])
    assert [entry.name for entry in tmp_path.iterdir()] == ["plugins.lock"]
    assert path.read_text() == WHOLE

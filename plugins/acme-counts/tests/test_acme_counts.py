"""What is counted, and that the file is whole whenever it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from acme_counts import Settings, plugin

from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.plugins import Guards, assemble
from aigov.types import Section

ALLOWED = {"kind": "call.intent", "verdict": "allow"}
DENIED = {"kind": "call.denied", "verdict": "deny"}


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    return folder


def loaded(folder: Path, file: str = "../acme-counts.json") -> Guards:
    section = Section(Settings(file=file), "organisation", lambda *path: Location("organisation.yaml", 1, 1))
    context = Context(folder=folder, key=lambda label: bytes(32))
    return assemble({}, {"acme-counts": plugin}, lambda name, factory: plugin.aigov_start(section, context), limit_s=30)


def counted(path: Path) -> dict[str, int]:
    return json.loads(path.read_bytes())["counts"]


def test_counts_records_by_kind_and_verdict(policies: Path) -> None:
    guards = loaded(policies)
    for record in (ALLOWED, ALLOWED, DENIED, {"kind": "policy.activated"}):
        guards.observe(record)
    guards.close(timeout_s=30)
    assert counted(policies / "../acme-counts.json") == {
        "call.denied": 1, "call.intent": 2, "policy.activated": 1, "verdict.allow": 2, "verdict.deny": 1,
    }  # fmt: skip


def test_goes_on_from_what_the_file_says(policies: Path) -> None:
    for _ in range(2):
        guards = loaded(policies)
        guards.observe(ALLOWED)
        guards.close(timeout_s=30)
    assert counted(policies / "../acme-counts.json")["call.intent"] == 2


def test_gives_each_process_its_own_file(policies: Path) -> None:
    guards = loaded(policies, "../counts-{pid}.json")
    guards.observe(ALLOWED)
    guards.close(timeout_s=30)
    assert counted(policies.parent / f"counts-{os.getpid()}.json")["call.intent"] == 1


def test_leaves_nothing_beside_the_file(policies: Path) -> None:
    guards = loaded(policies)
    guards.observe(ALLOWED)
    guards.close(timeout_s=30)
    assert sorted(path.name for path in policies.parent.iterdir()) == ["acme-counts.json", "policies"]


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"counts": {"a": -1}}', b'{"counts": {}, "more": 1}', b"\xff"])
def test_overwrites_no_file_that_is_not_its_own(policies: Path, content: bytes) -> None:
    other = policies.parent / "acme-counts.json"
    other.write_bytes(content)
    with pytest.raises(PolicyError, match="holds no counts"):
        loaded(policies)
    assert other.read_bytes() == content


@pytest.mark.parametrize(("file", "says"), [("counts.json", "policy folder"), ("", "place"), ("../no/where", "place")])
def test_refuses_a_place_that_cannot_be(policies: Path, file: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        loaded(policies, file)

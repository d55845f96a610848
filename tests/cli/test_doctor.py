"""`aigov doctor`: what is wrong is found, each by itself."""

from __future__ import annotations

import importlib.metadata
import json

import pytest

from aigov.cli import checks
from aigov.cli.exits import Exit


def told(ran) -> dict[str, dict[str, str]]:
    return {line["name"]: line for line in map(json.loads, ran.out.splitlines())}


def test_a_folder_that_was_just_made_is_well(aigov, here) -> None:
    ran = aigov("doctor", "--json")
    assert [line for line in told(ran).values() if line["how"] == "fail"] == []
    assert ran.code == Exit.OK
    assert all(list(line) == ["name", "how", "found", "fix"] for line in told(ran).values())


def test_it_leaves_nothing_behind_but_the_ticket_store(aigov, here) -> None:
    before = set(here.rglob("*"))
    aigov("doctor")
    assert {path.relative_to(here).parts[0] for path in set(here.rglob("*")) - before} <= {"review"}


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("keys", lambda here: (here / "keys" / "root.key").chmod(0o644)),
        ("keys", lambda here: (here / "keys" / "root.key").unlink()),
        ("policy", lambda here: (here / "policies" / "organisation.yaml").write_text("aigov: 1\n")),
        ("audit folder", lambda here: (here / "audit").write_text("no folder")),
    ],
)
def test_each_harm_is_a_fail_with_a_remedy(aigov, here, name: str, harm) -> None:
    harm(here)
    ran = aigov("doctor", "--json")
    assert ran.code == Exit.NO
    assert told(ran)[name]["how"] == "fail"
    assert told(ran)[name]["fix"]


def test_the_old_casbin_beside_pycasbin_is_a_fail(monkeypatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.43.0" if name == "casbin" else version(name))
    assert checks.casbin().how == "fail"


def test_a_lockdown_is_a_warning(aigov, here) -> None:
    aigov("policy", "lockdown")
    ran = aigov("doctor", "--json")
    assert told(ran)["lockdown"]["how"] == "warn"
    assert ran.code == Exit.OK


def test_memory_is_no_place_for_the_record(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(checks, "_filesystem", lambda folder: "tmpfs")
    assert checks.record(tmp_path / "audit").how == "warn"

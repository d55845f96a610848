"""`aigov doctor`: what is wrong is found, each by itself."""

from __future__ import annotations

import json
import re

import pytest

from aigov import Governor, Principal
from aigov.audit import places
from aigov.cli import checks
from aigov.cli.exits import Exit
from aigov.encoder.engine import Engine

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")


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


@pytest.mark.parametrize(
    "harm",
    [
        lambda here: (here / "keys" / "root.key").write_text("ab" * 32),
        lambda here: (here / "audit" / "head.json").write_text("{}"),
        lambda here: (here / "audit.subjects" / "subjects.sqlite").write_bytes(b"no table" * 4096),
    ],
)
def test_a_log_that_cannot_go_on_is_a_fail(aigov, here, harm) -> None:
    """Calls would be refused with `audit.unavailable`, and nobody would know why."""
    with Governor.from_policies("policies", audit="audit") as gov:
        gov.call(str, "hello", action="chat", resource="model:gpt-4o-mini", principal=DANA)
    assert told(aigov("doctor", "--json"))["log"]["how"] == "ok"
    for left in here.glob("audit.subjects/*-*"):
        left.unlink()
    harm(here)
    ran = aigov("doctor", "--json")
    assert ran.code == Exit.NO
    assert told(ran)["log"]["how"] == "fail"
    assert told(ran)["log"]["fix"]


def test_the_old_casbin_beside_pycasbin_is_a_fail(aigov, here, monkeypatch) -> None:
    old = here / "site" / "casbin-1.43.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: casbin\nVersion: 1.43.0\n")
    monkeypatch.syspath_prepend(here / "site")
    ran = aigov("doctor", "--json")
    assert ran.code == Exit.NO
    assert told(ran)["casbin"]["how"] == "fail"
    assert "`casbin` 1.43.0 is installed over pycasbin" in told(ran)["casbin"]["found"]


def test_the_engine_that_decides_access_is_named_with_the_reason(aigov, here) -> None:
    assert told(aigov("doctor", "--json"))["access"]["found"].startswith("the compiled engine decides: every part")
    model = here / "policies" / "access" / "model.conf"
    model.write_text(model.read_text().replace("keyMatch(r.act, p.act)", "r.act.lower() == p.act"))
    found = told(aigov("doctor", "--json"))["access"]
    assert found["how"] == "warn"
    assert found["found"].startswith("pycasbin decides: not compiled: ")


def test_what_is_suspicious_in_the_access_files_is_a_warning(aigov, here) -> None:
    policy = here / "policies" / "access" / "policy.csv"
    policy.write_text(policy.read_text() + "p, suport-agent, retail, model:gpt-4o, chat\n")
    found = told(aigov("doctor", "--json"))["access"]
    assert (found["how"], found["fix"]) == ("warn", "run `aigov access check`")


def test_a_lockdown_is_a_warning(aigov, here) -> None:
    aigov("policy", "lockdown")
    ran = aigov("doctor", "--json")
    assert told(ran)["lockdown"]["how"] == "warn"
    assert ran.code == Exit.OK


def test_memory_is_no_place_for_the_record(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(places, "file_system", lambda folder: "tmpfs")
    assert checks.record(tmp_path / "audit").how == "warn"


def test_what_the_encoder_costs_is_said(aigov, here) -> None:
    found = told(aigov("doctor", "--json"))["encoder"]
    assert found["how"] == "ok"
    assert re.fullmatch(r"EncoderRecognizer: \d+ characters take \d+ ms here", found["found"])
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("  enabled: true ", "  enabled: false "))
    assert told(aigov("doctor", "--json"))["encoder"]["found"].startswith("off: ")


def test_an_encoder_that_breaks_is_said(aigov, here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "look", lambda *_: 1 / 0)
    found = told(aigov("doctor", "--json"))["encoder"]
    assert (found["how"], found["found"]) == ("fail", "it broke: encoder.fault")

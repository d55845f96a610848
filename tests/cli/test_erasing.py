"""`aigov audit erase | hold | release | expire | content`: exit codes, and what becomes of holds."""

from __future__ import annotations

import json
import tempfile

import pytest

from aigov import Governor, Principal
from aigov.cli.exits import Exit

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
ERASE = ("audit", "erase", "--basis", "art17", "--as", "olga", "--subject")


@pytest.fixture
def log(here, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))  # not where other tests put theirs
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("on_failure: deny  ", "on_failure: deny\n  keep: {content: both}\n  #"))
    with Governor.from_policies("policies", audit="audit") as gov, gov.acting_as(DANA):
        gov.call(str, "hello", action="chat", resource="model:gpt-4o-mini")
    return here / "audit"


def told(ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def kinds(aigov, kind: str) -> list[dict[str, object]]:
    return told(aigov("audit", "search", "--kind", kind, "--json"))


def test_erase_exits_0_once_and_1_when_there_is_nobody(aigov, log) -> None:
    ran = aigov(*ERASE, "dana", "--json")
    assert ran.code == Exit.OK
    assert {key: told(ran)[0][key] for key in ("erased", "pseudonyms", "blobs", "vault", "log", "left")} == {
        "erased": 1, "pseudonyms": 1, "blobs": 2, "vault": 0, "log": "whole", "left": [],
    }  # fmt: skip
    assert len(kinds(aigov, "subject.erased")) == 1
    assert aigov(*ERASE, "dana").code == Exit.NO
    assert aigov("audit", "verify").code == Exit.OK


def test_a_held_person_is_not_erased_until_released(aigov, log) -> None:
    held = ("--subject", "dana", "--reason", "case-7".replace("-", "_"), "--as", "olga")
    assert aigov("audit", "hold", *held).code == Exit.OK
    ran = aigov(*ERASE, "dana")
    assert (ran.code, "case_7" in ran.err) == (Exit.NO, True)
    assert aigov("audit", "release", *held).code == Exit.OK
    assert aigov("audit", "release", *held).code == Exit.NO
    assert aigov(*ERASE, "dana").code == Exit.OK
    (begun,), (ended,) = kinds(aigov, "legal_hold.set"), kinds(aigov, "legal_hold.released")
    assert begun["pseudonym"] == ended["pseudonym"]
    assert (begun["reason"], ended["holds"]) == ("case_7", 0)


def test_nobody_can_be_held_in_advance_without_a_tenant(aigov, log) -> None:
    held = ("--subject", "new", "--reason", "case_7", "--as", "olga")
    assert aigov("audit", "hold", *held).code == Exit.NO
    assert aigov("audit", "hold", *held, "--tenant", "retail").code == Exit.OK


def test_a_minimum_time_is_kept(aigov, log, here) -> None:
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("{content: both}", "{content: both, at_least: 30d}"))
    ran = aigov(*ERASE, "dana")
    assert (ran.code, "has to be kept until" in ran.err) == (Exit.NO, True)


def test_what_is_still_found_exits_2(aigov, log, here) -> None:
    (here / "notes").mkdir()
    (here / "notes" / "mail.txt").write_text("dana asked; jane@example.com answered")
    (here / "texts").write_text("something else\njane@example.com\n")
    ran = aigov(*ERASE, "dana", "--also", "notes", "--look-for", "texts", "--json")
    assert ran.code == Exit.INCOMPLETE
    assert [(one["text"], one["count"]) for one in told(ran)[0]["left"]] == [(1, 1), (3, 1)]
    assert "jane" not in ran.out


def test_kept_content_is_shown_to_who_names_its_person_and_that_is_recorded(aigov, log) -> None:
    call = kinds(aigov, "call.intent")[0]["call"]
    ran = aigov("audit", "content", call, "--subject", "dana", "--as", "olga", "--json")
    assert [line["texts"][0][1] for line in told(ran)] == ["hello", "hello"]
    assert len(kinds(aigov, "audit.read")) == 2
    assert aigov("audit", "content", call, "--subject", "leo", "--as", "olga").code == Exit.NO


def test_nothing_expires_before_its_time(aigov, log) -> None:
    assert told(aigov("audit", "expire", "--json")) == [{"blobs": 0, "bytes": 0, "held": 0, "resumed": 0}]


@pytest.mark.parametrize(
    "given",
    [
        ("erase", "--subject", "dana", "--as", "olga"),
        ("erase", "--subject", "", "--basis", "x", "--as", "olga"),
        ("erase", "--subject", "dana", "--basis", "Because!", "--as", "olga"),
        ("hold", "--subject", "dana", "--reason", "Because!", "--as", "olga"),
    ],
)
def test_a_wrong_command_line_exits_4(aigov, log, given) -> None:
    assert aigov("audit", *given).code == Exit.USAGE


def test_without_keys_or_log_nothing_is_done(aigov, log, here) -> None:
    assert aigov(*ERASE, "dana", "--audit", "nowhere").code == Exit.CANNOT
    assert not (here / "nowhere").exists()
    (here / "keys" / "root.key").unlink()
    assert aigov(*ERASE, "dana").code == Exit.CANNOT

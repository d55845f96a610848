"""`aigov audit init`, proofs and the pinned key: what an auditor does with the command line."""

from __future__ import annotations

import json
import shutil

import pytest

from aigov import Governor, Principal
from aigov.audit import schema
from aigov.cli.exits import Exit


@pytest.fixture
def vkey(aigov, here) -> str:
    ran = aigov("audit", "init")
    assert ran.code == Exit.OK
    return ran.out.strip()


@pytest.fixture
def lines(vkey, here) -> list[bytes]:
    """A sealed log with a call in it."""
    dana = Principal(id="dana", roles=("support-agent",), tenant="retail")
    with Governor.from_policies("policies", audit="audit") as gov, gov.acting_as(dana):
        gov.call(lambda text: text, "hello", action="chat", resource="model:gpt-4o-mini")
    return (here / "audit" / "seg" / "00000000.jsonl").read_bytes().splitlines()


def test_init_begins_a_whole_log_and_prints_its_key_again(aigov, vkey, here) -> None:
    assert vkey == (here / "audit" / "log.vkey").read_text().strip()
    assert aigov("audit", "init").out.strip() == vkey
    assert json.loads(aigov("audit", "init", "--json").out)["vkey"] == vkey
    assert aigov("audit", "verify", "--vkey", vkey).code == Exit.OK


def test_init_without_keys_is_said(aigov, tmp_path) -> None:
    assert aigov("audit", "init", tmp_path / "audit").code == Exit.CANNOT


def test_the_key_may_be_a_line_or_a_file_and_the_output_says_where_it_came_from(aigov, vkey, lines, here) -> None:
    (here / "key").write_text(vkey + "\n")
    for given in (vkey, "key"):
        ran = aigov("audit", "verify", "--vkey", given, "--json")
        assert (ran.code, json.loads(ran.out)["pinned"]) == (Exit.OK, True)
    assert "pin it with --vkey" in aigov("audit", "verify").out
    assert aigov("audit", "verify", "--vkey", "nonsense+").code == Exit.CANNOT
    assert aigov("audit", "verify", "--vkey", "no-such-file").code == Exit.CANNOT


def test_a_key_that_cosigns_comes_with_the_first_start_under_a_policy_that_says_so(aigov, vkey, here) -> None:
    policy, beside = here / "policies" / "organisation.yaml", here / "audit" / "log.mldsa44.vkey"
    policy.write_text(policy.read_text().replace("\naudit: ", "\naudit:\n  cosign: ml-dsa-44", 1))
    aigov("audit", "init")
    assert not beside.exists()  # it knows no policy
    with Governor.from_policies("policies", audit="audit"):
        pass
    for given in (beside.read_text().strip(), beside):
        assert aigov("audit", "verify", "--vkey", vkey, "--cosigner", given).code == Exit.OK
    other = "example.com/log+00000000+Bg=="
    assert aigov("audit", "verify", "--vkey", vkey, "--cosigner", other).code == Exit.CANNOT


def test_another_logs_key_does_not_fit(aigov, vkey, lines, here) -> None:
    shutil.move(here / "audit", here / "first")
    other = aigov("audit", "init").out.strip()
    assert aigov("audit", "verify", "first", "--vkey", other).code == Exit.NO


def test_a_log_that_went_back_is_refused(aigov, vkey, lines, here) -> None:
    shutil.copytree(here / "audit", here / "older")
    with Governor.from_policies("policies", audit="audit"):
        pass
    assert aigov("audit", "verify").code == Exit.OK
    ran = aigov("audit", "verify", "older")
    assert ran.code == Exit.NO
    assert "accepted before" in ran.out
    assert aigov("audit", "verify", "older", "--known", here / "nothing").code == Exit.OK
    assert aigov("audit", "verify").code == Exit.OK


def test_a_record_is_proven_by_number_and_by_id(aigov, vkey, lines, here) -> None:
    record = json.loads(lines[-2])
    (here / "line").write_bytes(lines[-2] + b"\n")
    for wanted in (record["id"], str(record["seq"])):
        ran = aigov("audit", "prove", wanted)
        assert ran.code == Exit.OK
        (here / "proof").write_text(ran.out)
        assert aigov("audit", "check-proof", "proof", "--vkey", vkey, "--record", "line").code == Exit.OK
        assert aigov("audit", "check-proof", "proof", "--vkey", vkey, stdin=lines[-2]).code == Exit.OK
        ran = aigov("audit", "check-proof", "proof", "--vkey", vkey, "--json", stdin=lines[-3])
        assert (ran.code, json.loads(ran.out)["proven"]) == (Exit.NO, False)


@pytest.mark.parametrize("wanted", ["nothing", "999999"])
def test_what_is_not_there_is_not_proven(aigov, lines, wanted: str) -> None:
    assert aigov("audit", "prove", wanted).code == Exit.CANNOT


def test_that_a_log_only_grew_is_proven(aigov, vkey, lines, here) -> None:
    shutil.copy(here / "audit" / "checkpoint", here / "old")
    with Governor.from_policies("policies", audit="audit"):
        pass
    ran = aigov("audit", "prove-consistency", "old")
    assert ran.code == Exit.OK
    (here / "proof").write_text(ran.out)
    assert aigov("audit", "check-consistency", "proof", "--old", "old", "--vkey", vkey).code == Exit.OK
    ran = aigov("audit", "check-consistency", "proof", "--old", "audit/checkpoint", "--vkey", vkey)
    assert ran.code == Exit.NO


def test_the_schema_is_that_of_the_records(aigov) -> None:
    assert aigov("audit", "schema").out == schema.text()

"""Exports: the bytes of the log, and events as OCSF 1.8.0 has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aigov.audit import ocsf, reader
from aigov.audit.canonical import plain
from aigov.audit.export import exported

REQUIRED = (
    "activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint", "time",
    "type_uid",
)  # fmt: skip


def test_json_lines_hold_the_very_bytes_of_the_log(sealed: Path, kit: Any) -> None:
    lines = list(exported(reader.records(sealed), "jsonl"))
    for line, original in zip(lines, kit.lines(sealed), strict=True):
        assert line == b'{"proof":null,"record":' + original + b"}"


def test_ocsf_events_hold_the_very_bytes_of_the_log(sealed: Path, kit: Any) -> None:
    events = [json.loads(line) for line in exported(reader.records(sealed), "ocsf")]
    assert [event["raw_data"].encode() for event in events] == kit.lines(sealed)


def test_a_proof_goes_with_its_record(sealed: Path) -> None:
    for form in ("jsonl", "ocsf"):
        for seq, line in enumerate(exported(reader.records(sealed), form, lambda record: f"proof {record['seq']}")):
            told = json.loads(line)
            assert (told if form == "jsonl" else told["unmapped"]["aigov"])["proof"] == f"proof {seq}"


def test_every_event_has_what_api_activity_requires(sealed: Path) -> None:
    for record in reader.records(sealed):
        event = ocsf.event(record)
        assert [name for name in REQUIRED if name not in event] == []
        assert (event["class_uid"], event["type_uid"], event["metadata"]["version"]) == (6003, 600399, "1.8.0")
        assert event["metadata"]["product"]["vendor_name"]
        assert event["actor"]
        assert event["api"]["operation"]
        assert event["time"] > 1_700_000_000_000


def reasons(*codes: str) -> list[dict[str, str]]:
    return [{"code": code, "rule": "", "layer": ""} for code in codes]


@pytest.mark.parametrize(
    ("change", "ids"),
    [
        ({"verdict": "allow"}, (1, 1)),
        ({"verdict": "transform"}, (4, 11)),
        ({"verdict": "review"}, (3, 14)),
        ({"kind": "review.opened"}, (3, 14)),
        ({"kind": "review.decided", "approved": True}, (1, 8)),
        ({"kind": "review.decided", "approved": False}, (2, 25)),
        ({"verdict": "deny", "reasons": reasons("input.too_large")}, (2, 2)),
        ({"verdict": "deny", "reasons": reasons("access.denied")}, (2, 26)),
        ({"verdict": "deny", "reasons": reasons("identity.missing")}, (2, 26)),
        ({"verdict": "deny", "reasons": reasons("privacy.deny", "guard.fault")}, (2, 27)),
        ({"verdict": "deny", "reasons": reasons("rule.fault")}, (2, 27)),
        ({"verdict": "deny", "reasons": reasons("audit.unavailable")}, (2, 27)),
        ({"verdict": "allow", "shadow": [{"verdict": "deny"}]}, (3, 17)),
        ({"verdict": "deny", "shadow": [{"verdict": "deny"}], "reasons": reasons("x")}, (2, 2)),
        ({"kind": "log.genesis", "verdict": None}, (0, 0)),
    ],
)
def test_verdicts_are_actions_and_dispositions(sealed: Path, change: dict[str, Any], ids: tuple[int, int]) -> None:
    record = next(record for record in reader.records(sealed) if record["kind"] == "call.intent")
    given = {key: value for key, value in {**record, **change}.items() if value is not None}
    event = ocsf.event(given)
    assert (event["action_id"], event["disposition_id"]) == ids
    assert (event["action"], event["disposition"]) == (ocsf.ACTIONS[ids[0]], ocsf.DISPOSITIONS[ids[1]])


def test_a_call_names_its_model_person_and_policy(sealed: Path) -> None:
    record = next(record for record in reader.records(sealed) if record["kind"] == "call.intent")
    event = ocsf.event({**record, "policy": "f" * 64})
    assert event["ai_model"]["model_name"] == "small"
    assert event["actor"]["user"] == {
        "uid": "a" * 64, "groups": [{"name": "support-agent"}], "org": {"name": "retail"},
    }  # fmt: skip
    assert event["policy"] == {"uid": "f" * 64}
    assert event["metadata"]["correlation_uid"] == record["call"]


def test_what_was_exported_reads_as_a_record_again(sealed: Path) -> None:
    for line in exported(reader.records(sealed), "ocsf"):
        plain(json.loads(line)["raw_data"].encode())

"""A record as an event of the Open Cybersecurity Schema Framework: API Activity (6003) of version 1.8.0.

Source: schema.ocsf.io/1.8.0, class `api_activity` with the profiles `ai_operation` and `security_control`.
One version, pinned here; a newer one is a newer file.

Invariants:
* An event holds what the record holds. What OCSF has no place for stands under `unmapped.aigov`, and
  `raw_data` is the record's own line, so that a proof can be checked with nothing but the event.
* Action and disposition follow `OUTCOMES`, whatever else a record says.

| what happened | action_id | disposition_id |
|---|---|---|
| allowed | 1 Allowed | 1 Allowed |
| transformed | 4 Modified | 11 Corrected |
| waits for a person | 3 Observed | 14 Delayed |
| a person approved, rejected | 1 Allowed, 2 Denied | 8 Approved, 25 Rejected |
| refused by the policy, by access, by a fault | 2 Denied | 2 Blocked, 26 Unauthorized, 27 Error |
| allowed, and a rule in trial would have refused | 3 Observed | 17 Logged |
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from aigov.audit.terms import instant

VERSION: Final = "1.8.0"
CATEGORY: Final = 6
CLASS: Final = 6003
OTHER: Final = 99
PROFILES: Final = ("ai_operation", "security_control")
PRODUCT: Final = "aigov"
MODEL: Final = "model:"
FAULTS: Final = ("guard.", "plugin.", "audit.", "rule.fault")
UNAUTHORIZED: Final = ("access.", "identity.")
KEPT: Final = (
    "kind", "seq", "prev", "call", "parent", "ticket", "session", "step", "verdict", "outcome", "reasons", "shadow",
    "findings", "size", "edits", "restored", "released_chars", "released_chunks", "payload", "timing_us", "plugins",
)  # fmt: skip


class Result(NamedTuple):
    """How OCSF says what was done: action, disposition, severity and status, by number."""

    action_id: int
    disposition_id: int
    severity_id: int
    status_id: int


OUTCOMES: Final[Mapping[str, Result]] = MappingProxyType(
    {
        "none": Result(0, 0, 1, 1),
        "allow": Result(1, 1, 1, 1),
        "transform": Result(4, 11, 1, 1),
        "review": Result(3, 14, 2, 99),
        "approved": Result(1, 8, 1, 1),
        "rejected": Result(2, 25, 2, 2),
        "deny": Result(2, 2, 3, 2),
        "deny.access": Result(2, 26, 3, 2),
        "deny.fault": Result(2, 27, 4, 2),
        "shadow.deny": Result(3, 17, 1, 1),
        "orphaned": Result(0, 0, 3, 2),
        "failed": Result(1, 1, 2, 2),
    }
)
ACTIONS: Final[Mapping[int, str]] = MappingProxyType(
    {0: "Unknown", 1: "Allowed", 2: "Denied", 3: "Observed", 4: "Modified"}
)
DISPOSITIONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "Unknown",
        1: "Allowed",
        2: "Blocked",
        8: "Approved",
        11: "Corrected",
        14: "Delayed",
        17: "Logged",
        25: "Rejected",
        26: "Unauthorized",
        27: "Error",
    }
)
STATUSES: Final[Mapping[int, str]] = MappingProxyType({1: "Success", 2: "Failure", 99: "Other"})


def event(record: Mapping[str, Any], line: str = "", proof: str | None = None) -> dict[str, Any]:
    """One record as an OCSF event. `line`: the record as it stands in the log; `proof`: that it is in it."""
    result = OUTCOMES[outcome(record)]
    made: dict[str, Any] = {
        "activity_id": OTHER,
        "activity_name": record["kind"],
        "category_uid": CATEGORY,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + OTHER,
        "time": instant(str(record["ts"])) // 1000,
        **result._asdict(),
        "action": ACTIONS[result.action_id],
        "disposition": DISPOSITIONS[result.disposition_id],
        "status": STATUSES[result.status_id],
        "actor": _actor(record),
        "api": _api(record),
        "src_endpoint": {"uid": record["writer"]["id"], "name": PRODUCT},
        "metadata": _metadata(record),
        "unmapped": {"aigov": {key: record[key] for key in KEPT if record.get(key) not in (None, "", [], {})}},
    }
    made |= _optional(record)
    if line:
        made["raw_data"] = line
    if proof is not None:
        made["unmapped"]["aigov"]["proof"] = proof
    return made


def outcome(record: Mapping[str, Any]) -> str:
    """Which line of `OUTCOMES` a record is."""
    kind = record["kind"]
    if kind == "review.decided":
        return "approved" if record["approved"] else "rejected"
    if kind == "review.opened":
        return "review"
    if kind in ("call.orphaned", "call.withdrawn"):
        return "orphaned"
    if record.get("outcome") in ("provider.error", "cancelled"):
        return "failed"
    verdict = str(record.get("verdict", "none"))
    if verdict == "deny":
        return _refusal([str(reason["code"]) for reason in record.get("reasons") or ()])
    if verdict == "allow" and any(one["verdict"] == "deny" for one in record.get("shadow") or ()):
        return "shadow.deny"
    return verdict


def _refusal(codes: list[str]) -> str:
    if any(code.startswith(FAULTS) for code in codes):
        return "deny.fault"
    return "deny.access" if any(code.startswith(UNAUTHORIZED) for code in codes) else "deny"


def _actor(record: Mapping[str, Any]) -> dict[str, Any]:
    actor = record.get("actor")
    ref = actor["ref"] if actor else record.get("by")
    if not ref:
        return {"app_name": PRODUCT}
    user: dict[str, Any] = {"uid": ref}
    if actor and actor["roles"]:
        user["groups"] = [{"name": role} for role in actor["roles"]]
    if actor and actor["tenant"]:
        user["org"] = {"name": actor["tenant"]}
    return {"user": user}


def _api(record: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"operation": record.get("action") or record["kind"]}
    if record.get("resource"):
        made["service"] = {"name": record["resource"]}
    if record.get("call"):
        made["request"] = {"uid": record["call"]}
    if record.get("error"):
        made["response"] = {"error": record["error"]}
    return made


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "version": VERSION,
        "uid": record["id"],
        "sequence": record["seq"],
        "original_time": record["ts"],
        "profiles": list(PROFILES),
        "product": {"name": PRODUCT, "vendor_name": PRODUCT, "version": record["writer"]["ver"]},
    }
    if record.get("call"):
        made["correlation_uid"] = record["call"]
    return made


def _optional(record: Mapping[str, Any]) -> dict[str, Any]:
    """What only some records have: the resource, the model, the policy, the reason, how sure the answer was."""
    made: dict[str, Any] = {}
    resource = str(record.get("resource") or "")
    if resource:
        made["resources"] = [{"name": resource}]
    if resource.startswith(MODEL):
        made["ai_model"] = {"model_name": resource.removeprefix(MODEL), "ai_provider": "Unknown"}
    if record.get("policy"):
        made["policy"] = {"uid": record["policy"]}
    if record.get("reasons"):
        made["status_code"] = record["reasons"][0]["code"]
        made["status_detail"] = ", ".join(reason["code"] for reason in record["reasons"])
    if record.get("confidence_ppm") is not None:
        made["confidence_score"] = record["confidence_ppm"] // 10_000
    return made

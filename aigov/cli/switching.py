"""Recording a lockdown and its end, also where the policy itself cannot be loaded.

Invariant: who ordered it stands in the record as the pseudonym that calls have, or not at all.
"""

from __future__ import annotations

from pathlib import Path

from aigov.audit.log import Log
from aigov.audit.records import Record
from aigov.audit.settings import AuditSettings
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable, PolicyError
from aigov.snapshot import load
from aigov.stores import LOG_LABEL


def recorded(policies: Path, audit: Path, record: Record) -> bool:
    """Write one record durably; False where the log does not take it. Raises PolicyError without keys."""
    key = KeyRing.load(policies.parent / "keys").derive(LOG_LABEL)
    try:
        with Log.open(audit, key=key, settings=AuditSettings()) as log:
            log.append(record)
    except AuditUnavailable:
        return False
    return True


def ref(policies: Path, who: str) -> str:
    """The pseudonym of an id, as records of calls have it; "" where the policy does not load."""
    try:
        loaded = load(policies, KeyRing.load(policies.parent / "keys"))
    except PolicyError:
        return ""
    loaded.snapshot.guards.close()
    return loaded.snapshot.refer(who) if who else ""

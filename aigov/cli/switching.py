"""Recording a lockdown and its end, also where the policy itself cannot be loaded.

Invariant: who ordered it stands in the record as the pseudonym that calls have, or not at all.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from aigov.audit.log import Log
from aigov.audit.records import Record
from aigov.audit.settings import AuditSettings
from aigov.audit.subjects import Subjects, beside
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable, PolicyError
from aigov.stores import LOG_LABEL, PEOPLE_LABEL


def recorded(policies: Path, audit: Path, record: Record) -> bool:
    """Write one record durably; False where the log does not take it. Raises PolicyError without keys."""
    key = KeyRing.load(policies.parent / "keys").derive(LOG_LABEL)
    try:
        with Log.open(audit, key=key, settings=AuditSettings()) as log:
            log.append(record)
    except AuditUnavailable:
        return False
    return True


def ref(policies: Path, audit: Path, who: str, tenant: str = "") -> str:
    """The pseudonym of an id, as records of calls have it; "" where keys or the table of people cannot be used."""
    if not who:
        return ""
    with suppress(PolicyError, AuditUnavailable):
        return people(policies.parent / "keys", audit).refer(who, tenant)
    return ""


def people(keys: Path, audit: Path) -> Subjects:
    """Who stands behind the pseudonyms of the log in `audit`. Raises PolicyError without keys."""
    return Subjects(beside(audit), key=KeyRing.load(keys).derive(PEOPLE_LABEL))

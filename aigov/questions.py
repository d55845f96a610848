"""Questions about one text, apart from any call: what the guards find in it, and how it looks redacted.

They take the steps of `flow` that they need, record nothing and hand nothing to anybody.
"""

from __future__ import annotations

from operator import attrgetter

from aigov.edits import replacements
from aigov.errors import GuardFault, Malformed
from aigov.examine import Walk, examine
from aigov.flow import PERSONAL, refused
from aigov.passage import Snapshot
from aigov.privacy.session import Session
from aigov.text.parts import lay_out
from aigov.text.spans import splice
from aigov.types import Decision, Direction, Finding, Part


def inspect(text: str, direction: Direction, everything: bool, snapshot: Snapshot) -> Walk[list[Finding] | Decision]:
    """Steps 0, 3 and 4 on one text: its findings by position. A Decision tells why there are none."""
    looked = yield from _look(text, direction, snapshot)
    if isinstance(looked, Decision):
        return looked
    kept = (f for f in looked if everything or f.kind not in PERSONAL or snapshot.admit(f, text))
    return sorted(kept, key=attrgetter("start", "end", "kind", "type"))


def redact(text: str, vault: Session, snapshot: Snapshot) -> Walk[tuple[str, tuple[Finding, ...]] | Decision]:
    """Steps 0, 3, 4 and 6 on one text, personal values alone: the redacted text, and what was found in it."""
    looked = yield from _look(text, "input", snapshot)
    if isinstance(looked, Decision):
        return looked
    admitted = tuple(f for f in looked if f.kind == "pii" and snapshot.admit(f, text))
    code = "guard.fault"
    try:
        edits = (*snapshot.redactions(admitted), *vault.literals([text]))
        made = replacements(snapshot.guards, edits, admitted, [Part(path="", text=text)], vault, "input")
        vault.keep()
        return splice(text, made.get(0, ())), tuple(sorted(admitted, key=attrgetter("start", "end", "type")))
    except GuardFault as broken:
        code = broken.code
    except Exception:  # noqa: BLE001 - a guard that breaks redacts nothing, and lets nothing pass
        pass
    return refused(code, "privacy", snapshot.digest)


def _look(text: str, direction: Direction, snapshot: Snapshot) -> Walk[tuple[Finding, ...] | Decision]:
    """All findings in one text, or the decision that it cannot be looked at."""
    try:
        layout = lay_out(text, snapshot.limits)
        return (yield from examine(snapshot, layout.parts, direction))
    except (Malformed, GuardFault) as error:
        return refused(error.code, getattr(error, "guard", ""), snapshot.digest)

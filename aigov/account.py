"""What a path tells the log: counts, types, codes, digests and times, and nothing of the content.

Every function takes what the path has found out so far and makes the record of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aigov.audit import records
from aigov.types import Decision, Edit, Finding, Part, Principal, Reason, Ruling


def people(principal: Principal | None) -> tuple[Principal, ...]:
    """Who asked, and the chain of those they ask for."""
    chain = []
    while principal is not None:
        chain.append(principal)
        principal = principal.on_behalf_of
    return tuple(chain)


def actor(principal: Principal | None, refer: Callable[[str, str], str]) -> records.Actor | None:
    """Who asked, by pseudonym, and the chain of those they ask for."""
    if principal is None:
        return None
    ref, *chain = (refer(one.id, one.tenant) for one in people(principal))
    return records.Actor(ref=ref, roles=principal.roles, tenant=principal.tenant, on_behalf_of=tuple(chain))


def session(principal: Principal | None, ref: str, relate: Callable[[str, str, str], str]) -> str:
    """What stands for a conversation: it goes with the person, and tells nothing once they are erased."""
    return relate(principal.id, principal.tenant, ref) if principal is not None else ""


def access(grounds: Any) -> records.Access | None:
    """Why access was given or refused."""
    if grounds is None:
        return None
    until = datetime.fromtimestamp(grounds.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if grounds.until else ""
    return records.Access(
        rule=grounds.rule, path=grounds.path, near=grounds.near, break_glass=grounds.break_glass, until_ts=until
    )


def judged(decision: Decision, findings: Iterable[Finding], parts: Sequence[Part]) -> dict[str, Any]:
    """The fields that intent, refusal and outcome share: what was found and what was decided."""
    return {
        "verdict": decision.verdict.name.lower(),
        "reasons": reasons(decision.reasons),
        "shadow": tuple(map(_shadow, decision.shadow)),
        "findings": _counted(findings, decision.edits),
        "size": size(parts),
    }


def reasons(given: Iterable[Reason]) -> tuple[records.ReasonRecord, ...]:
    """Reasons as they stand in a record."""
    return tuple(records.ReasonRecord(code=one.code, rule=one.rule, layer=one.layer) for one in given)


def size(parts: Sequence[Part]) -> records.Size:
    """How many parts, and how many characters over all of them."""
    return records.Size(parts=len(parts), chars=sum(len(part.text) for part in parts))


def ppm(score: float | None) -> int | None:
    """A score from 0 to 1 in parts per million; None for none and for what is no such number."""
    return round(score * 1_000_000) if score is not None and 0 <= score <= 1 else None


def _shadow(ruling: Ruling) -> records.Shadow:
    verdict = ruling.verdict.name.lower()
    reason = ruling.reason
    return records.Shadow(verdict=verdict, code=reason.code, rule=reason.rule, layer=reason.layer)  # type: ignore[arg-type]


def _counted(findings: Iterable[Finding], edits: Iterable[Edit]) -> tuple[records.Counted, ...]:
    """Findings by kind and type: how many, how sure, and what was done with them."""
    actions: Mapping[str, str] = {edit.type: edit.action for edit in edits}
    counts: dict[tuple[str, str], tuple[int, float]] = {}
    for finding in findings:
        count, best = counts.get((finding.kind, finding.type), (0, 0.0))
        counts[finding.kind, finding.type] = count + 1, max(best, finding.score)
    return tuple(
        records.Counted(kind=kind, type=type_, count=count, max_ppm=ppm(best) or 0, action=actions.get(type_, ""))
        for (kind, type_), (count, best) in sorted(counts.items())
    )

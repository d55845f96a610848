"""The decision: every ruling put together, strictest first. A pure function of the facts.

Invariants:
* The verdict is the `max` of all rulings that are not in shadow: order never matters, and adding a guard,
  a rule or a finding never loosens.
* A judge that raises, or answers anything but a bounded number of well-formed rulings, is DENY `guard.fault`.
* A ruling in shadow is told in `Decision.shadow` and changes nothing else.
* Nothing that a judge says is trusted to be free of content but codes and names of a closed form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

import msgspec

from aigov.errors import GuardFault
from aigov.types import Decision, Edit, Facts, Judge, Reason, Ruling, Verdict

MAX_RULINGS = 10_000
FAULT = "guard.fault"
REASON_CODE = re.compile(r"[a-z0-9_.]{1,64}")
MAX_NAME = 256  # a rule may be named by its file and line


class Decider(msgspec.Struct, frozen=True):
    """Every judge of one loaded policy, by the name that a fault of it is told under."""

    judges: tuple[tuple[str, Judge], ...] = ()
    digest: str = ""

    def decide(self, facts: Facts) -> Decision:
        """The one outcome of `facts.rulings` and every judge's rulings on the facts.

        `reasons` are those at the effective verdict, each once, in the order of the judges; `edits` those
        that the call needs when it goes on, now or after review; `shadow` what would have been stricter.
        """
        rulings = list(_checked("facts", facts.rulings))
        for name, judge in self.judges:
            rulings += _asked(name, judge, facts)
        return combine(rulings, self.digest)

    def __repr__(self) -> str:
        return f"Decider(judges={len(self.judges)}, digest={self.digest[:12]!r})"


def combine(rulings: Iterable[Ruling], digest: str = "") -> Decision:
    """The decision that well-formed rulings add up to; without any, ALLOW."""
    told = tuple(rulings)
    firm = [ruling for ruling in told if not ruling.shadow]
    verdict = max((ruling.verdict for ruling in firm), default=Verdict.ALLOW)
    edited = verdict in (Verdict.TRANSFORM, Verdict.REVIEW)
    return Decision(
        verdict=verdict,
        reasons=tuple(dict.fromkeys(ruling.reason for ruling in firm if ruling.verdict is verdict)),
        edits=tuple(dict.fromkeys(edit for ruling in firm for edit in ruling.edits)) if edited else (),
        shadow=tuple(ruling for ruling in told if ruling.shadow and ruling.verdict > Verdict.ALLOW),
        policy_digest=digest,
    )


def refusal(code: str, rule: str, *, layer: str = "", shadow: bool = False) -> Ruling:
    """A DENY ruling without edits."""
    return Ruling(verdict=Verdict.DENY, reason=Reason(code=code, rule=rule, layer=layer), shadow=shadow)


def _asked(name: str, judge: Judge, facts: Facts) -> tuple[Ruling, ...]:
    """What a judge answers, or the one refusal that a fault of it is."""
    try:
        answer = tuple(islice(judge(facts), MAX_RULINGS + 1))
    except GuardFault as fault:
        return (refusal(fault.code if REASON_CODE.fullmatch(fault.code) else FAULT, name),)
    except Exception:  # noqa: BLE001 - whatever a judge raises is a refusal, and none of its words are kept
        return (refusal(FAULT, name),)
    return _checked(name, answer)


def _checked(name: str, answer: tuple[Ruling, ...]) -> tuple[Ruling, ...]:
    if len(answer) > MAX_RULINGS or not all(map(_well_formed, answer)):
        return (refusal(FAULT, name),)
    return answer


def _well_formed(ruling: object) -> bool:
    """Whether this is a ruling and nothing else: a subclass could change its mind, and no field is checked
    when a struct is made. Edits on ALLOW would never be carried out, so they are a fault too."""
    if type(ruling) is not Ruling or type(ruling.verdict) is not Verdict or type(ruling.shadow) is not bool:
        return False
    if type(ruling.reason) is not Reason or type(ruling.edits) is not tuple:
        return False
    if not all(type(edit) is Edit for edit in ruling.edits) or (ruling.edits and ruling.verdict is Verdict.ALLOW):
        return False
    return _well_named(ruling.reason)


def _well_named(reason: Reason) -> bool:
    names = (reason.rule, reason.layer)
    if type(reason.code) is not str or not all(type(name) is str and len(name) <= MAX_NAME for name in names):
        return False
    return REASON_CODE.fullmatch(reason.code) is not None

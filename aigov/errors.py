"""Every exception that aigov raises, with stable codes.

AigovError
├── PolicyError          a policy folder, lock file or key folder that cannot be used: file:line:column and the fix
├── Refused              a governed call that was not carried out, or an answer that was not released
│   ├── Denied           refused for good
│   └── ReviewPending    waiting for a person; carries the ticket
├── Malformed            an input that cannot be laid out as parts; flow turns it into Denied
├── AuditUnavailable     the log did not acknowledge a record; flow turns it into Denied
├── GuardFault           a guard or plugin broke; flow turns it into Denied
├── ReviewError          a review command that may not be carried out (unknown ticket, wrong reviewer)
└── OutOfOrder           a step of the path taken before the one it needs: a bug, never a way around

Invariants:
* A message is made of codes, names from the policy and positions; never of content.
* Exceptions are raised outside of any handler, so that `__context__` holds nothing either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aigov.types import Decision


class AigovError(Exception):
    """Base of everything that aigov raises itself."""

    code = "aigov.error"


class Location(NamedTuple):
    """A place in a file: line and column count from 1, in characters; 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(NamedTuple):
    """One thing wrong with a policy: where, what, and what would be right."""

    where: Location
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f"; {self.fix}" if self.fix else "")


class PolicyError(AigovError):
    """A policy that cannot be used. `problems` holds every fault found, in file order."""

    code = "policy.invalid"

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        found = (problems,) if isinstance(problems, Problem) else tuple(problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(found, key=lambda problem: problem.where))
        super().__init__("\n".join(map(str, self.problems)))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


class Refused(AigovError):
    """A call that was stopped. Handle `Denied` and `ReviewPending`; this is their common base.

    `decision`: the whole decision. `record`: the audit id of the record that tells of it ("" where
    the log itself was the cause). `status`: the HTTP status a server should answer with.
    """

    code = "refused"
    status = 403

    def __init__(self, decision: Decision, *, record: str = "", ticket: str | None = None) -> None:
        self.decision = decision
        self.record = record
        self.ticket = ticket
        super().__init__(self._message())

    @property
    def reason(self) -> str:
        """The first reason's code, or the class's own code where there is none."""
        return self.decision.reasons[0].code if self.decision.reasons else self.code

    def _message(self) -> str:
        codes = ", ".join(_named(reason) for reason in self.decision.reasons) or self.code
        return codes + (f" (record {self.record})" if self.record else "")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.decision, self.record, self.ticket)


class Denied(Refused):
    """The call was refused, or its answer withheld. `status` tells a server why."""

    code = "denied"

    @property
    def status(self) -> int:  # type: ignore[override]
        """401 nobody named, 400 malformed, 413 too large, 502 a malformed answer, 503 a fault of ours, else 403."""
        return STATUS.get(self.reason, STATUS.get(self.reason.partition(".")[0], 403))


class ReviewPending(Refused):
    """A person has to decide. Call `Governor.resume(error.ticket)` once they have."""

    code = "review.pending"
    status = 202


STATUS = {
    "identity.missing": 401,
    "input.too_large": 413,
    "input": 400,
    "output": 502,
    "audit": 503,
    "guard": 503,
    "encoder": 503,
    "plugin": 503,
    "pii.vault": 503,
    "rule.fault": 503,
    "lockdown": 503,
}


class Malformed(AigovError):
    """An input that cannot be laid out as parts. `code` is the reason code of the refusal.

    `kind`: the type of the value at fault, as `sanitise.opaque` would name it; "" where that does not matter.
    """

    def __init__(self, code: str, kind: str = "") -> None:
        self.code = code
        self.kind = kind
        super().__init__(code)


class AuditUnavailable(AigovError):
    """The log did not acknowledge a record, so the call may not go on."""

    code = "audit.unavailable"

    def __init__(self, why: str = "") -> None:
        self.why = why
        super().__init__(self.code + (f": {why}" if why else ""))


class GuardFault(AigovError):
    """A guard or plugin raised, answered nonsense or ran past its limit."""

    def __init__(self, guard: str, code: str = "guard.fault") -> None:
        self.guard = guard
        self.code = code
        super().__init__(f"{code}: {guard}")


class ReviewError(AigovError):
    """A review command that may not be carried out; `code` says why."""

    def __init__(self, code: str, what: str) -> None:
        self.code = code
        self.what = what
        super().__init__(f"{code}: {what}")


class OutOfOrder(AigovError):
    """A step of the path was taken before the step that it needs."""

    code = "flow.out_of_order"


def _named(reason: object) -> str:
    code, rule = getattr(reason, "code", ""), getattr(reason, "rule", "")
    return f"{code} [{rule}]" if rule else code


def _rebuild(kind: type[Refused], decision: Decision, record: str, ticket: str | None) -> Refused:
    return kind(decision, record=record, ticket=ticket)

"""What a ticket holds and what may be seen of it: the case, its judgement, its status, its line in a list.

Invariants:
* No repr shows content, a requester or a reviewer.
* `Status` and `Entry` carry no content; they are what may be shown without being a reviewer.
* The forms that are sealed hold plain tuples and maps only: reading one back needs no class of the program.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Literal

import msgspec

from aigov.review.figures import Figure, figures
from aigov.review.values import pack, unpack
from aigov.types import Direction, Part, Principal, Reason

State = Literal["pending", "approved", "rejected", "expired", "claimed", "done", "tampered"]
STATES: Final = ("pending", "approved", "rejected", "expired", "claimed", "done")  # what a whole ticket can be in
MICRO: Final = 1_000_000


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call that waits for a person. `content` is packed: the arguments (input) or the answer (output).

    `call`: the call's id in the record. `function`: `module:qualname`. `shown`: the texts that a
    reviewer reads. `session`: the privacy session that the call belongs to, "" for its own.
    """

    direction: Direction
    call: str
    function: str
    action: str
    resource: str
    requester: Principal
    reasons: tuple[Reason, ...] = ()
    policy_digest: str = ""
    session: str = ""
    content: bytes = b""
    shown: tuple[Part, ...] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What is no text: numbers, times, choices, each with its path. Raises ReviewError."""
        return figures(self.content)

    def __repr__(self) -> str:
        return f"Case({self.direction}, content={len(self.content)} bytes, shown={len(self.shown)})"


class Judgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who decided, when (UTC, microseconds), how, and whether the answer was edited."""

    approved: bool
    reviewer: Principal
    at_us: int
    edited: bool = False
    note_code: str = ""

    def __repr__(self) -> str:
        return f"Judgement(approved={self.approved}, edited={self.edited})"


class Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a ticket stands. Times are UTC in microseconds; `judgement` is None until it is decided."""

    ticket: str
    state: State
    direction: Direction
    call: str
    function: str
    action: str
    resource: str
    requester: Principal
    reasons: tuple[Reason, ...]
    policy_digest: str
    opened_us: int
    expires_us: int
    judgement: Judgement | None = None

    def __repr__(self) -> str:
        return f"Status({self.ticket}, {self.state})"


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ticket as a line for people or one JSON object for machines. Times are ISO 8601, UTC.

    `state` `tampered` means that the store was changed without its key; nothing else of such a ticket
    is told, and its id only where it has the form of one.
    """

    ticket: str
    state: State
    direction: str = ""
    action: str = ""
    resource: str = ""
    function: str = ""
    requester: str = ""
    tenant: str = ""
    reasons: tuple[str, ...] = ()
    opened: str = ""
    expires: str = ""
    left_s: int = 0
    reviewer: str = ""
    decided: str = ""
    note_code: str = ""
    edited: bool = False

    def __repr__(self) -> str:
        return f"Entry({self.ticket}, {self.state})"


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The right to carry out an approved call once. `case.content` is what was approved, edits included."""

    ticket: str
    case: Case
    judgement: Judgement

    def __repr__(self) -> str:
        return f"Claim({self.ticket}, {self.case!r})"


def write_card(case: Case) -> bytes:
    """All of a case but its content and shown texts. Raises ReviewError where a field cannot be kept."""
    reasons = tuple((reason.code, reason.rule, reason.layer) for reason in case.reasons)
    return pack((
        case.direction, case.call, case.function, case.action, case.resource, _plain(case.requester), reasons,
        case.policy_digest, case.session,
    ))  # fmt: skip


def read_card(card: bytes) -> Case:
    """The case that `write_card` was given, without content and shown texts."""
    direction, call, function, action, resource, requester, reasons, policy_digest, session = unpack(card)
    return Case(
        direction=direction,
        call=call,
        function=function,
        action=action,
        resource=resource,
        requester=_principal(requester),
        reasons=tuple(Reason(code=code, rule=rule, layer=layer) for code, rule, layer in reasons),
        policy_digest=policy_digest,
        session=session,
    )


def write_shown(shown: tuple[Part, ...]) -> bytes:
    """The texts for the reviewer, as bytes to be sealed."""
    return pack(tuple((part.path, part.text, part.role) for part in shown))


def read_shown(shown: bytes) -> tuple[Part, ...]:
    """The parts that `write_shown` was given."""
    return tuple(Part(path=path, text=text, role=role) for path, text, role in unpack(shown))


def write_judgement(judgement: Judgement) -> bytes:
    """A judgement as bytes to be sealed."""
    made = judgement
    return pack((made.approved, _plain(made.reviewer), made.at_us, made.edited, made.note_code))


def read_judgement(judgement: bytes) -> Judgement:
    """The judgement that `write_judgement` was given."""
    approved, reviewer, at_us, edited, note_code = unpack(judgement)
    return Judgement(approved=approved, reviewer=_principal(reviewer), at_us=at_us, edited=edited, note_code=note_code)


def entry(status: Status, now_us: int) -> Entry:
    """The line that a list shows for a ticket, at this time."""
    made = status.judgement
    return Entry(
        ticket=status.ticket,
        state=status.state,
        direction=status.direction,
        action=status.action,
        resource=status.resource,
        function=status.function,
        requester=status.requester.id,
        tenant=status.requester.tenant,
        reasons=tuple(reason.code for reason in status.reasons),
        opened=_iso(status.opened_us),
        expires=_iso(status.expires_us),
        left_s=max(0, status.expires_us - now_us) // MICRO if status.state in ("pending", "approved") else 0,
        reviewer=made.reviewer.id if made else "",
        decided=_iso(made.at_us) if made else "",
        note_code=made.note_code if made else "",
        edited=made.edited if made else False,
    )


def _iso(at_us: int) -> str:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=at_us)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(principal: Principal) -> tuple[Any, ...]:
    behalf = None if principal.on_behalf_of is None else _plain(principal.on_behalf_of)
    return principal.id, principal.roles, principal.tenant, dict(principal.attributes), behalf


def _principal(plain: tuple[Any, ...]) -> Principal:
    name, roles, tenant, attributes, behalf = plain
    on_behalf_of = None if behalf is None else _principal(behalf)
    return Principal(id=name, roles=roles, tenant=tenant, attributes=attributes, on_behalf_of=on_behalf_of)

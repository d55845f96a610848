"""The desk where tickets are opened, decided by a person and used once.

    pending ──approve──> approved ──claim──> claimed ──finish──> done
       ├─────reject────> rejected
       └──── time ─────> expired   (approved tickets expire too)

Invariants:
* A ticket is decided once and claimed once, whatever threads and processes try.
* Nobody decides a call of their own: not the requester, nor anyone for whom it was made, nor who acts for them.
* An approval counts only with the desk's key behind it: a row changed by hand is `review.tampered`.
* Time only moves forward: a ticket that was past its time stays so though the clock is set back.
* Content is held sealed, bound to its ticket and its column, and is wiped when the ticket is rejected,
  finished or past its time.
"""

from __future__ import annotations

import base64
import re
import secrets
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec

from aigov.crypto import KeyRing, Unsealable, seal, unseal
from aigov.errors import ReviewError
from aigov.review import codes
from aigov.review.cases import (
    MICRO,
    STATES,
    Case,
    Claim,
    Entry,
    Judgement,
    State,
    Status,
    entry,
    read_card,
    read_judgement,
    read_shown,
    write_card,
    write_judgement,
    write_shown,
)
from aigov.review.edits import retext
from aigov.review.store import BUSY_S, Row, Store
from aigov.review.values import kind, unpack
from aigov.types import Principal

__all__ = ["Case", "Claim", "Desk", "Entry", "Judgement", "Permits", "Status"]

Permits = Callable[[Principal, str, str], bool]
Edit = bytes | Mapping[str, str]
Tell = Callable[[Status], object]

REVIEW: Final = "review"  # the action that a reviewer must hold
TICKET: Final = re.compile(r"rv_[a-z2-7]{24}", re.ASCII)
NOTE: Final = re.compile(r"[a-z0-9_.]{1,64}", re.ASCII)
LAST_S: Final = 2**33  # the year 2242: a clock beyond it, or one that tells NaN, is broken
ATTEMPTS: Final = 8  # a ticket changes at most four times, so a loser of every race has an answer by then
DECIDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "approved": codes.ALREADY_DECIDED,
        "rejected": codes.ALREADY_DECIDED,
        "claimed": codes.ALREADY_DECIDED,
        "done": codes.ALREADY_DECIDED,
        "expired": codes.EXPIRED,
    }
)
UNCLAIMABLE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pending": codes.PENDING,
        "rejected": codes.REJECTED,
        "expired": codes.EXPIRED,
        "claimed": codes.ALREADY_RESUMED,
        "done": codes.ALREADY_RESUMED,
    }
)
HIDDEN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rejected": codes.REJECTED,
        "expired": codes.EXPIRED,
        "done": codes.ALREADY_RESUMED,
    }
)


class Desk:
    """Durable tickets at `path`. Every fault is a ReviewError with one of `codes.CODES`.

    `key`: 32 bytes, the same in every process that shares the store. `expires_s`: the time in seconds
    within which a ticket has to be decided and claimed. `clock`: UTC in seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        key: bytes,
        expires_s: int,
        clock: Callable[[], float] = time.time,
        busy_s: float = BUSY_S,
    ) -> None:
        keys = KeyRing(key)
        self._seal_key = keys.derive("review/seal")
        self._store = Store(Path(path), key=keys.derive("review/rows"), busy_s=busy_s)
        self._expires_us = expires_s * MICRO
        self._clock = clock
        self._latest_us = 0

    def __repr__(self) -> str:
        return "Desk()"

    def open(self, case: Case) -> str:
        """Keep a case, durably, and answer its ticket: `rv_` and 24 letters and digits, not to be guessed."""
        self.sweep()
        now = self._now()
        ticket = "rv_" + base64.b32encode(secrets.token_bytes(15)).decode("ascii").lower()
        row = Row(ticket, "pending", now, now + self._expires_us, now, self._seal(ticket, "card", write_card(case)))
        content, shown = self._seal(ticket, "content", case.content), write_shown(case.shown)
        self._store.insert(row, content=content, shown=self._seal(ticket, "shown", shown))
        return ticket

    def status(self, ticket: str) -> Status:
        """Where the ticket stands; nothing of its content."""
        row = self._row(ticket)
        return self._status(row, self._now(row))

    def list(self, state: State | None = None) -> tuple[Entry, ...]:
        """Every ticket, or those in one state, oldest first, as lines for a table or for JSON."""
        if state is not None and state not in (*STATES, "tampered"):
            raise ValueError(f"a state is one of {', '.join(STATES)}, tampered")
        return tuple(line for line in self._lines() if state in (None, line.state))

    def show(self, ticket: str, reviewer: Principal, permits: Permits) -> Case:
        """The whole case, content included, for somebody who may decide it; while it has any."""
        row, content, shown = self._whole(ticket)
        card = self._card(row)
        _check_reviewer(card.requester, card.resource, reviewer, permits)
        _refuse(HIDDEN, _state(row, self._now(row)))
        return self._case(row, content, shown)

    def approve(
        self,
        ticket: str,
        reviewer: Principal,
        permits: Permits,
        edited: bytes | None = None,
        note_code: str | None = None,
        *,
        texts: Mapping[str, str] | None = None,
        tell: Tell | None = None,
    ) -> Status:
        """Let the call go on, or the answer go out, as it is or as the reviewer edited it.

        `edited`: a packed answer of the same kind, to go out in its place. `texts`: new texts by the
        paths of `Case.shown`, which needs nothing of the answer's class. Arguments are not edited: who
        wants others rejects the call and has it made anew, in the name of whoever makes it.

        The reviewer holds the action `review` on the case's resource (`permits(reviewer, "review",
        resource)` answers True), in the case's tenant, and has no part in the call. `tell(status)` is called
        with what the ticket is about to become, while nobody else can change it; where it raises, it stays as it is.
        """
        if edited is not None and texts is not None:
            raise _error(codes.NOT_EDITABLE)
        edit = texts if edited is None else edited
        return self._decide(ticket, reviewer, permits, approved=True, edit=edit, note_code=note_code, tell=tell)

    def reject(
        self,
        ticket: str,
        reviewer: Principal,
        permits: Permits,
        note_code: str | None = None,
        *,
        tell: Tell | None = None,
    ) -> Status:
        """Refuse the call for good, and wipe its content. `tell`: as for `approve`."""
        return self._decide(ticket, reviewer, permits, approved=False, edit=None, note_code=note_code, tell=tell)

    def claim(self, ticket: str, fits: Callable[[Any], bool] = lambda content: True) -> Claim:
        """Take an approved case to carry it out: once, over all threads and processes.

        From here on the call has run or has been lost: a process that dies before `finish` leaves the
        ticket `claimed`, and nobody can claim it again. A process that does not know the classes of the
        content, or has no use for it (`fits`), is refused (`review.not_resumable`) and uses nothing up.
        """
        for _ in range(ATTEMPTS):
            row, content, shown = self._whole(ticket)
            now = self._now(row)
            _refuse(UNCLAIMABLE, _state(row, now))
            judgement, case = self._judgement(row), self._case(row, content, shown)
            if judgement is None or not judgement.approved:
                raise _error(codes.TAMPERED)
            if not fits(unpack(case.content)):
                raise _error(codes.NOT_RESUMABLE)
            if self._store.swap(row, msgspec.structs.replace(row, state="claimed", changed_us=now)):
                return Claim(ticket=ticket, case=case, judgement=judgement)
        raise _error(codes.UNAVAILABLE)

    def finish(self, ticket: str) -> None:
        """Say that a claimed call has run, and wipe its content. Saying so twice does nothing more."""
        for _ in range(ATTEMPTS):
            row = self._row(ticket)
            if row.state == "done":
                return
            if row.state != "claimed":
                raise _error(codes.NOT_CLAIMED)
            new = msgspec.structs.replace(row, state="done", changed_us=self._now(row))
            if self._store.swap(row, new, wipe=True):
                return
        raise _error(codes.UNAVAILABLE)

    def sweep(self) -> int:
        """Wipe the content of tickets past their time; answers how many. `open` does it each time."""
        swept = 0
        for row in self._store.due(self._now()):
            if isinstance(row, str):
                continue  # tampered with: left as it is, for whoever looks into it
            now = self._now(row)
            new = msgspec.structs.replace(row, state=_state(row, now), changed_us=now)
            swept += self._store.swap(row, new, wipe=True)
        return swept

    def _decide(
        self,
        ticket: str,
        reviewer: Principal,
        permits: Permits,
        *,
        approved: bool,
        edit: Edit | None,
        note_code: str | None,
        tell: Tell | None,
    ) -> Status:
        """1. read and prove  2. who may  3. still open  4. what was edited  5. swap, or somebody else was first."""
        if note_code is not None and not (isinstance(note_code, str) and NOTE.fullmatch(note_code)):
            raise _error(codes.BAD_NOTE)
        row = self._row(ticket)
        case = self._card(row)
        _check_reviewer(case.requester, case.resource, reviewer, permits)
        for _ in range(ATTEMPTS):
            row, content, shown = self._whole(ticket)
            now = self._now(row)
            _refuse(DECIDED, _state(row, now))
            case = self._case(row, content, shown)  # what is approved has to be whole
            replaced = None if edit is None else self._seal(ticket, "edited", _edited(case, edit))
            judgement = Judgement(
                approved=approved, reviewer=reviewer, at_us=now, edited=edit is not None, note_code=note_code or ""
            )
            new = msgspec.structs.replace(
                row,
                state="approved" if approved else "rejected",
                changed_us=now,
                judgement=self._seal(ticket, "judgement", write_judgement(judgement)),
            )
            status = self._status(new, now)
            if self._store.swap(row, new, content=replaced, wipe=not approved, first=partial(_told, tell, status)):
                return status
        raise _error(codes.UNAVAILABLE)

    def _lines(self) -> Iterator[Entry]:
        for row in self._store.rows():
            if isinstance(row, str):
                yield Entry(ticket=row if _is_ticket(row) else "?", state="tampered")
                continue
            now = self._now(row)
            try:
                line = entry(self._status(row, now), now)
            except ReviewError:
                line = Entry(ticket=row.ticket, state="tampered")
            yield line

    def _row(self, ticket: str) -> Row:
        """The proved row of a ticket. Raises ReviewError `review.unknown` where there is none."""
        row = self._store.fetch(ticket) if _is_ticket(ticket) else None
        if row is None:
            raise _error(codes.UNKNOWN)
        return row

    def _whole(self, ticket: str) -> tuple[Row, bytes | None, bytes | None]:
        """The same with its sealed content and shown texts."""
        whole = self._store.fetch_whole(ticket) if _is_ticket(ticket) else None
        if whole is None:
            raise _error(codes.UNKNOWN)
        return whole

    def _status(self, row: Row, now: int) -> Status:
        case = self._card(row)
        return Status(
            ticket=row.ticket,
            state=_state(row, now),
            direction=case.direction,
            call=case.call,
            function=case.function,
            action=case.action,
            resource=case.resource,
            requester=case.requester,
            reasons=case.reasons,
            policy_digest=case.policy_digest,
            opened_us=row.opened_us,
            expires_us=row.expires_us,
            judgement=self._judgement(row),
        )

    def _case(self, row: Row, content: bytes | None, shown: bytes | None) -> Case:
        """The case with its content, unsealed. Raises ReviewError where that is not what was sealed."""
        if content is None or shown is None:
            # the one state that may have lost its content in time and still say so
            swept = row.state == "claimed" and self._now(row) >= row.expires_us
            raise _error(codes.EXPIRED if swept else codes.TAMPERED)
        judgement = self._judgement(row)
        column = "edited" if judgement is not None and judgement.edited else "content"
        return msgspec.structs.replace(
            self._card(row),
            content=self._unseal(row.ticket, column, content),
            shown=read_shown(self._unseal(row.ticket, "shown", shown)),
        )

    def _card(self, row: Row) -> Case:
        return read_card(self._unseal(row.ticket, "card", row.card))

    def _judgement(self, row: Row) -> Judgement | None:
        return None if row.judgement is None else read_judgement(self._unseal(row.ticket, "judgement", row.judgement))

    def _now(self, row: Row | None = None) -> int:
        """UTC in microseconds, never before what this desk or this row has already seen."""
        told = self._clock()
        if not 0 <= told < LAST_S:
            raise _error(codes.UNAVAILABLE)  # no time, no expiry: nothing may be decided by it
        self._latest_us = max(self._latest_us, int(told * MICRO))
        return max(self._latest_us, row.changed_us if row else 0)

    def _seal(self, ticket: str, column: str, content: bytes) -> bytes:
        return seal(self._seal_key, content, _context(ticket, column))

    def _unseal(self, ticket: str, column: str, sealed: bytes) -> bytes:
        try:
            return unseal(self._seal_key, sealed, _context(ticket, column))
        except Unsealable:
            pass
        raise _error(codes.TAMPERED)


def _is_ticket(ticket: object) -> bool:
    return isinstance(ticket, str) and TICKET.fullmatch(ticket) is not None


def _context(ticket: str, column: str) -> bytes:
    """What a sealed value is bound to, so that none opens in another ticket or column."""
    return f"aigov review {ticket} {column}".encode()


def _state(row: Row, now: int) -> State:
    """The state at this time: at the very microsecond of its expiry a ticket is expired."""
    if row.state in ("pending", "approved") and now >= row.expires_us:
        return "expired"
    return row.state  # type: ignore[return-value]


def _check_reviewer(requester: Principal, resource: str, reviewer: Principal, permits: Permits) -> None:
    """Raise unless the reviewer may decide this case. A fault while asking is a refusal."""
    if not isinstance(reviewer, Principal) or reviewer.tenant != requester.tenant:
        raise _error(codes.NOT_PERMITTED)
    if not set(_people(requester)).isdisjoint(_people(reviewer)):
        raise _error(codes.OWN_TICKET)
    permitted: object = False
    try:
        permitted = permits(reviewer, REVIEW, resource)
    except Exception:  # noqa: BLE001 - access that cannot be asked is access that is not given
        permitted = False
    if permitted is not True:  # a Decision would be true even where it says no
        raise _error(codes.NOT_PERMITTED)


def _people(principal: Principal) -> Iterator[str]:
    """Everyone in whose name this principal acts, spelt so that `Dana ` and `dana` are the same person."""
    each: Principal | None = principal
    while each is not None:
        yield unicodedata.normalize("NFKC", each.id).casefold().strip()
        each = each.on_behalf_of


def _edited(case: Case, edit: Edit) -> bytes:
    """The packed answer in place of the old, where that may be."""
    if case.direction != "output":
        raise _error(codes.NOT_EDITABLE)
    if isinstance(edit, Mapping):
        return retext(case.content, edit)
    if not isinstance(edit, bytes):
        raise _error(codes.NOT_RESUMABLE)
    if kind(edit) != kind(case.content):
        raise _error(codes.NOT_EDITABLE)
    return edit


def _told(tell: Tell | None, status: Status) -> None:
    if tell is not None:
        tell(status)


def _refuse(table: Mapping[str, str], state: State) -> None:
    if state in table:
        raise _error(table[state])


def _error(code: str) -> ReviewError:
    return ReviewError(code, codes.CODES[code])

"""What a record can be found by: its own words, and those of the call that it belongs to.

An outcome does not repeat who asked for what; its intent says so. Whoever looks for a person, a tenant or a
policy version means the whole call, so the words of the intent count for every later record of the call.

Invariants:
* Only codes, names and pseudonyms are words; there is no content in a record to be found by.
* The same function says what the index holds and whether a record that was read matches, so the two agree.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

import msgspec

Words = tuple[tuple[str, str], ...]

FIELDS: Final = (
    "kind", "person", "role", "tenant", "action", "resource", "verdict", "outcome", "reason", "rule", "entity",
    "policy", "plugin", "session", "step", "error",
)  # fmt: skip
INHERITED: Final = frozenset({"person", "role", "tenant", "action", "resource", "policy", "session"})
OPENING: Final = frozenset({"call.intent", "call.denied"})
MAX_CALLS: Final = 100_000
_PLAIN: Final = ("kind", "action", "resource", "verdict", "outcome", "policy", "plugin", "session", "error")


class _Who(msgspec.Struct, frozen=True):
    ref: str = ""
    roles: tuple[str, ...] = ()
    tenant: str = ""
    on_behalf_of: tuple[str, ...] = ()


class _Why(msgspec.Struct, frozen=True):
    code: str = ""
    rule: str = ""


class _What(msgspec.Struct, frozen=True):
    type: str = ""


class _Kept(msgspec.Struct, frozen=True):
    id: str = ""


class Glimpse(msgspec.Struct, frozen=True):
    """What of a record somebody may look for; everything else in it is passed over unread."""

    kind: str = ""
    id: str = ""
    ts: str = ""
    call: str | None = None
    parent: str | None = None
    ticket: str | None = None
    erasure: str | None = None
    actor: _Who | None = None
    action: str = ""
    resource: str = ""
    verdict: str = ""
    outcome: str = ""
    policy: str = ""
    plugin: str = ""
    session: str = ""
    error: str = ""
    by: str = ""
    pseudonym: str = ""
    reason: str = ""
    basis: str = ""
    step: int | None = None
    reasons: tuple[_Why, ...] = ()
    findings: tuple[_What, ...] = ()
    payload: _Kept | None = None
    content: str | None = None


_DECODER: Final = msgspec.json.Decoder(Glimpse)
_OF: Final = attrgetter(*_PLAIN)


def glimpse(line: bytes) -> Glimpse:
    """What can be looked for in a line; nothing where it is no record."""
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Glimpse()


def glimpsed(record: Mapping[str, Any]) -> Glimpse:
    """The same of a record that was read."""
    try:
        return msgspec.convert(record, Glimpse)
    except msgspec.ValidationError:
        return Glimpse()


def words(record: Glimpse) -> Words:
    """A record's own words, as pairs of field and value."""
    found = [pair for pair in zip(_PLAIN, _OF(record), strict=True) if pair[1]]
    if (who := record.actor) is not None:
        found.append(("person", who.ref))
        found.append(("tenant", who.tenant))
        found += [("person", ref) for ref in who.on_behalf_of]
        found += [("role", role) for role in who.roles]
    for why in record.reasons:
        found.append(("reason", why.code))
        found.append(("rule", why.rule))
    found += [("entity", what.type) for what in record.findings]
    if record.by or record.pseudonym or record.reason or record.basis:
        found += [("person", record.by), ("person", record.pseudonym)]
        found += [("reason", record.reason), ("reason", record.basis)]
    if record.step is not None:
        found.append(("step", str(record.step)))
    return tuple(dict.fromkeys(pair for pair in found if pair[1]))


def idents(record: Glimpse) -> tuple[str, ...]:
    """The names that single out a record or its call: ids, calls, tickets, kept content."""
    kept = record.payload.id if record.payload is not None else None
    values = (record.id, record.call, record.parent, record.ticket, record.erasure, record.content, kept)
    return tuple(dict.fromkeys(value for value in values if value))


def is_text(value: str) -> bool:
    """Whether a string can be written as UTF-8: what a command line holds of other bytes cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def moment(text: str) -> int | None:
    """RFC 3339 as microseconds since 1970 UTC; a time without zone is UTC. None for anything else."""
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    return round(when.timestamp() * 1_000_000)


def instant(text: str) -> int:
    """The same of a record, which is never that old: 0 for what is no time."""
    return moment(text) or 0


class Calls:
    """The words that records take over from the intent of their call.

    Remembers the last 100,000 calls; `ask(call)` gives the record that opened an older one, or None. `complete`: it is
    told of every record from the first on, so nobody is asked before something was forgotten.
    """

    def __init__(self, ask: Callable[[str], Mapping[str, Any] | None], *, complete: bool = False) -> None:
        self._known: OrderedDict[str, Words] = OrderedDict()
        self._ask = ask
        self._asks = not complete

    def words(self, record: Glimpse) -> Words:
        """A record's own words, and those of its call."""
        own, call = words(record), record.call
        if not call:
            return own
        if record.kind in OPENING:
            self._remember(call, own)
            return own
        return tuple(dict.fromkeys((*own, *self._of(call))))

    def _of(self, call: str) -> Words:
        known = self._known.get(call)
        if known is None:
            opened = self._ask(call) if self._asks else None
            known = self._remember(call, words(glimpsed(opened)) if opened is not None else ())
        return known

    def _remember(self, call: str, own: Words) -> Words:
        self._known[call] = known = tuple(pair for pair in own if pair[0] in INHERITED)
        if len(self._known) > MAX_CALLS:
            self._known.popitem(last=False)
            self._asks = True
        return known

"""Conversations: which calls share tokens, and whose tokens they are.

A conversation has one vault a principal, so that two people who use the same conversation id never see
each other's values; an agent has one for each whom it acts for. Without a conversation each call has a vault
of its own, gone when the call ends.

Invariants:
* Values live in the vaults, in memory, and sealed on disk where the policy says so for conversations that have a
  name; nothing here shows or pickles them.
* At most `MAX_CONVERSATIONS` named conversations are kept; the one unused for longest is forgotten first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

from aigov.audit.records import new_id
from aigov.privacy.session import Session
from aigov.text.spans import splice
from aigov.types import Finding, Principal

MAX_CONVERSATIONS = 10_000
MAX_ID = 256
Opening = Callable[[str, Principal | None, bool], Session]
Kept = Callable[[str, str | None], list[Session]]
Reveals = Callable[[Principal, str, bool], bool]
Whose = tuple[tuple[str, str], ...] | None


class Conversation:
    """One conversation: its `id` and the vaults of those who take part."""

    __slots__ = ("_lock", "_named", "_open", "_vaults", "id")

    def __init__(self, id: str, open_vault: Opening, named: bool = False) -> None:
        self.id = id
        self._open = open_vault
        self._named = named
        self._vaults: dict[Whose, Session] = {}
        self._lock = threading.Lock()

    def vault(self, principal: Principal | None) -> Session:
        """The vault of this principal, or of nobody in particular."""
        whose = principal.chain if principal is not None else None
        with self._lock:
            if whose not in self._vaults:
                self._vaults[whose] = self._open(self._name(whose), principal, self._named)
            return self._vaults[whose]

    def _name(self, whose: Whose) -> str:
        """What the vault is kept under: of an agent, another one for each whom it acts for."""
        behind = whose[1:] if whose is not None else ()
        return self.id if not behind else f"{self.id}\0{behind!a}"

    def restore(
        self, text: str, principal: Principal | None = None, reveals: Reveals | None = None, kept: Kept | None = None
    ) -> str:
        """`text` with the tokens of this conversation turned back.

        With a principal, what `reveals` lets them see: of their own vault, and of others' in the same tenant where
        a role of theirs says so. Without `reveals`, all of their own and nothing of others'. `kept(id, tenant)`:
        what is on the disk of this conversation. Raises GuardFault where that cannot be read.
        """
        if principal is not None:
            self.vault(principal)
        with self._lock:
            vaults: dict[Any, Session] = dict(self._vaults)
        if kept is not None and self._named:
            tenant = principal.tenant if principal is not None else None
            vaults |= {(("", tenant), number): one for number, one in enumerate(kept(self.id, tenant))}
        spans: set[tuple[int, int, str]] = set()
        for whose, vault in vaults.items():
            if principal is None:
                spans.update(vault.restore_spans(text, exact=True))
            elif whose is not None and whose[0][1] == principal.tenant:
                own = whose == principal.chain
                spans.update(vault.restore_spans(text, _seen(principal, own, reveals), exact=True))
        return splice(text, _disjoint(sorted(spans)))

    def __repr__(self) -> str:
        return "Conversation()"

    def __reduce__(self) -> Any:
        raise TypeError("a conversation holds values and stays in its process")


class Redacted(msgspec.Struct, frozen=True):
    """A redacted text, the session whose tokens stand in it, and what was found, by position in the original."""

    text: str
    session: Conversation
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        return f"Redacted(chars={len(self.text)})"


class Sessions:
    """The named conversations of one governor."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Conversation] = OrderedDict()
        self._lock = threading.Lock()

    def named(self, id: str | None, open_vault: Opening) -> Conversation:
        """The conversation called `id`; without an id, a new one that nobody else can name."""
        if id is None:
            return Conversation(new_id(), open_vault)  # nobody can name it again, so nothing of it is kept
        if not isinstance(id, str) or not 0 < len(id) <= MAX_ID or not id.isprintable():
            raise ValueError(f"a session id is text of 1 to {MAX_ID} printable characters")
        with self._lock:
            conversation = self._kept.pop(id, None) or Conversation(id, open_vault, named=True)
            self._kept[id] = conversation
            while len(self._kept) > MAX_CONVERSATIONS:
                self._kept.popitem(last=False)
            return conversation

    def known(self, id: str) -> Conversation | None:
        """The conversation called `id`, if there is one."""
        with self._lock:
            return self._kept.get(id)


def _seen(principal: Principal, own: bool, reveals: Reveals | None) -> Callable[[str], bool]:
    if reveals is None:
        return lambda entity: own
    return lambda entity: reveals(principal, entity, own)


def _disjoint(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Spans that overlap none before them; where two vaults claim one token, neither is restored."""
    claimed: dict[tuple[int, int], set[str]] = {}
    for start, end, value in spans:
        claimed.setdefault((start, end), set()).add(value)
    kept: list[tuple[int, int, str]] = []
    for (start, end), values in claimed.items():
        if len(values) == 1 and (not kept or start >= kept[-1][1]):
            kept.append((start, end, values.pop()))
    return kept

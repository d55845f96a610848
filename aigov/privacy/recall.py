"""What was found in the texts of a conversation before, so that a turn costs its new text alone.

A chat is sent anew with every turn, and its messages stand as they stood. What the built-in guards found in one
depends on its text, its place, the direction and the policy; a digest of these leads to the findings.

Invariants:
* Keyed digests and findings are held, no text. A policy that changed in anything is another key.
* Bounded: the entry unused for longest goes first. Nothing here outlives its session.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from aigov.text.memory import Memory
from aigov.types import Direction, Finding, Part

MAX_ENTRIES = 4_096
MAX_FINDINGS = 100_000
LEAST = 24  # characters; a shorter text is looked at faster than remembered


class Recall:
    """The findings of one session's texts. `key`: 32 bytes for the digests. Safe to share between threads.

    `memory`: what models read in them.
    """

    __slots__ = ("_bounds", "_findings", "_held", "_key", "_lock", "memory")

    def __init__(self, key: bytes, *, max_entries: int = MAX_ENTRIES, max_findings: int = MAX_FINDINGS) -> None:
        self._key = key
        self._bounds = max_entries, max_findings
        self._held: OrderedDict[bytes, tuple[Finding, ...]] = OrderedDict()
        self._findings = 0
        self._lock = threading.Lock()
        self.memory = Memory(key)

    def key(self, policy: str, direction: Direction, part: Part) -> bytes:
        """What stands for a part under a policy; "" for one that is not worth remembering."""
        if len(part.text) < LEAST:
            return b""
        digest = hashlib.blake2b(key=self._key, digest_size=24)
        for text in (policy, direction, part.path, part.role, str(part.number), part.text):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
        return digest.digest()

    def get(self, key: bytes) -> tuple[Finding, ...] | None:
        """What was found, or None where nobody has looked or it was dropped."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: bytes, findings: tuple[Finding, ...]) -> None:
        """Remember what was found in a part."""
        if not key:
            return
        max_entries, max_findings = self._bounds
        with self._lock:
            self._findings += len(findings) - len(self._held.pop(key, ()))
            self._held[key] = findings
            while len(self._held) > max_entries or self._findings > max_findings:
                self._findings -= len(self._held.popitem(last=False)[1])

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"Recall(entries={len(self._held)})"

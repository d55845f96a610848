"""What was worked out before, under a keyed digest of what it was worked out from.

Invariants:
* Digests and results are held, nothing of what was given. Who does not hold the key cannot ask what was seen.
* Bounded: the entry unused for longest goes first. Safe to share between threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Any

MOST = 1_024  # a conversation of many short texts; what was read of one takes about a kilobyte


class Memory:
    """Results by key. `key`: 32 bytes for the digests; `most`: entries that are kept."""

    __slots__ = ("_held", "_key", "_lock", "_most")

    def __init__(self, key: bytes, most: int = MOST) -> None:
        self._key, self._most = key, most
        self._held: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, *given: bytes) -> bytes:
        """What stands for these bytes."""
        digest = hashlib.blake2b(key=self._key, digest_size=24)
        for data in given:
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
        return digest.digest()

    def get(self, key: bytes) -> Any:
        """The result, or None where there is none or it was dropped."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: bytes, result: Any) -> Any:
        """Keep a result, unless another thread was first. What is kept."""
        with self._lock:
            kept = self._held.setdefault(key, result)
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return kept

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return f"Memory(entries={len(self._held)})"

"""Guessing at erased content: a dictionary against the commitments and digests that stay in the log.

    python -m benchmarks.guessing [--guesses 1000000]

Keeps content, erases its person, and tries every guess, the right one among them, with all that is left: the log's
records, the sealed bytes somebody may have copied, and the policy's own root key. Prints how many were told right
(none), and the same with the person's key, which no longer exists, to show that the test would notice.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from aigov.audit.payloads import Payloads, commitment
from aigov.audit.records import Payload
from aigov.audit.subjects import Subjects
from aigov.crypto import KeyRing, digest

ROOT = b"r" * 32


def guess(number: int) -> bytes:
    """One content out of many that are alike."""
    return msgspec.json.encode([("/question", f"Refund customer {number}@example.com")])


def keys_left(payload: Payload, ref: str) -> list[bytes]:
    """Every key that somebody with the root key and the log could make."""
    root = KeyRing(ROOT)
    made = [ROOT, *(root.derive(label) for label in ("audit", "subjects", "review", "commit", ref, payload.id))]
    return [*made, *(KeyRing(key).derive(f"content/{payload.id}") for key in made)]


def right(payload: Payload, keys: list[bytes], numbers: range, answer: int) -> int:
    """How many guesses are told right, each under one of the keys in turn; the answer, one of them, under every key."""
    commits = [KeyRing(key).derive("commit") for key in keys]
    found = 0
    for number in numbers:
        content = guess(number)
        found += digest(content) in (payload.digest, payload.commit)
        for key in commits if number == answer else [commits[number % len(commits)]]:
            found += _commit(key, content) == payload.commit
    return found


def _commit(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def told_right(guesses: int) -> tuple[int, int]:
    """How many of so many guesses at one erased content are told right; and with the key that was destroyed."""
    answer = guesses // 2
    with tempfile.TemporaryDirectory() as folder:
        people = Subjects(Path(folder), key=KeyRing(ROOT).derive("subjects"))
        payloads, dana = Payloads(people.folder, lambda: "log"), people.subject("dana")
        content = guess(answer)
        payload = payloads.keep(dana, msgspec.json.decode(content, type=list[tuple[str, str]]))
        assert commitment(KeyRing(dana.key).derive(f"content/{payload.id}"), content) == payload.commit
        people.begin_erasure("dana", None, basis="art17", by="")
    found = right(payload, keys_left(payload, dana.ref), range(guesses), answer)
    own = KeyRing(dana.key).derive(f"content/{payload.id}")
    return found, right(payload, [own], range(max(0, answer - 500), answer + 500), answer)


def main() -> None:
    """Guess and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--guesses", type=int, default=1_000_000)
    guesses = options.parse_args().guesses
    began = time.perf_counter()
    found, own = told_right(guesses)
    print(f"{guesses:,} guesses in {time.perf_counter() - began:.1f} s: {found} told right")
    print(f"with the key that was destroyed: {own} told right")
    sys.exit(0 if (found, own) == (0, 1) else 1)


if __name__ == "__main__":
    main()

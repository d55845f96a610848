"""Content of calls, where the policy keeps any: outside of the log, each under a key that dies with its person.

    content/<shelf>/<id>.<class>.sealed     AES-256-GCM; the key is HKDF(the person's key, id), bound to id and log

The log holds a digest of the sealed bytes and a keyed commitment to the content (HMAC under a key made from the same
one). Once the person's key is destroyed, neither opens, nor tells whether a guess is right.

Invariants:
* A record that speaks of content is written after the content is durable.
* Texts are kept as they went to the provider, and as they came back before anything was restored: values that the
  policy tokenises stand in them as tokens.
* Content opens for its own record, in its own log, or not at all.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from aigov.audit.canonical import NotARecord
from aigov.audit.disk import Disk, make_folder
from aigov.audit.reader import records
from aigov.audit.records import Payload, new_id
from aigov.audit.settings import DEFAULT
from aigov.audit.subjects import Subject
from aigov.crypto import KeyRing, Unsealable, digest, keyed_digest, seal, unseal
from aigov.errors import AigovError, AuditUnavailable

CONTENT: Final = "content"
SUFFIX: Final = ".sealed"
SHELF: Final = re.compile(r"[0-9a-f]{32}")
NAME: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\.[a-z0-9_]{1,32}\.sealed")
DRAFT: Final = re.compile(rf"\.({NAME.pattern})\.[0-9]+\.tmp")
MICRO: Final = 1_000_000

Texts = Sequence[tuple[str, str]]


class Gone(AigovError):
    """Content that is not there, or that no key opens any more."""

    code = "audit.content_gone"


class Payloads:
    """The kept content of one log. `folder`: that of the subjects; `origin()`: which log it belongs to.

    Raises AuditUnavailable where content cannot be kept.
    """

    def __init__(self, folder: Path, origin: Callable[[], str], disk: Disk | None = None) -> None:
        self._folder = Path(folder) / CONTENT
        self._origin = origin
        self._disk = disk or Disk()

    def __repr__(self) -> str:
        return "Payloads()"

    def keep(self, subject: Subject, texts: Texts, kind: str = DEFAULT) -> Payload:
        """Seal texts (path, text) under the subject's key, durably, and say what a record may say of them.

        `kind`: the retention class.
        """
        id, content = new_id(), msgspec.json.encode(texts)
        key = _key(subject.key, id)
        sealed = seal(key, content, self._context(id))
        why = ""
        try:
            make_folder(self._disk, self._folder / subject.shelf)
            self._disk.put(self._folder / subject.shelf / f"{id}.{kind}{SUFFIX}", sealed)
        except OSError:
            why = "content cannot be kept"
        if why:
            raise AuditUnavailable(why)
        return Payload(id=id, commit=commitment(key, content), digest=digest(sealed), bytes=len(sealed))

    def read(self, payload: Payload, shelf: str, key: bytes) -> list[tuple[str, str]]:
        """The texts that were kept: of this record, under this person's key. Raises Gone."""
        content = b""
        with suppress(OSError, Unsealable):
            own = _key(key, payload.id)
            opened = unseal(own, self._path(shelf, payload.id).read_bytes(), self._context(payload.id))
            if hmac.compare_digest(commitment(own, opened), payload.commit):
                content = opened
        if not content:
            raise Gone("audit.content_gone")
        return msgspec.json.decode(content, type=list[tuple[str, str]])

    def blobs(self, shelf: str) -> list[Path]:
        """The files of one person's content."""
        folder = self._folder / shelf
        if not SHELF.fullmatch(shelf) or not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))

    def shelves(self) -> Iterator[str]:
        """The shelves that are there."""
        if self._folder.is_dir():
            yield from sorted(path.name for path in self._folder.iterdir() if SHELF.fullmatch(path.name))

    def clear(self, shelf: str) -> tuple[int, int]:
        """Delete a person's shelf with everything on it, durably; how many blobs and bytes. Raises OSError."""
        folder = self._folder / shelf
        if not SHELF.fullmatch(shelf) or not folder.is_dir():
            return 0, 0
        paths = self.blobs(shelf)
        size = sum(path.stat().st_size for path in paths)
        for path in sorted(folder.iterdir()):  # drafts that a crash left are content too
            path.unlink(missing_ok=True)
        self._disk.sync_folder(folder)
        folder.rmdir()
        self._disk.sync_folder(self._folder)
        return len(paths), size

    def expire(self, shelf: str, over: Callable[[Path], bool]) -> tuple[int, int]:
        """Delete what is over on a shelf; how many blobs and bytes. Raises OSError.

        Drafts that a crash or a full disk left are content too, and as old as their names say.
        """
        old = [path for path in self.blobs(shelf) if over(path)]
        old += [path for path, named in self._drafts(shelf) if over(named)]
        size = sum(path.stat().st_size for path in old)
        for path in old:
            path.unlink(missing_ok=True)
        if old:
            self._disk.sync_folder(self._folder / shelf)
        return len(old), size

    def _drafts(self, shelf: str) -> list[tuple[Path, Path]]:
        """Blobs that did not get their name yet, each with the path that it was to have."""
        folder = self._folder / shelf
        if not SHELF.fullmatch(shelf) or not folder.is_dir():
            return []
        found = [(path, DRAFT.fullmatch(path.name)) for path in sorted(folder.iterdir())]
        return [(path, folder / draft[1]) for path, draft in found if draft is not None]

    def _path(self, shelf: str, id: str) -> Path:
        found = [path for path in self.blobs(shelf) if path.name.startswith(f"{id}.")]
        if len(found) != 1:
            raise Unsealable("crypto.unsealable")
        return found[0]

    def _context(self, id: str) -> bytes:
        return f"aigov content {id} {self._origin()}".encode()


class Origin:
    """Which log a folder holds: what its first record says, read once. Raises AuditUnavailable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known = ""

    def __call__(self) -> str:
        if not self._known:
            with suppress(OSError, NotARecord, StopIteration, KeyError):
                self._known = str(next(iter(records(self._folder)))["origin"])
        if not self._known:
            raise AuditUnavailable("the log has no beginning")
        return self._known


def commitment(key: bytes, content: bytes) -> str:
    """A keyed digest of content, hex: with the key it is checked, without it nothing is learnt from it."""
    return keyed_digest(KeyRing(key).derive("commit"), content.decode())


def made_us(path: Path) -> int:
    """When a blob was kept, from the first 48 bits of its name (UUID version 7), in microseconds since 1970 UTC."""
    return int(path.name[:8] + path.name[9:13], 16) * 1000


def class_of(path: Path) -> str:
    """The retention class of a blob, from its name."""
    return path.name.split(".")[1]


def _key(key: bytes, id: str) -> bytes:
    return KeyRing(key).derive(f"content/{id}")

"""Forgetting a person, in steps of which any may be the last before a crash.

 1. check      holds, and the time that content has to be kept; nothing is changed where one forbids it
 2. destroy    key and pseudonyms, and note what is left to be done: one transaction, durable
 3. announce   every process forgets what it remembers
 4. delete     the person's kept content
 5. record     `subject.erased`, once
 6. finish     the note of step 2 goes
 7. verify     the log is as whole as before, and nothing that should be gone is found (`traces`)

Invariants:
* After step 2 nothing opens and nothing links, whatever becomes of the rest; before it nothing has changed.
* Steps 3 to 6 are taken again by the next erasure, until each has been taken; each may be taken twice.
* One erasure at a time, in all processes of a log.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from aigov.audit import index
from aigov.audit.canonical import timestamp
from aigov.audit.disk import FILE_MODE, locked, make_folder
from aigov.audit.disk import Disk as _Disk
from aigov.audit.payloads import MICRO, Payloads, class_of, made_us
from aigov.audit.reader import Lines, extents
from aigov.audit.records import ContentExpired, Record, SubjectErased
from aigov.audit.subjects import Erasure, Row, Subjects
from aigov.errors import AigovError

LOCK: Final = "erase.lock"
PATIENCE_S: Final = 60.0
BLOCK: Final = 1 << 20
LEAST_BYTES: Final = 4  # a shorter text is found everywhere
TEMPORARY: Final = "aigov-*"

Append = Callable[[Record], Any]


class TooYoung(AigovError):
    """Content that has to be kept for longer. `until`: RFC 3339, when the last of it may be erased."""

    code = "audit.too_young"

    def __init__(self, until: str) -> None:
        self.until = until
        super().__init__(f"{self.code}: content has to be kept until {until}")


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should be gone and is not: in which file, which of the texts looked for, how often.

    `text` is 0 for a file or folder that could not be read, so that nobody knows.
    """

    file: str
    text: int
    count: int


class Eraser:
    """Erasures in one log. `append` makes a record durable.

    `times(name)`: the seconds after which content of a retention class is over, and before which it has to be kept.
    """

    def __init__(
        self,
        folder: Path,
        people: Subjects,
        payloads: Payloads,
        append: Append,
        *,
        times: Callable[[str], tuple[int, int]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._people = people
        self._payloads = payloads
        self._append = append
        self._times = times
        self._clock = clock

    def erase(self, id: str, tenant: str | None, *, basis: str, by: str) -> list[Erasure]:
        """Forget a person, in one tenant or in all; what was done, none where nobody is known by that id.

        Raises Held, TooYoung (nothing was changed), AuditUnavailable, OSError (run it again: it goes on).
        """
        with alone(self._people.folder):
            self._go_on()
            begun = self._people.begin_erasure(id, tenant, basis=basis, by=by, measure=self._measure)  # 1, 2
            for one in begun:
                self._finish(one, told=False)
            self._sweep()
            return begun

    def resume(self) -> int:
        """Finish erasures that a crash interrupted; how many."""
        with alone(self._people.folder):
            return self._go_on()

    def expire(self) -> ContentExpired | None:
        """Delete content whose time is over, that of held people apart; what was recorded, if any was."""
        with alone(self._people.folder):
            self._sweep()
            held, now_us = self._people.held(), self._clock() * MICRO
            done, left = [], 0
            for shelf in self._payloads.shelves():
                if shelf in held:
                    left += len(self._payloads.blobs(shelf))
                else:
                    done.append(self._payloads.expire(shelf, lambda path: self._until(path, 0) < now_us))
            blobs, size = sum(count for count, _ in done), sum(size for _, size in done)
            if not blobs:
                return None
            record = ContentExpired(blobs=blobs, bytes=size, held=left)
            self._append(record)
            return record

    def _measure(self, row: Row) -> tuple[int, int]:
        """Step 1 for content. Raises TooYoung."""
        paths = self._payloads.blobs(row.shelf)
        free_us = max((self._until(path, 1) for path in paths if self._times(class_of(path))[1]), default=0)
        if free_us > self._clock() * MICRO:
            raise TooYoung(timestamp(free_us * 1000))
        return len(paths), sum(path.stat().st_size for path in paths)

    def _until(self, path: Path, which: int) -> int:
        """When a blob is over (0), or may be erased (1), in microseconds since 1970 UTC."""
        return made_us(path) + self._times(class_of(path))[which] * MICRO

    def _go_on(self) -> int:
        left = self._people.erasures()
        for one in left:
            self._finish(one, told=self._is_told(one))
        return len(left)

    def _finish(self, one: Erasure, *, told: bool) -> None:
        self._people.announce()  # 3
        self._payloads.clear(one.shelf)  # 4
        if not told:
            self._append(_record(one))  # 5
        self._people.finish_erasure(one.id)  # 6

    def _is_told(self, one: Erasure) -> bool:
        """Whether the log has the record of an erasure already: a crash may have come between steps 5 and 6."""
        needle = f'"erasure":"{one.id}"'.encode()
        return any(needle in line for path, end in extents(self._folder) for line in Lines(path, 0, end))

    def _sweep(self) -> None:
        """Delete content of nobody: a call that was under way may have kept some after its person was erased."""
        there = list(self._payloads.shelves())  # looked at first: a person is in the table before their shelf is made
        known = self._people.shelves()
        for shelf in there:
            if shelf not in known:
                self._payloads.clear(shelf)


def _record(one: Erasure) -> SubjectErased:
    return SubjectErased(
        erasure=one.id,
        pseudonym=one.pseudonym,
        pseudonyms=one.pseudonyms,
        basis=one.basis,
        by=one.by,
        blobs=one.blobs,
        bytes=one.bytes,
    )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time. Raises Busy after a minute."""
    make_folder(_Disk(), folder)
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        with locked(handle, PATIENCE_S):
            yield
    finally:
        os.close(handle)


def places(folder: Path, people: Subjects, more: Iterable[Path] = ()) -> list[Path]:
    """Where something of a person could be: log, index, table, kept content, temporary folders, and `more`."""
    beside = index.beside(folder)
    temporary = Path(tempfile.gettempdir()).glob(TEMPORARY)
    return [Path(folder), *sorted(beside.parent.glob(beside.name + "*")), people.folder, *sorted(temporary), *more]


def traces(
    where: Iterable[Path], texts: Iterable[str], progress: Callable[[int, int], None] | None = None
) -> list[Trace]:
    """Step 7: every file under `where` in which one of `texts` stands, as UTF-8, UTF-16 or escaped in JSON.

    Texts are named by their number, from 1, so that a report holds none of them. Texts that are `too_short` are
    left out. What vanishes meanwhile, or is no ordinary file, is passed over.
    """
    wanted = [(number, form) for number, text in enumerate(texts, 1) for form in _forms(text)]
    closed: list[str] = []
    files = sorted({path for place in where for path in _files(place, closed)})
    found = [Trace(file=name, text=0, count=0) for name in closed]
    for done, path in enumerate(files, 1):
        counts: dict[int, int] = {}
        try:
            for number, form in wanted:
                counts[number] = counts.get(number, 0) + _count(path, form)
        except FileNotFoundError:
            pass
        except OSError:
            found.append(Trace(file=str(path), text=0, count=0))
        found += [Trace(file=str(path), text=number, count=count) for number, count in counts.items() if count]
        if progress is not None:
            progress(done, len(files))
    return found


def _forms(text: str) -> set[bytes]:
    """How a text may stand in a file."""
    if too_short(text):
        return set()
    escaped = {json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}
    codings = ("utf-8", "utf-16-le", "utf-16-be")
    return {one.encode(errors="surrogatepass") for one in escaped} | {
        text.encode(coding, "surrogatepass") for coding in codings
    }


def too_short(text: str) -> bool:
    """Whether a text is not looked for: of less than four bytes, it is found everywhere."""
    return len(text.encode(errors="replace")) < LEAST_BYTES


def _files(place: Path, closed: list[str]) -> Iterator[Path]:
    """The ordinary files of a place, which may be a link; links in it are not followed. `closed` takes the names of
    folders that cannot be read."""
    if not place.is_dir():
        yield from [place] if place.is_file() else []
        return
    for folder, _, names in os.walk(place, onerror=lambda error: closed.append(str(error.filename))):
        yield from (path for name in names if _ordinary(path := Path(folder, name)))


def _ordinary(path: Path) -> bool:
    """Whether there is a file to be read, and be it in vain."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _count(path: Path, form: bytes) -> int:
    """How often some bytes occur in a file of any size."""
    count, rest = 0, b""
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            data = rest + block
            count += data.count(form)
            rest = data[-(len(form) - 1) :] if len(form) > 1 else b""
            rest = b"" if form in rest else rest
    return count

"""All expressions of all guards in one pass over a text: the one door to hyperscan.

The pass says where each expression could match; the exact expression then looks there, and finds what it
would have found in the whole text.

How a window comes about. Of an expression, `outline` gives a gate that ends a match wherever the exact one
matches: from `start + least` to `start + reach`. So a gate's end at `e` says that a match may start from
`e - reach` to `e - least`, or, without a reach, from where the run of characters that the expression is made
of begins. A match that starts there ends within `longest` characters or where that run ends, and looks `ahead`
beyond it: up to there the exact expression reads, and not farther. The starts of all windows together hold
the start of every match, and from each start it sees all that bears on it; hence the same matches.

Invariants:
* The same matches with and without hyperscan: without it every expression reads every text, whole.
* An expression that has no outline, or that hyperscan refuses, reads every text, whole.
* Time is linear in the text and the gates' matches. Safe to share between threads.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aigov.text import cache
from aigov.text.outline import Outline, outline
from aigov.text.signs import Signs

_LOG = logging.getLogger("aigov.text")
_DIGIT = re.compile(rb"[0-9]").search
FORMAT = "2"  # of what is kept on disk
_SUFFIX = ".scan"
_SHORT = 24  # characters from a start to a gate's end: no look at the text narrows that down
_BRIEF = 1_000_000  # ways times characters: a few hundredths of a second
_FAR = 16  # times as many characters to see as starts to try: then trying each start is less work


class Expression(NamedTuple):
    """One exact expression: for the `regex` module under these flags, or for RE2 if `linear`.

    `once`: it is asked only whether it could match at all, so its window is the whole text.
    """

    source: str
    flags: int
    linear: bool = False
    once: bool = False


class Gate(NamedTuple):
    """What the database holds of an expression: `once` if one match is enough to know."""

    source: str
    once: bool


class Window(NamedTuple):
    """Where matches may start, first to last, and up to where the expression must see to find them."""

    first: int
    last: int
    stop: int


class Scanner:
    """Expressions compiled for one pass. `made`: how the database came to be; `whole`: expressions without a gate.

    `rooms`: in how many characters each expression surely takes no time worth measuring, 0 where there is no telling.
    Most of what is personal holds a digit: a text without one is read by a smaller database, of the other gates.
    """

    __slots__ = ("_always", "_light", "_members", "_pass", "_signs", "made", "rooms", "whole")

    def __init__(self, expressions: Sequence[Expression], folder: Path | None = None) -> None:
        """Compile, or read what was compiled before from `folder`, where it is kept as well."""
        self._signs = Signs()
        outlines = [outline(one.source, one.flags, one.linear) for one in expressions]
        seen = [(Gate(seen.gate, one.once) if seen else None) for one, seen in zip(expressions, outlines, strict=True)]
        also = {Gate(source, True) for one in outlines if one for source in one.also}
        gates = sorted({gate for gate in seen if gate} | also)
        self.rooms = tuple(_BRIEF // one.ways if one and one.ways else 0 for one in outlines)
        self._pass, refused, self.made = _passing(gates, folder)
        taken = {gate: number for number, gate in enumerate(gates) if self._pass and gate not in refused}
        self._always = tuple(index for index, gate in enumerate(seen) if gate not in taken)
        self.whole = len(self._always)
        self._members: dict[int, list[_Member]] = {}
        for index, (gate, one) in enumerate(zip(seen, outlines, strict=True)):
            if gate in taken and gate and one:
                needs = frozenset(taken[one] for one in (Gate(source, True) for source in one.also) if one in taken)
                member = _Member(index, None if gate.once else one, _edges(one), needs)
                self._members.setdefault(taken[gate], []).append(member)
        sources = {gate for gate, one in zip(seen, outlines, strict=True) if gate and one and not one.digit}
        sources |= {Gate(source, True) for one in outlines if one and not one.digit for source in one.also}
        light = sorted(sources & taken.keys())
        self._light = _renumbered(light, taken, folder) if len(light) < len(taken) else None

    def scan(self, text: str) -> Places:
        """Where each expression could match in this text."""
        every = Window(0, len(text), len(text))
        windows: Places = {index: [every] for index in self._always}
        if self._pass is not None and self._members:
            data = self._signs.write(text)
            passing = self._light if self._light is not None and _DIGIT(data) is None else self._pass
            hits, marked = passing(data), _Marked(data)
            for gate, ends in hits.items():
                for index, one, edges, also in self._members.get(gate, ()):
                    if also and not also <= hits.keys():
                        continue
                    found = [every] if one is None else _windows(one, edges, marked, ends)
                    if found:
                        windows[index] = found
        return windows

    def __repr__(self) -> str:
        return f"Scanner(gates={len(self._members)}, whole={self.whole}, made={self.made!r})"


Places = dict[int, list[Window]]
Made = Literal["compiled", "cached", "absent"]
Pass = Callable[[bytes], dict[int, list[int]]]
Seek = Callable[[str, int, int], Any]


def matches(seek: Seek, text: str, windows: Sequence[Window], at: Seek | None = None) -> list[Any]:
    """The matches of an expression in a text, of which none is empty, found by looking into its windows alone.

    `seek(text, start, stop)`: its first match from `start` on, as its `search` finds it. `at`: the same of its `match`,
    for windows from which it must see far: beyond their last start nothing is searched then.
    """
    found: list[Any] = []
    resume = 0
    for first, last, stop in windows:
        if first < resume:  # a match from an earlier window reaches into this one
            first = resume
        if at is not None and stop - last > _FAR * (last - first + 1):
            resume = max(resume, _one_by_one(at, text, first, last, stop, found))
            continue
        while first <= last:
            match = seek(text, first, stop)
            if match is None:
                break
            start, end = match.span()
            if start > last:
                break
            found.append(match)
            first = resume = end
    return found


def _one_by_one(at: Seek, text: str, first: int, last: int, stop: int, found: list[Any]) -> int:
    """Add the matches of a window, start by start; where the next may begin."""
    while first <= last:
        match = at(text, first, stop)
        if match is not None:
            found.append(match)
        first = match.end() if match is not None else first + 1
    return first


class _Edges(NamedTuple):
    """What marks by 0, in a text's bytes, those outside of the alphabet and the stem; searches for what is wanted.

    Tables for `bytes.translate`; None where every byte is inside.
    """

    alphabet: bytes | None
    stem: bytes | None
    near: tuple[Callable[..., Any], ...]


class _Marked:
    """One text's bytes, marked by each table once."""

    __slots__ = ("_marked", "data", "size")

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)
        self._marked: dict[bytes, bytes] = {}

    def _by(self, table: bytes) -> bytes:
        marked = self._marked.get(table)
        if marked is None:
            marked = self._marked[table] = self.data.translate(table)
        return marked

    def run_from(self, table: bytes | None, first: int, stop: int) -> int:
        """Where the run begins that goes on up to `stop`, at `first` or later."""
        outside = self._by(table).rfind(0, first, stop) if table is not None and first < stop else -1
        return outside + 1 if outside >= 0 else first

    def run_to(self, table: bytes | None, first: int) -> int:
        """The first offset from `first` on that is outside, or the size."""
        outside = self._by(table).find(0, first) if table is not None else -1
        return outside if outside >= 0 else self.size


class _Member(NamedTuple):
    """An expression behind a gate: its number, its outline unless it is asked once, its edges, other gates it needs."""

    number: int
    outline: Outline | None
    edges: _Edges
    also: frozenset[int]


def _edges(one: Outline) -> _Edges:
    near = tuple(re.compile(source.encode()).search for source in one.near)
    return _Edges(_table(one.alphabet), _table(one.stem), near)


def _table(alphabet: frozenset[int]) -> bytes | None:
    return None if len(alphabet) == 256 else bytes(code in alphabet for code in range(256))


def _windows(one: Outline, edges: _Edges, data: _Marked, ends: list[int]) -> list[Window]:
    """The windows of one expression, in order and apart, for the ends that its gate reported."""
    if one.reach is not None and one.longest is not None and one.reach <= _SHORT:
        return _wanted(_counted(one.least, one.reach, one.longest + one.ahead, data.size, ends), edges, data)
    found: list[Window] = []
    first = last = -1
    for end in sorted(ends):
        latest = end - one.least
        start = _earliest(one, edges, data, end, max(last, 0))
        if start > latest:  # the gate is coarser: here is no room for a match
            continue
        if last >= 0 and start > last + 1:
            found.append(Window(first, last, _stop(one, edges, data, last)))
            first = -1
        first, last = start if first < 0 else first, max(last, latest)
    if last >= 0:
        found.append(Window(first, last, _stop(one, edges, data, last)))
    return _wanted(found, edges, data)


def _counted(least: int, reach: int, seen: int, size: int, ends: list[int]) -> list[Window]:
    """The same where nothing is without limit: by counting alone."""
    found: list[Window] = []
    first, last = 0, -2
    for end in sorted(ends):
        start, latest = end - reach, end - least
        if latest < 0:  # the gate is coarser: here is no room for a match
            continue
        if start > last + 1:
            if last >= 0:
                found.append(Window(first, last, min(last + seen, size)))
            first = max(start, 0)
        last = latest
    if last >= 0:
        found.append(Window(first, last, min(last + seen, size)))
    return found


def _wanted(found: list[Window], edges: _Edges, data: _Marked) -> list[Window]:
    """The windows in which all stands that the expression's assertions want."""
    for wants in edges.near:
        found = list(_having(wants, found, data))
    return found


def _having(wants: Callable[..., Any], found: list[Window], data: _Marked) -> Iterator[Window]:
    """The windows in which a match begins. Many windows may see as far as the next: each stretch is searched once."""
    begins = -1
    for one in found:
        if begins < one.first:
            match = wants(data.data, one.first)
            begins = match.start() if match else data.size
        if begins < one.stop:
            yield one


def _earliest(one: Outline, edges: _Edges, data: _Marked, end: int, known: int) -> int:
    """The first offset from which a match may lead to a gate's end at `end`; `known` or less all mean the same."""
    bound = known if one.reach is None else max(known, end - one.reach)
    return data.run_from(edges.stem, bound, end)


def _stop(one: Outline, edges: _Edges, data: _Marked, last: int) -> int:
    """How far the expression must see for matches that start at `last` or before."""
    if one.longest is not None:
        return min(data.size, last + one.longest + one.ahead)
    return min(data.size, data.run_to(edges.alphabet, last) + one.ahead)


def _passing(gates: list[Gate], folder: Path | None, aloud: bool = True) -> tuple[Pass | None, frozenset[Gate], Made]:
    """The pass over bytes, the gates that it does without, and how it came to be."""
    try:
        import hyperscan
    except ImportError:  # the extra `fast` is not installed
        return None, frozenset(), "absent"
    name = _name(version("hyperscan"), gates)
    kept = cache.read(folder, name) if folder else None
    restored = _restored(kept) if kept else None
    if folder and aloud and not restored:
        _LOG.warning("compiling %d patterns, which takes some seconds, once for each set of them", len(gates))
    database, refused = restored or _compiled(gates)
    if folder and database and not restored:
        listed = ",".join(map(str, sorted(refused))).encode()
        if not cache.write(folder, name, listed + b"\n" + hyperscan.dumpb(database)):
            _LOG.warning("the compiled patterns cannot be kept: every start compiles them anew")
    passing = _Pass(database) if database else None
    return passing, frozenset(gates[index] for index in refused), "cached" if restored else "compiled"


def _renumbered(light: list[Gate], taken: dict[Gate, int], folder: Path | None) -> Pass | None:
    """A pass over some of the gates, with the numbers of all; None where it cannot be had."""
    if not light:
        return lambda data: {}
    passing, refused, _ = _passing(light, folder, aloud=False)
    if refused or passing is None:
        return None

    def some(data: bytes) -> dict[int, list[int]]:
        return {taken[light[number]]: ends for number, ends in passing(data).items()}

    return some


class _Pass:
    """One database with working memory for as many threads as scan at once."""

    __slots__ = ("_database", "_free", "_scratch")

    def __init__(self, database: Any) -> None:
        import hyperscan

        self._database = database
        self._scratch = hyperscan.Scratch(database)
        self._free: list[Any] = [self._scratch.clone()]

    def __call__(self, data: bytes) -> dict[int, list[int]]:
        """The offsets where each gate ends a match."""
        ends: dict[int, list[int]] = {}
        try:
            scratch = self._free.pop()
        except IndexError:
            scratch = self._scratch.clone()
        self._database.scan(data, match_event_handler=_note, context=ends, scratch=scratch)
        self._free.append(scratch)
        return ends


def _note(gate: int, start: int, end: int, flags: int, ends: dict[int, list[int]]) -> None:
    """What hyperscan calls for each end of a match."""
    if gate in ends:
        ends[gate].append(end)
    else:
        ends[gate] = [end]


def _name(release: str, gates: list[Gate]) -> str:
    """What a database is kept under: a digest of all that it depends on."""
    given = [FORMAT, release, platform.machine(), platform.system(), *map(repr, gates)]
    return hashlib.sha256("\0".join(given).encode()).hexdigest() + _SUFFIX


def _restored(kept: bytes) -> tuple[Any, frozenset[int]] | None:
    """The database that was kept and the gates that it lacks, or None where this machine cannot use it."""
    import hyperscan

    listed, _, dumped = kept.partition(b"\n")
    try:
        database = hyperscan.loadb(dumped, hyperscan.HS_MODE_BLOCK)
        return database, frozenset(map(int, listed.split(b","))) if listed else frozenset()
    except (hyperscan.HyperscanError, ValueError):
        return None


def _compiled(gates: list[Gate]) -> tuple[Any, frozenset[int]]:
    """A database of all gates but those that hyperscan refuses, and these; None where it refuses all."""
    every = range(len(gates))
    database = _database(gates, every)
    if database:
        return database, frozenset()
    taken = [index for index in every if _database(gates, [index])]
    database = _database(gates, taken)
    return database, frozenset(every) - frozenset(taken if database else ())


def _database(gates: list[Gate], taken: Sequence[int]) -> Any:
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[gates[index].source.encode() for index in taken], ids=list(taken), elements=len(taken),
            flags=[hyperscan.HS_FLAG_PREFILTER | gates[index].once * hyperscan.HS_FLAG_SINGLEMATCH for index in taken],
        )  # fmt: skip
    except hyperscan.HyperscanError:
        return None
    return database

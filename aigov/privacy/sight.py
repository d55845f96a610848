"""Seeing personal data however it is written: in JSON, encoded, in letters of two alphabets, named by its key.

Invariants:
* What is found is told in offsets of the text that was given; what was found in an encoding covers all of it.
* A finding of an encoded reading counts only where it holds something that was encoded: the rest was seen already.
* What the policy exempts is told as kind `exempt`: left alone, and recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from aigov.text.encoded import readings
from aigov.text.readable import plain
from aigov.text.shapes import Shape, shape
from aigov.types import Finding, Part

EXEMPT = "exempt"
NAMED = 64  # characters of a value that is read together with its key
SURE = 0.5
_WORD = re.compile(r"[A-Za-z]{2,30}")

Find = Callable[[str, str], Iterable[Finding]]


class Sight:
    """`find(text, path)` through all readings of a part. `exempt`: JSON pointers, `*` one step and `**` any.

    `named`: the same for a value behind the name of its place, which only context words have use for.
    """

    __slots__ = ("_exempt", "_find", "_named")

    def __init__(self, find: Find, exempt: Iterable[str] = (), named: Find | None = None) -> None:
        self._find, self._named = find, named or find
        patterns = "|".join(map(_pattern, exempt))
        self._exempt = re.compile(patterns) if patterns else None

    def findings(self, part: Part) -> tuple[Finding, ...]:
        """Every finding in a part's text, each once. Raises what `find` raises."""
        built = shape(part.text) if self._exempt is not None or "\\" in part.text else Shape(part.text, ())
        form = plain(part.text, built)
        found = [
            self._placed(one, form.original(one.start, one.end))
            for one in self._seen(form.text, part.path, part.number)
        ]
        for reading in readings(form.text):
            for one in self._find(reading.text, part.path):
                span = reading.original(one.start, one.end)
                if span is not None:
                    found.append(self._placed(one, form.original(*span)))
        if self._exempt is not None:
            found = [self._judged(one, built, part.path) for one in found]
        return _once(found)

    def _seen(self, text: str, path: str, number: bool) -> Iterable[Finding]:
        """What stands in a text. A short value is read again behind the name of its place, which may make it surer.

        A whole number counts where its name or its check digits speak for it: one number in four could be a phone.
        """
        alone = tuple(self._find(text, path))
        if not alone or len(text) > NAMED or all(one.score >= 1 for one in alone):
            return alone
        words = " ".join(_WORD.findall(path.rpartition("/")[2]))
        named = tuple(_behind(self._named(f"{words}\n{text}", path), len(words) + 1)) if words else ()
        if not number:
            return alone + named
        scores = {(one.type, one.start, one.end): one.score for one in alone}
        sure = (one for one in named if one.score > scores.get((one.type, one.start, one.end), 0.0))
        return (*(one for one in alone if one.score >= SURE), *sure)

    @staticmethod
    def _placed(finding: Finding, span: tuple[int, int]) -> Finding:
        if span == (finding.start, finding.end):
            return finding
        return msgspec.structs.replace(finding, start=span[0], end=span[1])

    def _judged(self, finding: Finding, built: Shape, path: str) -> Finding:
        """The finding, or as exempt where the policy names its place."""
        literal = built.at(finding.start)
        inside = literal.pointer if literal is not None and literal is built.at(finding.end - 1) else ""
        assert self._exempt is not None
        if self._exempt.fullmatch(path + inside):
            return msgspec.structs.replace(finding, kind=EXEMPT)
        return finding

    def __repr__(self) -> str:
        return "Sight()"


def _once(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each type at each place once, the surest of them."""
    best: dict[tuple[str, str, int, int], Finding] = {}
    for one in found:
        key = one.kind, one.type, one.start, one.end
        if key not in best or one.score > best[key].score:
            best[key] = one
    return tuple(best.values())


def _behind(found: Iterable[Finding], length: int) -> Iterator[Finding]:
    """What begins beyond the first `length` characters, counted from there; what reaches into them, from there on."""
    for one in found:
        if one.end > length:
            yield msgspec.structs.replace(one, start=max(0, one.start - length), end=one.end - length)


def _pattern(pointer: str) -> str:
    """A pointer with `*` and `**` as a regular expression that takes linear time."""
    steps = pointer.split("/")[1:]
    return "".join(
        "(?:/[^/]*+)*" if step == "**" else "/[^/]*+" if step == "*" else "/" + re.escape(step) for step in steps
    )

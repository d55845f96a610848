"""What takes the place of a found value: which edit is made where several want the same text, and by whom.

Invariants:
* A third party's edit, or one made for what a third party found, gets only the text that no built-in guard
  asked to have replaced: adding a plugin shows nothing that was hidden without it.
* Every character that some edit covers is replaced, by exactly one of them (`text.spans`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from aigov.plugins import Guards
from aigov.privacy.session import Session
from aigov.text.shapes import shape, written
from aigov.text.spans import Replacement, resolve
from aigov.types import Direction, Edit, Finding, Part


def replacements(
    guards: Guards,
    edits: Iterable[Edit],
    findings: Iterable[Finding],
    parts: Sequence[Part],
    session: Session,
    direction: Direction,
) -> dict[int, list[Replacement]]:
    """The text that goes into each edited span, by the part's index. `findings`: what the edits were made for.

    Raises GuardFault where a renderer broke.
    """
    out: dict[int, list[Replacement]] = {}
    for index, some in groupby(settled(edits, _strange(guards, findings, parts)), key=attrgetter("part")):
        text = parts[index].text
        for edit in shape(text).fit(some):
            made = guards.renderers[edit.guard](edit, text[edit.start : edit.end], session, direction)
            out.setdefault(index, []).append((edit.start, edit.end, written(made, edit.form)))
    return out


def settled(edits: Iterable[Edit], strange: Callable[[Edit], bool]) -> list[Edit]:
    """Disjoint edits by part and start: those that are not strange first, of the others what they leave."""
    own: list[Edit] = []
    others: list[Edit] = []
    for edit in edits:
        (others if strange(edit) else own).append(edit)
    kept = list(resolve(own))
    if not others:
        return kept
    taken: dict[int, list[Edit]] = {}
    for edit in kept:
        taken.setdefault(edit.part, []).append(edit)
    for edit in resolve(others):
        kept += _left(edit, taken.get(edit.part, ()))
    return sorted(kept, key=attrgetter("part", "start"))


def _strange(guards: Guards, findings: Iterable[Finding], parts: Sequence[Part]) -> Callable[[Edit], bool]:
    """Whether an edit is a third party's own, or was made for what third parties alone found."""
    names = {one.name for some in (guards.screen, guards.detect, guards.judge) for one in some if not one.trusted}
    if not names:
        return lambda edit: False
    index = {part.path: number for number, part in enumerate(parts)}
    found: dict[bool, set[tuple[int, int, int, str]]] = {True: set(), False: set()}
    for one in findings:
        found[one.detector in names].add((index[one.path], one.start, one.end, one.type))
    alone = found[True] - found[False]
    return lambda edit: edit.guard in names or (edit.part, edit.start, edit.end, edit.type) in alone


def _left(edit: Edit, taken: Sequence[Edit]) -> list[Edit]:
    """What of an edit lies outside of disjoint ones that come in order."""
    pieces, at = [], edit.start
    for other in taken:
        if other.start < edit.end and other.end > at:
            pieces.append((at, other.start))
            at = other.end
    pieces.append((at, edit.end))
    return [msgspec.structs.replace(edit, start=start, end=end) for start, end in pieces if start < end]

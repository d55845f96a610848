"""What a condition may cost: no work that grows with the square of what a caller sends.

Invariants:
* A loop over a call's data does, for each element, work that depends on the element, or work that is cheap. One that
  searches, measures or joins the same large text again for each of 9,000 elements takes seconds and gigabytes, whatever
  the library's step budget says: measured on 200,000 characters, 8 s for `contains` and 1.6 GB for `+`.
* A loop over a list that is written out may do anything: its length is the author's.
"""

from __future__ import annotations

from collections.abc import Iterator

from aigov.conditions import Mistake, Term

# Facts of a few words each; `args` and `findings` are as long as the caller likes.
_SMALL = frozenset({"action", "resource", "direction", "principal", "confidence", "now"})
# Operators that look at one element or one number, and comparisons, which stop at the first difference.
_CHEAP = frozenset({
    "_&&_", "_||_", "!_", "_?_:_", "@not_strictly_false", "_[_]", "@in", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_",
    "-_", "_-_", "_*_", "_/_", "_%_", "startsWith", "endsWith", "int", "uint", "double", "bool", "dyn", "type",
})  # fmt: skip


def costly(term: Term) -> set[Mistake]:
    """The calls in a condition whose cost for each element of a call's data depends on something else than it."""
    return {
        Mistake(call.line, call.column, what, "ask it of the element, or outside of the loop")
        for call, what in _costly(term, None)
    }


def _costly(term: Term, light: frozenset[str] | None) -> Iterator[tuple[Term, str]]:
    """`light`: the names that are cheap to work on inside of the innermost loop over data, None outside of any."""
    if term.kind == "loop":
        yield from _in_loop(term, light)
        return
    if light is not None and term.kind == "call" and not _affordable(term, light):
        yield term, f"`{term.name.strip('_')}` on the same data again for every element"
        return
    for part in term.parts:
        yield from _costly(part, light)


def _in_loop(term: Term, light: frozenset[str] | None) -> Iterator[tuple[Term, str]]:
    over, first, *steps = term.parts
    for part in (over, first):
        yield from _costly(part, light)
    own = frozenset(term.bound) - {""}
    written_out = not set(over.free())
    inner = (light | own if light is not None else None) if written_out else _SMALL | own
    for part in steps:
        yield from _costly(part, inner)


def _affordable(call: Term, light: frozenset[str]) -> bool:
    if call.name in _CHEAP:
        return True
    if call.name == "_+_" and any(_gathered(part) or _number(part) for part in call.parts):
        return True
    return light.issuperset(call.free())


def _gathered(part: Term) -> bool:
    """The list that a macro gathers, to which the library adds in place."""
    return part.kind == "name" and part.name.startswith("@")


def _number(part: Term) -> bool:
    return part.kind == "constant" and isinstance(part.value, (int, float))

"""What a reviewer reads beside the texts of a case: its numbers, times, choices and truths, each with its path.

A refund is decided by its amount, which is no text. The figures are read from the packed form, so that a reviewer's
process need not know the application's classes.

Invariants:
* Every value that is no text is there once; a text is never repeated.
* Bytes that nobody packed raise `ReviewError`, no more; depth and count are bounded as in `values`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from aigov.errors import ReviewError
from aigov.review.codes import NOT_RESUMABLE
from aigov.review.edits import MERGED, step
from aigov.review.values import kind, unpack

SERIES: Final = frozenset({"l", "t", "s", "z"})


class Figure(NamedTuple):
    """One value that is no text: a path as in `Part.path`, and the value as a person would write it."""

    path: str
    value: str

    def __repr__(self) -> str:
        return f"Figure({len(self.value)} characters)"


def figures(packed: bytes) -> tuple[Figure, ...]:
    """The figures of what a ticket holds, in its order. Raises ReviewError `review.not_resumable`."""
    kind(packed)  # nobody's bytes are walked before they are known to be sound and bounded
    try:
        return tuple(_figures(msgspec.json.decode(packed), ""))
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise ReviewError(NOT_RESUMABLE, "the kept value cannot be read")


def _figures(tree: Any, path: str) -> Iterator[Figure]:
    if isinstance(tree, str):
        return
    if not isinstance(tree, list):
        yield Figure(path, msgspec.json.encode(tree).decode())
    elif tree[0] in SERIES:
        for number, item in enumerate(tree[1:]):
            yield from _figures(item, f"{path}/{number}")
    elif tree[0] == "d":
        yield from _members(tree, path)
    elif tree[0] == "o":
        for state in tree[3:5]:
            yield from _members(state, path)
    elif tree[0] != "unset":
        yield Figure(path, _written(tree))


def _members(tree: list[Any], path: str) -> Iterator[Figure]:
    """Those of a map; a key that is no text is a figure itself, as a part's key it would be `path#`."""
    for at in range(1, len(tree), 2):
        key = tree[at]
        inner = path if isinstance(key, str) and key in MERGED else f"{path}/{step(key, path, at // 2)}"
        yield from (Figure(f"{inner}#", figure.value) for figure in _figures(key, ""))
        yield from _figures(tree[at + 1], inner)


def _written(tree: list[Any]) -> str:
    """A scalar or a choice, as a person would write it."""
    if tree[0] == "e":
        return f"{str(tree[1]).rpartition(':')[2]}.{tree[2]}"
    value = unpack(msgspec.json.encode(tree))
    return f"{len(value)} bytes" if isinstance(value, bytes) else str(value)

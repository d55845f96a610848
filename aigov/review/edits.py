"""A reviewer's words in an answer, put in text by text where the answer's own class is not known.

A reviewer works in a process that has never heard of the application's classes. So texts are replaced in
the packed form, by the paths that the reviewer was shown; the answer keeps its class, its numbers and
its other fields.

Invariants:
* Only a text is replaced, only by a text, and only where one stands: a path that leads elsewhere is refused.
* Everything besides those texts is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from aigov.errors import ReviewError
from aigov.review.codes import CODES, NOT_EDITABLE
from aigov.review.values import MAX_BYTES

MERGED: Final = frozenset({"__pydantic_extra__", "__pydantic_private__"})  # shown as if they were fields
STEP_CHARS: Final = 64
PATH_CHARS: Final = 256


def retext(packed: bytes, texts: Mapping[str, str]) -> bytes:
    """The packed answer with the text at each path replaced; paths as in `Case.shown`.

    Keys of maps and members of sets are not replaced. Raises ReviewError `review.not_editable`.
    """
    try:
        tree = [msgspec.json.decode(packed)]
        places = {path: (holder, at) for path, holder, at in _places(tree, 0, "")}
        for path, text in texts.items():
            holder, at = places[path]
            holder[at] = text
        edited = msgspec.json.encode(tree[0])
        # exactly str: a list would be read as a kind of value
        if all(type(text) is str for text in texts.values()) and len(edited) <= MAX_BYTES:
            return edited
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError, msgspec.MsgspecError):
        pass  # a path that leads nowhere, a text that is none, or bytes that nobody packed
    raise ReviewError(NOT_EDITABLE, CODES[NOT_EDITABLE])


def _places(holder: list[Any], at: int, path: str) -> Iterator[tuple[str, list[Any], int]]:
    """Every text of a packed tree: its path, the list that holds it, and where in that list."""
    tree = holder[at]
    if isinstance(tree, str):
        yield path, holder, at
    elif not isinstance(tree, list):
        return
    elif tree[0] in ("l", "t"):
        for number in range(1, len(tree)):
            yield from _places(tree, number, f"{path}/{number - 1}")
    elif tree[0] == "d":
        yield from _members(tree, path)
    elif tree[0] == "o":
        for state in tree[3:5]:
            yield from _members(state, path)


def _members(tree: list[Any], path: str) -> Iterator[tuple[str, list[Any], int]]:
    for at in range(1, len(tree), 2):
        key = tree[at]
        inner = path if isinstance(key, str) and key in MERGED else f"{path}/{step(key, path, at // 2)}"
        yield from _places(tree, at + 1, inner)


def step(key: Any, path: str, position: int) -> str:
    """A member's step, spelt as in the path of a part: `~0`, `~1`, `~2` for `~`, `/`, `#`, else its position."""
    if not isinstance(key, str) or len(key) > STEP_CHARS or len(path) > PATH_CHARS:
        return f"~3{position}"
    return key.replace("~", "~0").replace("/", "~1").replace("#", "~2")

"""The chunks of a streamed answer as one text, and back.

Invariants:
* Text at one path is joined over all chunks: a value cut over two chunks is seen whole.
* For chunks of text, the rebuilt chunks joined equal `splice` of the joined text, however it was cut.
* No chunk is added, dropped or moved; chunks without text come back as they were.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from aigov.text.nodes import Node
from aigov.text.parts import Limits, Walk, guarded, own_index
from aigov.text.spans import Replacement, checked, splice
from aigov.types import Part


class Piece(NamedTuple):
    """Where a stretch of a joined part stands: chunk, part in that chunk, offset in the joined text."""

    chunk: int
    part: int
    offset: int
    text: str

    def __repr__(self) -> str:
        return f"Piece(chunk={self.chunk}, chars={len(self.text)})"


class Stream:
    """Chunks taken apart. `parts` are the joined texts, one for each path."""

    __slots__ = ("_pieces", "_roots", "parts")

    def __init__(self, parts: tuple[Part, ...], pieces: Sequence[Sequence[Piece]], roots: Sequence[Node]) -> None:
        self.parts = parts
        self._pieces = pieces
        self._roots = roots

    def rebuild(self, edits: Mapping[int, Sequence[Replacement]]) -> list[Any]:
        """Fresh chunks with the `(start, end, replacement)` of each part put in, by the part's index.

        A replacement stands in the chunk where its span starts; what the span covers of later chunks is cut.
        Raises ValueError where spans overlap or lie outside of a part, Malformed `input.key_clash`.
        """
        if not set(edits) <= set(range(len(self.parts))):
            raise ValueError("there is no such part")
        texts: list[dict[int, str]] = [{} for _ in self._roots]
        for index, part in enumerate(self.parts):
            replacements = checked(edits.get(index, ()), len(part.text))
            for piece, text in _spread(self._pieces[index], replacements, shared=_is_key(part.path)):
                texts[piece.chunk][piece.part] = text
        ordered = [[held[number] for number in range(len(held))] for held in texts]
        built: list[Any] = guarded(lambda: [root.build(held) for root, held in zip(self._roots, ordered, strict=True)])
        return built

    @property
    def sizes(self) -> tuple[int, ...]:
        """The characters of each chunk as it came; a key that many chunks share counts in its first alone."""
        counted = [0] * len(self._roots)
        for part, pieces in zip(self.parts, self._pieces, strict=True):
            for piece in pieces[:1] if _is_key(part.path) else pieces:
                counted[piece.chunk] += len(piece.text)
        return tuple(counted)

    @property
    def plain(self) -> list[Any]:
        """The chunks as conditions see them."""
        shown: list[Any] = guarded(lambda: [root.plain() for root in self._roots])
        return shown

    def __repr__(self) -> str:
        return f"Stream(chunks={len(self._roots)}, parts={len(self.parts)})"


def gather(chunks: Iterable[Any], limits: Limits) -> Stream:
    """Lay out all chunks under one set of limits and join the texts of each path.

    Items of a list that say of themselves `index: N` are joined by that N, not by their position: choices
    and tool calls of a chat answer are told apart even where each chunk holds one of them. A chunk's own
    `index` counts where one comes twice; else it numbers the chunks, and nothing would be seen whole.
    Raises Malformed as `lay_out` does.
    """
    walk = Walk(limits, indexed=True)
    chunks = list(islice(chunks, limits.max_nodes + 1))
    blocks = _blocks(chunks)
    roots: list[Node] = []
    found: dict[str, list[Piece]] = {}
    roles: dict[str, str] = {}
    for number, chunk in enumerate(chunks):
        roots.append(walk.start(chunk, blocks[number]))
        for index, part in enumerate(walk.parts):
            pieces = found.setdefault(part.path, [])
            offset = 0 if _is_key(part.path) or not pieces else pieces[-1].offset + len(pieces[-1].text)
            pieces.append(Piece(number, index, offset, part.text))
            roles[part.path] = roles.get(part.path) or part.role
    parts = tuple(Part(path=path, text=_joined(path, pieces), role=roles[path]) for path, pieces in found.items())
    return Stream(parts, tuple(found.values()), roots)


def _blocks(chunks: Sequence[Any]) -> Sequence[str]:
    """The path that each chunk stands below: that of the block which it says it belongs to, if any."""
    stated = [index for index in map(own_index, chunks) if index is not None]
    if len(set(stated)) == len(stated):
        return [""] * len(chunks)
    return ["" if index is None else f"/~5{index}" for index in map(own_index, chunks)]


def _is_key(path: str) -> bool:
    """Whether the part is a key that its path spells out, and so the same text in every chunk."""
    return path.endswith("#") and not path.rpartition("/")[2].startswith("~3")


def _joined(path: str, pieces: Sequence[Piece]) -> str:
    return pieces[0].text if _is_key(path) else "".join(piece.text for piece in pieces)


def _spread(
    pieces: Sequence[Piece], replacements: Sequence[Replacement], *, shared: bool
) -> Iterable[tuple[Piece, str]]:
    """Each piece with its new text: the replacements cut at the borders of the pieces, or whole in a shared key."""
    if not replacements:
        return ((piece, piece.text) for piece in pieces)
    if shared:
        return ((piece, splice(piece.text, replacements)) for piece in pieces)
    offsets = [piece.offset for piece in pieces]
    local: list[list[Replacement]] = [[] for _ in pieces]
    for start, end, replacement in replacements:
        at = bisect_right(offsets, start) - 1
        local[at].append((start - offsets[at], min(end - offsets[at], len(pieces[at].text)), replacement))
        for later in range(at + 1, len(pieces)):
            if offsets[later] >= end:
                break
            local[later].append((0, min(end - offsets[later], len(pieces[later].text)), ""))
    return ((piece, splice(piece.text, cuts)) for piece, cuts in zip(pieces, local, strict=True))

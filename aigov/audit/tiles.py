"""The tree's hashes on disk, as tlog-tiles lays them out, so that a proof needs no look at the records.

    tile/0/x001/234          256 leaf hashes, 32 bytes each
    tile/1/004               256 hashes, each over a full tile of the level below
    tile/0/x001/235.p/17     the first 17 hashes of a tile that is not full yet

Invariants:
* Tiles say nothing that the records do not say. A full tile never changes, and is durable when the log is
  sealed; what a power loss takes before is made again. Partial ones are made at each checkpoint and go when
  the tile is full.
* `Edge` is the right edge of the tree: what is in no full tile yet, at every level.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from aigov.audit.disk import FILE_MODE, Disk, make_folder, open_regular
from aigov.audit.merkle import EMPTY_ROOT, HASH_BYTES, ProofError, Subtree, node_hash, perfect_root

FOLDER = "tile"
WIDTH = 256
HEIGHT = 8  # levels of the tree in a tile


class Tile(NamedTuple):
    """A tile: its level, where it stands in the level, and up to 256 hashes one after the other."""

    level: int
    at: int
    data: bytes


class Edge:
    """The right edge of a tree of `size` leaves: for each level of tiles the hashes of its last, open tile."""

    def __init__(self, size: int = 0, levels: Iterable[list[bytes]] = ()) -> None:
        self.size = size
        self.levels = [list(level) for level in levels]

    def extend(self, leaves: Sequence[bytes]) -> list[Tile]:
        """Append leaf hashes; returns the tiles that became full."""
        full: list[Tile] = []
        start = 0
        while start < len(leaves):
            row = self._row(0)
            taken = leaves[start : start + WIDTH - len(row)]
            row.extend(taken)
            start, self.size = start + len(taken), self.size + len(taken)
            self._close(0, full)
        return full

    def _close(self, level: int, full: list[Tile]) -> None:
        """Where a level's open tile is full, begin a new one and count its root a level higher."""
        row = self._row(level)
        if len(row) == WIDTH:
            full.append(Tile(level, (self.size >> HEIGHT * (level + 1)) - 1, b"".join(row)))
            self.levels[level] = []
            self._row(level + 1).append(perfect_root(row))
            self._close(level + 1, full)

    def _row(self, level: int) -> list[bytes]:
        while level >= len(self.levels):
            self.levels.append([])
        return self.levels[level]

    def root(self) -> bytes:
        """The tree's root, from the hashes of the open tiles."""
        node = b""
        for row in self.levels:
            end = len(row)
            for bit in range(HEIGHT):
                if end >> bit & 1:
                    peak = perfect_root(row[end - (1 << bit) : end])
                    node = node_hash(peak, node) if node else peak
                    end -= 1 << bit
        return node or EMPTY_ROOT

    def open_tiles(self) -> list[Tile]:
        """The partial tiles of this size."""
        rows = enumerate(self.levels)
        return [Tile(level, self.size >> HEIGHT * (level + 1), b"".join(row)) for level, row in rows if row]


class Tiles:
    """The tiles of one log's folder."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._folder = folder / FOLDER
        self._disk = disk or Disk()
        self._doubted = False

    def keep(self, full: Iterable[Tile], edge: Edge) -> list[Path]:
        """Write full tiles, and the partial ones of the edge. Returns the paths of the full ones. Raises OSError."""
        paths = []
        for tile in full:
            path = self.path(tile.level, tile.at)
            self._write(path, tile.data)
            shutil.rmtree(_partial(path), ignore_errors=True)
            paths.append(path)
        for tile in edge.open_tiles():
            width = len(tile.data) // HASH_BYTES
            self._write(_partial(self.path(tile.level, tile.at)) / str(width), tile.data)
        return paths

    def full(self, start: int, end: int) -> list[Path]:
        """Where the tiles lie that became full while the tree grew from `start` leaves to `end`."""
        paths: list[Path] = []
        level = 0
        while start < end:
            start, end = start >> HEIGHT, end >> HEIGHT
            paths += [self.path(level, at) for at in range(start, end)]
            level += 1
        return paths

    def settle(self, paths: Iterable[Path]) -> None:
        """Make full tiles durable; written anew where a sync failed before, for none is repeated. Raises OSError."""
        folders: set[Path] = set()
        again, self._doubted = self._doubted, True
        for path in paths:
            if again:
                self._write(path, path.read_bytes())
            handle = open_regular(path)
            try:
                self._disk.sync(handle)
            finally:
                os.close(handle)
            folders.update((path.parent, path.parent.parent))
        for folder in folders:
            self._disk.sync_folder(folder)
        self._doubted = False

    def edge(self, size: int) -> Edge:
        """The right edge of the tree at the size of a checkpoint. Raises ProofError where a tile is missing."""
        levels: list[list[bytes]] = []
        rest = size
        while rest:
            index, width = divmod(rest, WIDTH)
            levels.append(self.hashes(len(levels), index, width) if width else [])
            rest = index
        return Edge(size, levels)

    def subtree(self, size: int) -> Subtree:
        """What proofs in a tree of `size` leaves are made of. Reads each tile once."""
        seen: dict[tuple[int, int], list[bytes]] = {}

        def subtree(level: int, index: int) -> bytes:
            row, height = divmod(level, HEIGHT)
            tile, start = divmod(index << height, WIDTH)
            if (row, tile) not in seen:
                seen[row, tile] = self.hashes(row, tile, min(WIDTH, (size >> HEIGHT * row) - tile * WIDTH))
            return perfect_root(seen[row, tile][start : start + (1 << height)])

        return subtree

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """The first `width` hashes of a tile, full or partial. Raises ProofError."""
        for path in self._candidates(self.path(level, index), width):
            data = _read(path)
            if len(data) >= width * HASH_BYTES:
                return [data[at : at + HASH_BYTES] for at in range(0, width * HASH_BYTES, HASH_BYTES)]
        raise ProofError(f"tile {level}/{index} is missing; run `aigov audit verify`")

    def stored(self, level: int, index: int) -> bytes | None:
        """What stands in a full tile's file, None where there is none. Raises OSError."""
        path = self.path(level, index)
        return _read(path) if path.exists() else None

    def _candidates(self, path: Path, width: int) -> list[Path]:
        """Where the first `width` hashes of a tile may stand: as they are, in the full tile, in a wider part."""
        folder = _partial(path)
        exact = [folder / str(width)] if width < WIDTH else []
        try:
            wider = [int(name) for name in os.listdir(folder) if name.isascii() and name.isdigit()]
        except OSError:
            wider = []
        return [*exact, path, *(folder / str(found) for found in sorted(wider) if found > width)]

    def path(self, level: int, index: int) -> Path:
        """Where a full tile lies."""
        groups = [f"{index % 1000:03d}"]
        while index := index // 1000:
            groups.append(f"x{index % 1000:03d}")
        return self._folder.joinpath(str(level), *reversed(groups))

    def _write(self, path: Path, data: bytes) -> None:
        make_folder(self._disk, path.parent, durable=False)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        handle = os.open(path, flags, FILE_MODE)
        try:
            self._disk.write_all(handle, data)
        finally:
            os.close(handle)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".p")


def _read(path: Path) -> bytes:
    try:
        with open(open_regular(path), "rb") as file:
            return file.read(WIDTH * HASH_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return b""

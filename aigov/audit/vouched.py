"""What signatures say of a log, held against its leaf hashes as they come.

Steps, for each checkpoint of `checkpoints.log` in order:
 1. size        above that of the one before, and reached by the log
 2. root        that of the tree over the records so far
 3. signature   by the log's key, which alone is trusted from outside, and by the key of the epoch: the first one is
                that of the genesis, which the log is named after, and each later one was announced by a record
                (`key.rotated`) under a checkpoint of the one before
 4. tiles       full tiles, where the folder has any, are those of the records

Invariants:
* Nothing is believed because it is there: a checkpoint counts when its signature and its root are right.
* `covered` never goes past a checkpoint that was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from aigov.audit import checkpoints, tiles
from aigov.audit.checkpoints import Notes
from aigov.audit.keys import origin_of
from aigov.audit.merkle import HASH_BYTES
from aigov.audit.note import Checkpoint, NoteError, VerifierKey, open_checkpoint, split
from aigov.audit.tiles import Edge, Tile, Tiles

Note = Callable[[str, str], None]


class Vouched:
    """The checkpoints of one log, checked while its leaves are counted. `tell(file, what)` hears of each fault."""

    def __init__(
        self, folder: Path, key: VerifierKey, notes: Iterator[bytes], marks: dict[int, tuple[str, str]], tell: Note
    ) -> None:
        self._folder = folder
        self._key = key
        self._epoch_key: VerifierKey | None = None
        self._notes = notes
        self._marks = marks
        self._tell = tell
        self._edge = Edge()
        self._leaves: list[bytes] = []
        self._tiles = Tiles(folder) if (folder / tiles.FOLDER).is_dir() else None
        self._announced = ""
        self._sound = True
        self._differs = False
        self._stop = -1
        self._due: Checkpoint | None = None
        self._note = b""
        self.count = 0
        self.checkpoints = 0
        self.covered = 0
        self.latest = b""
        self.latest_size = -1
        self.last = b""
        self.tiles: list[tuple[str, str]] = []  # what is wrong with tiles: a power loss may take some
        self._next()

    def add(self, leaf: bytes) -> None:
        """Count one more record by its leaf hash."""
        self._leaves.append(leaf)
        self.count += 1
        if self.count == self._stop:
            self.settle()

    def begin(self, vkey: str) -> None:
        """Take the key of the first epoch, as the genesis has it."""
        first = self._epoch_key = self._parsed(vkey)
        if first is not None and first.name != origin_of(first.public):
            self._epoch_key = None
            self._tell("", "the log is not named after the key of its first epoch")

    def announce(self, vkey: str) -> None:
        """Note a key that the record to be counted next announces, "" for none."""
        self._announced = vkey or self._announced

    def claim(self, signed: int) -> None:
        """Hold against the checkpoints how many a record says were signed before it.

        Of a log at work that could not be held still, the last of them may have come after the check began.
        """
        missing = signed - self.checkpoints
        if missing > 0 and (self._due is not None or self._by_now < signed):
            self._tell(checkpoints.ALL, f"{missing} checkpoints are missing before record {self.count}")

    @cached_property
    def _by_now(self) -> int:
        """How many checkpoints there are, read after the log's end was: every line is younger than what it counts."""
        return sum(1 for _ in Notes(self._folder / checkpoints.ALL))

    def settle(self) -> None:
        """Bring the tree up to date and judge whatever ends here."""
        leaves, self._leaves = self._leaves, []
        for tile in self._edge.extend(leaves):
            self._check_tile(tile)
        if self.count in self._marks:
            root, what = self._marks.pop(self.count)
            if self._edge.root().hex() != root:
                self._tell("", what)
        while self._due is not None and self._due.size == self.count:
            self._judge(self._due)
            self._next()
        self._aim()

    def finish(self) -> None:
        """What is left when the log ends: checkpoints and marks that it does not reach."""
        self.settle()
        for size, (_, what) in sorted(self._marks.items()):
            self._tell("", f"{what}: it ends before record {size - 1}")
        if self._due is not None:
            self._tell(checkpoints.ALL, f"a checkpoint covers {self._due.size} records, and there are {self.count}")

    # -- one checkpoint --------------------------------------------------------------------------

    def _next(self) -> None:
        """Take the next checkpoint; one that is none, or out of order, is told and passed over."""
        self._due = None
        for note in self._notes:
            self.last = self._note = note
            try:
                due = Checkpoint.parse(split(note)[0])
            except NoteError as fault:
                self._tell(checkpoints.ALL, f"not a checkpoint: {fault.why}")
                self._sound = False
                continue
            if due.size <= self.latest_size:  # else it is not below `count` either: that is 0, or `latest_size`
                self._tell(checkpoints.ALL, "a checkpoint stands out of order")
                self._sound = False
                continue
            self._due = due
            break
        self._aim()

    def _aim(self) -> None:
        """The count at which something has to be judged next."""
        stops = [size for size in self._marks if size > self.count]
        if self._due is not None and self._due.size > self.count:
            stops.append(self._due.size)
        self._stop = min(stops, default=-1)

    def _judge(self, due: Checkpoint) -> None:
        self.checkpoints += 1
        self.latest_size = due.size
        why = ""
        try:
            open_checkpoint(self._note, self._key, self._signs_beside())
        except NoteError as fault:
            why = f"the checkpoint over {due.size} records does not count: {fault.why}"
        if why:
            self._tell(checkpoints.ALL, why)
        elif due.root != self._edge.root():
            why = f"the records are not those of the checkpoint over {due.size} of them"
            if not self._differs:  # whatever follows differs as well
                self._tell(checkpoints.ALL, why)
            self._differs = True
        self._sound = self._sound and not why
        if self._sound:
            self.covered, self.latest = due.size, self._note
        self._change_key()

    def _change_key(self) -> None:
        """After the checkpoint that covers an announcement the announced key is in force."""
        announced, self._announced = self._announced, ""
        if announced:
            self._epoch_key = self._parsed(announced)

    def _signs_beside(self) -> VerifierKey:
        """The epoch's key. Raises NoteError."""
        if self._epoch_key is None:
            raise NoteError("no key of its epoch is known")
        return self._epoch_key

    def _parsed(self, vkey: str) -> VerifierKey | None:
        """The key of an epoch of this log."""
        with suppress(NoteError):
            key = VerifierKey.parse(vkey)
            if key.name == self._key.name:
                return key
        self._tell("", "a key that the log announces is none of its own")
        return None

    # -- tiles -----------------------------------------------------------------------------------

    def _check_tile(self, tile: Tile) -> None:
        """A full tile that a checkpoint covers is there, and is that of the records."""
        if self._tiles is None:
            return
        found = self._tiles.stored(tile.level, tile.at)
        if found == tile.data:
            return
        if found is None and self._due is None:
            return  # no checkpoint covers it: its writer was not done
        where = f"{tiles.FOLDER}/{tile.level}/{tile.at}"
        if found is None:
            self.tiles.append((where, "a tile is missing"))
        elif tile.level or len(found) != len(tile.data):
            self.tiles.append((where, "a tile is not that of the records"))
        else:
            first = next(at for at in range(len(found)) if found[at] != tile.data[at]) // HASH_BYTES
            self.tiles.append((where, f"record {tile.at * tiles.WIDTH + first} is not the one that was counted in"))

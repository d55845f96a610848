"""What is done to a log: each kind of manipulation once, for whichever logger it makes sense.

A copy is tampered with in place. Whoever does it holds the folder and can compute whatever needs no key; kinds
about keys say which key was stolen. Kinds that only a signed log can be the victim of are done to ours alone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aigov.audit import checkpoints, keys
from aigov.audit.canonical import link
from aigov.audit.merkle import leaf_hash, root_of
from aigov.audit.note import Checkpoint, VerifierKey, sign
from aigov.crypto import public_ed25519
from benchmarks.tampering.loggers import KEY, Aigov, Line, Logger, Toolkit

OWN_KEY = b"\x07" * 32  # the forger's
Signers = list[tuple[VerifierKey, bytes]]


class World(NamedTuple):
    """One log and its relatives: `older` is the same log earlier, `fork` went on from there otherwise, `other` is
    another log of the same program and the same secret."""

    log: Path
    older: Path
    fork: Path
    other: Path


class Copy:
    """A copy of a log, to be tampered with."""

    def __init__(self, logger: Logger, world: World, folder: Path, chance: random.Random) -> None:
        self.logger = logger
        self.world = world
        self.folder = folder
        self.chance = chance
        self.paths = logger.files(folder)
        self.files = [path.read_bytes().splitlines(keepends=True) for path in self.paths]

    def any(self, first: int = 0, last: int = 0) -> tuple[list[bytes], int]:
        """A file and the number of a line in it; not of the first or last so many lines of the log."""
        places = [(file, at) for file in self.files for at in range(len(file))]
        return self.chance.choice(places[first : len(places) - last])

    def save(self) -> None:
        """Write the lines back."""
        for path, lines in zip(self.paths, self.files, strict=True):
            path.write_bytes(b"".join(lines))

    def lines(self) -> list[Line]:
        """All lines, decoded."""
        return [self.decode(line) for file in self.files for line in file]

    def decode(self, line: bytes) -> Line:
        """One line, decoded."""
        decoded: Line = json.loads(line)
        return decoded

    def bind(self, lines: Sequence[Line]) -> None:
        """Put `lines` in the place of all, everything that needs no key made anew, cut into files as before."""
        self.spread([self.logger.text(line) + b"\n" for line in self.logger.bound(lines)])

    def spread(self, lines: Sequence[bytes]) -> None:
        """Put lines into the files, as many into each as were there; what is left into the last."""
        start = 0
        for number, file in enumerate(self.files):
            end = start + len(file) if number + 1 < len(self.files) else len(lines)
            file[:], start = lines[start:end], min(end, len(lines))
        self.save()

    def where(self, *names: str) -> int:
        """The number of a line, not the first, that has a field."""
        found = [at for at, line in enumerate(self.lines()) if at and _has(line, names)]
        return self.chance.choice(found)

    def replace(self, folder: Path) -> None:
        """Put another log into this one's place."""
        shutil.rmtree(self.folder)
        shutil.copytree(folder, self.folder)


def _has(line: Line, names: Sequence[str]) -> bool:
    value: Any = line
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value is not None


def _set(line: Line, names: Sequence[str], value: object) -> None:
    for name in names[:-1]:
        line = line[name]
    line[names[-1]] = value


# -- bytes -------------------------------------------------------------------------------------------


def flip_bit(copy: Copy) -> None:
    """A bit anywhere is flipped."""
    path = copy.chance.choice(copy.paths)
    data = bytearray(path.read_bytes())
    data[copy.chance.randrange(len(data))] ^= 1 << copy.chance.randrange(8)
    path.write_bytes(data)


def change_byte(copy: Copy) -> None:
    """A byte becomes another one."""
    path = copy.chance.choice(copy.paths)
    data = bytearray(path.read_bytes())
    at = copy.chance.randrange(len(data))
    data[at] = (data[at] + copy.chance.randrange(1, 256)) % 256
    path.write_bytes(data)


def zero_page(copy: Copy) -> None:
    """512 bytes read as zeros."""
    path = copy.chance.choice(copy.paths)
    data = bytearray(path.read_bytes())
    at = copy.chance.randrange(max(1, len(data) - 512))
    data[at : at + 512] = bytes(len(data[at : at + 512]))
    path.write_bytes(data)


def cut_inside(copy: Copy) -> None:
    """The last file is cut inside of a record."""
    path = copy.paths[-1]
    os.truncate(path, path.stat().st_size - copy.chance.randrange(2, len(copy.files[-1][-1])))


def carriage_return(copy: Copy) -> None:
    """A line ends with a carriage return."""
    file, at = copy.any()
    file[at] = file[at][:-1] + b"\r\n"
    copy.save()


# -- lines -------------------------------------------------------------------------------------------


def delete_one(copy: Copy) -> None:
    """A record is deleted."""
    file, at = copy.any(1, 1)
    del file[at]
    copy.save()


def delete_range(copy: Copy) -> None:
    """Several records in a row are deleted."""
    file, at = copy.any(1, 3)
    del file[at : at + copy.chance.randrange(2, 6)]
    copy.save()


def delete_first(copy: Copy) -> None:
    """The first record is deleted."""
    del copy.files[0][0]
    copy.save()


def delete_last(copy: Copy) -> None:
    """The last record is deleted."""
    del copy.files[-1][-1]
    copy.save()


def cut_at_record(copy: Copy) -> None:
    """Everything after a record is cut off."""
    lines = [line for file in copy.files for line in file]
    copy.spread(lines[: copy.chance.randrange(1, len(lines))])


def empty(copy: Copy) -> None:
    """Every record is gone, and the files are there."""
    copy.spread([])


def repeat_one(copy: Copy) -> None:
    """A record stands twice."""
    file, at = copy.any()
    file.insert(at, file[at])
    copy.save()


def replay(copy: Copy) -> None:
    """An old record stands again at the end."""
    file, at = copy.any(0, 5)
    copy.files[-1].append(file[at])
    copy.save()


def swap_neighbours(copy: Copy) -> None:
    """Two neighbours change places."""
    file, at = copy.any()
    to = at - 1 if at else at + 1
    if to < len(file):
        file[at], file[to] = file[to], file[at]
    copy.save()


def swap_two(copy: Copy) -> None:
    """Two records change places."""
    (one, at), (two, to) = copy.any(), copy.any()
    one[at], two[to] = two[to], one[at]
    copy.save()


def move_one(copy: Copy) -> None:
    """A record is moved elsewhere."""
    file, at = copy.any()
    line = file.pop(at)
    other = copy.chance.choice(copy.files)
    other.insert(copy.chance.randrange(len(other) + 1), line)
    copy.save()


def reverse(copy: Copy) -> None:
    """The records stand in reverse order."""
    copy.spread([line for file in copy.files for line in file][::-1])


def empty_line(copy: Copy) -> None:
    """An empty line stands between records."""
    file, at = copy.any()
    file.insert(at, b"\n")
    copy.save()


def garbage_line(copy: Copy) -> None:
    """A line that is no record stands between records."""
    file, at = copy.any()
    file.insert(at, b'{"note":"nothing to see here"}\n')
    copy.save()


def appended_torn(copy: Copy) -> None:
    """Half a record is appended."""
    line = copy.files[-1][-1]
    copy.files[-1].append(line[: len(line) // 2])
    copy.save()


def splice_tail(copy: Copy) -> None:
    """From some record on, the log is another one's."""
    theirs = [line for path in copy.logger.files(copy.world.other) for line in path.read_bytes().splitlines(True)]
    ours = [line for file in copy.files for line in file]
    at = copy.chance.randrange(2, min(len(ours), len(theirs)))
    copy.spread(ours[:at] + theirs[at:])


def splice_one(copy: Copy) -> None:
    """A record of another log stands in one's place."""
    theirs = [line for path in copy.logger.files(copy.world.other) for line in path.read_bytes().splitlines(True)]
    file, at = copy.any()
    file[at] = copy.chance.choice(theirs)
    copy.save()


# -- what records say --------------------------------------------------------------------------------


def _edited(copy: Copy, names: Sequence[str], value: Callable[[Any], object]) -> list[Line]:
    lines, at = copy.lines(), copy.where(*names)
    was: Any = lines[at]
    for name in names:
        was = was[name]
    _set(lines[at], names, value(was))
    return lines


def _respread(copy: Copy, lines: Sequence[Line]) -> None:
    copy.spread([copy.logger.text(line) + b"\n" for line in lines])


def _other_verdict(was: Any) -> str:
    return "deny" if was != "deny" else "allow"


def _later(was: Any) -> str:
    return f"{int(str(was)[:4]) - 1}{str(was)[4:]}"


def edit_verdict(copy: Copy) -> None:
    """A verdict is edited."""
    _respread(copy, _edited(copy, copy.logger.verdict, _other_verdict))


def edit_verdict_and_bind(copy: Copy) -> None:
    """A verdict is edited, and all that needs no key is computed anew."""
    copy.bind(_edited(copy, copy.logger.verdict, _other_verdict))


def edit_person(copy: Copy) -> None:
    """A record is about another person."""
    _respread(copy, _edited(copy, copy.logger.who, lambda was: "0" * len(was)))


def edit_person_and_bind(copy: Copy) -> None:
    """A record is about another person, and all that needs no key is computed anew."""
    copy.bind(_edited(copy, copy.logger.who, lambda was: "0" * len(was)))


def shift_time(copy: Copy) -> None:
    """A record is dated back by a year."""
    _respread(copy, _edited(copy, copy.logger.time, _later))


def shift_all_and_bind(copy: Copy) -> None:
    """All records are dated back by a year, and all that needs no key is computed anew."""
    lines = copy.lines()
    for line in lines:
        _set(line, copy.logger.time, _later(line[copy.logger.time[0]]))
    copy.bind(lines)


def delete_and_bind(copy: Copy) -> None:
    """A record is deleted, and all that needs no key is computed anew."""
    lines = copy.lines()
    del lines[copy.chance.randrange(1, len(lines) - 1)]
    copy.bind(lines)


def insert_and_bind(copy: Copy) -> None:
    """A forged record is inserted, and all that needs no key is computed anew."""
    lines, at = copy.lines(), copy.where(*copy.logger.verdict)
    forged = dict(lines[at]) | {"call": "01a1fa5c-fb3d-7b86-90f0-b5e77d6dba59"} if "call" in lines[at] else lines[at]
    copy.bind([*lines[: at + 1], forged, *lines[at + 1 :]])


def swap_and_bind(copy: Copy) -> None:
    """Two records change places, and all that needs no key is computed anew."""
    lines = copy.lines()
    at = copy.chance.randrange(1, len(lines) - 2)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    copy.bind(lines)


def append_and_bind(copy: Copy) -> None:
    """A forged record is appended, and all that needs no key is computed anew."""
    lines = copy.lines()
    copy.bind([*lines, lines[copy.where(*copy.logger.verdict)]])


def field_twice(copy: Copy) -> None:
    """A record says its verdict twice, so that two readers see two records."""
    lines, at = copy.lines(), copy.where(*copy.logger.verdict)
    raw = [copy.logger.text(line) for line in lines]
    name = copy.logger.verdict[0].encode()
    raw[at] = b'{"' + name + b'":"deny",' + raw[at][1:]
    copy.spread([line + b"\n" for line in raw])


def field_more(copy: Copy) -> None:
    """A record gets a field that it did not have."""
    lines = copy.lines()
    lines[copy.where(*copy.logger.verdict)]["approved_by"] = "the auditor"
    _respread(copy, lines)


def respelt_and_bind(copy: Copy) -> None:
    """A record is spelt otherwise, and everything after it bound to the new spelling."""
    raw = [line[:-1] for file in copy.files for line in file]
    at = copy.chance.randrange(1, len(raw) - 1)
    made = [*raw[:at], raw[at].replace(b'":', b'": ', 1)]
    for before, line in zip(raw[at:], raw[at + 1 :], strict=False):
        made.append(line.replace(link(before).encode(), link(made[-1]).encode()))
    copy.spread([line + b"\n" for line in made])


# -- files -------------------------------------------------------------------------------------------


def drop_first_segment(copy: Copy) -> None:
    """The first segment is gone."""
    copy.paths[0].unlink()


def drop_segment(copy: Copy) -> None:
    """A segment in the middle is gone."""
    copy.chance.choice(copy.paths[1:-1]).unlink()


def drop_last_segment(copy: Copy) -> None:
    """The last segment is gone."""
    copy.paths[-1].unlink()


def drop_and_renumber(copy: Copy) -> None:
    """A segment is gone, and those after it are renumbered."""
    at = copy.chance.randrange(len(copy.paths) - 1)
    for to, path in enumerate(copy.paths[at + 1 :], at):
        path.replace(copy.paths[to])


def swap_segments(copy: Copy) -> None:
    """Two segments change places."""
    one, two = copy.chance.sample(range(len(copy.files)), 2)
    copy.files[one], copy.files[two] = copy.files[two], copy.files[one]
    copy.save()


def repeat_segment(copy: Copy) -> None:
    """A segment stands again at the end."""
    more = copy.paths[-1].with_name(f"{len(copy.paths):08d}.jsonl")
    shutil.copy(copy.chance.choice(copy.paths), more)


def stray_file(copy: Copy) -> None:
    """Records lie in a file beside the log's."""
    shutil.copy(copy.paths[0], copy.folder / f"more-{copy.chance.randrange(9)}.jsonl")


def abandoned(copy: Copy) -> None:
    """A segment is declared abandoned, so that its end is no part of the log."""
    lines = copy.lines()
    at = len(copy.files[0])
    left = lines[at] | {"kind": "segment.abandoned", "segment": 0, "bytes": len(copy.files[0][0]), "error": "EIO"}
    for name in lines[at].keys() - {"v", "kind", "seq", "prev", "id", "ts", "mono_us", "boot", "writer"}:
        del left[name]
    bound = copy.logger.bound([lines[0], left, *lines[at:]])
    raw = [copy.logger.text(line) + b"\n" for line in bound[1:]]
    copy.files[1][:0] = raw[:1]
    copy.save()


# -- whole logs --------------------------------------------------------------------------------------


def replaced(copy: Copy) -> None:
    """Another log of the same program stands in its place."""
    copy.replace(copy.world.other)


def went_back(copy: Copy) -> None:
    """The log is an older copy of itself, closed in order."""
    copy.replace(copy.world.older)


def went_elsewhere(copy: Copy) -> None:
    """A backup was put back, and the program went on from there: two histories under the same key."""
    copy.replace(copy.world.fork)


# -- checkpoints -------------------------------------------------------------------------------------


def _notes(copy: Copy) -> list[bytes]:
    return list(checkpoints.Notes(copy.folder / checkpoints.ALL))


def _put(copy: Copy, notes: Sequence[bytes], latest: bytes | None = None) -> None:
    (copy.folder / checkpoints.ALL).write_bytes(b"".join(note + b"\n" for note in notes))
    (copy.folder / checkpoints.LATEST).write_bytes((notes[-1] if notes else b"") if latest is None else latest)


def drop_latest(copy: Copy) -> None:
    """The published checkpoint is gone."""
    (copy.folder / checkpoints.LATEST).unlink()


def drop_all_checkpoints(copy: Copy) -> None:
    """The list of checkpoints is gone."""
    (copy.folder / checkpoints.ALL).unlink()


def drop_one_checkpoint(copy: Copy) -> None:
    """A checkpoint is left out."""
    notes = _notes(copy)
    del notes[copy.chance.randrange(len(notes))]
    _put(copy, notes)


def swap_checkpoints(copy: Copy) -> None:
    """Two checkpoints change places."""
    notes = _notes(copy)
    one, two = copy.chance.sample(range(len(notes)), 2)
    notes[one], notes[two] = notes[two], notes[one]
    _put(copy, notes)


def repeat_checkpoint(copy: Copy) -> None:
    """A checkpoint stands twice."""
    notes = _notes(copy)
    at = copy.chance.randrange(len(notes))
    _put(copy, [*notes[:at], notes[at], *notes[at:]])


def older_published(copy: Copy) -> None:
    """An older checkpoint is published as the latest."""
    notes = _notes(copy)
    _put(copy, notes, copy.chance.choice(notes[:-1]))


def checkpoint_bit(copy: Copy) -> None:
    """A bit of a checkpoint is flipped."""
    path = copy.folder / copy.chance.choice([checkpoints.ALL, checkpoints.LATEST])
    data = bytearray(path.read_bytes())
    data[copy.chance.randrange(len(data))] ^= 1 << copy.chance.randrange(8)
    path.write_bytes(data)


def checkpoint_size(copy: Copy) -> None:
    """A checkpoint says another size."""
    notes = _notes(copy)
    at = copy.chance.randrange(len(notes))
    lines = notes[at].split(b"\n")
    lines[1] = b"%d" % (int(lines[1]) + copy.chance.choice([-1, 1]))
    notes[at] = b"\n".join(lines)
    _put(copy, notes)


def checkpoints_of_another(copy: Copy) -> None:
    """The checkpoints are those of another log."""
    for name in (checkpoints.ALL, checkpoints.LATEST):
        shutil.copy(copy.world.other / name, copy.folder / name)


def cut_to_a_checkpoint(copy: Copy) -> None:
    """Records and checkpoints are cut back to an earlier checkpoint, so that everything fits."""
    notes = _notes(copy)
    kept = notes[: copy.chance.randrange(1, len(notes))]
    size = int(kept[-1].split(b"\n")[1])
    lines = [line for file in copy.files for line in file][:size]
    copy.spread(lines)
    for path, file in zip(copy.paths, copy.files, strict=True):
        if not file:
            path.unlink()
    _put(copy, kept)


# -- tiles -------------------------------------------------------------------------------------------


def _tile(copy: Copy) -> Path:
    return copy.folder / "tile" / "0" / "000"


def drop_tile(copy: Copy) -> None:
    """A full tile is gone."""
    _tile(copy).unlink()


def tile_bit(copy: Copy) -> None:
    """A bit of a full tile is flipped."""
    data = bytearray(_tile(copy).read_bytes())
    data[copy.chance.randrange(len(data))] ^= 1 << copy.chance.randrange(8)
    _tile(copy).write_bytes(data)


def cut_tile(copy: Copy) -> None:
    """A full tile is cut short."""
    os.truncate(_tile(copy), 32 * copy.chance.randrange(256))


def tile_of_another(copy: Copy) -> None:
    """A full tile is that of another log."""
    shutil.copy(copy.world.other / "tile" / "0" / "000", _tile(copy))


# -- keys --------------------------------------------------------------------------------------------


def _own(copy: Copy) -> VerifierKey:
    key = checkpoints.vkey(copy.world.log)
    assert key is not None
    return key


def _signed_again(copy: Copy, lines: Sequence[Line], signers: Callable[[int], Signers]) -> None:
    """Lines bound anew, and a checkpoint over as many as each old one covers, signed by `signers(its number)`."""
    bound = [copy.logger.text(line) for line in copy.logger.bound(lines)]
    copy.spread([line + b"\n" for line in bound])
    leaves, made = [leaf_hash(line) for line in bound], []
    for number, note in enumerate(_notes(copy)):
        size = min(int(note.split(b"\n")[1]), len(leaves))
        keys_of = signers(number)
        made.append(sign(Checkpoint(keys_of[0][0].name, size, root_of(leaves[:size])).text(), keys_of))
    shutil.rmtree(copy.folder / "tile")
    _put(copy, made)


def _forged(copy: Copy, name: str) -> tuple[VerifierKey, list[Line]]:
    """A key of the forger's own, published in the log and beside it, and an edited log."""
    key = VerifierKey(name, public_ed25519(OWN_KEY))
    lines = _edited(copy, copy.logger.verdict, _other_verdict)
    lines[0] |= {"origin": key.name, "key": str(key), "epoch_key": str(key)}
    for line in lines:
        if line["kind"] == "key.rotated":
            line["next"] = str(key)
    (copy.folder / checkpoints.VKEY).write_text(f"{key}\n")
    return key, lines


def signed_with_another_key(copy: Copy) -> None:
    """A verdict is edited and the whole log signed again with another key, which is published in its place."""
    key, lines = _forged(copy, _own(copy).name)
    _signed_again(copy, lines, lambda number: [(key, OWN_KEY)])


def signed_under_another_name(copy: Copy) -> None:
    """The same under a name of the forger's own."""
    key, lines = _forged(copy, keys.origin_of(public_ed25519(OWN_KEY)))
    _signed_again(copy, lines, lambda number: [(key, OWN_KEY)])


def entries_signed_with_another_secret(copy: Copy) -> None:
    """A verdict is edited and every entry signed again with another secret."""
    assert isinstance(copy.logger, Toolkit)
    lines = copy.logger.resigned(_edited(copy, copy.logger.verdict, _other_verdict), OWN_KEY)
    _respread(copy, lines)


def _stolen(copy: Copy) -> Signers:
    """The keys that lie in the folder today, opened by whoever stole the root key too: the log's, the last epoch's."""
    own = _own(copy)
    announced = [VerifierKey.parse(line["next"]) for line in copy.lines() if line["kind"] == "key.rotated"]
    return [(key, keys.load(copy.world.log, key, KEY)) for key in (own, announced[-1])]


def stolen_keys_sign_the_past(copy: Copy) -> None:
    """Whoever stole today's keys edits an early record and signs all checkpoints again with them."""
    stolen = _stolen(copy)
    lines, at = copy.lines(), 3 + copy.chance.randrange(5)
    lines[at]["mono_us"] += 1
    _signed_again(copy, lines, lambda number: stolen)


def stolen_keys_and_epochs_of_ones_own(copy: Copy) -> None:
    """The same, and every epoch's key but the first is announced anew, as one of the thief's own."""
    own = _stolen(copy)[0]
    mine = VerifierKey(own[0].name, public_ed25519(OWN_KEY))
    lines, at = copy.lines(), 3 + copy.chance.randrange(5)
    lines[at]["mono_us"] += 1
    for line in lines:
        if line["kind"] == "key.rotated":
            line["next"] = str(mine)
    _signed_again(copy, lines, lambda number: [own, (mine, OWN_KEY)])


def stolen_keys_and_a_first_epoch_of_ones_own(copy: Copy) -> None:
    """The same from the first epoch on: the genesis names a key of the thief's own."""
    own = _stolen(copy)[0]
    mine = VerifierKey(own[0].name, public_ed25519(OWN_KEY))
    lines, at = copy.lines(), 3 + copy.chance.randrange(5)
    lines[at]["mono_us"] += 1
    for line in lines:
        for field in ("epoch_key", "next"):
            line |= {field: str(mine)} if field in line else {}
    _signed_again(copy, lines, lambda number: [own, (mine, OWN_KEY)])


def _unsigned(copy: Copy, dropped: int) -> None:
    """Every checkpoint with several signatures loses one."""
    made = []
    for note in _notes(copy):
        lines = note.splitlines(keepends=True)
        if len(lines) > 5:
            del lines[4 + dropped]
        made.append(b"".join(lines))
    _put(copy, made)


def strip_epoch_signatures(copy: Copy) -> None:
    """The signatures of the epochs' keys are stripped."""
    _unsigned(copy, 1)


def strip_log_signatures(copy: Copy) -> None:
    """The signatures of the log's own key are stripped."""
    _unsigned(copy, 0)


def strip_epoch(copy: Copy) -> None:
    """A key's announcement is taken out, with the signatures of its epoch."""
    lines = copy.lines()
    rotated = [at for at, line in enumerate(lines) if line["kind"] == "key.rotated"]
    del lines[copy.chance.choice(rotated)]
    copy.bind(lines)
    _unsigned(copy, 1)


def announce_another(copy: Copy) -> None:
    """A key's announcement names a key of the forger's own."""
    lines = copy.lines()
    rotated = [at for at, line in enumerate(lines) if line["kind"] == "key.rotated"]
    lines[copy.chance.choice(rotated)]["next"] = str(VerifierKey(_own(copy).name, public_ed25519(OWN_KEY)))
    copy.bind(lines)


def published_key(copy: Copy) -> None:
    """The key in the folder is another one; whoever verifies has none from elsewhere."""
    (copy.folder / checkpoints.VKEY).write_text(f"{VerifierKey(_own(copy).name, public_ed25519(OWN_KEY))}\n")


def drop_published_key(copy: Copy) -> None:
    """The key in the folder is gone; whoever verifies has none from elsewhere."""
    (copy.folder / checkpoints.VKEY).unlink()


def edit_genesis(copy: Copy) -> None:
    """The genesis names another log or another key."""
    lines = copy.lines()
    lines[0][copy.chance.choice(["origin", "key", "epoch_key"])] += "0"
    _respread(copy, lines)


def edit_genesis_and_bind(copy: Copy) -> None:
    """The genesis names another key, and everything after it is bound anew."""
    lines = copy.lines()
    lines[0]["key"] = str(VerifierKey(_own(copy).name, public_ed25519(OWN_KEY)))
    copy.bind(lines)


def unseal(copy: Copy) -> None:
    """The seal is taken off, with the checkpoint that covers it."""
    del copy.files[-1][-1]
    copy.save()
    _put(copy, _notes(copy)[:-1])


class Kind(NamedTuple):
    """A kind of manipulation. `only`: the loggers that it can be done to, all where empty; `known`: whoever verifies
    holds a checkpoint from before; `pinned`: and the public key."""

    act: Callable[[Copy], None]
    only: tuple[type[Logger], ...] = ()
    known: bool = False
    pinned: bool = True

    @property
    def name(self) -> str:
        """What it is called on the command line and in the output."""
        return self.act.__name__.replace("_", "-")

    @property
    def says(self) -> str:
        """What is done, in a sentence."""
        return (self.act.__doc__ or "").rstrip(".")


_ALL = (
    flip_bit, change_byte, zero_page, cut_inside, carriage_return, delete_one, delete_range, delete_first, delete_last,
    cut_at_record, empty, repeat_one, replay, swap_neighbours, swap_two, move_one, reverse, empty_line, garbage_line,
    appended_torn, splice_tail, splice_one, edit_verdict, edit_verdict_and_bind, edit_person, edit_person_and_bind,
    shift_time, shift_all_and_bind, delete_and_bind, insert_and_bind, swap_and_bind, append_and_bind, field_twice,
    field_more, replaced,
)  # fmt: skip
_OURS = (
    respelt_and_bind, drop_first_segment, drop_segment, drop_last_segment, drop_and_renumber, swap_segments,
    repeat_segment, stray_file, abandoned, drop_latest, drop_all_checkpoints, drop_one_checkpoint, swap_checkpoints,
    repeat_checkpoint, older_published, checkpoint_bit, checkpoint_size, checkpoints_of_another, cut_to_a_checkpoint,
    drop_tile, tile_bit, cut_tile, tile_of_another, signed_with_another_key, signed_under_another_name,
    stolen_keys_sign_the_past, stolen_keys_and_epochs_of_ones_own, stolen_keys_and_a_first_epoch_of_ones_own,
    strip_epoch_signatures, strip_log_signatures, strip_epoch, announce_another, edit_genesis,
    edit_genesis_and_bind, unseal,
)  # fmt: skip
KINDS = (
    *(Kind(act) for act in _ALL),
    Kind(went_back, known=True),
    Kind(went_elsewhere, known=True),
    *(Kind(act, (Aigov,)) for act in _OURS),
    Kind(published_key, (Aigov,), pinned=False),
    Kind(drop_published_key, (Aigov,), pinned=False),
    Kind(entries_signed_with_another_secret, (Toolkit,)),
)

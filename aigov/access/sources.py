"""Files that the policy names, read once and never from outside of the policy folder.

Invariants:
* A name is relative, has no `..`, and what it resolves to (links followed) lies in the folder.
* A file is read whole in one go, is UTF-8 and bounded; a byte order mark and Windows line ends are
  taken off, any other character that does not print is refused with its place.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import msgspec

from aigov.errors import Location, PolicyError, Problem

MAX_MODEL_BYTES = 1 << 16
MAX_POLICY_BYTES = 1 << 26


class Text(msgspec.Struct, frozen=True):
    """A file's lines without their ends. `file` is how errors name it, `name` how the policy does."""

    name: str
    file: str
    lines: tuple[str, ...]

    def at(self, line: int, column: int = 1) -> Location:
        """The place of a character; line and column count from 1."""
        return Location(self.file, line, column)

    def problem(self, line: int, column: int, what: str, fix: str = "") -> Problem:
        """A problem at a place of this file."""
        return Problem(self.at(line, column), what, fix)


def resolve(folder: Path, name: str) -> Path | None:
    """The file `name` below `folder`, or None where the name could lead out of it."""
    windows = PureWindowsPath(name)
    parts = PurePosixPath(name).parts
    if not parts or windows.drive or windows.root or "\\" in name or "\0" in name or ".." in parts:
        return None
    try:
        home = folder.resolve()
        path = (home / name).resolve()
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(home) else None


def read(folder: Path, name: str, limit: int) -> Text:
    """The text of `name` below `folder`. Raises PolicyError: missing, outside, too large, not UTF-8, empty."""
    file = str(folder / name)
    path = resolve(folder, name)
    if path is None:
        raise PolicyError(
            Problem(Location(file), "leads out of the policy folder", "name a file below it, without `..`")
        )
    data, why = _bytes(path, limit)
    if why:
        raise PolicyError(Problem(Location(file), why, f"put a readable file of at most {limit} bytes there"))
    text = _decoded(data, file)
    if not text.strip():
        raise PolicyError(Problem(Location(file), "the file is empty", "an empty file decides nothing"))
    found = Text(name, file, tuple(line.removesuffix("\r") for line in text.split("\n")))
    problems = _unprintable(found)
    if problems:
        raise PolicyError(problems)
    return found


def _bytes(path: Path, limit: int) -> tuple[bytes, str]:
    """The file's bytes and "", or nothing and what is wrong."""
    try:
        if not path.is_file():
            return b"", "no such file"
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError:
        return b"", "the file cannot be read"
    return (b"", "the file is too large") if len(data) > limit else (data, "")


def _decoded(data: bytes, file: str) -> str:
    """The text without a byte order mark. Raises PolicyError at the first byte that is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
    line = before.count(b"\n") + 1
    column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
    raise PolicyError(Problem(Location(file, line, column), "not UTF-8", "save the file as UTF-8"))


def _unprintable(text: Text) -> list[Problem]:
    """Tabs aside, a character that nobody sees lets a reader see another rule than the one in force."""
    problems = []
    for number, line in enumerate(text.lines, 1):
        if not line.isprintable():
            column = next((at for at, char in enumerate(line, 1) if char != "\t" and not char.isprintable()), 0)
            if column:
                what = f"character U+{ord(line[column - 1]):04X} does not print"
                problems.append(text.problem(number, column, what, "take it out"))
    return problems[:50]

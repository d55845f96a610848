"""A distribution's RECORD: what was installed, and whether it is still that.

The digest of a distribution is SHA-256 over the sorted `path,hash` rows of its RECORD: modules, data,
METADATA, WHEEL and entry points. Rows that the installer adds for itself (who installed it, from where,
compiled files, scripts that name the interpreter) are left out, so that one wheel has one digest on every
machine and with every installer.

Invariants:
* Every file with a row has the content that the row says; every importable file below the packages has a
  row; a compiled file that the interpreter would run is the compiled form of its source.
* An editable installation has no such record of its sources: its digest is over the sources themselves,
  under another name, so that neither can pass for the other.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import marshal
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import SOURCE_SUFFIXES, all_suffixes
from importlib.metadata import Distribution
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path, PurePosixPath
from typing import NamedTuple

STRONG = frozenset({"sha256", "sha384", "sha512"})
NAMED_IN_DIGEST = frozenset({"METADATA", "WHEEL", "entry_points.txt"})
IMPORTABLE = tuple(all_suffixes())
CACHE = "__pycache__"
PYC_HEADER = 16


class Unverified(Exception):
    """A distribution that is not what its RECORD says; the message says what and where."""


class Row(NamedTuple):
    """One line of a RECORD: a path below the installation folder, the hash's name, its value in base64."""

    path: str
    algorithm: str
    value: str

    @property
    def inside(self) -> bool:
        """Whether it lies below the installation folder."""
        path = PurePosixPath(self.path)
        return not path.is_absolute() and ".." not in path.parts

    @property
    def importable(self) -> bool:
        return self.path.endswith(IMPORTABLE)


def rows(distribution: Distribution) -> tuple[Row, ...]:
    """The lines of a RECORD. Raises Unverified where there is none."""
    text = distribution.read_text("RECORD")
    if not text:
        raise Unverified("has no RECORD; install it from a wheel")
    found = []
    for fields in csv.reader(text.splitlines()):
        if not fields:
            continue
        if len(fields) != 3 or not fields[0]:
            raise Unverified("has a RECORD that is cut off or malformed")
        algorithm, _, value = fields[1].partition("=")
        found.append(Row(fields[0].replace("\\", "/"), algorithm, value))
    return tuple(found)


def record_digest(distribution: Distribution) -> str:
    """`sha256:` and 64 hex digits: what the lock pins. Raises Unverified."""
    lines = sorted(f"{row.path},{row.algorithm}={row.value}" for row in rows(distribution) if _pinned(row))
    return _digest("record", lines)


def is_editable(distribution: Distribution) -> bool:
    """Whether the distribution is installed as a link to a source folder (PEP 610)."""
    text = distribution.read_text("direct_url.json")
    try:
        about = json.loads(text) if text else {}
        return bool(about.get("dir_info", {}).get("editable", False))
    except (ValueError, AttributeError):
        return True  # what cannot be read is taken for the weaker of the two


def verify(distribution: Distribution) -> Mapping[Path, str]:
    """The importable files of a distribution, each checked against its row. Raises Unverified."""
    root = Path(str(distribution.locate_file(""))).resolve()
    files: dict[Path, str] = {}
    for row in rows(distribution):
        if not row.value:
            if row.importable and CACHE not in row.path and row.inside:
                raise Unverified(f"has no hash for `{row.path}`")
            continue
        path = root / row.path
        _check(path, row)
        if row.importable and row.inside:
            files[path] = row.path
    _check_packages(root, files)
    return files


def importable(distribution: Distribution) -> frozenset[Path]:
    """The importable files that a distribution's RECORD names, unread."""
    root = Path(str(distribution.locate_file(""))).resolve()
    return frozenset(root / row.path for row in rows(distribution) if row.importable and row.inside)


def source_digest(folder_or_file: Path) -> str:
    """The digest of an editable plugin: over the importable files of its package, or of its one module."""
    files = sorted(_importable(folder_or_file)) if folder_or_file.is_dir() else [folder_or_file]
    lines = []
    for path in files:
        _check_compiled(path)
        lines.append(f"{path.relative_to(folder_or_file.parent).as_posix()},{_hash(path, 'sha256').hex()}")
    return _digest("editable", lines)


def _pinned(row: Row) -> bool:
    if not row.value or not row.inside:
        return False
    if row.algorithm not in STRONG:
        raise Unverified(f"has no strong hash for `{row.path}`")
    first = PurePosixPath(row.path).parts[0]
    return not first.endswith(".dist-info") or PurePosixPath(row.path).name in NAMED_IN_DIGEST


def _digest(kind: str, lines: Iterable[str]) -> str:
    text = "\n".join([f"aigov plugin {kind} 1", *lines]) + "\n"
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check(path: Path, row: Row) -> None:
    if row.algorithm not in STRONG:
        raise Unverified(f"has no strong hash for `{row.path}`")
    try:
        found = base64.urlsafe_b64encode(_hash(path, row.algorithm)).decode().rstrip("=")
    except OSError:
        found = ""
    if not found:
        raise Unverified(f"has lost `{row.path}`")
    if found != row.value.rstrip("="):
        raise Unverified(f"has a changed file: `{row.path}`")


def _hash(path: Path, algorithm: str) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).digest()


def _check_packages(root: Path, files: Mapping[Path, str]) -> None:
    """Nothing importable was added to a package, and nothing compiled stands in for a source."""
    packages = {path.parent for path in files if path.name == "__init__.py"}
    tops = {package for package in packages if package.parent not in packages}
    for top in sorted(tops):
        for path in _importable(top):
            if path not in files:
                raise Unverified(f"has a file that its RECORD does not name: `{path.relative_to(root).as_posix()}`")
    for path in files:
        _check_compiled(path)


def _importable(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_symlink() and path.is_dir():  # it could stand before a module of the same name, unread by us
            raise Unverified(f"has a linked folder: `{path.name}`")
        if path.name.endswith(IMPORTABLE) and path.parent.name != CACHE:
            yield path


def _check_compiled(path: Path) -> None:
    """Refuse a cached `.pyc` that the interpreter would run in place of the source but that is not its own."""
    if not path.name.endswith(tuple(SOURCE_SUFFIXES)):
        return
    compiled = Path(cache_from_source(str(path)))
    try:
        cached = compiled.read_bytes()
    except OSError:
        return
    source = path.read_bytes()
    if cached[:4] == MAGIC_NUMBER and _current(cached, source, path) and not _same(cached, source, path):
        raise Unverified(f"has a compiled file that is not its source's: `{compiled.name}`")


def _current(cached: bytes, source: bytes, path: Path) -> bool:
    """Whether the interpreter takes a compiled file for up to date (PEP 552)."""
    flags = int.from_bytes(cached[4:8], "little")
    if flags & 0b1:
        return not flags & 0b10 or cached[8:16] == source_hash(source)
    status = path.stat()
    wanted = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    return (int.from_bytes(cached[8:12], "little"), int.from_bytes(cached[12:16], "little")) == wanted


def _same(cached: bytes, source: bytes, path: Path) -> bool:
    try:
        code = marshal.loads(cached[PYC_HEADER:])
        return bool(code == compile(source, str(path), "exec", dont_inherit=True))
    except (ValueError, EOFError, TypeError, SyntaxError):
        return False

"""Keeps counts of what was decided in a local file, for a dashboard to read.

Settings, under `plugins:` in the policy:

    plugins: {acme-counts: {file: ../acme-counts.json}}

The file is JSON, `{"format": "acme-counts/1", "counts": {...}}`: how many records of each kind, and under
`verdict.deny` and so on how many carry which verdict (a call has an intent and an outcome). It is replaced as a
whole after every record, so that a reader never sees half of it. A path is taken from the policy folder, and must
lie outside of it. `{pid}` in it becomes the process id: several processes that share a policy need a file each.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from aigov.hookspecs import Context, hookimpl
from aigov.types import Section

Count = Annotated[int, msgspec.Meta(ge=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`file`: where the counts go."""

    file: str = "../acme-counts.json"


class Tally(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file's content."""

    format: Literal["acme-counts/1"] = "acme-counts/1"
    counts: dict[str, Count] = {}


class Counts:
    """The observer, built for one loaded policy. It goes on from what the file says."""

    def __init__(self, path: Path, counts: Mapping[str, int]) -> None:
        self._path = path
        self._counts = Counter(counts)

    @hookimpl
    def aigov_observe(self, record: Mapping[str, Any]) -> None:
        """Count one record, and replace the file."""
        self._counts[str(record["kind"])] += 1
        if "verdict" in record:
            self._counts[f"verdict.{record['verdict']}"] += 1
        _replace(self._path, msgspec.json.encode(Tally(counts=dict(sorted(self._counts.items())))))


class _Factory:
    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> object:
        folder = context.folder.resolve()
        path = (folder / settings.value.file.replace("{pid}", str(os.getpid()))).resolve()
        if not settings.value.file or path.is_dir() or not path.parent.is_dir():
            raise settings.error("file", what="the counts have no place", fix="name a file in a folder that exists")
        if path.is_relative_to(folder):
            fix = "name a file outside of it, such as ../acme-counts.json: a policy is not to change as it is used"
            raise settings.error("file", what="the counts would lie in the policy folder", fix=fix)
        counts = _read(path)
        if counts is None:
            raise settings.error("file", what="the file is there and holds no counts", fix="name another, or move it")
        return Counts(path, counts)


def _read(path: Path) -> Mapping[str, int] | None:
    """What the file counts so far; none where it is missing, None where it is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tally).counts
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


plugin = _Factory()

"""A policy folder into one checked `Draft`.

Invariants:
* One layer: exactly one `*.yaml` or `*.yml` directly in the folder. Files below it belong to guards.
* `digest` covers the name and content of every regular file in the folder and below, links followed,
  but for `cases/`, `examples/`, the lockdown state, hidden files and what editors leave behind.
* What cannot be read is a `PolicyError`, never an empty policy.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from aigov.errors import Location, PolicyError, Problem
from aigov.policy import nodes
from aigov.policy.draft import Draft, headed
from aigov.policy.nodes import shown

MAX_BYTES = 1_000_000
MAX_FILES = 2_000
MAX_FOLDER_DEPTH = 8
MAX_FOLDER_BYTES = 256_000_000
LOCKDOWN = "lockdown"
APART = frozenset({"cases", "examples"})
_LEFTOVER = re.compile(r"\..*|.*~|#.*#|.*\.sw[a-p]|__pycache__|4913", re.DOTALL)


def read(folder: str | Path) -> Draft:
    """The policy in `folder`. Raises PolicyError with every problem of its files, form and header."""
    root = Path(folder)
    path = _only_layer(root)
    node, head = headed(nodes.parse(_text(path), str(path)))
    return Draft(file=str(path), root=node, layer=head.layer, name=head.name, digest=digest(root))


def digest(folder: str | Path) -> str:
    """SHA-256 in hex over the names and contents of all files that the policy is made of."""
    root = Path(folder)
    whole = hashlib.sha256(b"aigov policy 1\n")
    for name in files(root):
        content = hashlib.sha256(_bytes(root / name, MAX_FOLDER_BYTES)).digest()
        encoded = name.encode("utf-8", "surrogateescape")
        whole.update(len(encoded).to_bytes(4, "big") + encoded + content)
    return whole.hexdigest()


def files(folder: str | Path) -> tuple[str, ...]:
    """The files that the policy is made of, as sorted paths below `folder` with forward slashes."""
    root = Path(folder)
    found = sorted(_walk(root, "", 1))
    if len(found) > MAX_FILES:
        raise PolicyError(Problem(Location(str(root)), f"over {MAX_FILES} files", "keep only the policy's own files"))
    return tuple(found)


def _only_layer(root: Path) -> Path:
    layers = [root / name for name in _names(root) if name.lower().endswith((".yaml", ".yml"))]
    if not layers:
        fix = "write one, or run `aigov init` for a starter policy"
        raise PolicyError(Problem(Location(str(root)), "no `*.yaml` file lies directly in the policy folder", fix))
    if len(layers) > 1:
        names = ", ".join(shown(path.name) for path in layers[:5])
        what = f"a second layer: {names}; this version reads exactly one"
        raise PolicyError(Problem(Location(str(layers[1])), what, "merge them, or move the others to another folder"))
    return layers[0]


def _names(root: Path) -> list[str]:
    """The names of what lies directly in a folder, sorted, leftovers apart."""
    try:
        found = sorted(os.listdir(root))
    except OSError as error:
        why = _why(error)
    else:
        return [name for name in found if not _LEFTOVER.fullmatch(name)]
    fix = "check the path and its permissions, or run `aigov init` for a starter policy"
    raise PolicyError(Problem(Location(str(root)), f"the policy folder {why}", fix))


def _walk(root: Path, below: str, depth: int) -> Iterator[str]:
    if depth > MAX_FOLDER_DEPTH:
        raise PolicyError(Problem(Location(str(root / below)), f"folders nested over {MAX_FOLDER_DEPTH} deep"))
    for name in _names(root / below):
        if depth == 1 and (name == LOCKDOWN or name in APART):
            continue
        path = f"{below}{name}"
        mode = _stat(root / path).st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(root, f"{path}/", depth + 1)
        elif stat.S_ISREG(mode):
            yield path
        else:
            raise PolicyError(Problem(Location(str(root / path)), "not a regular file", "move it out of the folder"))


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        why = _why(error)
    raise PolicyError(Problem(Location(str(path)), why))


def _bytes(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes."""
    found = _stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise PolicyError(Problem(Location(str(path)), "not a regular file", "put a file of text there"))
    if found.st_size > limit:
        raise PolicyError(Problem(Location(str(path)), f"over {limit} bytes", "make it smaller"))
    try:
        return path.read_bytes()
    except OSError as error:
        why = _why(error)
    raise PolicyError(Problem(Location(str(path)), why, "check its permissions"))


def _text(path: Path) -> str:
    """The file as text; a leading byte order mark is accepted and dropped."""
    data = _bytes(path, MAX_BYTES)
    if not data.strip():
        raise PolicyError(Problem(Location(str(path)), "the file is empty", "begin it with `aigov: 1`"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start
    before = data[:start].decode("utf-8-sig", "ignore")
    raise PolicyError(
        Problem(nodes.place_of(before, len(before), str(path)), "not UTF-8", "save the file with the encoding UTF-8")
    )


def _why(error: OSError) -> str:
    words = {
        FileNotFoundError: "is missing",
        NotADirectoryError: "is not a folder",
        PermissionError: "may not be read",
    }
    return words.get(type(error), f"cannot be read ({os.strerror(error.errno or 0).lower()})")

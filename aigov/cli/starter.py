"""The starter policy: where it lies, and writing it into a folder without touching what is there.

Invariants:
* Nothing is overwritten; a file is there whole or not at all.
* A folder that has a layer of its own does not get a second one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import aigov.crypto
from aigov.cli.exits import cannot
from aigov.policy import lockdown

LAYER = "organisation.yaml"
PACKAGED = "starter/policies"
IGNORED: Mapping[str, set[str]] = {  # what is not for version control, and how else a file may say so
    "keys/": {"keys", "/keys/", "/keys"},
    "/audit/": {"audit", "audit/", "/audit"},
    "/audit.*": set[str](),
    "/review/tickets.db*": {"review", "review/", "/review/", "/review"},
    "/vault/values.db*": {"vault", "vault/", "/vault/", "/vault"},
}
THERE = ("kept", "it is there")


class Step(NamedTuple):
    """One thing that `write` did: `path` relative to the folder; `done` is added or kept; `why` it was kept."""

    path: str
    done: str
    why: str = ""


def starter_folder() -> Path:
    """The starter policy: inside the installed package, or the checkout's own `policies` folder."""
    package = Path(aigov.crypto.__file__).parent
    for candidate in (package / PACKAGED, package.parent / "policies"):
        if (candidate / LAYER).is_file():
            return candidate
    raise cannot("the starter policy is missing from this installation; install the package again")


def write(folder: Path) -> list[Step]:
    """Put the starter policy, a key and the ignore line into `folder`. Raises Stop where it cannot."""
    try:
        return [*_policies(folder / "policies"), *_keys(folder), *_ignore(folder)]
    except OSError as error:
        where, why = error.filename or folder, error.strerror or "unknown fault"
    raise cannot(f"cannot write `{where}`: {why}")


def _policies(target: Path) -> Iterator[Step]:
    source = starter_folder()
    own_layer = next(iter(sorted((*target.glob("*.yaml"), *target.glob("*.yml")))), None)
    for file in sorted(path for path in source.rglob("*") if _belongs(path)):
        name = file.relative_to(source)
        if str(name) == LAYER and own_layer is not None and own_layer.name != LAYER:
            yield Step(f"policies/{name}", "kept", f"`{own_layer.name}` is the layer here")
        else:
            yield Step(f"policies/{name}", *_copy(file, target / name))


def _belongs(path: Path) -> bool:
    """A file of the policy itself: no state, and nothing that an editor left."""
    return path.is_file() and path.name != lockdown.FILE and not path.name.startswith(".") and path.suffix != ".pyc"


def _copy(source: Path, target: Path) -> tuple[str, str]:
    """Copy beside the target and link into place: a crash leaves no half a file, a race overwrites nothing."""
    if os.path.lexists(target):
        return THERE
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, beside)
    try:
        os.link(beside, target)
    except FileExistsError:
        return THERE
    finally:
        beside.unlink()
    return "added", ""


def _keys(folder: Path) -> Iterator[Step]:
    added = aigov.crypto.KeyRing.create(folder / "keys")
    yield Step("keys/root.key", *(("added", "") if added else THERE))


def _ignore(folder: Path) -> Iterator[Step]:
    """Keep the key, the record, the tickets and the vault out of version control."""
    path = folder / ".gitignore"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    named = {line.strip() for line in text.splitlines()}
    missing = [line for line, others in IGNORED.items() if not named & {line, *others}]
    if not missing:
        yield Step(".gitignore", "kept", "it names what is not for version control")
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(("" if not text or text.endswith("\n") else "\n") + "\n".join(missing) + "\n")
    yield Step(".gitignore", "added", "")

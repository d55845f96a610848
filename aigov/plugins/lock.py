"""`plugins.lock`: which plugins may be loaded, and for which hooks. Strictly read, plainly written.

Invariants:
* Every entry names distribution, version, digest and hooks; an unknown, repeated or missing key, an alias
  or a value of another shape is a `PolicyError` with file, line and column.
* A missing lock means that nothing is loaded. The policy digest tells a missing lock from an empty one.
* A lock is written whole or not at all.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import yaml

from aigov.crypto import digest
from aigov.errors import Location, PolicyError, Problem
from aigov.hookspecs import CONTRIBUTE, OBSERVE, REGISTER

FORMAT = "1"
MAX_BYTES = 200_000
MAX_DEPTH = 8
LOCK_COMMAND = "aigov plugins lock"
GRANTABLE = (REGISTER | CONTRIBUTE | OBSERVE) - {"aigov_settings", "aigov_start"}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SHAPES = {
    "distribution": re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*"),
    "digest": re.compile(r"sha256:[0-9a-f]{64}"),
    "editable": re.compile(r"true|false"),
}
REQUIRED = ("distribution", "version", "digest", "hooks")
HEADER = f"""\
# Plugins that may be loaded, and the hooks that each was granted. A plugin that is installed but not named
# here is never imported. Written by `{LOCK_COMMAND}`; look at a plugin's code before you lock it.
"""


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin of the lock. `digest` is `sha256:` and 64 hex digits; `where` is its place in the lock."""

    name: str
    distribution: str
    version: str
    digest: str
    hooks: tuple[str, ...]
    editable: bool = False
    where: Location = Location("plugins.lock")


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that was read: its pins by name, and the hex SHA-256 of the file (of nothing where it is missing)."""

    path: Path
    pins: Mapping[str, Pin]
    digest: str
    present: bool


class _Problems:
    """Problems found in one file."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self.found: list[Problem] = []

    def where(self, node: yaml.Node) -> Location:
        return Location(self._path, node.start_mark.line + 1, node.start_mark.column + 1)

    def add(self, node: yaml.Node, what: str, fix: str = "") -> None:
        self.found.append(Problem(self.where(node), what, fix))


def read_lock(path: Path) -> Lock:
    """Read a lock. Raises PolicyError with every problem found."""
    data = _bytes(path)
    if data is None:
        return Lock(path=path, pins=MappingProxyType({}), digest=digest(b""), present=False)
    root = _composed(path, data)
    problems = _Problems(path)
    pins = _pins(root, problems)
    if problems.found:
        raise PolicyError(problems.found)
    return Lock(path=path, pins=MappingProxyType(pins), digest=digest(data), present=True)


def write(path: Path, pins: Iterable[Pin]) -> None:
    """Write a lock atomically, sorted by name. Raises OSError where the folder cannot be written."""
    entries = [_entry(pin) for pin in sorted(pins, key=lambda pin: pin.name)]
    text = HEADER + f"aigov: {FORMAT}\n" + ("plugins:\n" + "".join(entries) if entries else "plugins: {}\n")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".plugins.lock.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _entry(pin: Pin) -> str:
    lines = [
        f"  {pin.name}:",
        f"    distribution: {pin.distribution}",
        f"    version: {pin.version}",
        f"    digest: {pin.digest}",
        f"    hooks: [{', '.join(sorted(pin.hooks))}]",
        *(["    editable: true  # follows a source folder: for development only"] if pin.editable else []),
    ]
    return "\n".join(lines) + "\n"


def _bytes(path: Path) -> bytes | None:
    """The lock's bytes, None where there is no such file. Anything else that cannot be read is an error."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        what, data = f"cannot be read: {error.strerror}", b""
    else:
        what = "is too large" if len(data) > MAX_BYTES else ""
    if what:
        raise PolicyError(Problem(Location(str(path)), f"the lock {what}", f"write it with `{LOCK_COMMAND}`"))
    return data


class _Loader(yaml.SafeLoader):
    """Composes nodes of a few levels, without aliases. PyYAML alone takes quadratic time over `[[[[…`."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node; refused at the first alias or level too many."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self.depth += 1
        if isinstance(event, yaml.AliasEvent) or self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _composed(path: Path, data: bytes) -> yaml.Node | None:
    """The file as nodes, which keep line and column and build no object."""
    where, what = Location(str(path)), "the lock is not plain YAML"
    try:
        return _Loader(data.decode("utf-8")).get_single_node()
    except UnicodeDecodeError:
        what = "the lock is not UTF-8"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        if mark is not None:
            where = Location(str(path), mark.line + 1, mark.column + 1)
    except yaml.YAMLError:  # a control character, which has no line
        pass
    raise PolicyError(Problem(where, what, f"write it with `{LOCK_COMMAND}`"))


def _pins(root: yaml.Node | None, problems: _Problems) -> dict[str, Pin]:
    if root is None:
        problems.found.append(
            Problem(Location(problems._path), "the lock is empty", "write `aigov: 1` and `plugins: {}`")
        )
        return {}
    top = _mapping(root, problems, ("aigov", "plugins"), ("aigov", "plugins"))
    if "aigov" in top and _scalar(top["aigov"]) != FORMAT:
        problems.add(top["aigov"], "unknown format of the lock", f"this version reads `aigov: {FORMAT}`")
    if "plugins" not in top:
        return {}
    entries = _mapping(top["plugins"], problems)
    return {name: pin for name, node in entries.items() if (pin := _pin(name, node, problems)) is not None}


def _pin(name: str, node: yaml.Node, problems: _Problems) -> Pin | None:
    if not NAME.fullmatch(name):
        problems.add(node, f"`{name}` is no name of a plugin", "lower-case letters, digits and single hyphens")
        return None
    before = len(problems.found)
    fields = _mapping(node, problems, (*SHAPES, "hooks"), REQUIRED)
    values = {key: _value(key, fields[key], problems) for key in SHAPES if key in fields}
    hooks = _hooks(fields["hooks"], problems) if "hooks" in fields else ()
    if len(problems.found) > before:
        return None
    return Pin(
        name=name,
        distribution=values["distribution"],
        version=values["version"],
        digest=values["digest"],
        hooks=hooks,
        editable=values.get("editable") == "true",
        where=problems.where(node),
    )


def _value(key: str, node: yaml.Node, problems: _Problems) -> str:
    text = _scalar(node)
    if text is None or not SHAPES[key].fullmatch(text):
        problems.add(node, f"`{key}` has the wrong form", f"expected `{SHAPES[key].pattern}`")
        return ""
    return text


def _hooks(node: yaml.Node, problems: _Problems) -> tuple[str, ...]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        problems.add(
            node, "`hooks` is not a list of hooks", "a plugin that is granted nothing has no place in the lock"
        )
        return ()
    hooks: list[str] = []
    for item in node.value:
        hook = _scalar(item)
        if hook not in GRANTABLE:
            near = get_close_matches(hook or "", sorted(GRANTABLE), n=1)
            problems.add(
                item, f"`{hook}` is not a hook", f"did you mean `{near[0]}`?" if near else "see docs/plugins.md"
            )
        elif hook in hooks:
            problems.add(item, f"`{hook}` is granted twice", "name it once")
        else:
            hooks.append(str(hook))
    return tuple(sorted(hooks))


def _mapping(
    node: yaml.Node, problems: _Problems, known: tuple[str, ...] = (), required: tuple[str, ...] = ()
) -> dict[str, yaml.Node]:
    """The entries of a mapping node by key; unknown, repeated and missing keys are problems."""
    if not isinstance(node, yaml.MappingNode):
        problems.add(node, "expected a mapping", f"write it with `{LOCK_COMMAND}`")
        return {}
    found: dict[str, yaml.Node] = {}
    for key_node, value in node.value:
        key = _scalar(key_node)
        if key is None or (known and key not in known):
            near = get_close_matches(key or "", known, n=1)
            problems.add(key_node, f"unknown key `{key}`", f"did you mean `{near[0]}`?" if near else "take it out")
        elif key in found:
            problems.add(key_node, f"key `{key}` stands twice", "keep one")
        else:
            found[key] = value
    for key in required:
        if key not in found:
            problems.add(node, f"key `{key}` is missing", f"write it with `{LOCK_COMMAND}`")
    return found


def _scalar(node: yaml.Node) -> str | None:
    """The text of a scalar as it stands in the file: `1.10` stays `1.10`. None for anything else."""
    return node.value if isinstance(node, yaml.ScalarNode) else None

"""Plugins that are installed: found by entry point, held against the lock, imported only if they match.

Invariants:
* Nothing is imported before its pin, its digest, each of its files and the place that it would be
  imported from have been checked.
* What is installed and not locked is listed, and left alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Container, Iterable, Mapping
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from aigov.errors import Location, PolicyError, Problem
from aigov.hookspecs import ENTRY_POINTS, Context
from aigov.plugins.hooks import Registry
from aigov.plugins.lock import GRANTABLE, LOCK_COMMAND, NAME, Lock, Pin, read_lock, write
from aigov.plugins.record import Unverified, importable, is_editable, record_digest, source_digest, verify
from aigov.plugins.starting import within_limit
from aigov.types import Section

LOADED = "__aigov_digest__"


class Installed(NamedTuple):
    """One installed plugin. `value` is its entry point, `module:attribute`; nothing of it is imported."""

    name: str
    distribution: str
    version: str
    value: str
    editable: bool
    entry: EntryPoint

    def row(self) -> dict[str, Any]:
        """The plain facts, for tables and JSON."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "entry_point": self.value,
            "editable": self.editable,
        }


class Found(NamedTuple):
    """What is installed, next to what the lock names.

    `locked` passed every check; `refused` is named by the lock and did not, `problems` say why and
    `factories` raises them. `unlocked` is installed and will not be loaded.
    """

    lock: Lock
    locked: tuple[Installed, ...]
    refused: tuple[Installed, ...]
    unlocked: tuple[Installed, ...]
    problems: tuple[Problem, ...]

    @property
    def installed(self) -> tuple[Installed, ...]:
        """Every installed plugin, by name."""
        return tuple(
            sorted((*self.locked, *self.refused, *self.unlocked), key=lambda one: (one.name, one.distribution))
        )

    @property
    def pins(self) -> Mapping[str, Pin]:
        """The lock's entries by plugin name."""
        return self.lock.pins

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the lock file."""
        return self.lock.digest

    def factories(self) -> Mapping[str, object]:
        """Import the locked plugins: their factories by name. Raises PolicyError with every problem found."""
        problems = list(self.problems)
        factories: dict[str, object] = {}
        for plugin in self.locked:
            where = self.pins[plugin.name].where
            try:
                factories[plugin.name] = _factory(plugin, self.pins[plugin.name].digest, where)
            except PolicyError as error:
                problems += error.problems
        if problems:
            raise PolicyError(problems)
        return MappingProxyType(factories)


def discover(lock_path: Path) -> Found:
    """The plugins that are installed and those that the lock names; imports nothing.

    Raises PolicyError for a lock that cannot be read. A missing lock names nothing.
    """
    lock = read_lock(lock_path)
    everything = [_installed(entry) for entry in entry_points(group=ENTRY_POINTS)]
    locked: list[Installed] = []
    refused: list[Installed] = []
    problems: list[Problem] = []
    for pin in lock.pins.values():
        plugin = _chosen(everything, pin)
        what = _mismatch(plugin, pin)
        if plugin is not None:
            (refused if what else locked).append(plugin)
        if what:
            fix = f"install what is locked, or look at the plugin and run `{LOCK_COMMAND}`"
            problems.append(Problem(pin.where, f"plugin `{pin.name}` {what}", fix))
    named = {(pin.name, _normal(pin.distribution)) for pin in lock.pins.values()}
    unlocked = [one for one in everything if (one.name, _normal(one.distribution)) not in named]
    return Found(lock, tuple(locked), tuple(refused), tuple(unlocked), tuple(problems))


def write_lock(
    path: Path,
    found: Found,
    names: Iterable[str] | None = None,
    *,
    grants: Mapping[str, Iterable[str]] = MappingProxyType({}),
    editable: bool = False,
    drop: Iterable[str] = (),
) -> Lock:
    """Pin installed plugins as they are now, and write the lock.

    `names`: which to pin; other entries stay as they are, but for those in `drop`. Without `names` the lock
    becomes what is installed, all of it and nothing else. `grants`: hooks by plugin; without an entry, those
    that the plugin answers, for which it is imported and started with its default settings. `editable`: pin
    installations that follow a source folder too. Raises PolicyError for a plugin that is not installed,
    not whole, or that cannot start.
    """
    wanted = sorted(({one.name for one in found.installed} if names is None else set(names)) - set(drop))
    pins = {name: pin for name, pin in found.pins.items() if names is not None and name not in {*drop, *wanted}}
    problems: list[Problem] = []
    for name in wanted:
        try:
            pins[name] = _pin(path, found, name, grants.get(name), editable)
        except PolicyError as error:
            problems += error.problems
    if problems:
        raise PolicyError(problems)
    write(path, pins.values())
    return read_lock(path)


def check_settings(kind: Any) -> str:
    """What is wrong with a settings struct, "" where nothing is: strict, frozen, every field with a default."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return "is no msgspec struct"
    if not kind.__struct_config__.frozen or not kind.__struct_config__.forbid_unknown_fields:
        return "is not `frozen=True, forbid_unknown_fields=True`"
    required = [field.name for field in msgspec.structs.fields(kind) if field.required]
    return f"has no default for `{required[0]}`" if required else ""


def _installed(entry: EntryPoint) -> Installed:
    distribution = _distribution(entry)
    return Installed(
        entry.name, distribution.name or "", distribution.version, entry.value, is_editable(distribution), entry
    )


def _distribution(entry: EntryPoint) -> Distribution:
    if entry.dist is None:  # only entry points made by hand have none
        raise TypeError("an entry point without a distribution")
    return entry.dist


def _chosen(everything: Iterable[Installed], pin: Pin) -> Installed | None:
    for one in everything:
        if one.name == pin.name and _normal(one.distribution) == _normal(pin.distribution):
            return one
    return None


def _normal(distribution: str) -> str:
    return distribution.replace("_", "-").replace(".", "-").lower()


def _mismatch(plugin: Installed | None, pin: Pin) -> str:
    """Why an installed plugin is not what was pinned, "" where it is."""
    if plugin is None:
        return f"is locked, but `{pin.distribution}` is not installed or has no such plugin"
    if plugin.version != pin.version:
        return f"is locked at version {pin.version}, but version {plugin.version} is installed"
    if plugin.editable and not pin.editable:
        return "is installed from a source folder, which its entry does not allow with `editable: true`"
    if pin.editable and not plugin.editable:
        return "is locked as `editable: true`, but is not installed from a source folder"
    try:
        changed = _digest(plugin) != pin.digest
    except Unverified as error:
        return str(error)
    return "is not what was locked: its digest differs" if changed else ""


def _digest(plugin: Installed) -> str:
    """The digest of what is installed, its files verified. Raises Unverified."""
    files = verify(_distribution(plugin.entry))
    if not plugin.editable:
        _check_origin(plugin, files)
        return record_digest(_distribution(plugin.entry))
    return source_digest(_sources(plugin))


def _check_origin(plugin: Installed, known: Container[Path]) -> None:
    """Refuse a plugin whose module would be imported from another file than the verified one."""
    origin = _origin(plugin)
    if origin not in known:
        raise Unverified(f"would be imported from `{origin.name}` outside of its distribution")


def _origin(plugin: Installed) -> Path:
    """The file that would be run first: the package or module below whatever namespaces there are."""
    parts = plugin.entry.module.split(".")
    for end in range(1, len(parts) + 1):
        origin = _file(".".join(parts[:end]))
        if origin:
            return Path(origin).parent.resolve() / Path(origin).name
    raise Unverified(f"has no module `{plugin.entry.module}`")


def _file(module: str) -> str | None:
    """The file of a module that is loaded or would be; None for a namespace, whose finding runs no code."""
    loaded = sys.modules.get(module)
    if loaded is not None:
        return getattr(loaded, "__file__", None)
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None and spec.has_location else None


def _sources(plugin: Installed) -> Path:
    origin = _origin(plugin)
    return origin.parent if origin.name == "__init__.py" else origin


def _factory(plugin: Installed, digest: str, where: Location) -> object:
    """Import one plugin whose digest was checked, and look at what it answers about its settings."""

    def load() -> object:
        factory: Any = plugin.entry.load()
        what = _imported(plugin, digest, sys.modules[plugin.entry.module])
        if not what:
            hooks = Registry().register(plugin.name, factory, where)
            kind = hooks["aigov_settings"]() if "aigov_settings" in hooks else None
            what = check_settings(kind)
            what = what and f"has a settings struct that {what}"
        if what:
            raise PolicyError(Problem(where, f"plugin `{plugin.name}` {what}", "see docs/plugins.md"))
        return factory

    return within_limit(plugin.name, where, "it was imported", load)


def _imported(plugin: Installed, digest: str, module: Any) -> str:
    """Whether the module that is loaded is the one that was checked, "" where it is.

    The module is marked with its digest: Python keeps what it has loaded, so that after an upgrade in
    place a policy that is loaded again would otherwise vouch for new files and run old code.
    """
    path = Path(module.__file__ or "")
    if not plugin.editable and path.parent.resolve() / path.name not in importable(_distribution(plugin.entry)):
        return "was imported from elsewhere than its distribution; look for a module of the same name"
    if getattr(module, LOADED, digest) != digest:
        return "is loaded in this process in another version; restart the process"
    setattr(module, LOADED, digest)
    return ""


def _pin(path: Path, found: Found, name: str, granted: Iterable[str] | None, editable: bool) -> Pin:
    """One plugin as it is installed now. Raises PolicyError."""
    where = Location(str(path))
    plugin = _only(found.installed, name, where)
    if plugin.editable and not editable:
        fix = "install it from a wheel; for development, lock it with `--editable`"
        raise PolicyError(Problem(where, f"plugin `{name}` follows a source folder", fix))
    try:
        digest, problem = _digest(plugin), ""
    except Unverified as error:
        digest, problem = "", str(error)
    if problem:
        raise PolicyError(Problem(where, f"plugin `{name}` {problem}", "install it anew"))
    hooks = tuple(sorted(granted)) if granted is not None else _answered(plugin, digest, where)
    for hook in hooks:
        if hook not in GRANTABLE:
            raise PolicyError(Problem(where, f"`{hook}` is not a hook", "see docs/plugins.md"))
    return Pin(
        name=name, distribution=plugin.distribution, version=plugin.version, digest=digest, hooks=hooks,
        editable=plugin.editable, where=where,
    )  # fmt: skip


def _only(installed: Iterable[Installed], name: str, where: Location) -> Installed:
    found = [one for one in installed if one.name == name]
    if len(found) == 1 and NAME.fullmatch(name):
        return found[0]
    if not found:
        raise PolicyError(Problem(where, f"plugin `{name}` is not installed", "install its distribution first"))
    if len(found) > 1:
        raise PolicyError(Problem(where, f"plugin `{name}` is in {len(found)} distributions", "keep one of them"))
    raise PolicyError(Problem(where, f"plugin `{name}` has no plain name", "rename its entry point"))


def _answered(plugin: Installed, digest: str, where: Location) -> tuple[str, ...]:
    """The hooks that a plugin answers when it is started with its default settings."""
    factory = _factory(plugin, digest, where)

    def start() -> tuple[str, ...]:
        asked = Registry().register(plugin.name, factory, where)
        section = Section(asked["aigov_settings"]()(), "", lambda *path: where)
        started = Registry().register(plugin.name, asked["aigov_start"](section, _trial(where)), where)
        return tuple(sorted((asked.keys() | started.keys()) & GRANTABLE))

    return within_limit(plugin.name, where, "it was started with its default settings", start)


def _trial(where: Location) -> Context:
    """A context for a trial start: keys that open nothing."""
    return Context(folder=Path(where.file).parent, key=lambda label: hashlib.sha256(label.encode()).digest())

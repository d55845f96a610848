"""What `aigov doctor` looks at: one function a question, each answering ok, warn or fail.

Invariants:
* A check changes nothing that stays; the file that it writes into the audit folder is gone when it ends.
* A check that cannot be made is a `fail` that says so, never silence.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aigov.access.check import warnings
from aigov.access.choice import COMPILED
from aigov.audit import head, places
from aigov.audit.head import HeadAltered
from aigov.audit.subjects import beside
from aigov.cli import DISTRIBUTION, show, switching
from aigov.crypto import ROOT_KEY, KeyRing
from aigov.errors import AuditUnavailable, GuardFault, PolicyError, ReviewError
from aigov.governor import Governor
from aigov.policy import lockdown
from aigov.snapshot import Loaded, load
from aigov.stores import LOG_LABEL

OLDEST = (3, 11)
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")

How = Literal["ok", "warn", "fail"]


class Check(NamedTuple):
    """One answer. `fix` says what to do where `how` is not ok; `short` is `found` for people, where it is long."""

    name: str
    how: How
    found: str
    fix: str = ""
    short: str = ""


def all_checks(policies: Path, audit: Path) -> Iterator[Check]:
    """Every check, the environment first."""
    yield python()
    yield from distributions()
    yield casbin()
    yield keys(policies)
    yield from policy(policies)
    yield record(audit)
    yield from log(policies, audit)
    yield reviews(policies)


def python() -> Check:
    """The interpreter is one that the package supports."""
    found = platform.python_version()
    if sys.version_info >= OLDEST:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "use Python 3.11 or newer")


def distributions() -> Iterator[Check]:
    """The package and everything it requires are installed."""
    try:
        own = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        yield Check(DISTRIBUTION, "warn", "runs from a folder, not installed", "run `pip install .` in the clone")
        return
    yield Check(DISTRIBUTION, "ok", own.version)
    missing, versions = [], []
    for line in own.requires or ():
        name = _name(line)
        if "extra ==" in line:
            continue
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Check("requirements", "fail", "missing: " + ", ".join(missing), "install the package again")
    else:
        yield Check("requirements", "ok", ", ".join(versions), short=f"{len(versions)} installed, none missing")


def _name(requirement: str) -> str:
    """The distribution that a requirement names."""
    found = _REQUIREMENT.match(requirement)
    return found[0] if found else requirement


def casbin() -> Check:
    """The old distribution `casbin` is not there: its files overwrite those of pycasbin."""
    try:
        old = importlib.metadata.version("casbin")
    except importlib.metadata.PackageNotFoundError:
        return Check("casbin", "ok", "pycasbin alone")
    fix = "uninstall `casbin` and whatever requires it, then install pycasbin again"
    return Check("casbin", "fail", f"`casbin` {old} is installed over pycasbin", fix)


def keys(policies: Path) -> Check:
    """The root key beside the policy folder is there, whole, and its owner's alone."""
    folder = policies.parent / "keys"
    try:
        KeyRing.load(folder)
    except PolicyError as error:
        return Check("keys", "fail", error.problems[0].what, error.problems[0].fix)
    if os.name == "posix" and stat.S_IMODE(folder.stat().st_mode) & 0o022:
        return Check("keys", "warn", "others may write to the folder", f"run `chmod 700 {folder}`")
    return Check("keys", "ok", str(folder / ROOT_KEY))


def policy(policies: Path) -> Iterator[Check]:
    """The policy and its plugins load, and nothing is locked down."""
    try:
        loaded = load(policies, KeyRing.generate())
    except PolicyError as error:
        first = error.problems[0]
        more = f" (and {len(error.problems) - 1} more)" if len(error.problems) > 1 else ""
        yield Check("policy", "fail", f"{first.where}: {first.what}{more}", first.fix or "run `aigov policy check`")
        return
    loaded.snapshot.guards.close()
    yield Check("policy", "ok", f"{loaded.name}, {loaded.snapshot.digest[:12]}")
    yield access(loaded)
    yield encoder(loaded)
    if lockdown.active(policies):
        yield Check("lockdown", "warn", "everything is refused", "run `aigov policy lift` when it is over")
    else:
        yield Check("lockdown", "ok", "off")


def access(loaded: Loaded) -> Check:
    """Which engine decides who may do what, and why; and whether anything in its files is suspicious."""
    started: Any = loaded.snapshot.guards.started["access"]
    engine = "the compiled engine" if started.choice.name == COMPILED else started.choice.name
    found = f"{engine} decides: {started.choice.why}"
    suspicious = sum(1 for _ in warnings(started.policy, started.settings))
    if suspicious:
        return Check("access", "warn", f"{found}; warnings: {suspicious}", "run `aigov access check`")
    if started.choice.name != COMPILED:
        return Check("access", "warn", found, "simplify the matcher, or live with the time that Casbin takes")
    return Check("access", "ok", found)


def encoder(loaded: Loaded) -> Check:
    """Whether models read texts, and what that costs here."""
    started: Any = loaded.snapshot.guards.started["encoder"]
    if started.readers is None:
        return Check("encoder", "ok", "off: names of people and places are found by other recognisers alone, if at all")
    try:
        cost = started.cost()
    except GuardFault as fault:
        return Check("encoder", "fail", f"it broke: {fault.code}", "install the package again")
    names = ", ".join(one.name for one in started.readers.each)
    return Check("encoder", "ok", f"{names}: {cost.chars} characters take {cost.ms:.0f} ms here")


def record(audit: Path) -> Check:
    """The audit folder, or the one that it will be made in, takes a file and keeps it."""
    folder = next(path for path in (audit, *audit.absolute().parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".aigov-doctor-") as file:
            file.write(b"aigov")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fix = "give the program a folder of its own to write to"
        return Check("audit folder", "fail", f"{folder}: {error.strerror or 'cannot be written'}", fix)
    where = places.unsafe(folder)
    if where:
        return Check("audit folder", "warn", f"{folder} is {where}", "keep the record on a local disk")
    return Check("audit folder", "ok", f"{audit}" + ("" if folder == audit else " (will be made)"))


def log(policies: Path, audit: Path) -> Iterator[Check]:
    """The log that is there goes on under this key, and the table of its people opens. Nothing where there is none."""
    try:
        ring = KeyRing.load(policies.parent / "keys")
    except PolicyError:
        return
    found, why = None, ""
    try:
        found = head.read(audit, ring.derive(LOG_LABEL))
        if beside(audit).exists():
            switching.people(policies.parent / "keys", audit).refs("nobody")
    except (HeadAltered, AuditUnavailable) as error:
        why = str(error)
    except OSError as error:
        why = f"cannot be read: {error.strerror or 'unknown fault'}"
    if why:
        fix = "run `aigov audit verify`; put back the key or the files that belong to it, or begin a new folder"
        yield Check("log", "fail", why, fix)
    elif found is not None:
        yield Check("log", "ok", f"{show.counted(found.records, 'record')}, last signed {found.ts[:19]}")


def reviews(policies: Path) -> Check:
    """The ticket store can be read."""
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            Governor.from_policies(policies, audit=Path(folder, "log")) as gov,
        ):
            waiting = len(gov.reviews("pending"))
            spoilt = len(gov.reviews("tampered"))
    except PolicyError:
        return Check("reviews", "fail", "not looked at: keys or policy cannot be used", "mend those first")
    except ReviewError as error:
        return Check("reviews", "fail", str(error), "put back a copy of the ticket store")
    if spoilt:
        return Check(
            "reviews", "fail", f"{spoilt} tickets were tampered with", "run `aigov review list --state tampered`"
        )
    return Check("reviews", "ok", f"{waiting} waiting")

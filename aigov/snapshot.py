"""From a policy folder to the snapshot that decides: read, load plugins, start every guard, compile.

Steps of `load`:
1. read the layer, and find the plugins that `plugins.lock` pins;
2. decode every guard's section and every plugin's settings, and refuse keys that nobody knows;
3. start plugins, then the built-in guards, each with keys of its own;
4. bind what they contribute into one snapshot.

Every step's problems are a PolicyError; nothing half loaded is ever in force.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from aigov.access.adapters import Rows, rows_of
from aigov.access.grounds import Explainer
from aigov.access.guard import plugin as access
from aigov.audit import records
from aigov.audit.guard import plugin as audit
from aigov.audit.log import Receipt
from aigov.audit.subjects import Subjects
from aigov.crypto import KeyRing
from aigov.encoder.guard import EncoderGuard
from aigov.encoder.guard import plugin as encoder
from aigov.errors import AuditUnavailable, Location, PolicyError, Problem
from aigov.hookspecs import Context, hookimpl
from aigov.passage import Reading, Snapshot
from aigov.plugins import Declared, Guards, Pin, assemble, discover
from aigov.policy import lockdown
from aigov.policy.decide import Decider
from aigov.policy.draft import Draft
from aigov.policy.guard import plugin as rules
from aigov.policy.source import digest, files, read
from aigov.privacy.explain import Explained
from aigov.privacy.guard import plugin as privacy
from aigov.privacy.session import Session
from aigov.review.guard import plugin as review
from aigov.sanitise.guard import plugin as sanitise
from aigov.text.parts import Limits
from aigov.types import (
    Direction,
    Edit,
    Facts,
    Finding,
    Part,
    Principal,
    Reader,
    Reason,
    Ruling,
    Section,
    Verdict,
)

Report = Callable[[str, str, int], None]
LOCK = "plugins.lock"


class Gate:
    """Refuses everything while the policy folder is locked down: a guard like any other, without settings."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @hookimpl
    def aigov_reasons(self) -> tuple[str, ...]:
        """The one reason of a lockdown."""
        return ("lockdown.active",)

    @hookimpl
    def aigov_permit(self, principal: Principal, action: str, resource: str) -> list[Ruling]:
        """DENY for as long as the folder says so."""
        if lockdown.active(self._folder):
            return [Ruling(verdict=Verdict.DENY, reason=Reason(code="lockdown.active"))]
        return []


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of a guard that has none."""


class _GatePlugin:
    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        return NoSettings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> Gate:
        return Gate(context.folder)


GATE = "lockdown"
BUILT_IN: Mapping[str, Any] = MappingProxyType(
    {
        GATE: _GatePlugin(),
        "access": access,
        "encoder": encoder,
        "privacy": privacy,
        "sanitise": sanitise,
        "rules": rules,
        "review": review,
        "audit": audit,
    }
)
SECTIONS = tuple(name for name in BUILT_IN if name != GATE)
REQUIRED = frozenset({"access"})


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, and what the governor itself needs of the policy that it came from."""

    snapshot: Snapshot
    name: str
    audit: Any
    expires_s: int
    review_path: Path
    stamp: tuple[Any, ...]
    open_vault: Callable[[str, Principal | None, bool], Session]
    kept_vaults: Callable[[str, str | None], list[Session]] | None
    forget: Callable[[str, str | None], int]
    kept: Callable[[], tuple[int, int]]
    decrypt: Callable[[str], str]
    explain: Callable[[str, Sequence[Finding]], list[Explained]]
    sections: Mapping[str, Section]
    pins: tuple[Pin, ...] = ()

    def announced(self) -> tuple[records.Record, ...]:
        """The records that say that this policy is in force, and with which plugins."""
        guards = self.snapshot.guards
        activated = records.PolicyActivated(
            policy=self.snapshot.digest, plugins=guards.digest, layer=self.snapshot.layer, name=self.name
        )
        return activated, *(
            records.PluginLoaded(plugin=pin.name, version=pin.version, digest=pin.digest, hooks=pin.hooks)
            for pin in self.pins
        )

    def knowing(self, people: Subjects, unrecorded: Callable[[str], None]) -> Loaded:
        """The same, with the people of the log that its records go to; `unrecorded` is told why one has no name."""
        refer, relate = _heard(people.refer, unrecorded), _heard(people.relate, unrecorded)
        snapshot = msgspec.structs.replace(self.snapshot, refer=refer, relate=relate, knows=people.knows)
        return msgspec.structs.replace(self, snapshot=snapshot)

    def rules_of(self, adapter: Any) -> Rows:
        """The rules of access that a Casbin adapter has now. Raises PolicyError."""
        sentry: Any = self.snapshot.guards.started["access"]
        return rows_of(adapter, sentry.policy.model)

    def unrecorded(self, why: str) -> None:
        """Tell people why nothing can be recorded."""
        people: Any = self.snapshot.guards.started["audit"]
        people.unrecorded(why)

    def observe(self, record: Any, receipt: Receipt) -> None:
        """Tell the observers of a record that is durable."""
        self.snapshot.guards.observe({"id": receipt.id, **msgspec.to_builtins(record)})


def load(folder: Path, keys: KeyRing, report: Report | None = None, access_rules: Rows | None = None) -> Loaded:
    """The snapshot of the policy in `folder`. Raises PolicyError with every problem found.

    `report(name, code, count)` is told, from a thread of its own, when an observer broke. `access_rules`:
    what an adapter brought, in the place of the Casbin policy in the folder; part of the policy's digest.
    """
    seen = stamp(folder)
    draft = read(folder)  # 1
    found = discover(folder / LOCK)
    plugins = found.factories()
    sections = decode(draft, plugins)  # 2
    declared = [Declared()]
    described = frozenset(key for each in sections["access"].value.resources.values() for key in each)

    readers: list[Reader] = []

    def start(name: str, factory: Any) -> object:  # 3
        context = Context(
            folder=folder, key=lambda label: keys.derive(f"{name}/{label}"), entities=declared[-1].entities,
            recognizers=declared[-1].recognizers if name == "privacy" else (),
            operators=declared[-1].operators if name == "privacy" else (), resource_attributes=described,
            access_rules=access_rules if name == "access" else None,
            readers=tuple(readers) if name in ("privacy", "sanitise") else (),
        )  # fmt: skip
        started: object = factory.aigov_start(settings=sections[name], context=context)
        if isinstance(started, EncoderGuard) and started.readers is not None:
            readers.extend(started.readers.each)
        return started

    guards = assemble(BUILT_IN, plugins, start, pins=found.pins, declared=declared.append, report=report)
    if digest(folder) != draft.digest:  # a file that a guard read may not be the file that was hashed
        guards.close()
        raise PolicyError(Problem(Location(str(folder)), "the policy changed while it was read", "read it again"))
    if access_rules is not None:
        both = draft.digest.encode() + msgspec.json.encode(access_rules)
        draft = msgspec.structs.replace(draft, digest=hashlib.sha256(both).hexdigest())
    return _bound(folder, draft, guards, sections, seen, tuple(found.pins.values()))  # 4


def decode(draft: Draft, plugins: Mapping[str, Any]) -> Mapping[str, Section]:
    """Every section and plugin setting of a draft, decoded. Raises PolicyError with all problems at once."""
    out: dict[str, Section] = {GATE: Section(NoSettings(), draft.layer, draft.locate)}
    problems: list[Problem] = []
    decoders: list[tuple[str, Callable[[], Section]]] = []
    for name in SECTIONS:
        kind = BUILT_IN[name].aigov_settings()
        decoders.append((name, lambda name=name, kind=kind: draft.section(name, kind, name in REQUIRED)))  # type: ignore[misc]
    for name, factory in plugins.items():
        decoders.append((name, lambda name=name, factory=factory: draft.settings(name, factory.aigov_settings())))  # type: ignore[misc]
    for name, decoded in decoders:
        try:
            out[name] = decoded()
        except PolicyError as error:
            problems += error.problems
    try:
        draft.finish(SECTIONS, tuple(plugins))
    except PolicyError as error:
        problems += error.problems
    if problems:
        raise PolicyError(problems)
    return out


def stamp(folder: Path) -> tuple[Any, ...]:
    """Names, sizes and times of every file that a policy is made of: differs when one of them may."""
    try:
        return tuple(_stat(folder, name) for name in files(folder))
    except PolicyError as error:
        return (str(error),)


def _stat(folder: Path, name: str) -> tuple[Any, ...]:
    try:
        status = os.stat(folder / name)
    except OSError:
        return (name,)
    return name, status.st_size, status.st_mtime_ns, status.st_ino


def _bound(
    folder: Path,
    draft: Draft,
    guards: Guards,
    sections: Mapping[str, Section],
    seen: tuple[Any, ...],
    pins: tuple[Pin, ...],
) -> Loaded:
    """Step 4: what was started, as the snapshot that calls are taken through."""
    sane, waiting = sections["sanitise"].value, sections["review"].value
    guard: Any = guards.started["privacy"]
    sentry: Any = guards.started["access"]
    snapshot = Snapshot(
        layer=draft.layer,
        digest=draft.digest,
        guards=guards,
        decider=Decider(tuple((judge.name, judge) for judge in guards.judge if judge.trusted), draft.digest),
        limits=Limits(max_chars=sane.max_chars, max_depth=sane.max_depth, opaque=frozenset(sane.opaque), numbers=True),
        admit=guard.admit,
        redactions=_Redactions(guard),
        reveals=_Reveals(guard, sections["access"].value.trust_roles),
        refer=_unknown,
        relate=_unknown,
        knows=lambda *_: False,
        keeps=sections["audit"].value.keep.directions,
        now_us=lambda: time.time_ns() // 1000,
        timer=time.perf_counter_ns,
        describe=sentry.describe,
        grounds=Explainer(sentry),
        reading=_reading(guards),
    )
    return Loaded(
        snapshot=snapshot,
        name=draft.name,
        audit=sections["audit"].value,
        expires_s=waiting.expires_s,
        review_path=waiting.store_path(folder),
        stamp=seen,
        open_vault=guard.session,
        kept_vaults=guard.sessions if sections["privacy"].value.vault is not None else None,
        forget=guard.forget,
        kept=guard.kept,
        decrypt=guard.decrypt,
        explain=guard.explain,
        sections=MappingProxyType(dict(sections)),
        pins=pins,
    )


def _reading(guards: Guards) -> Reading | None:
    """How models read texts for these guards; None where there are none."""
    encoder: Any = guards.started["encoder"]
    sane: Any = guards.started["sanitise"]
    if encoder.readers is None:
        return None
    nobody: frozenset[str] = frozenset()
    telling = frozenset(one.name for one in encoder.readers.each if one.entities)
    every = telling.union(one.name for one in encoder.readers.each if one.hostility)

    def wants(part: Part, direction: Direction) -> frozenset[str]:
        if part.number:
            return nobody
        return every if sane.judges(part, direction) else telling

    return Reading(wants=wants, run=encoder.readers.ask, shown=encoder.readers.shown)


def _heard(ask: Callable[..., str], told: Callable[[str], None]) -> Callable[..., str]:
    """`ask`, with `told` hearing why there is no answer."""

    def asked(*whose: str) -> str:
        try:
            return ask(*whose)
        except AuditUnavailable as fault:
            told(fault.why)
            raise

    return asked


def _unknown(*_: str) -> str:
    """Nobody is known before there is a log that knows them: a policy that was only looked at records nothing."""
    raise AuditUnavailable("there is no log")


class _Reveals:
    """Who may see values of a type, by the roles that count: those asserted, where the policy trusts them."""

    def __init__(self, guard: Any, trust_roles: bool) -> None:
        self._guard, self._trust = guard, trust_roles

    def __call__(self, principal: Principal, entity: str, own: bool) -> bool:
        return bool(self._guard.reveals(entity, principal.roles if self._trust else (), own=own))


class _Redactions:
    """The edits that take personal values out of one text, without a call: who denies or wants review, hides."""

    def __init__(self, guard: Any) -> None:
        self._guard = guard

    def __call__(self, findings: tuple[Finding, ...]) -> tuple[Edit, ...]:
        nobody = Principal(id="nobody")
        facts = Facts(
            direction="input", action="redact", resource="text", principal=nobody, findings=findings, parts={"": 0}
        )
        rulings = self._guard.aigov_judge(facts)
        hidden = {ruling.reason.rule for ruling in rulings if ruling.verdict > Verdict.TRANSFORM}
        edits = [edit for ruling in rulings for edit in ruling.edits]
        edits += (_hide(finding) for finding in findings if finding.type in hidden)
        return tuple(edits)


def _hide(finding: Finding) -> Edit:
    return Edit(
        part=0, start=finding.start, end=finding.end, type=finding.type, action="replace", guard="privacy",
        score=finding.score,
    )  # fmt: skip

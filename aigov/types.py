"""The values that travel along the path of a call.

Invariants:
* Every value is frozen; combining verdicts is `max`, so nothing that is added can loosen one.
* A value that holds content (`Part`, `Facts`) shows sizes in its repr, never the content.
* Offsets are code points of the text as it was given, end exclusive.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from aigov.errors import Location, PolicyError, Problem

Direction = Literal["input", "output"]
Attribute = str | int | float | bool
Step = str | int


class Verdict(enum.IntEnum):
    """What a rule asks for, from loosest to strictest. Combine with `max`; DENY absorbs."""

    ALLOW = 0
    TRANSFORM = 1
    REVIEW = 2
    DENY = 3

    @classmethod
    def named(cls, name: str) -> Verdict:
        """The verdict called `name` in a policy file: allow, transform, review or deny."""
        return cls[name.upper()]


class Principal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks. `roles` are what the application asserts; `on_behalf_of` is whom an agent acts for.

    Raises TypeError or ValueError for an empty or non-text id, so that nobody acts as "".
    """

    id: str
    roles: tuple[str, ...] = ()
    tenant: str = ""
    attributes: Mapping[str, Attribute] = MappingProxyType({})
    on_behalf_of: Principal | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not isinstance(self.tenant, str):
            raise TypeError("a principal's id and tenant are text")
        if not self.id:
            raise ValueError("a principal needs an id")
        if isinstance(self.roles, str) or not all(isinstance(role, str) for role in self.roles):
            raise TypeError("a principal's roles are a tuple of text")
        if self.on_behalf_of is not None and not isinstance(self.on_behalf_of, Principal):
            raise TypeError("on_behalf_of is a Principal")
        msgspec.structs.force_setattr(self, "roles", tuple(self.roles))
        msgspec.structs.force_setattr(self, "attributes", MappingProxyType(dict(self.attributes)))

    @property
    def chain(self) -> tuple[tuple[str, str], ...]:
        """Id and tenant of this principal and of each that it acts for, nearest first: who is who."""
        found: list[tuple[str, str]] = []
        each: Principal | None = self
        while each is not None:
            found.append((each.id, each.tenant))
            each = each.on_behalf_of
        return tuple(found)

    def __hash__(self) -> int:
        return hash((self.id, self.roles, self.tenant))

    def __repr__(self) -> str:
        return f"Principal(roles={len(self.roles)}, tenant={bool(self.tenant)})"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One text-bearing place in a call. `path` is a JSON pointer; a trailing `#` means the member's key.

    `number`: the text is a whole number as its digits, not text in the call itself.
    """

    path: str
    text: str
    role: str = ""
    number: bool = False

    def __repr__(self) -> str:
        return f"Part(chars={len(self.text)}, role={self.role!r})"


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something noticed in a part: what, where, how sure (0 to 1) and by whom. Never the text itself."""

    kind: str
    type: str
    start: int
    end: int
    score: float
    detector: str
    path: str = ""

    def __repr__(self) -> str:
        return f"Finding({self.kind} {self.type} {self.start}:{self.end} {self.score:.2f} by {self.detector})"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model sees an entity in a text, and how sure it is, 0 to 1. Offsets are those of that text."""

    type: str
    start: int
    end: int
    score: float


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a model reads in one text: entities by place, how likely it is an attack (0 to 1), what it means.

    `vector`: an array of unit length (float32), or None where the model gives none or there was nothing to read.
    """

    spans: tuple[Span, ...] = ()
    hostility: float = 0.0
    vector: Any = None

    def __repr__(self) -> str:
        return f"Reading(spans={len(self.spans)}, hostility={self.hostility:.2f})"


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """A model as guards are handed it: its name, the types that it tells, whether it judges hostility, and itself."""

    name: str
    entities: frozenset[str]
    hostility: bool
    read: Callable[[str], Reading]


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why: a declared code, the rule, entity or guard that asked for it, and the policy layer."""

    code: str
    rule: str = ""
    layer: str = ""


class Edit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A span to be replaced. `guard` renders the replacement by `action`; `part` is the part's index.

    `form`: how the span is written, set by `text.shapes`: "" as it stands, `s2` in a JSON string inside of another,
    `n1` as a JSON number.
    """

    part: int
    start: int
    end: int
    type: str
    action: str
    guard: str
    score: float = 1.0
    form: str = ""


class Ruling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one guard, rule or plugin asks for. In shadow it is recorded and changes nothing."""

    verdict: Verdict
    reason: Reason
    edits: tuple[Edit, ...] = ()
    shadow: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The outcome of one look at a call. `reasons` are those at the effective verdict, strictest first."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    edits: tuple[Edit, ...] = ()
    shadow: tuple[Ruling, ...] = ()
    policy_digest: str = ""

    @property
    def allowed(self) -> bool:
        """Whether the call may go on now: ALLOW, or TRANSFORM with its edits made."""
        return self.verdict <= Verdict.TRANSFORM


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a decision may look at. `rulings` are those already made (access, plugins).

    `findings[i].path` names the part; `parts` maps that path to the part's index for edits.
    `confidence` is the lowest that an answer states of itself, 0 to 1; `now_us` is UTC in microseconds.
    `resource_attributes` are what the policy says of the resource, read-only all the way down.
    """

    direction: Direction
    action: str
    resource: str
    principal: Principal
    args: Mapping[str, Any] = MappingProxyType({})
    findings: tuple[Finding, ...] = ()
    parts: Mapping[str, int] = MappingProxyType({})
    rulings: tuple[Ruling, ...] = ()
    confidence: float | None = None
    now_us: int = 0
    resource_attributes: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"Facts({self.direction}, findings={len(self.findings)}, rulings={len(self.rulings)})"


Judge = Callable[[Facts], Iterable[Ruling]]


class Section(msgspec.Struct, frozen=True):
    """One decoded policy section and where each of its entries stands, for errors found later."""

    value: Any
    layer: str
    locate: Callable[..., Location]

    def problem(self, *path: Step, what: str, fix: str = "") -> Problem:
        """A problem at the entry reached by `path` inside the section."""
        return Problem(self.locate(*path), what, fix)

    def error(self, *path: Step, what: str, fix: str = "") -> PolicyError:
        """The same as an exception, for a builder that stops at its first problem."""
        return PolicyError(self.problem(*path, what=what, fix=fix))

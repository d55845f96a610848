"""From a principal to the questions that a model is asked.

Invariants:
* Text that could mean something else to a file, a log or a reader (control and invisible characters,
  no text at all, more than fits a name) is never asked with; it is a refusal with its own code.
* A principal cannot become a role by being called like one: an id that is a role's name is refused.
* The roles that an application asserts count only where the policy trusts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from aigov.access.resources import Described, Value
from aigov.access.settings import (
    ACTION,
    ATTRIBUTE,
    EPOCH,
    HOUR,
    RESOURCE,
    RESOURCE_ATTRIBUTE,
    SUBJECT,
    TENANT,
    WEEKDAY,
    BreakGlass,
)
from aigov.types import Attribute, Principal

MALFORMED = "access.malformed"
AMBIGUOUS = "access.ambiguous_id"
ATTRIBUTE_MISSING = "access.attribute_missing"
CHAIN_TOO_LONG = "access.chain_too_long"
BREAK_GLASS_INVALID = "access.break_glass_invalid"
MAX_CHARS = 1024
MAX_SKEW_SECONDS = 60
MAX_ROLES = 256
MAX_CHAIN = 8
Request = tuple[Value, ...]


class Unaskable(Exception):
    """A question that is refused before any rule is looked at; `code` is the reason."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def chain(principal: Principal) -> tuple[Principal, ...]:
    """The principal, whom it acts for, and so on. Raises Unaskable where that does not end."""
    found = [principal]
    while found[-1].on_behalf_of is not None:
        if len(found) == MAX_CHAIN:
            raise Unaskable(CHAIN_TOO_LONG)
        found.append(found[-1].on_behalf_of)
    return tuple(found)


def requests(
    principal: Principal,
    action: str,
    resource: str,
    *,
    fields: Sequence[str],
    roles: frozenset[str],
    trust_roles: bool,
    now: float,
    described: Described,
) -> Iterator[Request]:
    """One request a subject, values in the order of `fields`. Raises Unaskable before the first.

    `roles`: the names that are roles in the policy, so that nobody may have them as an id. `now`: seconds
    since 1970, UTC. `described`: the resource's attributes.
    """
    asserted = principal.roles if trust_roles else ()
    if len(asserted) > MAX_ROLES or not all(map(_is_name, (principal.id, action, resource, *asserted))):
        raise Unaskable(MALFORMED)
    if principal.tenant and not _is_name(principal.tenant):
        raise Unaskable(MALFORMED)
    if principal.id in roles:
        raise Unaskable(AMBIGUOUS)
    values: dict[str, Value] = {RESOURCE: resource, ACTION: action, TENANT: principal.tenant}
    for source in fields:
        if source.startswith(ATTRIBUTE):
            values[source] = _attribute(principal, source.removeprefix(ATTRIBUTE))
        elif source.startswith("clock."):
            values[source] = clock(source, now)
        elif source.startswith(RESOURCE_ATTRIBUTE):
            held = described.get(source.removeprefix(RESOURCE_ATTRIBUTE))
            if held is None:
                raise Unaskable(ATTRIBUTE_MISSING)
            values[source] = held
    subjects = dict.fromkeys((principal.id, *asserted))
    return iter([tuple(subject if source == SUBJECT else values[source] for source in fields) for subject in subjects])


def instead(request: Request, fields: Sequence[str], subject: str) -> Request:
    """The same question about another subject."""
    return tuple(subject if source == SUBJECT else held for source, held in zip(fields, request, strict=True))


def emergency(principal: Principal, settings: BreakGlass, now: float) -> str:
    """The reason that the principal states for taking emergency rights, "" where it takes none.

    It is stated in two attributes: `break_glass`, one of the policy's reasons, and `break_glass_at`, when
    it was stated, in seconds since 1970. Raises Unaskable for a statement that does not hold.
    """
    stated = principal.attributes.get("break_glass")
    if settings.role and settings.role in principal.roles:
        # Rights that are asserted like any role would need no reason, and the record would not tell.
        raise Unaskable(BREAK_GLASS_INVALID)
    if not settings.role or stated is None:
        return ""
    at = principal.attributes.get("break_glass_at")
    fresh = isinstance(at, int | float) and now - settings.minutes * 60 < at <= now + MAX_SKEW_SECONDS
    if not isinstance(stated, str) or stated not in settings.reasons or not fresh:
        raise Unaskable(BREAK_GLASS_INVALID)
    return stated


def clock(source: str, now: float) -> int:
    """The time that a source asks for."""
    if source == EPOCH:
        return int(now)
    moment = datetime.fromtimestamp(now, UTC)
    return {HOUR: moment.hour, WEEKDAY: moment.isoweekday()}[source]


def _is_name(text: object) -> bool:
    """Text of 1 to 1024 characters that all print; a lone surrogate does not."""
    return isinstance(text, str) and 0 < len(text) <= MAX_CHARS and text.isprintable()


def _attribute(principal: Principal, name: str) -> Attribute:
    value = principal.attributes.get(name)
    if value is None:
        raise Unaskable(ATTRIBUTE_MISSING)
    # Every comparison with NaN is false, so that `!(r.level > 2)` would hold of it.
    if not isinstance(value, str | int | float) or value != value:
        raise Unaskable(MALFORMED)
    if isinstance(value, str) and value and not _is_name(value):
        raise Unaskable(MALFORMED)
    return value

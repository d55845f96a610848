"""The settings under the policy key `access`.

Invariants:
* Every entry has a default, so that a policy without the key still has the starter's files asked.
* A field of `request` says whose value stands at that place of the model's request definition.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

SUBJECT, TENANT, RESOURCE, ACTION = "sub", "dom", "obj", "act"
ATTRIBUTE = "attributes."
RESOURCE_ATTRIBUTE = "resource."
EPOCH, HOUR, WEEKDAY = "clock.epoch", "clock.hour", "clock.weekday"
CLOCK = (EPOCH, HOUR, WEEKDAY)
SOURCES = (SUBJECT, TENANT, RESOURCE, ACTION, *CLOCK)


class BreakGlass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rights for an emergency, taken by whoever the policy lets take them, for a stated reason and a while.

    `role`: whose rights are taken; "" turns it off. `action`: what somebody must be allowed on the
    resource to take them. `reasons`: the codes that may be stated. `minutes`: how long one statement
    lasts, 1 to 1440.
    """

    role: str = ""
    action: str = "break-glass"
    reasons: tuple[str, ...] = ()
    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 60


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which Casbin files decide, and whose values they are asked with.

    `model`, `policy`: paths below the policy folder. `trust_roles`: whether the roles that the
    application asserts are subjects beside the principal's id. `roles`: names that are roles although
    no `g` line says so; nobody may act under such an id. `request`: for each field of the model's `r`,
    in order, `sub` (id or role), `dom` (tenant), `obj` (resource), `act` (action), `attributes.NAME`, or
    the time in UTC as a number: `clock.epoch` (seconds), `clock.hour` (0 to 23), `clock.weekday` (1 Monday
    to 7 Sunday), or `resource.NAME`, which `resources` gives. `resources`: what there is to know of resources,
    by name or by how names begin (`model:*`): texts, numbers, truths and lists of texts.
    """

    model: str = "access/model.conf"
    policy: str = "access/policy.csv"
    trust_roles: bool = False
    roles: tuple[str, ...] = ()
    request: tuple[str, ...] = (SUBJECT, TENANT, RESOURCE, ACTION)
    resources: dict[str, dict[str, str | int | float | bool | tuple[str, ...]]] = {}
    break_glass: BreakGlass = BreakGlass()

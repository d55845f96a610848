"""The settings under the policy key `access`.

Invariants:
* Every entry has a default, so that a policy without the key still has the starter's files asked.
* A field of `request` says whose value stands at that place of the model's request definition.
"""

from __future__ import annotations

import msgspec

SUBJECT, TENANT, RESOURCE, ACTION = "sub", "dom", "obj", "act"
ATTRIBUTE = "attributes."
SOURCES = (SUBJECT, TENANT, RESOURCE, ACTION)


class AccessSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which Casbin files decide, and whose values they are asked with.

    `model`, `policy`: paths below the policy folder. `trust_roles`: whether the roles that the
    application asserts are subjects beside the principal's id. `roles`: names that are roles although
    no `g` line says so; nobody may act under such an id. `request`: for each field of the model's `r`,
    in order, `sub` (id or role), `dom` (tenant), `obj` (resource), `act` (action) or `attributes.NAME`.
    """

    model: str = "access/model.conf"
    policy: str = "access/policy.csv"
    trust_roles: bool = False
    roles: tuple[str, ...] = ()
    request: tuple[str, ...] = (SUBJECT, TENANT, RESOURCE, ACTION)

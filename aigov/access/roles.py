"""A role graph as a value: who has which role, by tenant, as far as Casbin follows.

Invariants:
* A graph never changes; adding or removing a link gives another one that shares all other tenants.
* A name has itself and what is at most 9 links above it: Casbin's graph walk stops there.
* Nothing is kept for a name that no line mentions, so strangers cannot fill the memory.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping

import msgspec

MAX_HOPS = 9
Links = Mapping[str, tuple[str, ...]]


class Tenant:
    """The links of one tenant. `above`: each name to the roles given to it, as often as lines say so."""

    __slots__ = ("_closures", "above")

    def __init__(self, above: Links) -> None:
        self.above = above
        self._closures: dict[str, frozenset[str]] = {}

    def reach(self, name: str) -> frozenset[str]:
        """The name itself and every role it has here, directly or through others."""
        found = self._closures.get(name)
        if found is None:
            if name not in self.above:
                return frozenset((name,))
            # Two threads may both get here; they store equal sets, so neither needs to wait.
            found = self._closures[name] = frozenset(self._walk(name))
        return found

    def _walk(self, name: str) -> set[str]:
        found, edge, above = {name}, [name], self.above
        for _ in range(MAX_HOPS):
            deeper = []
            for each in edge:
                for role in above.get(each, ()):
                    if role not in found:
                        found.add(role)
                        deeper.append(role)
            if not deeper:
                break
            edge = deeper
        return found

    def path(self, name: str, role: str) -> tuple[str, ...]:
        """The shortest way from a name up to a role, both ends included; empty where there is none."""
        before: dict[str, str] = {}
        waiting = deque([name])
        while waiting:
            each = waiting.popleft()
            if each == role:
                return _trace(each, before, name)
            for above in self.above.get(each, ()):
                if above not in before and above != name:
                    before[above] = each
                    waiting.append(above)
        return ()

    def changed(self, name: str, role: str, count: int) -> Tenant:
        """The same with one link more (`count` 1) or less (-1)."""
        roles = Counter(self.above.get(name, ()))
        roles[role] += count
        above = dict(self.above)
        above[name] = tuple(roles.elements())
        if not above[name]:
            del above[name]
        return Tenant(above)


class Graph(msgspec.Struct, frozen=True):
    """The links of one `g`, by tenant; `""` is the only tenant where the definition has none."""

    tenants: Mapping[str, Tenant]
    by_tenant: bool

    @classmethod
    def of(cls, lines: Iterable[tuple[str, ...]], arity: int) -> Graph:
        """The graph of a definition with `arity` fields (2, or 3 with a tenant) and its lines."""
        found: dict[str, dict[str, list[str]]] = {}
        for line in lines:
            tenant = line[2] if arity > 2 else ""
            found.setdefault(tenant, {}).setdefault(line[0], []).append(line[1])
        tenants = {
            tenant: Tenant({name: tuple(roles) for name, roles in links.items()}) for tenant, links in found.items()
        }
        return cls(tenants, arity > 2)

    def tenant(self, name: str) -> Tenant:
        """The links of one tenant; none where no line names it."""
        return self.tenants.get(name if self.by_tenant else "", NOBODY)

    def reach(self, name: str, tenant: str = "") -> frozenset[str]:
        """What `name` has in a tenant, itself included."""
        return self.tenant(tenant).reach(name)

    def changed(self, line: tuple[str, ...], count: int) -> Graph:
        """The same with one line more (`count` 1) or less (-1)."""
        name = line[2] if self.by_tenant else ""
        tenants = dict(self.tenants)
        tenants[name] = self.tenant(name).changed(line[0], line[1], count)
        return Graph(tenants, self.by_tenant)


NOBODY = Tenant({})


def _trace(role: str, before: Mapping[str, str], start: str) -> tuple[str, ...]:
    found = [role]
    while found[-1] != start:
        found.append(before[found[-1]])
    return tuple(reversed(found))

"""Whether roles stand above one another as Casbin can follow: no cycle, no path longer than it walks.

Invariants:
* A graph is gone through without recursion: a hostile file is deep.
* What is wrong is named at the line that makes it so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from aigov.access.rules import Rule
from aigov.access.sources import Text
from aigov.errors import Problem

MAX_HOPS = 9
Links = Mapping[str, tuple[str, ...]]


def role_problem(above: Links, name: str) -> str:
    """What is wrong with the roles of one tenant, where the links of `name` are new; "" where nothing is."""
    depth: dict[str, int] = {}
    for start in (name, *above):
        found = _too_deep(start, above, depth)
        if found:
            return found[2]
    return ""


def links(rules: Sequence[Rule], key: str = "g") -> dict[str, dict[str, tuple[str, ...]]]:
    """The role graph of one `g`, by tenant ("" where it has none): name to the roles above it in rights."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for rule in rules:
        if rule.ptype == key:
            found[rule.fields[2] if len(rule.fields) > 2 else ""][rule.fields[0]].append(rule.fields[1])
    return {domain: {name: tuple(above) for name, above in graph.items()} for domain, graph in found.items()}


def cycle_problems(rules: Sequence[Rule], text: Text) -> Iterator[Problem]:
    """A cycle, or a path that Casbin would stop following; named at the line that closes it."""
    for tenant, graph in links(rules, rules[0].ptype if rules else "g").items():
        depth: dict[str, int] = {}
        for name in graph:
            closing = _too_deep(name, graph, depth)
            if closing:
                wanted = (*closing[:2], *([tenant] if tenant else []))
                line = next(rule.line for rule in rules if rule.fields == wanted)
                yield text.problem(line, 1, closing[2], "take one of its `g` lines out")
                break


def _too_deep(start: str, graph: Links, depth: dict[str, int]) -> tuple[str, str, str] | None:
    """The link that closes a cycle or makes a path too long, or None. Iterative: a hostile file is deep."""
    open_names: set[str] = set()
    work: list[tuple[str, bool]] = [(start, False)]
    while work:
        name, done = work.pop()
        if done:
            open_names.discard(name)
            depth[name] = max((depth[above] + 1 for above in graph.get(name, ())), default=0)
            if depth[name] > MAX_HOPS:
                above = max(graph[name], key=lambda each: depth[each])
                return name, above, f"a role path is longer than the {MAX_HOPS} steps that Casbin follows"
            continue
        if name in depth:
            continue
        open_names.add(name)
        work.append((name, True))
        for above in graph.get(name, ()):
            if above in open_names:
                return name, above, f"the role `{above[:40]}` is its own ancestor"
            work.append((above, False))
    return None

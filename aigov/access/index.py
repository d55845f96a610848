"""The index of one branch: from a request to the few rules that can match it.

Invariants:
* An index never changes; with or without one entry it is another that shares all that is the same.
* Every rule that the branch's look-ups could find for a request is among its candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from aigov.access.plan import Branch, Key, Lengths, Lookup, lengths
from aigov.access.rules import Rule
from aigov.access.terms import Graphs

LEAF = 8
Order = tuple[int, int, int]


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A rule as an index holds it: its turn in Casbin's order, its effect, its fields, its line."""

    order: Order
    effect: str
    fields: tuple[str, ...]
    rule: Rule


Node = tuple[Entry, ...] | dict[Key, Any]


class Index(msgspec.Struct, frozen=True):
    """The rules of one branch: by the values that are tied, then by each look-up in turn.

    `lengths`: for each look-up, the lengths of the beginnings that its keys have. `leaf`: how many entries
    are gone through rather than looked up.
    """

    branch: Branch
    lookups: tuple[Lookup, ...]
    lengths: tuple[Lengths, ...]
    buckets: Mapping[tuple[str, ...], Node]
    leaf: int

    @classmethod
    def of(cls, branch: Branch, entries: Sequence[Entry], leaf: int = LEAF) -> Index:
        """The index of the entries that the branch can match, which stand in their order."""
        held = [entry for entry in entries if _can_match(branch, entry)]
        lookups, spans = _best(branch.lookups, held)
        grouped: dict[tuple[str, ...], list[Entry]] = {}
        for entry in held:
            grouped.setdefault(_exact(branch, entry), []).append(entry)
        buckets = {key: _node(group, lookups, 0, leaf) for key, group in grouped.items()}
        return cls(branch, lookups, spans, buckets, leaf)

    def candidates(self, request: tuple[Any, ...], graphs: Graphs) -> Iterable[Entry]:
        """The rules that can match, in no order; some may not, and one may come twice."""
        branch = self.branch
        node = self.buckets.get(tuple([request[place] for _, place in branch.exact]))
        if node is None or not all(test(request, (), graphs) for test in branch.first):
            return ()
        return node if isinstance(node, tuple) else self._below(node, request, graphs)

    def with_entry(self, entry: Entry) -> Index:
        """The same with one entry more."""
        if not _can_match(self.branch, entry):
            return self
        spans = tuple(
            tuple(sorted({*known, *lengths(lookup, [entry.fields[lookup.place]])}))
            for known, lookup in zip(self.lengths, self.lookups, strict=True)
        )
        key = _exact(self.branch, entry)
        buckets = dict(self.buckets)
        buckets[key] = _with(buckets.get(key, ()), entry, self.lookups, 0, self.leaf)
        return Index(self.branch, self.lookups, spans, buckets, self.leaf)

    def without_entry(self, entry: Entry) -> Index:
        """The same with one entry less."""
        if not _can_match(self.branch, entry):
            return self
        key = _exact(self.branch, entry)
        buckets = dict(self.buckets)
        buckets[key] = _without(buckets[key], entry, self.lookups, 0)
        if not buckets[key]:
            del buckets[key]
        return Index(self.branch, self.lookups, self.lengths, buckets, self.leaf)

    def _below(self, node: dict[Key, Any], request: tuple[Any, ...], graphs: Graphs) -> Iterator[Entry]:
        """What is found below a node, one look-up a level. A set's `&` goes through the shorter side."""
        nodes: list[Node] = [node]
        for lookup, spans in zip(self.lookups, self.lengths, strict=True):
            deeper: list[Node] = []
            probes: frozenset[Key] | None = None
            for each in nodes:
                if isinstance(each, tuple):
                    yield from each
                    continue
                if probes is None:
                    probes = frozenset(lookup.probes(request, graphs, spans))
                deeper.extend(each[key] for key in probes & each.keys())
            nodes = deeper
        # Behind the last look-up there are only leaves.
        yield from chain.from_iterable(nodes)


def _can_match(branch: Branch, entry: Entry) -> bool:
    return all(test((), entry.fields, {}) for test in branch.always)


def _exact(branch: Branch, entry: Entry) -> tuple[str, ...]:
    return tuple([entry.fields[place] for place, _ in branch.exact])


def _best(lookups: Sequence[Lookup], entries: Sequence[Entry]) -> tuple[tuple[Lookup, ...], tuple[Lengths, ...]]:
    """The look-ups that tell rules apart, the one with most keys first."""
    counted = []
    for lookup in lookups:
        values = {entry.fields[lookup.place] for entry in entries}
        counted.append((len({key for value in values for key in lookup.keys(value)}), lookup, lengths(lookup, values)))
    counted.sort(key=lambda each: -each[0])
    return tuple(each[1] for each in counted), tuple(each[2] for each in counted)


def _node(entries: Sequence[Entry], lookups: Sequence[Lookup], level: int, leaf: int) -> Node:
    """Few entries as they are; many by the keys of the next look-up."""
    if len(entries) <= leaf or level == len(lookups):
        return tuple(entries)
    lookup = lookups[level]
    grouped: dict[Key, list[Entry]] = {}
    for entry in entries:
        for key in lookup.keys(entry.fields[lookup.place]):
            grouped.setdefault(key, []).append(entry)
    return {key: _node(group, lookups, level + 1, leaf) for key, group in grouped.items()}


def _with(node: Node, entry: Entry, lookups: Sequence[Lookup], level: int, leaf: int) -> Node:
    if isinstance(node, tuple):
        return _node((*node, entry), lookups, level, leaf)
    lookup = lookups[level]
    changed = dict(node)
    for key in lookup.keys(entry.fields[lookup.place]):
        changed[key] = _with(changed.get(key, ()), entry, lookups, level + 1, leaf)
    return changed


def _without(node: Node, entry: Entry, lookups: Sequence[Lookup], level: int) -> Node:
    if isinstance(node, tuple):
        return tuple(each for each in node if each is not entry)
    lookup = lookups[level]
    changed = dict(node)
    for key in lookup.keys(entry.fields[lookup.place]):
        changed[key] = _without(changed[key], entry, lookups, level + 1)
        if not changed[key]:
            del changed[key]
    return changed

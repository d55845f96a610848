"""The role graph answers as Casbin's role managers do, long paths and tenants included."""

from __future__ import annotations

from itertools import pairwise

from casbin.rbac.default_role_manager import DomainManager, RoleManager
from hypothesis import given
from hypothesis import strategies as st

from aigov.access.roles import Graph

NAMES = [f"n{at}" for at in range(14)]
links = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=10)
chain = st.integers(0, 13).map(lambda length: list(pairwise(NAMES[: length + 1])))


@given(links, chain)
def test_who_has_which_role_without_tenants(some: list[tuple[str, str]], long: list[tuple[str, str]]) -> None:
    theirs, ours = RoleManager(10), Graph.of([*some, *long], 2)
    for link in [*some, *long]:
        theirs.add_link(*link)
    for name in NAMES:
        assert ours.reach(name, "ignored") == {role for role in NAMES if theirs.has_link(name, role)}


@given(links, links, st.sampled_from(["a", "b", "c"]))
def test_who_has_which_role_in_a_tenant(left, right, tenant: str) -> None:
    theirs = DomainManager(10)
    lines = [(*link, "a") for link in left] + [(*link, "b") for link in right]
    for line in lines:
        theirs.add_link(*line)
    ours = Graph.of(lines, 3)
    for name in NAMES[:6]:
        assert ours.reach(name, tenant) == {role for role in NAMES if theirs.has_link(name, role, tenant)}


@given(links, st.data())
def test_adding_and_removing_a_line_is_as_if_it_had_always_or_never_been_there(some, data) -> None:
    new = (data.draw(st.sampled_from(NAMES)), data.draw(st.sampled_from(NAMES)))
    before, after = Graph.of(some, 2), Graph.of([*some, new], 2)
    added, removed = before.changed(new, 1), after.changed(new, -1)
    for name in NAMES:
        assert added.reach(name) == after.reach(name)
        assert removed.reach(name) == before.reach(name)


@given(links)
def test_a_path_leads_from_the_name_to_the_role_link_by_link(some: list[tuple[str, str]]) -> None:
    graph = Graph.of(some, 2)
    for name in NAMES:
        for role in graph.reach(name):
            path = graph.tenant("").path(name, role)
            assert (path[0], path[-1]) == (name, role)
            assert all(link in some for link in pairwise(path))


def test_a_stranger_leaves_nothing_behind() -> None:
    graph = Graph.of([("dana", "agent")], 2)
    for at in range(1000):
        graph.reach(f"stranger{at}")
    assert list(graph.tenant("")._closures) == []

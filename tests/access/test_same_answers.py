"""The compiled policy decides as pycasbin does: models, rules, roles and requests are made up and compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from aigov.access import model as models
from aigov.access import patterns
from aigov.access import rules as lines
from aigov.access.compiling import compiled
from aigov.access.engine import Outcome, Pycasbin
from aigov.access.load import Policy
from aigov.access.sources import Text
from aigov.access.terms import Unsupported

EFFECTS = (
    "some(where (p.eft == allow))",
    "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    "priority(p.eft) || deny",
    "subjectPriority(p.eft) || deny",
)
NAMES = ("ann", "bob", "cy", "lead", "agent", "staff", "*")
TENANTS = ("t1", "t2")
PLACES = ("/a", "/a/b", "/a/b/c", "/b", "kb:x", "*", "/", "/a/b?x=1", "é/ü", "//a", "")
PATTERNS = (
    "/a", "/a/*", "/a/*/c", "*", "/:x", "/:x/:y", "/{x}", "/{x}/{x}", "/a*", "kb:*", "/**", "/a/**", "/{a,b}", "/?",
    "/[ab]", "^/a.*$", "/(a|b)", ".*", "(/\\w)+", "é.+", "/a/b",
)  # fmt: skip
VERBS = ("read", "write", "*")
ADDRESSES = ("10.0.0.1", "10.1.2.3", "::1")
NETWORKS = ("10.0.0.0/8", "10.0.0.1", "::/0", "nonsense")
CONDITIONS = ("r.age >= 18", "r.age < 65 && r.sub != 'bob'", "r.sub == 'ann' || p.act == 'read'", "!(r.act == 'read')",
              "r.obj in ('/a', p.obj)", "keyMatch(r.obj, p.obj)", "True", "18 <= r.age < 65")  # fmt: skip


class Case(msgspec.Struct):
    """A made-up model, its rules and what is asked."""

    model: str
    policy: str
    sources: tuple[str, ...]
    requests: list[tuple[Any, ...]]
    leaf: int
    suffix: str


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Models from the whole of what is compiled, with rules that often match."""
    tenants, resource_roles = draw(st.booleans()), draw(st.booleans())
    extra = draw(st.sampled_from(["", "", "", "eval", "ip", "age"]))
    effect = draw(st.sampled_from(EFFECTS))
    ptype = {"sub": st.sampled_from(NAMES)}
    rtype = {"sub": st.sampled_from(NAMES)}
    if tenants:
        ptype["dom"] = rtype["dom"] = st.sampled_from(TENANTS)
    ptype["obj"] = st.one_of(st.sampled_from(PATTERNS), st.sampled_from([place for place in PLACES if place]))
    rtype["obj"] = st.sampled_from(PLACES)
    ptype["act"] = rtype["act"] = st.sampled_from(VERBS)
    if draw(st.booleans()) or "eft) " not in effect:
        ptype["eft"] = st.sampled_from(["allow", "allow", "deny", "maybe"])
    if draw(st.booleans()) and effect.startswith("priority"):
        ptype["priority"] = st.sampled_from(["1", "2", "10"])
    if extra == "eval":
        ptype["rule"] = st.sampled_from(CONDITIONS)
    if extra == "ip":
        ptype["net"] = st.sampled_from(NETWORKS)
        rtype["attributes.ip"] = st.sampled_from(ADDRESSES)
    if extra in ("eval", "age"):
        rtype["attributes.age"] = st.sampled_from([17, 18, 65, 18.5])
    fields = [source.removeprefix("attributes.") for source in rtype]
    matcher = draw(matchers(tenants, resource_roles, extra))
    roles = "g = _, _, _" if tenants else "g = _, _"
    suffix = draw(st.sampled_from(["", "", "2"])) if "ubject" not in effect and "priority" not in ptype else ""
    first = "r = sub\n" if suffix else "", "p = sub, eft\n" if suffix else "", "m = r.sub == p.sub\n" if suffix else ""
    matcher = re.sub(r"\b([rp])\.", rf"\g<1>{suffix}.", matcher)
    model = (
        f"[request_definition]\n{first[0]}r{suffix} = {', '.join(fields)}\n"
        f"[policy_definition]\n{first[1]}p{suffix} = {', '.join(ptype)}\n"
        f"[role_definition]\n{roles}\n{'g2 = _, _' if resource_roles else ''}\n"
        f"[policy_effect]\ne = {effect}\n[matchers]\n{first[2]}m{suffix} = {matcher}\n"
    )
    rows = draw(st.lists(st.tuples(*ptype.values()), min_size=1, max_size=draw(st.sampled_from([3, 40]))))
    key = "p" + suffix
    policy = [[key, *(f'"{field}"' if "'" not in field else field for field in row)] for row in rows]
    policy += draw(edges("g", NAMES, tenants))
    policy += draw(edges("g2", PLACES[:5] + PATTERNS[:3], False)) if resource_roles else []
    drawn = draw(st.lists(st.tuples(*rtype.values()), min_size=1, max_size=12))
    # Half of what is asked takes its values from a rule, else most requests would match nothing.
    held = [dict(zip(ptype, draw(st.sampled_from(rows)), strict=True)) if at % 2 else {} for at in range(len(drawn))]
    requests = [
        tuple(
            row.get(name, value) if name in ("obj", "act", "dom") else value
            for name, value in zip(rtype, one, strict=True)
        )
        for one, row in zip(drawn, held, strict=True)
    ]
    return Case(model, "\n".join(map(", ".join, policy)), tuple(rtype), requests, draw(st.sampled_from([0, 8])), suffix)


@st.composite
def edges(draw: st.DrawFn, key: str, names: Sequence[str], tenants: bool) -> list[list[str]]:
    """Role lines without a cycle: a name's role stands behind it in the list."""
    found = draw(st.lists(st.tuples(st.integers(0, len(names) - 2), st.integers(1, len(names) - 1)), max_size=14))
    pairs = [[key, names[low], names[high]] for low, high in found if low < high]
    return [[*pair, draw(st.sampled_from(TENANTS))] for pair in pairs] if tenants else pairs


@st.composite
def matchers(draw: st.DrawFn, tenants: bool, resource_roles: bool, extra: str) -> str:
    """A conjunction in any order, with whatever else people write."""
    g = draw(st.sampled_from(["g(r.sub, p.sub, r.dom)", "g(r.sub, p.sub, p.dom)"])) if tenants else "g(r.sub, p.sub)"
    subject = [
        g,
        g,
        "r.sub == p.sub",
        f"({g} || p.sub == '*')",
        f"!({g})",
        f"(p.sub == r.sub || {g} || p.sub == 'lead')",
    ]
    function = draw(st.sampled_from(["keyMatch", *sorted(patterns.REGEX_FUNCTIONS), "globMatch"]))
    match = f"{function}(r.obj, p.obj)"
    objects = ["r.obj == p.obj", match, match, f"(r.obj == p.obj || {match})", f"!{match}", "r.obj in (p.obj, '/a')"]
    if resource_roles:
        objects += ["g2(r.obj, p.obj)", f"(g2(r.obj, p.obj) || {match})"]
    actions = ["r.act == p.act", "(r.act == p.act || p.act == '*')", "regexMatch(r.act, '^r.*')", "r.act != p.act"]
    parts = [draw(st.sampled_from(each)) for each in (subject, objects, actions)]
    parts += {"eval": ["eval(p.rule)"], "ip": ["ipMatch(r.ip, p.net)"], "age": ["r.age > 17"]}.get(extra, [])
    parts += ["r.dom == p.dom"] if tenants and draw(st.booleans()) else []
    text = " && ".join(draw(st.permutations(parts)))
    ends = [""] * 4 + ([" || r.sub == 'ann'", " || (r.act == 'read' && p.sub == 'bob')"] if extra != "ip" else [])
    return text + draw(st.sampled_from(ends))


def read(case: Case) -> Policy:
    model = models.parse(Text("m", "m", tuple(case.model.split("\n"))))
    policy = Text("p", "p", tuple(case.policy.split("\n")))
    return Policy(model, lines.parse(policy, model), "p", "p", case.sources)


def asked(engine: Any, request: tuple[Any, ...]) -> Outcome | None:
    """The answer, or None where the engine raises: to a guard, a refusal."""
    try:
        return engine.decide(request)
    except Exception:  # noqa: BLE001 - pycasbin raises whatever a pattern or comparison raises
        return None


def compare(case: Case) -> list[str]:
    """Ask both engines; what came of it. Asking twice takes the second answer from what is kept."""
    policy = read(case)
    sections = ("r" + case.suffix, "p" + case.suffix, "e", "m" + case.suffix)
    try:
        quick = compiled(policy, sections, case.leaf)
    except Unsupported as error:
        return [f"not compiled: {error}"]
    slow = Pycasbin(policy.model, policy.rules, sections)
    told = ["compiled"]
    for request in [*case.requests, *case.requests]:
        wanted, given_ = asked(slow, request), asked(quick, request)
        if wanted is None:
            assert given_ is None or not given_.allowed, f"{case.model}\n{case.policy}\n{request}"
            continue
        assert given_ == wanted, f"{case.model}\n{case.policy}\n{request}"
        told.append("allowed" if wanted.allowed else "denied by a rule" if wanted.rule else "nothing matched")
    return told


@given(cases())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_compiled_policy_gives_the_answer_and_the_rule_of_pycasbin(case: Case) -> None:
    for each in compare(case):
        event(each)


PATTERNED = """[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && {condition} && r.act == p.act"""


@pytest.mark.parametrize("leaf", [0, 8])
@pytest.mark.parametrize("condition", ["{}(r.obj, p.obj)", "({}(r.obj, p.obj) || p.obj == r.obj)"])
@pytest.mark.parametrize("function", ["keyMatch", "globMatch", *sorted(patterns.REGEX_FUNCTIONS)])
def test_every_pattern_function_finds_its_rules_through_the_index(function: str, condition: str, leaf: int) -> None:
    taken = [pattern for pattern in {*PATTERNS, *filter(None, PLACES)} if takes(function, pattern)]
    rules = "".join(f'p, r{at % 3}, "{pattern}", read\n' for at, pattern in enumerate(sorted(taken)))
    roles = "g, ann, r0\ng, ann, r1\ng, r1, r2\n"
    requests = [(name, place, "read") for name in ("ann", "r1", "bob") for place in PLACES]
    model = PATTERNED.format(condition=condition.format(function))
    assert {"compiled", "allowed"} <= set(
        compare(Case(model, rules + roles, ("sub", "obj", "act"), requests, leaf, ""))
    )


def takes(function: str, pattern: str) -> bool:
    try:
        patterns.compiled(function, pattern)
    except patterns.BadPattern:
        return False
    return True


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(TENANTS), st.sampled_from(["allow", "deny"])), min_size=1
    ),
    edges("g", NAMES, True),
)
def test_subject_priority_is_by_tenant(rows: list[tuple[str, str, str]], links: list[list[str]]) -> None:
    model = (
        "[request_definition]\nr = sub, dom\n[policy_definition]\np = sub, dom, eft\n[role_definition]\ng = _, _, _\n"
        "[policy_effect]\ne = subjectPriority(p.eft) || deny\n[matchers]\nm = g(r.sub, p.sub, r.dom) && r.dom == p.dom"
    )
    policy = [["p", *row] for row in rows] + links
    requests = [(name, tenant) for name in NAMES for tenant in TENANTS]
    assert compare(Case(model, "\n".join(map(", ".join, policy)), ("sub", "dom"), requests, 8, ""))[0] == "compiled"

"""What the loader refuses, with its place, and what it takes as it is meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aigov.access.load import load
from aigov.access.settings import AccessSettings
from aigov.errors import PolicyError
from aigov.types import Principal

GRANT = "p, dana, retail, model:small, chat, allow\n"
PLAIN = """\
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
"""
THREE = AccessSettings(request=("sub", "obj", "act"))


def refused(folder: Path, settings: AccessSettings = AccessSettings()) -> str:  # noqa: B008 - frozen
    with pytest.raises(PolicyError) as caught:
        load(folder, settings)
    assert caught.value.__context__ is None
    return str(caught.value).replace(str(folder) + os.sep, "")


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("", "access/policy.csv: the file is empty"),
        ("  \n\n", "access/policy.csv: the file is empty"),
        ("# only a comment\n", "access/policy.csv: no `p` line stands here"),
        ("g, dana, agent, retail\n", "access/policy.csv: no `p` line stands here"),
        ("p, dana, retail, x, chat\n", "access/policy.csv:1:1: a `p` line has 5 fields, this one 4"),
        (GRANT + "  p, a, b, c, d, allow, extra\n", "access/policy.csv:2:3: a `p` line has 5 fields, this one 6"),
        (GRANT + "g, dana, agent\n", "access/policy.csv:2:1: a `g` line has 3 fields, this one 2"),
        (GRANT + "P, a, b, c, d, allow\n", "access/policy.csv:2:1: unknown kind of line `P`"),
        (GRANT + "g2, a, b\n", "access/policy.csv:2:1: unknown kind of line `g2`, which Casbin would skip; did you"),
        (GRANT + "p, a, , c, d, allow\n", "access/policy.csv:2:1: field 2 is empty"),
        (GRANT + "p, a, b, c, d, Deny\n", "access/policy.csv:2:1: the effect `Deny` means nothing"),
        (GRANT + "p, a, b, c, d, allow # why\n", "access/policy.csv:2:22: a comment behind a rule"),
        (GRANT + "p, a, b, f(c, d, allow\n", "access/policy.csv:2:11: `(` is not closed"),
        (GRANT + "p, a, b, c], d, allow\n", "access/policy.csv:2:11: `]` closes nothing"),
        (GRANT + 'p, a, b, "c, d, allow\n', "access/policy.csv:2:10: a quote is not closed"),
        (GRANT + 'p, a, b, "c" d, e, allow\n', "access/policy.csv:2:13: text follows a closed quote"),
        (GRANT + "p, a, b, c\x0bd, e, allow\n", "access/policy.csv:2:11: character U+000B does not print"),
        (GRANT + "p, a, b, c\u202ed, e, allow\n", "access/policy.csv:2:11: character U+202E does not print"),
        (GRANT + "g, a, b, t\ng, b, c, t\ng, c, a, t\n", "the role `a` is its own ancestor"),
        (GRANT + "g, a, a, t\n", "access/policy.csv:2:1: the role `a` is its own ancestor"),
        (
            GRANT + "".join(f"g, n{at}, n{at + 1}, t\n" for at in range(10)),
            "access/policy.csv:2:1: a role path is longer than the 9 steps that Casbin follows",
        ),
    ],
)
def test_a_policy_that_does_not_mean_what_it_says_is_refused(write, policy: str, message: str) -> None:
    assert message in refused(write(policy))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[matchers]", "[matcher]", "unknown section `matcher`, which Casbin would skip; did you mean `matchers`"),
        ("[matchers]", "[Matchers]", "unknown section `Matchers`"),
        ("[role_definition]", "[constraint_definition]", "unknown section `constraint_definition`"),
        ("g = _, _, _", "g = _, _, _\ng = _, _", "model.conf:9:1: `g` is defined a second time; the first stands in"),
        ("g = _, _, _", "g = _, _, _, _", "`g` is no role definition"),
        ("g = _, _, _", "g3 = _, _, _", "`g3` would be skipped"),
        ("p = sub, dom, obj, act, eft", "p = sub, sub, obj", "the fields of `p` are not distinct names"),
        ("p = sub, dom, obj, act, eft", "p2 = sub", "`p2` would be skipped"),
        ("m = g(", "g(", "has no place in [matchers]"),
        ("g = _, _, _", "_, _, _", "model.conf:8:1: not a definition"),
        ("m = g(r.sub", "m = h(r.sub", "unknown name `h`"),
        ("r.act == p.act", "r.act == p.action", "unknown name `p_action`"),
        ("r.act == p.act", "r.act ==", "no expression"),
        ("&& r.act == p.act", "; r.act == p.act", "no"),
        ("g(r.sub, p.sub, r.dom) && r.dom", "r.dom", "the matcher never looks at who asks"),
        ("keyMatch(r.obj, p.obj)", "keyMatch(p.obj, r.obj)", "`keyMatch` takes its pattern from the request"),
        ("keyMatch(r.obj, p.obj)", "keyMatch(r.obj)", "`keyMatch` takes two arguments"),
        ("some(where (p.eft == allow)) && !", "!", "model.conf:11:1: this effect allows whatever no rule forbids"),
        ("some(where (p.eft == allow)) && !", "any(where (p.eft == allow)) && !", "no effect that Casbin takes"),
        ("p = sub, dom, obj, act, eft", "p = sub, dom, obj, act", "the effect looks at `p.eft`"),
        ("r = sub, dom, obj, act", "r = sub, obj, act", "`r` has 3 fields, `access.request` has 4"),
        ("r = sub, dom, obj, act", "r =", "`r` has no value"),
    ],
)
def test_a_model_that_could_open_by_accident_is_refused(write, tenants, old: str, new: str, message: str) -> None:
    assert old in tenants
    assert message in refused(write(GRANT, tenants.replace(old, new, 1)))


def test_a_deny_that_the_effect_never_looks_at_is_refused(write, tenants) -> None:
    model = tenants.replace(" && !some(where (p.eft == deny))", "")
    assert "policy.csv:2:1: the model's effect never looks at a deny" in refused(
        write(GRANT + "p, dana, retail, *, chat, deny\n", model)
    )


def test_a_priority_that_is_no_number_is_refused(write) -> None:
    model = PLAIN.replace("p = sub, obj, act", "p = priority, sub, obj, act, eft").replace(
        "some(where (p.eft == allow))", "priority(p.eft) || deny"
    )
    assert "policy.csv:1:1: the priority is no whole number" in refused(
        write("p, high, a, b, c, allow\n", model), THREE
    )


@pytest.mark.parametrize(
    ("function", "pattern", "message"),
    [
        ("regexMatch", "(?=a)a", "field 3 is no pattern for `regexMatch`: a linear-time engine does not take it"),
        ("regexMatch", "(a)\\1", "a linear-time engine does not take it"),
        ("regexMatch", "(a", "`(` is not closed"),
        ("regexMatch", "*", "no regular expression: nothing to repeat"),
        ("keyMatch2", "/a+*", "no regular expression"),
        ("keyMatch4", "/(a)/{x}", "keyMatch4 takes no brackets"),
        ("globMatch", "x" * 2000, "longer than 1024 characters"),
    ],
)
def test_a_pattern_that_cannot_be_matched_in_linear_time_is_refused(
    write, tenants, function: str, pattern: str, message: str
) -> None:
    model = tenants.replace("keyMatch(", f"{function}(")
    assert message in refused(write(GRANT + f"p, dana, retail, {pattern}, chat, allow\n", model))


def test_an_order_by_roles_needs_roles(write) -> None:
    model = PLAIN.replace("p = sub, obj, act", "p = sub, obj, act, eft").replace("[role_definition]\ng = _, _\n", "")
    model = model.replace("some(where (p.eft == allow))", "subjectPriority(p.eft) || deny")
    model = model.replace("g(r.sub, p.sub)", "r.sub == p.sub")
    assert "the effect orders by role, and the model has no `g`" in refused(write("p, a, b, c, allow\n", model), THREE)


def test_a_condition_that_forgets_who_asks_is_refused(write) -> None:
    model = PLAIN.replace("p = sub, obj", "p = rule, obj").replace("g(r.sub, p.sub)", "eval(p.rule)")
    assert "policy.csv:2:1: neither the matcher nor this rule looks at who asks" in refused(
        write('p, r.sub == "dana", x, read\np, r.act == "read", x, read\n', model), THREE
    )


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("r.sub == p.owner", "unknown name `p_owner` in the condition of this rule"),
        ('r.sub != "" && regexMatch(r.obj, "(?=a)a")', "no pattern for `regexMatch`: a linear-time engine"),
        ('r.sub != "" && keyMatch(p.obj, r.obj)', "`keyMatch` takes its pattern from the request"),
    ],
)
def test_a_condition_is_checked_as_a_matcher_is(write, condition: str, message: str) -> None:
    model = PLAIN.replace("p = sub, obj", "p = rule, obj").replace("g(r.sub, p.sub)", "eval(p.rule)")
    found = refused(write(f"p, {condition}, x, read\n", model), THREE)
    assert found.startswith("access/policy.csv:1:1: ")
    assert message in found


def test_a_matcher_that_is_nested_too_deep_is_refused(write, tenants) -> None:
    for deep in ("!" * 200 + "(r.act == p.act)", "(" * 100 + "r.act == p.act" + ")" * 100 + "&& !" * 70 + "True"):
        assert "access/model.conf:14:1: " in refused(write(GRANT, tenants.replace("r.act == p.act", deep)))


def test_a_backslash_in_a_matcher_is_no_warning(write, tenants) -> None:
    model = tenants.replace("r.act == p.act", r'regexMatch(r.act, "^\w+$")')
    assert load(write(GRANT, model), AccessSettings()).rules


def test_a_cycle_is_named_in_its_own_tenant(write) -> None:
    policy = GRANT + "g, a, b, one\ng, b, a, two\ng, b, c, one\ng, c, b, one\n"
    assert "access/policy.csv:5:1: the role" in refused(write(policy))


def test_a_condition_that_is_no_expression_is_refused(write) -> None:
    model = PLAIN.replace("p = sub, obj", "p = rule, obj").replace("g(r.sub, p.sub)", "eval(p.rule)")
    assert "policy.csv:1:1: the condition of this rule is no expression" in refused(
        write("p, r.sub == , x, read\n", model), THREE
    )


@pytest.mark.parametrize(
    "name", ["../model.conf", "/etc/passwd", "access/../../x", "C:\\x", "a\\b", "", "access/out.conf"]
)
def test_a_file_outside_of_the_policy_folder_is_never_read(write, tenants, tmp_path_factory, name: str) -> None:
    folder = write(GRANT)
    outside = tmp_path_factory.mktemp("outside") / "model.conf"
    outside.write_text(tenants)
    (folder / "access" / "out.conf").symlink_to(outside)
    assert "leads out of the policy folder" in refused(folder, AccessSettings(model=name))


def test_a_link_inside_of_the_folder_is_followed(write) -> None:
    folder = write(GRANT)
    (folder / "linked.conf").symlink_to(folder / "access" / "model.conf")
    assert load(folder, AccessSettings(model="linked.conf")).rules


@pytest.mark.parametrize("name", ["access", "access/nothing.conf"])
def test_a_missing_file_or_a_folder_is_an_error(write, name: str) -> None:
    assert "no such file" in refused(write(GRANT), AccessSettings(model=name))


def test_a_file_that_is_not_utf_8_is_named_with_its_place(write) -> None:
    folder = write(GRANT)
    (folder / "access" / "policy.csv").write_bytes(b"p, dana, retail, x, chat, allow\np, f\xff\n")
    assert "policy.csv:2:5: not UTF-8" in refused(folder)


def test_a_huge_model_is_refused(write, tenants) -> None:
    assert "the file is too large" in refused(write(GRANT, tenants + "#" * 70_000))


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(write, tenants, change) -> None:
    folder = write(GRANT)
    plain = load(folder, AccessSettings())
    (folder / "access" / "policy.csv").write_bytes(change(GRANT).encode())
    (folder / "access" / "model.conf").write_bytes(change(tenants).encode())
    changed = load(folder, AccessSettings())
    assert changed.rules == plain.rules
    assert {key: found.value for key, found in changed.model.definitions.items()} == {
        key: found.value for key, found in plain.model.definitions.items()
    }


def test_quotes_keep_a_comma_and_brackets_keep_theirs(write) -> None:
    policy = 'p, "dana, the ""first""", retail, f(a, [b, c]), chat, allow\n'
    (rule,) = load(write(policy), AccessSettings()).rules
    assert rule.fields == ('dana, the "first"', "retail", "f(a, [b, c])", "chat", "allow")


def test_a_comment_in_a_model_is_no_part_of_it(build, tenants) -> None:
    model = (
        tenants.replace("r = sub, dom, obj, act", "r = sub, dom, obj, act ; what is asked")
        .replace("deny))", "deny)) # silence is no")
        .replace("r.act == p.act", "r.act == p.act # done")
        .replace("&& keyMatch", "\\\n  && keyMatch")
    )
    (ruling,) = build(GRANT, model).aigov_permit(Principal(id="dana", tenant="retail"), "chat", "model:small")
    assert ruling.verdict.name == "ALLOW"


def test_every_problem_is_told_at_once_in_file_order(write, tenants) -> None:
    found = refused(write("p, a\nq, b\n" + GRANT, tenants.replace("r.act == p.act", "r.act == p.nothing")))
    assert [line.split(": ")[0] for line in found.splitlines()] == [
        "access/model.conf:14:1", "access/policy.csv:1:1", "access/policy.csv:2:1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (("obj", "dom", "act", "attributes.x"), "never asks who"),
        (("sub", "sub", "obj", "act"), "has `sub` twice"),
        (("sub", "dom", "obj", "verb"), "has `verb`, which is nothing to ask with"),
    ],
)
def test_a_request_that_cannot_be_asked_is_refused(write, request_: tuple[str, ...], message: str) -> None:
    assert message in refused(write(GRANT), AccessSettings(request=request_))

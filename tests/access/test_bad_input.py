"""What makes no sense, or means harm: a clear refusal from either engine, never an allow and never an exception."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aigov.access.compiled import Mistyped
from aigov.access.guard import Access
from aigov.types import Principal, Verdict

POLICY = 'p, dana, retail, *, chat, allow\np, dana, retail, x, "c, ""quoted""", allow\n'
CASBIN = ("r.act == p.act", "r.act.lower() == p.act.lower()")  # a method is beyond the compiled engine


@pytest.fixture(params=["compiled", "pycasbin"])
def engine(request: pytest.FixtureRequest, build: Any, tenants: str) -> Access:
    model = tenants if request.param == "compiled" else tenants.replace(*CASBIN)
    access: Access = build(POLICY, model)
    assert access.choice.name == request.param
    return access


def asked(access: Access, principal: Principal, action: Any = "chat", resource: Any = "x") -> tuple[Verdict, str]:
    (ruling,) = access.aigov_permit(principal, action, resource)
    return ruling.verdict, ruling.reason.code


def dana(**more: Any) -> Principal:
    return Principal(**{"id": "dana", "tenant": "retail", **more})


@pytest.mark.parametrize(
    "name",
    [
        "d" * 1_000_000,
        "dana\x00",
        "dana\x1b[2J",
        "dana\r",
        "dana\nimpostor",
        "root\np, root, retail, *, chat, allow",
        "dana\u2028",
        "\ufeffdana",
        "dana\ud800",
        "da\u200bna",
    ],
)
def test_a_subject_of_a_megabyte_control_characters_or_a_line_for_the_file_is_malformed(engine, name: str) -> None:
    wanted = (Verdict.DENY, "access.malformed")
    assert asked(engine, dana(id=name)) == wanted
    assert asked(engine, dana(tenant=name)) == wanted
    assert asked(engine, dana(), action=name) == wanted
    assert asked(engine, dana(), resource=name) == wanted


@pytest.mark.parametrize("nothing", [None, 0, b"chat", ["chat"], {"a": 1}, ("chat",), float("nan")])
def test_none_and_what_is_no_text_is_malformed(engine, nothing: Any) -> None:
    assert asked(engine, dana(), action=nothing) == (Verdict.DENY, "access.malformed")
    assert asked(engine, dana(), resource=nothing) == (Verdict.DENY, "access.malformed")


@pytest.mark.parametrize("name", ["dana, retail", '"dana"', "dana,retail,*,chat,allow", "dana'", "dana # x", "(dana"])
def test_quotes_commas_and_brackets_are_characters_like_others(engine, name: str) -> None:
    assert asked(engine, dana(id=name)) == (Verdict.DENY, "access.denied")
    assert asked(engine, dana(), action='c, "quoted"') == (Verdict.ALLOW, "access.allowed")
    assert asked(engine, dana(), action="c") == (Verdict.DENY, "access.denied")


@pytest.mark.parametrize("size", [0, 1, 3, 5])
def test_a_request_of_another_size_is_never_allowed(engine, size: int) -> None:
    request = ("dana", "retail", "x", "chat", "more")[:size]
    with pytest.raises(Exception):  # noqa: B017 - to the guard, whatever an engine raises is a refusal
        engine.choice.engine.decide(request)
    engine.requests = lambda *_: iter([request])
    assert asked(engine, dana())[0] is Verdict.DENY


def test_the_compiled_engine_says_what_is_wrong_with_a_request(build) -> None:
    with pytest.raises(Mistyped, match="another size"):
        build(POLICY).choice.engine.decide(("dana", "retail"))
    with pytest.raises(Mistyped, match="another type"):
        build(POLICY).choice.engine.decide(("dana", "retail", None, "chat"))


@pytest.mark.parametrize("value", [None, b"3", (3,), {"a": 3}, math.nan, "x\n", "x" * 2000, 3j])
@pytest.mark.parametrize("condition", ["r.level > 2", "!(r.level > 2)", "r.level != 9"])
def test_an_attribute_that_no_rule_can_be_about_is_refused(build, tenants, condition: str, value: Any) -> None:
    model = tenants.replace("obj, act\n", "obj, act, level\n", 1).replace("r.act ==", f"{condition} && r.act ==")
    access = build(POLICY, model, request=("sub", "dom", "obj", "act", "attributes.level"))
    verdict, code = asked(access, dana(attributes={"level": value}))
    assert verdict is Verdict.DENY
    assert code in {"access.malformed", "access.attribute_missing"}


@pytest.mark.parametrize("change", ["\ufeff{}", "{}\r\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_rule(build, change: str) -> None:
    lines = POLICY.splitlines()
    policy = change.format(lines[0]) + "\n" + "\r\n".join(lines[1:]) + "\r\n"
    access = build(policy.replace("\r\n\n", "\r\n"))
    assert [rule.fields[0] for rule in access.policy.rules] == ["dana", "dana"]
    assert asked(access, dana()) == (Verdict.ALLOW, "access.allowed")

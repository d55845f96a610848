"""What bad input gets: a refusal with a code of its own, a record, and nothing called."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Any

import msgspec
import pydantic
import pytest

from aigov import Denied
from aigov.testing import ScriptedProvider, Trial, governor
from tests.conftest import CHAT, DANA

pytestmark = pytest.mark.contract


def nested(levels: int) -> Any:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = ["round"]
    value.append(value)
    return value


BAD = {
    "input.not_utf8": ["lone \ud800", {"a": ["\udfff"]}, {"\ud800": 1}],
    "input.too_large": ["x" * 200_001, ["x" * 100_001] * 2, {"x" * 200_001: 1}],
    "input.too_deep": [nested(65), nested(100_000)],
    "input.cyclic": [cyclic()],
    "input.unknown_type": [b"bytes", bytearray(b"x"), object(), {"a": [b"x"]}, lambda: 1, iter(["x"]), type, 1j],
}
CASES = [(code, index) for code, values in BAD.items() for index in range(len(values))]


@pytest.mark.parametrize(("code", "index"), CASES)
def test_a_malformed_argument_is_refused_and_recorded(shared: Trial, code: str, index: int) -> None:
    model = ScriptedProvider()
    with pytest.raises(Denied) as refused:
        shared.gov.call(model.ask, BAD[code][index], **CHAT, principal=DANA)
    assert (refused.value.reason, model.calls) == (code, 0)
    assert refused.value.status in {400, 413}
    assert shared.records()[-1]["id"] == refused.value.record


@pytest.mark.parametrize(("code", "index"), CASES)
def test_a_malformed_answer_is_withheld_and_recorded(shared: Trial, code: str, index: int) -> None:
    with pytest.raises(Denied) as refused:
        shared.gov.call(lambda question: BAD[code][index], "hello", **CHAT, principal=DANA)
    assert refused.value.reason == code.replace("input.", "output.")
    assert refused.value.status == 502
    assert shared.records()[-1]["outcome"] == "withheld"


class Handle:
    """A type of the application that cannot be looked at."""


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"x", "builtins.bytes"),
        ([{"deep": Handle()}], f"{__name__}.Handle"),
        (type("jane@example.com", (), {})(), ""),
        (type("bytes", (), {"__module__": "builtins"})(), ""),
    ],
)
def test_the_type_that_cannot_be_looked_at_is_named_unless_it_was_made_at_run_time(
    shared: Trial, value: Any, named: str
) -> None:
    with pytest.raises(Denied) as refused:
        shared.gov.call(str, value, **CHAT, principal=DANA)
    assert [reason.rule for reason in refused.value.decision.reasons] == [named]
    assert "jane" not in str(refused.value)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Ticket:
    body: str
    when: dt.datetime


class Note(msgspec.Struct, frozen=True):
    body: str


class Form(pydantic.BaseModel):
    body: str
    amount: decimal.Decimal


VALUES = [
    None, True, 3, 2.5, decimal.Decimal("1.10"), uuid.UUID(int=5), dt.date(2026, 1, 2), Colour.RED, (1, "two"),
    {"messages": [{"role": "user", "content": "mail jane@example.com"}]}, Note("mail jane@example.com"),
    Ticket("mail jane@example.com", dt.datetime(2026, 1, 2, tzinfo=dt.UTC)), {"a"},
    Form(body="mail jane@example.com", amount=decimal.Decimal("9.90")), {"jane@example.com": 1}, [], {}, "",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_of_any_known_type_comes_back_as_it_went(shared: Trial, value: Any) -> None:
    seen: list[Any] = []

    def echo(value: Any) -> Any:
        seen.append(value)
        return value

    back = shared.gov.call(echo, value, **CHAT, principal=DANA)
    assert back == value
    assert type(back) is type(value)
    assert "jane@example.com" not in repr(seen)


def test_a_type_that_the_policy_names_opaque_passes_as_it_is() -> None:
    with governor(change={"sanitise: ": "sanitise:\n  opaque: [builtins.bytes]\n  #"}) as trial:
        assert trial.gov.call(lambda data: data, b"\xff", **CHAT, principal=DANA) == b"\xff"


def test_a_list_that_changes_after_the_check_is_sent_as_it_was_checked(shared: Trial) -> None:
    given = ["hello"]

    def provider(words: list[str]) -> list[str]:
        given[0] = "changed"
        return list(words)

    assert shared.gov.call(provider, given, **CHAT, principal=DANA) == ["hello"]


def test_none_and_nothing_are_answers(shared: Trial) -> None:
    assert shared.gov.call(lambda question: None, "hello", **CHAT, principal=DANA) is None

    def silent(question: str) -> Any:
        yield from ()

    with shared.gov.acting_as(DANA):
        assert list(shared.gov.guard(**CHAT)(silent)("hello")) == []
    assert shared.records()[-1]["released_chunks"] == 0


@pytest.mark.parametrize("names", [{"action": "", "resource": "x"}, {"action": "x" * 257, "resource": "x"}])
def test_an_action_or_resource_without_a_name_is_an_error_of_the_programmer(
    shared: Trial, names: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="1 to 256 characters"):
        shared.gov.guard(**names)


def test_hostile_names_are_refused_without_an_exception_from_within(shared: Trial) -> None:
    for name in ("model:gpt\nobj", "a,b", "\x00", "'", '"; drop'):
        with pytest.raises(Denied):
            shared.gov.call(ScriptedProvider().ask, "hello", action="chat", resource=name, principal=DANA)

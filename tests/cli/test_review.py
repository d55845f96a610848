"""`aigov review`: who may decide, what they see, and that a decision lets the program go on."""

from __future__ import annotations

import json

import pytest

from aigov import Denied, Governor, Principal, ReviewPending
from aigov.cli.exits import Exit

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
ROSA = ("--as", "rosa", "--role", "support-lead", "--tenant", "retail")


def refund(order: str, amount: float) -> str:
    return f"{amount:.2f} for {order}"


def unsure(question: str) -> dict[str, object]:
    return {"text": f"perhaps {question}", "confidence": 0.3}


@pytest.fixture
def gov(here):
    with Governor.from_policies("policies", audit="audit") as made:
        yield made


@pytest.fixture
def tools(gov):
    """The two functions, registered once."""
    return (
        gov.guard(action="tool:refund", resource="tool:refund")(refund),
        gov.guard(action="chat", resource="model:gpt-4o-mini")(unsure),
    )


@pytest.fixture
def ticket(gov, tools) -> str:
    """A refund that waits for a person."""
    with gov.acting_as(DANA), pytest.raises(ReviewPending) as pending:
        tools[0]("ORD-12345678", 250.0)
    return pending.value.ticket


@pytest.fixture
def answer(gov, tools) -> str:
    """An unsure answer that waits for a person."""
    with gov.acting_as(DANA), pytest.raises(ReviewPending) as pending:
        tools[1]("tomorrow")
    return pending.value.ticket


def told(ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_a_waiting_ticket_is_listed_without_content(aigov, ticket) -> None:
    ran = aigov("review", "list", "--json")
    assert [one["ticket"] for one in told(ran)] == [ticket]
    assert "ORD-12345678" not in ran.out
    assert ticket in aigov("review", "list").out


def test_a_reviewer_sees_the_content(aigov, ticket) -> None:
    ran = aigov("review", "show", ticket, *ROSA, "--json")
    assert ran.code == Exit.OK
    assert "ORD-12345678" in ran.out
    assert list(told(ran)[0]) == [
        "ticket", "direction", "action", "resource", "requester", "tenant", "reasons", "call", "texts", "values",
    ]  # fmt: skip


def test_a_reviewer_sees_what_is_no_text_too(aigov, ticket) -> None:
    """A refund is decided by its amount."""
    assert told(aigov("review", "show", ticket, *ROSA, "--json"))[0]["values"] == [
        {"path": "/amount", "value": "250.0"}
    ]
    assert "250.0" in aigov("review", "show", ticket, *ROSA).out


@pytest.mark.parametrize("width", [80, 120])
def test_no_word_of_the_list_is_broken(aigov, ticket, answer, monkeypatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = aigov("review", "list").out
    for word in (ticket, answer, "tool:refund", "refund.over_limit", "model:gpt-4o-mini", "dana", "retail", "71h 59m"):
        assert word in out
    assert max(map(len, out.splitlines())) <= width


@pytest.mark.parametrize("command", ["show", "approve", "reject"])
@pytest.mark.parametrize(
    "who",
    [
        ("--as", "dana", "--role", "support-lead", "--tenant", "retail"),
        ("--as", "rosa", "--role", "support-agent", "--tenant", "retail"),
        ("--as", "rosa", "--role", "support-lead"),
    ],
)
def test_whoever_may_not_decide_is_told_no_and_sees_nothing(aigov, ticket, command: str, who: tuple[str, ...]) -> None:
    ran = aigov("review", command, ticket, *who)
    assert ran.code == Exit.NO
    assert "ORD-12345678" not in ran.out + ran.err
    assert ran.err.splitlines()[-1].startswith("aigov: review.")


def test_an_approved_call_is_made_once(aigov, gov, ticket) -> None:
    ran = aigov("review", "approve", ticket, *ROSA, "--note", "checked.by_phone", "--json")
    assert told(ran) == [{"ticket": ticket, "state": "approved"}]
    assert gov.resume(ticket) == "250.00 for ORD-12345678"
    with pytest.raises(Denied):
        gov.resume(ticket)


def test_a_rejected_call_is_never_made(aigov, gov, ticket) -> None:
    assert aigov("review", "reject", ticket, *ROSA).code == Exit.OK
    with pytest.raises(Denied):
        gov.resume(ticket)
    assert aigov("review", "approve", ticket, *ROSA).code == Exit.NO


def test_an_answer_can_be_put_right_before_it_goes_out(aigov, gov, answer, here) -> None:
    (here / "better.json").write_text('{"text": "on Monday", "confidence": 1.0}')
    assert aigov("review", "approve", answer, *ROSA, "--edited", "better.json").code == Exit.OK
    assert gov.resume(answer) == {"text": "on Monday", "confidence": 1.0}


def test_texts_of_an_answer_can_be_replaced_by_their_paths(aigov, gov, answer, here) -> None:
    (shown,) = [
        text for text in told(aigov("review", "show", answer, *ROSA, "--json"))[0]["texts"] if "perhaps" in text["text"]
    ]
    (here / "texts.json").write_text(json.dumps({shown["path"]: "on Monday"}))
    assert aigov("review", "approve", answer, *ROSA, "--texts", "texts.json").code == Exit.OK
    assert gov.resume(answer) == {"text": "on Monday", "confidence": 0.3}


@pytest.mark.parametrize("content", ["{", "[1]", '{"/text": 1}'])
def test_texts_that_are_no_object_of_texts_are_a_usage_error(aigov, answer, here, content: str) -> None:
    (here / "texts.json").write_text(content)
    assert aigov("review", "approve", answer, *ROSA, "--texts", "texts.json").code == Exit.USAGE


def test_a_call_cannot_be_edited(aigov, ticket, here) -> None:
    (here / "other.json").write_text('{"order": "ORD-12345678", "amount": 1.0}')
    assert aigov("review", "approve", ticket, *ROSA, "--edited", "other.json").code != Exit.OK


def test_an_edit_that_is_no_json_is_a_usage_error(aigov, answer, here) -> None:
    (here / "broken.json").write_text("{")
    assert aigov("review", "approve", answer, *ROSA, "--edited", "broken.json").code == Exit.USAGE


def test_a_decision_is_recorded(aigov, gov, ticket) -> None:
    aigov("review", "reject", ticket, *ROSA)
    kinds = [one["kind"] for one in told(aigov("audit", "show", ticket, "--json"))]
    assert "review.opened" in kinds
    assert "review.decided" in kinds


def test_an_unknown_ticket_is_said(aigov, here) -> None:
    ran = aigov("review", "show", "rv_nothing", *ROSA)
    assert ran.code == Exit.NO
    assert "review.unknown" in ran.err


def test_a_note_that_is_no_code_is_a_usage_error(aigov, ticket) -> None:
    ran = aigov("review", "approve", ticket, *ROSA, "--note", "jane@example.com wants it")
    assert ran.code == Exit.USAGE
    assert "jane" not in ran.err


def test_nothing_waiting_is_said(aigov, here) -> None:
    assert aigov("review", "list").out == "no ticket is pending\n"

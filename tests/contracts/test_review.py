"""The public surface: what a person decides, and going on with it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from aigov import Denied, Principal, Refused, ReviewError, ReviewPending
from aigov.errors import AuditUnavailable
from aigov.policy import lockdown
from aigov.testing import Trial, governor
from tests.conftest import CHAT, DANA, LEO, REFUND

pytestmark = pytest.mark.contract


class Shop:
    """What the application wraps; counts what really happens."""

    def __init__(self, trial: Trial) -> None:
        self.paid: list[tuple[str, float]] = []
        guard = trial.gov.guard(**REFUND)

        @guard
        def refund(order: str, amount: float) -> str:
            self.paid.append((order, amount))
            return f"paid {amount} for {order}"

        self.refund = refund


def pending(trial: Trial, call: Any) -> str:
    with trial.gov.acting_as(DANA), pytest.raises(ReviewPending) as caught:
        call()
    assert caught.value.status == 202
    assert caught.value.ticket
    return caught.value.ticket


def test_an_approved_call_runs_once_with_what_was_asked_for(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("ORD-12345678", 250.0))
    assert shop.paid == []
    assert trial.gov.review(ticket).state == "pending"
    trial.gov.approve(ticket, LEO)
    assert trial.gov.resume(ticket) == "paid 250.0 for ORD-12345678"
    assert len(shop.paid) == 1
    assert shop.paid[0][0] != "ORD-12345678"
    with pytest.raises(Denied) as again:
        trial.gov.resume(ticket)
    assert again.value.reason == "review.already_resumed"
    assert len(shop.paid) == 1


def test_every_step_of_a_review_is_recorded(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    trial.gov.approve(ticket, LEO)
    trial.gov.resume(ticket)
    told = [record for record in trial.records() if record.get("ticket") == ticket]
    assert [record["kind"] for record in told] == [
        "review.opened", "call.denied", "review.decided", "call.intent", "call.outcome",
    ]  # fmt: skip


@pytest.mark.parametrize("shape", ["coroutine", "generator"])
def test_other_shapes_resume_as_what_they_are(trial: Trial, shape: str) -> None:
    guard = trial.gov.guard(**REFUND)

    @guard
    async def coroutine(amount: float) -> str:
        return f"paid {amount}"

    @guard
    def generator(amount: float) -> Iterator[str]:
        yield from ("paid ", str(amount))

    calls = {"coroutine": lambda: asyncio.run(coroutine(250.0)), "generator": lambda: list(generator(250.0))}
    ticket = pending(trial, calls[shape])
    trial.gov.approve(ticket, LEO)
    resumed = trial.gov.resume(ticket)
    text = asyncio.run(resumed) if shape == "coroutine" else "".join(resumed)
    assert text == "paid 250.0"


def test_a_pending_ticket_cannot_be_resumed(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    with pytest.raises(Denied) as refused:
        trial.gov.resume(ticket)
    assert refused.value.reason == "review.pending"


def test_a_rejected_call_is_denied_for_good(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    trial.gov.reject(ticket, LEO)
    with pytest.raises(Denied) as refused:
        trial.gov.resume(ticket)
    assert refused.value.reason == "review.rejected"
    assert shop.paid == []


def test_nobody_reviews_a_call_of_their_own_or_without_the_right(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    own = Principal(id="dana", roles=("support-lead",), tenant="retail")
    peer = Principal(id="pat", roles=("support-agent",), tenant="retail")
    for reviewer in (own, peer):
        with pytest.raises(ReviewError):
            trial.gov.approve(ticket, reviewer)
    assert trial.gov.review(ticket).state == "pending"


def test_an_unknown_ticket_is_denied_and_says_nothing(trial: Trial) -> None:
    for ticket in ("rv_" + "a" * 24, "", "../../etc/passwd", "x" * 100_000):
        with pytest.raises(Denied) as refused:
            trial.gov.resume(ticket)
        assert refused.value.reason == "review.unknown"


def test_a_function_that_is_not_registered_cannot_be_resumed_and_the_ticket_stays(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    trial.gov.approve(ticket, LEO)
    other = type(trial.gov).from_policies(trial.policies, audit=trial.audit)
    with other, pytest.raises(Denied) as refused:
        other.resume(ticket)
    assert refused.value.reason == "review.not_resumable"
    assert trial.gov.resume(ticket).startswith("paid")


def test_two_closures_of_one_name_are_not_told_apart_so_neither_is_resumed(trial: Trial) -> None:
    one, two = Shop(trial), Shop(trial)
    ticket = pending(trial, lambda: one.refund("1", 250.0))
    trial.gov.approve(ticket, LEO)
    with pytest.raises(Denied) as refused:
        trial.gov.resume(ticket)
    assert refused.value.reason == "review.not_resumable"
    assert (one.paid, two.paid) == ([], [])


def test_an_answer_that_is_unsure_waits_and_may_be_edited(trial: Trial) -> None:
    asked: list[str] = []

    @trial.gov.guard(**CHAT)
    def ask(question: str) -> dict[str, Any]:
        asked.append(question)
        return {"text": "perhaps", "confidence": 0.4}

    ticket = pending(trial, lambda: ask("sure?"))
    trial.gov.approve(ticket, LEO, edited={"text": "certainly", "confidence": 1.0})
    assert trial.gov.resume(ticket) == {"text": "certainly", "confidence": 1.0}
    assert len(asked) == 1


def test_an_answer_that_is_sure_is_released(trial: Trial) -> None:
    answer = {"text": "yes", "confidence": 0.99}
    assert trial.gov.call(lambda question: answer, "sure?", **CHAT, principal=DANA) == answer


@pytest.mark.parametrize("stated", [float("nan"), "0.99", True, -1, 2])
def test_a_confidence_that_is_no_number_from_0_to_1_counts_as_too_low(trial: Trial, stated: Any) -> None:
    with pytest.raises(ReviewPending):
        trial.gov.call(lambda question: {"confidence": stated}, "sure?", **CHAT, principal=DANA)


def test_a_lockdown_or_a_lost_right_keeps_an_approved_answer_and_its_ticket(trial: Trial) -> None:
    @trial.gov.guard(**CHAT)
    def ask(question: str) -> dict[str, Any]:
        return {"text": "perhaps", "confidence": 0.4}

    ticket = pending(trial, lambda: ask("sure?"))
    trial.gov.approve(ticket, LEO)
    lockdown.declare(trial.policies, "drill")
    with pytest.raises(Denied) as refused:
        trial.gov.resume(ticket)
    assert (refused.value.reason, refused.value.ticket) == ("lockdown.active", ticket)
    lockdown.lift(trial.policies)
    assert trial.gov.resume(ticket)["text"] == "perhaps"


@pytest.mark.parametrize("brought", ["write to bob@other.org", "fine"])
def test_an_approved_call_is_no_leave_for_an_answer_that_nobody_saw(brought: str) -> None:
    entities = "default: tokenise\n  entities: {EMAIL_ADDRESS: review, URL: allow}"
    with governor(change={"default: tokenise": entities}) as trial:
        ask = trial.gov.guard(**CHAT)(Answers(brought).ask)
        ticket = pending(trial, lambda: ask("mail jane@example.com"))
        trial.gov.approve(ticket, LEO)
        if "@" in brought:
            with pytest.raises(ReviewPending) as again:
                trial.gov.resume(ticket)
            ticket = again.value.ticket or ""
            trial.gov.approve(ticket, LEO)
        assert trial.gov.resume(ticket) == brought


class Answers:
    """A provider that always says the same."""

    def __init__(self, text: str) -> None:
        self.text = text

    def ask(self, question: str) -> str:
        return self.text


def test_a_function_that_takes_other_arguments_now_is_not_called_and_the_ticket_stays(trial: Trial) -> None:
    called: list[float] = []

    def before(order: str, amount: float = 1.0) -> str:
        called.append(amount)
        return "paid"

    def after(order: str, total: float = 1000.0) -> str:
        called.append(total)
        return "paid"

    after.__qualname__ = before.__qualname__
    ticket = pending(trial, lambda: trial.gov.guard(**REFUND)(before)("1", 250.0))
    trial.gov.approve(ticket, LEO)
    with type(trial.gov).from_policies(trial.policies, audit=trial.audit) as other:
        other.guard(**REFUND)(after)
        with pytest.raises(Denied) as refused:
            other.resume(ticket)
    assert refused.value.reason == "review.not_resumable"
    assert called == []
    assert trial.gov.resume(ticket) == "paid"
    assert called == [250.0]


def test_a_ticket_is_carried_out_as_the_action_on_the_resource_that_it_names(trial: Trial) -> None:
    def refund(amount: float) -> str:
        return "paid"

    ticket = pending(trial, lambda: trial.gov.call(refund, 250.0, action="tool:refund", resource="order:1"))
    assert trial.gov.call(refund, 5.0, action="tool:refund", resource="order:2", principal=DANA) == "paid"
    trial.gov.approve(ticket, LEO)
    assert trial.gov.resume(ticket) == "paid"
    assert trial.records("call.intent")[-1]["resource"] == "order:1"


def test_a_method_of_the_same_object_is_the_same_function_however_often_it_is_called(trial: Trial) -> None:
    class Till:
        def refund(self, amount: float) -> str:
            return "paid"

    till, other = Till(), Till()
    tickets = [pending(trial, lambda: trial.gov.call(till.refund, 250.0, **REFUND)) for _ in range(2)]
    for ticket in tickets:
        trial.gov.approve(ticket, LEO)
    assert trial.gov.resume(tickets[0]) == "paid"
    trial.gov.call(other.refund, 5.0, **REFUND, principal=DANA)
    with pytest.raises(Denied) as refused:
        trial.gov.resume(tickets[1])
    assert refused.value.reason == "review.not_resumable"


def agent(person: str) -> Principal:
    """An agent that acts for somebody."""
    behind = Principal(id=person, roles=("support-agent",), tenant="retail")
    return Principal(id="agent", roles=("support-agent",), tenant="retail", on_behalf_of=behind)


def test_what_an_agent_asked_for_one_person_it_does_not_resume_for_another(trial: Trial) -> None:
    shop = Shop(trial)
    with trial.gov.acting_as(agent("alice")), pytest.raises(ReviewPending) as caught:
        shop.refund("1", 250.0)
    trial.gov.approve(caught.value.ticket or "", LEO)
    with trial.gov.acting_as(agent("bob")), pytest.raises(Denied) as refused:
        trial.gov.resume(caught.value.ticket or "")
    assert refused.value.reason == "review.not_requester"
    with trial.gov.acting_as(agent("alice")):
        assert trial.gov.resume(caught.value.ticket or "").startswith("paid")


@pytest.mark.parametrize("decide", ["approve", "reject"])
def test_a_decision_that_cannot_be_recorded_is_none(trial: Trial, decide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))

    def full(record: Any, settings: Any) -> Any:
        raise AuditUnavailable("no space")

    with monkeypatch.context() as patched:
        patched.setattr(trial.gov._stores, "append", full)
        with pytest.raises(Denied) as refused:
            getattr(trial.gov, decide)(ticket, LEO)
        assert refused.value.reason == "audit.unavailable"
    assert trial.gov.review(ticket).state == "pending"
    trial.gov.approve(ticket, LEO)
    assert trial.gov.resume(ticket).startswith("paid")


def test_what_is_no_ticket_is_unknown_whatever_it_says_of_itself(trial: Trial) -> None:
    class Sly:
        def __str__(self) -> str:
            return "rv_" + "a" * 24

    for ticket in (Sly(), None, 5, b"rv_" + b"a" * 24):
        with pytest.raises(Denied) as refused:
            trial.gov.resume(ticket)  # type: ignore[arg-type]
        assert refused.value.reason == "review.unknown"


class Percent(float):
    """A number that says more of itself than it is."""

    def __float__(self) -> float:
        return 1.0


class Coy(dict[str, Any]):
    """An answer that hides what it states."""

    confidence = 0.1

    def get(self, key: str, default: Any = None) -> Any:
        return default


@dataclasses.dataclass
class Moody:
    """An answer whose own code breaks, with content in its words."""

    text: str

    @property
    def confidence(self) -> float:
        raise ValueError(self.text)


@pytest.mark.parametrize(
    "answer", [{"confidence": Percent(0.1)}, {"confidence": 10**400}, Coy(), Coy(confidence=0.2), Moody("perhaps")]
)
def test_no_answer_gets_around_the_confidence_that_it_states(trial: Trial, answer: Any) -> None:
    with pytest.raises(Refused) as refused:
        trial.gov.call(lambda question: answer, "sure?", **CHAT, principal=DANA)
    assert refused.value.reason in {"review.low_confidence", "review.not_resumable"}
    assert "perhaps" not in repr(refused.value)


def test_a_decimal_is_a_number_too(trial: Trial) -> None:
    answer = {"confidence": Decimal("0.95")}
    assert trial.gov.call(lambda question: answer, "sure?", **CHAT, principal=DANA) == answer


def test_an_approval_is_no_more_than_what_was_seen(trial: Trial) -> None:
    """The role was taken away between approval and resume."""
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    trial.gov.approve(ticket, LEO)
    policy = trial.policies / "access" / "policy.csv"
    policy.write_text(policy.read_text().replace("p, support-agent, retail, *, tool:refund\n", ""))
    trial.gov.reload()
    with pytest.raises(Denied) as refused:
        trial.gov.resume(ticket)
    assert refused.value.reason == "access.denied"
    assert shop.paid == []


def test_many_threads_resume_a_ticket_and_one_succeeds(trial: Trial) -> None:
    shop = Shop(trial)
    ticket = pending(trial, lambda: shop.refund("1", 250.0))
    trial.gov.approve(ticket, LEO)

    def attempt(_: int) -> bool:
        try:
            trial.gov.resume(ticket)
        except Denied:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert len(shop.paid) == 1


def test_a_ticket_past_its_time_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    with governor(change={"expires: 72h": "expires: 1m"}) as trial:
        shop = Shop(trial)
        ticket = pending(trial, lambda: shop.refund("1", 250.0))
        desk = trial.gov._desk()
        monkeypatch.setattr(desk, "_clock", lambda: __import__("time").time() + 61)
        with pytest.raises(ReviewError) as late:
            trial.gov.approve(ticket, LEO)
        assert late.value.code == "review.expired"
        with pytest.raises(Denied) as refused:
            trial.gov.resume(ticket)
    assert refused.value.reason == "review.expired"

"""The life of a ticket: who may decide it, when, once; and what is shown and kept of it."""

from __future__ import annotations

import stat
from typing import Any

import msgspec
import pytest

from aigov.review.cases import STATES, Case
from aigov.review.codes import CODES
from aigov.review.desk import Desk
from aigov.review.values import pack, unpack
from aigov.types import Part, Principal

DAY_S = 86_400


def opened(desk: Desk, kit: Any, state: str, **more: Any) -> str:
    """A ticket in this state."""
    ticket = desk.open(kit.case(**more))
    if state in ("approved", "claimed", "done"):
        desk.approve(ticket, kit.rita, kit.anyone)
    if state in ("claimed", "done"):
        desk.claim(ticket)
    if state == "done":
        desk.finish(ticket)
    if state == "rejected":
        desk.reject(ticket, kit.rita, kit.anyone)
    if state == "expired":
        kit.now += kit.expires_s
    return ticket


def test_an_approved_ticket_gives_back_the_whole_case(desk: Desk, kit: Any) -> None:
    case = kit.case(content={"answer": kit.canary, "confidence": 0.4})
    ticket = desk.open(case)
    desk.approve(ticket, kit.rita, kit.anyone, note_code="looks.fine")
    claim = desk.claim(ticket)
    assert claim.case == case
    assert claim.case.requester.attributes == case.requester.attributes
    assert (claim.judgement.reviewer, claim.judgement.note_code) == (kit.rita, "looks.fine")


def test_a_ticket_outlives_its_desk(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    kit.desk().approve(ticket, kit.rita, kit.anyone)
    assert kit.desk().claim(ticket).case == kit.case()


def test_a_ticket_cannot_be_guessed(desk: Desk, kit: Any) -> None:
    tickets = {desk.open(kit.case()) for _ in range(20)}
    assert len(tickets) == 20
    assert all(len(ticket) == 27 and ticket.startswith("rv_") for ticket in tickets)


@pytest.mark.parametrize(
    "ticket", ["", "rv_", "rv_" + "a" * 24, "x' OR 1=1 --", "\ud800", "a" * 100_000, None, 3, b"rv_"], ids=repr
)
def test_an_unknown_ticket_is_said_to_be_unknown(desk: Desk, kit: Any, ticket: Any) -> None:
    desk.open(kit.case())
    calls = [desk.status, desk.claim, desk.finish]
    assert {kit.code(call, ticket) for call in calls} == {"review.unknown"}
    deciding = [desk.show, desk.approve, desk.reject]
    assert {kit.code(call, ticket, kit.rita, kit.anyone) for call in deciding} == {"review.unknown"}


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("pending", "review.pending"),
        ("rejected", "review.rejected"),
        ("expired", "review.expired"),
        ("claimed", "review.already_resumed"),
        ("done", "review.already_resumed"),
    ],
)
def test_only_an_approved_ticket_is_claimed(desk: Desk, kit: Any, state: str, code: str) -> None:
    assert kit.code(desk.claim, opened(desk, kit, state)) == code


@pytest.mark.parametrize("state", ["approved", "rejected", "claimed", "done"])
def test_a_ticket_is_decided_once(desk: Desk, kit: Any, state: str) -> None:
    ticket = opened(desk, kit, state)
    for decide in (desk.approve, desk.reject):
        assert kit.code(decide, ticket, kit.rita, kit.anyone) == "review.already_decided"
    assert desk.status(ticket).state == state


def test_a_late_decision_is_refused(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "expired")
    for decide in (desk.approve, desk.reject, desk.show):
        assert kit.code(decide, ticket, kit.rita, kit.anyone) == "review.expired"


@pytest.mark.parametrize("state", [state for state in STATES if state not in ("claimed", "done")])
def test_only_a_claimed_ticket_is_finished(desk: Desk, kit: Any, state: str) -> None:
    assert kit.code(desk.finish, opened(desk, kit, state)) == "review.not_claimed"


def test_finishing_twice_does_nothing_more(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "done")
    desk.finish(ticket)
    assert desk.status(ticket).state == "done"


@pytest.mark.parametrize("state", STATES)
def test_status_tells_the_state(desk: Desk, kit: Any, state: str) -> None:
    status = desk.status(opened(desk, kit, state))
    assert (status.state, status.function, status.requester) == (state, "shop.desk:refund", kit.dana)
    assert (status.judgement is None) == (state in ("pending", "expired"))


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [False, None, 0, 1, "yes", object, [True]], ids=repr)
def test_only_true_permits(desk: Desk, kit: Any, answer: Any) -> None:
    ticket = desk.open(kit.case())
    for decide in (desk.approve, desk.reject, desk.show):
        assert kit.code(decide, ticket, kit.rita, lambda *asked: answer) == "review.not_permitted"
    assert desk.status(ticket).state == "pending"


def test_access_that_cannot_be_asked_is_not_given(desk: Desk, kit: Any) -> None:
    def broken(reviewer: Principal, action: str, resource: str) -> bool:
        raise RuntimeError(kit.canary)

    ticket = desk.open(kit.case())
    assert kit.code(desk.approve, ticket, kit.rita, broken) == "review.not_permitted"


def test_the_right_asked_for_is_review_on_the_resource(desk: Desk, kit: Any) -> None:
    asked: list[Any] = []

    def permits(*question: Any) -> bool:
        asked.append(question)
        return True

    desk.approve(desk.open(kit.case()), kit.rita, permits)
    assert asked == [(kit.rita, "review", "tool:refund")]


def test_a_reviewer_of_another_tenant_is_refused(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    for tenant in ("", "Retail", "wholesale"):
        stranger = Principal(id="rita", tenant=tenant)
        assert kit.code(desk.approve, ticket, stranger, kit.anyone) == "review.not_permitted"


@pytest.mark.parametrize("reviewer", [None, "rita", {"id": "rita"}])
def test_a_reviewer_is_a_principal(desk: Desk, kit: Any, reviewer: Any) -> None:
    assert kit.code(desk.approve, desk.open(kit.case()), reviewer, kit.anyone) == "review.not_permitted"


BOT = Principal(id="bot", tenant="retail", on_behalf_of=Principal(id="boss", on_behalf_of=Principal(id="owner")))


@pytest.mark.parametrize(
    "reviewer",
    [
        Principal(id="bot", tenant="retail"),
        Principal(id="BOT ", tenant="retail"),
        Principal(id="ｂｏｔ", tenant="retail"),
        Principal(id="boss", tenant="retail"),
        Principal(id="owner", tenant="retail"),
        Principal(id="rita", tenant="retail", on_behalf_of=Principal(id="boss")),
    ],
    ids=lambda reviewer: reviewer.id,
)
def test_nobody_decides_a_call_of_their_own(desk: Desk, kit: Any, reviewer: Principal) -> None:
    ticket = desk.open(kit.case(requester=BOT))
    for decide in (desk.approve, desk.reject, desk.show):
        assert kit.code(decide, ticket, reviewer, kit.anyone) == "review.own_ticket"
    assert desk.status(ticket).state == "pending"


# -- what was edited -------------------------------------------------------------------------------


def test_an_edited_answer_goes_out_in_the_place_of_the_old(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case(content="wrong"))
    status = desk.approve(ticket, kit.rita, kit.anyone, edited=pack("right"))
    assert status.judgement.edited
    assert unpack(desk.show(ticket, kit.rita, kit.anyone).content) == "right"
    assert unpack(desk.claim(ticket).case.content) == "right"


def test_arguments_are_not_edited(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case("input", content={"amount": 900}))
    edited = pack({"amount": 1})
    assert kit.code(desk.approve, ticket, kit.rita, kit.anyone, edited=edited) == "review.not_editable"
    assert desk.status(ticket).state == "pending"


@pytest.mark.parametrize("edited", [pack(1), pack(["text"]), pack(None), pack({"a": "text"})])
def test_an_edit_keeps_the_kind_of_the_answer(desk: Desk, kit: Any, edited: bytes) -> None:
    ticket = desk.open(kit.case(content="text"))
    assert kit.code(desk.approve, ticket, kit.rita, kit.anyone, edited=edited) == "review.not_editable"


@pytest.mark.parametrize("edited", [b"", b"\xff", b'["o"]', b'["l",["x"]]', b'"' + b"x" * 9_000_000 + b'"', '"text"'])
def test_an_edit_that_nobody_packed_is_refused(desk: Desk, kit: Any, edited: Any) -> None:
    ticket = desk.open(kit.case())
    assert kit.code(desk.approve, ticket, kit.rita, kit.anyone, edited=edited) == "review.not_resumable"
    assert desk.status(ticket).state == "pending"


@pytest.mark.parametrize("note", ["", "Looks fine", "canary-4111-jane", "ok\n", "a" * 65, "ä", 3])
def test_a_note_is_a_code(desk: Desk, kit: Any, note: Any) -> None:
    ticket = desk.open(kit.case())
    for decide in (desk.approve, desk.reject):
        assert kit.code(decide, ticket, kit.rita, kit.anyone, note_code=note) == "review.bad_note"


# -- time ------------------------------------------------------------------------------------------


def test_a_ticket_expires_at_its_very_limit(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    kit.now += kit.expires_s - 0.001
    assert desk.status(ticket).state == "pending"
    kit.now += 0.001
    assert desk.status(ticket).state == "expired"


def test_an_approval_expires_with_its_ticket(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "approved")
    kit.now += kit.expires_s
    assert kit.code(desk.claim, ticket) == "review.expired"


def test_a_clock_set_back_brings_nothing_back(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "approved")
    kit.now += kit.expires_s
    assert desk.status(ticket).state == "expired"
    kit.now -= DAY_S
    assert kit.code(desk.claim, ticket) == "review.expired"


def test_an_expired_ticket_stays_so_in_a_process_with_an_older_clock(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "expired")
    desk.sweep()
    kit.now -= DAY_S
    other = kit.desk()
    assert other.status(ticket).state == "expired"
    assert kit.code(other.approve, ticket, kit.rita, kit.anyone) == "review.expired"


def test_times_in_a_ticket_never_run_backwards(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case())
    kit.now -= DAY_S
    status = kit.desk().approve(ticket, kit.rita, kit.anyone)
    assert status.judgement.at_us >= status.opened_us


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -1.0, 1e300, 2.0**33])
def test_a_broken_clock_decides_nothing(desk: Desk, kit: Any, now: float) -> None:
    ticket = opened(desk, kit, "approved")
    kit.now = now
    calls = [
        lambda: desk.open(kit.case()),
        desk.list,
        desk.sweep,
        lambda: desk.claim(ticket),
        lambda: desk.status(ticket),
    ]
    assert {kit.code(call) for call in calls} == {"review.unavailable"}


# -- what is kept ----------------------------------------------------------------------------------


def content_of(kit: Any, ticket: str) -> tuple[Any, Any]:
    return kit.raw("SELECT content, shown FROM ticket WHERE id = ?", ticket)[0]


@pytest.mark.parametrize("state", ["rejected", "done"])
def test_content_is_wiped_with_the_last_step(desk: Desk, kit: Any, state: str) -> None:
    assert content_of(kit, opened(desk, kit, state)) == (None, None)


@pytest.mark.parametrize("state", ["pending", "approved", "claimed"])
def test_content_past_its_time_is_swept(desk: Desk, kit: Any, state: str) -> None:
    ticket = opened(desk, kit, state)
    assert desk.sweep() == 0
    assert None not in content_of(kit, ticket)
    kit.now += kit.expires_s
    assert desk.sweep() == 1
    assert content_of(kit, ticket) == (None, None)
    assert desk.status(ticket).state == ("claimed" if state == "claimed" else "expired")
    assert desk.sweep() == 0


def test_opening_a_ticket_sweeps(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "expired")
    desk.open(kit.case())
    assert content_of(kit, ticket) == (None, None)


def test_a_process_that_does_not_know_the_classes_uses_nothing_up(desk: Desk, kit: Any) -> None:
    content = msgspec.json.encode(["o", "a_module_of_another_process:Thing", [], ["d"], ["d"]])
    ticket = opened(desk, kit, "approved", direction="input")
    other = desk.open(msgspec.structs.replace(kit.case("input"), content=content))
    desk.approve(other, kit.rita, kit.anyone)
    assert kit.code(desk.claim, other) == "review.not_resumable"
    assert (desk.status(other).state, desk.claim(ticket).ticket) == ("approved", ticket)


def test_a_process_that_died_leaves_its_ticket_claimed(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "claimed")
    assert kit.code(kit.desk().claim, ticket) == "review.already_resumed"
    assert desk.show(ticket, kit.rita, kit.anyone) == kit.case()
    kit.now += kit.expires_s
    desk.sweep()
    assert desk.status(ticket).state == "claimed"
    assert kit.code(desk.show, ticket, kit.rita, kit.anyone) == "review.expired"


@pytest.mark.parametrize(("state", "code"), [("rejected", "review.rejected"), ("done", "review.already_resumed")])
def test_wiped_content_is_not_shown(desk: Desk, kit: Any, state: str, code: str) -> None:
    assert kit.code(desk.show, opened(desk, kit, state), kit.rita, kit.anyone) == code


def test_nothing_of_a_case_lies_readable_on_the_disk(desk: Desk, kit: Any) -> None:
    secret = Principal(id="canary-id", tenant="canary-tenant", attributes={"mail": "canary-mail"})
    ticket = desk.open(kit.case(requester=secret, session="canary-session"))
    reviewer = Principal(id="canary-reviewer", tenant="canary-tenant")
    desk.approve(ticket, reviewer, kit.anyone, edited=pack("canary-edited"))
    stored = b"".join(file.read_bytes() for file in kit.path.parent.iterdir())
    assert ticket.encode() in stored
    assert b"canary" not in stored


def test_the_file_is_for_its_owner_alone(desk: Desk, kit: Any) -> None:
    desk.open(kit.case())
    assert stat.S_IMODE(kit.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kit.path.parent.stat().st_mode) == 0o700


def test_a_file_open_to_others_is_closed(desk: Desk, kit: Any) -> None:
    kit.path.chmod(0o666)
    kit.desk()
    assert stat.S_IMODE(kit.path.stat().st_mode) == 0o600


def test_no_repr_holds_content_or_people(desk: Desk, kit: Any) -> None:
    canary = Principal(id="canary", tenant="retail")
    case: Case = kit.case(requester=canary)
    ticket = desk.open(case)
    seen = [desk, case, desk.status(ticket), *desk.list(), desk.show(ticket, kit.rita, kit.anyone)]
    seen += [desk.approve(ticket, Principal(id="canary2", tenant="retail"), kit.anyone), desk.claim(ticket)]
    seen += [desk.status(ticket).judgement]
    assert "canary" not in repr(seen)


def test_a_case_that_cannot_be_kept_is_refused(desk: Desk, kit: Any) -> None:
    broken = Principal(id="\ud800", tenant="retail")
    assert kit.code(desk.open, kit.case(requester=broken)) == "review.not_resumable"
    large = (Part(path="", text="x" * 9_000_000),)
    assert kit.code(desk.open, kit.case(shown=large)) == "review.not_resumable"


# -- the list --------------------------------------------------------------------------------------


def test_the_list_is_in_the_order_of_opening_and_can_be_narrowed(desk: Desk, kit: Any) -> None:
    tickets = []
    for state in ("rejected", "done", "claimed", "approved", "pending"):
        kit.now += 1
        tickets.append(opened(desk, kit, state))
    assert [line.ticket for line in desk.list()] == tickets
    assert [line.ticket for line in desk.list("approved")] == [tickets[3]]
    assert desk.list("expired") == ()
    kit.now += kit.expires_s
    assert [line.ticket for line in desk.list("expired")] == tickets[3:]


def test_a_line_of_the_list_is_json_with_stable_keys(desk: Desk, kit: Any) -> None:
    ticket = opened(desk, kit, "approved")
    kit.now += 30.5
    assert msgspec.json.decode(msgspec.json.encode(desk.list()[0])) == {
        "ticket": ticket,
        "state": "approved",
        "direction": "output",
        "action": "tool:refund",
        "resource": "tool:refund",
        "function": "shop.desk:refund",
        "requester": "dana",
        "tenant": "retail",
        "reasons": ["review.low_confidence"],
        "opened": "2023-11-14T22:13:20Z",
        "expires": "2023-11-14T22:15:00Z",
        "left_s": 69,
        "reviewer": "rita",
        "decided": "2023-11-14T22:13:20Z",
        "note_code": "",
        "edited": False,
    }


def test_a_state_that_does_not_exist_is_a_mistake_of_the_caller(desk: Desk) -> None:
    with pytest.raises(ValueError, match="a state is one of"):
        desk.list("open")  # type: ignore[arg-type]


def test_every_code_is_declared(desk: Desk) -> None:
    assert all(code.startswith("review.") and meaning for code, meaning in CODES.items())

"""The demo: forty tickets as promised, a model that knows only what it sees, and a story that holds."""

from __future__ import annotations

import re
import string

import pytest

from aigov.cli import starter
from aigov.demo import story
from aigov.demo.model import CHUNK_CHARS, FOREIGN, LocalModel
from aigov.demo.tickets import tickets

ORDER = re.compile(r"ORD-\d{8}")
CARD = re.compile(r"\d{4}(?: \d{4}){3}|\d{16}|3\d{3} \d{6} \d{5}")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[story.Event]:
    """The whole story, told once."""
    folder = tmp_path_factory.mktemp("demo")
    starter.write(folder)
    story.furnish(folder)
    return list(story.tell(folder))


def events(told, kind):
    return [event for event in told if isinstance(event, kind)]


def luhn(digits: str) -> bool:
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def test_there_are_forty_and_no_two_alike() -> None:
    assert [ticket.id for ticket in tickets()] == [f"T-{number:02d}" for number in range(1, 41)]
    assert len({ticket.text for ticket in tickets()}) == 40


def test_every_card_number_has_its_check_digit() -> None:
    cards = [card for ticket in tickets() for card in CARD.findall(ticket.text) if "IBAN" not in ticket.text]
    cards = [re.sub(r"\D", "", card) for card in cards if not any(card in iban for iban in ibans())]
    assert len(cards) >= 6
    assert all(luhn(card) for card in cards)


def ibans() -> list[str]:
    return [iban for ticket in tickets() for iban in IBAN.findall(ticket.text)]


def test_every_iban_has_its_check_digits() -> None:
    assert len(ibans()) >= 5
    for iban in ibans():
        plain = iban.replace(" ", "")
        moved = plain[4:] + plain[:4]
        assert (
            int("".join(str(string.digits.find(c)) if c in string.digits else str(ord(c) - 55) for c in moved)) % 97
            == 1
        )


def test_every_domain_is_one_that_belongs_to_nobody() -> None:
    for ticket in tickets():
        for domain in re.findall(r"[@/]([a-z][a-z.-]*\.[a-z]{2,})", ticket.text):
            assert re.search(r"(^|\.)example\.(com|org|net|co\.uk)$", domain), domain


def test_the_tickets_are_as_varied_as_promised() -> None:
    text = "\n".join(ticket.text for ticket in tickets())
    assert sum(ticket.topic == "injection" for ticket in tickets()) == 2
    assert sum("\u200b" in ticket.text for ticket in tickets()) == 1
    assert {ticket.channel for ticket in tickets()} == {"email", "chat", "form", "voice"}
    assert {ticket.by for ticket in tickets()} == {"contractor", "agent", "lead"}
    assert sum(ticket.amount > 100 for ticket in tickets()) == 1
    assert len(ORDER.findall(text)) >= 25
    assert all(name in ticket.text for ticket in tickets() for name in ticket.names)
    assert '{"event"' in text
    assert ">> " in text
    assert any(ord(char) > 0x3000 for char in text)


def test_the_model_says_the_same_whole_and_streamed() -> None:
    model = LocalModel()
    for ticket in tickets():
        pieces = list(model.stream(ticket.text))
        assert "".join(pieces) == model.answer(ticket.text)["text"]
        assert all(len(piece) <= CHUNK_CHARS for piece in pieces)


def test_the_model_refers_to_people_by_the_tokens_that_it_sees() -> None:
    said = LocalModel().answer("refund to [IBAN_CODE_BCDFGHJK], write to [EMAIL_ADDRESS_KMNPQRST]")["text"]
    assert "[IBAN_CODE_BCDFGHJK]" in said
    assert "[EMAIL_ADDRESS_KMNPQRST]" in said


def test_no_personal_value_of_a_pattern_reaches_the_model(told) -> None:
    for event in events(told, story.Handled):
        assert not re.search(r"\S@\S", event.seen.replace("support@acme.example.com", "")), event.id
        assert not ORDER.search(event.seen), event.id
        assert not CARD.search(event.seen), event.id


def test_what_the_model_said_of_the_customer_comes_back_and_its_own_address_does_not(told) -> None:
    handled = {event.id: event for event in events(told, story.Handled)}
    assert "ingrid.solheim@example.com" in handled["T-17"].answer
    assert FOREIGN in handled["T-17"].said
    assert FOREIGN not in handled["T-17"].answer
    assert "[EMAIL_ADDRESS]" in handled["T-17"].answer
    assert all(FOREIGN not in event.answer for event in handled.values())


def test_who_may_not_is_refused_and_the_model_never_called(told) -> None:
    (refused,) = [event for event in events(told, story.Handled) if event.who == "kim"]
    assert (refused.outcome, refused.reasons, refused.seen) == ("refused", ("access.denied",), "")


def test_both_attacks_are_stopped_before_the_model(told) -> None:
    for event in events(told, story.Handled):
        if event.topic == "injection":
            assert event.outcome != "released", event.id
            assert event.seen == ""
            assert "INSTRUCTION_OVERRIDE" in event.noticed


def test_only_the_hidden_attack_holds_what_nobody_sees(told) -> None:
    hiding = [event.id for event in events(told, story.Handled) if "INVISIBLE_CHARACTER" in event.noticed]
    assert hiding == ["T-25"]


def test_everything_else_is_answered_or_waits_because_it_is_unsure(told) -> None:
    for event in events(told, story.Handled):
        if event.topic != "injection" and event.who != "kim":
            assert event.outcome == "released" or event.reasons == ("review.low_confidence",), event.id


def test_a_refund_waits_above_the_limit_alone(told) -> None:
    outcomes = {event.amount: event.outcome for event in events(told, story.Refunded)}
    assert outcomes == {249.90: "pending", 12.50: "released"}


def test_only_a_second_person_approves_and_then_the_refund_is_paid(told) -> None:
    reviews = [event for event in events(told, story.Reviewed) if event.id == "T-08"]
    assert [(event.who, event.outcome) for event in reviews] == [("dana", "refused"), ("rosa", "approved")]
    assert reviews[0].reasons == ("review.own_ticket",)
    assert "249.90" in reviews[1].answer
    assert "ORD-66201943" in reviews[1].answer


def test_an_edited_answer_goes_out_as_edited(told) -> None:
    edited = [event for event in events(told, story.Reviewed) if event.edited]
    assert 1 <= len(edited) <= 2
    assert all(event.resumed == "released" for event in edited)
    assert all("could not find a question" in event.answer for event in edited)


def test_a_rejected_call_is_refused_when_it_is_resumed(told) -> None:
    rejected = [event for event in events(told, story.Reviewed) if event.outcome == "rejected"]
    assert rejected
    assert all(event.resumed == "refused" for event in rejected)


def test_the_stream_is_cut_inside_tokens_and_comes_back_whole(told) -> None:
    (stream,) = events(told, story.Streamed)
    (ticket,) = [event for event in events(told, story.Handled) if event.id == stream.id]
    assert stream.answer == ticket.answer
    assert stream.restored >= 1
    assert any(piece.count("[") != piece.count("]") for piece in stream.pieces)


def test_few_names_reach_the_model_and_the_story_says_which(told) -> None:
    handled = events(told, story.Handled)
    unseen = [name for event in handled for name in event.unseen]
    assert sum(event.names for event in handled) >= 20
    assert len(unseen) <= 3
    assert "Jane Whitcombe" not in " ".join(event.seen for event in handled)
    assert all(name in event.seen for event in handled for name in event.unseen)


def test_the_log_verifies_and_its_changed_copy_does_not(told) -> None:
    assert [(event.copy, event.status) for event in events(told, story.Verified)] == [(False, 0), (True, 1)]

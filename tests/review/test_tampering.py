"""Somebody changes the ticket store by hand. No approval that nobody made passes, whatever they change."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from aigov.review.desk import Desk
from aigov.review.values import pack
from aigov.types import Principal

COLUMNS = ("id", "state", "opened_us", "expires_us", "changed_us", "card", "judgement", "mac", "shown", "content")
TAMPERED = "review.tampered"


def approved(desk: Desk, kit: Any, **more: Any) -> str:
    ticket = desk.open(kit.case(**more))
    desk.approve(ticket, kit.rita, kit.anyone)
    return ticket


def other_values(column: str, value: Any) -> list[Any]:
    """Values that fit the column's type and are not what stands there."""
    if isinstance(value, int):
        return [value + 1, value - 1, 0, -1, 2**62]
    if isinstance(value, bytes):
        return [
            value[:-1],
            value[:-1] + bytes([value[-1] ^ 1]),
            bytes([value[0] ^ 1]) + value[1:],
            b"",
            b"x" * len(value),
        ]
    if column == "id":
        return ["rv_" + "a" * 24]
    return [*("pending", "approved", "rejected", "claimed", "done", "expired", "", "tampered", "\x1b[31m"), value + "x"]


@pytest.mark.parametrize("column", COLUMNS)
def test_a_column_changed_by_hand_is_told(desk: Desk, kit: Any, column: str) -> None:
    ticket = approved(desk, kit)
    was = kit.raw(f"SELECT {column} FROM ticket")[0][0]
    for value in other_values(column, was):
        if value == was:
            continue
        kit.raw(f"UPDATE ticket SET {column} = ?", value)
        known = value if column == "id" else ticket
        assert kit.code(desk.claim, known) == TAMPERED
        assert kit.code(desk.show, known, kit.rita, kit.anyone) == TAMPERED
        kit.raw(f"UPDATE ticket SET {column} = ?", was)
    assert desk.claim(ticket).case == kit.case()


@pytest.mark.parametrize("column", ["judgement", "shown", "content"])
def test_a_column_emptied_by_hand_is_told(desk: Desk, kit: Any, column: str) -> None:
    ticket = approved(desk, kit)
    kit.raw(f"UPDATE ticket SET {column} = NULL")
    assert kit.code(desk.claim, ticket) == TAMPERED


@pytest.mark.parametrize("state", ["pending", "rejected", "expired", "claimed"])
def test_a_state_flipped_to_approved_does_not_pass(desk: Desk, kit: Any, state: str) -> None:
    ticket = desk.open(kit.case())
    if state == "claimed":
        desk.approve(ticket, kit.rita, kit.anyone)
        desk.claim(ticket)
    if state == "rejected":
        desk.reject(ticket, kit.rita, kit.anyone)
    if state == "expired":
        kit.now += kit.expires_s
    kit.raw("UPDATE ticket SET state = 'approved', expires_us = expires_us * 2")
    assert kit.code(desk.claim, ticket) == TAMPERED


def test_an_approval_copied_from_another_ticket_does_not_pass(desk: Desk, kit: Any) -> None:
    wanted = desk.open(kit.case("input", content={"amount": 1_000_000}))
    harmless = approved(desk, kit)
    donor = "(SELECT {0} FROM ticket WHERE id = ?)"
    columns = [name for name in COLUMNS if name != "id"]
    for taken in (
        columns,
        ["state", "judgement"],
        ["state", "judgement", "changed_us", "mac"],
        columns[:-1],
        columns[:-2],
    ):
        kept = kit.raw("SELECT * FROM ticket WHERE id = ?", wanted)[0]
        changes = ", ".join(f"{name} = {donor.format(name)}" for name in taken)
        kit.raw(f"UPDATE ticket SET {changes} WHERE id = ?", *[harmless] * len(taken), wanted)
        assert kit.code(desk.claim, wanted) == TAMPERED
        kit.raw("DELETE FROM ticket WHERE id = ?", wanted)
        kit.raw(f"INSERT INTO ticket VALUES ({', '.join('?' * len(kept))})", *kept)
    assert desk.status(wanted).state == "pending"


def test_a_row_under_another_id_does_not_pass(desk: Desk, kit: Any) -> None:
    ticket = approved(desk, kit)
    kit.raw("UPDATE ticket SET id = ?", "rv_" + "b" * 24)
    assert kit.code(desk.claim, "rv_" + "b" * 24) == TAMPERED
    assert kit.code(desk.claim, ticket) == "review.unknown"


@pytest.mark.parametrize(("one", "other"), [("content", "shown"), ("card", "content"), ("judgement", "card")])
def test_columns_swapped_within_a_row_do_not_pass(desk: Desk, kit: Any, one: str, other: str) -> None:
    ticket = approved(desk, kit)
    kit.raw(f"UPDATE ticket SET {one} = {other}, {other} = {one}")
    assert kit.code(desk.claim, ticket) == TAMPERED


@pytest.mark.parametrize("column", ["card", "judgement", "shown", "content"])
def test_what_is_sealed_in_one_ticket_does_not_open_in_another(desk: Desk, kit: Any, column: str) -> None:
    one, other = approved(desk, kit), approved(desk, kit)
    kit.raw(f"UPDATE ticket SET {column} = (SELECT {column} FROM ticket WHERE id = ?) WHERE id = ?", one, other)
    assert kit.code(desk.claim, other) == TAMPERED
    assert desk.claim(one).case == kit.case()


def test_the_answer_before_the_edit_cannot_be_put_back(desk: Desk, kit: Any) -> None:
    ticket = desk.open(kit.case(content="wrong"))
    before = kit.raw("SELECT content FROM ticket")[0][0]
    desk.approve(ticket, kit.rita, kit.anyone, edited=pack("right"))
    kit.raw("UPDATE ticket SET content = ?", before)
    assert kit.code(desk.claim, ticket) == TAMPERED


def test_a_ticket_sealed_under_another_key_does_not_pass(desk: Desk, kit: Any) -> None:
    forged = kit.desk(key=b"x" * 32)
    ticket = forged.open(kit.case())
    forged.approve(ticket, kit.rita, kit.anyone)
    for call in (desk.claim, desk.status, desk.finish):
        assert kit.code(call, ticket) == TAMPERED


@pytest.mark.parametrize(
    "trigger",
    [
        "CREATE TRIGGER again AFTER UPDATE ON ticket BEGIN UPDATE ticket SET state = OLD.state, mac = OLD.mac; END",
        "CREATE VIEW other AS SELECT * FROM ticket",
        "ALTER TABLE ticket ADD COLUMN more TEXT",
        "ALTER TABLE ticket RENAME COLUMN mac TO proof",
    ],
)
def test_a_store_with_other_machinery_in_it_is_refused(desk: Desk, kit: Any, trigger: str) -> None:
    ticket = approved(desk, kit)
    kit.raw(trigger)
    assert kit.code(desk.claim, ticket) == TAMPERED
    assert kit.code(kit.desk) == TAMPERED


def test_a_table_of_looser_types_is_refused(desk: Desk, kit: Any) -> None:
    ticket = approved(desk, kit)
    kit.raw("CREATE TABLE copied AS SELECT * FROM ticket")
    kit.raw("DROP TABLE ticket")
    kit.raw("ALTER TABLE copied RENAME TO ticket")
    assert kit.code(desk.claim, ticket) == TAMPERED


def test_values_of_other_types_are_told(desk: Desk, kit: Any) -> None:
    ticket = approved(desk, kit)
    base = sqlite3.connect(kit.path, isolation_level=None)
    base.execute("PRAGMA writable_schema = ON")
    base.execute("UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')")
    base.close()
    for column, value in [
        ("opened_us", "soon"),
        ("mac", b"\xff"),
        ("card", 3),
        ("state", b"approved"),
        ("content", 1.5),
    ]:
        was = kit.raw(f"SELECT {column} FROM ticket")[0][0]
        kit.raw(f"UPDATE ticket SET {column} = ?", value)
        base = sqlite3.connect(kit.path, isolation_level=None)
        base.execute("PRAGMA writable_schema = ON")
        base.execute("UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'ticket'")
        base.close()
        assert kit.code(desk.claim, ticket) == TAMPERED
        base = sqlite3.connect(kit.path, isolation_level=None)
        base.execute("PRAGMA writable_schema = ON")
        base.execute("UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')")
        base.close()
        kit.raw(f"UPDATE ticket SET {column} = ?", was)


def test_text_that_is_no_text_is_told(desk: Desk, kit: Any) -> None:
    ticket = approved(desk, kit)
    kit.raw("UPDATE ticket SET state = CAST(x'ff6170' AS TEXT)")
    assert kit.code(desk.claim, ticket) == TAMPERED


def test_one_row_changed_by_hand_does_not_hide_the_others(desk: Desk, kit: Any) -> None:
    good, bad = desk.open(kit.case()), desk.open(kit.case())
    kit.raw("UPDATE ticket SET expires_us = 1 WHERE id = ?", bad)
    assert {line.ticket: line.state for line in desk.list()} == {good: "pending", bad: "tampered"}
    assert [line.ticket for line in desk.list("tampered")] == [bad]


def test_an_id_written_by_hand_is_not_shown(desk: Desk, kit: Any) -> None:
    desk.open(kit.case())
    kit.raw("UPDATE ticket SET id = char(27) || '[31mcanary'")
    assert [line.ticket for line in desk.list()] == ["?"]


def test_a_sweep_leaves_a_row_changed_by_hand_as_it_is(desk: Desk, kit: Any) -> None:
    desk.open(kit.case())
    kit.raw("UPDATE ticket SET expires_us = 1")
    before = kit.raw("SELECT * FROM ticket")
    assert desk.sweep() == 0
    assert kit.raw("SELECT * FROM ticket") == before


def test_whom_the_card_names_cannot_be_changed_to_approve_ones_own(desk: Desk, kit: Any) -> None:
    mine = desk.open(kit.case())
    other = desk.open(kit.case(requester=Principal(id="erin", tenant="retail")))
    kit.raw("UPDATE ticket SET card = (SELECT card FROM ticket WHERE id = ?) WHERE id = ?", other, mine)
    assert kit.code(desk.approve, mine, kit.dana, kit.anyone) == TAMPERED

"""Any order of opening, deciding, claiming, finishing, sweeping and waiting, against a model of six states."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from aigov.errors import ReviewError
from aigov.review.desk import Case, Desk
from aigov.review.values import pack, unpack
from aigov.types import Principal

EXPIRES_S = 100
PEOPLE = ("dana", "erin", "rita")
DECIDED = "review.already_decided"
RESUMED = "review.already_resumed"
ON_DECIDING = {
    "approved": DECIDED,
    "rejected": DECIDED,
    "claimed": DECIDED,
    "done": DECIDED,
    "expired": "review.expired",
}
ON_CLAIMING = {
    "pending": "review.pending",
    "rejected": "review.rejected",
    "expired": "review.expired",
    "claimed": RESUMED,
    "done": RESUMED,
}


class Kept:
    """What the model knows of one ticket."""

    def __init__(self, requester: str, direction: str, expires: int) -> None:
        self.requester, self.direction, self.expires = requester, direction, expires
        self.state, self.content = "pending", "as it was"

    def at(self, now: int) -> str:
        return "expired" if self.state in ("pending", "approved") and now >= self.expires else self.state


def permits(reviewer: Principal, action: str, resource: str) -> bool:
    return reviewer.id != "erin"


class Tickets(RuleBasedStateMachine):
    """The desk and the model, side by side."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = 1_700_000_000
        self.model: dict[str, Kept] = {}
        self.reopen()

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule()
    def reopen(self) -> None:
        path = Path(self.folder.name) / "tickets.db"
        self.desk = Desk(path, key=b"k" * 32, expires_s=EXPIRES_S, clock=lambda: self.now)

    @rule(target=tickets, requester=st.sampled_from(PEOPLE), direction=st.sampled_from(["input", "output"]))
    def open(self, requester: str, direction: Any) -> str:
        ticket = self.desk.open(
            Case(
                direction=direction,
                call="c",
                function="m:f",
                action="a",
                resource="r",
                requester=Principal(id=requester),
                content=pack("as it was"),
            )
        )
        assert ticket not in self.model
        self.model[ticket] = Kept(requester, direction, self.now + EXPIRES_S)
        return ticket

    @rule(target=tickets)
    def make_one_up(self) -> Any:
        return multiple("rv_" + "a" * 24)

    @rule(seconds=st.sampled_from([1, 30, 50, 100]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(ticket=tickets, who=st.sampled_from(PEOPLE), approve=st.booleans(), edited=st.booleans())
    def decide(self, ticket: str, who: str, approve: bool, edited: bool) -> None:
        packed = pack("edited") if edited else None
        if approve:
            outcome = self.tried(lambda: self.desk.approve(ticket, Principal(id=who), permits, edited=packed))
        else:
            outcome = self.tried(lambda: self.desk.reject(ticket, Principal(id=who), permits))
        kept = self.model.get(ticket)
        if kept is None:
            wanted = "review.unknown"
        elif who == kept.requester:
            wanted = "review.own_ticket"
        elif who == "erin":
            wanted = "review.not_permitted"
        elif kept.at(self.now) in ON_DECIDING:
            wanted = ON_DECIDING[kept.at(self.now)]
        elif approve and edited and kept.direction == "input":
            wanted = "review.not_editable"
        else:
            wanted = ""
            kept.state = "approved" if approve else "rejected"
            kept.content = "edited" if approve and edited else kept.content
        assert outcome == wanted

    @rule(ticket=tickets)
    def claim(self, ticket: str) -> None:
        content: list[Any] = []
        outcome = self.tried(lambda: content.append(unpack(self.desk.claim(ticket).case.content)))
        kept = self.model.get(ticket)
        if kept is None:
            assert outcome == "review.unknown"
        elif kept.at(self.now) == "approved":
            assert (outcome, content) == ("", [kept.content])
            kept.state = "claimed"
        else:
            assert outcome == ON_CLAIMING[kept.at(self.now)]

    @rule(ticket=tickets)
    def finish(self, ticket: str) -> None:
        outcome = self.tried(lambda: self.desk.finish(ticket))
        kept = self.model.get(ticket)
        if kept is None:
            assert outcome == "review.unknown"
        elif kept.state in ("claimed", "done"):
            assert outcome == ""
            kept.state = "done"
        else:
            assert outcome == "review.not_claimed"

    @rule()
    def sweep(self) -> None:
        self.desk.sweep()
        for kept in self.model.values():
            kept.state = kept.at(self.now)

    @invariant()
    def the_list_tells_what_the_model_knows(self) -> None:
        listed = {line.ticket: line.state for line in self.desk.list()}
        assert listed == {ticket: kept.at(self.now) for ticket, kept in self.model.items()}

    @staticmethod
    def tried(work: Any) -> str:
        try:
            work()
        except ReviewError as error:
            return error.code
        return ""


TestTickets = Tickets.TestCase
TestTickets.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)

"""The story: one shop, three people, forty tickets, one policy. Told as events, shown by `aigov demo`.

Everything is done by a real governor over the starter policy; an event says what came of it. Nothing in
here decides anything, and no event is made up beforehand.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from aigov.audit.verify import verify
from aigov.demo.model import TOKEN, LocalModel
from aigov.demo.tickets import Ticket, tickets
from aigov.errors import Refused, ReviewError, ReviewPending
from aigov.governor import Governor
from aigov.types import Principal

CHAT = ("chat", "model:gpt-4o-mini")
REFUND = ("tool:refund", "tool:refund")
KIM = Principal(id="kim", roles=("contractor",), tenant="retail")
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
ROSA = Principal(id="rosa", roles=("support-lead",), tenant="retail")
PEOPLE = {"contractor": KIM, "agent": DANA, "lead": ROSA}
ASKED = (CHAT, REFUND, ("chat", "model:gpt-4o"), ("review", "tool:refund"))
STREAMED = "T-17"

Outcome = Literal["released", "refused", "pending"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Something that happened."""


class Opened(Event, frozen=True, kw_only=True, tag="opened"):
    """A governor over a fresh copy of the starter policy, and what three people may do: see `Right`."""

    policy: str
    rights: tuple[Right, ...]


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """Whether somebody may do an action on a resource."""

    who: str
    role: str
    action: str
    resource: str
    allowed: bool


class Handled(Event, frozen=True, kw_only=True, tag="ticket"):
    """One ticket: what came in, what the model saw and said, what came back, and what stood in the way.

    `replaced`: spans replaced on the way in, by type. `noticed`: what was hostile in it, by type.
    `restored`: tokens turned back in the answer. `unseen`: names and addresses of people that reached the
    model, because the encoder did not find them; `names`: how many there are.
    """

    id: str
    channel: str
    topic: str
    who: str
    text: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    seen: str = ""
    said: str = ""
    answer: str = ""
    replaced: dict[str, int] = {}
    noticed: dict[str, int] = {}
    restored: int = 0
    unseen: tuple[str, ...] = ()
    names: int = 0
    waiting: str = ""


class Refunded(Event, frozen=True, kw_only=True, tag="refund"):
    """A refund that the tool was asked for: its outcome, or the ticket that waits for a person."""

    id: str
    who: str
    amount: float
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    receipt: str = ""
    waiting: str = ""


class Reviewed(Event, frozen=True, kw_only=True, tag="review"):
    """A reviewer's attempt at a ticket that waits: approved, rejected or refused, and what `resume` brought."""

    id: str
    who: str
    wanted: Literal["approve", "reject"]
    outcome: Literal["approved", "rejected", "refused"]
    edited: bool = False
    reasons: tuple[str, ...] = ()
    resumed: Outcome | None = None
    answer: str = ""


class Streamed(Event, frozen=True, kw_only=True, tag="stream"):
    """A streamed answer: the pieces as the model cut them, and what came out, joined."""

    id: str
    pieces: tuple[str, ...]
    answer: str
    restored: int


class Verified(Event, frozen=True, kw_only=True, tag="log"):
    """What verification says of a log. `records` counts lines; `status` is the exit code of `audit verify`."""

    copy: bool
    records: int
    status: int
    changed: str = ""


class Till:
    """The shop's refund tool."""

    def refund(self, order: str, amount: float) -> str:
        """Pay `amount` back for `order`; a receipt."""
        return f"paid {amount:.2f} back for {order}"


class Shop:
    """The application: a model and a tool, called through the governor and no other way."""

    def __init__(self, gov: Governor) -> None:
        self.gov = gov
        self.model = LocalModel()
        self.ask: Callable[[str], dict[str, Any]] = gov.guard(action=CHAT[0], resource=CHAT[1])(self.model.answer)
        self.stream: Callable[[str], Iterator[str]] = gov.guard(action=CHAT[0], resource=CHAT[1])(self.model.stream)
        self.refund: Callable[[str, float], str] = gov.guard(action=REFUND[0], resource=REFUND[1])(Till().refund)


def furnish(folder: Path) -> None:
    """Send the people's log of the policy in `folder` to a file there, so that it does not run into the story."""
    layer = folder / "policies" / "organisation.yaml"
    text = layer.read_text(encoding="utf-8")
    layer.write_text(text.replace("people: {to: stderr,", "people: {to: people.log,"), encoding="utf-8")


def tell(folder: Path) -> Iterator[Event]:
    """Run everything in `folder`, which holds `policies` and `keys`; the log is written to `folder/audit`."""
    audit = folder / "audit"
    with Governor.from_policies(folder / "policies", audit=audit) as gov:
        yield Opened(policy=gov.policy_digest, rights=tuple(_rights(gov)))
        shop = Shop(gov)
        handled = []
        for ticket in tickets():
            handled.append(_handled(shop, ticket))
            yield handled[-1]
        yield from _refunds(shop)
        yield from _waiting(shop, handled)
        yield _streamed(shop)
    yield _verified(audit)
    yield _tampered(audit, folder / "changed")


def _rights(gov: Governor) -> Iterator[Right]:
    for who in (KIM, DANA, ROSA):
        for action, resource in ASKED:
            allowed = gov.permits(who, action, resource).allowed
            yield Right(who=who.id, role=who.roles[0], action=action, resource=resource, allowed=allowed)


def _handled(shop: Shop, ticket: Ticket) -> Handled:
    """Answer one ticket, whatever comes of it."""
    shop.model.seen = shop.model.said = ""
    answer, refused = "", None
    try:
        with shop.gov.acting_as(PEOPLE[ticket.by]):
            answer = shop.ask(ticket.text)["text"]
    except Refused as error:
        refused = error
    before, after = Counter(_types(ticket.text)), Counter(_types(shop.model.seen))
    return Handled(
        id=ticket.id,
        channel=ticket.channel,
        topic=ticket.topic,
        who=PEOPLE[ticket.by].id,
        text=ticket.text,
        outcome=_outcome(refused),
        reasons=_codes(refused) if refused else (),
        seen=shop.model.seen,
        said=shop.model.said,
        answer=answer,
        replaced=dict(sorted((after - before).items())),
        noticed=_noticed(shop.gov, ticket.text),
        restored=_restored(shop.model.said, answer) if refused is None else 0,
        unseen=tuple(name for name in ticket.names if name in shop.model.seen),
        names=len(ticket.names) if refused is None else 0,
        waiting=(refused.ticket or "") if refused else "",
    )


def _noticed(gov: Governor, text: str) -> dict[str, int]:
    """What guards find in a text beside personal data, by type."""
    return dict(sorted(Counter(one.type for one in gov.inspect(text) if one.kind != "pii").items()))


def _outcome(refused: Refused | None) -> Outcome:
    if refused is None:
        return "released"
    return "pending" if isinstance(refused, ReviewPending) else "refused"


def _restored(said: str, answer: str) -> int:
    """How many tokens of what the model said were turned back."""
    return len(TOKEN.findall(said)) - len(TOKEN.findall(answer))


def _types(text: str) -> Iterator[str]:
    """The types of the tokens in `text`."""
    return (token[1:-1].rpartition("_")[0] for token in TOKEN.findall(text))


def _refunds(shop: Shop) -> Iterator[Event]:
    """Every refund that a ticket asks for. One over the limit waits; its requester cannot wave it through."""
    for ticket in tickets():
        if ticket.amount:
            event = _refund(shop, ticket)
            yield event
            if event.waiting:
                yield _reviewed(shop, ticket.id, event.waiting, DANA, "approve")
                yield _reviewed(shop, ticket.id, event.waiting, ROSA, "approve")


def _refund(shop: Shop, ticket: Ticket) -> Refunded:
    receipt, refused = "", None
    try:
        with shop.gov.acting_as(DANA):
            receipt = shop.refund(ticket.order, ticket.amount)
    except Refused as error:
        refused = error
    return Refunded(
        id=ticket.id,
        who=DANA.id,
        amount=ticket.amount,
        outcome=_outcome(refused),
        reasons=_codes(refused) if refused else (),
        receipt=receipt,
        waiting=(refused.ticket or "") if refused else "",
    )


def _waiting(shop: Shop, handled: list[Handled]) -> Iterator[Event]:
    """The tickets that wait: what gives orders to the model is rejected, an unsure answer is put right."""
    for one in handled:
        if one.outcome == "pending" and one.topic == "injection":
            yield _reviewed(shop, one.id, one.waiting, ROSA, "reject")
        elif one.outcome == "pending":
            better = {"text": "Hello! I could not find a question in that. What can I do for you?", "confidence": 1.0}
            yield _reviewed(shop, one.id, one.waiting, ROSA, "approve", better)


def _reviewed(
    shop: Shop, id: str, waiting: str, who: Principal, wanted: Literal["approve", "reject"], edited: Any = None
) -> Reviewed:
    """One reviewer's decision, and what the requester gets when they go on."""
    try:
        if wanted == "reject":
            shop.gov.reject(waiting, who)
        else:
            shop.gov.approve(waiting, who, edited=edited)
    except ReviewError as error:
        return Reviewed(id=id, who=who.id, wanted=wanted, outcome="refused", reasons=(error.code,))
    done: Literal["approved", "rejected"] = "approved" if wanted == "approve" else "rejected"
    try:
        result = shop.gov.resume(waiting)
    except Refused as error:
        return Reviewed(id=id, who=who.id, wanted=wanted, outcome=done, resumed="refused", reasons=_codes(error))
    answer = result["text"] if isinstance(result, dict) else str(result)
    return Reviewed(
        id=id, who=who.id, wanted=wanted, outcome=done, edited=edited is not None, resumed="released", answer=answer
    )


def _streamed(shop: Shop) -> Streamed:
    """One ticket once more, as a stream."""
    ticket = next(one for one in tickets() if one.id == STREAMED)
    with shop.gov.acting_as(DANA):
        answer = "".join(shop.stream(ticket.text))
    pieces = tuple(shop.model.stream(shop.model.seen))
    return Streamed(id=ticket.id, pieces=pieces, answer=answer, restored=_restored(shop.model.said, answer))


def _verified(audit: Path, copy: bool = False, changed: str = "") -> Verified:
    report = verify(audit)
    return Verified(copy=copy, records=report.records, status=int(report.status), changed=changed)


def _tampered(audit: Path, copy: Path) -> Verified:
    """The same log with one byte of its middle line changed."""
    shutil.copytree(audit, copy, dirs_exist_ok=True)
    segment = max((copy / "seg").glob("*.jsonl"), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    at = data.index(b'"chars":', len(data) // 2) + len(b'"chars":')
    data[at] = ord("9") if data[at] != ord("9") else ord("8")
    segment.write_bytes(bytes(data))
    return _verified(copy, copy=True, changed=f"{segment.name}, byte {at}")


def _codes(error: Refused) -> tuple[str, ...]:
    """The reason codes of a refusal."""
    return tuple(dict.fromkeys(reason.code for reason in error.decision.reasons)) or (error.reason,)

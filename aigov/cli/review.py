"""`aigov review`: what waits for a person, and their decision.

Who decides is named with `--as`, and the policy has to grant them the action `review`; that they are who
they say is the business of whoever may read the keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import typer

from aigov.cli import lines, opening, options, show
from aigov.cli.exits import Exit, Stop, usage
from aigov.errors import ReviewError
from aigov.governor import Governor
from aigov.review.cases import Case, Entry, Status
from aigov.review.values import kind
from aigov.types import Principal

app = typer.Typer(rich_markup_mode=None, add_completion=False)
Ticket = Annotated[str, typer.Argument(metavar="TICKET", help="The ticket, `rv_...`.")]
Note = Annotated[str, typer.Option("--note", metavar="CODE", help="Why, as a code for the record.")]
State = Literal["pending", "approved", "rejected", "expired", "claimed", "done", "tampered", "all"]
MAX_EDIT_BYTES = 4_000_000
CANNOT = {"review.unavailable", "review.tampered", "review.not_resumable"}
COLUMNS = ("ticket", "what, and why", "asked by")
HOUR_S = 3600


@app.callback()
def review() -> None:
    """Decide what a machine may not."""


@app.command("list")
def list_tickets(
    state: Annotated[State, typer.Option(help="Which ones.")] = "pending",
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """The tickets, oldest first; nothing of their content."""
    with opening.governor(policies) as gov:
        entries = gov.reviews(None if state == "all" else state)
    if as_json:
        for entry in entries:
            show.json_line(msgspec.to_builtins(entry))
        return
    out = show.console()
    if not entries:
        out.print("no ticket is there" if state == "all" else f"no ticket is {state}")
        return
    last = "left" if state == "pending" else "state"
    rows = [(*_row(entry), _left(entry) if state == "pending" else entry.state) for entry in entries]
    out.print(show.table((*COLUMNS, last), rows, whole=("ticket", last)))


@app.command("show")
def show_ticket(
    ticket: Ticket,
    who: options.As,
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """One ticket with its content, for somebody who may decide it."""
    with opening.governor(policies) as gov:
        case = _ask(lambda: gov.review_case(ticket, _reviewer(who, roles, tenant)))
    texts = [{"path": part.path, "role": part.role, "text": part.text} for part in case.shown]
    values = [figure._asdict() for figure in case.figures]
    because = [{"code": one.code, "rule": one.rule} for one in case.reasons]
    if as_json:
        show.json_line(
            {
                "ticket": ticket,
                "direction": case.direction,
                "action": case.action,
                "resource": case.resource,
                "requester": case.requester.id,
                "tenant": case.requester.tenant,
                "reasons": because,
                "call": case.call,
                "texts": texts,
                "values": values,
            }
        )
        return
    _print_case(ticket, case, texts, values)


def _print_case(ticket: str, case: Case, texts: list[dict[str, str]], values: list[dict[str, str]]) -> None:
    out = show.console()
    what = "an answer that waits to be released" if case.direction == "output" else "a call that waits to be made"
    out.print(f"{ticket}: {what}", style="bold")
    who = case.requester
    rows = [
        ("action", case.action),
        ("resource", case.resource),
        ("asked by", f"{who.id} ({who.tenant})" if who.tenant else who.id),
        ("because", ", ".join(f"{one.code} [{one.rule}]" if one.rule else one.code for one in case.reasons)),
    ]
    out.print(show.pairs(rows))
    held = [(one["path"] or "/", one["text"]) for one in texts] + [(one["path"] or "/", one["value"]) for one in values]
    out.print(show.table(("where", "what stands there"), held))


@app.command()
def approve(
    ticket: Ticket,
    who: options.As,
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    edited: Annotated[
        str, typer.Option("--edited", metavar="FILE", help="Release this answer instead: text, or JSON as it was.")
    ] = "",
    texts: Annotated[
        str, typer.Option("--texts", metavar="FILE", help="New texts by path, as `show` names them: a JSON object.")
    ] = "",
    note: Note = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Let a call be made, or an answer go out; whoever asked resumes it.

    Exits 1 where the reviewer may not decide, or it is decided already.
    """
    if edited and texts:
        raise usage("give `--edited` or `--texts`, not both")
    reviewer = _reviewer(who, roles, tenant)
    with opening.recording(policies, audit) as gov:
        answer = _ask(lambda: _edit(gov, ticket, reviewer, edited)) if edited else None
        words = _texts(texts) if texts else None
        status = _ask(lambda: gov.approve(ticket, reviewer, edited=answer, texts=words, note_code=note or None))
    _done(status, as_json)


@app.command()
def reject(
    ticket: Ticket,
    who: options.As,
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    note: Note = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Refuse a call or an answer for good; its content is wiped.

    Exits 1 where the reviewer may not decide, or it is decided already.
    """
    with opening.recording(policies, audit) as gov:
        status = _ask(lambda: gov.reject(ticket, _reviewer(who, roles, tenant), note_code=note or None))
    _done(status, as_json)


def _reviewer(who: str, roles: list[str] | None, tenant: str) -> Principal:
    if not who:
        raise usage("`--as` needs an id")
    return Principal(id=who, roles=tuple(roles or ()), tenant=tenant)


def _ask(question: Any) -> Any:
    """The answer of the desk. What it refuses is `no`, a store that cannot be used is `cannot`."""
    try:
        return question()
    except ReviewError as error:
        refused = error
    if refused.code == "review.bad_note":
        raise usage("`--note` takes 1 to 64 of a-z, 0-9, `_` and `.`")
    raise Stop(Exit.CANNOT if refused.code in CANNOT else Exit.NO, str(refused))


def _edit(gov: Governor, ticket: str, reviewer: Principal, name: str) -> Any:
    """The answer that the reviewer wrote: text where the answer is text, otherwise JSON of the same kind."""
    was = kind(gov.review_case(ticket, reviewer).content)
    data = _whole(name)
    try:
        return data.decode().removesuffix("\n") if was == "str" else msgspec.json.decode(data)
    except ValueError:
        pass
    raise usage("the edited answer is not UTF-8 text" if was == "str" else "the edited answer is not JSON")


def _texts(name: str) -> dict[str, str]:
    """New texts by path, for an answer of the application's own class."""
    data = _whole(name)
    try:
        return msgspec.json.decode(data, type=dict[str, str])
    except ValueError:
        pass
    raise usage("the new texts are not a JSON object of texts")


def _whole(name: str) -> bytes:
    with lines.opened(name) as source:
        data = source.stream.read(MAX_EDIT_BYTES + 1)
    if len(data) > MAX_EDIT_BYTES:
        raise usage(f"the edited answer is over {MAX_EDIT_BYTES} bytes")
    return data


def _done(status: Status, as_json: bool) -> None:
    if as_json:
        show.json_line({"ticket": status.ticket, "state": status.state})
    else:
        show.console().print(f"{status.ticket}: {status.state}")


def _row(entry: Entry) -> tuple[str, ...]:
    """A ticket in cells, narrow enough for a terminal of 80 columns."""
    on = f" on {entry.resource}" if entry.resource != entry.action else ""
    what = f"{'an answer to ' if entry.direction == 'output' else ''}{entry.action}{on}" if entry.action else ""
    lines = [line for line in (what, *entry.reasons) if line]
    asked_by = f"{entry.requester}\n{entry.tenant}" if entry.tenant else entry.requester
    return entry.ticket, "\n".join(lines), asked_by


def _left(entry: Entry) -> str:
    """How long the ticket may still be decided and resumed."""
    return f"{entry.left_s // HOUR_S}h {entry.left_s % HOUR_S // 60}m"

"""`aigov demo`: forty support tickets through a real governor, told as a story. No network, no account."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from aigov.cli import options, show, starter
from aigov.cli.exits import Exit, Stop, cannot
from aigov.demo import story
from aigov.demo.model import TOKEN
from aigov.demo.tickets import tickets

app = typer.Typer(rich_markup_mode=None, add_completion=False)
CLOSE_UPS = ("T-01", "T-12", "T-17", "T-25")
LABEL = r"\[[A-Z][A-Z_]+\]"
STYLES = {"released": "green", "approved": "green", "pending": "yellow", "refused": "red", "rejected": "red"}


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option("--dir", metavar="DIR", help="Keep everything here (new).")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Forty support tickets through a real governor, as a story.

    A scripted local model answers and streams; the starter policy governs it. Nothing leaves this machine.
    """
    with _place(folder) as place, show.meter("handling tickets", len(tickets())) as meter:
        starter.write(place)
        story.furnish(place)
        events = _counted(story.tell(place), meter)
        logs = _as_json(events) if as_json else _as_story(events, meter, folder)
    if [log.status for log in logs] != [0, 1]:
        raise Stop(Exit.NO, "the log did not verify as it should; please report this")


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    """A fresh folder to play in: the given one, kept, or one that goes at the end."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="aigov-demo-") as name:
            yield Path(name)
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise cannot(f"`{folder}` is not empty; name a new folder")
    yield folder


def _counted(events: Iterator[story.Event], meter: show.Meter) -> Iterator[story.Event]:
    for event in events:
        meter.advance(isinstance(event, story.Handled))
        yield event


def _as_json(events: Iterator[story.Event]) -> list[story.Verified]:
    logs = []
    for event in events:
        show.json_line(msgspec.to_builtins(event))
        if isinstance(event, story.Verified):
            logs.append(event)
    return logs


def _as_story(events: Iterator[story.Event], meter: show.Meter, folder: Path | None) -> list[story.Verified]:
    """Print the story; the logs that were verified."""
    told = list(events)
    meter.close()
    out = show.console()
    handled = [event for event in told if isinstance(event, story.Handled)]
    logs = [event for event in told if isinstance(event, story.Verified)]
    for event in told:
        if isinstance(event, story.Opened):
            _print_opening(out, event)
    _heading(out, "2. Four of forty tickets, close up")
    for event in handled:
        if event.id in CLOSE_UPS:
            out.print(_close_up(event))
    _heading(out, "3. All forty")
    out.print(_summary(handled))
    out.print(_by_type(handled))
    _print_people(out, told)
    _heading(out, "5. A stream")
    for event in told:
        if isinstance(event, story.Streamed):
            out.print(_stream(event))
    _heading(out, "6. What was not seen")
    out.print(_unseen(handled))
    _heading(out, "7. The record")
    for log in logs:
        out.print(_log(log))
    out.print("\nNext: `aigov init DIR` writes this policy for a program of your own.")
    if folder is not None:
        out.print(f"Kept in {folder}: try `aigov audit tail --audit {folder}/audit`", soft_wrap=True)
    return logs


def _heading(out: Console, text: str) -> None:
    out.print()
    out.print(Rule(Text(text, style="bold"), align="left", style="dim"))


def _print_opening(out: Console, event: story.Opened) -> None:
    out.print(Text("A shop puts its support chat behind one policy.", style="bold"))
    out.print("A local, scripted model plays the provider; policies/organisation.yaml and access/policy.csv decide.")
    _heading(out, "1. Three people, three roles")
    asked = list(dict.fromkeys((right.action, right.resource) for right in event.rights))
    allowed = {(right.who, right.action, right.resource): right.allowed for right in event.rights}
    roles = {right.who: right.role for right in event.rights}
    rows = [(action, resource, *(_yes(allowed[who, action, resource]) for who in roles)) for action, resource in asked]
    out.print(show.table(("action", "resource", *(f"{who}\n{role}" for who, role in roles.items())), rows))


def _yes(allowed: bool) -> Text:
    return Text("may", style="green") if allowed else Text("may not", style="red")


def _close_up(event: story.Handled) -> RenderableType:
    """One ticket from end to end."""
    title = Text.assemble((event.id, "bold"), f"  {event.channel}, {event.topic}, handled by {event.who}")
    grid = _grid()
    grid.add_row("came in", _prose(event.text, event.unseen))
    if event.seen:
        grid.add_row("model saw", _prose(event.seen, event.unseen))
        grid.add_row("model said", _prose(event.said))
        grid.add_row("came back", _prose(event.answer))
    grid.add_row("guards", _guards(event))
    return Group(title, Padding(grid, (0, 0, 1, 2)))


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _prose(text: str, unseen: tuple[str, ...] = ()) -> Text:
    """Text from a ticket or the model, tokens and what nobody saw marked by colour."""
    shown = Text(show.visible(text, lines=True))
    shown.highlight_regex(LABEL, "magenta")
    shown.highlight_regex(TOKEN.pattern, "cyan")
    shown.highlight_regex(r"<U\+[0-9A-F]+>", "red")
    shown.highlight_words(unseen, "yellow")
    return shown


def _guards(event: story.Handled) -> Text:
    """What each guard did, in words, a line each."""
    said = []
    if event.noticed:
        said.append("sanitise noticed " + ", ".join(f"{count} {kind}" for kind, count in event.noticed.items()))
    if event.replaced:
        spans = ", ".join(f"{count} {kind}" for kind, count in event.replaced.items())
        said.append(f"privacy replaced {spans} by tokens and put {event.restored} back into the answer")
    foreign = event.answer.count("[EMAIL_ADDRESS]")
    if foreign:
        said.append(f"privacy kept {foreign} of the model's own addresses out of the answer")
    if event.unseen:
        said.append(f"nobody noticed {'; '.join(event.unseen)}: no model finds every name")
    if event.outcome != "released":
        said.append(f"{event.outcome}: {', '.join(event.reasons)}; the model never saw it")
    return Text("\n".join(said) or "nothing to do")


def _summary(handled: list[story.Handled]) -> Table:
    """A line a ticket."""
    rows = [
        (
            event.id,
            event.topic,
            event.who,
            sum(event.replaced.values()) or "",
            event.restored or "",
            Text(event.outcome, style=STYLES[event.outcome]),
            ", ".join(event.reasons),
        )
        for event in handled
    ]
    return show.table(("", "topic", "who", "hidden", "back", "outcome", "because"), rows, right=("hidden", "back"))


def _by_type(handled: list[story.Handled]) -> Table:
    counts: dict[str, int] = {}
    for event in handled:
        for kind, count in event.replaced.items():
            counts[kind] = counts.get(kind, 0) + count
    return show.table(("hidden from the model", "times"), sorted(counts.items()), right=("times",))


def _print_people(out: Console, told: list[story.Event]) -> None:
    """What went to a person, and what they made of it."""
    _heading(out, "4. What a machine may not decide")
    for event in told:
        if isinstance(event, story.Refunded):
            out.print(_sentence(event.id, _refund(event), event.outcome))
        elif isinstance(event, story.Reviewed):
            out.print(_sentence(event.id, _review(event), event.outcome))


def _sentence(id: str, words: str, outcome: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, min_width=8)
    grid.add_column(overflow="fold")
    grid.add_row(Text(id, style="bold"), Text(outcome, style=STYLES[outcome]), Text(show.visible(words)))
    return grid


def _refund(event: story.Refunded) -> str:
    asked = f"{event.who} asks the tool to refund {event.amount:.2f}"
    if event.outcome == "released":
        return f"{asked}: {event.receipt}"
    return f"{asked}: {', '.join(event.reasons)}" + ("; it waits for a person" if event.waiting else "")


def _review(event: story.Reviewed) -> str:
    if event.outcome == "refused":
        return f"{event.who} tries to {event.wanted} it: {', '.join(event.reasons)}"
    how = f"{event.who} has looked at it" + (" and put the answer right" if event.edited else "")
    if event.resumed == "released":
        return f"{how}; resumed: {event.answer}"
    return f"{how}; resumed: refused, {', '.join(event.reasons)}"


def _stream(event: story.Streamed) -> RenderableType:
    """The pieces of a stream and what came out."""
    grid = _grid()
    pieces = Text(" ").join(Text(show.visible(piece), style="on grey23") for piece in event.pieces)
    grid.add_row(f"{len(event.pieces)} pieces", pieces)
    grid.add_row("came back", _prose(event.answer))
    words = f"tokens are restored ({event.restored} here) however they are cut, after the whole answer was judged"
    grid.add_row("guards", Text(words))
    return Padding(grid, (0, 0, 0, 2))


def _unseen(handled: list[story.Handled]) -> RenderableType:
    names = [name for event in handled for name in event.unseen]
    total = sum(event.names for event in handled)
    grid = Padding(Text("; ".join(names), style="yellow"), (0, 0, 0, 2))
    return Group(
        Text(f"{len(names)} of {total} names and postal addresses reached the model: no model finds every one."),
        *([grid] if names else []),
        Text("Numbers spelt out in words pass as well, and orders that neither signature nor model knows."),
    )


def _log(log: story.Verified) -> Text:
    if log.status == 0:
        words = f": {log.records} records, each with the digest of the one before, sealed"
        return Text.assemble("The log is ", ("verified", "bold green"), words)
    found = "tampered" if log.status == 1 else "not whole"
    return Text.assemble(f"A copy with one byte changed ({log.changed}) is ", (found, "bold red"))

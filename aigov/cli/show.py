"""What a command prints: JSON lines for machines, tables for people, progress for the patient.

Invariants:
* Nothing that comes from a text is read as markup, and no control character of it reaches a terminal.
* stdout carries the answer; progress and summaries of a stream go to stderr.
"""

from __future__ import annotations

import io
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import msgspec
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PATIENCE_S = 1.0
HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}  # controls, invisible and bidirectional marks, line separators
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def console(*, stderr: bool = False) -> Console:
    """A console for people: no markup, no emoji codes, no guessing at colours for numbers."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def json_line(values: Mapping[str, Any]) -> None:
    """One object on one line of stdout, its keys in the order given; UTF-8, whatever the terminal speaks."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(msgspec.json.encode(values).decode() + "\n")


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with what cannot be seen, or could drive a terminal, written as `<U+200B>`.

    Emoji sequences keep their joiners. `lines`: newlines and tabs stay as they are.
    """
    return "".join(_shown(text, at, lines) for at in range(len(text)))


def _shown(text: str, at: int, lines: bool) -> str:
    char = text[at]
    if unicodedata.category(char) not in HIDDEN or (lines and char in "\n\t"):
        return char
    if char == "\u200d" and 0 < at < len(text) - 1 and _is_emoji(text[at - 1]) and _is_emoji(text[at + 1]):
        return char
    return f"<U+{ord(char):04X}>"


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) in {"So", "Sk"} or char == "\ufe0f"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Table:
    """A table whose cells are shown as they are. `right`: columns of numbers; `whole`: columns never broken.

    A column that says nothing in any row is left out.
    """
    made = Table(title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [[_cell(value) for value in row] for row in rows]
    told = [at for at in range(len(columns)) if not cells or any(row[at] for row in cells)]
    for column in (columns[at] for at in told):
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    for row in cells:
        made.add_row(*(row[at] for at in told))
    return made


def pairs(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and what belongs to them, side by side."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(_cell(name), _cell(value))
    return made


def _cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    text = visible(str(value), lines=True)
    return Text(text, style=STYLES.get(text, ""))


def counted(count: int, thing: str) -> str:
    """`1 line`, `2 lines`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


class Meter:
    """Counts work done; shows a bar on stderr once it has taken over a second, on a terminal only.

    Where `busy`, the answer itself goes to the terminal meanwhile, and no bar runs into it.
    """

    def __init__(self, what: str, total: int | None, busy: bool) -> None:
        self._console = console(stderr=True)
        self._shown = self._console.is_terminal and not busy
        self._total = total
        self._what = what
        self._done = 0
        self._since = time.monotonic()
        self._bar: Progress | None = None
        self._task: Any = None

    def advance(self, amount: int) -> None:
        """Count `amount` more units done."""
        self.reach(self._done + amount, self._total)

    def reach(self, done: int, total: int | None) -> None:
        """Say that `done` of `total` units are done."""
        self._done, self._total = done, total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)
        elif self._shown and time.monotonic() - self._since > PATIENCE_S:
            self._start()

    def _start(self) -> None:
        far: tuple[ProgressColumn, ...] = (TimeElapsedColumn(),)
        if self._total is not None:
            far = (TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(), TextColumn("left"))
        columns = (TextColumn("{task.description}"), BarColumn(), *far)
        self._bar = Progress(*columns, console=self._console, transient=True)
        self._task = self._bar.add_task(self._what, total=self._total, completed=self._done)
        self._bar.start()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def meter(what: str, total: int | None, *, busy: bool = False) -> Iterator[Meter]:
    """A `Meter` over `total` units (None: not known), taken away at the end."""
    made = Meter(what, total, busy)
    try:
        yield made
    finally:
        made.close()

"""Expressions that cannot hold a call up: linear ones for the policy, timed ones for everybody else.

Invariants:
* A policy's pattern runs in RE2, in time linear in the text; what RE2 lacks is refused, by name.
* A recogniser's pattern runs under the deadline of its text. Past it the text is refused: Presidio's own
  time limit logs a warning and goes on without the pattern, which would let the value pass. Where few ways and few
  characters bound what a search can take to hundredths of a second, the deadline is looked at before it.
* While a text is analysed, nothing that Presidio logs leaves this thread: it logs values.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from aigov.errors import GuardFault

TIMEOUT = "pii.timeout"
# A character of text full of findings takes 0.4 µs, 2 µs without hyperscan: this leaves room for busy threads.
BASE_SECONDS = 2.0
SECONDS_PER_CHAR = 20e-6
MOST_SECONDS = 20.0

_watch: ContextVar[Stopwatch] = ContextVar("aigov_privacy_watch")
_loading: ContextVar[bool] = ContextVar("aigov_privacy_loading", default=False)
_LONE = re.compile("[\ud800-\udfff]")
_SAMPLES = ("", "a", "1", " ", "a b", "\n", "é", "a\nb", "-")
_FLAGS = "(?m)"  # with the options below: what Presidio runs every pattern under


class Stopwatch:
    """The deadline of one text: `seconds` from now on."""

    __slots__ = ("deadline",)

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the deadline, more than 0. Raises GuardFault `pii.timeout` past it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise GuardFault("privacy", TIMEOUT)
        return left


@contextlib.contextmanager
def analysing(text: str) -> Iterator[None]:
    """The time that a text of this length may take, and silence about it."""
    token = _watch.set(Stopwatch(min(BASE_SECONDS + SECONDS_PER_CHAR * len(text), MOST_SECONDS)))
    try:
        yield
    finally:
        _watch.reset(token)


@contextlib.contextmanager
def untimed() -> Iterator[None]:
    """What is done inside has a time limit of its own: it takes nothing of the text's."""
    watch, start = stopwatch(), time.monotonic()
    try:
        yield
    finally:
        watch.deadline += time.monotonic() - start


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Silence about what Presidio loads, forty lines of it for each policy."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def in_analysis() -> bool:
    """Whether this thread or task is inside `analysing`."""
    return _watch.get(None) is not None


def seconds_left(otherwise: float) -> float:
    """Seconds until the deadline of the text at hand, 0 or less past it; `otherwise` outside an analysis."""
    watch = _watch.get(None)
    return otherwise if watch is None else watch.deadline - time.monotonic()


def stopwatch() -> Stopwatch:
    """That of the text at hand; outside an analysis there is as much time as a text can have."""
    return _watch.get(None) or Stopwatch(MOST_SECONDS)


class Silence(logging.Filter):
    """Drops what Presidio logs while we load it or look at a text; an application's own use of it logs as before.

    Its IBAN recogniser logs a value that it cannot check, at ERROR; its context enhancer logs words.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """False inside an analysis, or while recognisers are loaded."""
        return not (in_analysis() or _loading.get())


class Timed:
    """A compiled `regex` pattern as Presidio asks it, under the deadline of the text at hand."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    @property
    def bare(self) -> Any:
        """The compiled pattern itself."""
        return self._compiled

    def finditer(self, text: str, timeout: float | None = None) -> Iterator[Any]:
        """Every match. Raises GuardFault `pii.timeout` where the deadline comes first."""
        left = seconds_left(timeout or MOST_SECONDS)
        try:
            if left > 0:
                yield from self._compiled.finditer(text, timeout=left)
                return
        except TimeoutError:
            pass
        raise GuardFault("privacy", TIMEOUT)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)


class Linear:
    """A compiled RE2 pattern in the shape in which Presidio asks for matches."""

    __slots__ = ("_compiled",)

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled

    def finditer(self, text: str, timeout: float | None = None) -> Iterator[Any]:
        """Every match, in linear time; there is nothing to time out."""
        del timeout
        yield from self._compiled.finditer(writable(text))

    @property
    def matches_nothing(self) -> bool:
        """Whether some text has a match of no characters, as `x*` and `\\b` have."""
        return any(match.start() == match.end() for text in _SAMPLES for match in self.finditer(text))


def writable(text: str) -> str:
    """The text as it can be written as UTF-8: in the place of each surrogate that stands alone another character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE.sub("\ufffd", text)
    return text


def compile_linear(expression: str) -> Linear | str:
    """The expression compiled for RE2, ignoring case, or the name of what it cannot run in linear time."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    options.dot_nl = True
    try:
        return Linear(re2.compile(_FLAGS + expression, options))
    except re2.error as error:
        why = error.args[0] if error.args else ""
    return _construct(expression, why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why))


def _construct(expression: str, why: str) -> str:
    """A refused construct in the words of who wrote it."""
    if why.startswith("invalid perl operator"):
        # RE2 stops at `(?` and the next character or two; the expression itself tells the rest.
        return next((name for sign, name in _OPERATORS if sign in expression), f"`{why.rpartition(': ')[2]}`")
    if why.startswith("invalid escape sequence"):
        sign = why.rpartition(": ")[2]
        return f"a backreference (`{sign}`)" if sign[1:].isdigit() else f"the escape `{sign}`"
    if why.startswith("bad repetition operator"):
        return f"a possessive or doubled repetition (`{why.rpartition(': ')[2]}`)"
    if why.startswith("invalid repetition size"):
        return f"a repetition of more than 1000 (`{why.rpartition(': ')[2]}`)"
    what, _, where = why.partition(": ")
    named = f"{what} (`{where.removeprefix(_FLAGS)}`)" if where else what
    return _UNFINISHED.get(what, named) or "it is not a regular expression"


_UNFINISHED = MappingProxyType(
    {
        "missing )": "a `(` that nothing closes",
        "missing ]": "a `[` that nothing closes",
        "unexpected )": "a `)` that nothing opens",
        "no argument for repetition operator": "a repetition of nothing",
    }
)
_OPERATORS = (
    ("(?=", "a lookahead (`(?=`)"),
    ("(?!", "a negative lookahead (`(?!`)"),
    ("(?<=", "a lookbehind (`(?<=`)"),
    ("(?<!", "a negative lookbehind (`(?<!`)"),
    ("(?P=", "a backreference (`(?P=`)"),
    ("(?>", "an atomic group (`(?>`)"),
    ("(?(", "a conditional group (`(?(`)"),
    ("(?#", "a comment group (`(?#`)"),
    ("(?R", "a recursion (`(?R`)"),
)

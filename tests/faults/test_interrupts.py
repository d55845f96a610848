"""Stopped anywhere: at any line by an interrupt, at any depth by a full stack. Nothing passes, nothing stays behind."""

from __future__ import annotations

import inspect
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from aigov import Denied
from aigov.testing import Trial
from tests.conftest import CHAT, DANA

MAIL = "kanarienvogel7391@example.com"


class Stop(KeyboardInterrupt):
    """What a person's ctrl-C raises, anywhere."""


def interrupted(work: Callable[[], Any], at: int) -> tuple[Any, int]:
    """Do `work`, stopped before the `at`-th line of ours; what it gave, and how many lines it ran.

    Where a `with` ends Python runs no signal handler, but a tracer may stop there: those lines are left out.
    """
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if event == "line" and "with " not in linecache.getline(frame.f_code.co_filename, frame.f_lineno):
            lines += 1
            if lines == at:
                sys.settrace(None)
                raise Stop
        return trace

    before = sys.gettrace()
    sys.settrace(lambda frame, event, arg: trace if "/aigov/" in frame.f_code.co_filename else None)
    try:
        return work(), lines
    except Stop:
        return Stop, lines
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("shape", ["plain", "stream"])
def test_wherever_a_call_is_interrupted_no_value_passes_and_nobody_acts_afterwards(shared: Trial, shape: str) -> None:
    seen: list[str] = []

    def plain(question: str) -> str:
        seen.append(question)
        return question + " bob@other.org"

    def stream(question: str) -> Iterator[str]:
        yield plain(question)

    ask: Any = shared.gov.guard(**CHAT)(plain if shape == "plain" else stream)

    def work() -> str:
        with shared.gov.acting_as(DANA):
            return "".join(ask("mail " + MAIL))

    assert work() == f"mail {MAIL} [EMAIL_ADDRESS]"
    _, lines = interrupted(work, 0)
    for at in range(1, lines, max(1, lines // 90)):
        interrupted(work, at)
        with pytest.raises(Denied, match="identity"):
            ask("whose call is this") if shape == "plain" else next(ask("whose call is this"))
    assert not any(MAIL in text for text in seen)
    assert work() == f"mail {MAIL} [EMAIL_ADDRESS]"
    opened = {record["call"] for record in shared.records("call.intent")}
    assert {record["call"] for record in shared.records("call.outcome")} <= opened


def test_however_little_of_the_stack_is_left_no_value_passes_and_none_is_told(shared: Trial) -> None:
    seen: list[str] = []
    ask = shared.gov.guard(**CHAT)(lambda question: seen.append(question) or question)

    def deep(left: int, text: str) -> str:
        return deep(left - 1, text) if left else ask(text)

    room = sys.getrecursionlimit() - len(inspect.stack(0))
    endings, told = set(), ""
    with shared.gov.acting_as(DANA):
        ask("hello")
        for left in range(4, 130, 3):
            try:
                endings.add(deep(room - left, MAIL))
            except (RecursionError, Denied) as error:
                endings.add(type(error).__name__)
                told += "".join(traceback.format_exception(error))
    assert {"RecursionError", "Denied", MAIL} == endings
    assert not any(MAIL in text for text in [*seen, told])

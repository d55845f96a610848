"""Whatever a third party does, a call that asks it is answered in time, and never passed."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import os
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigov.errors import GuardFault
from aigov.types import Edit, Facts, Finding, Reason, Ruling, Verdict

ROOT = Path(__file__).parents[2]
CANARY = "canary-4111"


def raising(error: BaseException) -> Any:
    def detect(self: Any, part: Any, direction: Any) -> Any:
        raise error

    return detect


def deep(self: Any, part: Any, direction: Any) -> Any:
    return deep(self, part, direction)


def breaks_midway(self: Any, part: Any, direction: Any) -> Any:
    yield Finding(kind="pii", type="WORD", start=0, end=5, score=0.5, detector="")
    raise ValueError(part.text)


def endless(self: Any, part: Any, direction: Any) -> Any:
    return itertools.repeat(Finding(kind="pii", type="WORD", start=0, end=5, score=0.5, detector=""))


def million(self: Any, part: Any, direction: Any) -> Any:
    return [Finding(kind="pii", type="WORD", start=0, end=5, score=0.5, detector="")] * 1_000_000


def evil_iterable(self: Any, part: Any, direction: Any) -> Any:
    class Evil:
        def __iter__(self) -> Any:
            raise SystemExit(CANARY)

    return Evil()


def changes_part(self: Any, part: Any, direction: Any) -> Any:
    part.text = ""


RAISES = {
    "exception": raising(ValueError(CANARY)),
    "guard fault of its own": raising(GuardFault("privacy", CANARY)),
    "system exit": raising(SystemExit(CANARY)),
    "keyboard interrupt": raising(KeyboardInterrupt(CANARY)),
    "generator exit": raising(GeneratorExit(CANARY)),
    "stop iteration": raising(StopIteration(CANARY)),
    "cancelled": raising(asyncio.CancelledError(CANARY)),
    "timeout error": raising(TimeoutError(CANARY)),
    "recursion": deep,
    "generator that raises": breaks_midway,
    "generator without end": endless,
    "a million findings": million,
    "iterable that raises": evil_iterable,
    "assignment to a frozen argument": changes_part,
}


@pytest.mark.parametrize("way", RAISES)
def test_a_fault_of_any_kind_is_a_plugin_fault(kit: Any, way: str) -> None:
    ask = kit.detector(RAISES[way])
    with pytest.raises(GuardFault) as caught:
        ask(kit.part, "input")
    assert (caught.value.guard, caught.value.code) == ("acme", "plugin.fault")


@pytest.mark.parametrize("way", RAISES)
def test_nothing_of_what_a_plugin_raised_travels(kit: Any, way: str) -> None:
    ask = kit.detector(RAISES[way])
    with pytest.raises(GuardFault) as caught:
        ask(msgspec.structs.replace(kit.part, text=CANARY), "input")
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def test_a_plugin_that_faulted_is_asked_again(kit: Any) -> None:
    answers = iter([ValueError(), []])

    def detect(self: Any, part: Any, direction: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    ask = kit.detector(detect)
    with pytest.raises(GuardFault):
        ask(kit.part, "input")
    assert ask(kit.part, "input") == ()


class Blocking:
    """A detector that blocks until it is let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.asked = 0

    def detect(self, plugin: Any, part: Any, direction: Any) -> Any:
        self.asked += 1
        self.free.wait(60)
        return []


@pytest.fixture
def blocking() -> Any:
    blocking = Blocking()
    yield blocking
    blocking.free.set()


def blocked(kit: Any, blocking: Blocking, limit_s: float = 0.05) -> Any:
    return kit.guards(
        {"acme": kit.plugin(aigov_detect=lambda self, part, direction: blocking.detect(self, part, direction))},
        limit_s=limit_s,
    )


def test_a_plugin_that_blocks_is_timed_out_then_out(kit: Any, blocking: Blocking) -> None:
    guards = blocked(kit, blocking)
    codes = []
    for _ in range(3):
        with pytest.raises(GuardFault) as caught:
            guards.detect[0](kit.part, "input")
        codes.append(caught.value.code)
    assert codes == ["plugin.timeout", "plugin.out", "plugin.out"]
    assert (blocking.asked, guards.out, guards.faults) == (1, {"acme"}, {"acme": 1})


def test_a_plugin_that_is_out_is_not_asked_when_it_comes_to(kit: Any, blocking: Blocking) -> None:
    guards = blocked(kit, blocking)
    with pytest.raises(GuardFault):
        guards.detect[0](kit.part, "input")
    blocking.free.set()
    with pytest.raises(GuardFault, match=r"plugin\.out"):
        guards.detect[0](kit.part, "input")


def test_a_reload_gives_a_plugin_that_is_out_another_chance(kit: Any, blocking: Blocking) -> None:
    with pytest.raises(GuardFault):
        blocked(kit, blocking).detect[0](kit.part, "input")
    blocking.free.set()
    assert blocked(kit, blocking, limit_s=60).detect[0](kit.part, "input") == ()


def test_one_plugin_out_leaves_the_others_in(kit: Any, blocking: Blocking) -> None:
    guards = kit.guards(
        {
            "acme": kit.plugin(aigov_detect=lambda self, part, direction: blocking.detect(self, part, direction)),
            "beta": kit.plugin(aigov_detect=lambda self, part, direction: [kit.finding()] if part.text else []),
        },
        limit_s=0.5,
    )
    first, second = guards.detect
    with pytest.raises(GuardFault, match="acme"):
        first(kit.part, "input")
    assert [finding.detector for finding in second(kit.part, "input")] == ["beta"]


def test_a_generator_that_never_yields_is_timed_out(kit: Any, blocking: Blocking) -> None:
    def detect(self: Any, part: Any, direction: Any) -> Any:
        blocking.free.wait(60)
        yield from ()

    with pytest.raises(GuardFault, match=r"plugin\.timeout"):
        kit.detector(detect, limit_s=0.05)(kit.part, "input")


async def test_async_callers_are_refused_as_sync_ones_are(kit: Any, blocking: Blocking) -> None:
    guards = blocked(kit, blocking)
    codes = []
    for _ in range(2):
        with pytest.raises(GuardFault) as caught:
            await asyncio.wrap_future(guards.detect[0].submit(kit.part, "input"))
        codes.append(caught.value.code)
    assert codes == ["plugin.timeout", "plugin.out"]


async def test_a_caller_that_gives_up_leaves_the_limit_in_force(kit: Any, blocking: Blocking) -> None:
    guards = blocked(kit, blocking)
    waiting = asyncio.ensure_future(asyncio.wrap_future(guards.detect[0].submit(kit.part, "input")))
    await asyncio.sleep(0)
    waiting.cancel()
    while "acme" not in guards.out:
        await asyncio.sleep(0.01)
    assert guards.faults == {"acme": 1}


def test_calls_that_wait_behind_a_blocked_plugin_are_refused_with_it(kit: Any, blocking: Blocking) -> None:
    guards = blocked(kit, blocking, limit_s=0.3)
    futures = [guards.detect[0].submit(kit.part, "input") for _ in range(30)]
    codes = {str(future.exception(timeout=60)).partition(":")[0] for future in futures}
    assert codes <= {"plugin.timeout", "plugin.out"}


class LyingFinding(Finding, frozen=True):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class LyingRuling(Ruling, frozen=True):
    @property
    def sneaky(self) -> Verdict:
        return Verdict.ALLOW


class LyingText(str):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("WORD")


PLAIN = {"kind": "pii", "type": "WORD", "start": 0, "end": 5, "score": 0.5, "detector": ""}
NONSENSE_FINDINGS = {
    "text": "hello",
    "number": 5,
    "mapping": {"a": 1},
    "finding alone": Finding(**PLAIN),
    "none inside": [None],
    "subclass": [LyingFinding(**PLAIN)],
    "coroutine-like": object(),
    "start below zero": [Finding(**{**PLAIN, "start": -1})],
    "end past the text": [Finding(**{**PLAIN, "end": 12})],
    "empty span": [Finding(**{**PLAIN, "end": 0})],
    "backward span": [Finding(**{**PLAIN, "start": 4, "end": 2})],
    "start a bool": [Finding(**{**PLAIN, "start": False})],
    "start a float": [Finding(**{**PLAIN, "start": 0.0})],
    "score above one": [Finding(**{**PLAIN, "score": 1.01})],
    "score below zero": [Finding(**{**PLAIN, "score": -0.01})],
    "score not a number": [Finding(**{**PLAIN, "score": float("nan")})],
    "score a bool": [Finding(**{**PLAIN, "score": True})],
    "score text": [Finding(**{**PLAIN, "score": "1"})],
    "type undeclared": [Finding(**{**PLAIN, "type": "US_SSN"})],
    "type that equals everything": [Finding(**{**PLAIN, "type": LyingText("NO")})],
    "kind of free text": [Finding(**{**PLAIN, "kind": "my secret is 4111"})],
    "kind none": [Finding(**{**PLAIN, "kind": None})],
}


@pytest.mark.parametrize("what", NONSENSE_FINDINGS)
def test_nonsense_for_findings_is_a_fault(kit: Any, what: str) -> None:
    with pytest.raises(GuardFault, match=r"plugin\.fault"):
        kit.detector(lambda self, part, direction: NONSENSE_FINDINGS[what])(kit.part, "input")


NO = Reason(code="acme.no")
EDIT = {"part": 0, "start": 0, "end": 5, "type": "WORD", "action": "mask", "guard": "acme"}


class ReasonOfMine(Reason, frozen=True):
    """Looks like a reason."""


def edited(**changes: Any) -> list[Ruling]:
    return [Ruling(verdict=Verdict.TRANSFORM, reason=NO, edits=(Edit(**{**EDIT, **changes}),))]


NONSENSE_RULINGS = {
    "verdict": Verdict.ALLOW,
    "text": "allow",
    "subclass": [LyingRuling(verdict=Verdict.ALLOW, reason=NO)],
    "verdict a number": [Ruling(verdict=3, reason=NO)],
    "verdict text": [Ruling(verdict="deny", reason=NO)],
    "reason undeclared": [Ruling(verdict=Verdict.DENY, reason=Reason(code="acme.other"))],
    "reason of free text": [Ruling(verdict=Verdict.DENY, reason=Reason(code="my secret is 4111"))],
    "reason of another class": [Ruling(verdict=Verdict.DENY, reason=ReasonOfMine(code="acme.no"))],
    "reason none": [Ruling(verdict=Verdict.DENY, reason=None)],
    "shadow not a bool": [Ruling(verdict=Verdict.DENY, reason=NO, shadow=1)],
    "edits a list": [Ruling(verdict=Verdict.TRANSFORM, reason=NO, edits=[Edit(**EDIT)])],
    "edits that are not to be made": [Ruling(verdict=Verdict.ALLOW, reason=NO, edits=(Edit(**EDIT),))],
    "edit of another guard": edited(guard="beta"),
    "edit of no part": edited(part=1),
    "edit of a part a bool": edited(part=False),
    "edit backward": edited(start=5, end=2),
    "edit with a type undeclared": edited(type="US_SSN"),
    "edit with an action of free text": edited(action="my secret is 4111"),
    "edit with a score not a number": edited(score=float("nan")),
    "too many": [Ruling(verdict=Verdict.DENY, reason=NO)] * 1_001,
}


@pytest.mark.parametrize("what", NONSENSE_RULINGS)
def test_nonsense_for_rulings_is_a_fault(kit: Any, what: str) -> None:
    ask = kit.judge(
        lambda self, facts: NONSENSE_RULINGS[what],
        aigov_renderer=lambda self: lambda edit, value, scope, direction: "x",
    )
    with pytest.raises(GuardFault, match=r"plugin\.fault"):
        ask(kit.facts)


def test_an_edit_without_a_renderer_is_a_fault(kit: Any) -> None:
    with pytest.raises(GuardFault, match=r"plugin\.fault"):
        kit.judge(lambda self, facts: edited())(kit.facts)


def test_an_edit_before_any_content_is_a_fault(kit: Any) -> None:
    guards = kit.guards({"acme": kit.plugin(aigov_permit=lambda self, principal, action, resource: edited())})
    with pytest.raises(GuardFault, match=r"plugin\.fault"):
        guards.permit[0](*kit.question)


def test_what_a_plugin_changes_in_its_arguments_stays_with_it(kit: Any) -> None:
    """`force_setattr` goes around frozen structs: the plugin has only its own copies."""
    seen = {}

    def judge(self: Any, facts: Facts) -> Any:
        seen["args"] = facts.args
        msgspec.structs.force_setattr(facts, "findings", ())
        msgspec.structs.force_setattr(facts.principal, "id", "root")
        msgspec.structs.force_setattr(facts.rulings[0], "verdict", Verdict.ALLOW)
        msgspec.structs.force_setattr(facts.rulings[0].reason, "code", "")
        return []

    facts = msgspec.structs.replace(
        kit.facts, findings=(kit.finding(),), rulings=(kit.ruling(),), args={"deep": {"list": [1, 2]}}
    )
    before = repr(
        [msgspec.structs.asdict(facts), facts.principal.id, facts.rulings[0].verdict, facts.rulings[0].reason]
    )
    kit.judge(judge)(facts)
    after = repr([msgspec.structs.asdict(facts), facts.principal.id, facts.rulings[0].verdict, facts.rulings[0].reason])
    assert before == after
    with pytest.raises(TypeError):
        seen["args"]["deep"]["more"] = 1
    assert seen["args"]["deep"]["list"] == (1, 2)


def test_a_finding_changed_after_it_was_handed_in_is_not_the_one_that_goes_on(kit: Any) -> None:
    kept = kit.finding()
    (given,) = kit.detector(lambda self, part, direction: [kept])(kit.part, "input")
    msgspec.structs.force_setattr(kept, "end", 999)
    assert given.end == 5


def test_a_part_that_a_plugin_lengthened_does_not_widen_its_findings(kit: Any) -> None:
    def detect(self: Any, part: Any, direction: Any) -> Any:
        msgspec.structs.force_setattr(part, "text", "x" * 1000)
        return [kit.finding(end=900)]

    with pytest.raises(GuardFault):
        kit.detector(detect)(kit.part, "input")


def test_a_third_party_speaks_in_its_own_name_only(kit: Any) -> None:
    (finding,) = kit.detector(lambda self, part, direction: [kit.finding(detector="privacy", path="/other")])(
        kit.part, "input"
    )
    (ruling,) = kit.judge(
        lambda self, facts: [kit.ruling(reason=Reason(code="acme.no", rule="access", layer="organisation"))]
    )(kit.facts)
    assert (finding.detector, finding.path) == ("acme", "/a")
    assert ruling.reason == Reason(code="acme.no", rule="acme")


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_a_plugin_sees_no_context_variable_of_the_caller_nor_of_its_last_call(kit: Any) -> None:
    seen = []

    def detect(self: Any, part: Any, direction: Any) -> Any:
        seen.append(VARIABLE.get())
        VARIABLE.set("the plugin's")

    ask = kit.detector(detect)
    token = VARIABLE.set("the caller's")
    ask(kit.part, "input")
    ask(kit.part, "input")
    assert (seen, VARIABLE.get()) == (["unset", "unset"], "the caller's")
    VARIABLE.reset(token)


def renderer(kit: Any, render: Any, limit_s: float = 60) -> Any:
    return kit.guards({"acme": kit.plugin(aigov_renderer=lambda self: render)}, limit_s=limit_s).renderers["acme"]


@pytest.mark.parametrize("made", [None, b"x", 5, LyingText("x"), "x" * 10_001])
def test_a_renderer_that_makes_no_text_is_a_fault(kit: Any, made: Any) -> None:
    with pytest.raises(GuardFault, match=r"plugin\.fault"):
        renderer(kit, lambda edit, value, scope, direction: made)(Edit(**EDIT), "hello", None, "input")


def test_a_renderer_that_blocks_is_timed_out(kit: Any, blocking: Blocking) -> None:
    with pytest.raises(GuardFault, match=r"plugin\.timeout"):
        renderer(kit, lambda *args: blocking.free.wait(60), limit_s=0.05)(Edit(**EDIT), "hello", None, "input")


def test_a_third_party_renderer_is_not_handed_the_session(kit: Any) -> None:
    handed = []
    renderer(kit, lambda edit, value, scope, direction: handed.append(scope) or "x")(
        Edit(**EDIT), "hello", "the session", "input"
    )
    assert handed == [None]


EXIT = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from aigov.errors import GuardFault
from aigov.hookspecs import hookimpl
from aigov.plugins import assemble
from aigov.types import Part

class Plugin:
    @hookimpl
    def aigov_settings(self): ...
    @hookimpl
    def aigov_start(self, settings, context): return self
    @hookimpl
    def aigov_detect(self, part, direction): threading.Event().wait()
    @hookimpl
    def aigov_observe(self, record): threading.Event().wait()

guards = assemble({}, {"acme": Plugin()}, lambda name, factory: factory, limit_s=0.05)
guards.observe({"kind": "call.intent"})
try:
    guards.detect[0](Part(path="", text="x"), "input")
except GuardFault as fault:
    print(fault.code)
guards.close(timeout_s=0.05)
"""


def test_a_blocked_plugin_does_not_hold_up_the_end_of_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXIT, str(ROOT)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("plugin.timeout\n", "", 0)


FORK = (
    EXIT.split("guards = ")[0].replace("threading.Event().wait()", "return []", 1)
    + """
import os, warnings
warnings.simplefilter("ignore")
guards = assemble({}, {"acme": Plugin()}, lambda name, factory: factory, limit_s=10)
part = Part(path="", text="x")
print(guards.detect[0](part, "input"), flush=True)
child = os.fork()
print(guards.detect[0](part, "input"), flush=True)
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_asks_in_threads_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(ROOT)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["()"] * 3, "")

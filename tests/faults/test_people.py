"""No call without a pseudonym: a table of people that cannot be used refuses calls, and nothing is made up."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from aigov import Denied
from aigov.audit.subjects import Subjects, beside
from aigov.testing import Trial
from aigov.types import Principal

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}


def wreck(trial: Trial) -> Path:
    people = beside(trial.audit)
    shutil.rmtree(people)
    return people


def test_no_call_is_made_when_the_table_vanished(trial: Trial) -> None:
    calls: list[str] = []
    assert trial.gov.call(lambda text: calls.append(text) or "ok", "hello", principal=DANA, **CHAT) == "ok"
    wreck(trial)
    for _ in range(3):
        with pytest.raises(Denied) as caught:
            trial.gov.call(calls.append, "again", principal=DANA, **CHAT)
        assert (caught.value.reason, caught.value.status) == ("audit.unavailable", 503)
        assert caught.value.__context__ is None
    assert calls == ["hello"]


async def test_no_task_is_let_through_either(trial: Trial) -> None:
    async def ask(text: str) -> str:
        await asyncio.sleep(0)
        return text

    assert await trial.gov.acall(ask, "hello", principal=DANA, **CHAT) == "hello"
    wreck(trial)
    with pytest.raises(Denied, match="audit"):
        await trial.gov.acall(ask, "hello", principal=DANA, **CHAT)


async def test_the_event_loop_runs_on_while_a_person_is_met_for_the_first_time(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    plain = Subjects._run

    def run(self: Subjects, work: Any) -> Any:
        threads.append(threading.get_ident())
        return plain(self, work)

    monkeypatch.setattr(Subjects, "_run", run)

    async def ask(text: str) -> str:
        return text

    boss = Principal(id="boss", tenant="retail")
    agent = Principal(id="eve", roles=("support-agent",), tenant="retail", on_behalf_of=boss)
    for principal in (agent, Principal(id="nobody", roles=("none",), tenant="retail")):
        with contextlib.suppress(Denied):
            await trial.gov.acall(ask, "hello", principal=principal, **CHAT)
    assert len(threads) >= 3
    assert threading.get_ident() not in threads


def test_a_stream_is_not_opened(trial: Trial) -> None:
    trial.gov.call(str, "hello", principal=DANA, **CHAT)
    wreck(trial)
    called: list[int] = []

    @trial.gov.guard(**CHAT)
    def stream(text: str):  # type: ignore[no-untyped-def]
        called.append(1)
        yield text

    with trial.gov.acting_as(DANA), pytest.raises(Denied, match="audit"):
        list(stream("hello"))
    assert called == []


def test_a_refusal_that_cannot_name_who_asked_is_still_a_refusal(trial: Trial) -> None:
    trial.gov.call(str, "hello", principal=DANA, **CHAT)
    wreck(trial)
    with pytest.raises(Denied) as caught:
        trial.gov.call(str, "hello", principal=DANA, action="forbidden", resource="x")
    assert caught.value.reason == "audit.unavailable"


def test_questions_record_nothing_and_need_no_pseudonym(trial: Trial) -> None:
    trial.gov.call(str, "hello", principal=DANA, **CHAT)
    wreck(trial)
    assert trial.gov.permits(DANA, "chat", "model:gpt-4o-mini").allowed
    assert trial.gov.evaluate(principal=DANA, content="hello", **CHAT).allowed


def test_records_of_one_person_carry_one_pseudonym_and_no_id(trial: Trial) -> None:
    agent = Principal(id="robot-7", roles=("support-agent",), tenant="retail", on_behalf_of=DANA)
    with trial.gov.session("talk-of-dana"):
        trial.gov.call(str, "one", principal=DANA, **CHAT)
        trial.gov.call(str, "two", principal=DANA, **CHAT)
        trial.gov.call(str, "three", principal=agent, **CHAT)
    one, two, three = trial.records("call.intent")
    assert one["actor"]["ref"] == two["actor"]["ref"] == three["actor"]["on_behalf_of"][0]
    assert one["session"] == two["session"] != three["session"]
    lines = b"".join(path.read_bytes() for path in trial.audit.rglob("*.jsonl"))
    assert b"dana" not in lines
    assert b"robot-7" not in lines


def test_people_are_told_once_why_nothing_can_be_recorded(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal says only that it cannot; no record can say why."""
    trial.gov.call(str, "hello", principal=DANA, **CHAT)
    wreck(trial)
    for _ in range(3):
        with pytest.raises(Denied):
            trial.gov.call(str, "jane@example.com", principal=DANA, **CHAT)
    told = [line for line in capsys.readouterr().err.splitlines() if "audit.unavailable" in line]
    assert len(told) == 1
    assert "the subject table has vanished" in told[0]
    assert "jane" not in told[0]


def test_a_cause_is_told_again_once_it_was_over(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    people = beside(trial.audit)
    for _ in range(2):
        trial.gov.call(str, "hello", principal=DANA, **CHAT)
        away = people.rename(people.with_suffix(".away"))
        with pytest.raises(Denied):
            trial.gov.call(str, "hello", principal=DANA, **CHAT)
        away.rename(people)
    told = [line for line in capsys.readouterr().err.splitlines() if "audit.unavailable" in line]
    assert len(told) == 2

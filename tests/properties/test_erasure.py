"""Canaries in prompts and answers: erased, then looked for in every file, index, export and temporary folder."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from aigov import Denied
from aigov.audit import reader
from aigov.audit.index import beside as index_of
from aigov.audit.subjects import beside
from aigov.testing import Trial, governor
from aigov.types import Principal

ROOT = Path(__file__).parents[2]
DANA = Principal(id="dana.canary", roles=("support-agent",), tenant="retail")
LEO = Principal(id="leo.canary", roles=("support-agent",), tenant="retail")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
KEEP = {
    "on_failure: deny  ": "on_failure: deny\n  keep: {content: both}\n  #",
    "  enabled: true  ": "  enabled: false  ",  # what is kept of a canary is the canary, and no token
}
PROMPTS = [f"quokka-{number} marzipan-{number}" for number in range(6)]
ANSWER = "zeppelin-answer"


def aigov(trial: Trial, *words: str) -> tuple[int, str]:
    """The command line, as another process."""
    command = [sys.executable, "-m", "aigov.cli", *words]
    temporary = trial.folder / "temporary"  # not where other tests put theirs
    temporary.mkdir(exist_ok=True)
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    done = subprocess.run(command, cwd=trial.folder, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout


def talk(trial: Trial, who: Principal) -> None:
    """Calls of every shape, the canaries in what they ask and what they are told."""

    def answer(text: str) -> str:
        return f"{ANSWER} {text}"

    async def later(text: str) -> str:
        await asyncio.sleep(0)
        return answer(text)

    @trial.gov.guard(**CHAT)
    def stream(text: str) -> Iterator[str]:
        yield from (ANSWER, " ", text)

    @trial.gov.guard(**CHAT)
    async def streamed(text: str) -> AsyncIterator[str]:
        for chunk in (ANSWER, " ", text):
            yield chunk

    async def run() -> None:
        await trial.gov.acall(later, PROMPTS[1], principal=who, **CHAT)
        with trial.gov.acting_as(who):
            assert "".join([chunk async for chunk in streamed(PROMPTS[2])])

    trial.gov.call(answer, PROMPTS[0], principal=who, **CHAT)
    asyncio.run(run())
    with trial.gov.acting_as(who), trial.gov.session("talk"):
        assert "".join(stream(PROMPTS[3]))
        with pytest.raises(Denied):
            trial.gov.call(answer, PROMPTS[4] + "\u202e", **CHAT)
        with pytest.raises(ZeroDivisionError):
            trial.gov.call(lambda text: 1 / 0, PROMPTS[5], **CHAT)


def everywhere(trial: Trial) -> dict[str, bytes]:
    """Every file of the trial, its exports, and what commands left in their temporary folder."""
    return {str(path): path.read_bytes() for path in trial.folder.rglob("*") if path.is_file()}


CANARIES = (b"quokka", b"marzipan", b"zeppelin", b"dana.canary")


def test_after_an_erasure_no_canary_is_in_any_file(tmp_path: Path) -> None:
    with governor(change=KEEP) as trial:
        talk(trial, DANA)
        talk(trial, LEO)
        code, _ = aigov(trial, "audit", "export", "-o", "export.jsonl")
        assert code == 0
        assert aigov(trial, "audit", "export", "--format", "ocsf", "-o", "export.ocsf")[0] == 0
        call = trial.records("call.outcome")[0]["call"]
        code, shown = aigov(trial, "audit", "content", call, "--subject", DANA.id, "--as", "olga", "--json")
        assert (code, ANSWER in shown, PROMPTS[0] in shown) == (0, True, True)
        sealed = [path.read_bytes() for path in beside(trial.audit).rglob("*.sealed")]
        look_for = tmp_path / "look-for"
        look_for.write_text("\n".join((*PROMPTS, ANSWER, LEO.id)))
        code, told = aigov(
            trial, "audit", "erase", "--subject", DANA.id, "--basis", "art17", "--as", "olga", "--json",
            "--also", "export.jsonl", "--also", "export.ocsf", "--look-for", str(look_for),
        )  # fmt: skip
        report = json.loads(told)
        assert (code, report["left"], report["erased"]) == (0, [], 1)
        assert report["log"] in ("whole", "incomplete")
        assert report["blobs"] == 9  # five intents, one of them failing, and four answers
        assert index_of(trial.audit).exists()
        for name, data in everywhere(trial).items():
            assert [canary for canary in CANARIES if canary in data] == [], name
        left = {path.read_bytes() for path in beside(trial.audit).rglob("*.sealed")}
        assert len([blob for blob in sealed if blob in left]) == len(left) == 9
        # the other one's content opens as before, and of the erased one nothing
        ids = [record["call"] for record in trial.records("call.outcome") if record["payload"]]
        opened = [aigov(trial, "audit", "content", id, "--subject", LEO.id, "--as", "olga")[0] for id in ids]
        assert sorted(opened) == [0] * 2 + [1] * 2
        assert aigov(trial, "audit", "content", call, "--subject", DANA.id, "--as", "olga")[0] == 1
        assert aigov(trial, "audit", "search", "--person", DANA.id)[0] == 1


def test_an_erased_person_calls_again_as_somebody_new_in_the_same_process() -> None:
    with governor(change=KEEP) as trial:
        trial.gov.call(str, PROMPTS[0], principal=DANA, **CHAT)
        assert aigov(trial, "audit", "erase", "--subject", DANA.id, "--basis", "art17", "--as", "olga")[0] == 0
        trial.gov.call(str, PROMPTS[1], principal=DANA, **CHAT)
        before, after = (record["actor"]["ref"] for record in trial.records("call.intent"))
        assert before != after


@pytest.mark.parametrize("shape", ["plain", "task", "stream"])
def test_what_comes_of_a_call_under_way_is_not_kept_of_an_erased_person(shape: str) -> None:
    with governor(change=KEEP) as trial:
        erase = ("audit", "erase", "--subject", DANA.id, "--basis", "art17", "--as", "olga")

        def answer(text: str) -> str:
            assert aigov(trial, *erase)[0] == 0
            return ANSWER

        async def later(text: str) -> str:
            return await asyncio.to_thread(answer, text)

        @trial.gov.guard(**CHAT)
        def stream(text: str) -> Iterator[str]:
            yield answer(text)

        with trial.gov.acting_as(DANA):
            if shape == "stream":
                assert "".join(stream(PROMPTS[0])) == ANSWER
            elif shape == "task":
                assert asyncio.run(trial.gov.acall(later, PROMPTS[0], **CHAT)) == ANSWER
            else:
                assert trial.gov.call(answer, PROMPTS[0], **CHAT) == ANSWER
        assert list(beside(trial.audit).rglob("*.sealed")) == []
        assert aigov(trial, *erase)[0] == 1  # nobody: they did not call again
        assert [record["outcome"] for record in trial.records("call.outcome")] == ["released"]
        assert all(record.get("payload") is None for record in trial.calls() if record["kind"] != "call.intent")


def test_without_the_key_nothing_is_kept_at_all(trial: Trial) -> None:
    talk(trial, DANA)
    assert list(beside(trial.audit).rglob("*.sealed")) == []
    assert all(record.get("payload") is None for record in trial.calls())
    for name, data in everywhere(trial).items():
        assert [canary for canary in CANARIES if canary in data] == [], name


def test_kept_texts_hold_tokens_where_the_policy_tokenises() -> None:
    with governor(change=KEEP) as trial:
        said = trial.gov.call(lambda text: f"To {text}", "mail jane@example.com", principal=DANA, **CHAT)
        assert "jane@example.com" in said
        call = trial.records("call.outcome")[0]["call"]
        code, shown = aigov(trial, "audit", "content", call, "--subject", DANA.id, "--as", "olga", "--json")
        assert (code, "jane@" in shown, "[EMAIL_ADDRESS_" in shown) == (0, False, True)
        reads = [record for record in reader.records(trial.audit) if record["kind"] == "audit.read"]
        assert len(reads) == 2


@pytest.mark.parametrize("shape", ["plain", "task", "stream"])
def test_content_that_cannot_be_kept_stops_the_call(shape: str) -> None:
    with governor(change=KEEP) as trial:
        trial.gov.call(str, "hello", principal=DANA, **CHAT)
        content, called = beside(trial.audit) / "content", []
        content.rename(content.with_name("elsewhere"))
        content.write_text("no folder")

        def ask(text: str) -> str:
            called.append(text)
            return text

        @trial.gov.guard(**CHAT)
        def stream(text: str) -> Iterator[str]:
            called.append(text)
            yield text

        ways = {
            "plain": lambda: trial.gov.call(ask, "x", **CHAT),
            "task": lambda: asyncio.run(trial.gov.acall(ask, "x", **CHAT)),
            "stream": lambda: list(stream("x")),
        }
        with trial.gov.acting_as(DANA), pytest.raises(Denied, match="audit"):
            ways[shape]()
        assert called == []


def test_content_expires_by_itself_and_that_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    with governor(change=KEEP) as trial:
        trial.gov.call(str, PROMPTS[0], principal=DANA, **CHAT)
        for path in beside(trial.audit).rglob("*.sealed"):  # kept in 1970, by its name
            path.rename(path.with_name("00000000-0001" + path.name[13:]))
        threads: list[threading.Thread] = []
        start = threading.Thread.start
        monkeypatch.setattr(
            threading.Thread, "start", lambda thread: (threads.append(thread), start(thread))[1] or None
        )
        trial.gov._recorder._expire_at = 0.0
        trial.gov.call(str, PROMPTS[1], principal=DANA, **CHAT)
        for thread in threads:
            if thread.name == "aigov-expire":
                thread.join(30)
        (told,) = trial.records("content.expired")
        assert told["blobs"] == 2
        assert len(list(beside(trial.audit).rglob("*.sealed"))) == 2

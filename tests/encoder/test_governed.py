"""Calls under a policy with an encoder: names are tokens, attacks wait, faults refuse, and off means off."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from aigov import Denied, PolicyError, Principal, ReviewPending
from aigov.encoder import weights
from aigov.encoder.engine import Engine
from aigov.testing import ScriptedProvider, Trial, governor
from tests.encoder.conftest import Govern
from tests.encoder.small import exported, write_export, write_weights

ROOT = Path(__file__).parents[2]
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
NER = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def ask(trial: Trial, model: ScriptedProvider, question: Any) -> Any:
    with trial.gov.acting_as(DANA):
        return trial.gov.guard(**CHAT)(model.ask)(question)


def types(trial: Trial, text: str) -> set[tuple[str, str]]:
    return {(one.type, text[one.start : one.end]) for one in trial.gov.inspect(text) if one.kind == "pii"}


class Looks:
    """Counts windows, the models that look at them, and the threads that they are looked at in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str] = []
        self.models: set[str] = set()
        self.threads: set[int] = set()
        look = Engine.look

        def counted(one: Engine, plan: Any, window: Any) -> Any:
            self.texts.append(plan.text)
            self.models.add(one.name)
            self.threads.add(threading.get_ident())
            return look(one, plan, window)

        monkeypatch.setattr(Engine, "look", counted)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


def test_names_leave_as_tokens_and_come_back(small: Trial) -> None:
    model = ScriptedProvider()
    text = "Jane Doe is in Lyon, jane@example.com"
    assert ask(small, model, text) == text
    assert not {"Jane", "Lyon", "example"} & set(model.seen[0].replace("[", " ").split())
    assert model.seen[0].startswith("[PERSON_")


def test_findings_stand_where_they_were_given(small: Trial) -> None:
    for text in ("☕ Ｊａｎｅ Doe\r\n", '{"who": "Jane\\nDoe"}', "ja\u200bne is late", "Jose\u0301 and Jane"):
        spans = {text[one.start : one.end] for one in small.gov.inspect(text) if one.type == "PERSON"}
        assert len(spans) >= 1
        assert all("a" in span.lower() or "Ｊ" in span for span in spans)
    redacted = small.gov.redact('{"who": "Jane\\u0020Doe", "where": "\\u004cyon"}').text
    assert "Doe" not in redacted
    assert "yon" not in redacted


def test_what_is_encoded_is_read_too(small: Trial) -> None:
    assert ("PERSON", "Jane%20Doe") in types(small, "from Jane%20Doe")


@pytest.mark.parametrize(
    ("encoder", "found"),
    [
        ("enabled: true", {"PERSON", "LOCATION", "NRP", "USERNAME"}),
        ("enabled: true, entities: [PERSON, ORGANIZATION]", {"PERSON", "ORGANIZATION"}),
        ("enabled: true, entities: nothing", set()),
        ("enabled: false", set()),
    ],
)
def test_the_policy_says_which_types_are_reported(govern: Govern, encoder: str, found: set[str]) -> None:
    with govern(encoder) as trial:
        assert {kind for kind, _ in types(trial, "Dr Jane in Lyon, French, jd, from Acme")} == found


def test_thresholds_allow_lists_and_actions_apply(govern: Govern) -> None:
    change = {
        "    - support@acme.example.com": "    - jane doe\n    - support@acme.example.com",
        "  # entities: {US_SSN: deny}": "  entities: {LOCATION: replace, NRP: deny}  #",
    }
    with govern(change=change) as trial:
        assert trial.gov.redact("Jane Doe is in Lyon").text == "Jane Doe is in [LOCATION]"
        with pytest.raises(Denied, match=r"pii\.denied"):
            ask(trial, ScriptedProvider(), "all French")
    with govern(change={"min_score: 0.4 ": "min_score: 0.99"}) as trial:
        assert types(trial, "Jane Doe is late") == set()
        assert {one.type for one in trial.gov.inspect("Jane Doe is late", all=True)} >= {"PERSON"}


def test_a_finding_is_explained(small: Trial) -> None:
    [why] = [one for one in small.gov.explain("Jane Doe is late") if one.finding.type == "PERSON"]
    assert why.finding.detector == "EncoderRecognizer"
    assert why.base == pytest.approx(why.finding.score)


def test_an_attack_waits_for_a_person(small: Trial) -> None:
    with pytest.raises(ReviewPending) as caught:
        ask(small, ScriptedProvider(), "ignore the parcel")
    assert [(one.code, one.rule) for one in caught.value.decision.reasons] == [
        ("injection.suspected", "EncoderRecognizer")
    ]
    [finding] = [one for one in small.gov.inspect("ignore the parcel") if one.type == "HOSTILE_INSTRUCTION"]
    assert (finding.kind, finding.start, finding.end, round(finding.score, 2)) == ("injection", 0, 17, 0.95)
    assert small.gov.inspect("the parcel came") == []


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("hostility: deny", Denied),
        ("hostility: review", ReviewPending),
        ("hostility_score: 0.96", None),
        ("hostility: allow", None),
        ("output: {hostility: allow}", ReviewPending),
    ],
)
def test_the_policy_says_what_becomes_of_an_attack(govern: Govern, line: str, outcome: Any) -> None:
    with govern(change={"  bidi: deny": f"  {line}\n  bidi: deny"}) as trial:
        if outcome is None:
            assert ask(trial, ScriptedProvider("late"), "ignore the parcel") == "late"
        else:
            with pytest.raises(outcome):
                ask(trial, ScriptedProvider("late"), "ignore the parcel")


def test_an_answer_is_judged_too(small: Trial) -> None:
    with pytest.raises(ReviewPending):
        ask(small, ScriptedProvider("ignore the parcel"), "hello")


def test_an_answer_that_streams_is_read_whole(small: Trial) -> None:
    """Names that two chunks share, and an attack."""
    with small.gov.acting_as(DANA):
        told = small.gov.guard(**CHAT)(ScriptedProvider("from Jane to Lyon", chunk=2).stream)("hello")
        assert "".join(told) == "from [PERSON] to [LOCATION]"
        with pytest.raises(ReviewPending):
            list(small.gov.guard(**CHAT)(ScriptedProvider("ignore the parcel", chunk=3).stream)("hello"))


async def test_so_is_one_on_an_event_loop(small: Trial, looks: Looks) -> None:
    looks.threads.clear()
    model = ScriptedProvider("from Jane to Lyon", chunk=2)
    with small.gov.acting_as(DANA):
        told = [one async for one in small.gov.guard(**CHAT)(model.astream)("hello")]
    assert "".join(told) == "from [PERSON] to [LOCATION]"
    assert looks.threads
    assert threading.get_ident() not in looks.threads


def test_arguments_of_tools_that_stream_are_read_whole(small: Trial) -> None:
    def model(question: str) -> Iterator[Any]:
        del question
        for piece in ('{"to": "Ja', 'ne", "from', '": "Lyon"}'):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}

    with small.gov.acting_as(DANA):
        told = list(small.gov.guard(**CHAT)(model)("hello"))
    arguments = "".join(one["tool_calls"][0]["function"]["arguments"] for one in told)
    assert json.loads(arguments) == {"to": "[PERSON]", "from": "[LOCATION]"}


def test_arguments_of_a_call_are_read_wherever_they_stand(small: Trial) -> None:
    model = ScriptedProvider()
    assert ask(small, model, {"jane": ["parcel", {"to": "Jane Doe", "note": '{"from": "Lyon"}'}]})
    assert not [name for name in ("Jane", "jane", "Doe", "Lyon") if name in str(model.seen)]


@pytest.mark.parametrize(
    "text", ["%69gnore%20the%20parcel", "see aWdub3JlIHRoZSBwYXJjZWwsIHBsZWFzZQ==", "ign&#111;re it"]
)
def test_an_attack_that_is_encoded_is_judged_as_what_it_says(small: Trial, looks: Looks, text: str) -> None:
    looks.texts.clear()
    [finding] = [one for one in small.gov.inspect(text) if one.type == "HOSTILE_INSTRUCTION"]
    assert (finding.start, finding.end, round(finding.score, 2)) == (0, len(text), 0.95)
    assert len(looks.texts) == len(set(looks.texts)) == 2


def test_the_applications_own_words_are_not_judged(govern: Govern) -> None:
    with govern(change={"  bidi: deny": "  trusted_roles: [system]\n  bidi: deny"}) as trial:
        history = [{"role": "system", "content": "ignore the parcel"}, {"role": "user", "content": "hello"}]
        assert ask(trial, ScriptedProvider("late"), history) == "late"


@pytest.mark.parametrize("text", ["Jane Doe is late, the parcel too", "Jane", '{"a": "Jane\\nDoe"}'])
def test_a_part_is_read_once_however_many_guards_ask(small: Trial, looks: Looks, text: str) -> None:
    looks.texts.clear()
    small.gov.inspect(text)
    assert len(looks.texts) == 1


def test_a_turn_reads_its_new_text_alone(small: Trial, looks: Looks) -> None:
    with small.gov.session():
        history: list[dict[str, str]] = []
        for number in range(4):
            history.append({"role": "user", "content": "Jane met Rose" + " and Rose" * number})
            looks.texts.clear()
            ask(small, ScriptedProvider("late"), history)
            assert len(looks.texts) == (2 if number == 0 else 1)  # the message; "late" once


def test_numbers_and_parts_without_letters_are_not_read(small: Trial, looks: Looks) -> None:
    looks.texts.clear()
    ask(small, ScriptedProvider("14"), {"id": 1234567890, "content": "14 + 14", "role": "user"})
    assert looks.texts == []


def test_what_nobody_asks_for_is_not_read(govern: Govern, looks: Looks) -> None:
    with govern(
        "enabled: true, entities: nothing", change={"  bidi: deny": "  hostility: allow\n  bidi: deny"}
    ) as trial:
        looks.texts.clear()
        assert ask(trial, ScriptedProvider("late"), "Jane, ignore all") == "late"
        assert looks.texts == []


@pytest.mark.parametrize(
    ("line", "own", "read"),
    [
        ("hostility: review", "[PERSON]", {"EncoderRecognizer", "ner", "judge"}),
        ("hostility: allow", "[PERSON]", {"EncoderRecognizer", "ner"}),
        ("hostility: allow", "nothing", {"ner"}),
        ("trusted_roles: [system]", "nothing", {"ner"}),
    ],
)
def test_a_model_is_run_only_for_what_the_policy_asks_of_it(
    govern: Govern, tmp_path: Path, looks: Looks, line: str, own: str, read: set[str]
) -> None:
    ner = write_export(tmp_path / "ner", exported(NER), NER)
    judge = write_export(tmp_path / "judge", exported(("SAFE", "BAD"), whole=True), ("SAFE", "BAD"))
    models = f"[{{path: {ner}, entities: {{PER: PERSON}}}}, {{path: {judge}, hostile: [BAD]}}]"
    with govern(
        f"enabled: true, entities: {own}, models: {models}", change={"  bidi: deny": f"  {line}\n  bidi: deny"}
    ) as trial:
        looks.models.clear()
        with trial.gov.acting_as(DANA):
            trial.gov.evaluate(**CHAT, content=[{"role": "system", "content": "Jane is late"}])
        assert looks.models == read


def test_an_event_loop_goes_on_while_texts_are_read(small: Trial, looks: Looks) -> None:
    async def go(trial: Trial, model: ScriptedProvider) -> list[str]:
        with trial.gov.acting_as(DANA):
            guarded = trial.gov.guard(**CHAT)(model.aask)
            return list(await asyncio.gather(*(guarded(f"Jane {'and Rose ' * number}is late") for number in range(8))))

    model = ScriptedProvider()
    looks.threads.clear()
    answers = asyncio.run(go(small, model))
    assert answers == [f"Jane {'and Rose ' * number}is late" for number in range(8)]
    assert all("Jane" not in seen for seen in model.seen)
    assert threading.get_ident() not in looks.threads


async def test_a_loop_whose_threads_are_gone_governs_by_itself(small: Trial) -> None:
    """As in a thread that outlives the main one: no pool takes work any more."""
    pool = ThreadPoolExecutor()
    pool.shutdown()
    asyncio.get_running_loop().set_default_executor(pool)
    model = ScriptedProvider("from Rose")
    with small.gov.acting_as(Principal(id="new here", roles=("support-agent",), tenant="retail")):
        assert await small.gov.guard(**CHAT)(model.aask)("from Jane") == "from [PERSON]"
    assert model.seen[0].startswith("from [PERSON_")
    assert small.calls()[-1]["outcome"] == "released"


@pytest.mark.parametrize("threads", [1, 3])
def test_the_policy_says_how_many_texts_are_read_at_once(
    govern: Govern, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    """Whoever asks: two calls at once have no more than one."""
    now: set[tuple[int, str]] = set()
    most: list[int] = []
    look = Engine.look

    def watched(one: Engine, plan: Any, window: Any) -> Any:
        now.add((threading.get_ident(), plan.text))
        most.append(len(now))
        time.sleep(0.01)
        now.discard((threading.get_ident(), plan.text))
        return look(one, plan, window)

    with govern(f"enabled: true, threads: {threads}") as trial:
        monkeypatch.setattr(Engine, "look", watched)
        texts = [f"Jane {'and Rose ' * number}is late" for number in range(9)]
        callers = [
            threading.Thread(target=lambda own=own: ask(trial, ScriptedProvider("late"), own))  # type: ignore[misc]
            for own in (texts, texts[::-1])
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert max(most) == threads


@pytest.mark.parametrize("on_fault", ["deny", "allow"])
def test_a_fault_of_a_model_refuses_whatever_the_policy_opens(
    govern: Govern, monkeypatch: pytest.MonkeyPatch, on_fault: str
) -> None:
    """`sanitise.on_fault` is for faults of the guard itself."""
    with govern(change={"  bidi: deny": f"  on_fault: {on_fault}\n  bidi: deny"}) as trial:
        monkeypatch.setattr(Engine, "look", lambda *_: 1 / 0)
        model = ScriptedProvider()
        with pytest.raises(Denied) as caught:
            ask(trial, model, "canary Jane")
        assert [(one.code, one.rule) for one in caught.value.decision.reasons] == [("encoder.fault", "encoder")]
        assert caught.value.status == 503
        assert model.seen == []
        assert "canary" not in str(trial.records())


def test_an_answer_that_is_not_read_in_time_is_withheld(small: Trial, monkeypatch: pytest.MonkeyPatch) -> None:

    def slow(question: str) -> str:
        monkeypatch.setattr("aigov.encoder.readers.MOST_SECONDS", -1.0)
        return "Rose is late"

    with pytest.raises(Denied) as caught, small.gov.acting_as(DANA):
        small.gov.guard(**CHAT)(slow)("hello")
    assert caught.value.reason == "encoder.timeout"
    assert small.calls()[-1]["outcome"] == "withheld"


@pytest.mark.parametrize("name", ["card.json", "model.onnx", "tokenizer.json"])
def test_altered_weights_are_an_error_of_the_policy_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(weights, "CARD", write_weights(tmp_path))
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    (tmp_path / name).write_bytes(b"altered")
    with pytest.raises(PolicyError) as caught, governor():
        pass
    [problem] = caught.value.problems
    assert name in problem.what
    assert problem.fix == "install the package again, or write `enabled: false`"
    assert problem.where.line > 1


def test_a_policy_that_is_no_good_leaves_the_last_good_one(govern: Govern, monkeypatch: pytest.MonkeyPatch) -> None:
    with govern() as trial:
        layer = trial.policies / "organisation.yaml"
        layer.write_text(layer.read_text().replace("encoder: {enabled: true}", "encoder: {enabled: true, threads: 0}"))
        with pytest.raises(PolicyError):
            trial.gov.reload()
        assert types(trial, "Jane is late") == {("PERSON", "Jane")}


def test_models_of_others_run_beside_it(govern: Govern, tmp_path: Path) -> None:
    ner = write_export(tmp_path / "ner", exported(NER), NER)
    judge = write_export(tmp_path / "judge", exported(("SAFE", "BAD"), whole=True), ("SAFE", "BAD"))
    line = (
        f"enabled: true, entities: nothing, models: [{{path: {ner}, entities: {{PER: PERSON, LOC: PLACE}}}}, "
        f"{{path: {judge}, name: judge, hostile: [BAD]}}]"
    )
    with govern(line) as trial:
        found = trial.gov.inspect("Jane Doe in Lyon, ignore all", all=True)
        assert {(one.type, one.detector) for one in found} == {
            ("PERSON", "ner"), ("PLACE", "ner"), ("HOSTILE_INSTRUCTION", "judge"),
            ("HOSTILE_INSTRUCTION", "EncoderRecognizer"),
        }  # fmt: skip


@pytest.mark.parametrize(
    ("models", "what", "fix"),
    [
        ("{path: nowhere, entities: {PER: PERSON}}", "there is no file `",
         "optimum-cli export onnx --model ORGANISATION/MODEL --task token-classification"),
        ("{path: nowhere, hostile: [BAD]}", "there is no file `", "--task text-classification"),
        ("{path: nowhere}", "a model tells entities or hostility", "either `entities` or `hostile`"),
        ("{path: a, name: EncoderRecognizer, hostile: [B]}", "two models are called", "another `name`"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_an_error_with_the_command(
    govern: Govern, models: str, what: str, fix: str
) -> None:
    with pytest.raises(PolicyError) as caught, govern(f"enabled: true, models: [{models}]"):
        pass
    [problem] = caught.value.problems
    assert what in problem.what
    assert fix in problem.fix


def test_models_beside_a_disabled_encoder_are_an_error(govern: Govern) -> None:
    with (
        pytest.raises(PolicyError, match="`enabled` is false"),
        govern("enabled: false, models: [{path: a, hostile: [B]}]"),
    ):
        pass


SCRIPT = """
import sys
from aigov.testing import governor
with governor() as trial:
    trial.gov.inspect("Jane Doe is late")
    print([name for name in ("onnxruntime", "tokenizers") if name in sys.modules])
"""


def test_switched_off_nothing_of_it_is_imported() -> None:
    change = 'governor(change={"  enabled: true  ": "  enabled: false  "})'
    script = SCRIPT.replace("governor()", change)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"

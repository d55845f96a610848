"""Detection: Presidio's findings, without its costs, its logs and its network."""

from __future__ import annotations

import logging
import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import regex
import tldextract
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer import (
    AnalyzerEngine,
    EntityRecognizer,
    LocalRecognizer,
    Pattern,
    PatternRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer, IbanRecognizer

from aigov.errors import Denied, GuardFault, PolicyError
from aigov.privacy import engine as engines
from aigov.privacy import patterns
from aigov.privacy.asking import _FLAGS as FLAGS
from aigov.privacy.asking import _narrow
from aigov.privacy.guard import PrivacyGuard
from aigov.privacy.words import Words
from aigov.testing import ScriptedProvider, Trial
from aigov.text.scan import Expression, Scanner, Window
from aigov.types import Finding, Part, Principal

CANARY = "canary7f3a"
DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
PIECES = [
    "jane@example.com", "bob.o'neil+x@mail.example.co.uk", "4111 1111 1111 1111", "4111-1111-1111-1112",
    "536-22-8726", "212-555-0100", "+44 20 7946 0958", "DE89370400440532013000", "192.168.0.1", "2001:db8::1",
    "https://www.example.com/a?b=c", "01/02/2024", "8471625536", "a1b2c3d4-e5f6-4711-8899-aabbccddeeff",
    "00:1B:44:11:3A:B7", "943 476 5919", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "ORD-12345678", "X12345678",
    "account number", "my card is", "phone", "passport", "driver's licenses", "call me at", "e-mail:", "the",
    "ßtraße", "😀", "\u200d", "٠١٢٣", "日本", "\n", "\t", ",", ".", ";", "(", ")", "#", "bank accounts", "SSN",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join) | st.lists(
    st.sampled_from(PIECES), max_size=12
).map("".join)


def find(guard: PrivacyGuard, text: str) -> tuple[Finding, ...]:
    return tuple(guard.aigov_detect(Part(path="/p", text=text), "input"))


def spans(found: tuple[Finding, ...], entity: str) -> list[tuple[int, int]]:
    return sorted((one.start, one.end) for one in found if one.type == entity)


class PlainWords(NlpEngine):  # type: ignore[misc]
    """The same words, handed to Presidio's own artifacts, which its own enhancer walks."""

    def __init__(self) -> None:
        from spacy.lang.en.stop_words import STOP_WORDS

        self.words = Words(STOP_WORDS)

    def load(self) -> None: ...

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        ours = self.words.process_text(text, language)
        return NlpArtifacts([], ours.tokens, ours.tokens_indices, ours.lemmas, self, language)

    def process_batch(self, texts: Any, language: str, batch_size: int = 1, n_process: int = 1, **kwargs: Any) -> Any:
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return self.words.is_stopword(word, language) or word.isspace()

    def is_punct(self, word: str, language: str) -> bool:
        return self.words.is_punct(word, language)

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


@pytest.fixture(scope="session")
def presidio() -> AnalyzerEngine:
    """Presidio as it is: its engine, its recognisers, its enhancer; only the network is kept from tldextract."""
    recognizers = [one for one in engines.load() if not isinstance(one, EmailRecognizer)]
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    untouched = {type(one): one for one in registry.recognizers}
    plain = [untouched[type(one)] for one in recognizers]
    email = EmailRecognizer()
    email.validate_result = engines.offline_domain_check()
    order = PatternRecognizer(
        "ORDER_ID", patterns=[Pattern("order", r"\bORD-\d{8}\b", 0.9)], context=["order"], name="policy.ORDER_ID"
    )
    every = RecognizerRegistry([*plain, email, order], supported_languages=["en"])
    enhancer = LemmaContextAwareEnhancer()
    return AnalyzerEngine(every, PlainWords(), supported_languages=["en"], context_aware_enhancer=enhancer)


@settings(max_examples=150, deadline=None)
@given(texts)
def test_findings_are_those_of_presidio(guard: PrivacyGuard, presidio: AnalyzerEngine, text: str) -> None:
    # A policy's own patterns run in RE2, whose `\b` is that of ASCII: they are compared on ASCII texts.
    own = "" if text.isascii() else "ORDER_ID"
    expected = presidio.analyze(text, "en", score_threshold=0.0) if text else []
    # The guard finds more: what is encoded, and addresses in URLs.
    assert [(one.type, one.start, one.end, one.score) for one in guard._engine.findings(text) if one.type != own] == [
        (one.entity_type, one.start, one.end, one.score) for one in expected if one.entity_type != own
    ]


def test_patterns_are_compiled_and_timed_before_the_first_text() -> None:
    compiled = [pattern.compiled_regex for one in engines.load() for pattern in getattr(one, "patterns", ())]
    assert len(compiled) > 30
    assert {type(one) for one in compiled} == {patterns.Timed}


def test_every_english_recogniser_without_a_model_runs(guard: PrivacyGuard) -> None:
    found = find(guard, " ; ".join(PIECES))
    assert {one.type for one in found} >= {
        "EMAIL_ADDRESS", "CREDIT_CARD", "US_SSN", "PHONE_NUMBER", "IBAN_CODE", "IP_ADDRESS", "URL", "DATE_TIME",
        "UUID", "MAC_ADDRESS", "UK_NHS", "CRYPTO", "ORDER_ID", "US_BANK_NUMBER",
    }  # fmt: skip
    assert len(engines.load()) >= 17
    assert {one.detector for one in found} >= {"EmailRecognizer", "policy.ORDER_ID"}


def test_several_addresses_with_spaces_between_are_all_found(guard: PrivacyGuard) -> None:
    addresses = ["anna@example.com", "bob@example.org", "carl@example.net", "dora@mail.example.com"]
    text = " ".join(addresses)
    expected = [(text.index(one), text.index(one) + len(one)) for one in addresses]
    assert spans(find(guard, text), "EMAIL_ADDRESS") == expected


def test_a_context_word_makes_a_finding_surer(guard: PrivacyGuard) -> None:
    def score(text: str) -> float:
        return max(one.score for one in find(guard, text) if one.type == "US_BANK_NUMBER")

    assert score("in account number 8471625536") == pytest.approx(0.4)
    assert score("accounts 8471625536") == pytest.approx(0.4)
    assert score("the parcel weighs 8471625536") == pytest.approx(0.05)
    assert score("account red green blue black 8471625536") == pytest.approx(0.4)
    assert score("account red green blue black white 8471625536") == pytest.approx(0.05)


def test_findings_carry_the_path_of_their_part(guard: PrivacyGuard) -> None:
    assert {one.path for one in find(guard, PIECES[0])} == {"/p"}


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u200b", "😀"])
def test_texts_without_words_have_no_findings(guard: PrivacyGuard, text: str) -> None:
    assert find(guard, text) == ()


def test_trailing_space_is_no_fault(guard: PrivacyGuard) -> None:
    assert spans(find(guard, "jane@example.com  \n "), "EMAIL_ADDRESS") == [(0, 16)]


def test_no_socket_is_opened(start, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(tldextract, "extract", refuse)  # it asks the net where its cache is empty
    fresh = start({}, recognizers=(EmailRecognizer(name="plugin's"),))
    found = [one for one in find(fresh, "jane@example.co.uk") if one.type == "EMAIL_ADDRESS"]
    assert [one.score for one in found] == [1.0]


def test_threads_share_a_guard(guard: PrivacyGuard) -> None:
    draw = random.Random(7)
    samples = [" ".join(draw.choices(PIECES, k=12)) for _ in range(128)]
    alone = [find(guard, text) for text in samples]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda text: find(guard, text), samples))
    assert together == alone


@pytest.fixture
def everything_logged() -> Any:
    """Every record that any logger is given, at every level."""
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(self.format(record))

    handler, root, names = Keep(), logging.getLogger(), ["", *logging.root.manager.loggerDict]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield records
    root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_nothing_of_a_text_is_logged(
    guard: PrivacyGuard, everything_logged: list[str], capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def broken(*args: Any) -> None:
        raise ValueError("to make the recogniser log its value")

    monkeypatch.setattr(IbanRecognizer, "_IbanRecognizer__is_valid_format", broken)
    find(guard, f"account {CANARY} phone {CANARY}@example.com DE89370400440532013000 212-555-0100")
    logged = "\n".join((*everything_logged, *capfd.readouterr()))
    assert CANARY not in logged
    assert "DE8937" not in logged


def test_loading_says_nothing_in_the_applications_log() -> None:
    """In a process of its own: Presidio logs what it imports once. Forty lines would come at every reload."""
    script = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)\n"
        "from aigov.privacy.engine import Engine, load\n"
        "Engine.build(load(countries=['de']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if "presidio" in line] == []


def test_an_applications_own_presidio_logs_as_before(guard: PrivacyGuard, everything_logged: list[str]) -> None:
    logging.getLogger("presidio-analyzer").info("from the application")
    assert any("from the application" in line for line in everything_logged)


class Fixed(LocalRecognizer):  # type: ignore[misc]
    """A recogniser with code of its own, as a plugin would bring."""

    def __init__(self, answer: Any, **kwargs: Any) -> None:
        super().__init__(supported_entities=["PROJECT"], name="fixed", **kwargs)
        self.answer = answer

    def load(self) -> None: ...

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> Any:
        if text.startswith("Call +1"):  # what a guard is warmed up with
            return []
        return self.answer(text, nlp_artifacts)


def result(entity: str = "PROJECT", start: Any = 0, end: Any = 1, score: Any = 0.5) -> RecognizerResult:
    return RecognizerResult(entity, start, end, score)


def test_a_plugins_recogniser_runs_and_sees_words(start) -> None:  # type: ignore[no-untyped-def]
    def answer(text: str, artifacts: Any) -> list[RecognizerResult]:
        numbers = [token for token in artifacts.tokens if token.like_num]
        return [result(start=token.idx, end=token.idx + len(token.text)) for token in numbers]

    guard = start({"entities": {"PROJECT": "deny"}}, recognizers=(Fixed(answer),))
    assert spans(find(guard, "project 31 and 427"), "PROJECT") == [(8, 10), (15, 18)]


def test_what_a_recogniser_hands_out_is_not_changed(start) -> None:  # type: ignore[no-untyped-def]
    kept = result(start=8, end=10)
    guard = start({}, recognizers=(Fixed(lambda text, artifacts: [kept], context=["project"]),))
    for _ in range(3):
        assert [one.score for one in find(guard, "project 31") if one.type == "PROJECT"] == [pytest.approx(0.85)]
    assert kept.score == 0.5


@pytest.mark.parametrize(
    "nonsense",
    [
        result(entity=CANARY), result(start=-1), result(end=99), result(start=1, end=1), result(start="0"),
        result(score=2), result(score=-0.1), result(score=float("nan")), result(score="high"),
        result(end=True), None, CANARY,
    ],
)  # fmt: skip
def test_nonsense_from_a_recogniser_is_a_refusal(start, nonsense: Any) -> None:  # type: ignore[no-untyped-def]
    guard = start({}, recognizers=(Fixed(lambda text, artifacts: [nonsense]),))
    with pytest.raises(GuardFault) as caught:
        find(guard, CANARY)
    assert caught.value.code == "guard.fault"
    assert caught.value.__context__ is None
    assert CANARY not in f"{caught.value!r} {caught.value}"


def test_a_recogniser_that_raises_is_a_refusal_without_its_words(start) -> None:  # type: ignore[no-untyped-def]
    def answer(text: str, artifacts: Any) -> Any:
        raise RuntimeError(text)

    guard = start({}, recognizers=(Fixed(answer),))
    with pytest.raises(GuardFault) as caught:
        find(guard, CANARY)
    assert (caught.value.guard, caught.value.__context__, caught.value.__cause__) == ("privacy", None, None)
    assert CANARY not in f"{caught.value!r} {caught.value}"


def test_a_pattern_past_its_time_is_a_refusal_not_a_pass(guard: PrivacyGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """From each of these words on, Presidio's pattern for e-mail addresses reads to the end of all."""
    monkeypatch.setattr(patterns, "BASE_SECONDS", 0.05)
    monkeypatch.setattr(patterns, "SECONDS_PER_CHAR", 0.0)
    with pytest.raises(GuardFault) as caught:
        find(guard, "a." * 20_000 + "a@x!y@x.y")
    assert (caught.value.code, caught.value.__context__) == ("pii.timeout", None)


def test_a_text_that_holds_presidio_up_takes_no_time(guard: PrivacyGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio's pattern for web addresses takes seconds for it; the one pass knows that it cannot match."""
    from aigov.text import scan

    looked = []
    real = scan.matches
    monkeypatch.setattr("aigov.privacy.asking.matches", lambda *given: looked.append(given) or real(*given))
    assert find(guard, "a." * 20_000) == ()
    assert looked == []


def test_a_pattern_is_stopped_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "BASE_SECONDS", 0.05)
    timed = patterns.Timed(regex.compile(r"(?:a|aa|a.)+(?:b|c)+d"))
    with patterns.analysing(""), pytest.raises(GuardFault, match=r"pii\.timeout"):
        list(timed.finditer("a" * 300 + "bcbcbcbd"[:-1]))


def test_the_deadline_is_looked_at_before_every_short_window() -> None:
    looked: list[str] = []

    class Watch(patterns.Stopwatch):
        def left(self) -> float:
            looked.append("at the clock")
            return super().left()

    find = _narrow(regex.compile(r"a\d"), 10)
    found = find("a1 a2 aa a3", [Window(0, 0, 2), Window(3, 3, 5), Window(9, 9, 11)], Watch(1.0))
    assert [match.group() for match in found] == ["a1", "a2", "a3"]
    assert len(looked) == 3


def test_a_window_in_which_an_expression_may_be_slow_has_a_time_limit() -> None:
    slow = r"(?:a|aa|a.)+(?:b|c)+d"
    assert Scanner([Expression(slow, FLAGS)]).rooms == (0,)
    with pytest.raises(TimeoutError):
        _narrow(regex.compile(slow), 0)("a" * 300 + "bcbcbcbxd", [Window(0, 200, 309)], patterns.Stopwatch(0.05))


def test_a_text_past_its_time_stops_the_call_before_the_provider(
    shared: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns, "BASE_SECONDS", -1.0)
    monkeypatch.setattr(patterns, "SECONDS_PER_CHAR", 0.0)
    model = ScriptedProvider("noted")
    with pytest.raises(Denied) as caught:
        shared.gov.call(model.ask, "jane@example.com", action="chat", resource="model:gpt-4o-mini", principal=DANA)
    assert (caught.value.reason, model.calls) == ("pii.timeout", 0)


def test_a_recogniser_that_says_what_it_needs_is_asked_only_where_that_could_stand(start) -> None:  # type: ignore[no-untyped-def]
    asked: list[str] = []

    def answer(text: str, artifacts: Any) -> list[RecognizerResult]:
        asked.append(text)
        return [result(start=text.index("PRJ"), end=len(text))] if "PRJ" in text else []

    gated = Fixed(answer)
    gated.aigov_needs = (r"PRJ-\d+", "plan b")
    guard = start({}, recognizers=(gated,))
    assert spans(find(guard, "the plan is PRJ-7"), "PROJECT") == [(12, 17)]
    assert find(guard, "there is no project here") == ()
    assert find(guard, "this is Plan B") == ()
    assert asked == ["the plan is PRJ-7", "this is Plan B"]


def test_a_recogniser_of_its_own_past_its_time_is_a_refusal(start, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def answer(text: str, artifacts: Any) -> list[RecognizerResult]:
        time.sleep(0.3)
        return []

    guard = start({}, recognizers=(Fixed(answer),))
    monkeypatch.setattr(patterns, "BASE_SECONDS", 0.25)
    with pytest.raises(GuardFault, match=r"pii\.timeout"):
        find(guard, "x")


class NotPresidio:
    supported_entities = ("PROJECT",)


@pytest.mark.parametrize(
    ("recognizer", "why"),
    [
        (NotPresidio(), "not a presidio recognizer"),
        (Fixed(lambda *args: [], supported_language="de"), "another language"),
        (PatternRecognizer("lower case", patterns=[Pattern("p", "x", 0.5)]), "upper case"),
    ],
)
def test_a_recogniser_that_would_not_run_is_refused_at_start(start, recognizer: Any, why: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PolicyError, match=why) as caught:
        start({}, recognizers=(recognizer,))
    assert caught.value.__context__ is None


def test_presidios_own_patterns_are_left_as_they_were(start) -> None:  # type: ignore[no-untyped-def]
    mine = PatternRecognizer("PROJECT", patterns=[Pattern("p", "px", 0.5)])
    before = list(mine.patterns)
    guard = start({}, recognizers=(mine,))
    assert spans(find(guard, "a px"), "PROJECT") == [(2, 4)]
    assert mine.patterns == before
    assert mine.patterns[0].compiled_regex is None
    assert isinstance(mine, EntityRecognizer)


def test_a_text_full_of_findings_takes_linear_steps(guard: PrivacyGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each finding looks at a few words; Presidio's own enhancer walks all words before it."""
    from aigov.privacy.words import Artifacts

    asked = 0
    real = Words.counts

    def counting(self: Words, word: str) -> bool:
        nonlocal asked
        asked += 1
        return real(self, word)

    monkeypatch.setattr(Words, "counts", counting)
    text = "jane@example.com " * 200
    found = find(guard, text)
    words = len(Artifacts(text, Words(())).tokens)
    assert len(found) >= 400
    assert asked <= 2 * words

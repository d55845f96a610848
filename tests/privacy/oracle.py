"""Presidio as it is, to compare with: its engine, recognisers and enhancer, on the words that the project ships."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phonenumbers import Leniency, PhoneNumberMatch, PhoneNumberMatcher
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer

from aigov.errors import GuardFault
from aigov.privacy import engine as engines
from aigov.privacy.words import Words
from tests.privacy.samples import any_pattern

EVERY_COUNTRY = (
    "au",
    "ca",
    "de",
    "es",
    "fi",
    "in",
    "it",
    "kr",
    "ng",
    "ph",
    "pl",
    "se",
    "sg",
    "th",
    "tr",
    "uk",
    "us",
    "za",
)
CORPUS = tuple(
    line
    for path in sorted((Path(__file__).parent / "corpus").glob("*.txt"))
    for line in path.read_text(encoding="utf-8").splitlines()
    if line
)
MOST_KNOWN = 300_000  # answers about candidates: 100 MB
Row = tuple[str, int, int, float]


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


def own() -> list[Any]:
    """Recognisers such as an organisation would write: a pattern with context, a deny list."""
    return [
        PatternRecognizer(
            "PROJECT", patterns=[Pattern("p", r"\bPRJ-\w{2,}(?=\s|$)", 0.4)], context=["project", "companies"]
        ),
        PatternRecognizer(
            "TEAM", deny_list=["Blue Heron", "Ära", "65070649C103", "27AAPFU0939F1ZV", "K9"], context=["team"]
        ),
    ]


def untouched(countries: Sequence[str]) -> list[Any]:
    """The recognisers as Presidio makes them; only the net is kept from the one for e-mail."""
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    plain = {type(one): one for one in registry.recognizers}
    made = [plain.get(type(one)) or type(one)(supported_language="en") for one in engines.load((), countries)]
    for index, one in enumerate(made):
        if isinstance(one, EmailRecognizer):
            made[index] = copy.copy(one)
            made[index].validate_result = engines.offline_domain_check()
    return made


def presidio(recognizers: list[Any]) -> AnalyzerEngine:
    """Presidio's engine over these."""
    registry = RecognizerRegistry(recognizers, supported_languages=["en"])
    enhancer = LemmaContextAwareEnhancer()
    return AnalyzerEngine(registry, PlainWords(), supported_languages=["en"], context_aware_enhancer=enhancer)


def remember_numbers() -> None:
    """Let `phonenumbers` be asked about a candidate once for each region, in this process from now on.

    It is most of what Presidio takes. At Presidio's leniency it answers by the region, the candidate and whether a
    letter or the like stands beside it; in many generated texts four questions in five have been asked before.
    """
    ask = PhoneNumberMatcher._parse_and_verify
    known: dict[tuple[str, str, bool, bool], PhoneNumberMatch | None] = {}

    @functools.lru_cache
    def joins(beside: str) -> bool:
        symbol, letter = PhoneNumberMatcher._is_invalid_punctuation_symbol, PhoneNumberMatcher._is_latin_letter
        return bool(beside) and (symbol(beside) or letter(beside))

    def asked(matcher: Any, candidate: str, offset: int) -> PhoneNumberMatch | None:
        assert matcher.leniency == Leniency.VALID
        text, end = matcher.text, offset + len(candidate)
        key = matcher.preferred_region, candidate, joins(text[offset - 1 : offset]), joins(text[end : end + 1])
        if key not in known:
            if len(known) >= MOST_KNOWN:
                known.clear()
            known[key] = ask(matcher, candidate, offset)
        found = known[key]
        return found and PhoneNumberMatch(offset, candidate, found.number)

    PhoneNumberMatcher._parse_and_verify = asked


def expected(analyzer: AnalyzerEngine, text: str) -> list[Row] | str:
    """Every field of every result, or that a recogniser broke: some of Presidio's do, on digits outside ASCII."""
    try:
        found = analyzer.analyze(text, "en", score_threshold=0.0) if text else []
    except (KeyError, ValueError, IndexError, TypeError):
        return "broke"
    return sorted((one.entity_type, one.start, one.end, one.score) for one in found)


def ours(engine: engines.Engine, text: str) -> list[Row] | str:
    try:
        return sorted((one.type, one.start, one.end, one.score) for one in engine.findings(text))
    except GuardFault as fault:
        return "broke" if fault.code == "guard.fault" else fault.code


VALUES = (
    "jane@example.com", "bob.o'neil+x@mail.example.co.uk", "é.ü@пример.рф", "a@b.c", "x@y@z.com",
    "4111 1111 1111 1111", "4111-1111-1111-1112", "5500005555555559", "378282246310005", "536-22-8726",
    "536 22 8726", "900-70-1234", "212-555-0100", "(415) 555-2671", "+44 20 7946 0958", "020 7946 0958",
    "+49 30 901820", "030 901820", "+91 98765 43210", "+55 11 91234-5678", "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32", "de89 3704 0044 0532 0130 00 2 days", "192.168.0.1", "10.0.0.1/24",
    "2001:db8::1", "fe80::1%eth0", "::ffff:1.2.3.4", "::1", "::", "1:2:3:4:5:6:7:8",
    "https://www.example.com/a?b=c#d", '"http://x.org"', "'www2.example.net/ü'", "example.museum",
    "a.a.a.a.com", "01/02/2024", "13/12/24", "2024-02-30", "2024-01-02T03:04:05.123Z", "5-JAN-2024", "JAN-24",
    "3.4.2021", "12/2024", "8471625536", "123456789", "021000021", "a1b2c3d4-e5f6-4711-8899-aabbccddeeff",
    "00:1B:44:11:3A:B7", "00-1b-44-11-3a-b7", "001B.4411.3AB7", "943 476 5919", "9434765919",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "BB1388568",
    "X12345678", "D1234567", "H12345678", "AB123456C", "SW1A 1AA", "AB12 CDE", "S1234567D", "51 824 753 556",
    "2123 456 789", "123 456 782", "ABCPA1234D", "2345 6789 0124", "MH12AB1234", "J8369854", "ABC1234567",
    "22AAAAA0000A1Z5", "12345678Z", "X1234567L", "RSSMRA85T10A562S", "131052-308T", "44051401359",
    "811218-9876", "556036-0793", "8001015009087", "1-1017-00705-14-2", "10000000146", "34 ABC 123",
    "960121-1234567", "123-45-67890", "DE136695976", "65 929 970 489", "12 345678 A 123", "K-AB 1234",
    "HRB 12345", "10115", "1EG4-TE5-MK73", "1234567893", "0821234567", "PRJ-x1", "Blue Heron", "Ära", "\u212a9",
    "PRJ-ſ",
)  # fmt: skip
WORDS = (
    "account number", "accounts", "my card is", "credit", "phone", "passport", "driver's licenses",
    "call me at", "e-mail:", "the", "and of the", "bank accounts", "SSN", "social security", "iban", "ip",
    "website", "date", "birthday", "nhs", "tax id", "companies", "project", "team", "ID", "aadhaar", "pan",
    "vehicle", "plate", "postcode", "number", "wallet", "btc", "mac", "Straße", "ſsn", "İp", "\u212aontonummer",
    "日本", "😀", "\u200d", "٠١٢٣", "３７", "é", "a", "x", "1", "22", "333",
)  # fmt: skip
SIGNS = (
    " ", " ", " ", "", "", "\n", "\t", ", ", ".", ". ", "; ", ":", "-", "/", "(", ")", "#", '"', "'", "_", "@",
    "+", "0", "\u00a0", "\u2013", "\ud800", "\r\n", "$", "<", ">", "=", "&", "*",
)  # fmt: skip


def near_miss(value: str, draw: random.Random) -> str:
    """The value with one character changed, put in or left out."""
    at = draw.randrange(len(value))
    put = draw.choice(("", "", draw.choice("0123456789"), draw.choice("aZk-. :/@"), draw.choice(SIGNS), "é", "٣", "ſ"))
    return value[:at] + put + value[at + draw.randrange(2) :]


def generated(draw: random.Random, most: int) -> str:
    """A text of at most so many characters, as many short as long ones: values, near misses, context words, prose."""
    size = round(most ** draw.random())
    parts: list[str] = []
    length = 0
    while length < size:
        kind = draw.random()
        if kind < 0.4:
            piece = draw.choice(VALUES)
        elif kind < 0.52:
            piece = any_pattern(draw)
        elif kind < 0.64:
            piece = near_miss(draw.choice(VALUES), draw)
        elif kind < 0.85:
            piece = draw.choice(WORDS)
        elif kind < 0.97:
            piece = draw.choice(CORPUS) if CORPUS else "x"
        else:
            piece = "".join(draw.choice("0123456789abcXK. -:/@") for _ in range(draw.randrange(30)))
        piece += draw.choice(SIGNS)
        parts.append(piece)
        length += len(piece)
    return "".join(parts)[:size]

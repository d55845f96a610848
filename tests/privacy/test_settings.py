"""The policy key `privacy`: what is accepted, and what is refused with its place."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aigov.errors import GuardFault, PolicyError
from aigov.hookspecs import Context
from aigov.policy.source import read
from aigov.privacy import patterns
from aigov.privacy.guard import plugin
from aigov.privacy.patterns import Linear, compile_linear
from aigov.privacy.settings import Settings, word
from aigov.types import Part


def refused(start: Any, settings: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    """Where and what: every problem of these settings."""
    with pytest.raises(PolicyError) as caught:
        start(settings, **more)
    return [(problem.where.file, f"{problem.what}; {problem.fix}") for problem in caught.value.problems]


def custom(**entry: Any) -> dict[str, Any]:
    return {"custom": [{"entity": "ORDER_ID", **entry}]}


def test_the_defaults() -> None:
    settings = Settings()
    assert (settings.min_score, settings.default, settings.allow, settings.custom) == (0.4, "tokenise", (), ())
    assert settings.action("EMAIL_ADDRESS") == "tokenise"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        *((name, name) for name in ("tokenise", "mask", "hash", "replace", "redact", "allow", "review", "deny")),
        ({"mask": {"keep_last": 4}}, "mask"),
        ({"mask": {"keep_first": 2, "keep_last": 2, "char": "•"}}, "mask"),
        ({"replace": {"with": "the customer"}}, "replace"),
        ({"hash": {"length": 12}}, "hash"),
    ],
)
def test_actions_are_words_or_words_with_parameters(action: Any, expected: str) -> None:
    settings = msgspec.convert({"entities": {"URL": action}, "default": action}, Settings)
    assert word(settings.action("URL")) == word(settings.default) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"entities": {"URL": "tokenize"}}, {"entities": {"URL": {}}}, {"entities": {"URL": None}},
        {"entities": {"URL": {"mask": {"keep_last": 4}, "hash": {}}}}, {"entities": {"URL": {"deny": {}}}},
        {"entities": {"URL": {"mask": {"keep": 4}}}}, {"entities": {"URL": {"mask": {"keep_last": -1}}}},
        {"entities": {"URL": {"mask": {"char": "ab"}}}}, {"entities": {"URL": {"mask": {"char": " "}}}},
        {"entities": {"URL": {"mask": {"char": "\u202e"}}}}, {"entities": {"URL": {"hash": {"length": 4}}}},
        {"entities": {"URL": {"replace": {}}}}, {"entities": {"URL": {"replace": {"with": ""}}}},
        {"entities": {"url": "deny"}}, {"min_score": 1.1}, {"min_score": -0.1}, {"min_scores": 0.1},
        {"allow": [""]}, {"allow": "x"}, custom(pattern="x", score=0), custom(pattern="x", score=1.01),
        custom(pattern=""), {"custom": [{"pattern": "x"}]}, {"custom": [{"entity": "order", "pattern": "x"}]},
    ],
)  # fmt: skip
def test_what_does_not_decode(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Settings)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (r"(?=a)b", "a lookahead"), (r"(?!a)b", "a negative lookahead"), (r"(?<=a)b", "a lookbehind"),
        ("(a", "a `(` that nothing closes"), ("a)", "a `)` that nothing opens"), ("[a", "a `[` that nothing closes"),
        ("*a", "a repetition of nothing"), (r"\p{Foo}", "invalid character class range (`\\p{Foo}`)"),
        (r"(?<!a)b", "a negative lookbehind"), (r"(a)\1", "a backreference"), (r"(?P<x>a)(?P=x)", "a backreference"),
        (r"(?>a)b", "an atomic group"), (r"a++b", "a possessive"), (r"(a)(?(1)b|c)", "a conditional"),
        (r"a{2000}", "more than 1000"), (r"a\h", "the escape"),
    ],
)  # fmt: skip
def test_a_pattern_that_could_backtrack_or_is_none_is_refused_by_name(start, pattern: str, named: str) -> None:  # type: ignore[no-untyped-def]
    [(where, what)] = refused(start, custom(pattern=pattern))
    assert where == "custom.0.pattern"
    assert named in what


@pytest.mark.parametrize("pattern", ["x*", "a|", "()", r"\b", "^", "$", "(a?)(b?)", ""])
def test_a_pattern_that_matches_nothing_is_noticed(pattern: str) -> None:
    compiled = compile_linear(pattern)
    assert isinstance(compiled, Linear)
    assert compiled.matches_nothing


@pytest.mark.parametrize("pattern", ["x", r"\bORD-\d{8}\b", "^a", "a+$", "[^a]"])
def test_a_pattern_that_needs_a_character_is_fine(pattern: str) -> None:
    compiled = compile_linear(pattern)
    assert isinstance(compiled, Linear)
    assert not compiled.matches_nothing


@pytest.mark.parametrize(
    ("settings", "where", "said"),
    [
        (custom(pattern="x*"), "custom.0.pattern", "empty string"),
        (custom(patterns=["x", "y*"]), "custom.0.patterns.1", "empty string"),
        (custom(), "custom.0", "nothing to find it by"),
        (custom(deny_list=["ok", " "]), "custom.0.deny_list.1", "blank"),
        (custom(pattern="x", context=["\t"]), "custom.0.context.0", "blank"),
        (custom(pattern="x", score=0.3), "custom.0.score", "would never count"),
        ({"min_score": 0.95, **custom(pattern="x", score=0.5, context=["order"])}, "custom.0.score", "0.85 at most"),
        ({"custom": [{"entity": "A", "pattern": "x"}, {"entity": "A", "pattern": "y"}]}, "custom.1.entity", "twice"),
        ({"custom": [{"entity": "TOKEN", "pattern": "x"}]}, "custom.0.entity", "tokens themselves"),
        ({"entities": {"EMAIL_ADRESS": "deny"}}, "entities.EMAIL_ADRESS", "did you mean `EMAIL_ADDRESS`?"),
        ({"entities": {"ZZZ": "deny"}}, "entities.ZZZ", "the entities are"),
        ({"entities": {"TOKEN": "allow"}}, "entities.TOKEN", "no detector"),
        ({"entities": {"PERSON": "deny"}}, "entities.PERSON", "turn on `encoder`"),
    ],
)
def test_what_decodes_but_cannot_be_meant(start, settings: dict[str, Any], where: str, said: str) -> None:  # type: ignore[no-untyped-def]
    [(place, what)] = refused(start, settings)
    assert place == where
    assert said in what


def test_every_problem_is_told_at_once(start) -> None:  # type: ignore[no-untyped-def]
    wrong = {"entities": {"NOPE": "deny"}, **custom(patterns=["(?=a)", "b*"], deny_list=[" "])}
    assert len(refused(start, wrong)) == 4


@pytest.mark.parametrize(
    ("settings", "entities"),
    [
        ({"entities": {"US_SSN": "deny", "ORDER_ID": "mask"}, "custom": [{"entity": "ORDER_ID", "pattern": "x"}]}, ()),
        ({"entities": {"PROJECT": "deny"}}, ("PROJECT",)),
        ({"entities": {"PERSON": "deny"}}, ("PERSON",)),
        (custom(pattern="x", score=0.3, context=["order"]), ()),
        ({"custom": [{"entity": "PHONE_NUMBER", "pattern": "x9"}]}, ()),
    ],
)
def test_names_that_something_stands_behind_are_fine(start, settings: dict[str, Any], entities: Any) -> None:  # type: ignore[no-untyped-def]
    assert start(settings, entities=frozenset(entities))


@pytest.mark.parametrize(
    ("entry", "text", "expected"),
    [
        ({"pattern": r"\bORD-\d{8}\b"}, "an ord-12345678.", ["ord-12345678"]),
        ({"patterns": ["AB+", "C{2}"]}, "abb, cc", ["abb", "cc"]),
        ({"deny_list": ["Blue Falcon", "O'Neil (x)"]}, "blue falcon and O'Neil (x), Blue Falcons", None),
        ({"pattern": "^b$"}, "a\nb\nc", ["b"]),
        ({"pattern": "a.c"}, "a\nc", ["a\nc"]),
        ({"pattern": "(a+)+$"}, "😀 é aaa", ["aaa"]),
        ({"pattern": r"(?i)x|y"}, "Xy", ["X", "y"]),
    ],
)
def test_custom_entities_are_found(start, entry: dict[str, Any], text: str, expected: list[str] | None) -> None:  # type: ignore[no-untyped-def]
    guard = start(custom(**entry))
    found = sorted(
        (one.start, text[one.start : one.end])
        for one in guard.aigov_detect(Part(path="", text=text), "input")
        if one.type == "ORDER_ID"
    )
    assert [value for _, value in found] == (expected or ["blue falcon", "O'Neil (x)"])


def test_a_pattern_that_another_engine_would_choke_on_is_linear(start) -> None:  # type: ignore[no-untyped-def]
    guard = start(custom(pattern="(x+x+)+y"))
    found = guard.aigov_detect(Part(path="", text="x" * 50_000), "input")
    assert [one for one in found if one.type == "ORDER_ID"] == []


def test_many_matches_that_each_read_to_the_end_are_a_refusal(start, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """Each search is linear, but `a.*z` is looked for up to the end of all before each `a` is taken."""
    guard = start(custom(pattern="a.*z|a"))
    monkeypatch.setattr(patterns, "BASE_SECONDS", 0.1)
    monkeypatch.setattr(patterns, "SECONDS_PER_CHAR", 0.0)
    began = time.monotonic()
    with pytest.raises(GuardFault, match=r"pii\.timeout"):
        guard.aigov_detect(Part(path="", text="a " * 40_000), "input")
    assert time.monotonic() - began < 2


def test_a_context_word_of_the_policy_counts(start) -> None:  # type: ignore[no-untyped-def]
    guard = start(custom(pattern="Q[0-9]+", score=0.3, context=["Ticket"]))

    def score(text: str) -> float:
        return next(one.score for one in guard.aigov_detect(Part(path="", text=text), "input"))

    assert score("tickets: q9") == pytest.approx(0.65)
    assert score("see q9") == pytest.approx(0.3)


def test_a_policy_file_is_told_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "organisation.yaml").write_text(
        "aigov: 1\nlayer: organisation\nname: acme\nprivacy:\n  min_score: 0.4\n"
        "  entities: {US_SSN: deny, CREDITCARD: {mask: {keep_last: 4}}}\n"
        "  custom:\n    - {entity: ORDER_ID, pattern: '(?=x)y'}\n",
        encoding="utf-8",
    )
    settings = read(tmp_path).section("privacy", plugin.aigov_settings())
    with pytest.raises(PolicyError) as caught:
        plugin.aigov_start(settings, Context(folder=tmp_path, key=lambda label: bytes(32)))
    lines = str(caught.value).splitlines()
    assert [line.split("organisation.yaml:")[1].split(":")[0] for line in lines] == ["6", "8"]
    assert "did you mean `CREDIT_CARD`?" in lines[0]
    assert "a lookahead" in lines[1]

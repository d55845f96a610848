"""Casbin's pattern functions, compiled: the same answers, in time that a text cannot blow up."""

from __future__ import annotations

import pytest
from casbin import util
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.access.patterns import BadPattern, beginning, compiled, folded

THEIRS = {
    "keyMatch": util.key_match, "keyMatch2": util.key_match2, "keyMatch3": util.key_match3,
    "keyMatch4": util.key_match4, "keyMatch5": util.key_match5, "regexMatch": util.regex_match,
    "globMatch": util.glob_match,
}  # fmt: skip
PIECES = ["a", "b", "/", "/", "*", "**", "/*", ":x", ":y", "{x}", "{y}", "{x}", "?", "[ab]", "+", ".", "é", "\\w",
          "(a|b)", "(ab)*", "{1,}", "{2}", "$", "^", "|", ",", "-", "//", "!", "{a,b}", "\n"]  # fmt: skip
LETTERS = ["a", "b", "/", "/", "x", "ab", "é", "?", ".", "//", "-", "K", "\n"]
written = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
given_texts = st.lists(st.sampled_from(LETTERS), max_size=7).map("".join)


@given(st.sampled_from(sorted(THEIRS)), written, st.lists(given_texts, min_size=1, max_size=6))
@settings(max_examples=1000)
def test_a_pattern_matches_what_casbins_function_matches(function: str, pattern: str, texts: list[str]) -> None:
    try:
        match = compiled(function, pattern)
    except BadPattern:
        return
    for text in texts:
        wanted = THEIRS[function](text, pattern)
        assert match(text) == wanted
        if wanted and function != "keyMatch":
            assert folded(function, text).startswith(beginning(function, pattern))


@pytest.mark.parametrize(
    ("function", "pattern"),
    [
        ("regexMatch", "(a+)+$"),
        ("regexMatch", "(a|a)*$"),
        ("regexMatch", "(a{1,40}){1,20}$"),
        ("keyMatch2", "/*/*/*/*/*/*x"),
        ("keyMatch4", "{a}{b}{c}{d}{e}{f}/x"),
        ("keyMatch5", "(a|a)*/{x}"),
    ],
)
def test_no_text_makes_a_pattern_run_away(function: str, pattern: str) -> None:
    """Python's own `re` would not come back before this test's time limit."""
    assert not compiled(function, pattern)("a" * 1000 + "/" * 20 + "!")


def test_casbin_itself_is_given_the_same_functions(build, tenants) -> None:
    model = tenants.replace("keyMatch(", "regexMatch(").replace("r.act == p.act", "r.act.lower() == p.act")
    access = build("p, dana, retail, (a+)+$, chat, allow\n", model)
    assert access.choice.name == "pycasbin"
    engine = access.choice.engine
    assert not engine.decide(("dana", "retail", "a" * 1000 + "!", "chat")).allowed
    assert engine.decide(("dana", "retail", "a" * 1000, "CHAT")).allowed


def test_a_glob_with_many_stars_is_refused() -> None:
    for pattern in ("/a*a*a*a*b", "**/a/**/b/**/c/**"):
        with pytest.raises(BadPattern, match="more than 3"):
            compiled("globMatch", pattern)

"""Casbin's pattern functions: compiled once, matched in linear time, indexed by what they begin with.

Invariants:
* A compiled pattern answers what pycasbin's function of that name answers for the same texts.
* `beginning(function, pattern)` begins every text that the pattern matches (after `folded`), so that an
  index by beginnings never misses a rule.
* A pattern with several repeats, or one of a group, is matched by RE2 wherever RE2 and Python's `re` cannot
  differ; `re` alone could take time exponential in the text.
* A glob has at most three `*` in a segment and three `**`: wcmatch tries every way to share a text among them.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from typing import Any

Match = Callable[[str], bool]
REGEX_FUNCTIONS = frozenset({"keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "regexMatch"})
MAX_PATTERN_CHARS = 1024
MAX_STARS = 3

# Where RE2 and `re` read the same pattern differently: POSIX classes, `{,n}`, octal escapes.
_READ_DIFFERENTLY = re.compile(r"\[:|\[\[|\{,|\\[0-9]|[^\x00-\x7f]")
_BY_ALPHABET = re.compile(r"\\|\(\?")
_SEGMENT = re.compile(r"\[\^\\?/\]\+(?=/|\$|\))")
_REPEAT = re.compile(r"[*+?{]")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_LITERAL = re.compile(r"[A-Za-z0-9_/ @,:=~%&'\"<>;-]*")
_GLOB_LITERAL = re.compile(r"[A-Za-z0-9_/ @:=%&'\";.-]*")


class BadPattern(ValueError):
    """A pattern that its function cannot take. The message says why."""


def beginning(function: str, pattern: str) -> str:
    """Text that begins whatever the pattern matches; "" where nothing is sure."""
    if function == "globMatch":
        if os.name == "nt" or "|" in pattern:
            return ""
        literal = _matched(_GLOB_LITERAL, pattern)
        return re.sub("/+", "/", literal).rstrip("/")
    if "|" in pattern or function not in REGEX_FUNCTIONS:
        return ""
    if function == "regexMatch":
        pattern = pattern.removeprefix("^")
    literal = _matched(_LITERAL, pattern)
    if function in ("keyMatch2", "keyMatch4", "keyMatch3", "keyMatch5"):
        literal = literal.partition(":")[0] if function == "keyMatch2" else literal
    # A quantifier, or Casbin's own `*`, takes the last character back.
    return literal[:-1] if len(literal) < len(pattern) else literal


def folded(function: str, text: str) -> str:
    """The text as `beginning` compares it: to globMatch, several slashes are one."""
    return re.sub("/+", "/", text) if function == "globMatch" else text


def compiled(function: str, pattern: str) -> Match:
    """The pattern as a predicate on texts. Raises BadPattern."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadPattern(f"longer than {MAX_PATTERN_CHARS} characters")
    if function == "keyMatch":
        return _key_match(pattern)
    if function == "globMatch":
        return _glob(pattern)
    if function == "keyMatch4":
        return _key_match_4(pattern)
    if function == "keyMatch5":
        match = _regex("^" + re.sub(r"{[^/]+}", r"[^/]+", pattern.replace("/*", "/.*")) + "$")
        return lambda text: match(text.partition("?")[0])
    if function == "keyMatch2":
        text = re.sub(r"(.*?):[^\/]+(.*?)", r"\g<1>[^\/]+\g<2>", pattern.replace("/*", "/.*"))
        return _regex("^" + ("(.*)" if text == "*" else text) + "$")
    if function == "keyMatch3":
        return _regex("^" + re.sub(r"(.*?){[^\/]+?}(.*?)", r"\g<1>[^\/]+\g<2>", pattern.replace("/*", "/.*")) + "$")
    if function == "regexMatch":
        return _regex(pattern)
    raise BadPattern(f"no function `{function}`")


def linear(pattern: str) -> str:
    """Why a linear-time engine does not take a regular expression; "" where it does."""
    found = _re2(pattern)
    return "" if found is not None else "a linear-time engine does not take it (look-around, back reference, …)"


def _matched(allowed: re.Pattern[str], text: str) -> str:
    found = allowed.match(text)
    return found.group() if found else ""


def _key_match(pattern: str) -> Match:
    star = pattern.find("*")
    if star < 0:
        return pattern.__eq__
    prefix = pattern[:star]
    return lambda text: text.startswith(prefix)


def _regex(pattern: str) -> Match:
    """`re.match(pattern, text)` as a predicate, by RE2 where `re` could be slow and RE2 says the same."""
    usual = _re(pattern)
    plain = usual.match
    repeats = len(_REPEAT.findall(_SEGMENT.sub("", pattern)))
    if (repeats < 2 and not _REPEATED_GROUP.search(pattern)) or _READ_DIFFERENTLY.search(pattern):
        return lambda text: plain(text) is not None
    quick = _re2(pattern)
    if quick is None:
        return lambda text: plain(text) is not None
    linear_match = quick.match
    by_alphabet = bool(_BY_ALPHABET.search(pattern))

    def match(text: str) -> bool:
        # `$` stands before a last line feed to `re` only; `\w` and (?i) know more letters there.
        if "\n" in text or (by_alphabet and not text.isascii()):
            return plain(text) is not None
        return linear_match(text) is not None

    return match


def _re(pattern: str) -> re.Pattern[str]:
    problem = ""
    try:
        with warnings.catch_warnings():
            # Python warns of what it may read differently one day; nobody should rely on it today.
            warnings.simplefilter("error")
            return re.compile(pattern)
    except re.error as error:
        problem = error.msg
    except (Warning, RecursionError, OverflowError, MemoryError):
        problem = "Python cannot read it for certain"
    raise BadPattern(f"no regular expression: {problem}")


def _re2(pattern: str) -> Any:
    """The pattern as RE2 compiles it, or None where it does not."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 22
    try:
        return re2.compile(pattern, options)
    except re2.error:
        return None


def _key_match_4(pattern: str) -> Match:
    """As keyMatch3, and a variable that stands twice stands for the same text both times."""
    names = re.findall(r"{([^/]+)}", pattern.replace("/*", "/.*"))
    source = "^" + re.sub(r"{([^/]+)}", "([^/]+)", pattern.replace("/*", "/.*")) + "$"
    regex, possible = _re(source), _regex(source)
    if regex.groups != len(names):
        raise BadPattern("keyMatch4 takes no brackets beside its variables")

    def match(text: str) -> bool:
        found = regex.match(text) if possible(text) else None
        if found is None:
            return False
        seen: dict[str, str] = {}
        return all(seen.setdefault(name, value) == value for name, value in zip(names, found.groups(), strict=True))

    return match


def _glob(pattern: str) -> Match:
    """globMatch: `*` within a segment, `**` across segments, `?`, `[...]`, `{a,b}`."""
    from wcmatch import glob

    while pattern.startswith("*/"):
        pattern = pattern[1:]
    parts = [part if part == "**" else re.sub(r"\*{2,}", "*", part) for part in pattern.split("/")]
    if parts.count("**") > MAX_STARS or any(part.count("*") > MAX_STARS for part in parts):
        raise BadPattern(f"more than {MAX_STARS} `*` in a segment, or `**`")
    text = "/".join(parts)
    if text.endswith("/**"):
        text = "{" + text[:-3] + "," + text + "}"
    problem = ""
    try:
        return glob.compile(text, flags=glob.GLOBSTAR | glob.BRACE).match
    except Exception as error:  # noqa: BLE001 - wcmatch names no common base; a bad pattern is refused, not matched
        problem = type(error).__name__
    raise BadPattern(f"no glob pattern: {problem}")

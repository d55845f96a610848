"""What the parser of the command line objects to, in the words of every other error of ours.

Invariants:
* One line: what is wrong, with names in backticks, and the help that says what would be right.
* What the parser says in words that are not known here is passed on, only lower-cased and unquoted.
"""

from __future__ import annotations

import re
from typing import Any

_SAID = (
    (r"Invalid value for (?P<where>.+?): (?:Value error, )?(?:Input )?(?P<what>.+)", "{where}: {what}"),
    (r"Missing (?P<kind>argument|option|parameter) (?P<what>.+)", "the {kind} {what} is missing"),
    (r"Missing command", "a command is missing"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((?P<what>.+)\)", "`{what}` is not expected here"),
    (r"No such (?P<kind>command|option):? (?P<what>\S+)", "there is no {kind} {what}"),
    (
        r"No such (?P<kind>command|option):? (?P<what>\S+?)[. ]+(?:Did you mean|\(Possible options:) (?P<near>.+)[?)]",
        "there is no {kind} {what}; did you mean {near}?",
    ),
)
_QUOTED = re.compile(r"'([^']*)'")
_OPTION = re.compile(r"(?<![\w`-])--?[a-z][a-z-]*")


def worded(error: Any) -> str:
    """The line for an error of the parser: "there is no command `chekc`; did you mean `check`?; see …"."""
    said = str(error.format_message()).strip().removesuffix(".")
    for pattern, ours in _SAID:
        if found := re.fullmatch(pattern, said):
            said = ours.format_map(found.groupdict())
            break
    command = getattr(getattr(error, "ctx", None), "command_path", None) or "aigov"
    return f"{_named(said[:1].lower() + said[1:])}; see `{command} --help`"


def _named(said: str) -> str:
    """Names and options in backticks."""
    return _OPTION.sub(r"`\g<0>`", _QUOTED.sub(r"`\1`", said))

"""Characters that nobody sees, in a text as it was given, and what they hide.

Invariants:
* What a script or an emoji needs is no finding: one joiner or non-joiner inside Arabic or Indic words, a
  word break in Thai, Lao, Khmer or Burmese, a direction mark beside right-to-left letters, a selector after
  a Chinese character or a pictograph, a filler in old Hangul. More of them in a row than one is a finding.
* Everything else that the normal form leaves out is found, each run with its kind.
* Every finding is a run of such characters and nothing else: to strip it takes no visible letter away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from aigov.text.characters import BIDI_FORCE, BIDI_HINT, CONTROL, EMOJI, INVISIBLE, REMOVED, RUN, TAG, all_seen

INVISIBLE_CHARACTER = "INVISIBLE_CHARACTER"
TAG_CHARACTER = "TAG_CHARACTER"
BIDI_CONTROL = "BIDI_CONTROL"
CONTROL_CHARACTER = "CONTROL_CHARACTER"
TYPES = (INVISIBLE_CHARACTER, TAG_CHARACTER, BIDI_CONTROL, CONTROL_CHARACTER)

_JOINING = (
    "\u0600-\u061b\u061d-\u06ff\u0700-\u08ff\ufb50-\ufdff\ufe70-\ufefc\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17ff"
    "\u1800-\u180a\u1810-\u18af\ua840-\ua877\U00010a00-\U00010aff\U00011000-\U00011fff"
)
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17b3\u17b6-\u17ff\u0f00-\u0fff\u1950-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
_MONGOLIAN = "\u1800-\u180a\u1810-\u18af"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_ALONE = f"(?![{INVISIBLE}])"

_NEEDED = "|".join((
    f"(?<=[{_JOINING}])[\u200c\u200d]{_ALONE}",
    f"(?<=[{_UNSPACED}])\u200b(?=[{_UNSPACED}])",
    f"(?<=[{_MONGOLIAN}])[\u180b-\u180f]{_ALONE}",
    f"(?<=[{_HAN}])[\ufe00-\ufe02\U000e0100-\U000e011f]{_ALONE}",
    "\u115f(?=[\u1160-\u11a7])|(?<=[\u1100-\u115f])\u1160",
    "(?<=[\u0591-\u05c7])\u034f(?=[\u0591-\u05c7])",
))  # fmt: skip
_HINTS = f"(?<![{BIDI_HINT}])[{BIDI_HINT}]{_ALONE}"
_KINDS = (
    f"(?P<{TAG_CHARACTER}>[{TAG}]+)|(?P<{BIDI_CONTROL}>[{BIDI_FORCE}]+)"
    f"|(?P<{CONTROL_CHARACTER}>[{CONTROL}]+)|(?P<{INVISIBLE_CHARACTER}>[{INVISIBLE}])"
)
_BYTES = 16  # selectors 1 to 16 stand apart from the other 240


class Unseen(NamedTuple):
    """A run of characters that nobody sees: its type and its place."""

    type: str
    start: int
    end: int


def unseen(text: str) -> list[Unseen]:
    """Every run that is not needed where it stands, in order. Text without any costs a quick search."""
    if all_seen(text):
        return []
    pattern = _pattern(hinted=_RIGHT_TO_LEFT.search(text) is not None)
    found: list[Unseen] = []
    for one in _kinds(text, pattern):
        if found and found[-1].type == one.type and found[-1].end == one.start:
            found[-1] = Unseen(one.type, found[-1].start, one.end)
        else:
            found.append(one)
    return found


def reveal(text: str) -> str:
    """`text` with what tag characters and variation selectors spell, letter for letter in its place.

    Tags copy ASCII; selectors have been used to carry bytes, one each. Sources: Unicode, chapter 23.9 (tags)
    and 23.4 (variation selectors).
    """
    return text.translate(_spelt())


def _kinds(text: str, pattern: re.Pattern[str]) -> Iterator[Unseen]:
    for run in RUN.finditer(text):
        if REMOVED.search(run.group()):
            for found in pattern.finditer(text, run.start(), min(run.end() + 1, len(text))):
                if found.lastgroup:
                    yield Unseen(found.lastgroup, *found.span())


@cache
def _pattern(*, hinted: bool) -> re.Pattern[str]:
    """What is needed where it stands, unnamed, then the kinds, named. Compiling takes some milliseconds."""
    needed = f"{_NEEDED}|{_HINTS}" if hinted else _NEEDED
    return re.compile(f"{EMOJI}|{needed}|{_KINDS}")


@cache
def _spelt() -> dict[int, str]:
    table = dict.fromkeys((*range(0xE0000, 0xE0020), 0xE007F, *range(0xFE00, 0xFE10)), " ")
    table |= {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
    table |= {0xE0100 + code - _BYTES: chr(code) if 0x20 <= code < 0x7F else " " for code in range(_BYTES, 256)}
    return table

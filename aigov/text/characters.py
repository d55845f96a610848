"""Which characters nobody sees, which ones belong together, and which sequences are emoji.

The sets are Unicode's: Default_Ignorable_Code_Point with the other format characters (Cf), less those that
are drawn (Arabic and Kaithi number signs, hieroglyph joiners). A test compares them with `unicodedata`.
"""

from __future__ import annotations

import re
import unicodedata

#: Controls other than tab, line feed, vertical tab, form feed, carriage return and next line.
CONTROL = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
#: Marks that set or override the direction of text; LRM, RLM and ALM only hint at it.
BIDI_HINT = "\u061c\u200e\u200f"
BIDI_FORCE = "\u202a-\u202e\u2066-\u2069"
#: Tag characters: a copy of ASCII at U+E0020 that no font draws.
TAG = "\U000e0000-\U000e007f"
#: Everything that leaves no mark on paper: format, filler, variation, tag and reserved ignorable characters.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
REMOVED = re.compile(f"[{CONTROL}{INVISIBLE}]")

_ASCII_CONTROLS = bytes([*range(0x09), *range(0x0E, 0x20), 0x7F])

#: Letters that are their own normal form and extend nothing: ASCII, Latin-1, Greek, Cyrillic, Arabic, kana, CJK,
#: Hangul syllables. Text made of these is passed over at the speed of a search.
STABLE = (
    "\t-\r -~\u00c0-\u00ff\u0391-\u03a1\u03a3-\u03c9\u0400-\u0481\u0621-\u064a\u3001\u3002\u3041-\u3096\u30a1-\u30fa"
    "\u4e00-\u9ffc\uac00-\ud7a3"
)
#: What may differ from its normal form, with the letter before it, which a mark may change.
RUN = re.compile(f"[{STABLE}]?[^{STABLE}]+")

_PICTOGRAPH = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff]"
)
_ELEMENT = _PICTOGRAPH + "\ufe0f?[\U0001f3fb-\U0001f3ff]?"
#: Sequences that are one emoji although they hold invisible characters: joined, keycap, flag of a subdivision,
#: and a pictograph with one selector. Each is bounded, so that no message fits into one: a flag's tags are five
#: letters at most, a joined emoji has nine elements at most.
EMOJI = (
    "\U0001f3f4[\U000e0061-\U000e007a]{2}[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,3}\U000e007f"
    f"|[0-9#*]\ufe0f\u20e3"
    f"|{_ELEMENT}(?:\u200d{_ELEMENT}){{1,8}}"
    f"|{_PICTOGRAPH}(?:\ufe0f[\U0001f3fb-\U0001f3ff]?|\ufe0e)"
)


def all_seen(text: str) -> bool:
    """Whether `text` holds neither invisible nor control characters. 10 KB of ASCII take 4 µs."""
    if text.isascii():
        data = text.encode()
        return len(data.translate(None, _ASCII_CONTROLS)) == len(data)
    return not REMOVED.search(text)


def extends(character: str) -> bool:
    """Whether `character` belongs to the one before it: a mark, a Hangul vowel or final, or a form of these."""
    first = unicodedata.normalize("NFKC", character)[0]
    return (
        "\u1161" <= first <= "\u1175"
        or "\u11a8" <= first <= "\u11c2"
        or unicodedata.category(first)[0] == "M"
        or unicodedata.combining(first) != 0
    )

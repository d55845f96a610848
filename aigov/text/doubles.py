"""Letters that look like Latin ones, as the confusables of Unicode Technical Standard 39 have them.

Cyrillic and Greek: whole alphabets in which a Latin word can be written so that nobody sees it. And the ideographic
full stop, which Unicode Technical Standard 46 reads as the dot of a domain; and dashes between digits, which programs
for writing put in the place of hyphens.
"""

from __future__ import annotations

import re
from types import MappingProxyType

# One letter over its double.
_CYRILLIC = ("аеорсухіјѕһԁԛԝвкмнтгзАВЕЗКМНОРСТУХІЈЅҮԌ", "aeopcyxijshdqwbkmhtr3ABE3KMHOPCTYXIJSYG")
_GREEK = ("αβγδεικνορτυχωηΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abydeikvoptuxwnABEZHIKMNOPTYX")

_STOP = ("。", ".")
_DASHES = "\u2010-\u2015\u2212"

LATIN = MappingProxyType({
    **{ord(odd): plain for odds, plains in (_CYRILLIC, _GREEK, _STOP) for odd, plain in zip(odds, plains, strict=True)},
    **dict.fromkeys((*range(0x2010, 0x2016), 0x2212), "-"),
})  # fmt: skip
_LETTER = f"[{_CYRILLIC[0]}{_GREEK[0]}{_STOP[0]}]"
DASH = re.compile(f"(?<=[0-9])[{_DASHES}](?=[0-9])")
DOUBLE = re.compile(f"{_LETTER}|{DASH.pattern}")
#: A double right beside a Latin letter, a digit, `@` or a dot: the sign of a word in two alphabets.
MIXED = re.compile(f"[A-Za-z0-9@.]{_LETTER}|{_LETTER}[A-Za-z0-9@]")

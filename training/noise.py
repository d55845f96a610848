"""What happens to texts before a program sees them, done to training texts so that the model leans on no single cue.

Every change keeps the spans where they belong.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from training.tagged import Span, Tagged, shifted

OCR = {"l": "1", "O": "0", "o": "0", "I": "l", "m": "rn", "e": "c", "S": "5", "B": "8", "i": "!", "g": "9"}
KEYS = dict(zip("abcdefghijklmnopqrstuvwxyz", "sbvfersgiojlknmopwsaeidgzu".replace(" ", ""), strict=False))


def rewrite(tagged: Tagged, piece: Callable[[int, str], str]) -> Tagged:
    """Each character replaced by what `piece` gives for its index and itself; spans are moved along."""
    out: list[str] = []
    at: list[int] = []
    length = 0
    for index, char in enumerate(tagged.text):
        at.append(length)
        new = piece(index, char)
        out.append(new)
        length += len(new)
    at.append(length)
    text = "".join(out)
    moved = [_trimmed(text, at[start], at[end], name) for start, end, name in tagged.spans]
    return replace(tagged, text=text, spans=tuple(span for span in moved if span[0] < span[1]))


def _trimmed(text: str, start: int, end: int, name: str) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end, name


def _single(change: Callable[[str], str]) -> Callable[[int, str], str]:
    """Only changes that keep a character one: `ß` in capitals would be two."""
    return lambda _, char: new if len(new := change(char)) == 1 else char


def lower(tagged: Tagged, rng: random.Random) -> Tagged:
    """As people type on a phone."""
    return rewrite(tagged, _single(str.lower))


def upper(tagged: Tagged, rng: random.Random) -> Tagged:
    """As forms and headlines print it."""
    return rewrite(tagged, _single(str.upper))


def capitalised(tagged: Tagged, rng: random.Random) -> Tagged:
    """A capital at each word, as headings have it: capitals then say nothing."""
    text = tagged.text
    return rewrite(
        tagged,
        lambda i, char: char.upper() if (i == 0 or not text[i - 1].isalnum()) and len(char.upper()) == 1 else char,
    )


def bare(tagged: Tagged, rng: random.Random) -> Tagged:
    """Without punctuation."""
    return rewrite(tagged, lambda _, char: "" if char in '.,;:!?"' and rng.random() < 0.9 else char)


def tokenised(tagged: Tagged, rng: random.Random) -> Tagged:
    """A space around each sign, as corpora print it."""
    text = tagged.text

    def apart(index: int, char: str) -> str:
        if char not in ".,;:!?()\"'" or (char in ".:,'" and index + 1 < len(text) and text[index + 1].isalnum()):
            return char
        before = "" if index == 0 or text[index - 1].isspace() else " "
        return before + char + ("" if index + 1 == len(text) or text[index + 1].isspace() else " ")

    return rewrite(tagged, apart)


def mistyped(tagged: Tagged, rng: random.Random) -> Tagged:
    """About one letter in thirty wrong, missing or doubled."""

    def slip(_: int, char: str) -> str:
        if not char.isalpha() or rng.random() > 0.03:
            return char
        return rng.choice(("", char * 2, KEYS.get(char.lower(), char)))

    return rewrite(tagged, slip)


def scanned(tagged: Tagged, rng: random.Random) -> Tagged:
    """As a scanner misreads."""
    return rewrite(tagged, lambda _, char: OCR[char] if char in OCR and rng.random() < 0.06 else char)


def unbroken(tagged: Tagged, rng: random.Random) -> Tagged:
    """Line breaks as spaces, or spaces doubled."""
    if "\n" in tagged.text:
        return rewrite(tagged, lambda _, char: " " if char == "\n" else char)
    return rewrite(tagged, lambda _, char: "  " if char == " " and rng.random() < 0.2 else char)


def plain_letters(tagged: Tagged, rng: random.Random) -> Tagged:
    """Accents left out, as many keyboards do."""
    table = str.maketrans(
        "áàâäãåéèêëíìîïóòôöõúùûüñçýÁÀÂÄÃÅÉÈÊËÍÌÎÏÓÒÔÖÕÚÙÛÜÑÇÝ", "aaaaaaeeeeiiiiooooouuuuncyAAAAAAEEEEIIIIOOOOOUUUUNCY"
    )
    return rewrite(tagged, lambda _, char: char.translate(table))


#: Scripts that the model does not read, each as its first and last letter and what stands between words.
UNREAD = (
    (0x4E00, 0x9FA5, ""),
    (0x3041, 0x30FA, ""),
    (0xAC00, 0xD7A3, " "),
    (0x0627, 0x064A, " "),
    (0x05D0, 0x05EA, " "),
    (0x0905, 0x0939, " "),
    (0x0E01, 0x0E2E, ""),
)


def unread(rng: random.Random, most: int = 20) -> str:
    """Up to so many words in a script that the model does not read."""
    first, last, between = rng.choice(UNREAD)
    words = (
        "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 6))) for _ in range(rng.randint(1, most))
    )
    return between.join(words) + rng.choice(("", ".", "!", "?", "\u3002", "\uff01", "\u061f"))


def beside_unread(tagged: Tagged, rng: random.Random) -> Tagged:
    """Words that the model cannot read before or after the text, or on both sides."""
    before, after = rng.choice(((True, False), (False, True), (True, True)))
    front = unread(rng) + rng.choice((" ", "\n")) if before else ""
    back = rng.choice((" ", "\n")) + unread(rng) if after else ""
    return replace(tagged, text=front + tagged.text + back, spans=shifted(tagged.spans, len(front)))


CHANGES: tuple[tuple[float, Callable[[Tagged, random.Random], Tagged]], ...] = (
    (0.14, lower),
    (0.06, upper),
    (0.04, capitalised),
    (0.07, bare),
    (0.12, tokenised),
    (0.07, mistyped),
    (0.03, scanned),
    (0.05, unbroken),
    (0.05, plain_letters),
    (0.02, beside_unread),
)


def noisy(tagged: Tagged, rng: random.Random, share: float = 1.0) -> Tagged:
    """The text with each change made to it by chance; most stay as they are."""
    for chance, change in CHANGES:
        if rng.random() < chance * share:
            tagged = change(tagged, rng)
    return tagged


def swapped(tagged: Tagged, rng: random.Random, name: Callable[[str, str], str]) -> Tagged:
    """Names replaced by others of the same kind, where `name(label, value)` gives one."""
    text, spans, at = "", [], 0
    for start, end, label in sorted(tagged.spans):
        if start < at:
            return tagged
        text += tagged.text[at:start]
        value = name(label, tagged.text[start:end])
        spans.append((len(text), len(text) + len(value), label))
        text, at = text + value, end
    return replace(tagged, text=text + tagged.text[at:], spans=tuple(spans))


WORDS = re.compile(r"\s+")


def without_words(text: str, rng: random.Random, share: float = 0.08) -> str:
    """The text with some of its words left out."""
    return " ".join(word for word in text.split(" ") if rng.random() > share) or text

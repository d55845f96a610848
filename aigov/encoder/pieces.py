"""A text as word pieces: the one door to `tokenizers`.

Invariants:
* Offsets are code points of the text as it was given, whatever was dropped, folded or put together on the way.
* A piece says which word it belongs to; where words begin and end depends on the text around them alone.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from aigov.encoder.cases import classes

_LONE = re.compile("[\ud800-\udfff]")  # tokenizers takes text that can be written as UTF-8, and no other


class Pieces(NamedTuple):
    """The pieces of one text: vocabulary number, span, number of the word, and case class of each."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    words: list[int]
    cases: list[int]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Pieces({len(self.ids)})"


class Tokeniser:
    """Cuts texts into pieces. `prefix` and `suffix` are what a sequence begins and ends with."""

    __slots__ = ("_made", "prefix", "suffix")

    def __init__(self, data: bytes) -> None:
        """`data`: a `tokenizer.json`. Raises ValueError for anything else."""
        from tokenizers import Tokenizer

        try:
            self._made: Any = Tokenizer.from_buffer(data)
        except Exception:  # noqa: BLE001 - the library raises bare exceptions; what is no tokeniser is refused
            raise ValueError("not a tokeniser") from None
        self._made.encode_special_tokens = True  # `[SEP]` in a text is these letters, and no end of a sequence
        self._made.no_truncation()
        self._made.no_padding()
        bare, whole = (self._made.encode("a", add_special_tokens=special).ids for special in (False, True))
        at = next((at for at in range(len(whole)) if bare and whole[at : at + len(bare)] == bare), None)
        if at is None:
            raise ValueError("not a tokeniser")
        self.prefix, self.suffix = tuple(whole[:at]), tuple(whole[at + len(bare) :])

    @property
    def words(self) -> bool:
        """Whether it tells where words begin; some cut a text as if it were one word."""
        return len(set(self._made.encode("a a", add_special_tokens=False).word_ids)) > 1

    @property
    def size(self) -> int:
        """How many numbers the vocabulary has."""
        return int(self._made.get_vocab_size())

    def cut(self, text: str) -> Pieces:
        """The pieces of a text, without prefix and suffix."""
        try:
            made = self._made.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            made = self._made.encode(_LONE.sub("\ufffd", text), add_special_tokens=False)
        offsets = made.offsets
        return Pieces(made.ids, offsets, made.word_ids, classes(text, offsets))

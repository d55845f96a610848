"""Tagged texts as the numbers that the model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from aigov.encoder.cases import classes
from training.tagged import LABELS, TYPES, Tagged

PIECES = 176  # most word pieces of a text, the two at its edges included; running reads no longer windows
ANY = (1 << len(LABELS)) - 1


@dataclass(frozen=True)
class Encoded:
    """A text's pieces, the case of each, and for each piece the set of labels that may be right, as bits.

    A piece about which nothing is known allows every label and teaches none.
    """

    pieces: np.ndarray
    cases: np.ndarray
    allowed: np.ndarray
    hostile: float
    weight: float
    words: float


def encode(tokenizer: Tokenizer, batch: Sequence[Tagged]) -> list[Encoded]:
    """Each text in numbers, cut to `PIECES`."""
    made = tokenizer.encode_batch([one.text for one in batch])
    return [_encoded(one, pieces.ids, pieces.offsets) for one, pieces in zip(batch, made, strict=True)]


def _encoded(one: Tagged, ids: list[int], offsets: list[tuple[int, int]]) -> Encoded:
    ids, offsets = (
        (ids, offsets) if len(ids) <= PIECES else ([*ids[: PIECES - 1], ids[-1]], [*offsets[: PIECES - 1], (0, 0)])
    )
    return Encoded(
        np.array(ids, dtype=np.int32),
        np.array(classes(one.text, offsets), dtype=np.int8),
        np.array(_allowed(one, offsets), dtype=np.int32),
        -1.0 if one.hostile is None else one.hostile,
        one.weight if one.hostile is not None else 0.0,
        1.0 if one.known else 0.0,
    )


def _allowed(one: Tagged, offsets: list[tuple[int, int]]) -> list[int]:
    """The labels that each piece may have: its own, or `O` and whatever this source does not tag."""
    if not one.known:
        return [ANY] * len(offsets)
    outside = 1 | sum(
        (1 << LABELS.index(f"B-{name}")) | (1 << LABELS.index(f"I-{name}")) for name in TYPES if name not in one.known
    )
    allowed = [outside if start < end else ANY for start, end in offsets]
    for start, end, label in one.spans:
        first = True
        for at, (left, right) in enumerate(offsets):
            if left < right and left >= start and right <= end:
                allowed[at] = 1 << LABELS.index(f"{'B' if first else 'I'}-{label}")
                first = False
            elif left < right and left < end and right > start:
                allowed[at] = ANY  # half inside: the scanner of spans and the tokeniser disagree
    return allowed

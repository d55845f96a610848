"""Which records of a log carry a word: bits, in blocks of 2,048 records, as an index keeps them.

Invariant: a blob carries a checksum over itself and the number of its block; one that was damaged, or that
belongs to another block, raises `Stale`.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Final

BLOCK: Final = 2_048


class Stale(Exception):
    """An index that does not fit its log, or is damaged: to be made anew."""


class Places:
    """Which records an answer has: bits by block."""

    def __init__(self, bits: dict[int, int], positions: Callable[[int], array[int]]) -> None:
        self.bits = bits
        self._positions = positions

    def __len__(self) -> int:
        return sum(one.bit_count() for one in self.bits.values())

    def newest(self) -> Iterator[int]:
        """The positions of the records, newest first."""
        for block in sorted(self.bits, reverse=True):
            positions, bits = self._positions(block), self.bits[block]
            while bits:
                top = bits.bit_length() - 1
                bits ^= 1 << top
                yield positions[top]

    def oldest(self) -> Iterator[int]:
        """The positions of the records, oldest first."""
        for block in sorted(self.bits):
            positions, bits = self._positions(block), self.bits[block]
            while bits:
                low = bits & -bits
                bits ^= low
                yield positions[low.bit_length() - 1]


def packed(bits: int, block: int) -> bytes:
    """Bits of one block: as 16-bit numbers where few are set, else as they are."""
    if bits.bit_count() * 2 < BLOCK // 8:
        numbers = array("H")
        while bits:
            low = bits & -bits
            bits ^= low
            numbers.append(low.bit_length() - 1)
        return summed(b"\0" + numbers.tobytes(), block)
    return summed(b"\1" + bits.to_bytes(BLOCK // 8, "little"), block)


def unpacked(blob: Any, block: int) -> int:
    """What `packed` was given. Raises Stale for anything else."""
    content = checked(blob, block)
    if content[:1] == b"\1":
        return int.from_bytes(content[1:], "little") & ((1 << BLOCK) - 1)
    bits = 0
    for number in array("H", content[1:]):
        bits |= 1 << number
    return bits & ((1 << BLOCK) - 1)


def summed(content: bytes, block: int) -> bytes:
    """A blob with a checksum that a flipped bit, or another block's blob, does not pass."""
    return content + zlib.crc32(content, block).to_bytes(4, "little")


def checked(blob: Any, block: int) -> bytes:
    if not isinstance(blob, bytes) or zlib.crc32(blob[:-4], block).to_bytes(4, "little") != blob[-4:]:
        raise Stale
    return blob[:-4]

"""One model over texts: each cut into windows, each window looked at once, what was seen put together.

Invariants:
* A window's result depends on its pieces and their case alone, so it is remembered under a digest of these.
* A span holds whole words, without space or punctuation around it; spans of one type that overlap are one.
* The hostility of a text is that of its most hostile window.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aigov.encoder.labels import Labels, Tagged
from aigov.encoder.model import Model
from aigov.encoder.pieces import Pieces
from aigov.encoder.windows import Window, windows
from aigov.types import Reading, Span

_LETTER = re.compile(r"[^\W\d_]")
_AROUND = " \t\r\n\v\f\u00a0,;:!?…()[]{}<>\"“”„«»‘’'`|*=/\\"
#: What chat protocols call things: texts in every call, of which no model has anything to say.
PLAIN = frozenset({
    "role", "content", "user", "assistant", "system", "developer", "tool", "function", "model", "messages", "message",
    "type", "text", "name", "id", "index", "input", "output", "prompt", "question", "answer", "query", "parameters",
    "arguments", "args", "kwargs", "temperature", "max_tokens", "top_p", "stream", "tools", "tool_calls", "choices",
    "finish_reason", "stop", "usage", "metadata", "data", "value", "key", "object", "string", "number", "boolean",
})  # fmt: skip


class Seen(NamedTuple):
    """What was seen in one window: tagged words, how hostile (0 to 1, or None), and the vector as bytes."""

    tags: tuple[Tagged, ...]
    hostility: float | None
    vector: bytes


class Plan(NamedTuple):
    """A text ready to be looked at."""

    text: str
    pieces: Pieces
    windows: Sequence[Window]

    def __repr__(self) -> str:
        return f"Plan(windows={len(self.windows)})"


class Engine:
    """One model. `name` is what its findings are told under; `id` tells it from every other model.

    `entities`: what each of its types is called, of those that are told; `hostile`: a probability from its logits.
    """

    __slots__ = ("_labels", "_model", "entities", "hostile", "id", "name")

    def __init__(
        self,
        name: str,
        model: Model,
        id: bytes,
        *,
        labels: Labels | None = None,
        entities: Mapping[str, str] | None = None,
        hostile: Callable[[Any], float] | None = None,
    ) -> None:
        self.name, self.id = name, id
        self.entities, self.hostile = dict(entities or {}), hostile
        self._model, self._labels = model, labels

    def telling(self, entities: Mapping[str, str]) -> Engine:
        """The same model, telling these types."""
        return Engine(
            self.name, self._model, self.id, labels=self._labels, entities=entities, hostile=self.hostile
        )  # fmt: skip

    def plan(self, text: str) -> Plan:
        """The windows of a text; none where no model has anything to say of it."""
        if text in PLAIN or not _LETTER.search(text):
            return Plan(text, Pieces([], [], [], []), ())
        pieces = self._model.tokeniser.cut(text)
        return Plan(text, pieces, windows(text, pieces, self._model.most))

    def key(self, plan: Plan, window: Window) -> bytes:
        """What the result for a window depends on."""
        return self._model.key(plan.pieces, window)

    def look(self, plan: Plan, window: Window) -> Seen:
        """What the model sees in one window. Raises what it raises."""
        told = self._model.run(plan.pieces, window)
        tags: tuple[Tagged, ...] = ()
        if self._labels is not None:
            starts = [at - window.left for at, _ in _words(plan.pieces.words, window)]
            tags = tuple(self._labels.spans(told.entities, starts))
        hostility = None if self.hostile is None else self.hostile(told.sequence)
        return Seen(tags, hostility, b"" if told.vector is None else told.vector.astype("float16").tobytes())

    def reading(self, plan: Plan, seen: Sequence[Seen]) -> Reading:
        """What was seen in the windows of a text, as one."""
        spans = [
            span for window, one in zip(plan.windows, seen, strict=True) for span in self._spans(plan, window, one)
        ]
        hostility = max((one.hostility for one in seen if one.hostility is not None), default=0.0)
        return Reading(spans=tuple(joined(spans)), hostility=hostility, vector=_vector(plan.windows, seen))

    def _spans(self, plan: Plan, window: Window, seen: Seen) -> Iterator[Span]:
        """The spans of a window that reach into its own pieces, of types that are told."""
        words = _words(plan.pieces.words, window) if seen.tags else []
        for tag in seen.tags:
            if tag.type not in self.entities:
                continue
            first, last = words[tag.first][0], words[tag.last - 1][1]
            if first < window.last and last > window.first:
                start, end = plan.pieces.offsets[first][0], plan.pieces.offsets[last - 1][1]
                start, end = trimmed(plan.text, start, end)
                if start < end:
                    yield Span(type=self.entities[tag.type], start=start, end=end, score=min(1.0, tag.score))

    def __repr__(self) -> str:
        return f"Engine({self.name})"


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without space and punctuation around it; a full stop stays where it belongs to an initial."""
    while start < end and text[start] in _AROUND + ".":
        start += 1
    while start < end and (text[end - 1] in _AROUND or (text[end - 1] == "." and not _initial(text, start, end))):
        end -= 1
    return start, end


def joined(spans: Iterable[Span]) -> list[Span]:
    """The spans by place, those of one type that overlap as one, as sure as the surest."""
    kept: list[Span] = []
    last: dict[str, int] = {}
    for span in sorted(spans, key=lambda span: (span.start, span.end, span.type)):
        at = last.get(span.type, -1)
        if at >= 0 and span.start < kept[at].end:
            one = kept[at]
            kept[at] = Span(
                type=one.type, start=one.start, end=max(one.end, span.end), score=max(one.score, span.score)
            )  # fmt: skip
        else:
            last[span.type] = len(kept)
            kept.append(span)
    return kept


def _initial(text: str, start: int, end: int) -> bool:
    """Whether the full stop before `end` follows a single letter."""
    single = end - start >= 2 and text[end - 2].isalpha()
    return single and (end - start == 2 or not text[end - 3].isalnum())


def _words(words: Sequence[int], window: Window) -> list[tuple[int, int]]:
    """The words of a window: first piece and the one after the last of each."""
    starts = [at for at in range(window.left, window.right) if at == window.left or words[at] != words[at - 1]]
    return list(zip(starts, [*starts[1:], window.right], strict=True))


def _vector(parts: Sequence[Window], seen: Sequence[Seen]) -> Any:
    """The windows' vectors as one of unit length, by how many pieces are each one's own; None where there is none."""
    import numpy

    rows = [numpy.frombuffer(one.vector, numpy.float16).astype(numpy.float32) for one in seen if one.vector]
    if not rows:
        return None
    whole = rows[0]
    if len(rows) > 1:
        weights = [part.last - part.first for part, one in zip(parts, seen, strict=True) if one.vector]
        whole = (numpy.stack(rows) * numpy.array(weights, numpy.float32)[:, None]).sum(axis=0)
    length = math.sqrt(float(whole @ whole))
    return whole / length if length > 0 else None

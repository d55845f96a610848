"""All models of one policy over all texts of a call: each text read once, whoever asks, and within a time.

Invariants:
* A fault of a model is `encoder.fault`, a text that takes too long `encoder.timeout`: a refusal without a word of it.
* Guards that ask inside of `shown` are told what was read before; what was not is read then, once.
* What one call or conversation had read is known to itself alone: its memory is handed in.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from typing import NamedTuple

from aigov.encoder.engine import Engine, Plan, Seen
from aigov.encoder.lanes import Lanes, Late
from aigov.encoder.windows import Window
from aigov.errors import GuardFault
from aigov.text.memory import Memory
from aigov.types import Reader, Reading

NAME = "encoder"
FAULT, TIMEOUT = "encoder.fault", "encoder.timeout"
BASE_SECONDS = 10.0  # of which most may be waiting for a lane
SECONDS_PER_CHAR = 200e-6  # a busy machine takes a tenth of it
MOST_SECONDS = 60.0
MOST_CHARS = 1_000_000  # of the texts of one question: more would not be read in time

Readings = dict[tuple[str, str], Reading]


class Shown:
    """What was read of some texts, by model and text, and the memory of the conversation that they belong to."""

    __slots__ = ("memory", "readings")

    def __init__(self, memory: Memory, readings: Readings) -> None:
        self.memory, self.readings = memory, readings

    def __repr__(self) -> str:
        return f"Shown(readings={len(self.readings)})"


_shown: ContextVar[Shown | None] = ContextVar("aigov_encoder_shown", default=None)


class _Look(NamedTuple):
    engine: Engine
    plan: Plan
    window: Window
    key: bytes

    def made(self) -> tuple[bytes, Seen]:
        return self.key, self.engine.look(self.plan, self.window)


class _Question:
    """The windows of some texts, each for a model: which of them are known, and which have to be looked at."""

    def __init__(self, pairs: Sequence[tuple[Engine, str]], memory: Memory) -> None:
        self._pairs = pairs
        self._memory = memory
        self._planned: list[tuple[Engine, Plan, list[bytes]]] = []
        self._seen: dict[bytes, Seen] = {}

    def looks(self) -> Iterator[_Look]:
        """Every window that nobody has seen, once; the next text is cut when its first one is asked for."""
        met: set[bytes] = set()
        for engine, text in self._pairs:
            plan = engine.plan(text)
            keys = [self._memory.key(engine.id, engine.key(plan, window)) for window in plan.windows]
            self._planned.append((engine, plan, keys))
            for window, key in zip(plan.windows, keys, strict=True):
                seen = None if key in met else self._memory.get(key)
                if seen is not None:
                    self._seen[key] = seen
                elif key not in met:
                    yield _Look(engine, plan, window, key)
                met.add(key)

    def answered(self, made: Iterable[tuple[bytes, Seen]]) -> Readings:
        """The texts as they were read, once all of `looks` are made."""
        for key, seen in made:
            self._seen[key] = seen
            self._memory.put(key, seen)
        return {
            (engine.name, plan.text): engine.reading(plan, [self._seen[key] for key in keys])
            for engine, plan, keys in self._planned
        }

    @property
    def single(self) -> bool:
        """Whether it is of one text and one model."""
        return len(self._pairs) == 1


class Readers:
    """The models of one policy, on `threads` cores at most. Safe to share between threads."""

    __slots__ = ("_base_s", "_engines", "_lanes")

    def __init__(self, engines: Sequence[Engine], threads: int, base_s: float = BASE_SECONDS) -> None:
        self._engines = {engine.name: engine for engine in engines}
        self._lanes = Lanes(threads)
        self._base_s = base_s

    @property
    def each(self) -> tuple[Reader, ...]:
        """What a guard is handed of each model."""
        return tuple(
            Reader(name=name, entities=frozenset(one.entities.values()), hostility=one.hostile is not None,
                   read=partial(self.read, name))
            for name, one in self._engines.items()
        )  # fmt: skip

    def run(self, texts: Sequence[str], memory: Memory | None = None) -> Shown:
        """Read every text with every model. Raises GuardFault."""
        every = frozenset(self._engines)
        return self.ask([(text, every) for text in texts], memory)

    def ask(self, asked: Sequence[tuple[str, frozenset[str]]], memory: Memory | None = None) -> Shown:
        """Read each text with the models of these names. Raises GuardFault."""
        shown = Shown(Memory(os.urandom(32)) if memory is None else memory, {})
        pairs = dict.fromkeys(
            (engine, text) for text, names in asked for name, engine in self._engines.items() if name in names
        )
        shown.readings.update(self._read(tuple(pairs), shown.memory))
        return shown

    @contextlib.contextmanager
    def shown(self, shown: Shown) -> Iterator[None]:
        """While guards ask: what was read is told and not read again."""
        token = _shown.set(shown)
        try:
            yield
        finally:
            _shown.reset(token)

    def read(self, name: str, text: str) -> Reading:
        """What one model reads in a text. Raises GuardFault."""
        shown = _shown.get() or Shown(Memory(os.urandom(32)), {})
        known = shown.readings.get((name, text))
        if known is None:
            shown.readings.update(self._read([(self._engines[name], text)], shown.memory))
            known = shown.readings[name, text]
        return known

    def _read(self, pairs: Sequence[tuple[Engine, str]], memory: Memory) -> Readings:
        code = FAULT
        chars = sum(map(len, {text for _, text in pairs}))
        try:
            if chars > MOST_CHARS:
                raise Late
            deadline = time.monotonic() + min(self._base_s + SECONDS_PER_CHAR * chars, MOST_SECONDS)
            question = _Question(pairs, memory)
            looks = question.looks()
            return question.answered(self._lanes.each(_Look.made, tuple(looks) if question.single else looks, deadline))
        except Late:
            code = TIMEOUT
        except Exception:  # noqa: BLE001 - whatever a model or a library raises is a refusal, and its text goes nowhere
            code = FAULT
        raise GuardFault(NAME, code)

    def __repr__(self) -> str:
        return f"Readers({', '.join(self._engines)})"

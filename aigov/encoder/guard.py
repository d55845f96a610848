"""The encoder's part in a policy: which models are asked, what they are asked for, and what they cost.

It judges nothing itself: the privacy guard makes findings of the entities that it reads, the sanitise guard judges
hostility.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from aigov.encoder import foreign, weights
from aigov.encoder.engine import Engine
from aigov.encoder.model import Unfit
from aigov.encoder.readers import FAULT, TIMEOUT, Readers
from aigov.encoder.settings import Settings
from aigov.errors import PolicyError, Problem
from aigov.hookspecs import Context, hookimpl
from aigov.types import Section

SAMPLE = "The quick brown fox jumps over the lazy dog while Jane Doe of Springfield looks on and laughs. " * 6
REINSTALL = "install the package again, or write `enabled: false`"


class Cost(NamedTuple):
    """What reading takes here: milliseconds for a text of `chars` characters, on one core."""

    chars: int
    ms: float


class EncoderPlugin:
    """Starts the encoder for each policy that is loaded."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The policy key `encoder`."""
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> EncoderGuard:
        """Load the models, once in a process. Raises PolicyError with every problem."""
        own: Settings = settings.value
        problems: list[Problem] = []
        engines = [*_shipped(settings, own, problems), *_foreign(settings, own, context, problems)]
        if problems:
            raise PolicyError(problems)
        return EncoderGuard(Readers(engines, own.threads) if engines else None)


class EncoderGuard:
    """The models of one policy; `readers` is None where there are none."""

    __slots__ = ("readers",)

    def __init__(self, readers: Readers | None) -> None:
        self.readers = readers

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """The codes on docs/encoder.md."""
        return (FAULT, TIMEOUT)

    def cost(self) -> Cost | None:
        """What reading a text of some hundred characters takes; None where nothing is read. Raises GuardFault."""
        if self.readers is None:
            return None
        taken = []
        for round_ in range(4):
            start = time.perf_counter()
            self.readers.run([f"{round_} {SAMPLE}"])
            taken.append(time.perf_counter() - start)
        return Cost(len(SAMPLE), min(taken) * 1e3)

    def __repr__(self) -> str:
        return f"EncoderGuard({self.readers!r})"


plugin = EncoderPlugin()


def _shipped(settings: Section, own: Settings, problems: list[Problem]) -> list[Engine]:
    if not own.enabled:
        if own.models:
            fix = "write `enabled: true`, or remove them"
            problems.append(settings.problem("models", what="models are named and `enabled` is false", fix=fix))
        return []
    try:
        engine = weights.shipped()
        return [engine.telling({kind: kind for kind in own.reported if kind in engine.entities})]
    except Unfit as unfit:
        why = str(unfit)
    problems.append(settings.problem("enabled", what=f"the encoder cannot be loaded: {why}", fix=REINSTALL))
    return []


def _foreign(settings: Section, own: Settings, context: Context, problems: list[Problem]) -> list[Engine]:
    engines: list[Engine] = []
    for index, entry in enumerate(own.models if own.enabled else ()):
        if bool(entry.entities) == bool(entry.hostile):
            what, fix = "a model tells entities or hostility", "give it either `entities` or `hostile`"
            problems.append(settings.problem("models", index, what=what, fix=fix))
            continue
        if entry.known_as in {weights.NAME, *(one.name for one in engines)}:
            what = f"two models are called `{entry.known_as}`"
            problems.append(settings.problem("models", index, what=what, fix="give this one another `name`"))
            continue
        why, folder = "", entry.folder(context.folder)
        try:
            engines.append(foreign.engine(entry, folder))
        except Unfit as unfit:
            why = str(unfit)
        if why:
            what, fix = f"the model in `{folder}` cannot be loaded: {why}", foreign.export_command(entry)
            problems.append(settings.problem("models", index, "path", what=what, fix=fix))
    return engines

"""The sanitise guard: hostile content in a call and in its answer, and what the policy does about it.

Invariants:
* Hidden text is judged by what it spells, although no other guard sees it.
* A finding adds a ruling or nothing: it never takes one away, so more findings are never judged milder.
* A character taken out never cuts another guard's edit in two: those edits have the lowest score.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from aigov.errors import GuardFault
from aigov.hookspecs import Context, Renderer, hookimpl
from aigov.sanitise.injection import Hit, Signatures, book, signatures
from aigov.sanitise.settings import Concern, Settings, check
from aigov.sanitise.unseen import (
    BIDI_CONTROL,
    CONTROL_CHARACTER,
    INVISIBLE_CHARACTER,
    TAG_CHARACTER,
    TYPES,
    Unseen,
    reveal,
    unseen,
)
from aigov.text.normal import Normal, normalise
from aigov.text.readable import readable
from aigov.types import Direction, Edit, Facts, Finding, Part, Reader, Reason, Ruling, Section, Verdict

NAME = "sanitise"
UNICODE, INJECTION, FAULT = "unicode", "injection", "fault"
SUSPECTED, FAULTED = "injection.suspected", "sanitise.fault"
FAULT_TYPE = "SANITISE_FAULT"
NEUTRAL = "[instruction removed]"
REACH = 500  # characters on either side of something unseen in which an attack that holds it may lie

HOSTILE = "HOSTILE_INSTRUCTION"
LEAST_HOSTILE = 0.1  # a text that models are less sure of is no finding

#: What each type of character is judged as, and under which code.
CONCERNS: tuple[tuple[str, Concern, str], ...] = (
    (INVISIBLE_CHARACTER, "invisible", "unicode.invisible"),
    (TAG_CHARACTER, "invisible", "unicode.tag"),
    (BIDI_CONTROL, "bidi", "unicode.bidi"),
    (CONTROL_CHARACTER, "control", "unicode.control"),
)


class SanitisePlugin:
    """Starts a sanitise guard for each policy that is loaded."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The policy key `sanitise`."""
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> SanitiseGuard:
        """Compile the signatures, once in a process. Raises PolicyError."""
        check(settings)
        return SanitiseGuard(settings, judges=[one for one in context.readers if one.hostility])


class SanitiseGuard:
    """Hostile content under one policy. `strict` and `loose` are the signatures to search with, `judges` models."""

    __slots__ = ("_judges", "_layer", "_loose", "_settings", "_strict")

    def __init__(
        self,
        settings: Section,
        strict: Signatures | None = None,
        loose: Callable[[], Signatures] | None = None,
        judges: Iterable[Reader] = (),
    ) -> None:
        self._judges = tuple(judges)
        self._settings: Settings = settings.value
        self._layer = settings.layer
        self._strict = strict or signatures()
        self._loose = loose or (lambda: signatures(loose=True))  # compiled only where something is hidden

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """The codes on docs/sanitise.md."""
        return (*(code for _, _, code in CONCERNS), SUSPECTED, FAULTED)

    @hookimpl
    def aigov_entities(self) -> Iterable[str]:
        """The types of characters, of signatures, and of this guard's own fault."""
        return sorted({*TYPES, *(one.type for one in book().signatures), HOSTILE, FAULT_TYPE})

    @hookimpl
    def aigov_renderer(self) -> Renderer:
        """Makes what takes the place of hostile content: nothing, or words that say so."""
        return render

    @hookimpl
    def aigov_screen(self, part: Part, direction: Direction) -> Iterable[Finding]:
        """Characters that nobody sees, and attacks that they hide or hold apart."""
        return self._held(part, self._unseen if self._trusts(part, direction) else self._screened)

    @hookimpl
    def aigov_detect(self, part: Part, direction: Direction) -> Iterable[Finding]:
        """Text that gives the model orders, by the signatures and by what models read. Raises GuardFault."""
        if self._trusts(part, direction):
            return ()
        judged = self._judged(part) if self.judges(part, direction) else []
        return [*self._held(part, self._detected), *judged]

    def judges(self, part: Part, direction: Direction) -> bool:
        """Whether models are to be asked how hostile a part is."""
        allowed = self._settings.action("hostility", direction) == "allow"
        return bool(self._judges) and not part.number and not allowed and not self._trusts(part, direction)

    @hookimpl
    def aigov_judge(self, facts: Facts) -> Iterable[Ruling]:
        """One ruling for each type of character and each signature among the findings."""
        rulings: list[Ruling] = []
        for kind, concern, code in CONCERNS:
            found = [one for one in facts.findings if one.kind == UNICODE and one.type == kind]
            rulings += self._rulings(facts, concern, Reason(code=code, rule=kind, layer=self._layer), found, score=0.0)
        suspected: dict[tuple[str, Concern], list[Finding]] = {}
        for one in facts.findings:
            if one.kind == INJECTION and one.score >= self._least(one):
                suspected.setdefault((one.detector, "hostility" if one.type == HOSTILE else "injection"), []).append(
                    one
                )
        for (rule, judged), found in suspected.items():
            rulings += self._rulings(facts, judged, Reason(code=SUSPECTED, rule=rule, layer=self._layer), found)
        return (*rulings, *self._faults(facts))

    def _trusts(self, part: Part, direction: Direction) -> bool:
        return direction == "input" and part.role in self._settings.trusted_roles

    def _unseen(self, part: Part) -> list[Finding]:
        return [_character(run, part) for run in unseen(part.text)]

    def _screened(self, part: Part) -> list[Finding]:
        runs = unseen(part.text)
        hits = self._hidden(part.text, runs) if runs else ()
        return [_character(run, part) for run in runs] + [_attack(hit, part) for hit in hits]

    def _detected(self, part: Part) -> list[Finding]:
        return [_attack(hit, part) for hit in self._strict.find(part.text)]

    def _judged(self, part: Part) -> list[Finding]:
        """One finding over all of a part for each model that takes it, or what it holds encoded, for an attack.

        Raises GuardFault.
        """
        texts = tuple(readable(part.text))
        told = ((one.name, max(one.read(text).hostility for text in texts)) for one in self._judges)
        return [
            Finding(kind=INJECTION, type=HOSTILE, start=0, end=len(part.text), score=score, detector=name,
                    path=part.path)
            for name, score in told
            if part.text and score >= LEAST_HOSTILE
        ]  # fmt: skip

    def _least(self, finding: Finding) -> float:
        """How sure a finding of an attack must be to count."""
        return self._settings.hostility_score if finding.type == HOSTILE else self._settings.injection_score

    def _hidden(self, text: str, runs: list[Unseen]) -> list[Hit]:
        """Attacks with something unseen in them or just before them, which `aigov_detect` does not find.

        What stood unseen between two words glues them together once it is taken out, so words may run together.
        """
        found: list[Hit] = []
        for start, end in _surroundings(runs, len(text)):
            near = text[start:end]
            hits = self._loosely(near)
            found += (Hit(hit.start + start, hit.end + start, hit.signature) for hit in hits)
        return [hit for hit in found if _touches(hit, runs)]

    def _loosely(self, text: str) -> Iterable[Hit]:
        """Attacks that are there only if words may run together, or if hidden letters are read."""
        form, revealed = normalise(text), reveal(text)
        hits = dict.fromkeys(_given(self._loose(), form))
        if revealed != text:
            hits |= dict.fromkeys(_given(self._loose(), normalise(revealed)))
        plain = set(_given(self._strict, form)) if hits else ()
        return [hit for hit in hits if hit not in plain]

    def _rulings(
        self, facts: Facts, concern: Concern, reason: Reason, found: list[Finding], score: float | None = None
    ) -> list[Ruling]:
        action = self._settings.action(concern, facts.direction)
        if not found or action == "allow":
            return []
        if action in ("review", "deny"):
            return [Ruling(verdict=Verdict.REVIEW if action == "review" else Verdict.DENY, reason=reason)]
        edits = tuple(
            Edit(part=facts.parts[one.path], start=one.start, end=one.end, type=one.type, action=action, guard=NAME,
                 score=one.score if score is None else score)
            for one in found
        )  # fmt: skip
        return [Ruling(verdict=Verdict.TRANSFORM, reason=reason, edits=edits)]

    def _held(self, part: Part, look: Callable[[Part], list[Finding]]) -> list[Finding]:
        """What `look` finds. Its fault stops the call unless the policy says that a fault is a finding."""
        try:
            return look(part)
        except Exception:  # noqa: BLE001 - a fault becomes what `on_fault` says: a refusal, or a finding of its own
            pass
        if self._settings.on_fault == "deny" or not part.text:
            raise GuardFault(NAME)
        end = len(part.text)
        return [Finding(kind=FAULT, type=FAULT_TYPE, start=0, end=end, score=1.0, detector=NAME, path=part.path)]

    def _faults(self, facts: Facts) -> list[Ruling]:
        if not any(one.kind == FAULT and one.type == FAULT_TYPE for one in facts.findings):
            return []
        verdict = {"deny": Verdict.DENY, "review": Verdict.REVIEW, "allow": Verdict.ALLOW}[self._settings.on_fault]
        return [Ruling(verdict=verdict, reason=Reason(code=FAULTED, rule=FAULT_TYPE, layer=self._layer))]


def render(edit: Edit, value: str, scope: Any, direction: Direction) -> str:
    """What takes the place of an edited span. Raises ValueError for an action that is not this guard's."""
    del value, scope, direction
    if edit.action == "strip":
        return ""
    if edit.action == "neutralise":
        return NEUTRAL
    raise ValueError("sanitise makes no such edit")


def _character(run: Unseen, part: Part) -> Finding:
    return Finding(kind=UNICODE, type=run.type, start=run.start, end=run.end, score=1.0, detector=NAME, path=part.path)


def _attack(hit: Hit, part: Part) -> Finding:
    return Finding(
        kind=INJECTION, type=hit.signature.type, start=hit.start, end=hit.end, score=hit.signature.score,
        detector=hit.signature.id, path=part.path,
    )  # fmt: skip


def _given(search: Signatures, form: Normal) -> list[Hit]:
    """The hits in a normal form, in offsets of the text as it was given."""
    return [Hit(*form.original(hit.start, hit.end), hit.signature) for hit in search.find(form.text)]


def _surroundings(runs: list[Unseen], length: int) -> list[tuple[int, int]]:
    """The stretches of a text within reach of something unseen. `runs` are in order."""
    found: list[tuple[int, int]] = []
    for run in runs:
        start, end = max(0, run.start - REACH), min(length, run.end + REACH)
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def _touches(hit: Hit, runs: list[Unseen]) -> bool:
    """Whether something unseen lies in the hit, or ends where it starts."""
    at = bisect_left(runs, hit.start, key=lambda run: run.end)
    return at < len(runs) and runs[at].start < hit.end


plugin = SanitisePlugin()

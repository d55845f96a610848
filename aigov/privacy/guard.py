"""The privacy guard: what is personal in a text, and what the policy does about it.

Invariants:
* A finding is judged by its type alone; whether it counts at all (score, allow list) is `admit`.
* Edits are made for every finding that counts; overlaps are resolved once, for all guards, elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from aigov.errors import PolicyError, Problem
from aigov.hookspecs import Context, Renderer, hookimpl
from aigov.privacy.engine import KIND, Engine, _recognizer, entities, load, models
from aigov.privacy.explain import Explained, explain
from aigov.privacy.operators import Operators
from aigov.privacy.patterns import TIMEOUT
from aigov.privacy.quiet import import_prober
from aigov.privacy.session import Session
from aigov.privacy.settings import Settings, Unfit, check, word
from aigov.privacy.sight import EXEMPT, Sight, View, behind, views
from aigov.privacy.tokens import LITERAL
from aigov.privacy.vault import UNUSABLE, Vault
from aigov.text.normal import normalise
from aigov.types import Direction, Edit, Facts, Finding, Part, Principal, Reason, Ruling, Section, Verdict

TRANSFORMED, REVIEW, DENIED = "pii.transformed", "pii.review", "pii.denied"
NAME = "privacy"


class PrivacyPlugin:
    """Starts a privacy guard for each policy that is loaded."""

    @hookimpl
    def aigov_settings(self) -> type[msgspec.Struct]:
        """The policy key `privacy`."""
        return Settings

    @hookimpl
    def aigov_start(self, settings: Section, context: Context) -> PrivacyGuard:
        """Load the recognisers and compile the policy's own. Raises PolicyError.

        Takes about two seconds the first time in a process, most of it the import of Presidio and spaCy.
        """
        import_prober()
        loaded = [*_loaded(settings, context), *_models(settings, context)]
        check(settings, entities(loaded), context.entities)
        engine = Engine.build(loaded, settings.value.custom)
        why = ""
        try:
            return PrivacyGuard(settings, context, engine, loaded)
        except Unfit as unfit:
            why = str(unfit)
        raise settings.error("entities", what=why, fix="use one of Presidio's, or a plugin that brings it")


class PrivacyGuard:
    """Personal data under one policy.

    `detect`, `admit` and `session` are for the path of a call; the hooks are the same as any plugin's.
    """

    __slots__ = ("_allowed", "_engine", "_key", "_layer", "_loaded", "_operators", "_settings", "_sight", "_vault")

    def __init__(self, settings: Section, context: Context, engine: Engine, loaded: Sequence[Any] = ()) -> None:
        self._loaded = tuple(loaded)
        self._settings: Settings = settings.value
        self._layer = settings.layer
        self._engine = engine
        self._sight = Sight(engine.findings, self._settings.exempt, engine.patterns)
        self._allowed = frozenset(term.casefold() for term in self._settings.allow)
        self._key = context.key("tokens")
        vault = self._settings.vault
        self._vault = (
            Vault(vault.file(context.folder), key=context.key("vault"), expires_s=vault.expires_s) if vault else None
        )
        self._operators = Operators(
            self._settings, context.key, {one.operator_name(): one for one in context.operators}
        )

    @hookimpl
    def aigov_reasons(self) -> Iterable[str]:
        """The codes on docs/privacy.md."""
        return (TRANSFORMED, REVIEW, DENIED, TIMEOUT, UNUSABLE)

    @hookimpl
    def aigov_entities(self) -> Iterable[str]:
        """Every type that findings may carry, and that of tokens standing in a text."""
        return sorted(self._engine.entities | {LITERAL})

    @hookimpl
    def aigov_renderer(self) -> Renderer:
        """Makes what takes the place of a value."""
        return self._operators

    @hookimpl
    def aigov_detect(self, part: Part, direction: Direction) -> Iterable[Finding]:
        """Every finding of every recogniser, before `min_score` and the allow list. Raises GuardFault."""
        del direction
        return self._sight.findings(part)

    @hookimpl
    def aigov_judge(self, facts: Facts) -> Iterable[Ruling]:
        """One ruling for each entity type among the findings, by the policy's action for it."""
        found: dict[str, list[Finding]] = {}
        for finding in facts.findings:
            if finding.kind == KIND:
                found.setdefault(finding.type, []).append(finding)
        rulings = (self._ruling(entity, findings, facts) for entity, findings in found.items())
        return tuple(ruling for ruling in rulings if ruling is not None)

    def admit(self, finding: Finding, text: str) -> bool:
        """Whether a finding counts: sure enough, and not a value that the policy allows, whatever its case.

        `text` is what the offsets of the finding count in. Findings that are not personal data always count.
        """
        if finding.kind not in (KIND, EXEMPT):
            return True
        return finding.score >= self._settings.min_score and not self._is_allowed(text[finding.start : finding.end])

    def session(self, id: str | None = None, principal: Principal | None = None, kept: bool = False) -> Session:
        """A new session; two of the same id share their `ref` and nothing else, unless the vault keeps them.

        `kept`: let the vault keep this principal's values, where the policy has one, and give those that it has
        under this id. Where the policy says `stable: tenant`, two sessions of a tenant give a value the same token.
        """
        tenant = principal.tenant if principal is not None else ""
        stable = f"tenant\0{tenant}" if self._settings.stable == "tenant" else None
        if self._vault is None or not kept or id is None or principal is None:
            return Session(id, self._key, stable=stable)
        own = f"session\0{len(id)}\0{id}\0{len(principal.id)}\0{principal.id}\0{tenant}"
        return Session(id, self._key, stable=stable or own, drawer=self._vault.drawer(principal.id, tenant, id))

    def sessions(self, id: str, tenant: str | None = None) -> list[Session]:
        """What the vault keeps under this id, a session for each subject, of one tenant or of all, to restore from.

        Raises GuardFault.
        """
        drawers = self._vault.drawers(id, tenant) if self._vault is not None else []
        return [Session(id, self._key, drawer=drawer) for drawer in drawers]

    def forget(self, id: str, tenant: str | None = None) -> int:
        """Destroy the vault's keys of a subject, in one tenant or in all; how many there were. Raises GuardFault."""
        return self._vault.forget(id, tenant) if self._vault is not None else 0

    def explain(self, text: str, findings: Sequence[Finding]) -> list[Explained]:
        """Why these findings of `text` are findings: pattern, check, context word, score. Raises GuardFault.

        What is not personal data is not explained.
        """
        every = [*self._loaded, *map(_recognizer, self._settings.custom)]
        form = normalise(text)
        seen = (View(one.text, behind(one.place, form.original), one.part) for one in views(form.text))
        return explain(seen, findings, every)

    def reveals(self, entity: str, roles: Iterable[str], *, own: bool) -> bool:
        """Whether somebody with these roles may see values of a type that come back.

        `own`: of the session that is theirs. A type that `reveal` does not name is for its own session alone; one
        that it names, for these roles alone.
        """
        named = self._settings.reveal.get(entity)
        if named is None:
            return own
        return named != "nobody" and not frozenset(named).isdisjoint(roles)

    def decrypt(self, text: str) -> str:
        """What the action `encrypt` was given. Raises Unsealable for anything else."""
        return self._operators.decrypt(text)

    def kept(self) -> tuple[int, int]:
        """How many subjects and how many values the vault holds. Raises GuardFault."""
        return self._vault.counts() if self._vault is not None else (0, 0)

    def _is_allowed(self, value: str) -> bool:
        return bool(self._allowed) and value.casefold() in self._allowed

    def _ruling(self, entity: str, findings: list[Finding], facts: Facts) -> Ruling | None:
        action = word(self._settings.action(entity))
        if action == "allow":
            return None
        if action in ("review", "deny"):
            verdict, code = (Verdict.REVIEW, REVIEW) if action == "review" else (Verdict.DENY, DENIED)
            return Ruling(verdict=verdict, reason=self._reason(code, entity))
        edits = tuple(
            Edit(part=facts.parts[one.path], start=one.start, end=one.end, type=entity, action=action, guard=NAME,
                 score=one.score)
            for one in findings
        )  # fmt: skip
        return Ruling(verdict=Verdict.TRANSFORM, reason=self._reason(TRANSFORMED, entity), edits=edits)

    def _reason(self, code: str, entity: str) -> Reason:
        return Reason(code=code, rule=entity, layer=self._layer)

    def __repr__(self) -> str:
        return f"PrivacyGuard({self._engine!r})"


plugin = PrivacyPlugin()


def _loaded(settings: Section, context: Context) -> list[Any]:
    """The recognisers, or the policy error that says which of them cannot be run."""
    why = ""
    try:
        return load(context.recognizers, settings.value.countries)
    except Unfit as unfit:
        why = str(unfit)
    raise settings.error(what=why, fix="remove the plugin that brings it, or have it mended")


def _models(settings: Section, context: Context) -> list[Any]:
    """The recognisers over models, or the policy error that says which of them cannot be run."""
    problems: list[Problem] = []
    found = list(models(context.readers, (), context.folder))
    for index, one in enumerate(settings.value.recognizers):
        why, fix = "", "give it either `spacy` or `presidio`"
        if (one.spacy is None) == (one.presidio is None):
            why = "a recogniser is a pipeline of spaCy's or one of Presidio's"
        try:
            found += models((), (one,) if not why else (), context.folder)
        except Unfit as unfit:
            why, _, fix = str(unfit).partition("; ")
        if why:
            problems.append(settings.problem("recognizers", index, what=why, fix=fix))
    if problems:
        raise PolicyError(problems)
    return found

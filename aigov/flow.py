"""The path of one call: the only file that knows the order of its steps.

A call is taken along by a generator. It yields what it needs done, an *effect*, and is sent the answer;
`drivers.py` answers, once for plain calls and once for asyncio, and holds no rule. The steps:

 0. receive     sizes, encodings, every text-bearing part laid out        Malformed -> DENY input.*
 1. identify    whose call it is                                          nobody -> DENY identity.missing
 2. permit      may they do this action on this resource                  fault -> DENY
 3. normalise   the form that every guard sees, mapped to what was given
 4. detect      all guards, on every part                                 fault -> DENY
 5. decide      one pure function of the facts
 5a. review     where the decision asks for a person                      ticket, ReviewPending
 6. transform   redact, tokenise, strip: only the spans of findings       fault -> DENY
 7. record      the intent, durably                                       no receipt -> DENY audit.unavailable
 8. call        the provider, with a `Sealed` call                        its exception passes, recorded
 9. detect      on the answer                                             fault -> withheld
10. decide      the same function, direction `output`                     DENY -> withheld
11. restore     tokens that this session put in, and no others
12. record      the outcome, durably                                      no receipt -> withheld
13. release

Invariants:
* `Passage` refuses every step out of order, so a call cannot reach a provider without the receipt of
  step 7, nor an answer its caller without the receipt of step 12 (a stream: of `stream.opened`).
* Nothing here raises to the caller: a path ends in `Released`, `Refusal` or `Failure`, and the drivers
  raise outside of any handler, so that no exception drags content along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

import aigov.account as account
from aigov.audit import records
from aigov.audit.log import Receipt
from aigov.edits import replacements
from aigov.errors import AuditUnavailable, Denied, GuardFault, Malformed, ReviewError, ReviewPending
from aigov.examine import Walk, ask, examine, outside, stated_confidence, untouched
from aigov.laid_out import LaidOutCall
from aigov.passage import (
    ANSWER,
    CALL,
    DECIDE,
    DETECT,
    IDENTIFY,
    INTENT,
    JUDGE,
    OUTCOME,
    PERMIT,
    RECEIVE,
    RELEASE,
    RESTORE,
    TRANSFORM,
    Answered,
    Call,
    Content,
    Ending,
    Failure,
    Meet,
    OpenTicket,
    Passage,
    Record,
    Refusal,
    Request,
    Snapshot,
)
from aigov.plugins import Contribution
from aigov.policy.decide import Decider
from aigov.privacy.session import SessionFull
from aigov.review.cases import Case, Claim
from aigov.review.values import pack
from aigov.text.parts import Layout, lay_out
from aigov.text.spans import Replacement, splice
from aigov.text.streams import Stream, gather
from aigov.types import Decision, Direction, Edit, Facts, Finding, Part, Principal, Reason, Ruling, Verdict

T = TypeVar("T")
PERSONAL = frozenset({"pii", "exempt"})  # findings of personal data; the second kind is left alone where it stands


def govern(request: Request, snapshot: Snapshot) -> Walk[Ending]:
    """Take one call along the whole path; yields effects, returns how it ended."""
    path = _Path(request, snapshot)
    stop: _Stop | None = None
    try:
        return (yield from path.walk())
    except _Stop as stopped:
        stop = stopped
    except AuditUnavailable:
        stop = _Stop(refused("audit.unavailable", "", snapshot.digest))
    except Exception:  # noqa: BLE001 - promise 2: a fault of ours is a refusal too, and its text goes nowhere
        stop = _Stop(refused("guard.fault", "flow", snapshot.digest))
    return (yield from path.refuse(stop))


def release(claimed: Claim, answer: Any, snapshot: Snapshot) -> Walk[Ending]:
    """Steps 12 and 13 for an answer that waited for a person, and that they let pass."""
    case = claimed.case
    passage = Passage(case.call, (OUTCOME, RELEASE))
    passage.take(OUTCOME)
    outcome = records.CallOutcome(
        call=case.call, outcome="released", ticket=claimed.ticket, verdict="review",
        reasons=account.reasons(case.reasons), released_chunks=1, released_chars=account.size(case.shown).chars,
    )  # fmt: skip
    receipt = yield Record(outcome)
    if receipt is None:
        return Refusal(Denied(refused("audit.unavailable", "", snapshot.digest)))
    return passage.release(receipt, answer)


def preview(request: Request, snapshot: Snapshot) -> Walk[Decision]:
    """The decision that `govern` would come to before the call: steps 0 to 5, nothing recorded or changed."""
    path = _Path(request, snapshot)
    try:
        return (yield from path.preview())
    except _Stop as stopped:
        return stopped.decision
    except Exception:  # noqa: BLE001 - as in `govern`
        return refused("guard.fault", "flow", snapshot.digest)


def permit(request: Request, snapshot: Snapshot) -> Walk[Decision]:
    """Steps 1 and 2 alone: whether the principal may do this at all."""
    path = _Path(request, snapshot)
    try:
        return (yield from path.permit_only())
    except _Stop as stopped:
        return stopped.decision
    except Exception:  # noqa: BLE001 - as in `govern`
        return refused("guard.fault", "flow", snapshot.digest)


def _pairs(decision: Decision) -> frozenset[tuple[str, str]]:
    """The reasons of a decision as code and rule, which is what a reviewer approves."""
    return frozenset((reason.code, reason.rule) for reason in decision.reasons)


def _copies(answer: Layout | Stream) -> list[Any]:
    """The answer, or its chunks, built anew as they came: what was laid out, whatever became of the original."""
    return answer.rebuild({}) if isinstance(answer, Stream) else [answer.rebuild([part.text for part in answer.parts])]


def refused(code: str, rule: str, digest: str) -> Decision:
    """A refusal that no guard's ruling stands behind: a fault, or something missing."""
    return Decision(verdict=Verdict.DENY, reasons=(Reason(code=code, rule=rule),), policy_digest=digest)


class _Stop(Exception):
    """Leave the path: the call ends as this decision says."""

    def __init__(self, decision: Decision, ticket: str = "") -> None:
        super().__init__()
        self.decision = decision
        self.ticket = ticket


class _Path:
    """One call on its way: what each step leaves for the next."""

    def __init__(self, request: Request, snapshot: Snapshot) -> None:
        self.request = request
        self.snapshot = snapshot
        self.passage = Passage(request.call)
        self.decision = Decision(verdict=Verdict.DENY, policy_digest=snapshot.digest)
        self.rulings: tuple[Ruling, ...] = ()
        self.findings: tuple[Finding, ...] = ()
        self.parts: tuple[Part, ...] = ()
        self.answer = Decision(verdict=Verdict.ALLOW, policy_digest=snapshot.digest)
        self.answer_findings: tuple[Finding, ...] = ()
        self.answer_parts: tuple[Part, ...] = ()
        self.plain: Mapping[str, Any] = {}
        self.kept: dict[str, Sequence[tuple[str, str]]] = {}
        self.ref = ""
        self.restored = 0
        self.edits = 0
        self.confidence: float | None = None
        self.timing: dict[str, int] = {}
        self._clock = snapshot.timer()

    # -- the steps ---------------------------------------------------------------------------------

    def walk(self) -> Walk[Ending]:
        """Steps 0 to 13, in order."""
        call = self._receive()
        self._identify()
        yield from self._permit()
        yield from self._decide_input(call)
        arguments = self._transform(call)
        receipt = yield from self._record_intent()
        answered: Answered = yield Call(self.passage.seal(receipt, arguments))
        self._lap("provider")
        if answered.error is not None:
            return (yield from self._failed(answered))
        answer = self._receive_answer(answered)
        yield from self._decide_answer(answer)
        result, texts = self._restore(answer)
        yield from self._review_answer(result, texts)
        if isinstance(answer, Stream):
            return (yield from self._release_stream(result, answer.sizes))
        return (yield from self._release_value(result))

    def preview(self) -> Walk[Decision]:
        """Steps 0 to 5 alone: the decision that would be taken; nothing is called or recorded."""
        call = self._receive()
        self._identify()
        yield from self._permit()
        yield from self._look_at_input(call)
        return self.decision

    def permit_only(self) -> Walk[Decision]:
        """Steps 0 to 2, without content."""
        self._receive()
        self._identify()
        return (yield from self._permit())

    def _receive(self) -> LaidOutCall:
        """Step 0."""
        self.passage.take(RECEIVE)
        call = self._laid_out(lambda: LaidOutCall(self.request, self.snapshot.limits))
        self.parts, self.plain = call.parts, call.plain
        self._lap("receive")
        return call

    def _identify(self) -> None:
        """Step 1: no principal, no call."""
        self.passage.take(IDENTIFY)
        if self.request.principal is None:
            raise self._deny("identity.missing")

    def _permit(self) -> Walk[Decision]:
        """Step 2: access and whatever else may refuse before content is looked at.

        Silence of the built-in guards is no, whatever third parties say: they can refuse, and never permit.
        """
        self.passage.take(PERMIT)
        question = (self._principal, self.request.action, self.request.resource)
        asked = self.snapshot.guards.permit
        said = yield from self._ask([one for one in asked if one.trusted], question)
        self.rulings = said + (yield from self._ask([one for one in asked if not one.trusted], question))
        if all(ruling.shadow for ruling in said):
            raise self._deny("access.denied")
        facts = msgspec.structs.replace(self._facts("input"), rulings=self.rulings)
        gate = Decider((), self.snapshot.digest).decide(facts)
        if gate.verdict is Verdict.DENY:
            raise _Stop(gate)
        self._lap("permit")
        return gate

    def _decide_input(self, call: LaidOutCall) -> Walk[None]:
        """Steps 3 to 5a."""
        yield from self._look_at_input(call)
        if self.decision.verdict is Verdict.DENY:
            raise _Stop(self.decision)
        if self.decision.verdict is Verdict.REVIEW and not self._approved(self.decision):
            as_given = call.rebuild([part.text for part in self.parts])
            yield from self._open_ticket("input", as_given, self.decision, self.parts)

    def _look_at_input(self, call: LaidOutCall) -> Walk[None]:
        """Steps 3 to 5: normalise, detect, decide."""
        self.passage.take(DETECT)
        found = yield from self._examine(call.parts, "input")
        self.findings = self._admitted(found, call.parts)
        self._lap("detect")
        self.passage.take(DECIDE)
        self.decision = yield from self._decide("input", self.findings, call.parts)
        self._lap("decide")

    def _transform(self, call: LaidOutCall) -> Mapping[str, Any]:
        """Step 6: replace the spans of findings, and nothing else."""
        self.passage.take(TRANSFORM)
        texts = [part.text for part in call.parts]
        edits = (*self.decision.edits, *self._literal_tokens(texts))
        self.edits = len(edits)
        replaced = self._replacements(edits, self.findings, call.parts, "input")
        done = [splice(text, replaced.get(index, ())) for index, text in enumerate(texts)]
        self._told(self.request.session.keep)
        self._keep("input", call.parts, done)
        arguments: Mapping[str, Any] = self._laid_out(lambda: call.rebuild(done))
        self._lap("transform")
        return arguments

    def _record_intent(self) -> Walk[Receipt]:
        """Step 7: without this receipt there is no call."""
        self.passage.take(INTENT)
        receipt: Receipt | None = None
        if (yield from self._meet()):
            intent = self._intent(records.CallIntent)
            self.ref = intent.actor.ref
            receipt = yield Record(intent, self._content("input"))
        self._lap("intent")
        if receipt is None:
            raise self._deny("audit.unavailable")
        return receipt

    def _meet(self) -> Walk[bool]:
        """Learn whom the next record names; False where that cannot be."""
        people, knows = account.people(self.request.principal), self.snapshot.knows
        strangers = tuple(one for one in people if not knows(one.id, one.tenant))
        return not strangers or (yield Meet(strangers))

    def _receive_answer(self, answered: Answered) -> Layout | Stream:
        """Step 9, first half: the answer laid out. What cannot be laid out cannot be judged."""
        self.passage.take(ANSWER)
        if answered.endless:
            raise self._deny("output.too_large")
        chunks, limits = answered.chunks, self.snapshot.limits
        answer: Layout | Stream
        if chunks is not None:
            answer = self._laid_out(lambda: gather(chunks, limits), "output.")
        else:
            answer = self._laid_out(lambda: lay_out(answered.value, limits), "output.")
        self.answer_parts = answer.parts
        if not all(type(one) is str for one in chunks or (answered.value,)):
            self.confidence = stated_confidence(self._laid_out(lambda: _copies(answer), "output."))
        return answer

    def _decide_answer(self, answer: Layout | Stream) -> Walk[None]:
        """Steps 9 and 10: our own tokens are left out of detection, everything else is judged."""
        own = self._told(lambda: {part.path: self.request.session.tokens_in(part.text) for part in answer.parts})
        found = yield from self._examine(answer.parts, "output")
        found = tuple(piece for finding in found for piece in outside(finding, own.get(finding.path, [])))
        self.answer_findings = self._admitted(found, answer.parts)
        self._lap("detect_answer")
        self.passage.take(JUDGE)
        self.answer = yield from self._decide("output", self.answer_findings, answer.parts, self.confidence)
        self._lap("decide_answer")
        if self.answer.verdict is Verdict.DENY:
            raise _Stop(self.answer)

    def _restore(self, answer: Layout | Stream) -> tuple[Any, tuple[str, ...]]:
        """Step 11: our tokens become their values; what the answer brought of its own is replaced."""
        self.passage.take(RESTORE)
        texts = [part.text for part in answer.parts]
        replaced = self._replacements(self.answer.edits, self.answer_findings, answer.parts, "output")
        self._keep("output", answer.parts, (splice(text, replaced.get(at, ())) for at, text in enumerate(texts)))
        for index, text in enumerate(texts):
            tokens = self._told(lambda text=text: self.request.session.restore_spans(text, self._sees))  # type: ignore[misc]
            edited = replaced.get(index, [])
            restored = untouched(tokens, edited)
            self.restored += len(restored)
            replaced[index] = sorted([*edited, *restored])
        done = tuple(splice(text, replaced[index]) for index, text in enumerate(texts))
        if isinstance(answer, Stream):
            return self._laid_out(lambda: answer.rebuild(replaced), "output."), done
        return self._laid_out(lambda: answer.rebuild(done), "output."), done

    def _sees(self, entity: str) -> bool:
        """Whether whoever called may see values of a type: `privacy.reveal`. Their tokens stay otherwise."""
        return self.snapshot.reveals(self._principal, entity, True)

    def _review_answer(self, result: Any, texts: Sequence[str]) -> Walk[None]:
        """Step 10's second half: an answer that a person must see first goes to them as it would be released."""
        if self.answer.verdict is not Verdict.REVIEW:
            return
        if self._approved(self.answer) and _pairs(self.answer) <= (yield from self._of_the_call()):
            return
        parts = tuple(Part(path=part.path, text=text) for part, text in zip(self.answer_parts, texts, strict=True))
        yield from self._open_ticket("output", result, self.answer, parts)

    def _release_value(self, result: Any) -> Walk[Ending]:
        """Steps 12 and 13 for a plain answer."""
        self.passage.take(OUTCOME)
        receipt = yield Record(
            self._outcome("released", released_chars=account.size(self.answer_parts).chars, released_chunks=1),
            self._content("output"),
        )
        if receipt is None:
            raise self._deny("audit.unavailable")
        return self.passage.release(receipt, result)

    def _release_stream(self, chunks: Sequence[Any], sizes: Sequence[int]) -> Walk[Ending]:
        """Steps 12 and 13 for a stream: opened durably, released, closed by an outcome that says how much."""
        self.passage.take(OUTCOME)
        receipt = yield Record(self._opened(len(chunks)), self._content("output"))
        if receipt is None:
            raise self._deny("audit.unavailable")
        return self.passage.open_stream(receipt, chunks, lambda taken: self._close(taken, sizes))

    def _close(self, taken: int, sizes: Sequence[int]) -> Walk[Refusal | None]:
        """The end of a stream whose consumer took so many chunks of these sizes."""
        how: records.Outcome = "released" if taken == len(sizes) else "abandoned"
        record = self._outcome(how, released_chars=sum(sizes[:taken]), released_chunks=taken)
        if (yield Record(record)) is None:
            return Refusal(Denied(self._denied("audit.unavailable")))
        return None

    def _keep(self, direction: Direction, parts: Sequence[Part], texts: Iterable[str]) -> None:
        """Have texts kept with the next record, where the policy says so: as the provider sees or gives them."""
        if direction in self.snapshot.keeps:
            self.kept[direction] = tuple((part.path, text) for part, text in zip(parts, texts, strict=True))

    def _content(self, direction: Direction) -> Content | None:
        """What was to be kept with this record; None where nothing was."""
        texts = self.kept.get(direction)
        return None if texts is None else Content(self._principal, self.ref, self.request.resource, tuple(texts))

    # -- leaving the path --------------------------------------------------------------------------

    def _failed(self, answered: Answered) -> Walk[Ending]:
        """The provider raised: record what kind of exception, and let it pass untouched."""
        error = answered.error
        assert error is not None
        how: records.Outcome = "cancelled" if answered.cancelled else "provider.error"
        yield Record(self._outcome(how, error=records.error_name(error)))
        return Failure(error)

    def refuse(self, stop: _Stop) -> Walk[Ending]:
        """End a call that may not go on: recorded as denied, or its answer as withheld."""
        record, receipt = None, None
        with suppress(Exception):  # who called cannot be named, say: nothing can be recorded, and it is refused still
            if self.passage.step >= CALL or (yield from self._meet()):
                record = self._ended(stop)
        if record is not None:
            receipt = yield Record(record)
        if receipt is None:
            return Refusal(Denied(self._denied("audit.unavailable")))
        kind = ReviewPending if stop.ticket else Denied
        return Refusal(kind(stop.decision, record=receipt.id, ticket=stop.ticket or None))

    def _ended(self, stop: _Stop) -> Any:
        """The record of a call that may not go on. Raises AuditUnavailable."""
        if self.passage.step >= CALL:
            self.answer = stop.decision
            return self._outcome("review" if stop.ticket else "withheld", ticket=stop.ticket)
        self.decision = stop.decision
        return self._intent(records.CallDenied, step=max(self.passage.step, 0), ticket=stop.ticket)

    def _open_ticket(self, direction: Direction, content: Any, decision: Decision, parts: Sequence[Part]) -> Walk[None]:
        """Step 5a: keep the case, record that it waits, and stop here."""
        case = self._case(direction, content, decision, parts)
        if case is None:
            raise self._deny("review.not_resumable")
        ticket = yield OpenTicket(case)
        if ticket is None:
            raise self._deny("review.unavailable")
        opened = records.ReviewOpened(
            call=self.request.call, ticket=ticket, direction=direction, reasons=account.reasons(decision.reasons)
        )
        if (yield Record(opened)) is None:
            raise self._deny("audit.unavailable")
        raise _Stop(decision, ticket)

    def _case(self, direction: Direction, content: Any, decision: Decision, parts: Sequence[Part]) -> Case | None:
        """What a reviewer is to see, or None where it holds a value that cannot be kept."""
        try:
            packed = pack(content)
        except ReviewError:
            return None
        return Case(
            direction=direction, call=self.request.call, function=self.request.function, action=self.request.action,
            resource=self.request.resource, requester=self._principal, reasons=decision.reasons,
            policy_digest=self.snapshot.digest, content=packed, shown=tuple(part for part in parts if not part.number),
        )  # fmt: skip

    # -- deciding ----------------------------------------------------------------------------------

    def _decide(
        self,
        direction: Direction,
        findings: tuple[Finding, ...],
        parts: Sequence[Part],
        confidence: float | None = None,
    ) -> Walk[Decision]:
        """Step 5 or 10: plugins are asked first, so that the decision itself is pure."""
        index = {part.path: number for number, part in enumerate(parts)}
        facts = msgspec.structs.replace(
            self._facts(direction), findings=findings, rulings=self.rulings, parts=index, confidence=confidence
        )
        outside = tuple(judge for judge in self.snapshot.guards.judge if not judge.trusted)
        asked = yield from self._ask(outside, (facts,))
        facts = msgspec.structs.replace(facts, rulings=self.rulings + asked)
        return self.snapshot.decider.decide(facts)

    def _facts(self, direction: Direction) -> Facts:
        """What is known of the call before anybody looked at its content."""
        return Facts(
            direction=direction, action=self.request.action, resource=self.request.resource,
            principal=self._principal, args=self.plain, now_us=self.snapshot.now_us(),
            resource_attributes=self.snapshot.describe(self.request.resource),
        )  # fmt: skip

    def _ask(self, contributions: Sequence[Contribution], question: tuple[Any, ...]) -> Walk[tuple[Any, ...]]:
        """Every contribution's answer to one question; the first fault stops the call."""
        answers = yield from self._guarded(ask(contributions, [question]))
        return tuple(ruling for (rulings,) in answers for ruling in rulings)

    def _examine(self, parts: Sequence[Part], direction: Direction) -> Walk[tuple[Finding, ...]]:
        """Steps 3 and 4 or 9: all findings; a guard that broke ends the call."""
        return (yield from self._guarded(examine(self.snapshot, parts, direction, self.request.session.recall)))

    def _guarded(self, asking: Walk[T]) -> Walk[T]:
        """Let guards be asked; the first fault stops the call, under the guard's name."""
        try:
            return (yield from asking)
        except GuardFault as broken:
            fault = broken
        raise self._deny(fault.code, fault.guard)

    def _approved(self, decision: Decision) -> bool:
        """Whether a person has let pass every reason for review."""
        return _pairs(decision) <= self.request.approved

    def _of_the_call(self) -> Walk[frozenset[tuple[str, str]]]:
        """The reasons for review that an empty answer would have too: who approved the call has seen these alone."""
        bare = yield from self._decide("output", (), ())
        return _pairs(bare) if bare.verdict is Verdict.REVIEW else frozenset()

    def _admitted(self, found: Iterable[Finding], parts: Sequence[Part]) -> tuple[Finding, ...]:
        texts = {part.path: part.text for part in parts}
        return tuple(f for f in found if f.kind not in PERSONAL or self.snapshot.admit(f, texts[f.path]))

    def _replacements(
        self, edits: Iterable[Edit], findings: Iterable[Finding], parts: Sequence[Part], direction: Direction
    ) -> dict[int, list[Replacement]]:
        """The text that goes into each edited span, by part; a renderer that breaks ends the call."""
        try:
            return replacements(self.snapshot.guards, edits, findings, parts, self.request.session, direction)
        except GuardFault as broken:
            fault = broken
        raise self._deny(fault.code, fault.guard)

    def _literal_tokens(self, texts: Sequence[str]) -> tuple[Edit, ...]:
        """The edits that keep a text from smuggling in a token of its own."""
        try:
            return self._told(lambda: self.request.session.literals(texts))
        except SessionFull as full:
            code = full.code
        raise self._deny(code)

    def _told(self, work: Callable[[], T]) -> T:
        """What the session says; a vault that does not answer ends the call."""
        try:
            return work()
        except GuardFault as broken:
            fault = broken
        raise self._deny(fault.code, fault.guard)

    def _laid_out(self, make: Callable[[], T], side: str = "input.") -> T:
        """What `make` lays out or rebuilds; what is malformed ends the call under a code of its side."""
        try:
            return make()
        except Malformed as malformed:
            code, kind = malformed.code, malformed.kind
        raise self._deny(code.replace("input.", side, 1), kind)

    # -- what is said of it ------------------------------------------------------------------------

    @property
    def _principal(self) -> Principal:
        return self.request.principal or Principal(id="nobody")

    def _deny(self, code: str, rule: str = "") -> _Stop:
        return _Stop(self._denied(code, rule))

    def _denied(self, code: str, rule: str = "") -> Decision:
        return refused(code, rule, self.snapshot.digest)

    def _intent(self, kind: type[Any], *, ticket: str = "", **more: Any) -> Any:
        """The record of step 7, or of the refusal that takes its place."""
        request = self.request
        return kind(
            call=request.call, parent=request.parent or None,
            session=account.session(request.principal, request.session.ref, self.snapshot.relate),
            actor=account.actor(request.principal, self.snapshot.refer), action=request.action,
            resource=request.resource, access=self._grounds(), policy=self.snapshot.digest,
            plugins=self.snapshot.guards.digest, edits=self.edits, ticket=ticket or request.ticket or None,
            timing_us=dict(self.timing),
            **account.judged(self.decision, self.findings, self.parts), **more,
        )  # fmt: skip

    def _grounds(self) -> records.Access | None:
        """Why step 2 said what it said; nothing where it was not asked."""
        if self.request.principal is None or not self.rulings:
            return None
        asked = (self.request.principal, self.request.action, self.request.resource, self.rulings)
        return account.access(self.snapshot.grounds(*asked))

    def _outcome(self, how: records.Outcome, *, ticket: str = "", **more: Any) -> records.CallOutcome:
        """The record of step 12, however the call ended."""
        return records.CallOutcome(
            call=self.request.call, outcome=how, restored=self.restored, edits=len(self.answer.edits),
            confidence_ppm=account.ppm(self.confidence), ticket=ticket or self.request.ticket or None,
            timing_us=dict(self.timing), **account.judged(self.answer, self.answer_findings, self.answer_parts),
            **more,
        )  # fmt: skip

    def _opened(self, chunks: int) -> records.StreamOpened:
        """The record that goes before a stream's first release."""
        return records.StreamOpened(
            call=self.request.call, verdict=self.answer.verdict.name.lower(),  # type: ignore[arg-type]
            reasons=account.reasons(self.answer.reasons), size=account.size(self.answer_parts), chunks=chunks,
        )  # fmt: skip

    def _lap(self, name: str) -> None:
        """Note the microseconds since the last lap under `name`."""
        now = self.snapshot.timer()
        self.timing[name] = max(0, now - self._clock) // 1000
        self._clock = now

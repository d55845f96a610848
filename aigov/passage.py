"""What a path yields, how it ends, and the order that its steps keep.

Invariants:
* `Passage` refuses every step out of order; a step that was taken cannot be taken again.
* A provider can only be handed a `Sealed` call, and only the receipt of the call's own intent makes one.
* An answer leaves as `Released`, which only the receipt of its outcome makes; a stream as `Streaming`, which
  only that of its `stream.opened` does.
* What holds content shows none of it in its repr.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from aigov.audit.log import Receipt
from aigov.errors import OutOfOrder, Refused
from aigov.plugins import Contribution, Guards
from aigov.policy.decide import Decider
from aigov.privacy.session import Session
from aigov.review.desk import Case
from aigov.text.memory import Memory
from aigov.text.parts import Limits
from aigov.types import Direction, Edit, Finding, Part, Principal, Ruling

RECEIVE, IDENTIFY, PERMIT, DETECT, DECIDE, TRANSFORM, INTENT, CALL = 0, 1, 2, 4, 5, 6, 7, 8
ANSWER, JUDGE, RESTORE, OUTCOME, RELEASE = 9, 10, 11, 12, 13
ORDER = (RECEIVE, IDENTIFY, PERMIT, DETECT, DECIDE, TRANSFORM, INTENT, CALL, ANSWER, JUDGE, RESTORE, OUTCOME, RELEASE)


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How models read the texts of a call before guards are asked.

    `wants(part, direction)`: the models whose answer about a part the policy asks for. `run(asked, memory)`: have these
    models read these texts, in whatever thread; raises GuardFault. `shown(what run gave)`: while guards ask, they are
    told it.
    """

    wants: Callable[[Part, Direction], frozenset[str]]
    run: Callable[[Sequence[tuple[str, frozenset[str]]], Memory | None], Any]
    shown: Callable[[Any], AbstractContextManager[None]]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides, compiled from one policy; swapped whole, never changed.

    `admit(finding, text)`: whether a personal finding counts (score, allow list).
    `redactions(findings)`: the edits that take personal values out of one text. `reveals(principal, entity,
    own)`: whether values of a type may be shown to somebody, of a session that is theirs or not. `refer(id, tenant)`:
    the pseudonym of a principal; `relate(id, tenant, text)`: the digest of a text that goes with them. Both raise
    AuditUnavailable. `knows(id, tenant)`: whether they answer from memory. `keeps`: the directions whose texts are
    kept. `now_us()`: UTC in microseconds. `timer()`: nanoseconds, monotonic. `describe(resource)`: what the policy says
    of a resource, by attribute.
    `grounds(principal, action, resource, rulings)`: why step 2 said what it said (`access.grounds.Grounds`), or None.
    `reading`: how the encoder's models read texts; None where there are none.
    """

    layer: str
    digest: str
    guards: Guards
    decider: Decider
    limits: Limits
    admit: Callable[[Finding, str], bool]
    redactions: Callable[[tuple[Finding, ...]], tuple[Edit, ...]]
    reveals: Callable[[Principal, str, bool], bool]
    refer: Callable[[str, str], str]
    relate: Callable[[str, str, str], str]
    knows: Callable[[str, str], bool]
    keeps: frozenset[str] = frozenset()
    now_us: Callable[[], int]
    timer: Callable[[], int]
    describe: Callable[[str], Mapping[str, Any]]
    grounds: Callable[[Principal, str, str, tuple[Ruling, ...]], Any]
    reading: Reading | None = None

    def __repr__(self) -> str:
        return f"Snapshot({self.digest[:12]})"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One call as the caller made it, arguments by name; `keywords` names the one that holds `**kwargs`.

    `approved` holds the (code, rule) pairs that a person let pass.
    """

    call: str
    action: str
    resource: str
    principal: Principal | None
    arguments: Mapping[str, Any]
    session: Session
    keywords: str = ""
    stream: bool = False
    function: str = ""
    parent: str = ""
    approved: frozenset[tuple[str, str]] = frozenset()
    ticket: str = ""

    def __repr__(self) -> str:
        return f"Request({self.call})"


class Ask(msgspec.Struct, frozen=True):
    """Effect: put questions to plugins, under their limits. Answered with a list, one entry a question."""

    questions: tuple[tuple[Contribution, tuple[Any, ...]], ...]


class Content(msgspec.Struct, frozen=True):
    """Texts that the policy wants kept, with their paths, whose call they are of, and on which resource.

    `ref`: the pseudonym that the call's intent names them by. Of who was erased since, nothing is kept.
    """

    principal: Principal
    ref: str
    resource: str
    texts: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Content(texts={len(self.texts)})"


class Read(msgspec.Struct, frozen=True):
    """Effect: let models read texts, which takes a while. Answered with what `work` gives, or its GuardFault."""

    work: Callable[[], Any]

    def __repr__(self) -> str:
        return "Read()"


class Record(msgspec.Struct, frozen=True):
    """Effect: make a record durable, and `content` before it. Answered with its receipt, or None where the log did
    not take it, or the content could not be kept."""

    record: Any
    content: Content | None = None


class Meet(msgspec.Struct, frozen=True):
    """Effect: learn under which pseudonyms people are recorded, which may ask the disk. Answered with whether it could
    be learnt."""

    people: tuple[Principal, ...]


class OpenTicket(msgspec.Struct, frozen=True):
    """Effect: keep a case for a reviewer. Answered with the ticket, or None where it could not be kept."""

    case: Case


class Call(msgspec.Struct, frozen=True):
    """Effect: hand the sealed call to the provider. Answered with `Answered`."""

    sealed: Sealed


Effect = Ask | Meet | Read | Record | OpenTicket | Call


class Answered(msgspec.Struct, frozen=True):
    """What a provider did: returned a value, streamed `chunks` (`endless`: too many), or raised `error`."""

    value: Any = None
    chunks: tuple[Any, ...] | None = None
    error: BaseException | None = None
    cancelled: bool = False
    endless: bool = False

    def __repr__(self) -> str:
        return "Answered()"


class Refusal(msgspec.Struct, frozen=True):
    """An ending: refused, withheld or waiting for a person. `error` is what the caller gets."""

    error: Refused


class Failure(msgspec.Struct, frozen=True):
    """An ending: the provider's own exception, to be raised untouched."""

    error: BaseException

    def __repr__(self) -> str:
        return "Failure()"


class Passage:
    """Lets a call take the steps of `order`, each once, and no other way.

    `seal` is the only way to a `Sealed` call, and wants the receipt of this call's intent; `release` and
    `open_stream` are the only ways to an answer that may leave, and want that of its outcome or opening.
    """

    __slots__ = ("_at", "_order", "call")

    def __init__(self, call: str, order: tuple[int, ...] = ORDER) -> None:
        self.call = call
        self._order = order
        self._at = -1

    @property
    def step(self) -> int:
        """The number of the step taken last; -1 before the first."""
        return self._order[self._at] if self._at >= 0 else -1

    def take(self, step: int) -> None:
        """Enter `step`. Raises OutOfOrder unless it is the very next one, and needs no receipt."""
        if step in (CALL, RELEASE):
            raise OutOfOrder(f"step {step} without a receipt")
        self._enter(step)

    def seal(self, receipt: Receipt, arguments: Mapping[str, Any]) -> Sealed:
        """The sealed call of step 8. Raises OutOfOrder without the receipt of this call's intent."""
        self._demand(receipt, "call.intent")
        self._enter(CALL)
        return Sealed(_WAX, arguments)

    def release(self, receipt: Receipt, value: Any) -> Released:
        """Step 13. Raises OutOfOrder without the receipt of this call's outcome."""
        self._demand(receipt, "call.outcome")
        self._enter(RELEASE)
        return Released(_WAX, value)

    def open_stream(self, receipt: Receipt, chunks: Iterable[Any], close: Close) -> Streaming:
        """Step 13 for a stream. Raises OutOfOrder without the receipt of its opening."""
        self._demand(receipt, "stream.opened")
        self._enter(RELEASE)
        return Streaming(_WAX, tuple(chunks), close)

    def _enter(self, step: int) -> None:
        if self._at + 1 >= len(self._order) or self._order[self._at + 1] != step:
            raise OutOfOrder(f"step {step} after step {self.step}")
        self._at += 1

    def _demand(self, receipt: Receipt, kind: str) -> None:
        if not isinstance(receipt, Receipt) or receipt.kind != kind or receipt.call != self.call:
            raise OutOfOrder(f"no receipt for {kind}")


_WAX = object()


class _Waxed:
    """What only a `Passage` makes."""

    __slots__ = ()

    def __init__(self, wax: object) -> None:
        if wax is not _WAX:
            raise OutOfOrder(f"{type(self).__name__} is made by `Passage` alone")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Sealed(_Waxed):
    """A call that has a durable intent: the only thing that a provider can be handed."""

    __slots__ = ("arguments",)

    def __init__(self, wax: object, arguments: Mapping[str, Any]) -> None:
        super().__init__(wax)
        self.arguments = arguments


class Released(_Waxed):
    """An ending: an answer that has a durable outcome, and may go to the caller."""

    __slots__ = ("value",)

    def __init__(self, wax: object, value: Any) -> None:
        super().__init__(wax)
        self.value = value


class Streaming(_Waxed):
    """An ending: chunks that may go to a stream's consumer. `close(taken)` is the walk that ends the call.

    It is a walk of its own, begun when the consumer has had enough, so that nothing is under way while the
    stream is held: a collector that finds both may end a generator that waits before the one that needs it.
    """

    __slots__ = ("chunks", "close")

    def __init__(self, wax: object, chunks: tuple[Any, ...], close: Close) -> None:
        super().__init__(wax)
        self.chunks = chunks
        self.close = close


Close = Callable[[int], Generator[Any, Any, Refusal | None]]
Ending = Released | Streaming | Refusal | Failure

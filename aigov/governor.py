"""The front door: one policy in front of every call that an application makes.

A `Governor` owns all state: the policy in force, who is acting, the sessions, the log and the review desk.

Invariants:
* Who acts is kept in context variables alone: a task and `asyncio.to_thread` inherit them; another
  thread has none and is refused, unless the function went through `bind`.
* Exceptions are raised outside of handlers and hold codes, never content.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import aigov.account as account
import aigov.binding as binding
import aigov.calls as calls
import aigov.drivers as drivers
import aigov.flow as flow
import aigov.questions as questions
import aigov.resuming as resuming
from aigov.audit import records
from aigov.calls import Guarded, Scope
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable, Denied, GuardFault, ReviewError
from aigov.in_force import InForce
from aigov.passage import Request
from aigov.privacy.explain import Explained
from aigov.recording import Recorder
from aigov.review.cases import Case, Claim, Status
from aigov.review.desk import TICKET, Desk
from aigov.sessions import Conversation, Redacted, Sessions
from aigov.snapshot import Loaded, load
from aigov.stores import Stores
from aigov.types import Decision, Direction, Finding, Principal

P = ParamSpec("P")
R = TypeVar("R")
REMEMBERED, REMEMBERED_CHARS = 1_000, 4_000  # texts of a batch, and of how many characters each: some megabytes


class BrokenObservers:
    """Where a broken observer is told of: as `plugin.fault`, once there is a governor to record it."""

    def __init__(self) -> None:
        self.record: Callable[[records.PluginFault], object] | None = None

    def __call__(self, name: str, code: str, count: int) -> None:
        if self.record is not None:
            self.record(records.PluginFault(plugin=name, hook="aigov_observe", error=code))


class _Held:
    """A context variable that has a value for a while. An interrupt amid several of them leaves none set."""

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: contextvars.ContextVar[Any], value: Any) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        self._token = self._variable.set(self._value)

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)


class Governor:
    """Puts one policy in front of calls. Make one a process with `from_policies`; close it at the end.

    Safe to use from many threads and tasks at once.
    """

    def __init__(
        self, folder: Path, keys: KeyRing, loaded: Loaded, stores: Stores, broken: BrokenObservers | None = None
    ) -> None:
        self._stores = stores
        self._recorder = Recorder(stores, keys, lambda: self._force.loaded)
        self._force = InForce(folder, keys, loaded, self._recorder, broken)
        self._sessions = Sessions()
        self._functions = resuming.Functions()
        self._principal: contextvars.ContextVar[Principal | None] = contextvars.ContextVar("principal", default=None)
        self._talk: contextvars.ContextVar[Conversation | None] = contextvars.ContextVar("session", default=None)
        self._call: contextvars.ContextVar[str] = contextvars.ContextVar("call", default="")
        self.doors = drivers.Doors(
            record=self._recorder.record, arecord=self._recorder.arecord, open_ticket=self._open_ticket,
            meet=self._recorder.meet,
        )  # fmt: skip

    @classmethod
    def from_policies(
        cls, policies: str | Path, *, audit: str | Path = "audit", keys: str | Path | None = None
    ) -> Governor:
        """Read, check and compile the policy folder; records go to the folder `audit`.

        `keys`: the folder with the root key; without it, `keys` beside the policy folder. Raises
        PolicyError with every problem, as file:line:column and what to do. A log that cannot be written
        is no error here: every call is refused with `audit.unavailable` for as long.
        """
        folder = Path(policies)
        loaded_keys = KeyRing.load(Path(keys) if keys is not None else folder.parent / "keys")
        broken = BrokenObservers()
        loaded = load(folder, loaded_keys, broken)
        stores = Stores.of(loaded_keys, Path(audit), loaded.review_path)
        governor = cls(folder, loaded_keys, loaded, stores, broken)
        broken.record = governor._recorder.record
        governor._force.announce()
        return governor

    # -- calls -------------------------------------------------------------------------------------

    def guard(self, *, action: str, resource: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function, method, coroutine, generator or async generator function.

        A stream is held back until its whole answer is judged; what is sent into a generator, and its
        return value, are not passed on. Raises TypeError for a class: its methods would stay ungoverned.
        """
        calls.check_names(action, resource)

        def wrap(fn: Callable[P, R]) -> Callable[P, R]:
            if isinstance(fn, (staticmethod, classmethod)):
                return cast("Callable[P, R]", type(fn)(wrap(fn.__func__)))
            guarded = self._guarded(fn, action, resource)
            if isinstance(guarded.fn, type):
                raise TypeError("a function is guarded, not a class; guard the methods that make the calls")
            return cast("Callable[P, R]", guarded)

        return wrap

    def call(
        self,
        fn: Callable[..., R],
        /,
        *args: Any,
        action: str,
        resource: str,
        principal: Principal | None = None,
        **kwargs: Any,
    ) -> R:
        """Call `fn` once through the policy. `principal`: who acts, if it is not whoever is in force."""
        calls.check_names(action, resource)
        return cast("R", self._guarded(fn, action, resource).enter(self.scope(principal), args, kwargs))

    async def acall(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        action: str,
        resource: str,
        principal: Principal | None = None,
        **kwargs: Any,
    ) -> Any:
        """`call` from a coroutine: awaits a coroutine function, runs a plain one in a thread."""
        calls.check_names(action, resource)
        return await calls.awaited(self._guarded(fn, action, resource), self.scope(principal), args, kwargs)

    @contextlib.contextmanager
    def acting_as(self, principal: Principal) -> Iterator[Principal]:
        """Calls inside are this principal's."""
        with _Held(self._principal, _person(principal)):
            yield principal

    @contextlib.contextmanager
    def session(self, id: str | None = None) -> Iterator[Conversation]:
        """Calls inside share tokens. The same `id` names the same conversation for as long as it is kept."""
        conversation = self._sessions.named(id, self._force.loaded.open_vault)
        with _Held(self._talk, conversation):
            yield conversation

    def bind(self, fn: Callable[P, R]) -> Callable[P, R]:
        """`fn`, to be run in another thread as whoever acts now, in the session in force now."""
        return binding.bind(fn)

    # -- questions ---------------------------------------------------------------------------------

    def inspect(self, text: str, direction: Direction = "input", all: bool = False) -> list[Finding]:
        """What the guards find in `text`, by position, in code points of `text`.

        `all`: also what is under `min_score` or on the allow list. Raises Denied where a guard breaks or
        the text is malformed, TypeError for what is no text, ValueError for another direction.
        """
        if direction not in ("input", "output"):
            raise ValueError("direction is `input` or `output`")
        return cast("list[Finding]", self._ended(questions.inspect(_text(text), direction, all, self._force.current())))

    def inspect_many(self, texts: Iterable[str], direction: Direction = "input") -> Iterator[list[Finding]]:
        """What the guards find in each text, as `inspect` says it, one at a time; a short text that comes again is
        not looked at again. Raises Denied at the first that cannot be looked at, TypeError for one text in the place
        of many.
        """
        if isinstance(texts, str):
            raise TypeError("many texts are a list or an iterator of str; of one text ask `inspect`")
        return self._inspected(texts, direction)

    def _inspected(self, texts: Iterable[str], direction: Direction) -> Iterator[list[Finding]]:
        known: dict[str, list[Finding]] = {}
        for text in map(_text, texts):
            found = known.get(text)
            if found is None:
                found = self.inspect(text, direction)
                if len(known) >= REMEMBERED:
                    known.clear()
                if len(text) <= REMEMBERED_CHARS:
                    known[text] = found
            yield list(found)

    def explain(self, text: str) -> list[Explained]:
        """Why each personal finding of `inspect` is one: pattern, check, context word, score. Raises Denied."""
        found = self.inspect(text, all=True)
        fault = ""
        try:
            return self._force.loaded.explain(text, found)
        except GuardFault as broken:
            fault = broken.code
        raise Denied(flow.refused(fault, "privacy", self.policy_digest))

    def redact(self, text: str) -> Redacted:
        """`text` with personal values replaced as the policy says; `restore` brings back what it tokenised.

        An entity that the policy denies or sends to review is replaced by its type. Raises as `inspect`.
        """
        vault, session = self._vault()
        replaced, findings = self._ended(questions.redact(_text(text), vault, self._force.current()))
        return Redacted(text=replaced, session=session, findings=findings)

    def restore(self, text: str, session: Conversation | str, *, principal: Principal | None = None) -> str:
        """`text` with the tokens of that session turned back; of a session that is not known, none.

        Whoever holds the session may see all of it. With a principal, what `privacy.reveal` lets them see: values
        of types that it does not name where they took them out themselves, others where they hold a role.
        """
        _text(text)
        if not isinstance(session, (str, Conversation)):
            raise TypeError("a session is a conversation, such as `Redacted.session`, or its id")
        snapshot, loaded = self._force.current(), self._force.loaded
        known = self._sessions.known(session) if isinstance(session, str) else session
        if known is None and isinstance(session, str) and loaded.kept_vaults is not None:
            known = self._sessions.named(session, loaded.open_vault)
        return known.restore(text, principal, snapshot.reveals, loaded.kept_vaults) if known is not None else text

    def forget(self, subject: str, *, tenant: str | None = None) -> int:
        """Destroy what the vault keeps of a subject, in one tenant or in all; how many keys that were.

        Sessions that are open lose these values too, in every process. Raises GuardFault where it cannot be done.
        """
        return self._force.loaded.forget(subject, tenant)

    def kept(self) -> tuple[int, int]:
        """How many subjects and how many values the vault holds. Raises GuardFault where it cannot be read."""
        return self._force.loaded.kept()

    def decrypt(self, text: str) -> str:
        """The value behind what the action `encrypt` left. Raises Unsealable for anything else."""
        return self._force.loaded.decrypt(text)

    def permits(self, principal: Principal, action: str, resource: str) -> Decision:
        """Whether the principal may do the action on the resource: step 2 of the path alone."""
        request = self._question(None if principal is None else _person(principal), action, resource, {})
        return cast("Decision", drivers.run(flow.permit(request, self._force.current()), self.doors))

    def evaluate(
        self, *, action: str, resource: str, principal: Principal | None = None, content: Any = None
    ) -> Decision:
        """The whole decision on a call with this content; nothing is called, recorded or changed.

        `content`: the arguments by name, or any one value.
        """
        named = isinstance(content, Mapping) and all(type(name) is str for name in content)
        request = self._question(
            self.scope(principal).principal, action, resource, content if named else {"content": content}
        )
        return cast("Decision", drivers.run(flow.preview(request, self._force.current()), self.doors))

    # -- review ------------------------------------------------------------------------------------

    def review(self, ticket: str) -> Status:
        """Where a ticket stands. Raises ReviewError."""
        return self._desk().status(ticket)

    def resume(self, ticket: str) -> Any:
        """Carry out an approved call once, or return an approved answer; what a coroutine function returns
        is to be awaited.

        Raises Denied where the ticket is not approved, was used already, or names a function that is
        not registered in this process; ReviewPending where the policy now asks for something else.
        """
        claimed, guarded = self._claimed(ticket)
        case = claimed.case
        if guarded is None:
            answer = drivers.run(flow.release(claimed, resuming.content(claimed), self._force.current()), self.doors)
            return self._functions.shaped(case.function, drivers.settle(answer))
        approved = frozenset((reason.code, reason.rule) for reason in case.reasons)
        scope = Scope(case.requester, None, self._call.get(), approved, ticket)
        return guarded.resume(scope, resuming.content(claimed), case.action, case.resource)

    def reviews(self, state: Any = None) -> tuple[Any, ...]:
        """The tickets, oldest first, as lines without content; `state` picks those in one state."""
        return self._desk().list(state)

    def review_case(self, ticket: str, reviewer: Principal) -> Case:
        """The whole case, content included, for somebody who may decide it. Raises ReviewError."""
        return self._desk().show(ticket, reviewer, self._may)

    def approve(
        self,
        ticket: str,
        reviewer: Principal,
        *,
        edited: Any = None,
        texts: Mapping[str, str] | None = None,
        note_code: str | None = None,
    ) -> Status:
        """Let it pass. `edited`: an answer to be released in the place of the one that waits; `texts`: new
        texts at the paths that `review_case` shows, for an answer whose class is not at hand.

        Raises ReviewError where the reviewer may not; Denied where the decision cannot be recorded.
        """
        packed = resuming.pack(edited) if edited is not None else None
        desk = self._desk()
        return desk.approve(ticket, reviewer, self._may, packed, note_code, texts=texts, tell=self._decided)

    def reject(self, ticket: str, reviewer: Principal, *, note_code: str | None = None) -> Status:
        """Refuse it for good. Raises as `approve`."""
        return self._desk().reject(ticket, reviewer, self._may, note_code, tell=self._decided)

    # -- the policy in force -----------------------------------------------------------------------

    @property
    def policy_digest(self) -> str:
        """SHA-256 in hex of the policy in force, its plugins.lock included."""
        return self._force.loaded.snapshot.digest

    def reload(self) -> None:
        """Read the policy folder, and the adapter that is followed, again and swap the snapshot.

        Raises PolicyError; the last good one stays.
        """
        self._force.reload()

    def follow(self, adapter: Any, watcher: Any = None) -> None:
        """Take the rules of access from a Casbin adapter from now on, in the place of the policy's own file.

        With a watcher, they are taken again whenever it says that they changed: rules that are no good leave
        the last good ones in force and are recorded as `policy.rejected`. The model, and the rest of the
        policy, stay those of the folder. Raises PolicyError where the first are no good: nothing has changed.
        """
        self._force.follow(adapter, watcher)

    def close(self) -> None:
        """Seal the log. Calls that come later are refused."""
        self._force.close()
        self._recorder.close()

    def __enter__(self) -> Governor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Governor(policy={self.policy_digest[:12]})"

    # -- what a guarded function asks for (calls.Door) ---------------------------------------------

    def scope(self, principal: Principal | None = None) -> Scope:
        """Who calls now, in which conversation and inside which call. Raises TypeError for who is no Principal."""
        who = self._principal.get() if principal is None else _person(principal)
        return Scope(who, self._talk.get(), self._call.get())

    def request(self, scope: Scope, arguments: Mapping[str, Any], what: Guarded) -> Request:
        """The request that a guarded function makes under `scope`."""
        talk = scope.session or self._sessions.named(None, self._force.loaded.open_vault)
        return Request(
            call=records.new_id(), action=what.action, resource=what.resource, principal=scope.principal,
            arguments=arguments, keywords=what.keywords, session=talk.vault(scope.principal), stream=what.streams,
            function=what.name, parent=scope.parent, approved=scope.approved, ticket=scope.ticket,
        )  # fmt: skip

    def path(self, request: Request) -> drivers.Path:
        """The path of a request under the policy in force."""
        return flow.govern(request, self._force.current())

    @contextlib.contextmanager
    def inside(self, scope: Scope, call: str) -> Iterator[None]:
        """While a provider runs: calls that it makes are the same principal's, and name this call as parent."""
        with _Held(self._principal, scope.principal), _Held(self._talk, scope.session), _Held(self._call, call):
            yield

    # -- inside ------------------------------------------------------------------------------------

    def _guarded(self, fn: Callable[..., Any], action: str, resource: str) -> Guarded:
        guarded = Guarded(self, fn, action, resource)
        self._functions.register(guarded)
        return guarded

    def _open_ticket(self, case: Case) -> str | None:
        return self._stores.open_ticket(case, self._force.loaded.expires_s)

    def _desk(self) -> Desk:
        return self._stores.desk(self._force.loaded.expires_s)

    def _may(self, principal: Principal, action: str, resource: str) -> bool:
        return self.permits(principal, action, resource).allowed

    def _question(
        self, principal: Principal | None, action: str, resource: str, arguments: Mapping[str, Any]
    ) -> Request:
        session = self._sessions.named(None, self._force.loaded.open_vault).vault(principal)
        return Request(
            call=records.new_id(), action=action, resource=resource, principal=principal, arguments=arguments,
            session=session,
        )  # fmt: skip

    def _vault(self) -> tuple[Any, Conversation]:
        talk = self._talk.get() or self._sessions.named(None, self._force.loaded.open_vault)
        return talk.vault(self._principal.get()), talk

    def _ended(self, path: Generator[Any, Any, Any]) -> Any:
        """The result of a path that records nothing; a guard's fault is Denied."""
        result = drivers.run(path, self.doors)
        if isinstance(result, Decision):
            raise Denied(result)
        return result

    def _claimed(self, ticket: str) -> tuple[Claim, Guarded | None]:
        """An approved ticket, taken for good. Raises Denied, with a record that says why."""
        try:
            return resuming.claim(self._desk(), ticket, self._functions, self._principal.get(), self.permits)
        except ReviewError as error:
            decision = flow.refused(error.code, "", self.policy_digest)
        except Denied as refused:
            decision = refused.decision
        known = ticket if isinstance(ticket, str) and TICKET.fullmatch(ticket) else None
        record = records.CallDenied(
            call=records.new_id(), action="resume", resource="", step=0, policy=self.policy_digest,
            reasons=account.reasons(decision.reasons), ticket=known,
        )  # fmt: skip
        raise Denied(decision, record=self._append(record), ticket=known)

    def _decided(self, status: Status) -> None:
        """Record what a reviewer is about to decide. Raises Denied where it cannot be, and it is not decided."""
        judged = status.judgement
        assert judged is not None
        by = self._refer(judged.reviewer)
        self._append(
            records.ReviewDecided(
                ticket=status.ticket, call=status.call, by=by, approved=judged.approved, edited=judged.edited
            )
        )

    def _refer(self, principal: Principal) -> str:
        """The pseudonym of somebody who is not the caller. Raises Denied `audit.unavailable`."""
        with contextlib.suppress(AuditUnavailable):
            return self._force.loaded.snapshot.refer(principal.id, principal.tenant)
        raise Denied(flow.refused("audit.unavailable", "", self.policy_digest))

    def _append(self, record: Any) -> str:
        """The audit id of a record made durable. Raises Denied `audit.unavailable`."""
        receipt = self._recorder.record(record)
        if receipt is not None:
            return receipt.id
        raise Denied(flow.refused("audit.unavailable", "", self.policy_digest))


def _text(text: object) -> str:
    """The text, which nothing else is: a number would be looked at as nothing. Raises TypeError."""
    if isinstance(text, str):
        return text
    raise TypeError("the text is a str")


def _person(principal: object) -> Principal:
    """The principal, which a name alone is not. Raises TypeError."""
    if isinstance(principal, Principal):
        return principal
    raise TypeError("who acts is a Principal")

"""A session: the values that were taken out on the way to the model, and the tokens that stand for them.

Invariants:
* The same characters of the same type get the same token; no two values share one.
* A token never equals anything that stands in a text of the session: every code that could be read out of
  a text is reserved before tokens are made, and a literal copy of a live token is itself tokenised.
* Only tokens that this session made are restored, however they were rewritten, where there is no doubt which
  one was meant; in one pass: a restored value is not looked at again.
* Values live in this object and, for a named session where the policy says so, sealed in the vault: no repr,
  pickle, copy or error shows them, and they are bounded.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aigov.crypto import keyed_digest
from aigov.errors import AigovError
from aigov.privacy.places import places
from aigov.privacy.readings import Reading, readings
from aigov.privacy.recall import Recall
from aigov.privacy.tokens import ENTITY, LITERAL, SPACE, code, spell
from aigov.privacy.vault import Drawer, Entry, Kept
from aigov.text.memory import Memory
from aigov.text.shapes import Shape, meant, quoted, shape
from aigov.types import Edit

MAX_VALUES = 10_000
MAX_CHARS = 8_000_000
MAX_RESERVED = 100_000
TRIES = 64
_ENTITY = re.compile(ENTITY)
Seen = Callable[[str], bool]


class SessionFull(AigovError):
    """The session holds as many values as it may; the call that needs one more is refused."""

    code = "privacy.session_full"

    def __init__(self) -> None:
        super().__init__("the session holds as many values as it may; begin another")


class _Held(NamedTuple):
    """A value as it was written, and how: see `text.shapes`."""

    entity: str
    value: str
    form: str

    def __repr__(self) -> str:
        return "Held()"


class Session:
    """Values and their tokens, in memory, for one conversation. Safe to share between threads.

    `key` is the 32 bytes that tokens are derived from. Bounds are entries, characters of all values
    together, and look-alikes reserved. `ref` is a keyed pseudonym of the id, for records. Tokens are this
    session's own; with `stable`, two sessions of the same one give the same value the same token, and nothing is
    stored for it: but for a value whose token stood in a text already, or was taken (one in thousands of millions).
    """

    __slots__ = (
        "_bounds", "_chars", "_codes", "_drawer", "_entities", "_key", "_lock", "_made", "_reserved", "_salt",
        "_unkept", "_values", "id", "recall", "ref",
    )  # fmt: skip

    def __init__(
        self,
        id: str | None,
        key: bytes,
        *,
        max_values: int = MAX_VALUES,
        max_chars: int = MAX_CHARS,
        max_reserved: int = MAX_RESERVED,
        stable: str | None = None,
        drawer: Drawer | None = None,
    ) -> None:
        self.id = id if id is not None else secrets.token_hex(16)
        self.ref = keyed_digest(key, f"session\0{self.id}")[:32]
        self._key = key
        self._salt = secrets.token_hex(16) if stable is None else keyed_digest(key, f"stable\0{stable}")
        self._bounds = (max_values, max_chars, max_reserved)
        self._lock = threading.Lock()
        self._codes: dict[_Held, str] = {}
        self._values: dict[str, _Held] = {}
        self._entities: dict[str, str] = {}
        self._reserved: set[str] = set()
        self._chars = 0
        self.recall = Recall(key)
        self._made = Memory(key, max_values)
        self._drawer = drawer
        self._unkept: list[Entry] = []

    def token(self, entity: str, value: str, form: str = "") -> str:
        """The token for these characters. Raises SessionFull rather than hold more than it may.

        `form`: how they are written where they stood, as `text.shapes` has it; they come back as they are meant.

        Raises ValueError for a type that no token could carry back.
        """
        if not _ENTITY.fullmatch(entity):
            raise ValueError("an entity type is upper case letters, digits and `_`, at most 64 of them")
        with self._lock:
            held = _Held(entity, value, "" if form[:1] == "s" and quoted(value, 1) == value else form)
            return spell(entity, self._codes.get(held) or self._add(held))

    def reserve(self, text: str) -> list[tuple[int, int]]:
        """Keep every code in `text` from becoming a token, and return where live tokens stand in it.

        Call it with every text on its way to the model before any token for that call is made. The
        spans returned are literal copies of live tokens: tokenise them as type `TOKEN`, or they would be
        restored to the value. Raises SessionFull.
        """
        standing = places(text)
        if not standing:
            return []
        with self._lock:
            self._reserved.update(place.code for place in standing if place.code not in self._values)
            if len(self._reserved) > self._bounds[2]:
                raise SessionFull
            live = [(place.start, place.end) for place in standing if place.code in self._values]
            read = [(one.start, one.end) for one in self._readings(text)] if live else []
        return _joined([*read, *live])

    def literals(self, texts: Sequence[str]) -> tuple[Edit, ...]:
        """Reserve all texts of a call, and the edits that tokenise live tokens standing in them.

        Raises SessionFull; GuardFault where the vault does not answer.
        """
        with self._lock:
            self._refresh()
        return tuple(
            Edit(part=part, start=start, end=end, type=LITERAL, action="tokenise", guard="privacy")
            for part, text in enumerate(texts)
            for start, end in self.reserve(text)
        )

    def restore_spans(self, text: str, seen: Seen | None = None, *, exact: bool = False) -> list[tuple[int, int, str]]:
        """Where this session's tokens stand in `text`, however rewritten, and the values they stand for, in order.

        `seen(entity)`: whether values of a type may be shown; without it all are. Copies of tokens always are.
        What stood in JSON comes back as it is meant, and escaped where it now stands in JSON; a number is a number
        again where its token is a JSON string of its own. `exact`: everything as it was written, as in the text
        that was redacted.
        """
        if self._drawer is not None and not places(text):
            return []
        with self._lock:
            self._refresh()
            found = [(one, self._values[one.code]) for one in self._readings(text)]
        shown = [(one, held) for one, held in found if seen is None or held.entity == LITERAL or seen(held.entity)]
        built = shape(text) if shown and not exact else None
        return [_restored(text, one, held, built) for one, held in shown]

    def tokens_in(self, text: str) -> list[tuple[int, int]]:
        """Where this session's tokens stand in `text`, in order."""
        return [(start, end) for start, end, _ in self.restore_spans(text)]

    def restore(self, text: str) -> str:
        """The text with this session's tokens replaced by their values; anything else stays as it is."""
        pieces, at = [], 0
        for start, end, value in self.restore_spans(text, exact=True):
            pieces += [text[at:start], value]
            at = end
        return "".join(pieces) + text[at:]

    def once(self, given: Sequence[str], make: Callable[[], str]) -> str:
        """What was made of the same in this session before, or what `make` makes of it now; of values nothing is held.

        An action that gives another text each time would change, with every turn, what the model was sent before.
        """
        key = self._made.key(*(part.encode("utf-8", "surrogatepass") for part in given))
        made = self._made.get(key)
        return str(self._made.put(key, make()) if made is None else made)

    def keep(self) -> None:
        """Have the vault keep what was taken out since the last time, before it goes anywhere. Raises GuardFault."""
        with self._lock:
            if self._drawer is not None and self._unkept:
                self._learn(self._drawer.keep(self._unkept))
                self._unkept.clear()

    def clear(self) -> None:
        """Forget every value. Their tokens are restored no more."""
        with self._lock:
            self._clear()
        self.recall = Recall(self._key)
        self._made = Memory(self._key, self._bounds[0])

    def _clear(self) -> None:
        self._reserved.update(self._values)
        self._codes.clear()
        self._values.clear()
        self._entities.clear()
        self._chars = 0

    def _refresh(self) -> None:
        """Take in what other processes kept, and drop what the vault holds no more; the lock is held."""
        if self._drawer is not None and not self._unkept:
            self._learn(self._drawer.news())

    def _learn(self, kept: Kept) -> None:
        if kept.lost:
            self._clear()
        for entry in kept.entries:
            self._reserved.discard(entry.code)
            self._hold(entry.code, _Held(entry.entity, entry.value, entry.form))

    def _hold(self, code: str, held: _Held) -> None:
        if code not in self._values:
            self._codes.setdefault(held, code)
            self._values[code] = held
            self._entities[code] = held.entity
            self._chars += len(held.value)

    def _add(self, held: _Held) -> str:
        max_values, max_chars, _ = self._bounds
        if len(self._codes) >= max_values or self._chars + len(held.value) > max_chars:
            raise SessionFull
        for attempt in range(TRIES):
            drawn = keyed_digest(self._key, f"token\0{self._salt}\0{attempt}\0{held.entity}\0{held.form}{held.value}")
            new = code(int(drawn[:24], 16) % SPACE)
            if new not in self._values and new not in self._reserved:
                self._hold(new, held)
                if self._drawer is not None:
                    self._unkept.append(Entry(new, *held))
                return new
        raise SessionFull

    def _readings(self, text: str) -> list[Reading]:
        """This session's tokens in `text`; the lock is held."""
        return readings(text, self._entities)

    @property
    def size(self) -> int:
        """How many values the session holds."""
        return len(self._codes)

    def __repr__(self) -> str:
        return f"Session(values={len(self._codes)})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a session holds personal values and is not to be copied or pickled")


def _restored(text: str, one: Reading, held: _Held, built: Shape | None) -> tuple[int, int, str]:
    """What goes back in the place of a reading. `built`: the text's shape, None for exactly what was taken out."""
    start, end = one.start, one.end
    place = built.at(start) if built is not None else None
    if held.form[:1] == "n":
        level = int(held.form[1:]) if built is None else place.level if place is not None else 0
        mark = quoted('"', level - 1) if level else ""
        alone = place is None or (place.start, place.end) == (start, end)
        if mark and alone and text.endswith(mark, 0, start) and text.startswith(mark, end):
            return start - len(mark), end + len(mark), held.value
    if built is None:
        return start, end, held.value
    value = meant(held.value, held.form)
    return start, end, value if place is None else quoted(value, place.level)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    out: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if out and start < out[-1][1]:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out

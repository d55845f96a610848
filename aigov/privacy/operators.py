"""What takes the place of a value: the one door to presidio-anonymizer.

Invariants:
* Only `tokenise` can be undone, only on the way to the model, and only by the session that did it.
* A value that an answer brings is never given a token: its type stands for it.
* A mask that would show the whole value shows none of it.
"""

from __future__ import annotations

from typing import Any

from aigov.crypto import keyed_digest
from aigov.errors import GuardFault
from aigov.privacy.session import Session
from aigov.privacy.settings import Action, Hash, Mask, Operation, Settings, word
from aigov.privacy.tokens import label
from aigov.types import Direction, Edit


class Operators:
    """The renderer of privacy's edits. `key`: 32 bytes for the keyed hash; the same key, the same hash."""

    __slots__ = ("_key", "_mask", "_redact", "_replace", "_settings")

    def __init__(self, settings: Settings, key: bytes) -> None:
        from presidio_anonymizer import operators

        self._settings = settings
        self._key = key
        self._mask: Any = operators.Mask()
        self._redact: Any = operators.Redact()
        self._replace: Any = operators.Replace()

    def __call__(self, edit: Edit, value: str, scope: Any, direction: Direction) -> str:
        """The text for one edit. `scope` is the `Session` of the call.

        Raises SessionFull where the session can hold no more, GuardFault for an action that it does not know.
        """
        action = self._action(edit)
        if edit.action == "tokenise":
            return self._token(edit, value, scope, direction)
        if edit.action == "mask":
            return self._masked(value, action.mask if isinstance(action, Operation) and action.mask else Mask())
        if edit.action == "hash":
            return self._hashed(value, action.hash if isinstance(action, Operation) and action.hash else Hash())
        if edit.action == "replace":
            chosen = action.replace.text if isinstance(action, Operation) and action.replace else label(edit.type)
            return str(self._replace.operate(value, {"new_value": chosen}))
        if edit.action == "redact":
            return str(self._redact.operate(value))
        raise GuardFault("privacy")

    def _action(self, edit: Edit) -> Action | None:
        """The policy's action for the type, where it is the one that the edit asks for."""
        action = self._settings.action(edit.type)
        return action if word(action) == edit.action else None

    def _token(self, edit: Edit, value: str, scope: Any, direction: Direction) -> str:
        if direction == "output":
            return label(edit.type)
        if not isinstance(scope, Session):
            raise GuardFault("privacy")
        return scope.token(edit.type, value)

    def _masked(self, value: str, how: Mask) -> str:
        """The value covered but for its ends, by Presidio's operator, which covers from one end."""
        hidden = len(value) - how.keep_first - how.keep_last
        first = how.keep_first if hidden > 0 else 0
        params = {"masking_char": how.char, "chars_to_mask": hidden if hidden > 0 else len(value), "from_end": False}
        return value[:first] + str(self._mask.operate(value[first:], params))

    def _hashed(self, value: str, how: Hash) -> str:
        return keyed_digest(self._key, value)[: how.length]

    def __repr__(self) -> str:
        return "Operators()"

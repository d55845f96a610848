"""What takes the place of a value: the one door to presidio-anonymizer.

Invariants:
* Only `tokenise` can be undone, only on the way to the model, and only by the session that did it.
* A value that an answer brings is never given a token: its type stands for it.
* A mask that would show the whole value shows none of it.
* On the way to the model the same value becomes the same text all through a session, whatever the action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from aigov.crypto import Unsealable, keyed_digest
from aigov.errors import GuardFault
from aigov.privacy.session import Session
from aigov.privacy.settings import Action, Hash, Mask, Operation, Operator, Settings, Unfit, word
from aigov.privacy.tokens import label
from aigov.text.shapes import meant
from aigov.types import Direction, Edit

NONE: Mapping[str, Any] = MappingProxyType({})


class Operators:
    """The renderer of privacy's edits. `key(label)`: 32 bytes, the same in every process.

    `named`: the operators that plugins bring, by name. Raises Unfit for one that the policy names and nobody has,
    or whose parameters it refuses.
    """

    __slots__ = ("_decrypt", "_encrypt", "_key", "_mask", "_named", "_redact", "_replace", "_secret", "_settings")

    def __init__(self, settings: Settings, key: Callable[[str], bytes], named: Mapping[str, Any] = NONE) -> None:
        from presidio_anonymizer import operators

        self._settings = settings
        self._key = key("hash")
        self._secret = {"key": key("encrypt")}
        self._mask: Any = operators.Mask()
        self._redact: Any = operators.Redact()
        self._replace: Any = operators.Replace()
        self._encrypt: Any = operators.Encrypt()
        self._decrypt: Any = operators.Decrypt()
        self._named = {entity: _checked(one, named) for entity, one in _wanted(settings)}

    def __call__(self, edit: Edit, value: str, scope: Any, direction: Direction) -> str:
        """The text for one edit, before it is escaped. `value` stands as `edit.form` says; `scope` is the `Session`.

        Raises SessionFull where the session can hold no more, GuardFault for an action that it does not know.
        """
        action = self._action(edit)
        if edit.action == "tokenise":
            return self._token(edit, value, scope, direction)
        value = meant(value, edit.form)
        if edit.action == "mask":
            return self._masked(value, action.mask if isinstance(action, Operation) and action.mask else Mask())
        if edit.action == "hash":
            return self._hashed(value, action.hash if isinstance(action, Operation) and action.hash else Hash())
        if edit.action == "replace":
            chosen = action.replace.text if isinstance(action, Operation) and action.replace else label(edit.type)
            return str(self._replace.operate(value, {"new_value": chosen}))
        if edit.action == "redact":
            return str(self._redact.operate(value))
        if edit.action == "encrypt":
            return self._once(edit, value, scope, direction, lambda: str(self._encrypt.operate(value, self._secret)))
        if edit.action == "operator" and isinstance(action, Operation) and action.operator:
            operate = self._named[edit.type if edit.type in self._named else ""]
            given = {"entity_type": edit.type, **action.operator.params}
            return self._once(edit, value, scope, direction, lambda: str(operate(value, given)), repr(action))
        raise GuardFault("privacy")

    @staticmethod
    def _once(edit: Edit, value: str, scope: Any, direction: Direction, make: Callable[[], str], how: str = "") -> str:
        """What is made of a value, the same again in a session: another text each time would change earlier turns."""
        if direction == "output" or not isinstance(scope, Session):
            return make()
        return scope.once((edit.action, edit.type, how, value), make)

    def decrypt(self, text: str) -> str:
        """What `encrypt` was given. Raises Unsealable for what it did not make under this key."""
        try:
            return str(self._decrypt.operate(text, self._secret))
        except Exception:  # noqa: BLE001 - Presidio's own errors differ by where the text is wrong, and may quote it
            pass
        raise Unsealable("the text was not encrypted under this policy's key")

    def _action(self, edit: Edit) -> Action | None:
        """The policy's action for the type, where it is the one that the edit asks for."""
        action = self._settings.action(edit.type)
        return action if word(action) == edit.action else None

    def _token(self, edit: Edit, value: str, scope: Any, direction: Direction) -> str:
        if direction == "output":
            return label(edit.type)
        if not isinstance(scope, Session):
            raise GuardFault("privacy")
        return scope.token(edit.type, value, edit.form)

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


def _wanted(settings: Settings) -> Iterator[tuple[str, Operator]]:
    """The operators that the policy names, by entity; `""` is every other type."""
    for entity, action in (("", settings.default), *settings.entities.items()):
        if isinstance(action, Operation) and action.operator:
            yield entity, action.operator


def _checked(wanted: Operator, named: Mapping[str, Any]) -> Callable[[str, dict[str, Any]], Any]:
    """What runs the operator. Raises Unfit; Presidio's message may quote a parameter, so it is not repeated."""
    from presidio_anonymizer.operators import OperatorsFactory, OperatorType

    why = f"no operator is called `{wanted.name}`"
    factory: Any = OperatorsFactory
    try:
        own = wanted.name in named
        found = named[wanted.name] if own else factory().create_operator_class(wanted.name, OperatorType.Anonymize)
        why = f"the operator `{wanted.name}` does not take these parameters"
        found.validate(dict(wanted.params))
    except Exception:  # noqa: BLE001 - an operator that breaks on its own parameters would break every call
        found = None
    if found is None:
        raise Unfit(why)
    operate: Callable[[str, dict[str, Any]], Any] = found.operate
    return operate

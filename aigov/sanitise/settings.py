"""The policy key `sanitise`.

Invariants:
* Every default is the strict one; what is loosened is written down in the policy.
* What `output` does not name holds for answers as it does for calls.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from aigov.text.parts import NEVER_OPAQUE
from aigov.types import Direction, Section

Unseen = Literal["strip", "deny", "review", "allow"]
Orders = Literal["neutralise", "deny", "review", "allow"]
Judged = Literal["deny", "review", "allow"]
Concern = Literal["invisible", "bidi", "control", "injection", "hostility"]
Action = Literal["strip", "neutralise", "deny", "review", "allow"]
MAX_CHARS = 10_000_000
MAX_DEPTH = 200


class Output(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do about an answer, where it is not the same as for a call."""

    invisible: Unseen | None = None
    bidi: Unseen | None = None
    control: Unseen | None = None
    injection: Orders | None = None
    hostility: Judged | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do about hostile content, and how much a call may hold.

    `injection_score`: signatures less sure than this (0 to 1) are left alone. `hostility` and `hostility_score`: the
    same for whole texts that the encoder's models take for an attack. `trusted_roles`: messages of
    these roles are the application's own words and are not searched for orders to the model. `max_chars` counts code
    points of all texts of a call; `max_depth` counts levels of nesting. `opaque` names types
    ("module.QualName") whose values pass unseen. `on_fault` is for a fault in this guard itself.
    """

    invisible: Unseen = "strip"
    bidi: Unseen = "deny"
    control: Unseen = "strip"
    injection: Orders = "review"
    injection_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    hostility: Judged = "review"
    hostility_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.75
    trusted_roles: tuple[Literal["system", "developer"], ...] = ()
    output: Output = Output()
    max_chars: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHARS)] = 200_000
    max_depth: Annotated[int, msgspec.Meta(ge=1, le=MAX_DEPTH)] = 64
    opaque: tuple[str, ...] = ()
    on_fault: Literal["deny", "review", "allow"] = "deny"

    def action(self, concern: Concern, direction: Direction) -> Action:
        """What to do about one concern in a call (`input`) or in its answer (`output`)."""
        own: Action = getattr(self, concern)
        return (getattr(self.output, concern) or own) if direction == "output" else own


def check(section: Section) -> None:
    """Raise PolicyError for an opaque type that is none, or that would let every text pass unseen."""
    for index, name in enumerate(section.value.opaque):
        if name in NEVER_OPAQUE:
            raise section.error(
                "opaque", index, what=f"`{name}` cannot be opaque: its texts would pass unseen", fix="remove it"
            )
        module, _, type_name = name.rpartition(".")
        words = [*module.split("."), *type_name.split(".")]
        if not all(word.isidentifier() for word in words):
            raise section.error(
                "opaque", index, what=f"`{name}` names no type", fix="write it as `module.Type`, such as `uuid.UUID`"
            )

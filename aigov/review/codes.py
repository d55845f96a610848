"""Every reason and error code of the review room, with what it means.

Invariant: no `ReviewError` carries a code that is not listed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LOW_CONFIDENCE: Final = "review.low_confidence"
PENDING: Final = "review.pending"
REJECTED: Final = "review.rejected"
EXPIRED: Final = "review.expired"
UNKNOWN: Final = "review.unknown"
ALREADY_DECIDED: Final = "review.already_decided"
ALREADY_RESUMED: Final = "review.already_resumed"
NOT_CLAIMED: Final = "review.not_claimed"
NOT_PERMITTED: Final = "review.not_permitted"
OWN_TICKET: Final = "review.own_ticket"
NOT_REQUESTER: Final = "review.not_requester"
NOT_RESUMABLE: Final = "review.not_resumable"
NOT_EDITABLE: Final = "review.not_editable"
BAD_NOTE: Final = "review.bad_note"
TAMPERED: Final = "review.tampered"
UNAVAILABLE: Final = "review.unavailable"

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        LOW_CONFIDENCE: "the answer states less confidence in itself than the policy asks for",
        PENDING: "nobody has decided the ticket yet",
        REJECTED: "a reviewer refused the ticket",
        EXPIRED: "the ticket was not decided and resumed in time",
        UNKNOWN: "there is no such ticket",
        ALREADY_DECIDED: "another decision on the ticket was made first",
        ALREADY_RESUMED: "the ticket was resumed before, and is good for one call",
        NOT_CLAIMED: "the ticket was not resumed, so it cannot be finished",
        NOT_PERMITTED: "the reviewer does not hold the action `review` on the resource in the ticket's tenant",
        OWN_TICKET: "nobody decides a call that they made or that was made for them",
        NOT_REQUESTER: "a ticket is resumed by whoever asked for the call, or by a process in which nobody acts",
        NOT_RESUMABLE: "the call holds a value, or names a function, that cannot be kept and restored exactly",
        NOT_EDITABLE: "the edit is of a call and not of an answer, or changes what kind of value the answer is",
        BAD_NOTE: "a note is a code, `[a-z0-9_.]{1,64}`, never free text",
        TAMPERED: "the ticket store was changed by something that does not hold its key",
        UNAVAILABLE: "the ticket store cannot be read or written",
    }
)

"""One policy in front of every AI call.

    from aigov import Governor, Principal

    gov = Governor.from_policies("policies", audit="audit")

    @gov.guard(action="chat", resource="model:gpt-4o-mini")
    def ask(question: str) -> str: ...

    with gov.acting_as(Principal(id="dana", roles=("support-agent",), tenant="retail")):
        ask("Refund jane@example.com")

Names are loaded when first used, so that `import aigov` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aigov.errors import AigovError, Denied, PolicyError, Problem, Refused, ReviewError, ReviewPending
    from aigov.governor import Governor
    from aigov.hookspecs import hookimpl
    from aigov.review.cases import Status
    from aigov.sessions import Conversation, Redacted
    from aigov.types import Decision, Edit, Facts, Finding, Part, Principal, Reason, Ruling, Section, Verdict

__all__ = [
    "AigovError",
    "Conversation",
    "Decision",
    "Denied",
    "Edit",
    "Facts",
    "Finding",
    "Governor",
    "Part",
    "PolicyError",
    "Principal",
    "Problem",
    "Reason",
    "Redacted",
    "Refused",
    "ReviewError",
    "ReviewPending",
    "Ruling",
    "Section",
    "Status",
    "Verdict",
    "hookimpl",
]

__version__ = "0.1.0"

_HOMES = {
    "errors": ("AigovError", "Denied", "PolicyError", "Problem", "Refused", "ReviewError", "ReviewPending"),
    "governor": ("Governor",),
    "hookspecs": ("hookimpl",),
    "review.cases": ("Status",),
    "sessions": ("Conversation", "Redacted"),
    "types": (
        "Decision", "Edit", "Facts", "Finding", "Part", "Principal", "Reason", "Ruling", "Section", "Verdict",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"aigov.{home}"), name)
    raise AttributeError(f"module `aigov` has no `{name}`")


def __dir__() -> list[str]:
    return sorted(__all__)

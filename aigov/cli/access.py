"""`aigov access`: who may do what, asked of the policy as a call would ask it."""

from __future__ import annotations

from typing import Annotated

import typer

from aigov.cli import opening, options, show
from aigov.cli.exits import Exit
from aigov.types import Decision, Principal, Reason

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback()
def access() -> None:
    """Ask who may do what."""


@app.command()
def check(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as `chat` or `tool:refund`.")],
    resource: Annotated[str, typer.Argument(metavar="RESOURCE", help="Such as `model:gpt-4o-mini`.")],
    who: options.As,
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Say whether somebody may do an action on a resource, and which line of the policy says so.

    Exits 0 for yes, 1 for no.
    """
    principal = Principal(id=who, roles=tuple(roles or ()), tenant=tenant)
    with opening.governor(policies) as gov:
        decision = gov.permits(principal, action, resource)
    if as_json:
        show.json_line(decided(decision))
    else:
        out = show.console()
        out.print("allowed" if decision.allowed else "refused", style="green" if decision.allowed else "bold red")
        out.print(reasons(decision.reasons))
    raise typer.Exit(Exit.OK if decision.allowed else Exit.NO)


def decided(decision: Decision) -> dict[str, object]:
    """A decision as it is printed for machines."""
    return {
        "verdict": decision.verdict.name.lower(),
        "allowed": decision.allowed,
        "reasons": [{"code": one.code, "rule": one.rule, "layer": one.layer} for one in decision.reasons],
        "policy": decision.policy_digest,
    }


def reasons(given: tuple[Reason, ...]) -> object:
    """Reasons as a table."""
    return show.table(("reason", "rule", "layer"), [(one.code, one.rule, one.layer) for one in given])

"""`aigov access`: who may do what, asked of the policy as a call would ask it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from aigov.access.check import check as check_files
from aigov.access.explain import explain
from aigov.access.queries import Grant, changes, what_may, who_may
from aigov.cli import opening, options, show
from aigov.cli.exits import Exit, Stop, usage
from aigov.errors import PolicyError, Problem
from aigov.types import Attribute, Decision, Principal, Reason

app = typer.Typer(rich_markup_mode=None, add_completion=False)
Action = Annotated[str, typer.Argument(metavar="ACTION", help="Such as `chat` or `tool:refund`.")]
Resource = Annotated[str, typer.Argument(metavar="RESOURCE", help="Such as `model:gpt-4o-mini`.")]
Attributes = Annotated[
    list[str] | None, typer.Option("--attribute", metavar="NAME=VALUE", help="A fact about them; may be repeated.")
]


@app.callback()
def access() -> None:
    """Ask who may do what."""


@app.command()
def check(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as `chat`; nothing to check the files.")] = "",
    resource: Annotated[str, typer.Argument(metavar="RESOURCE", help="Such as `model:gpt-4o-mini`.")] = "",
    who: Annotated[str, typer.Option("--as", metavar="ID", help="Who acts: a principal's id.")] = "",
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    attributes: Attributes = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let a warning about the files be a failure.")] = False,
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Say what is suspicious in the access files and which engine decides; or whether somebody may do something.

    Without ACTION: exits 1 where the files cannot be used, or with --strict where there is a warning. With ACTION,
    RESOURCE and --as: exits 0 for yes, 1 for no.
    """
    if not (action or resource or who or roles or tenant or attributes):
        raise typer.Exit(_check_files(policies, strict, as_json))
    if not (action and resource and who) or strict:
        raise usage("give ACTION, RESOURCE and `--as ID` to ask, or none of them to check the files")
    principal = Principal(id=who, roles=tuple(roles or ()), tenant=tenant, attributes=_named(attributes))
    with opening.keyless(policies) as gov:
        decision = gov.permits(principal, action, resource)
    if as_json:
        show.json_line(decided(decision))
    else:
        out = show.console()
        out.print("allowed" if decision.allowed else "refused", style="green" if decision.allowed else "bold red")
        out.print(reasons(decision.reasons))
    raise typer.Exit(Exit.OK if decision.allowed else Exit.NO)


def _check_files(policies: Path, strict: bool, as_json: bool) -> Exit:
    """Print what there is to know about the access files."""
    problems: tuple[Problem, ...] = ()
    report = None
    try:
        report = check_files(policies, opening.settings(policies))
    except PolicyError as error:
        problems = error.problems
    if report is None:
        if as_json:
            show.json_line({"ok": False, "problems": list(map(_placed, problems))})
        raise Stop(Exit.NO, *([] if as_json else map(str, problems)))
    good = not (strict and report.warnings)
    told = {key: value for key, value in msgspec.structs.asdict(report).items() if key != "warnings"}
    if as_json:
        show.json_line({"ok": good, **told, "warnings": list(map(_placed, report.warnings))})
    else:
        out = show.console()
        out.print(
            "the access files can be used" if good else "warnings count as errors",
            style="green" if good else "bold red",
        )
        out.print(show.pairs(told.items()))
        for one in report.warnings:
            out.print(show.visible(str(one)), soft_wrap=True)
    return Exit.OK if good else Exit.NO


def _placed(one: Problem) -> dict[str, object]:
    return {
        "file": one.where.file,
        "line": one.where.line,
        "column": one.where.column,
        "what": one.what,
        "fix": one.fix,
    }


@app.command("explain")
def explain_access(
    action: Action,
    resource: Resource,
    who: options.As,
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    attributes: Attributes = None,
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Say why: the rule and its line, the way to the role, and on a refusal the rule that came nearest.

    Exits 0 for yes, 1 for no.
    """
    principal = Principal(id=who, roles=tuple(roles or ()), tenant=tenant, attributes=_named(attributes))
    found = explain(opening.access(policies), principal, action, resource)
    if as_json:
        asked = [
            {**msgspec.to_builtins(one), "where": str(one.where or ""), "miss": str(one.miss or "")}
            for one in found.asked
        ]
        show.json_line({"allowed": found.allowed, "code": found.code, "engine": found.engine, "asked": asked})
    else:
        for line in found.lines():
            show.console().print(show.visible(line), soft_wrap=True)
    raise typer.Exit(Exit.OK if found.allowed else Exit.NO)


@app.command()
def who(
    action: Action,
    resource: Resource,
    tenant: options.Tenant = "",
    attributes: Attributes = None,
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Say who may do an action on a resource: every name in the policy, in one tenant or in each."""
    _print_grants(who_may(opening.access(policies), action, resource, tenant, _named(attributes)), as_json)


@app.command()
def what(
    subject: Annotated[str, typer.Argument(metavar="NAME", help="An id or a role.")],
    tenant: options.Tenant = "",
    attributes: Attributes = None,
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Say what an id or a role may do: every rule about it, through the roles that it has."""
    _print_grants(what_may(opening.access(policies), subject, tenant, _named(attributes)), as_json)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A policy folder.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The policy folder that takes its place.")],
    attributes: Attributes = None,
    as_json: options.AsJson = False,
) -> None:
    """List the decisions that change from one policy to another, over all names in either.

    Exits 1 where any does.
    """
    found = list(changes(opening.access(old), opening.access(new), _named(attributes)))
    if as_json:
        for change in found:
            show.json_line(msgspec.to_builtins(change))
    else:
        rows = [
            (one.subject, one.tenant, one.action, one.resource, "may now" if one.after else "may no more")
            for one in found
        ]
        out = show.console()
        out.print(show.table(("who", "tenant", "action", "resource", ""), rows) if rows else "no decision changes")
    if found:
        raise typer.Exit(Exit.NO)


def _named(attributes: Iterable[str] | None) -> dict[str, Attribute]:
    """Attributes by name: a number, true or false where the value is written as one in JSON, else text."""
    found: dict[str, Attribute] = {}
    for one in attributes or ():
        name, equals, text = one.partition("=")
        if not name or not equals:
            raise usage("`--attribute` takes NAME=VALUE")
        found[name] = _value(text)
    return found


def _value(text: str) -> Attribute:
    try:
        value = msgspec.json.decode(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def _print_grants(grants: Iterable[Grant], as_json: bool) -> None:
    if as_json:
        for one in grants:
            show.json_line({**msgspec.to_builtins(one), "where": str(one.where)})
        return
    rows = [
        (one.effect, one.subject, one.tenant, one.action, one.resource, f"{Path(one.where.file).name}:{one.where.line}")
        for one in grants
    ]
    out = show.console()
    out.print(show.table(("", "who", "tenant", "action", "resource", "line"), rows) if rows else "nobody, nothing")


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

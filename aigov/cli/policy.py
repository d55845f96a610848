"""`aigov policy`: is it right, what does it say, what would it do, and the switch that stops everything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from aigov.audit import records
from aigov.cli import cases, lines, opening, options, show, switching
from aigov.cli.access import decided, reasons
from aigov.cli.exits import Exit, Stop, cannot, usage
from aigov.crypto import KeyRing
from aigov.errors import PolicyError, Problem
from aigov.plugins import discover
from aigov.policy import lockdown
from aigov.policy.explain import effective
from aigov.policy.schema import schema as make_schema
from aigov.policy.source import read
from aigov.snapshot import BUILT_IN, LOCK, REQUIRED, SECTIONS, Loaded, load
from aigov.text.spans import resolve
from aigov.types import Decision, Principal

app = typer.Typer(rich_markup_mode=None, add_completion=False)
MAX_CONTENT = 4_000_000
CODE = re.compile(r"[a-z0-9_.]{1,64}")


@app.callback()
def policy() -> None:
    """Check, test and explain a policy; lock everything down."""


@app.command()
def check(policies: options.Policies = options.POLICIES, as_json: options.AsJson = False) -> None:
    """Say whether the policy can be used, with every problem as file:line:column and its mending.

    Needs no keys. Exits 1 where the policy cannot be used.
    """
    loaded, problems = _loaded(policies)
    if as_json:
        show.json_line(_checked(loaded, problems))
    elif loaded is not None:
        out = show.console()
        out.print("the policy can be used", style="green")
        told = _checked(loaded, ())
        out.print(show.pairs((key, told[key]) for key in ("name", "layer", "rules", "digest")))
    if loaded is None:
        raise Stop(Exit.NO, *([] if as_json else map(str, problems)))


def _loaded(policies: Path) -> tuple[Loaded | None, tuple[Problem, ...]]:
    """The policy, loaded under a key made up for the check, or its problems."""
    try:
        loaded = load(policies, KeyRing.generate())
    except PolicyError as error:
        return None, error.problems
    loaded.snapshot.guards.close()
    return loaded, ()


def _checked(loaded: Loaded | None, problems: tuple[Problem, ...]) -> dict[str, Any]:
    listed = [
        {"file": one.where.file, "line": one.where.line, "column": one.where.column, "what": one.what, "fix": one.fix}
        for one in problems
    ]
    if loaded is None:
        return {"ok": False, "name": "", "layer": "", "digest": "", "rules": 0, "problems": listed}
    snapshot = loaded.snapshot
    rules = len(loaded.sections["rules"].value)
    return {
        "ok": True,
        "name": loaded.name,
        "layer": snapshot.layer,
        "digest": snapshot.digest,
        "rules": rules,
        "problems": listed,
    }


@app.command("test")
def run_cases(policies: options.Policies = options.POLICIES, as_json: options.AsJson = False) -> None:
    """Run the cases in the policy's `cases` folder: the decisions that have to come out. Needs no keys.

    Exits 1 where one came out otherwise.
    """
    with opening.keyless(policies) as gov:
        report = cases.run(gov, policies)
    failed = [result for result in report.results if result.wrong]
    if as_json:
        _report_as_json(report)
    else:
        _print_report(report)
        show.console().print(f"{show.counted(len(report.results), 'case')}, {len(failed)} failed")
    if failed:
        raise typer.Exit(Exit.NO)


def _report_as_json(report: cases.Report) -> None:
    """A line a case, and a last one on the rules of access that no case touches."""
    for one in report.results:
        told = {"file": one.file, "name": one.case.name, "ok": not one.wrong, "wrong": one.wrong}
        show.json_line({"kind": "case", **told})
    untouched = [{"rule": rule, "where": str(where)} for rule, where in report.untouched]
    show.json_line({"kind": "coverage", "rules": report.rules, "untouched": untouched})


def _print_report(report: cases.Report) -> None:
    """A table a file, then the rules of access that no case touches."""
    out = show.console()
    for file in dict.fromkeys(result.file for result in report.results):
        rows = [("fail" if one.wrong else "ok", one.case.name, one.wrong) for one in report.results if one.file == file]
        out.print(show.table(("", "case", "came out"), rows, title=file))
    if report.untouched:
        rules = [(where.line, rule) for rule, where in report.untouched]
        title = f"no case is decided by {len(rules)} of {report.rules} rules of access"
        out.print(show.table(("line", "rule"), rules, title=title, right=("line",)))


@app.command()
def schema(policies: options.Policies = options.POLICIES) -> None:
    """Write the JSON Schema of a policy layer, the settings of locked plugins included, for editors."""
    sections, plugins = _kinds(policies)
    typer.echo(msgspec.json.format(msgspec.json.encode(make_schema(sections, plugins, sorted(REQUIRED)))).decode())


@app.command()
def explain(policies: options.Policies = options.POLICIES, as_json: options.AsJson = False) -> None:
    """Say what the policy comes to: every entry in force, what was set and where, what is a default."""
    entries = effective(read(policies), *_kinds(policies))
    if as_json:
        for entry in entries:
            where = str(entry.where or "")
            show.json_line({"path": entry.path, "value": entry.value, "origin": entry.origin, "where": where})
        return
    rows = [(entry.path, _plain(entry.value), entry.where.line if entry.where else "default") for entry in entries]
    show.console().print(show.table(("entry", "value", "line"), rows, right=("line",)))


def _kinds(policies: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The types of every section and of every locked plugin's settings."""
    plugins: dict[str, Any] = dict(discover(policies / LOCK).factories())
    sections = {name: BUILT_IN[name].aigov_settings() for name in SECTIONS}
    return sections, {name: factory.aigov_settings() for name, factory in plugins.items()}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@app.command()
def decide(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="Such as `chat` or `tool:refund`.")],
    resource: Annotated[str, typer.Argument(metavar="RESOURCE", help="Such as `model:gpt-4o-mini`.")],
    source: Annotated[str, typer.Argument(metavar="FILE", help="The content, a text; `-` reads stdin.")] = "",
    who: Annotated[str, typer.Option("--as", metavar="ID", help="Who asks; without it, nobody does.")] = "",
    roles: options.Roles = None,
    tenant: options.Tenant = "",
    arguments: Annotated[str, typer.Option("--args", metavar="JSON", help="The arguments by name, as JSON.")] = "",
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Say what the policy would decide about a call, and why. Nothing is called or recorded.

    The content is FILE, or --args. Exits 1 where the call would not be made at once.
    """
    content = _content(source, arguments)
    principal = Principal(id=who, roles=tuple(roles or ()), tenant=tenant) if who else None
    with opening.keyless(policies) as gov:
        decision = gov.evaluate(action=action, resource=resource, principal=principal, content=content)
    replaced: dict[str, int] = {}
    for edit in resolve(decision.edits):
        replaced[edit.type] = replaced.get(edit.type, 0) + 1
    _print_decision(decision, replaced, as_json)
    raise typer.Exit(Exit.OK if decision.allowed else Exit.NO)


def _content(source: str, arguments: str) -> Any:
    if source and arguments:
        raise usage("give FILE or `--args`, not both")
    if source:
        with lines.opened(source) as text:
            data = text.stream.read(MAX_CONTENT + 1)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            pass
        raise usage("the content is not UTF-8 text")
    try:
        decoded = msgspec.json.decode(arguments or "{}")
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict):
        raise usage("`--args` takes a JSON object of arguments by name")
    return decoded


def _print_decision(decision: Decision, replaced: dict[str, int], as_json: bool) -> None:
    shadow = [
        {"verdict": one.verdict.name.lower(), "code": one.reason.code, "rule": one.reason.rule}
        for one in decision.shadow
    ]
    if as_json:
        show.json_line({**decided(decision), "replaced": replaced, "shadow": shadow})
        return
    out = show.console()
    out.print(decision.verdict.name.lower(), style="green" if decision.allowed else "bold red")
    out.print(reasons(decision.reasons))
    if replaced:
        out.print(show.table(("replaced", "times"), replaced.items(), right=("times",)))
    for one in shadow:
        out.print(f"in shadow: {one['verdict']} because of {one['code']} ({one['rule']})")


@app.command("lockdown")
def lock_down(
    reason: Annotated[str, typer.Option(metavar="CODE", help="Why, as a code for the record.")] = lockdown.CODE,
    who: Annotated[str, typer.Option("--as", metavar="ID", help="Who orders it.")] = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Refuse everything under this policy, in every process, from the next call on, until it is lifted.

    Exits 2 where it is in force but could not be recorded.
    """
    if not CODE.fullmatch(reason):
        raise usage("`--reason` takes 1 to 64 of a-z, 0-9, `_` and `.`")
    told = lockdown.declare(policies, reason)
    _said("locked down", told, as_json)
    by = switching.ref(policies, audit, who)
    if not switching.recorded(policies, audit, records.PolicyLockdown(by=by, reason=reason)):
        raise Stop(Exit.INCOMPLETE, "everything is refused, but the record could not be written")


@app.command("lift")
def lift(
    who: Annotated[str, typer.Option("--as", metavar="ID", help="Who ends it.")] = "",
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """End a lockdown. It is recorded first: what cannot be recorded is not lifted.

    Exits 1 where there was none.
    """
    told = lockdown.state(policies)
    if told is None:
        raise Stop(Exit.NO, "there is no lockdown")
    if not switching.recorded(policies, audit, records.PolicyLifted(by=switching.ref(policies, audit, who))):
        raise cannot("the record could not be written, so nothing was lifted")
    lockdown.lift(policies)
    _said("lifted", told, as_json)


def _said(what: str, told: lockdown.Lockdown, as_json: bool) -> None:
    if as_json:
        show.json_line({"state": what, "since": told.since, "reason": told.reason})
    else:
        show.console().print(f"{what} (since {told.since or 'unknown'}, {told.reason})")

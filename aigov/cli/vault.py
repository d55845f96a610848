"""`aigov vault`: what named sessions keep on disk, counted and forgotten, never shown."""

from __future__ import annotations

from typing import Annotated

import typer

from aigov.cli import opening, options, show
from aigov.cli.exits import Exit, Stop, usage

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback()
def vault() -> None:
    """Count and forget what sessions keep on disk."""


@app.command()
def forget(
    subject: Annotated[str, typer.Option("--subject", metavar="ID", help="Whose values: a principal's id.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="In this tenant alone; without it, in all.")] = None,
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Destroy the keys of a subject's values, for good. Exits 1 where there were none."""
    if not subject:
        raise usage("`--subject` needs an id")
    with opening.governor(policies) as gov:
        count = gov.forget(subject, tenant=tenant)
    if as_json:
        show.json_line({"forgotten": count})
    else:
        show.console().print(f"{show.counted(count, 'key')} destroyed")
    if not count:
        raise Stop(Exit.NO)


@app.command()
def count(policies: options.Policies = options.POLICIES, as_json: options.AsJson = False) -> None:
    """Say how many subjects and values the vault holds."""
    with opening.governor(policies) as gov:
        subjects, values = gov.kept()
    if as_json:
        show.json_line({"subjects": subjects, "values": values})
    else:
        show.console().print(f"{show.counted(values, 'value')} of {show.counted(subjects, 'subject')}")

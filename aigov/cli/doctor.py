"""`aigov doctor`: is everything there that this package needs, here and now."""

from __future__ import annotations

import typer

from aigov.cli import options, show
from aigov.cli.checks import all_checks
from aigov.cli.exits import Exit

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def doctor(
    policies: options.Policies = options.POLICIES,
    audit: options.Audit = options.AUDIT,
    as_json: options.AsJson = False,
) -> None:
    """Check this installation and this folder.

    Exits 1 where a check fails; warnings alone exit 0.
    """
    checks = list(all_checks(policies, audit))
    if as_json:
        for check in checks:
            show.json_line({"name": check.name, "how": check.how, "found": check.found, "fix": check.fix})
    else:
        rows = [(check.how, check.name, check.short or check.found, check.fix) for check in checks]
        show.console().print(show.table(("", "check", "found", "what to do"), rows))
    if any(check.how == "fail" for check in checks):
        raise typer.Exit(Exit.NO)

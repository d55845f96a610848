"""`aigov plugins`: what is installed, what may be loaded, and beginning one of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aigov.cli import options, show
from aigov.cli.exits import Exit, Stop
from aigov.errors import PolicyError
from aigov.plugins import Found, Lock, discover, write_lock
from aigov.plugins.fresh import new as write_new
from aigov.snapshot import LOCK

app = typer.Typer(rich_markup_mode=None, add_completion=False)
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Which ones; without names, all.")]


@app.callback()
def plugins() -> None:
    """List, pin, check and start plugins."""


@app.command("list")
def list_plugins(policies: options.Policies = options.POLICIES, as_json: options.AsJson = False) -> None:
    """What is installed and what the lock names. Imports nothing."""
    rows = _rows(discover(policies / LOCK))
    if as_json:
        for row in rows:
            show.json_line(row)
        return
    out = show.console()
    if not rows:
        out.print("no plugin is installed or locked")
        return
    listed = [(row["state"], row["name"], row["version"], row["distribution"], row["what"]) for row in rows]
    out.print(show.table(("", "plugin", "version", "distribution", "hooks or problem"), listed))


def _rows(found: Found) -> list[dict[str, object]]:
    """One row a plugin: locked and whole, locked and not usable, or installed and not locked."""
    locked = {one.name: one for one in found.locked}
    wrong = {problem.where: problem.what for problem in found.problems}
    rows: list[dict[str, object]] = []
    for pin in sorted(found.pins.values(), key=lambda pin: pin.name):
        what = ", ".join(pin.hooks) if pin.name in locked else wrong.get(pin.where, "cannot be used")
        rows.append(_row(pin.name, "locked" if pin.name in locked else "fail", pin.version, pin.distribution, what))
    for one in found.unlocked:
        rows.append(_row(one.name, "unlocked", one.version, one.distribution, "is not loaded"))
    return rows


def _row(name: str, state: str, version: str, distribution: str, what: str) -> dict[str, object]:
    return {"name": name, "state": state, "version": version, "distribution": distribution, "what": what}


@app.command()
def lock(
    names: Names = None,
    editable: Annotated[bool, typer.Option("--editable", help="Also what follows a source folder.")] = False,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="NAME", help="Take this one out.")] = None,
    policies: options.Policies = options.POLICIES,
    as_json: options.AsJson = False,
) -> None:
    """Pin installed plugins as they are now: version, digest and hooks.

    Locking imports and starts a plugin once, to see which hooks it answers; look at its code before.
    """
    path = policies / LOCK
    chosen = names or ([] if drop else None)
    written = write_lock(path, discover(path), chosen, editable=editable, drop=drop or ())
    _print_lock(written, as_json)


def _print_lock(written: Lock, as_json: bool) -> None:
    if as_json:
        for pin in written.pins.values():
            show.json_line({"name": pin.name, "version": pin.version, "digest": pin.digest, "hooks": pin.hooks})
        return
    out = show.console()
    rows = [(pin.name, pin.version, ", ".join(pin.hooks)) for pin in written.pins.values()]
    out.print(show.table(("plugin", "version", "hooks"), rows) if rows else "nothing is locked")
    out.print(f"written to {written.path}")


@app.command()
def check(policies: options.Policies = options.POLICIES, as_json: options.AsJson = False) -> None:
    """Say whether every locked plugin is what was locked, and can be imported.

    Exits 1 where one is not.
    """
    found = discover(policies / LOCK)
    try:
        names = sorted(found.factories())
    except PolicyError as error:
        problems = error.problems
    else:
        problems = ()
    if as_json:
        listed = [{"where": str(one.where), "what": one.what, "fix": one.fix} for one in problems]
        show.json_line({"ok": not problems, "locked": sorted(found.pins), "problems": listed})
    elif not problems:
        show.console().print(f"{len(names)} locked, each as it was locked")
    if problems:
        raise Stop(Exit.NO, *([] if as_json else map(str, problems)))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as `acme-hours`.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where its folder goes.")] = Path("plugins"),
    as_json: options.AsJson = False,
) -> None:
    """Write a new plugin, with its test, as a package to be installed and locked."""
    written = write_new(name, folder)
    if as_json:
        show.json_line({"name": name, "path": str(written)})
        return
    out = show.console()
    out.print(f"written to {written}. Next, in your environment:", soft_wrap=True)
    out.print(f"  pip install -e {written}\n  aigov plugins lock {name} --editable", soft_wrap=True)

"""The command line: one file a command group, found by name and imported when it is called.

Invariants:
* `aigov --help` imports no guard, no governor and no table: what a command needs comes with its module.
* Every way out is one of `exits.Exit`; nothing else reaches the shell.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from types import TracebackType
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from aigov.cli.exits import Exit, Stop
from aigov.cli.wording import worded
from aigov.errors import AigovError, PolicyError, Refused

DISTRIBUTION = "aigov-engine"


class Entry(NamedTuple):
    """A command: the module whose `app` it is, and its line in the help."""

    module: str
    help: str


COMMANDS = {
    "init": Entry("aigov.cli.init", "Write a starter policy and keys into a folder."),
    "demo": Entry("aigov.cli.demo", "Forty support tickets through a real governor, as a story."),
    "inspect": Entry("aigov.cli.inspect", "Say what the guards find in a text, line by line."),
    "redact": Entry("aigov.cli.redact", "Write a text with its personal data replaced."),
    "policy": Entry("aigov.cli.policy", "Check, test and explain a policy; lock everything down."),
    "access": Entry("aigov.cli.access", "Ask who may do what."),
    "audit": Entry("aigov.cli.audit", "Verify and read the record."),
    "review": Entry("aigov.cli.review", "Decide what a machine may not."),
    "vault": Entry("aigov.cli.vault", "Count and forget what sessions keep on disk."),
    "plugins": Entry("aigov.cli.plugins", "List, pin, check and start plugins."),
    "doctor": Entry("aigov.cli.doctor", "Check this installation and this folder."),
}


def main() -> None:
    """The console script: run a command and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code. Never raises."""
    try:
        code = _app()(arguments, prog_name="aigov", standalone_mode=False)
    except typer.TyperException as error:
        _say(worded(error))
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the latter is what the parser makes of the former
        return _reader_left()
    except Exception as error:  # noqa: BLE001 - any fault ends as a line and a code, never as a traceback
        return _ended(error)
    return int(code or 0)


def load(name: str) -> TyperCommand | TyperGroup:
    """Import the command `name` and what it needs."""
    app = importlib.import_module(COMMANDS[name].module).app
    command: Any = typer.main.get_command(app)
    command.name = name
    return command  # type: ignore[no-any-return]


class Commands(TyperGroup):
    """The top of the command line: shows names and help from `COMMANDS`, imports only what is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name=name, help=entry.help) for name, entry in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` names, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest

    def invoke(self, ctx: Any) -> None:
        """Run the command, and notice here whether all of its output went out."""
        super().invoke(ctx)
        sys.stdout.flush()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aigov {installed_version()}")
        raise typer.Exit


def _app() -> Any:
    app = typer.Typer(cls=Commands, no_args_is_help=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(help="One policy in front of every AI call.")(_top)
    return typer.main.get_command(app)


def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def installed_version() -> str:
    """The version of the installed distribution, or `unknown` where the package runs uninstalled."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _ended(error: Exception) -> Exit:
    """Say what ended a command. Messages of others may hold content, so only our own are repeated."""
    if isinstance(error, Stop):
        _say(*error.lines)
        return error.code
    if isinstance(error, PolicyError):
        _say(*map(str, error.problems))
        return Exit.CANNOT
    if isinstance(error, Refused):
        _say(f"refused: {error}")
        return Exit.NO
    if isinstance(error, AigovError):
        _say(str(error))
        return Exit.CANNOT
    if isinstance(error, OSError):
        _say(f"the system refused: {error.strerror or type(error).__name__}")
        return Exit.CANNOT
    _say(f"a fault of ours: {type(error).__name__} at {_place(error.__traceback__)}")
    return Exit.CANNOT


def _place(trace: TracebackType | None) -> str:
    """The innermost place as `module:line`: names of code, no values."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _reader_left() -> Exit:
    """The reader of our output closed it (`| head`): say nothing, and let the interpreter close in peace."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stdout.fileno())
    os.close(quiet)
    return Exit.INCOMPLETE


def _say(*lines: str) -> None:
    """Write lines to stderr; where even that is closed, the exit code has to do.

    They may quote a policy file or the command line: what could drive a terminal is written as `<U+001B>`.
    """
    try:
        for line in lines:
            shown = "".join(char if char.isprintable() else f"<U+{ord(char):04X}>" for char in line)
            typer.echo(f"aigov: {shown}", err=True)
    except OSError:
        return

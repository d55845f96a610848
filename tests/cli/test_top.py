"""The top of the command line: help, exit codes, faults, and what is imported when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from aigov import cli
from aigov.cli.exits import Exit, Stop
from aigov.errors import Denied, Location, PolicyError, Problem
from aigov.types import Decision, Reason, Verdict

HEAVY = ("presidio_analyzer", "presidio_anonymizer", "spacy", "casbin", "onnxruntime", "cel_expr_python", "rich")


def fails_with(error: Exception, monkeypatch: pytest.MonkeyPatch, aigov):
    """Run a command whose body raises `error`."""

    def body() -> None:
        raise error

    def load(name: str):
        app = typer.Typer(rich_markup_mode=None)
        app.command()(body)
        return typer.main.get_command(app)

    monkeypatch.setattr(cli, "load", load)
    return aigov("doctor")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    code = (
        "import sys\nfrom aigov import cli\n"
        f"assert cli.run([{argument!r}]) == 0\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stderr.strip() == "[]"


def test_help_names_every_command(aigov) -> None:
    ran = aigov("--help")
    assert ran.code == Exit.OK
    for name, entry in cli.COMMANDS.items():
        assert name in ran.out
        assert entry.help in ran.out


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_loads_and_explains_itself(name: str, aigov) -> None:
    ran = aigov(name, "--help")
    assert ran.code == Exit.OK
    assert f"Usage: aigov {name}" in ran.out
    assert "[[" not in ran.out
    assert cli.COMMANDS[name].help in " ".join(ran.out.split())


@pytest.mark.parametrize("arguments", [(), ("nope",), ("--nope",), ("init",), ("init", "--nope"), ("init", "a", "b")])
def test_a_command_line_that_makes_no_sense_exits_4(arguments: tuple[str, ...], aigov) -> None:
    ran = aigov(*arguments)
    assert ran.code == Exit.USAGE == 4
    assert ran.out == ""
    assert ran.err.startswith("aigov: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("redat", "there is no command `redat`; did you mean `redact`?; see `aigov --help`"),
        ("policy chekc", "there is no command `chekc`; did you mean `check`?; see `aigov policy --help`"),
        ("inspect --jsn", "there is no option `--jsn`; did you mean `--jobs`, `--json`?; see `aigov inspect --help`"),
        ("init --nope", "there is no option `--nope`; see `aigov init --help`"),
        ("init", "the argument `DIR` is missing; see `aigov init --help`"),
        ("review approve rv_x", "the option `--as` is missing; see `aigov review approve --help`"),
        ("init a b", "`b` is not expected here; see `aigov init --help`"),
        ("policy", "a command is missing; see `aigov policy --help`"),
        ("inspect --direction up", "`--direction`: `up` is not one of `input`, `output`; see `aigov inspect --help`"),
        ("doctor --policies", "option `--policies` requires an argument; see `aigov --help`"),
    ],
)
def test_what_makes_no_sense_is_told_in_our_words(arguments: str, line: str, aigov) -> None:
    assert aigov(*arguments.split()).err == f"aigov: {line}\n"


def test_nothing_in_an_error_drives_the_terminal(aigov) -> None:
    ran = aigov("\x1b]0;owned\x07\u202e")
    assert ran.code == Exit.USAGE
    assert [char for char in ran.err if not char.isprintable()] == ["\n"]


def test_a_fault_of_ours_is_one_line_without_its_message(monkeypatch, aigov) -> None:
    ran = fails_with(RuntimeError("jane@example.com"), monkeypatch, aigov)
    assert ran.code == Exit.CANNOT
    assert len(ran.err.splitlines()) == 1
    assert "RuntimeError" in ran.err
    assert "jane" not in ran.err


def test_an_error_of_the_system_does_not_name_its_arguments(monkeypatch, aigov) -> None:
    ran = fails_with(OSError(28, "No space left on device", "/home/jane"), monkeypatch, aigov)
    assert ran.code == Exit.CANNOT
    assert "No space left on device" in ran.err
    assert "jane" not in ran.err


def test_a_policy_error_is_a_line_for_each_problem(monkeypatch, aigov) -> None:
    problems = [Problem(Location("a.yaml", line, 1), "a fault", "mend it") for line in (1, 2)]
    ran = fails_with(PolicyError(problems), monkeypatch, aigov)
    assert ran.code == Exit.CANNOT
    assert ran.err.splitlines() == [f"aigov: a.yaml:{line}:1: a fault; mend it" for line in (1, 2)]


def test_a_problem_of_a_whole_file_names_no_line() -> None:
    assert str(Problem(Location("policies"), "nothing is there")) == "policies: nothing is there"


def test_a_refusal_is_the_answer_no(monkeypatch, aigov) -> None:
    decision = Decision(verdict=Verdict.DENY, reasons=(Reason(code="access.denied"),))
    ran = fails_with(Denied(decision), monkeypatch, aigov)
    assert ran.code == Exit.NO
    assert "access.denied" in ran.err


def test_a_stop_says_its_lines_and_ends_with_its_code(monkeypatch, aigov) -> None:
    ran = fails_with(Stop(Exit.INCOMPLETE, "one", "two"), monkeypatch, aigov)
    assert (ran.code, ran.err) == (Exit.INCOMPLETE, "aigov: one\naigov: two\n")


def test_interrupting_exits_130(monkeypatch, aigov) -> None:
    assert fails_with(KeyboardInterrupt(), monkeypatch, aigov).code == Exit.INTERRUPTED == 130


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["init", "x", "--json"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout_is_one_line(arguments: list[str], tmp_path) -> None:
    command = [sys.executable, "-m", "aigov.cli", *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=tmp_path, check=False, text=True)
    assert done.returncode == Exit.CANNOT
    assert done.stderr.splitlines()[0].startswith("aigov: ")
    assert "Traceback" not in done.stderr

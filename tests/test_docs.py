"""What the pages say is so: every example runs, every key and code that exists is described."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import aigov
from aigov import cli, hookspecs
from aigov.audit import records
from aigov.calls import Door
from aigov.governor import Governor
from aigov.snapshot import BUILT_IN, SECTIONS
from aigov.testing import Trial


def _commands(path: tuple[str, ...], made: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below `made`, groups apart."""
    inner = getattr(made, "commands", None)
    if inner is None:
        yield path, made
    for name, command in (inner or {}).items():
        yield from _commands((*path, name), command)


ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOME = {"rules": "policy"}
RUNNER = """
import shlex, subprocess, sys
namespace = {"__name__": "__main__"}
for kind, text in BLOCKS:
    if kind == "python":
        exec(compile(text, PAGE, "exec"), namespace)
        continue
    for line in text.splitlines():
        if line.startswith("$ aigov"):
            done = subprocess.run([sys.executable, "-m", "aigov.cli", *shlex.split(line, comments=True)[2:]])
            expected = int(line.partition("# exit ")[2] or 0)
            assert done.returncode == expected, (line, done.returncode)
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    init = [sys.executable, "-m", "aigov.cli", "init", "."]
    subprocess.run(init, cwd=tmp_path, check=True, capture_output=True, env=_environment(tmp_path))
    script = f"BLOCKS = {blocks(page)!r}\nPAGE = {page.name!r}\n{RUNNER}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=_environment(tmp_path)
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def _environment(home: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(home), "COLUMNS": "100"}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_policy_key_has_a_folder_a_page_and_a_description(section: str) -> None:
    room = HOME.get(section, section)
    assert (ROOT / "aigov" / room).is_dir()
    page = (ROOT / "docs" / f"{room}.md").read_text(encoding="utf-8")
    missing = [
        name for name in _keys(BUILT_IN[section].aigov_settings()) if f"`{name}" not in page and f"{name}:" not in page
    ]
    assert missing == []


def _keys(kind: Any) -> Iterator[str]:
    """The names of all fields of a settings struct and of the structs inside it."""
    for part in msgspec.inspect.multi_type_info([kind]):
        yield from _fields(part)


def _fields(info: Any) -> Iterator[str]:
    for field in getattr(info, "fields", ()):
        yield field.encode_name
        yield from _fields(field.type)
    for inner in ("item_type", "value_type"):
        if hasattr(info, inner):
            yield from _fields(getattr(info, inner))
    for option in getattr(info, "types", ()):
        yield from _fields(option)


def test_every_reason_code_is_on_a_page(shared: Trial) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    own = {rule.reason for rule in shared.gov._force.loaded.sections["rules"].value}
    codes = {*shared.gov._force.loaded.snapshot.guards.reasons, "identity.missing", "audit.unavailable"} - own
    codes |= {f"input.{why}" for why in ("too_large", "too_deep", "cyclic", "unknown_type", "not_utf8", "key_clash")}
    assert sorted(code for code in codes if f"`{code}`" not in pages) == []


def test_every_public_name_is_on_a_page() -> None:
    """What a guarded function asks the governor for (`calls.Door`) is no business of an application."""
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    methods = {name for name in vars(Governor) if not name.startswith("_")} - set(vars(Door))
    assert sorted(name for name in aigov.__all__ if not re.search(rf"\b{name}\b", pages)) == []
    assert sorted(name for name in methods if not re.search(rf"\.{name}\b", pages)) == []


def test_every_word_of_a_public_name_is_in_the_glossary() -> None:
    """Of classes, hooks and kinds of record; by how a word begins, so that `decided` finds `decision`."""
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").lower()
    hooks = {name.removeprefix("aigov_") for name in vars(hookspecs) if name.startswith("aigov_")}
    kinds = {kind for kind in map(_tag, vars(records).values()) if kind}
    words = {word.lower() for name in {*aigov.__all__, *hooks, *kinds} for word in re.findall(r"[A-Z]?[a-z]+", name)}
    words -= {"aigov", "error", "hookimpl", "set"}
    assert sorted(word for word in words if word[: max(4, len(word) - 3)] not in glossary) == []


def _tag(kind: Any) -> str:
    """The kind of record that a class is, "" for what is none."""
    tag = getattr(getattr(kind, "__struct_config__", None), "tag", None)
    return tag if isinstance(tag, str) and isinstance(kind, type) else ""


COMMANDS = {
    " ".join(("aigov", *path)): made for name in cli.COMMANDS for path, made in _commands((name,), cli.load(name))
}
DOCUMENTS = {
    "aigov policy schema",
    "aigov audit schema",
    "aigov audit export",
    "aigov audit prove",
    "aigov audit prove-consistency",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_on_the_page_of_the_command_line(command: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    options = {name for parameter in COMMANDS[command].params for name in parameter.opts if name.startswith("--")}
    assert f"`{command}" in page
    assert sorted(name for name in options if name not in pages) == []
    assert ("--json" in options) != (command in DOCUMENTS)


def test_every_module_of_the_map_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for name in re.findall(r"`([a-z_]+)/?`", row)
    }
    here = {path.stem for path in (ROOT / "aigov").iterdir() if path.suffix == ".py" or path.is_dir()}
    here -= {"__init__", "__pycache__", "py", "starter"}
    assert named == here


def test_every_page_is_found_from_the_readme_and_every_link_leads_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme and page.name != "README.md"] == []
    for page in [*PAGES, ROOT / "policies" / "README.md"]:
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == [], page.name


def test_nothing_names_a_package_of_another_project() -> None:
    wrong = [page.name for page in PAGES if re.search(r"pip install aigov\b(?!-)", page.read_text(encoding="utf-8"))]
    assert wrong == []

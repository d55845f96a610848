"""`aigov plugins new`: a plugin to start from, with its test.

Invariants:
* Nothing that exists is overwritten, and a folder that could not be finished is taken away again.
* A name is one that Python, an index and the lock all take, and that hides no module there is.
"""

from __future__ import annotations

import keyword
import shutil
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from string import Template

from aigov.errors import Location, PolicyError, Problem
from aigov.plugins.lock import NAME

MAX_NAME = 50
OURS = frozenset({"aigov", "aigov_engine", "lockdown", "access", "privacy", "sanitise", "rules", "review", "audit"})


def new(name: str, folder: Path) -> Path:
    """Write the plugin `name` into `folder/name` and return that path.

    Raises PolicyError for a name that cannot be used, for a path that exists and for one that cannot be
    written.
    """
    target = folder / name
    what = name_problem(name)
    if what:
        fix = "use lower-case letters, digits and single hyphens, such as `acme-rule`"
        raise PolicyError(Problem(Location(str(folder)), f"`{name}` {what}", fix))
    if target.exists():
        raise PolicyError(Problem(Location(str(target)), "it is there already", "choose another name or folder"))
    problem = _written(target, _texts(name))
    if problem:
        raise PolicyError(Problem(Location(str(target)), problem, "choose a folder that can be written"))
    return target


def name_problem(name: str) -> str:
    """Why `name` cannot be a plugin's, "" where it can."""
    module = name.replace("-", "_")
    if not NAME.fullmatch(name) or len(name) > MAX_NAME:
        return "is no name of a plugin"
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in OURS:
        return "is the name of something else"
    return ""


def _texts(name: str) -> Iterable[tuple[str, str]]:
    """Paths below the new folder, and what goes there."""
    module = name.replace("-", "_")
    words = {"name": name, "module": module, "class_name": "".join(word.capitalize() for word in name.split("-"))}
    places = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "module.py": f"src/{module}/__init__.py",
        "test_plugin.py": f"tests/test_{module}.py",
    }
    for source, place in places.items():
        template = files("aigov.plugins").joinpath("template", f"{source}.tmpl").read_text(encoding="utf-8")
        yield place, Template(template).substitute(words)
    yield f"src/{module}/py.typed", ""


def _written(target: Path, texts: Iterable[tuple[str, str]]) -> str:
    """Write the files; what went wrong, "" where nothing did."""
    made = False
    try:
        target.mkdir(parents=True)
        made = True
        for place, text in texts:
            path = target / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        if made:
            shutil.rmtree(target, ignore_errors=True)
        return f"cannot be written: {error.strerror}"
    return ""

"""The house stands as `docs/architecture.md` says: who may lean on whom, one door a third party, no cycles."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "aigov"
ROWS = (
    {"errors", "types", "hookspecs", "crypto", "databases", "forks", "conditions"},
    {"text"},
    {"policy", "access", "privacy", "sanitise", "encoder", "audit", "review"},
    {"plugins"},
    {"passage", "laid_out", "account", "examine", "edits", "flow", "questions"},
    {
        "signatures",
        "binding",
        "drivers",
        "calls",
        "sessions",
        "stores",
        "resuming",
        "snapshot",
        "recording",
        "in_force",
        "governor",
    },
    {"testing", "cli", "demo", "integrations"},
)
DEPTH = {room: depth for depth, row in enumerate(ROWS) for room in row}
ENGINES = ROWS[2]
DOORS = {
    "casbin": ("access",),
    "presidio_analyzer": ("privacy",),
    "presidio_anonymizer": ("privacy",),
    "tldextract": ("privacy",),
    "phonenumbers": ("privacy",),
    "cryptography": ("crypto",),
    "cel_expr_python": ("conditions",),
    "structlog": ("audit",),
    "pluggy": ("plugins", "hookspecs"),
    "hyperscan": ("text",),
    "onnxruntime": ("encoder",),
    "tokenizers": ("encoder",),
    "typer": ("cli",),
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if "templates" not in path.parts:
            dotted = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            yield dotted.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or "", node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


MODULES = dict(modules())
ROOM = {name: [*name.split("."), ""][1] for name in MODULES}


def test_every_room_has_its_row() -> None:
    assert {room for room in ROOM.values() if room} - DEPTH.keys() - {"__main__"} == set()


def test_nobody_leans_upwards_and_engines_leave_each_other_alone() -> None:
    wrong = []
    for name, tree in MODULES.items():
        here = ROOM[name]
        for target, line in imports(tree):
            there = [*target.split("."), ""][1] if target.startswith("aigov.") else ""
            if there in DEPTH and here in DEPTH and here != there:
                sideways = here in ENGINES and there in ENGINES
                if DEPTH[there] > DEPTH[here] or sideways:
                    wrong.append(f"{name}:{line} leans on {target}")
    assert wrong == []


def test_nobody_inside_imports_the_root() -> None:
    wrong = [f"{name}:{line}" for name, tree in MODULES.items() for target, line in imports(tree) if target == "aigov"]
    assert [place for place in wrong if not place.startswith(("aigov.cli", "aigov.demo"))] == []


def test_no_cycle_between_modules() -> None:
    graph = {name: {t for t, _ in imports(top(tree)) if t in MODULES and t != name} for name, tree in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def top(tree: ast.Module) -> ast.Module:
    """The statements that run at import: functions' own imports and type checking apart."""
    kept = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))]
    body = [node for node in kept if isinstance(node, (ast.Import, ast.ImportFrom, ast.Try))]
    return ast.Module(body=body, type_ignores=[])


@pytest.mark.parametrize(("library", "rooms"), DOORS.items())
def test_each_third_party_has_one_door(library: str, rooms: tuple[str, ...]) -> None:
    wrong = [
        f"{name}:{line}"
        for name, tree in MODULES.items()
        for target, line in imports(tree)
        if (target == library or target.startswith(f"{library}.")) and ROOM[name] not in rooms
    ]
    assert wrong == []


def test_a_broad_except_stands_only_where_a_fault_becomes_a_refusal_and_says_so() -> None:
    bare = []
    for name, tree in MODULES.items():
        source = (ROOT / Path(*name.split("."))).with_suffix(".py")
        lines = (
            (source if source.exists() else source.with_suffix("") / "__init__.py")
            .read_text(encoding="utf-8")
            .splitlines()
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"}
                if broad and "noqa: BLE001 - " not in lines[node.lineno - 1]:
                    bare.append(f"{name}:{node.lineno}")
    assert bare == []


SURFACE = "from aigov import Governor, Principal, Denied, ReviewPending, PolicyError"
HEAVY = (
    "presidio_analyzer", "presidio_anonymizer", "spacy", "casbin", "onnxruntime", "tokenizers", "numpy", "hyperscan",
    "typer",
)  # fmt: skip


@pytest.mark.contract
@pytest.mark.parametrize("statement", ["import aigov", SURFACE])
def test_importing_the_front_door_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


@pytest.mark.contract
def test_the_public_surface_is_what_all_says() -> None:
    import aigov

    assert list(aigov.__all__) == sorted(aigov.__all__)
    assert len(aigov.__all__) < 30
    assert all(getattr(aigov, name) is not None for name in aigov.__all__)
    assert {name for names in aigov._HOMES.values() for name in names} == set(aigov.__all__)

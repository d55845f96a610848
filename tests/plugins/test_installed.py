"""Real installations: found through their metadata, held against the lock, imported only where they match."""

from __future__ import annotations

import base64
import compileall
import hashlib
import importlib
import importlib.util
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from aigov.errors import Location, PolicyError
from aigov.hookspecs import Context
from aigov.plugins import Found, assemble, discover, new, read_lock, write_lock
from aigov.plugins.installed import check_settings
from aigov.types import Section

ROOT = Path(__file__).parents[2]
NAME, MODULE = "acme-codenames", "acme_codenames"
HOOKS = ("aigov_detect", "aigov_entities")
PIP = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index")


def install(source: Path, *options: str) -> None:
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_WARN_SCRIPT_LOCATION": "1"}
    done = subprocess.run(
        [*PIP, *options, str(source)], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(ROOT / "plugins" / NAME, tmp_path_factory.mktemp("source") / NAME))


@pytest.fixture(scope="session")
def wheel_installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    install(source, "--target", str(target))
    return target


@pytest.fixture
def fresh_modules() -> Iterator[None]:
    """The process as if it had not imported the example plugin, before and after."""
    kept: dict[str, ModuleType] = {name: sys.modules.pop(name) for name in list(sys.modules) if name == MODULE}
    yield
    sys.modules.pop(MODULE, None)
    sys.modules.update(kept)


@pytest.fixture
def site(wheel_installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None) -> Path:
    """A copy of the installation, first on the path."""
    site = Path(shutil.copytree(wheel_installed, tmp_path / "site"))
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    return site


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    return tmp_path / "policies" / "plugins.lock"


@pytest.fixture
def locked(site: Path, lock: Path) -> Path:
    """The lock, naming what is installed."""
    write_lock(lock, discover(lock))
    sys.modules.pop(MODULE, None)
    return lock


def only_problem(found: Found) -> str:
    (problem,) = found.problems
    with pytest.raises(PolicyError) as caught:
        found.factories()
    assert caught.value.problems == (problem,)
    assert MODULE not in sys.modules, "it was imported"
    assert f"`{NAME}`" in str(problem)
    assert "`aigov plugins lock`" in str(problem)
    assert problem.where.line > 0
    return str(problem)


def test_without_a_lock_nothing_is_imported_and_it_is_listed(site: Path, lock: Path) -> None:
    found = discover(lock)
    assert dict(found.factories()) == {}
    assert [plugin.row() for plugin in found.unlocked] == [
        {
            "name": NAME,
            "distribution": NAME,
            "version": "0.1.0",
            "entry_point": f"{MODULE}:plugin",
            "editable": False,
        }
    ]
    assert MODULE not in sys.modules


def test_an_empty_lock_loads_nothing(site: Path, lock: Path) -> None:
    shutil.copy(ROOT / "policies" / "plugins.lock", lock)
    found = discover(lock)
    assert (dict(found.factories()), len(found.unlocked)) == ({}, 1)
    assert MODULE not in sys.modules


def test_a_missing_lock_is_told_from_an_empty_one(lock: Path) -> None:
    missing = discover(lock).digest
    shutil.copy(ROOT / "policies" / "plugins.lock", lock)
    assert discover(lock).digest != missing


def test_a_locked_plugin_is_loaded(locked: Path) -> None:
    found = discover(locked)
    assert [plugin.name for plugin in found.locked] == [NAME]
    assert found.unlocked == ()
    assert found.factories()[NAME] is sys.modules[MODULE].plugin


def test_the_lock_says_what_was_pinned_and_granted(locked: Path) -> None:
    pin = read_lock(locked).pins[NAME]
    assert (pin.distribution, pin.version, pin.hooks, pin.editable) == (NAME, "0.1.0", HOOKS, False)


def test_a_locked_plugin_governs_a_process_that_is_started_anew(locked: Path, site: Path) -> None:
    script = f"""
import sys
sys.path[:0] = [{str(site)!r}, {str(ROOT)!r}]
from pathlib import Path
from aigov.errors import Location
from aigov.hookspecs import Context
from aigov.plugins import assemble, discover
from aigov.types import Part, Section
found = discover(Path({str(locked)!r}))
factories = found.factories()
def start(name, factory):
    section = Section(factory.aigov_settings()(names=("Blue Heron",)), "", lambda *path: Location("x"))
    return factory.aigov_start(section, Context(folder=Path(), key=lambda label: b""))
guards = assemble({{}}, factories, start, pins=found.pins, limit_s=60)
print(guards.detect[0](Part(path="", text="about blue heron"), "input"))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("(Finding(pii PROJECT_CODENAME 6:16 0.95 by acme-codenames),)\n", "")


def edit(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")


def test_an_edited_module_is_noticed(locked: Path, site: Path) -> None:
    edit(site / MODULE / "__init__.py")
    assert "has a changed file: `acme_codenames/__init__.py`" in only_problem(discover(locked))


def test_an_edited_entry_point_is_noticed(locked: Path, site: Path) -> None:
    edit(next(site.glob("*.dist-info")) / "entry_points.txt")
    assert "entry_points.txt" in only_problem(discover(locked))


def test_a_lost_file_is_noticed(locked: Path, site: Path) -> None:
    (site / MODULE / "py.typed").unlink()
    assert "has lost `acme_codenames/py.typed`" in only_problem(discover(locked))


@pytest.mark.parametrize(
    "name", ["extra.py", "extra.pyc", "deep/extra.py", f"__init__{importlib.machinery.EXTENSION_SUFFIXES[0]}"]
)
def test_an_added_module_is_noticed(locked: Path, site: Path, name: str) -> None:
    path = site / MODULE / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert "a file that its RECORD does not name" in only_problem(discover(locked))


def test_a_linked_folder_is_noticed(locked: Path, site: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (site / MODULE / "deep").symlink_to(tmp_path / "elsewhere")
    assert "a linked folder" in only_problem(discover(locked))


def test_a_compiled_file_of_other_source_is_noticed(locked: Path, site: Path, tmp_path: Path) -> None:
    """Python runs a `.pyc` whose time and size fit, whatever is in it."""
    module = site / MODULE / "__init__.py"
    evil = tmp_path / "evil.py"
    evil.write_text("plugin = None\n" + "#" * 10_000, encoding="utf-8")
    evil.write_bytes(evil.read_bytes()[: module.stat().st_size])
    assert evil.stat().st_size == module.stat().st_size
    os.utime(evil, (module.stat().st_atime, module.stat().st_mtime))
    compiled = importlib.util.cache_from_source(str(module))
    Path(compiled).parent.mkdir(exist_ok=True)
    py_compile.compile(str(evil), cfile=compiled, doraise=True)
    assert "a compiled file that is not its source's" in only_problem(discover(locked))


def test_a_compiled_file_of_its_own_source_is_fine(locked: Path, site: Path) -> None:
    for mode in compileall.py_compile.PycInvalidationMode:
        assert compileall.compile_dir(site / MODULE, quiet=2, force=True, invalidation_mode=mode)
        assert discover(locked).problems == ()


def record_of(site: Path) -> Path:
    return next(site.glob("*.dist-info")) / "RECORD"


def test_a_record_rewritten_to_fit_an_edited_module_is_noticed(locked: Path, site: Path) -> None:
    module = site / MODULE / "__init__.py"
    edit(module)
    value = base64.urlsafe_b64encode(hashlib.sha256(module.read_bytes()).digest()).decode().rstrip("=")
    lines = [
        f"{MODULE}/__init__.py,sha256={value},{module.stat().st_size}"
        if line.startswith(f"{MODULE}/__init__")
        else line
        for line in record_of(site).read_text().splitlines()
    ]
    record_of(site).write_text("\n".join(lines))
    assert "its digest differs" in only_problem(discover(locked))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "no RECORD"),
        (lambda text: text[: len(text) // 2].rpartition(",")[0], "cut off or malformed"),
        (lambda text: text.replace("sha256=", "md5="), "no strong hash"),
        (lambda text: re.sub(".*/__init__.py.*\n", "", text), "would be imported from"),
        (lambda text: text + f"\n{MODULE}/more.py,,\n", "no hash for"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_vouch_is_noticed(
    locked: Path, site: Path, change: Callable[[str], str], says: str
) -> None:
    record = record_of(site)
    record.write_text(change(record.read_text()))
    assert re.search(says, only_problem(discover(locked)))


def test_another_version_is_noticed(locked: Path) -> None:
    locked.write_text(locked.read_text().replace("version: 0.1.0", "version: 0.2.0"))
    assert "is locked at version 0.2.0, but version 0.1.0 is installed" in only_problem(discover(locked))


def test_another_digest_is_noticed(locked: Path) -> None:
    text = locked.read_text()
    digest = read_lock(locked).pins[NAME].digest
    locked.write_text(text.replace(digest, "sha256:" + "0" * 64))
    assert "its digest differs" in only_problem(discover(locked))


def test_a_missing_distribution_is_noticed(locked: Path, site: Path) -> None:
    shutil.rmtree(site)
    assert "is not installed" in only_problem(discover(locked))


def test_every_problem_is_told_at_once(locked: Path, site: Path) -> None:
    entry = locked.read_text().partition("plugins:\n")[2]
    locked.write_text(locked.read_text() + entry.replace(f"  {NAME}:", "  acme-other:"))
    edit(site / MODULE / "__init__.py")
    assert len(discover(locked).problems) == 2


def test_a_module_of_the_same_name_earlier_on_the_path_is_noticed(
    locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / f"{MODULE}.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(shadow))
    assert "outside of its distribution" in only_problem(discover(locked))


def test_an_upgrade_in_place_needs_a_new_process(locked: Path, site: Path, source: Path, tmp_path: Path) -> None:
    discover(locked).factories()
    changed = Path(shutil.copytree(source, tmp_path / "changed"))
    edit(changed / "src" / MODULE / "__init__.py")
    shutil.rmtree(site)
    install(changed, "--target", str(site))
    importlib.invalidate_caches()
    with pytest.raises(PolicyError, match="restart the process"):
        write_lock(locked, discover(locked))


def test_one_wheel_has_one_digest_however_it_was_installed(
    locked: Path, site: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    install(source, "--target", str(other), "--no-compile")
    for name in ("INSTALLER", "direct_url.json"):
        next(other.glob("*.dist-info")).joinpath(name).unlink()
    lines = [
        line
        for line in record_of(other).read_text().splitlines()
        if "INSTALLER" not in line and "direct_url" not in line
    ]
    record_of(other).write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(other))
    importlib.invalidate_caches()
    assert discover(locked).problems == ()


class TestWriteLock:
    def test_keeps_what_is_not_named(self, locked: Path) -> None:
        before = locked.read_text()
        write_lock(locked, discover(locked), [])
        assert locked.read_text() == before

    def test_without_names_becomes_what_is_installed(self, locked: Path, site: Path) -> None:
        entry = locked.read_text().partition("plugins:\n")[2]
        locked.write_text(locked.read_text() + entry.replace(f"  {NAME}:", "  acme-other:"))
        locked.write_text(locked.read_text().replace("version: 0.1.0", "version: 0.2.0"))
        write_lock(locked, discover(locked))
        assert [(pin.name, pin.version) for pin in read_lock(locked).pins.values()] == [(NAME, "0.1.0")]

    def test_drops_what_it_is_told_to(self, locked: Path) -> None:
        write_lock(locked, discover(locked), [], drop=[NAME])
        assert dict(read_lock(locked).pins) == {}

    def test_grants_what_it_is_told_to_without_importing(self, site: Path, lock: Path) -> None:
        write_lock(lock, discover(lock), grants={NAME: HOOKS})
        assert MODULE not in sys.modules
        assert read_lock(lock).pins[NAME].hooks == HOOKS

    @pytest.mark.parametrize("hook", ["aigov_detects", "aigov_start"])
    def test_grants_hooks_only(self, site: Path, lock: Path, hook: str) -> None:
        with pytest.raises(PolicyError, match=f"`{hook}` is not a hook"):
            write_lock(lock, discover(lock), grants={NAME: [hook]})
        assert not lock.exists()

    def test_refuses_what_is_not_installed(self, site: Path, lock: Path) -> None:
        with pytest.raises(PolicyError, match="`acme-none` is not installed"):
            write_lock(lock, discover(lock), ["acme-none"])

    def test_refuses_what_is_not_whole_and_leaves_the_lock(self, locked: Path, site: Path) -> None:
        before = locked.read_text()
        edit(site / MODULE / "__init__.py")
        with pytest.raises(PolicyError, match="changed file"):
            write_lock(locked, discover(locked))
        assert locked.read_text() == before

    def test_leaves_nothing_beside_the_lock(self, locked: Path) -> None:
        assert [path.name for path in locked.parent.iterdir()] == ["plugins.lock"]


class TestEditable:
    @pytest.fixture
    def linked(self, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None) -> Path:
        """The source folder of an editable installation that is first on the path."""
        folder = Path(shutil.copytree(source, tmp_path / "editable"))
        install(folder, "--prefix", str(tmp_path / "prefix"), "-e")
        (record,) = (tmp_path / "prefix").rglob("RECORD")
        for path in (folder / "src", record.parents[1]):
            monkeypatch.syspath_prepend(str(path))
        importlib.invalidate_caches()
        return folder

    def test_is_locked_only_when_asked_for(self, linked: Path, lock: Path) -> None:
        with pytest.raises(PolicyError, match="follows a source folder"):
            write_lock(lock, discover(lock))
        assert write_lock(lock, discover(lock), editable=True).pins[NAME].editable

    def test_is_loaded_when_its_sources_are_those_that_were_locked(self, linked: Path, lock: Path) -> None:
        write_lock(lock, discover(lock), editable=True)
        assert NAME in discover(lock).factories()

    def test_edited_sources_are_noticed(self, linked: Path, lock: Path) -> None:
        write_lock(lock, discover(lock), editable=True)
        sys.modules.pop(MODULE)
        edit(linked / "src" / MODULE / "__init__.py")
        assert "its digest differs" in only_problem(discover(lock))

    def test_does_not_pass_for_a_wheel(self, linked: Path, lock: Path) -> None:
        write_lock(lock, discover(lock), editable=True)
        sys.modules.pop(MODULE)
        lock.write_text("\n".join(line for line in lock.read_text().splitlines() if "editable" not in line))
        assert "`editable: true`" in only_problem(discover(lock))

    def test_a_wheel_does_not_pass_for_it(self, locked: Path) -> None:
        locked.write_text(locked.read_text() + "    editable: true\n")
        assert "not installed from a source folder" in only_problem(discover(locked))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs, by hand, a distribution `acme-broken` with one module of the given source."""
    site = tmp_path / "broken"

    def write(source: str) -> None:
        info = site / "acme_broken-1.dist-info"
        info.mkdir(parents=True)
        (site / "acme_broken.py").write_text(source)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-broken\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[aigov.plugins]\nacme-broken = acme_broken:plugin\n")
        rows = []
        for path in (site / "acme_broken.py", info / "METADATA", info / "entry_points.txt"):
            value = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")
            rows.append(f"{path.relative_to(site).as_posix()},sha256={value},")
        (info / "RECORD").write_text("\n".join(rows))
        monkeypatch.syspath_prepend(str(site))
        importlib.invalidate_caches()

    yield write
    sys.modules.pop("acme_broken", None)


PLUGIN = """
import msgspec
from aigov.hookspecs import hookimpl
class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass
class Plugin:
    @hookimpl
    def aigov_settings(self): return Settings
    @hookimpl
    def aigov_start(self, settings, context): return self
    @hookimpl
    def aigov_observe(self, record): pass
plugin = Plugin()
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import nothing_of_that_name", "raised `ModuleNotFoundError` while it was imported"),
        ("raise SystemExit('canary')", "ended its thread while it was imported"),
        ("raise ValueError('canary')", "raised `ValueError` while it was imported"),
        ("def plugin(:", "raised `SyntaxError`"),
        ("", "raised `AttributeError`"),
        ("plugin = None", "is no msgspec struct"),
        (PLUGIN.replace("frozen=True, ", ""), "frozen=True"),
        (PLUGIN.replace(": pass\nclass", ":\n    limit: int\nclass"), "has no default for `limit`"),
        (PLUGIN.replace("return Settings", "1 / 0"), "raised `ZeroDivisionError`"),
        (PLUGIN.replace("aigov_observe", "aigov_observes"), "did you mean `aigov_observe`"),
        (PLUGIN.replace("return self", "1 / 0"), "while it was started with its default settings"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_a_policy_error(
    broken: Callable[[str], None], lock: Path, source: str, says: str
) -> None:
    broken(source)
    with pytest.raises(PolicyError) as caught:
        write_lock(lock, discover(lock), ["acme-broken"])
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)
    assert not lock.exists()


def test_a_single_module_can_be_locked_and_loaded(broken: Callable[[str], None], lock: Path) -> None:
    broken(PLUGIN)
    write_lock(lock, discover(lock), ["acme-broken"])
    assert list(discover(lock).factories()) == ["acme-broken"]


def test_a_locked_hook_that_is_not_granted_stops_the_policy(broken: Callable[[str], None], lock: Path) -> None:
    broken(PLUGIN)
    write_lock(lock, discover(lock), ["acme-broken"], grants={"acme-broken": ["aigov_judge"]})
    found = discover(lock)
    with pytest.raises(PolicyError, match="`acme-broken` answers `aigov_observe`, which it was not granted") as caught:
        assemble({}, found.factories(), lambda name, factory: factory, pins=found.pins)
    assert caught.value.problems[0].where == found.pins["acme-broken"].where


def test_settings_of_a_whole_struct_are_fine() -> None:
    class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        limit: int = 1

    assert check_settings(Settings) == ""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new("acme-sample-rule", tmp_path_factory.mktemp("new"))


class TestNew:
    """`aigov plugins new`: what it writes works as it stands."""

    def run(self, made: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MYPYPATH": f"{ROOT}:{made / 'src'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=made,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment,
        )

    def test_passes_its_own_test(self, made: Path) -> None:
        done = self.run(made, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:asyncio")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 passed" in done.stdout

    @pytest.mark.parametrize("arguments", [["check", "--no-cache", "."], ["format", "--no-cache", "--check", "."]])
    def test_is_written_in_good_style(self, made: Path, arguments: list[str]) -> None:
        done = self.run(made, "ruff", *arguments)
        assert done.returncode == 0, done.stdout

    def test_is_typed(self, made: Path, tmp_path: Path) -> None:
        done = self.run(made, "mypy", "--cache-dir", str(tmp_path), "--follow-imports", "silent", "src", "tests")
        assert done.returncode == 0, done.stdout

    def test_is_installed_found_and_locked(
        self, made: Path, tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = Path(shutil.copytree(made, tmp_path / "copy"))
        install(copy, "--target", str(tmp_path / "site"))
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        importlib.invalidate_caches()
        write_lock(lock, discover(lock), ["acme-sample-rule"])
        found = discover(lock)
        factory: Any = found.factories()["acme-sample-rule"]
        section = Section(factory.aigov_settings()(), "", lambda *path: Location("organisation.yaml"))
        context = Context(folder=tmp_path, key=lambda label: b"")
        guards = assemble(
            {}, found.factories(), lambda name, factory: factory.aigov_start(section, context), pins=found.pins
        )
        assert guards.names == ("acme-sample-rule",)
        sys.modules.pop("acme_sample_rule")

    @pytest.mark.parametrize(
        "name",
        ["", "Acme", "acme_x", "a b", "../acme", "acme-", "1acme", "json", "class", "privacy", "aigov", "a" * 51],
    )
    def test_refuses_a_name_that_cannot_be_a_plugins(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(PolicyError):
            new(name, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_overwrites_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "acme-there").mkdir()
        (tmp_path / "acme-there" / "file").write_text("mine")
        with pytest.raises(PolicyError, match="there already"):
            new("acme-there", tmp_path)
        assert [path.name for path in (tmp_path / "acme-there").iterdir()] == ["file"]

    def test_says_when_the_folder_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(PolicyError, match="cannot be written"):
            new("acme-rule", tmp_path / "file")


@pytest.mark.parametrize("name", ["acme-codenames", "acme-hours", "acme-counts", "acme-names"])
def test_an_example_is_a_package_that_pip_takes(name: str) -> None:
    folder = ROOT / "plugins" / name
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    module = name.replace("-", "_")
    assert project["name"] == name
    assert project["entry-points"]["aigov.plugins"] == {name: f"{module}:plugin"}
    assert (folder / "src" / module / "__init__.py").is_file()
    assert (folder / "README.md").read_text().startswith(f"# {name}\n")
    assert json.dumps(project["dependencies"]).count("aigov-engine") == 1

"""`aigov plugins`: what is installed and locked; a new one to begin with."""

from __future__ import annotations

import json

from aigov.cli.exits import Exit


def test_a_lock_that_names_what_is_not_installed_fails_the_check(aigov, here) -> None:
    lock = here / "policies" / "plugins.lock"
    lock.write_text(
        "aigov: 1\nplugins:\n  ghost:\n    distribution: ghost-plugin\n    version: 1.0.0\n"
        f"    digest: sha256:{'0' * 64}\n    hooks: [aigov_judge]\n"
    )
    ran = aigov("plugins", "check", "--json")
    told = json.loads(ran.out)
    assert ran.code == Exit.NO
    assert (told["ok"], told["locked"]) == (False, ["ghost"])
    listed = [json.loads(line) for line in aigov("plugins", "list", "--json").out.splitlines()]
    assert [one["state"] for one in listed if one["name"] == "ghost"] == ["fail"]


def test_an_empty_lock_is_as_it_was_locked(aigov, here) -> None:
    assert aigov("plugins", "check").code == Exit.OK


def test_a_lock_that_cannot_be_read_is_said_with_its_place(aigov, here) -> None:
    (here / "policies" / "plugins.lock").write_text("aigov: 1\nplugins: [\n")
    ran = aigov("plugins", "list")
    assert ran.code == Exit.CANNOT
    assert "plugins.lock:" in ran.err


def test_locking_what_is_not_installed_is_refused(aigov, here) -> None:
    before = (here / "policies" / "plugins.lock").read_bytes()
    assert aigov("plugins", "lock", "ghost").code == Exit.CANNOT
    assert (here / "policies" / "plugins.lock").read_bytes() == before


def test_a_new_plugin_is_written_once(aigov, here) -> None:
    ran = aigov("plugins", "new", "acme-colours")
    assert ran.code == Exit.OK
    assert (here / "plugins" / "acme-colours" / "pyproject.toml").is_file()
    assert list((here / "plugins" / "acme-colours" / "tests").glob("test_*.py"))
    assert aigov("plugins", "new", "acme-colours").code == Exit.CANNOT


def test_a_name_that_cannot_be_a_plugins_is_refused(aigov, here) -> None:
    assert aigov("plugins", "new", "Not A Name").code == Exit.CANNOT
    assert not (here / "plugins").exists()

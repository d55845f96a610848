"""`aigov init`: everything that is missing, nothing that is there."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess

import pytest

from aigov import Governor, Principal, ReviewPending
from aigov.cli.exits import Exit
from aigov.cli.starter import starter_folder


def refund(amount: float) -> str:
    return f"{amount:.2f}"


def files(folder):
    """Every file under `folder` and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_writes_the_starter_policy_whole(aigov, tmp_path) -> None:
    assert aigov("init", tmp_path / "new" / "deep").code == Exit.OK
    assert files(tmp_path / "new" / "deep" / "policies") == files(starter_folder())


def test_the_key_is_for_its_owner_alone_and_ignored_by_git(aigov, tmp_path) -> None:
    aigov("init", tmp_path)
    assert stat.S_IMODE(os.stat(tmp_path / "keys" / "root.key").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "keys").st_mode) == 0o700
    assert "keys/" in (tmp_path / ".gitignore").read_text().splitlines()


def test_a_second_time_changes_nothing(aigov, tmp_path) -> None:
    aigov("init", tmp_path)
    before = files(tmp_path)
    ran = aigov("init", tmp_path, "--json")
    assert ran.code == Exit.OK
    assert files(tmp_path) == before
    assert {json.loads(line)["done"] for line in ran.out.splitlines()} == {"kept"}


def test_what_is_there_stays_and_what_is_missing_comes(aigov, tmp_path) -> None:
    aigov("init", tmp_path)
    (tmp_path / "policies" / "organisation.yaml").write_text("# mine\n")
    (tmp_path / ".gitignore").write_text("*.pyc")
    (tmp_path / "policies" / "access" / "policy.csv").unlink()
    ran = aigov("init", tmp_path, "--json")
    done = {line["path"]: line["done"] for line in map(json.loads, ran.out.splitlines())}
    assert (tmp_path / "policies" / "organisation.yaml").read_text() == "# mine\n"
    ignored = (tmp_path / ".gitignore").read_text().splitlines()
    assert ignored[:2] == ["*.pyc", "keys/"]
    assert {"/audit/", "/review/tickets.db*", "/vault/values.db*"} <= set(ignored)
    assert {path for path, how in done.items() if how == "added"} == {".gitignore", "policies/access/policy.csv"}


def test_what_a_folder_ignores_already_is_not_said_twice(aigov, tmp_path) -> None:
    (tmp_path / ".gitignore").write_text("/keys\naudit/\nreview\n")
    aigov("init", tmp_path)
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines == ["/keys", "audit/", "review", "/audit.*", "/vault/values.db*"]


@pytest.mark.skipif(not shutil.which("git"), reason="no git here")
def test_what_a_running_program_writes_is_ignored_by_git(aigov, here) -> None:
    """Tickets, the record and the vault lie beside the policy."""
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("privacy:", "privacy:\n  vault: {}", 1))
    before = files(here)
    with (
        Governor.from_policies("policies", audit="audit") as gov,
        gov.acting_as(Principal(id="dana", roles=("support-agent",), tenant="retail")),
        gov.session("one"),
    ):
        gov.call(str.upper, "jane@example.com", action="chat", resource="model:gpt-4o-mini")
        with pytest.raises(ReviewPending):
            gov.call(refund, amount=900.0, action="tool:refund", resource="tool:refund")
    aigov("audit", "stats")
    made = sorted(set(files(here)) - set(before))
    assert {name.partition("/")[0] for name in made} >= {"audit", "audit.index", "review", "vault"}
    subprocess.run(["git", "init", "-q"], check=True, cwd=here)
    seen = subprocess.run(["git", "check-ignore", *made], cwd=here, capture_output=True, text=True, check=False)
    assert sorted(seen.stdout.splitlines()) == made


def test_a_folder_with_a_layer_gets_no_second_one(aigov, tmp_path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "mine.yaml").write_text("aigov: 1\n")
    ran = aigov("init", tmp_path)
    assert "mine.yaml" in ran.out
    assert [path.name for path in (tmp_path / "policies").glob("*.yaml")] == ["mine.yaml"]


def test_a_dangling_link_is_not_written_through(aigov, tmp_path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "organisation.yaml").symlink_to(tmp_path / "elsewhere")
    aigov("init", tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_written_exits_3(aigov, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    ran = aigov("init", tmp_path / "file")
    assert ran.code == Exit.CANNOT
    assert ran.err.startswith("aigov: cannot write ")


def test_no_temporary_file_stays(aigov, tmp_path) -> None:
    aigov("init", tmp_path)
    assert not [name for name in files(tmp_path) if os.path.basename(name).startswith(".") and name != ".gitignore"]

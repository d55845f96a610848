"""A folder into a draft: which files count, what the digest covers, and what cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aigov.policy.draft import Draft
from aigov.policy.source import MAX_BYTES, digest, files, read

Problems = Callable[[Callable[[], object]], list[str]]
Policy = Callable[..., Path]


def test_what_is_read_has_its_header_and_digest(policy: Policy) -> None:
    folder = policy("")
    draft = read(folder)
    assert (draft.layer, draft.name, draft.file) == ("organisation", "acme", str(folder / "organisation.yaml"))
    assert draft.digest == digest(folder)


def test_a_folder_may_be_given_as_text(policy: Policy) -> None:
    assert read(str(policy(""))).name == "acme"


def test_a_missing_folder_is_an_error(tmp_path: Path, problems_of: Problems) -> None:
    (told,) = problems_of(lambda: read(tmp_path / "nowhere"))
    assert "the policy folder is missing" in told


def test_a_file_in_place_of_the_folder_is_an_error(policy: Policy, problems_of: Problems) -> None:
    (told,) = problems_of(lambda: read(policy("") / "organisation.yaml"))
    assert "is not a folder" in told


def test_an_empty_folder_is_an_error(tmp_path: Path, problems_of: Problems) -> None:
    (told,) = problems_of(lambda: read(tmp_path))
    assert "no `*.yaml` file" in told
    assert "aigov init" in told


def test_a_layer_below_the_folder_is_no_layer(tmp_path: Path, problems_of: Problems) -> None:
    (tmp_path / "access").mkdir()
    (tmp_path / "access" / "organisation.yaml").write_text("aigov: 1\n")
    assert "no `*.yaml` file" in problems_of(lambda: read(tmp_path))[0]


@pytest.mark.parametrize("name", ["team.yaml", "team.yml", "TEAM.YAML"])
def test_a_second_layer_is_an_error_that_names_both(policy: Policy, problems_of: Problems, name: str) -> None:
    folder = policy("")
    (folder / name).write_bytes((folder / "organisation.yaml").read_bytes())
    (told,) = problems_of(lambda: read(folder))
    assert "a second layer" in told
    assert name in told


@pytest.mark.parametrize("name", [".organisation.yaml.swp", "organisation.yaml~", "#organisation.yaml#", ".x.yaml"])
def test_what_an_editor_leaves_is_neither_layer_nor_policy(policy: Policy, name: str) -> None:
    folder = policy("")
    before = digest(folder)
    (folder / name).write_text("aigov: 1\n")
    assert read(folder).digest == before


def test_an_unreadable_layer_is_an_error(policy: Policy, problems_of: Problems) -> None:
    folder = policy("")
    (folder / "organisation.yaml").chmod(0)
    if os.access(folder / "organisation.yaml", os.R_OK):
        pytest.skip("this user reads everything")
    assert "may not be read" in problems_of(lambda: read(folder))[0]


def test_a_dangling_link_is_an_error(tmp_path: Path, problems_of: Problems) -> None:
    (tmp_path / "organisation.yaml").symlink_to(tmp_path / "gone.yaml")
    assert "is missing" in problems_of(lambda: read(tmp_path))[0]


def test_a_layer_that_is_a_folder_is_an_error(tmp_path: Path, problems_of: Problems) -> None:
    (tmp_path / "organisation.yaml").mkdir()
    assert "not a regular file" in problems_of(lambda: read(tmp_path))[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_does_not_hold_the_reader(tmp_path: Path, problems_of: Problems) -> None:
    os.mkfifo(tmp_path / "organisation.yaml")
    assert "not a regular file" in problems_of(lambda: read(tmp_path))[0]


def test_a_linked_layer_is_read(policy: Policy, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "organisation.yaml").symlink_to(policy("") / "organisation.yaml")
    assert read(mounted).name == "acme"


def test_a_layer_over_the_limit_is_an_error(policy: Policy, problems_of: Problems) -> None:
    folder = policy("#" * MAX_BYTES)
    assert f"over {MAX_BYTES} bytes" in problems_of(lambda: read(folder))[0]


@pytest.mark.parametrize("cut", range(2, 72, 5))
def test_a_file_cut_off_inside_a_flow_map_is_an_error(policy: Policy, problems_of: Problems, cut: int) -> None:
    whole = "rules: [{id: refund-limit, when: 'action == \"x\"', verdict: deny, reason: a.b}]\n"
    assert problems_of(lambda: read(policy(whole[:-cut])))


class TestDigest:
    def fill(self, folder: Path) -> Path:
        (folder / "access").mkdir()
        (folder / "access" / "policy.csv").write_text("p, a, b, c, d\n")
        (folder / "plugins.lock").write_text("")
        return folder

    def test_it_covers_the_content_of_every_file(self, policy: Policy) -> None:
        folder = self.fill(policy(""))
        before = digest(folder)
        for name in ("organisation.yaml", "access/policy.csv", "plugins.lock"):
            path = folder / name
            kept = path.read_bytes()
            path.write_bytes(kept + b"#")
            assert digest(folder) != before
            path.write_bytes(kept)
        assert digest(folder) == before

    def test_it_covers_names(self, policy: Policy) -> None:
        folder = self.fill(policy(""))
        before = digest(folder)
        (folder / "access" / "policy.csv").rename(folder / "access" / "policy.txt")
        assert digest(folder) != before

    def test_it_tells_a_file_from_a_longer_one_and_the_next_name(self, tmp_path: Path) -> None:
        first, second = tmp_path / "1", tmp_path / "2"
        for folder, names in ((first, {"a": "b", "c": ""}), (second, {"a": "", "bc": ""})):
            folder.mkdir()
            for name, text in names.items():
                (folder / name).write_text(text)
        assert digest(first) != digest(second)

    def test_it_does_not_depend_on_the_place_of_the_folder(self, policy: Policy, tmp_path: Path) -> None:
        folder = self.fill(policy(""))
        before = digest(folder)
        assert digest(folder.rename(tmp_path / "moved")) == before

    @pytest.mark.parametrize("name", ["cases/one.yaml", "examples/two.yaml", "lockdown", ".git/HEAD"])
    def test_it_leaves_out_what_is_no_policy(self, policy: Policy, name: str) -> None:
        folder = self.fill(policy(""))
        before = digest(folder)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
        assert digest(folder) == before

    @pytest.mark.parametrize("name", ["access/cases/one.csv", "access/lockdown"])
    def test_it_leaves_them_out_at_the_top_only(self, policy: Policy, name: str) -> None:
        folder = self.fill(policy(""))
        before = digest(folder)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
        assert digest(folder) != before

    def test_it_follows_links_to_what_is_really_read(self, policy: Policy, tmp_path: Path) -> None:
        folder = policy("")
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "policy.csv").write_text("1")
        (folder / "access").symlink_to(outside)
        before = digest(folder)
        (outside / "policy.csv").write_text("2")
        assert files(folder) == ("access/policy.csv", "organisation.yaml")
        assert digest(folder) != before

    def test_a_loop_of_links_is_an_error(self, policy: Policy, problems_of: Problems) -> None:
        folder = policy("")
        (folder / "again").symlink_to(folder)
        assert "nested over" in problems_of(lambda: digest(folder))[0]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
    def test_a_file_that_is_not_regular_is_an_error(self, policy: Policy, problems_of: Problems) -> None:
        folder = policy("")
        os.mkfifo(folder / "pipe")
        assert "not a regular file" in problems_of(lambda: digest(folder))[0]


def test_a_draft_shows_nothing_of_what_it_holds(draft: Callable[..., Draft]) -> None:
    assert "canary" not in repr(draft("review: {expires: canary}\n"))

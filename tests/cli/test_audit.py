"""`aigov audit`: exit codes of verification, and reading records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from aigov import Denied, Governor, Principal
from aigov.cli import show
from aigov.cli.exits import Exit

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")


def echo(text: str) -> str:
    return text


@pytest.fixture
def log(here):
    """A sealed log with one call that was made and one that was refused."""
    with Governor.from_policies("policies", audit="audit") as gov:
        ask = gov.guard(action="chat", resource="model:gpt-4o-mini")(echo)
        with gov.acting_as(DANA):
            ask("write to jane@example.com")
        with pytest.raises(Denied):
            ask("nobody asks")
    return here / "audit"


def told(ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def segment(log):
    return next(log.rglob("*.jsonl"))


def test_a_whole_log_exits_0_with_and_without_the_key(aigov, log) -> None:
    ran = aigov("audit", "verify", "--json")
    assert ran.code == Exit.OK
    assert (told(ran)[0]["word"], told(ran)[0]["keyed"], told(ran)[0]["sealed"]) == ("whole", True, True)
    (log.parent / "keys" / "root.key").unlink()
    ran = aigov("audit", "verify", log, "--json")
    assert (ran.code, told(ran)[0]["keyed"]) == (Exit.OK, False)


def test_what_was_accepted_before_and_cannot_be_read_is_said(aigov, log, home) -> None:
    assert aigov("audit", "verify").code == Exit.OK
    (kept,) = home.iterdir()
    accepted = kept.read_bytes()
    kept.write_bytes(b"nonsense")
    ran = aigov("audit", "verify")
    assert (ran.code, "kept from before" in ran.out) == (Exit.CANNOT, True)
    assert kept.read_bytes() == b"nonsense"
    kept.unlink()
    kept.mkdir()
    ran = aigov("audit", "verify")
    assert (ran.code, ran.out) == (Exit.CANNOT, "")
    assert ran.err.startswith(f"aigov: cannot read what was accepted before, in `{home}`")
    kept.rmdir()
    kept.write_bytes(accepted)
    assert aigov("audit", "verify").code == Exit.OK


def test_where_nothing_can_be_kept_a_log_is_judged_all_the_same(aigov, log, home) -> None:
    home.write_text("in the way")
    assert aigov("audit", "verify").code == Exit.OK
    assert home.read_text() == "in the way"


def test_verifying_a_log_that_takes_long_shows_how_far_it_is(aigov, log, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(show, "PATIENCE_S", -1.0)
    ran = aigov("audit", "verify")
    assert ran.code == Exit.OK
    assert "verifying" in ran.err
    assert "100 %" in ran.err


def test_a_changed_byte_exits_1(aigov, log) -> None:
    data = segment(log).read_bytes()
    segment(log).write_bytes(data.replace(b'"verdict":"deny"', b'"verdict":"allo"', 1))
    ran = aigov("audit", "verify")
    assert ran.code == 1
    assert ran.out.startswith("tampered")


def test_an_unsealed_log_exits_2(aigov, here) -> None:
    gov = Governor.from_policies("policies", audit="audit")
    with gov.acting_as(DANA):
        gov.call(echo, "hello", action="chat", resource="model:gpt-4o-mini")
    assert aigov("audit", "verify").code == 2
    gov.close()
    assert aigov("audit", "verify").code == 0


def test_a_log_that_is_not_there_exits_3(aigov, here) -> None:
    assert aigov("audit", "verify", "nowhere").code == 3


def test_a_wrong_command_line_exits_4(aigov, log) -> None:
    assert aigov("audit", "verify", "--nope").code == 4
    assert aigov("audit").code == 4
    assert aigov("audit", "tail", "-n", "0").code == 4


def test_a_named_key_that_is_not_there_is_said(aigov, log, tmp_path) -> None:
    ran = aigov("audit", "verify", "--keys", tmp_path)
    assert ran.code == Exit.CANNOT
    assert ran.err


def test_the_tail_is_the_last_records_in_order(aigov, log) -> None:
    everything = [json.loads(line) for line in segment(log).read_text().splitlines()]
    assert told(aigov("audit", "tail", "--json", "-n", "3")) == everything[-3:]
    assert told(aigov("audit", "tail", "--json", "-n", "1000")) == everything
    assert "call.denied" in aigov("audit", "tail").out


def test_the_tail_goes_on_with_what_is_written(log) -> None:
    command = [sys.executable, "-m", "aigov.cli", "audit", "tail", "-f", "-n", "1", "--json"]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(following.stdout.readline())["kind"] == "log.sealed"
        with Governor.from_policies("policies", audit="audit"):
            kinds = [json.loads(following.stdout.readline())["kind"] for _ in range(2)]
        assert kinds == ["writer.start", "policy.activated"]
    finally:
        following.kill()
        following.communicate()


def test_a_call_is_shown_by_its_id(aigov, log) -> None:
    intent = next(one for one in told(aigov("audit", "tail", "--json")) if one["kind"] == "call.intent")
    ran = aigov("audit", "show", intent["call"], "--json")
    assert [one["kind"] for one in told(ran)] == ["call.intent", "call.outcome"]
    assert "call.outcome" in aigov("audit", "show", intent["call"]).out


def test_an_unknown_id_is_no(aigov, log) -> None:
    assert aigov("audit", "show", "nothing").code == Exit.NO


@pytest.mark.parametrize("command", [("tail",), ("show", "x")])
def test_reading_what_is_no_log_exits_3(aigov, here, command: tuple[str, ...]) -> None:
    ran = aigov("audit", *command, "--audit", "nowhere")
    assert ran.code == Exit.CANNOT
    assert ran.err.startswith("aigov: ")


def test_a_damaged_record_is_one_clear_line(aigov, log) -> None:
    segment(log).write_bytes(b"not a record\n")
    ran = aigov("audit", "tail")
    assert ran.code == Exit.CANNOT
    assert "aigov audit verify" in ran.err


def test_search_finds_by_every_option_and_says_no_with_1(aigov, log) -> None:
    intent = told(aigov("audit", "search", "--action", "chat", "--kind", "call.intent", "--json"))[0]
    for given in (
        ("--kind", "call.*"),
        ("--verdict", "deny"),
        ("--outcome", "released"),
        ("--reason", "identity.missing"),
        ("--entity", "EMAIL_ADDRESS"),
        ("--action", "chat"),
        ("--resource", "model:*"),
        ("--role", "support-agent"),
        ("--tenant", "retail"),
        ("--actor", intent["actor"]["ref"]),
        ("--policy", intent["policy"]),
        ("--call", intent["call"]),
        ("--since", "1h"),
        ("--since", "2020-01-31", "--kind", "log.sealed"),
    ):
        ran = aigov("audit", "search", *given, "--json")
        assert ran.code == Exit.OK, given
        assert ran.out == aigov("audit", "search", *given, "--scan", "--json").out
    for given in (
        ("--tenant", "elsewhere"),
        ("--until", "2020-01-31"),
        ("--actor", "c" * 32),
        ("--role", "nobody"),
        ("--action", "none"),
        ("--resource", "none"),
        ("--reason", "none"),
        ("--entity", "NONE"),
        ("--policy", "0" * 64),
        ("--plugin", "none"),
        ("--call", "none"),
        ("--ticket", "none"),
    ):
        assert aigov("audit", "search", *given).code == Exit.NO, given


def test_search_by_policy_takes_how_a_digest_begins(aigov, log) -> None:
    policy = told(aigov("audit", "search", "--kind", "policy.activated", "--json"))[0]["policy"]
    kinds = {record["kind"] for record in told(aigov("audit", "search", "--policy", policy[:8], "--json"))}
    assert kinds >= {"policy.activated", "call.intent", "call.outcome"}


def test_a_time_that_is_none_and_a_format_that_is_none_exit_4(aigov, log) -> None:
    assert aigov("audit", "search", "--since", "yesterday").code == Exit.USAGE
    assert aigov("audit", "export", "--format", "xml").code == Exit.USAGE


@pytest.mark.parametrize("when", ["999999w", "1970-01-01", "1969-12-31T23:59:59-10:00", "0001-01-01T00:00:00+23:59"])
def test_a_time_before_every_record_bounds_nothing(aigov, log, when: str) -> None:
    every = aigov("audit", "search", "--json").out
    assert aigov("audit", "search", "--since", when, "--json").out == every
    assert aigov("audit", "search", "--until", when).code == Exit.NO


@pytest.mark.parametrize("option", ["since", "until", "person", "actor", "tenant", "policy", "kind", "call", "ticket"])
def test_an_option_that_is_given_nothing_is_not_passed_over(aigov, log, option: str) -> None:
    """As a variable of a shell that was never set leaves it: everybody's records are not the answer."""
    for command in ("search", "export") if option != "ticket" else ("search",):
        ran = aigov("audit", command, f"--{option}", "")
        assert (ran.code, ran.out, f"--{option}" in ran.err) == (Exit.USAGE, "", True)
    assert aigov("audit", "show", "").code == Exit.USAGE


def test_a_record_that_was_changed_is_not_called_unknown(aigov, log) -> None:
    intent = told(aigov("audit", "search", "--kind", "call.intent", "--json"))[0]
    segment(log).write_bytes(segment(log).read_bytes().replace(b'"kind":"call.intent"', b'"kind":"call.intend"'))
    for given in (("show", intent["id"]), ("show", intent["id"], "--json"), ("search", "--call", intent["id"])):
        ran = aigov("audit", *given)
        assert (ran.code, "aigov audit verify" in ran.err, "no such" in ran.out) == (Exit.CANNOT, True, False)


@pytest.mark.parametrize(
    ("option", "name", "near"),
    [
        ("--verdict", "dney", "`deny`"),
        ("--outcome", "witheld", "`withheld`"),
        ("--kind", "call.intend", "`call.intent`"),
    ],
)
def test_a_misspelt_name_is_no_empty_answer(aigov, log, option: str, name: str, near: str) -> None:
    ran = aigov("audit", "search", option, name)
    assert ran.code == Exit.USAGE
    assert f"did you mean {near}?" in ran.err


@pytest.mark.parametrize("name", ["nowhere", "policies/organisation.yaml"])
def test_verifying_what_is_no_folder_is_one_line(aigov, here, name: str) -> None:
    ran = aigov("audit", "verify", name)
    assert (ran.code, ran.out) == (Exit.CANNOT, "")
    assert ran.err == f"aigov: cannot read the record in `{name}`: no such folder\n"


def test_gaps_and_stats(aigov, log) -> None:
    assert aigov("audit", "gaps").code == Exit.OK
    stats = told(aigov("audit", "stats", "--json"))[0]
    assert stats["counts"]["verdict"]["deny"] == 1
    assert "records" in aigov("audit", "stats").out


def test_gaps_exit_1_where_a_call_has_no_end(aigov, log) -> None:
    text = segment(log).read_text()
    lines = [line for line in text.splitlines(keepends=True) if '"kind":"call.outcome"' not in line]
    segment(log).write_text("".join(lines))
    ran = aigov("audit", "gaps", "--json")
    assert ran.code == Exit.NO
    assert {gap["what"] for gap in told(ran)} == {"number", "writer", "open"}


def test_an_export_is_whole_or_not_there(aigov, log, tmp_path) -> None:
    target = tmp_path / "out.ocsf"
    assert aigov("audit", "export", "--format", "ocsf", "--kind", "call.*", "-o", target).code == Exit.OK
    events = [json.loads(line) for line in target.read_text().splitlines()]
    assert [event["class_uid"] for event in events] == [6003] * 3
    assert target.stat().st_mode & 0o777 == 0o600
    assert aigov("audit", "export", "--audit", tmp_path / "none", "-o", tmp_path / "other").code == Exit.CANNOT
    assert not (tmp_path / "other").exists()
    assert [path.name for path in tmp_path.glob(".*.tmp")] == []


def test_an_export_takes_the_place_of_nothing_but_a_file_outside_of_the_record(aigov, log, tmp_path) -> None:
    before = {path: path.read_bytes() for path in log.rglob("*") if path.is_file()}
    for name in ("seg/00000000.jsonl", "export.jsonl", "../audit/checkpoint"):
        assert aigov("audit", "export", "-o", log / name).code == Exit.USAGE
    assert {path: path.read_bytes() for path in log.rglob("*") if path.is_file()} == before
    for place in (tmp_path, tmp_path / "nowhere" / "out"):
        ran = aigov("audit", "export", "-o", place)
        assert (ran.code, f"cannot write `{place}`" in ran.err) == (Exit.CANNOT, True)
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        assert aigov("audit", "export", "-o", tmp_path / "pipe").code == Exit.OK
        assert read.result(30).count(b"\n") == len(segment(log).read_bytes().splitlines())
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("form", ["jsonl", "ocsf"])
def test_a_full_disk_under_an_export_is_no_fault_of_the_record(aigov, log, form: str) -> None:
    ran = aigov("audit", "export", "--format", form, "-o", "/dev/full")
    assert (ran.code, ran.err.startswith("aigov: cannot write `/dev/full`: ")) == (Exit.CANNOT, True)
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "aigov.cli", "audit", "export", "--format", form]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, cwd=log.parent, timeout=60)
    assert (done.returncode, done.stderr.startswith(b"aigov: cannot write")) == (Exit.CANNOT, True), done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_records_are_printed_as_they_stand_in_the_log_wherever_that_is(here, encoding: str) -> None:
    with Governor.from_policies("policies", audit="audit") as gov, pytest.raises(Denied):
        gov.call(echo, "hello", principal=DANA, action="chät", resource="model:gpt-4o-mini")
    lines = segment(here / "audit").read_bytes().splitlines()
    command = [sys.executable, "-m", "aigov.cli", "audit", "tail", "-n", "100", "--json"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, cwd=here, env=environment, timeout=60)
    assert (done.returncode, done.stdout.splitlines()) == (Exit.OK, lines)


def test_an_index_is_a_file_of_that_name_outside_of_the_record(aigov, log, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("not an index")
    before = segment(log).read_bytes()
    for command in (("search",), ("stats",), ("show", "x"), ("export",)):
        for place in (segment(log), log / "x.index", tmp_path / "notes.txt"):
            ran = aigov("audit", *command, "--index", place)
            assert (ran.code, "--index" in ran.err) == (Exit.USAGE, True)
    assert ((tmp_path / "notes.txt").read_text(), segment(log).read_bytes()) == ("not an index", before)
    assert aigov("audit", "search", "--index", tmp_path / "other.index").code == Exit.OK


def test_what_lies_beside_the_record_is_found_from_inside_of_it(aigov, log, monkeypatch) -> None:
    before = sorted(path.name for path in log.rglob("*"))
    vkey = aigov("audit", "init", log).out
    monkeypatch.chdir(log / "seg")
    assert told(aigov("audit", "verify", "..", "--json"))[0]["keyed"]
    assert aigov("audit", "search", "--audit", "..", "--person", "dana").code == Exit.OK
    assert aigov("audit", "init", "..").out == vkey
    assert sorted(path.name for path in log.rglob("*")) == before
    assert (log.parent / "audit.index").exists()


def test_an_export_to_stdout_is_json_lines(aigov, log) -> None:
    ran = aigov(
        "audit", "export", "--call", told(aigov("audit", "search", "--outcome", "released", "--json"))[0]["call"]
    )
    assert [line["record"]["kind"] for line in told(ran)] == ["call.intent", "call.outcome"]


def test_a_person_is_found_by_id_with_the_key_alone(aigov, log) -> None:
    found = told(aigov("audit", "search", "--person", "dana", "--json"))
    assert {record["kind"] for record in found} >= {"call.intent", "call.outcome"}
    assert aigov("audit", "search", "--person", "dana", "--member-of", "retail").code == Exit.OK
    assert aigov("audit", "search", "--person", "dana", "--member-of", "bank").code == Exit.NO
    assert aigov("audit", "search", "--person", "nobody-knows").code == Exit.NO
    (log.parent / "keys" / "root.key").unlink()
    assert aigov("audit", "search", "--person", "dana").code == Exit.CANNOT


def test_a_person_and_a_pseudonym_have_both_to_hold(aigov, here) -> None:
    robots = [Principal(id=name, roles=("support-agent",), tenant="retail") for name in ("robot", "other")]
    with Governor.from_policies("policies", audit="audit") as gov:
        ask = gov.guard(action="chat", resource="model:gpt-4o-mini")(echo)
        for who in (DANA, *(msgspec.structs.replace(robot, on_behalf_of=DANA) for robot in robots), robots[0]):
            with gov.acting_as(who):
                ask("good morning")
    found = told(aigov("audit", "search", "--kind", "call.intent", "--json"))
    dana, robot, other = (found[at]["actor"]["ref"] for at in range(3))
    assert found[3]["actor"]["ref"] == robot
    asked = ("--person", "dana", "--kind", "call.intent")
    for refs, calls in (((robot,), found[1:2]), ((robot, other), found[1:3]), ((dana,), found[:3]), (("c" * 32,), [])):
        given = (*asked, *(part for ref in refs for part in ("--actor", ref)))
        for how in ((), ("--scan",)):
            assert told(aigov("audit", "search", *given, *how, "--json")) == calls, (refs, how)
        assert [line["record"] for line in told(aigov("audit", "export", *given))] == calls


def test_an_option_that_would_be_passed_over_is_refused(aigov, log) -> None:
    for command in ("search", "export"):
        assert aigov("audit", command, "--member-of", "retail").code == Exit.USAGE
    assert aigov("audit", "search", "--call", "a", "--ticket", "b").code == Exit.USAGE


@pytest.mark.parametrize("form", ["jsonl", "ocsf"])
def test_what_is_exported_proves_itself_without_the_log(aigov, log, tmp_path, form: str) -> None:
    vkey = aigov("audit", "init", log).out.strip()
    exported = told(aigov("audit", "export", "--kind", "call.*", "--format", form))
    assert len(exported) == 3
    for line in exported:
        record, proof = (
            (json.dumps(line["record"], sort_keys=True, separators=(",", ":")), line["proof"])
            if form == "jsonl"
            else (line["raw_data"], line["unmapped"]["aigov"]["proof"])
        )
        (tmp_path / "proof").write_text(proof)
        (tmp_path / "record").write_text(record)
        check = ("audit", "check-proof", tmp_path / "proof", "--record", tmp_path / "record", "--vkey", vkey)
        assert aigov(*check).code == Exit.OK
        (tmp_path / "record").write_text("{}")
        assert aigov(*check).code == Exit.NO

"""`aigov audit erase | hold | release | expire | content`: exit codes, and what becomes of holds."""

from __future__ import annotations

import base64
import errno
import json
import tempfile
import threading
from collections.abc import Iterator

import pytest

from aigov import Denied, Governor, Principal, cli
from aigov.audit.log import Log
from aigov.audit.payloads import Payloads
from aigov.audit.records import LegalHoldReleased
from aigov.cli.exits import Exit

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
ERASE = ("audit", "erase", "--basis", "art17", "--as", "olga", "--subject")


@pytest.fixture
def log(here, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))  # not where other tests put theirs
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("on_failure: deny  ", "on_failure: deny\n  keep: {content: both}\n  #"))
    with Governor.from_policies("policies", audit="audit") as gov, gov.acting_as(DANA):
        gov.call(str, "hello", action="chat", resource="model:gpt-4o-mini")
    return here / "audit"


def told(ran) -> list[dict[str, object]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def kinds(aigov, kind: str) -> list[dict[str, object]]:
    return told(aigov("audit", "search", "--kind", kind, "--json"))


def test_erase_exits_0_once_and_1_when_there_is_nobody(aigov, log) -> None:
    ran = aigov(*ERASE, "dana", "--json")
    assert ran.code == Exit.OK
    assert {key: told(ran)[0][key] for key in ("erased", "pseudonyms", "blobs", "vault", "log", "left")} == {
        "erased": 1, "pseudonyms": 1, "blobs": 2, "vault": 0, "log": "whole", "left": [],
    }  # fmt: skip
    assert len(kinds(aigov, "subject.erased")) == 1
    assert aigov(*ERASE, "dana").code == Exit.NO
    assert aigov("audit", "verify").code == Exit.OK


def echo(text: str) -> str:
    return text


def stream(text: str) -> Iterator[str]:
    yield text
    yield ", they say"


def spellings(text: str) -> Iterator[bytes]:
    """A text as files may hold it."""
    for data in (text.encode(), text.encode("utf-16-le"), text.upper().encode()):
        yield data
        yield data.hex().encode()
        yield from (base64.b64encode(b"." * pad + data)[4:-4] for pad in range(3))


def test_nothing_of_who_was_erased_is_in_any_file_and_what_was_kept_opens_for_nobody(
    aigov, log, here, tmp_path
) -> None:
    person = Principal(id="canary.person@example.com", roles=("support-agent",), tenant="retail")
    said, hidden = "the canary sang at noon and at one", "canary4711@example.com"
    others, layer = set(here.rglob("*.sealed")), here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("{to: stderr, level: warning}", "{to: people.log, level: info}"))
    with Governor.from_policies("policies", audit="audit") as gov, gov.acting_as(person):
        for provider in (echo, stream):
            ask = gov.guard(action="chat", resource="model:gpt-4o-mini")(provider)
            assert "".join(ask(f"{said}; write to {hidden}")).startswith(said)
        with pytest.raises(Denied):
            gov.call(str, f"{said} {hidden}", action="chat", resource="model:none-such")
    asked = ("audit", "search", "--person", person.id)
    call = told(aigov(*asked, "--json"))[0]["call"]
    assert said in aigov("audit", "content", call, "--subject", person.id, "--as", "olga", "--json").out
    for form in ("jsonl", "ocsf"):
        assert aigov("audit", "export", "--person", person.id, "--format", form, "-o", here / form).code == Exit.OK
    blobs = [path.read_bytes()[:32] for path in here.rglob("*.sealed") if path not in others]
    assert len(blobs) == 4
    (here / "texts").write_text(f"{said}\n{hidden}\n")

    ran = aigov(*ERASE, person.id, "--look-for", "texts", "--json")
    assert (ran.code, told(ran)[0]["left"]) == (Exit.OK, [])
    assert aigov(*asked).code == Exit.NO
    assert aigov("audit", "content", call, "--subject", person.id, "--as", "olga").code == Exit.NO
    assert aigov("audit", "verify").code == Exit.OK
    (here / "texts").unlink()
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"audit.index", "jsonl", "ocsf", "people.log"} <= {path.name for path in files}
    for text in (person.id, said, hidden):
        assert [path for path, data in files.items() if any(one in data for one in spellings(text))] == []
    assert [path for path, data in files.items() if any(blob in data for blob in blobs)] == []


def test_a_held_person_is_not_erased_until_released(aigov, log) -> None:
    held = ("--subject", "dana", "--reason", "case-7".replace("-", "_"), "--as", "olga")
    assert aigov("audit", "hold", *held).code == Exit.OK
    ran = aigov(*ERASE, "dana")
    assert (ran.code, "case_7" in ran.err) == (Exit.NO, True)
    assert aigov("audit", "release", *held).code == Exit.OK
    assert aigov("audit", "release", *held).code == Exit.NO
    assert aigov(*ERASE, "dana").code == Exit.OK
    (begun,), (ended,) = kinds(aigov, "legal_hold.set"), kinds(aigov, "legal_hold.released")
    assert begun["pseudonym"] == ended["pseudonym"]
    assert (begun["reason"], ended["holds"]) == ("case_7", 0)


def test_nobody_can_be_held_in_advance_without_a_tenant(aigov, log) -> None:
    held = ("--subject", "new", "--reason", "case_7", "--as", "olga")
    assert aigov("audit", "hold", *held).code == Exit.NO
    assert aigov("audit", "hold", *held, "--tenant", "retail").code == Exit.OK


def test_a_minimum_time_is_kept(aigov, log, here) -> None:
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("{content: both}", "{content: both, at_least: 30d}"))
    ran = aigov(*ERASE, "dana")
    assert (ran.code, "has to be kept until" in ran.err) == (Exit.NO, True)


def test_what_is_still_found_exits_2(aigov, log, here) -> None:
    (here / "notes").mkdir()
    (here / "notes" / "mail.txt").write_text("dana asked; jane@example.com answered")
    (here / "texts").write_text("something else\njane@example.com\n")
    ran = aigov(*ERASE, "dana", "--also", "notes", "--look-for", "texts", "--json")
    assert ran.code == Exit.INCOMPLETE
    assert [(one["text"], one["count"]) for one in told(ran)[0]["left"]] == [(1, 1), (3, 1)]
    assert "jane" not in ran.out


def test_a_folder_that_was_to_be_searched_and_is_not_there_is_said_before_anything_is_done(aigov, log) -> None:
    ran = aigov(*ERASE, "dana", "--also", "exprots")
    assert (ran.code, "exprots" in ran.err) == (Exit.CANNOT, True)
    assert aigov(*ERASE, "dana").code == Exit.OK


def test_a_log_that_is_reached_by_a_link_is_searched(aigov, log, here) -> None:
    (here / "audit").rename(here / "moved")
    (here / "audit").symlink_to("moved")
    (here / "moved" / "quarantine").mkdir(exist_ok=True)
    (here / "moved" / "quarantine" / "torn").write_text("dana")
    ran = aigov(*ERASE, "dana", "--json")
    assert (ran.code, [one["count"] for one in told(ran)[0]["left"]]) == (Exit.INCOMPLETE, [1])


def test_what_is_too_short_to_be_looked_for_is_said(aigov, log, here) -> None:
    with Governor.from_policies("policies", audit="audit") as gov, pytest.raises(Denied):
        gov.call(str, "hi", principal=Principal(id="bo", tenant="x"), action="chat", resource="model:gpt-4o-mini")
    (here / "texts").write_text("a text\n\nab\n")
    ran = aigov(*ERASE, "bo", "--look-for", "texts")
    assert (ran.code, "too short" in ran.out) == (Exit.OK, True)
    assert told(aigov(*ERASE, "dana", "--look-for", "texts", "--json"))[0]["unsearched"] == 1


def test_a_hold_and_a_release_at_once_leave_what_the_log_says_last(aigov, log, monkeypatch) -> None:
    held = ("--subject", "dana", "--reason", "case_7", "--as", "olga")
    assert aigov("audit", "hold", *held).code == Exit.OK
    append, again = Log.append, threading.Thread(target=lambda: cli.run(["audit", "hold", *held]))

    def slow(self, record, *more):
        receipt = append(self, record, *more)
        if isinstance(record, LegalHoldReleased):
            again.start()
            again.join(1)  # a hold that does not wait its turn is set by now
        return receipt

    monkeypatch.setattr(Log, "append", slow)
    assert aigov("audit", "release", *held).code == Exit.OK
    again.join(60)
    assert [record["kind"] for record in told(aigov("audit", "search", "--kind", "legal_hold.*", "--json"))] == [
        "legal_hold.set", "legal_hold.released", "legal_hold.set",
    ]  # fmt: skip
    assert aigov(*ERASE, "dana").code == Exit.NO


def test_nobody_is_held_where_there_is_no_log(aigov, log, here) -> None:
    held = ("--subject", "new", "--reason", "case_7", "--as", "olga", "--tenant", "retail")
    before = sorted(path.name for path in here.iterdir())
    for command in (("hold", *held), ("release", *held), ("content", "x", "--subject", "dana", "--as", "olga")):
        ran = aigov("audit", *command, "--audit", "nowhere")
        assert (ran.code, "there is no record in `nowhere`" in ran.err) == (Exit.CANNOT, True)
    assert sorted(path.name for path in here.iterdir()) == before


def test_an_erasure_that_was_interrupted_is_finished_and_searched_for_when_it_is_run_again(
    aigov, log, here, monkeypatch
) -> None:
    def broken(*arguments: object) -> None:
        raise OSError(errno.EIO, "the disk does not answer")

    (here / "notes").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Payloads, "clear", broken)
        assert aigov(*ERASE, "dana").code == Exit.CANNOT
    ran = aigov(*ERASE, "dana", "--also", "notes", "--json")
    assert (ran.code, "nobody" in ran.err) == (Exit.NO, True)
    assert [told(ran)[0][key] for key in ("erased", "resumed", "log", "left")] == [0, 1, "whole", []]
    assert (len(kinds(aigov, "subject.erased")), list(here.rglob("*.sealed"))) == (1, [])
    (here / "notes" / "mail.txt").write_text("dana asked")
    ran = aigov(*ERASE, "dana", "--also", "notes", "--json")  # as after a crash at the very last step
    assert (ran.code, [one["count"] for one in told(ran)[0]["left"]]) == (Exit.INCOMPLETE, [1])


def test_kept_content_is_shown_to_who_names_its_person_and_that_is_recorded(aigov, log) -> None:
    call = kinds(aigov, "call.intent")[0]["call"]
    ran = aigov("audit", "content", call, "--subject", "dana", "--as", "olga", "--json")
    assert [line["texts"][0][1] for line in told(ran)] == ["hello", "hello"]
    assert len(kinds(aigov, "audit.read")) == 2
    assert aigov("audit", "content", call, "--subject", "leo", "--as", "olga").code == Exit.NO


def test_nothing_expires_before_its_time(aigov, log) -> None:
    assert told(aigov("audit", "expire", "--json")) == [{"blobs": 0, "bytes": 0, "held": 0, "resumed": 0}]


@pytest.mark.parametrize(
    "given",
    [
        ("erase", "--subject", "dana", "--as", "olga"),
        ("erase", "--subject", "", "--basis", "x", "--as", "olga"),
        ("erase", "--subject", "dana", "--basis", "Because!", "--as", "olga"),
        ("hold", "--subject", "dana", "--reason", "Because!", "--as", "olga"),
    ],
)
def test_a_wrong_command_line_exits_4(aigov, log, given) -> None:
    assert aigov("audit", *given).code == Exit.USAGE


def test_without_keys_or_log_nothing_is_done(aigov, log, here) -> None:
    assert aigov(*ERASE, "dana", "--audit", "nowhere").code == Exit.CANNOT
    assert not (here / "nowhere").exists()
    (here / "keys" / "root.key").unlink()
    assert aigov(*ERASE, "dana").code == Exit.CANNOT

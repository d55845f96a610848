"""The vault: values survive a restart, sealed; what is forgotten is gone for every process."""

from __future__ import annotations

import base64
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.cli import run
from aigov.errors import Denied, GuardFault
from aigov.governor import Governor
from aigov.privacy.session import Session
from aigov.privacy.vault import Entry, Vault
from aigov.testing import ScriptedProvider, Trial, governor
from aigov.types import Principal

KEY = bytes(range(32))
CANARY = "jane.canary@example.com"
DANA = Principal(id="dana-the-agent", roles=("support-agent",), tenant="retail")
LEO = Principal(id="leo", roles=("support-lead",), tenant="retail")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
CHANGE = {"  min_score: 0.4": "  vault: {expires: 30d}\n  min_score: 0.4"}


class Clock:
    """Microseconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault(tmp_path: Path, clock: Clock) -> Vault:
    return Vault(tmp_path / "in" / "values.db", key=KEY, expires_s=3_600, now_us=clock)


def session(vault: Vault, id: str = "dana-the-agent", tenant: str = "retail", name: str = "case-7") -> Session:
    return Session(name, KEY, stable=f"{id}{tenant}{name}", drawer=vault.drawer(id, tenant, name))


def kept(vault: Vault, value: str = CANARY, **whose: str) -> str:
    """The token of a value that was kept."""
    one = session(vault, **whose)
    one.literals([])
    token = one.token("EMAIL_ADDRESS", value)
    one.keep()
    return token


def test_a_value_comes_back_after_a_restart_under_its_own_subject_and_session_alone(vault: Vault) -> None:
    token = kept(vault)
    assert session(vault).restore(token) == CANARY
    for other in (
        {"id": "leo"},
        {"tenant": "wholesale"},
        {"name": "case-8"},
        {"id": "dana-the-agentretail", "tenant": ""},
    ):
        assert session(vault, **other).restore(token) == token


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["URL", "EMAIL_ADDRESS"]), st.text(max_size=40)), unique=True, max_size=8))
def test_whatever_was_kept_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str]]
) -> None:
    vault = Vault(tmp_path_factory.mktemp("vault") / "values.db", key=KEY, expires_s=60)
    one = session(vault)
    tokens = [one.token(*value) for value in values]
    one.keep()
    again = session(vault)
    assert [again.restore(token) for token in tokens] == [value for _, value in values]


def test_sessions_of_two_processes_see_each_others_values_and_agree_on_tokens(vault: Vault) -> None:
    one, two = session(vault), session(vault)
    first = one.token("EMAIL_ADDRESS", CANARY)
    assert two.token("EMAIL_ADDRESS", CANARY) == first  # both at once, before either was kept
    second = two.token("URL", "b.example")
    one.keep()
    two.keep()
    assert one.restore(f"{first} {second}") == two.restore(f"{first} {second}") == f"{CANARY} b.example"
    assert vault.counts() == (1, 2)


def test_one_code_for_two_values_is_refused(vault: Vault) -> None:
    kept(vault)
    drawer = vault.drawer("dana-the-agent", "retail", "case-7")
    [entry] = drawer.news().entries
    with pytest.raises(GuardFault, match=r"pii\.vault"):
        drawer.keep([entry._replace(value="another")])
    assert vault.counts() == (1, 1)


def test_what_is_forgotten_is_gone_for_sessions_that_are_open(vault: Vault) -> None:
    token, other = kept(vault), kept(vault, tenant="wholesale")
    reader, writer = session(vault), session(vault)
    assert reader.restore(token) == CANARY
    fresh = writer.token("URL", "b.example")
    writer.keep()
    assert vault.forget("dana-the-agent", "retail") == 1
    assert vault.forget("dana-the-agent", "retail") == 0
    for one in (reader, writer, session(vault)):
        assert one.restore(f"{token} {fresh}") == f"{token} {fresh}"
        assert one.size == 0
    assert session(vault, tenant="wholesale").restore(other) == CANARY
    assert vault.forget("dana-the-agent") == 1


def test_a_session_goes_on_after_it_was_forgotten(vault: Vault) -> None:
    one = session(vault)
    old = one.token("URL", "a.example")
    one.keep()
    vault.forget("dana-the-agent")
    new = one.token("URL", "b.example")
    one.keep()
    assert session(vault).restore(f"{old} {new}") == f"{old} b.example"
    assert one.restore(f"{old} {new}") == f"{old} b.example"


def test_entries_expire(vault: Vault, clock: Clock) -> None:
    token, reader = kept(vault), session(vault)
    assert reader.restore(token) == CANARY
    clock.now += 3_600 * 1_000_000
    assert reader.restore(token) == token
    assert vault.counts() == (1, 0)
    kept(vault, "b@example.com")
    base = sqlite3.connect(vault._path)
    assert base.execute("SELECT count(*) FROM entry").fetchone() == (1,)
    base.close()


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_nothing_stands_in_the_files_in_the_clear(vault: Vault, tmp_path: Path) -> None:
    token = kept(vault)
    reader = sqlite3.connect(vault._path)  # an open reader keeps the write-ahead log in being
    reader.execute("SELECT * FROM entry").fetchall()
    kept(vault, "other.canary@example.com", name="case-canary")
    seen = files_of(tmp_path)
    reader.close()
    for secret in ("canary", token[-9:-1], "dana", "retail", "case-", "EMAIL_ADDRESS"):
        assert secret.encode() not in seen
        assert secret.encode().hex().encode() not in seen


def test_sealed_entries_do_not_tell_the_length_of_short_values(vault: Vault) -> None:
    for value in ("a", "a.long.address@example.com"[:8]):
        kept(vault, value)
    base = sqlite3.connect(vault._path)
    assert len({len(sealed) for (sealed,) in base.execute("SELECT sealed FROM entry")}) == 1
    base.close()


def test_a_copy_made_before_holds_nothing_that_the_file_after_can_open(vault: Vault, tmp_path: Path) -> None:
    kept(vault)
    base = sqlite3.connect(vault._path)
    rows = base.execute("SELECT * FROM entry").fetchall()
    base.close()
    vault.forget("dana-the-agent")
    kept(vault, "b@example.com")
    base = sqlite3.connect(vault._path)
    base.execute("DELETE FROM entry")
    base.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", rows)
    base.commit()
    base.close()
    with pytest.raises(GuardFault, match=r"pii\.vault"):
        session(vault).literals(["x"])


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_file_is_closed_to_others(vault: Vault) -> None:
    kept(vault)
    assert stat.S_IMODE(vault._path.stat().st_mode) == 0o600
    assert stat.S_IMODE(vault._path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("harm", ["garbage", "flip", "swap", "trigger", "version", "folder", "key"])
def test_a_vault_that_was_changed_gives_nothing(vault: Vault, harm: str) -> None:
    token = kept(vault)
    kept(vault, "b@example.com")
    base = sqlite3.connect(vault._path)
    if harm == "flip":
        base.execute("UPDATE entry SET sealed = zeroblob(length(sealed))")
    elif harm == "swap":
        base.execute("UPDATE entry SET sealed = (SELECT sealed FROM entry WHERE number = 1)")
    elif harm == "trigger":
        base.execute("CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM subject; END")
    elif harm == "version":
        base.execute("PRAGMA user_version = 2")
    base.commit()
    base.close()
    if harm == "garbage":
        vault._path.write_bytes(b"x" * 5_000)
    elif harm == "folder":
        vault._path.unlink()
        vault._path.mkdir()
    elif harm == "key":
        vault = Vault(vault._path, key=bytes(32), expires_s=60)
        assert session(vault).restore(token) == token
        return
    for ask in (lambda: session(vault).restore(token), lambda: session(vault).literals([token])):
        with pytest.raises(GuardFault, match=r"pii\.vault") as caught:
            ask()
        assert caught.value.__context__ is None


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX")
def test_a_place_where_nothing_can_be_kept_is_refused(vault: Vault) -> None:
    """A link that leads nowhere is no file, and none can be made in its place."""
    vault._path.parent.mkdir(parents=True)
    vault._path.symlink_to(vault._path.with_name("nowhere"))
    with pytest.raises(GuardFault, match=r"pii\.vault"):
        kept(vault)


@pytest.mark.parametrize("part", [0, 1, 100, 4_096, 5_000])
def test_a_file_that_was_cut_off_gives_and_takes_nothing(vault: Vault, part: int) -> None:
    token = kept(vault)
    vault._path.write_bytes(vault._path.read_bytes()[:part])
    for ask in (lambda: session(vault).restore(token), lambda: kept(vault, "b@example.com")):
        with pytest.raises(GuardFault, match=r"pii\.vault"):
            ask()


def test_nothing_is_written_until_something_is_kept(vault: Vault) -> None:
    assert vault.counts() == (0, 0)
    assert session(vault).restore("[EMAIL_ADDRESS_BCDFGHJK]")
    assert not vault._path.exists()


def test_no_repr_shows_anything(vault: Vault) -> None:
    drawer = vault.drawer("dana-the-agent", "retail", "case-7")
    shown = repr([vault, drawer, drawer.keep([Entry("BCDFGHJK", "URL", CANARY)]), Entry("BCDFGHJK", "URL", CANARY)])
    assert not any(secret in shown for secret in ("canary", "dana", "BCDFGHJK", repr(KEY)))


# -- through the governor --------------------------------------------------------------------------


@pytest.fixture
def keeping() -> Iterator[Trial]:
    with governor(change=CHANGE) as made:
        yield made


def again(trial: Trial) -> Governor:
    """The same policy, keys and vault in what could be another process."""
    return Governor.from_policies(trial.policies, audit=trial.folder / "audit-2")


def test_a_named_conversation_survives_a_restart(keeping: Trial) -> None:
    model = ScriptedProvider("noted")
    with keeping.gov.acting_as(DANA), keeping.gov.session("case-7"):
        keeping.gov.call(model.ask, f"Refund {CANARY}", **CHAT)
    sent = model.seen[0]
    assert "canary" not in sent
    with again(keeping) as gov:
        assert gov.restore(sent, "case-7") == f"Refund {CANARY}"
        assert gov.restore(sent, "case-7", principal=DANA) == f"Refund {CANARY}"
        assert gov.restore(sent, "case-7", principal=LEO) == sent
        assert gov.restore(sent, "case-8") == sent
        with gov.acting_as(DANA), gov.session("case-7"):
            assert gov.call(ScriptedProvider(sent).ask, "and now?", **CHAT) == f"Refund {CANARY}"
            assert gov.redact(f"Refund {CANARY}").text == sent


def test_what_has_no_name_or_nobody_is_not_kept(keeping: Trial) -> None:
    gov = keeping.gov
    with gov.acting_as(DANA):
        gov.call(ScriptedProvider("noted").ask, f"Refund {CANARY}", **CHAT)
        with gov.session():
            gov.redact(CANARY)
    with gov.session("case-7"):
        gov.redact(CANARY)
    assert gov.kept() == (0, 0)
    assert not (keeping.folder / "vault").exists()


def test_a_vault_that_does_not_answer_stops_the_call_before_the_provider(keeping: Trial) -> None:
    (keeping.folder / "vault").write_text("in the way")
    model = ScriptedProvider("noted")
    with keeping.gov.acting_as(DANA), keeping.gov.session("case-7"):
        with pytest.raises(Denied) as caught:
            keeping.gov.call(model.ask, f"Refund {CANARY}", **CHAT)
        with pytest.raises(Denied):
            keeping.gov.redact(CANARY)
    assert (caught.value.reason, caught.value.status, model.calls) == ("pii.vault", 503, 0)


def test_the_command_forgets_a_subject(keeping: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    with keeping.gov.acting_as(DANA), keeping.gov.session("case-7") as talk:
        sent = keeping.gov.redact(CANARY).text
    where = ["--policies", str(keeping.policies), "--json"]
    assert run(["vault", "count", *where]) == 0
    assert run(["vault", "forget", "--subject", DANA.id, "--tenant", "wholesale", *where]) == 1
    assert run(["vault", "forget", "--subject", DANA.id, *where]) == 0
    assert run(["vault", "forget", "--subject", DANA.id, *where]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out == ['{"subjects":1,"values":1}', '{"forgotten":0}', '{"forgotten":1}', '{"forgotten":0}']
    assert keeping.gov.restore(sent, talk) == sent
    assert CANARY.encode() not in files_of(keeping.folder)


def test_neither_tokens_nor_keys_nor_values_are_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A call, a restart, a vault that is in the way and one that forgets, with everything logged that can be."""
    caplog.set_level(0)
    with governor(change={**CHANGE, "level: warning": "level: info"}) as trial:
        model = ScriptedProvider()
        with trial.gov.acting_as(DANA), trial.gov.session("case-7") as talk:
            trial.gov.call(model.ask, CANARY, **CHAT)
            shown = repr((talk, talk.vault(DANA), trial.gov._force.loaded, trial.gov._force._keys))
        with again(trial) as gov:
            assert gov.restore(model.seen[0], "case-7") == CANARY
        with trial.gov.acting_as(DANA), trial.gov.session("case-8"):
            path = trial.folder / "vault" / "values.db"
            path.rename(path.with_suffix(".away"))
            path.mkdir()
            with pytest.raises(Denied) as caught:
                trial.gov.call(model.ask, f"{model.seen[0]} {CANARY}", **CHAT)
            path.rmdir()
            path.with_suffix(".away").rename(path)
        assert trial.gov.forget(DANA.id) == 1
        key = trial.gov._force._keys
        secrets = [CANARY, model.seen[0][-9:-1], *_spelt(key._root), *_spelt(key.derive("privacy/tokens"))]
        records = b"".join(one.read_bytes() for one in sorted(trial.audit.rglob("*")) if one.is_file()).decode(
            "latin-1"
        )
    said = f"{caplog.text} {capfd.readouterr()} {caught.value!r} {shown} {records}"
    assert "pii.vault" in said
    assert [number for number, secret in enumerate(secrets) if secret in said] == []


def _spelt(key: bytes) -> list[str]:
    """The ways in which a key may stand in a text."""
    return [key.hex(), base64.b64encode(key).decode(), repr(key)[2:-1]]


WRITER = """
import sys
from pathlib import Path
from aigov.privacy.session import Session
from aigov.privacy.vault import Vault
vault = Vault(Path(sys.argv[1]), key=bytes(range(32)), expires_s=3600)
one = Session("case-7", bytes(range(32)), stable="x", drawer=vault.drawer("dana-the-agent", "retail", "case-7"))
for number in range(12):
    one.literals([])
    print(one.token("URL", f"{number * (1 + int(sys.argv[2]))}.example"))
    one.keep()
"""


def test_three_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "values.db"
    command: list[Any] = [sys.executable, "-c", WRITER, str(path)]
    running = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(3)]
    told = [process.communicate(timeout=60)[0].split() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    reader = Session(
        "case-7", KEY, drawer=Vault(path, key=KEY, expires_s=60).drawer("dana-the-agent", "retail", "case-7")
    )
    for step, tokens in enumerate(told, 1):
        assert reader.restore(" ".join(tokens)) == " ".join(f"{number * step}.example" for number in range(12))

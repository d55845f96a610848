"""Who sees what comes back; tokens that are the same all over a tenant; and operators that Presidio knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from aigov.crypto import Unsealable
from aigov.errors import PolicyError
from aigov.privacy.session import Session
from aigov.testing import ScriptedProvider, Trial, governor
from aigov.types import Principal

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
LEO = Principal(id="leo", roles=("support-lead",), tenant="retail")
ELSEWHERE = Principal(id="leo", roles=("support-lead",), tenant="wholesale")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini"}
TEXT = "jane@example.com ordered ORD-12345678"


@contextlib.contextmanager
def policy(**privacy: str) -> Iterator[Trial]:
    """A governor whose `privacy` section says this too."""
    lines = "".join(f"  {key}: {value}\n" for key, value in privacy.items())
    with governor(
        change={"privacy:                                # personal data; docs/privacy.md\n": f"privacy:\n{lines}"}
    ) as trial:
        yield trial


@pytest.fixture(scope="module")
def revealing() -> Iterator[Trial]:
    with policy(reveal="{EMAIL_ADDRESS: [support-lead], CREDIT_CARD: nobody}") as trial:
        yield trial


def test_a_call_gives_back_what_its_principal_may_see(revealing: Trial) -> None:
    gov = revealing.gov
    for who, expected in ((DANA, "[EMAIL_ADDRESS_"), (LEO, "jane@example.com")):
        answer = gov.call(ScriptedProvider().ask, TEXT + " 4111 1111 1111 1111", principal=who, **CHAT)
        assert answer.startswith(expected)
        assert "ORD-12345678" in answer
        assert "4111" not in answer


@pytest.mark.parametrize(("who", "told"), [(DANA, "[EMAIL_ADDRESS_"), (LEO, "jane@example.com")])
def test_it_governs_streams_and_what_is_awaited_alike(revealing: Trial, who: Principal, told: str) -> None:
    guarded = revealing.gov.guard(**CHAT)

    async def awaited() -> tuple[str, str]:
        pieces = [piece async for piece in guarded(ScriptedProvider(chunk=5).astream)(TEXT)]
        return "".join(pieces), await guarded(ScriptedProvider().aask)(TEXT)

    with revealing.gov.acting_as(who):
        answers = ["".join(guarded(ScriptedProvider(chunk=5).stream)(TEXT)), *asyncio.run(awaited())]
    for answer in answers:
        assert answer.startswith(told)
        assert answer.endswith("ORD-12345678")


def test_who_holds_the_session_sees_all_of_it(revealing: Trial) -> None:
    gov = revealing.gov
    with gov.acting_as(DANA), gov.session():
        redacted = gov.redact(TEXT)
    assert gov.restore(redacted.text, redacted.session) == TEXT


def test_restore_for_a_principal_goes_by_their_roles(revealing: Trial) -> None:
    gov = revealing.gov
    with gov.acting_as(DANA), gov.session("case-7"):
        sent = gov.redact(TEXT).text
    mine = gov.restore(sent, "case-7", principal=DANA)
    assert mine.startswith("[EMAIL_ADDRESS_")
    assert mine.endswith("ORD-12345678")
    theirs = gov.restore(sent, "case-7", principal=LEO)
    assert theirs.startswith("jane@example.com")
    assert "ORD-12345678" not in theirs
    assert gov.restore(sent, "case-7", principal=ELSEWHERE) == sent


def test_a_copy_of_a_token_comes_back_as_it_was_whatever_is_revealed() -> None:
    session = Session(None, bytes(32))
    token = session.token("EMAIL_ADDRESS", "jane@example.com")
    copied = session.token("TOKEN", token)
    assert [value for *_, value in session.restore_spans(copied, lambda entity: False)] == [token]


def test_the_starter_policy_gives_its_own_principal_everything(shared: Trial) -> None:
    assert shared.gov.call(ScriptedProvider().ask, TEXT, principal=DANA, **CHAT) == TEXT


def test_asserted_roles_count_only_where_the_policy_trusts_them() -> None:
    change = {
        "trust_roles: true": "trust_roles: false",
        "  min_score: 0.4": "  reveal: {EMAIL_ADDRESS: [support-lead]}\n  min_score: 0.4",
    }
    with governor(change=change) as trial, trial.gov.acting_as(LEO), trial.gov.session() as talk:
        sent = trial.gov.redact("jane@example.com").text
        assert trial.gov.restore(sent, talk, principal=LEO) == sent


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        ({"reveal": "{EMAIL: [a]}"}, "no detector finds the entity `EMAIL`"),
        ({"reveal": "{EMAIL_ADDRESS: [' ']}"}, "a blank role"),
        ({"reveal": "{EMAIL_ADDRESS: [a]}", "entities": "{EMAIL_ADDRESS: mask}"}, "nothing to reveal"),
        ({"stable": "always"}, "stable"),
        ({"entities": "{URL: {operator: {name: nobody_has_it}}}"}, "no operator is called `nobody_has_it`"),
        ({"entities": "{URL: {operator: {name: mask, params: {chars_to_mask: x}}}}"}, "does not take these parameters"),
        ({"entities": "{URL: {operator: {name: custom}}}"}, "does not take these parameters"),
    ],
)
def test_what_cannot_be_meant_is_refused(privacy: dict[str, str], said: str) -> None:
    with pytest.raises(PolicyError) as caught, policy(**privacy):
        pass
    assert said in str(caught.value)


def test_tokens_of_a_tenant_are_stable_and_still_come_back_to_their_session_alone() -> None:
    with policy(stable="tenant") as trial:
        gov = trial.gov
        sent: dict[str, Any] = {}
        for name, who in (("one", DANA), ("two", LEO), ("other", ELSEWHERE), ("nobody", None)):
            with contextlib.ExitStack() as stack:
                if who:
                    stack.enter_context(gov.acting_as(who))
                talk = stack.enter_context(gov.session())
                sent[name] = gov.redact("jane@example.com").text, talk
        assert sent["one"][0] == sent["two"][0]
        assert len({sent[name][0] for name in ("one", "other", "nobody")}) == 3
        with gov.session() as empty:
            assert gov.restore(sent["one"][0], empty) == sent["one"][0]
        gov.reload()
        with gov.acting_as(LEO):
            assert gov.redact("jane@example.com").text == sent["one"][0]


def test_sessions_have_tokens_of_their_own_by_default(shared: Trial) -> None:
    assert shared.gov.redact("jane@example.com").text != shared.gov.redact("jane@example.com").text


def test_what_is_encrypted_opens_under_the_policys_key_alone() -> None:
    with policy(entities="{EMAIL_ADDRESS: encrypt}") as trial, policy(entities="{URL: allow}") as other:
        sent = trial.gov.redact("jané@example.com")
        assert "jan" not in sent.text
        assert trial.gov.restore(sent.text, sent.session) == sent.text
        assert trial.gov.decrypt(sent.text) == "jané@example.com"
        for gov, text in ((other.gov, sent.text), (trial.gov, "jané"), (trial.gov, sent.text[:-8]), (trial.gov, "")):
            with pytest.raises(Unsealable) as caught:
                gov.decrypt(text)
            assert caught.value.__context__ is None


def test_a_presidio_operator_runs_by_its_name() -> None:
    params = "{masking_char: '#', chars_to_mask: 4, from_end: false}"
    with policy(entities=f"{{EMAIL_ADDRESS: {{operator: {{name: mask, params: {params}}}}}}}") as trial:
        assert trial.gov.redact("jane@example.com").text == "####@example.com"


def test_an_operator_can_be_the_default() -> None:
    with governor(
        change={"default: tokenise ": "default: {operator: {name: replace, params: {new_value: gone}}} "}
    ) as trial:
        assert trial.gov.redact("a jane@example.com b").text == "a gone b"

"""The guard: what counts, what is asked for, and what takes a value's place."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.errors import GuardFault
from aigov.privacy.guard import PrivacyGuard
from aigov.privacy.session import Session
from aigov.privacy.tokens import LITERAL
from aigov.privacy.words import Words
from aigov.types import Edit, Facts, Finding, Principal, Verdict

CANARY = "canary-7f3a@example.com"
CARD = "4111 1111 1111 1111"


def finding(entity: str, score: float = 1.0, kind: str = "pii", end: int = 4) -> Finding:
    return Finding(kind=kind, type=entity, start=0, end=end, score=score, detector="d", path="/0")


def judge(guard: PrivacyGuard, *findings: Finding) -> Any:
    who = Principal(id="dana")
    facts = Facts(
        direction="input", action="a", resource="r", principal=who, findings=findings, parts={"/x": 0, "/0": 3}
    )
    return guard.aigov_judge(facts)


@pytest.fixture(scope="module")
def mixed(start) -> PrivacyGuard:  # type: ignore[no-untyped-def]
    """A guard with every action."""
    entities = {
        "CREDIT_CARD": {"mask": {"keep_last": 4}}, "US_SSN": "deny", "IP_ADDRESS": "hash", "DATE_TIME": "allow",
        "URL": "allow", "IBAN_CODE": "review", "UUID": "redact", "PHONE_NUMBER": {"replace": {"with": "(a phone)"}},
        "MAC_ADDRESS": "replace", "CRYPTO": {"hash": {"length": 8}}, "UK_NHS": "mask",
    }  # fmt: skip
    return start({"entities": entities, "allow": ["support@ACME.example"], "min_score": 0.5})  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("entity", "verdict", "code"),
    [
        ("EMAIL_ADDRESS", Verdict.TRANSFORM, "pii.transformed"),
        ("CREDIT_CARD", Verdict.TRANSFORM, "pii.transformed"),
        ("US_SSN", Verdict.DENY, "pii.denied"),
        ("IBAN_CODE", Verdict.REVIEW, "pii.review"),
        ("OF_A_PLUGIN", Verdict.TRANSFORM, "pii.transformed"),
    ],
)
def test_each_type_is_ruled_by_its_action(mixed: PrivacyGuard, entity: str, verdict: Verdict, code: str) -> None:
    [ruling] = judge(mixed, finding(entity))
    assert (ruling.verdict, ruling.reason.code, ruling.reason.rule) == (verdict, code, entity)
    assert ruling.reason.layer == "organisation"
    assert code in set(mixed.aigov_reasons())


def test_an_allowed_type_and_other_kinds_ask_for_nothing(mixed: PrivacyGuard) -> None:
    assert judge(mixed, finding("URL"), finding("EMAIL_ADDRESS", kind="injection")) == ()


def test_edits_say_part_span_and_action(mixed: PrivacyGuard) -> None:
    [ruling] = judge(mixed, finding("CREDIT_CARD", 0.7), finding("CREDIT_CARD", 0.9, end=2))
    assert [(e.part, e.start, e.end, e.type, e.action, e.guard, e.score) for e in ruling.edits] == [
        (3, 0, 4, "CREDIT_CARD", "mask", "privacy", 0.7), (3, 0, 2, "CREDIT_CARD", "mask", "privacy", 0.9),
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["EMAIL_ADDRESS", "US_SSN", "IBAN_CODE", "URL"]).map(finding), max_size=6))
def test_more_findings_never_loosen(mixed: PrivacyGuard, findings: list[Finding]) -> None:
    def strictest(some: list[Finding]) -> Verdict:
        return max((ruling.verdict for ruling in judge(mixed, *some)), default=Verdict.ALLOW)

    assert strictest(findings) >= strictest(findings[1:])


def test_admit_weighs_score_and_allow_list_of_personal_findings_alone(mixed: PrivacyGuard) -> None:
    text = "Support@acme.EXAMPLE"
    whole = len(text)
    assert not mixed.admit(finding("EMAIL_ADDRESS", end=whole), text)
    assert mixed.admit(finding("EMAIL_ADDRESS", end=whole - 1), text)
    assert mixed.admit(finding("EMAIL_ADDRESS", 0.5), text)
    assert not mixed.admit(finding("EMAIL_ADDRESS", 0.49), text)
    assert mixed.admit(finding("X", 0.0, kind="unicode", end=whole), text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"card {CARD}", "card ***************1111"),
        ("nhs 943 476 5919", "nhs ************"),
        ("id a1b2c3d4-e5f6-4711-8899-aabbccddeeff.", "id ."),
        ("mac 00:1B:44:11:3A:B7", "mac [MAC_ADDRESS]"),
        ("phone number 212-555-0100!", "phone number (a phone)!"),
        ("see https://example.com", "see https://example.com"),
        ("to SUPPORT@acme.example", "to SUPPORT@acme.example"),
    ],
)
def test_irreversible_actions(mixed: PrivacyGuard, redact: Any, text: str, expected: str) -> None:
    session = mixed.session()
    assert redact(mixed, text, session) == expected
    assert redact(mixed, text, session, "output") == expected
    assert session.size == 0


@pytest.mark.parametrize(
    ("how", "value", "expected"),
    [
        ({"keep_last": 4}, "12345", "*2345"), ({"keep_last": 4}, "1234", "****"), ({"keep_last": 4}, "12", "**"),
        ({"keep_first": 2, "keep_last": 1}, "123456", "12***6"), ({"keep_first": 2, "keep_last": 2}, "123", "***"),
        ({"char": "#"}, "abc", "###"), ({"keep_first": 1}, "é😀x", "é**"),
    ],
)  # fmt: skip
def test_a_mask_keeps_its_ends_and_never_everything(start, how: Any, value: str, expected: str) -> None:  # type: ignore[no-untyped-def]
    render = start({"entities": {"URL": {"mask": how}}}).aigov_renderer()
    edit = Edit(part=0, start=0, end=len(value), type="URL", action="mask", guard="privacy")
    assert render(edit, value, None, "input") == expected


def test_a_hash_is_keyed_stable_and_as_long_as_asked(start, redact: Any) -> None:  # type: ignore[no-untyped-def]
    settings_ = {"entities": {"IP_ADDRESS": {"hash": {"length": 12}}}}
    first, second = start(settings_), start(settings_)
    text = "192.168.0.1 192.168.0.1 10.0.0.7"
    hashed = redact(first, text, first.session()).split()
    assert hashed == redact(second, text, second.session()).split()
    assert hashed[0] == hashed[1] != hashed[2]
    assert [len(one) for one in hashed] == [12, 12, 12]


def test_another_key_hashes_otherwise(start, redact: Any) -> None:  # type: ignore[no-untyped-def]
    """Who has no key cannot try values until one fits."""
    ours = start({"entities": {"IP_ADDRESS": "hash"}})
    others = start({"entities": {"IP_ADDRESS": "hash"}}, key=bytes(range(1, 33)))
    assert redact(ours, "192.168.0.1", ours.session()) != redact(others, "192.168.0.1", others.session())


def test_a_value_of_the_answer_gets_its_type_and_never_a_token(guard: PrivacyGuard, redact: Any) -> None:
    session = guard.session()
    assert redact(guard, "write to bob@example.com", session, "output") == "write to [EMAIL_ADDRESS]"
    assert session.size == 0


def test_the_callers_own_data_comes_back_and_other_peoples_does_not(guard: PrivacyGuard, redact: Any) -> None:
    session = guard.session()
    sent = redact(guard, "I am jane@example.com", session)
    assert "jane" not in sent
    token = sent.removeprefix("I am ")
    assert session.restore(redact(guard, f"Dear {token}, ask bob@example.com", session, "output")) == (
        "Dear jane@example.com, ask [EMAIL_ADDRESS]"
    )


def test_several_addresses_with_spaces_between_are_all_replaced(guard: PrivacyGuard, redact: Any) -> None:
    session = guard.session()
    text = "anna@example.com bob@example.org carl@example.net"
    sent = redact(guard, text, session)
    assert "@" not in sent
    assert len(session.tokens_in(sent)) == 3
    assert session.restore(sent) == text


PIECES = [
    "jane@example.com", "bob@example.org", CARD, "536-22-8726", "+1 212-555-0100", "https://example.com/jane@x.org",
    "ORD-12345678", "192.168.0.1", "[EMAIL_ADDRESS_", "BCDFGHJK]", "[", "]", "live", "LIVE", "é", "😀", "\u200b", " ",
    " ", "order", "\n", "account number 8471625536", "\u202e", "\ud83d",
]  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.text(max_size=8))
def test_redaction_is_undone_exactly(guard: PrivacyGuard, redact: Any, pieces: list[str], tail: str) -> None:
    session = guard.session()
    live = session.token("EMAIL_ADDRESS", "old@example.com")
    text = "".join({"live": live, "LIVE": live.lower()}.get(piece, piece) for piece in pieces) + tail
    assert session.restore(redact(guard, text, session)) == text


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=10))
def test_redaction_changes_nothing_but_findings_and_repeats_itself(
    guard: PrivacyGuard, redact: Any, facts: Any, pieces: list[str]
) -> None:
    session = guard.session()
    text = "".join(pieces)
    sent = redact(guard, text, session)
    assert redact(guard, text, session) == sent
    covered = {at for one in facts(guard, text).findings for at in range(one.start, one.end)}
    kept = "".join(char for at, char in enumerate(text) if at not in covered)
    left, at = [], 0
    for start, end in session.tokens_in(sent):
        left.append(sent[at:start])
        at = end
    assert "".join(left) + sent[at:] == kept


def test_a_live_token_in_a_text_is_tokenised_itself(guard: PrivacyGuard, redact: Any) -> None:
    session = guard.session()
    token = session.token("EMAIL_ADDRESS", CANARY)
    sent = redact(guard, f"what is {token}?", session)
    assert sent.startswith(f"what is [{LITERAL}_")
    assert session.restore(sent) == f"what is {token}?"


def test_every_type_of_a_finding_is_declared(guard: PrivacyGuard, facts: Any) -> None:
    declared = set(guard.aigov_entities())
    assert {"EMAIL_ADDRESS", "ORDER_ID", LITERAL} <= declared
    assert {one.type for one in facts(guard, " ".join(PIECES)).findings} <= declared


@pytest.mark.parametrize(
    ("action", "scope"), [("tokenise", None), ("tokenise", "session"), ("shred", None), ("", None)]
)
def test_a_renderer_that_cannot_do_what_is_asked_refuses(guard: PrivacyGuard, action: str, scope: Any) -> None:
    edit = Edit(part=0, start=0, end=len(CANARY), type="EMAIL_ADDRESS", action=action, guard="privacy")
    with pytest.raises(GuardFault) as caught:
        guard.aigov_renderer()(edit, CANARY, scope, "input")
    assert "canary" not in f"{caught.value!r} {caught.value}"


def test_no_repr_shows_content_or_keys(guard: PrivacyGuard, facts: Any) -> None:
    session: Session = guard.session("who-asks")
    session.token("EMAIL_ADDRESS", CANARY)
    seen = facts(guard, CANARY)
    rulings = guard.aigov_judge(seen)
    engine = guard._engine
    artifacts = Words(()).process_text(CANARY, "en")
    shown = " ".join(map(repr, (guard, session, seen, seen.findings, rulings, engine, artifacts)))
    shown += repr(guard.aigov_renderer())
    assert "canary" not in shown
    assert "who-asks" not in shown


def test_importing_the_guard_imports_no_heavy_library() -> None:
    code = "import sys, aigov.privacy.guard; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["presidio_analyzer", "presidio_anonymizer", "spacy", "tldextract", "phonenumbers", "regex", "re2"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True, cwd=".")
    assert done.stdout.strip() == "[]"

"""Sessions: tokens in, values back, and nothing else."""

from __future__ import annotations

import copy
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aigov.privacy.session import Session, SessionFull
from aigov.privacy.tokens import LITERAL, code, look_alikes, spell

KEY = bytes(range(32))
CANARY = "canary-7f3a@example.com"
entities = st.sampled_from(["EMAIL_ADDRESS", "PHONE_NUMBER", "ORDER_ID"])


def new(**bounds: int) -> Session:
    return Session(None, KEY, **bounds)


def take_out(session: Session, text: str, spans: list[tuple[int, int]]) -> str:
    """Tokenise these spans of the text, and what stands in it as a live token."""
    literal = session.reserve(text)
    free = [one for one in spans if not any(one[0] < end and start < one[1] for start, end in literal)]
    chosen = sorted([(*span, LITERAL) for span in literal] + [(*span, "EMAIL_ADDRESS") for span in free])
    pieces, at = [], 0
    for start, end, entity in chosen:
        pieces += [text[at:start], session.token(entity, text[start:end])]
        at = end
    return "".join(pieces) + text[at:]


@given(entities, st.text())
def test_the_same_characters_get_the_same_token(entity: str, value: str) -> None:
    session = new()
    assert session.token(entity, value) == session.token(entity, value)


@given(st.lists(st.tuples(entities, st.text(max_size=5)), unique=True, max_size=40))
def test_no_two_values_share_a_code(values: list[tuple[str, str]]) -> None:
    session = new()
    codes = {next(iter(look_alikes(session.token(*value)))).code for value in values}
    assert len(codes) == len(values)


@given(entities, st.text(), st.text(), st.text())
def test_a_value_comes_back_whatever_stands_beside_its_token(entity: str, value: str, left: str, right: str) -> None:
    session = new()
    token = session.token(entity, value)
    text = left + token + right
    assume(not any(f"{left}{right}"[at : at + 1] in "[]" for at in range(len(left + right))))
    assert session.restore(text) == left + value + right


@given(entities, st.text(min_size=1))
def test_another_session_restores_nothing(entity: str, value: str) -> None:
    token = new().token(entity, value)
    other = new()
    other.token(entity, value)
    assert other.restore(token) == token


def test_a_second_session_of_the_same_id_and_key_has_other_tokens_and_the_same_ref() -> None:
    one, two = Session("conversation", KEY), Session("conversation", KEY)
    assert one.token("URL", "x") != two.token("URL", "x")
    assert one.ref == two.ref != Session("conversation", bytes(32)).ref
    assert "conversation" not in one.ref


def test_a_token_is_restored_in_any_case_and_under_its_own_type_alone() -> None:
    session = new()
    token = session.token("EMAIL_ADDRESS", CANARY)
    assert session.restore(token.lower()) == CANARY
    assert session.restore(token.replace("EMAIL_ADDRESS", "PHONE_NUMBER")) != CANARY


def test_a_letter_changed_restores_nothing() -> None:
    session = new()
    token = session.token("URL", "x")
    for at in range(5, 13):
        for letter in "BCDFGHJKMNPQRSTVWXZ":
            changed = token[:at] + letter + token[at + 1 :]
            assert session.restore(changed) == ("x" if changed == token else changed)


def test_a_restored_value_is_not_looked_at_again() -> None:
    session = new()
    inner = session.token("EMAIL_ADDRESS", CANARY)
    outer = session.token(LITERAL, inner)
    assert session.restore(f"{outer} {inner}") == f"{inner} {CANARY}"


PIECES = ["jane@example.com", "[", "]", "[EMAIL_ADDRESS_", "_", "\u202e", "ß", "😀", "\ud800", "]]", " "]


@given(st.lists(st.sampled_from([*PIECES, *(f"live{n}" for n in range(3)), "LIVE", "fake"]), max_size=30), st.data())
def test_restore_undoes_tokenising_also_of_texts_that_hold_tokens(pieces: list[str], data: st.DataObject) -> None:
    session = new()
    live = {f"live{n}": session.token("EMAIL_ADDRESS", f"old{n}@example.com") for n in range(3)}
    stand_in = {**live, "LIVE": live["live0"].lower(), "fake": spell("EMAIL_ADDRESS", code(41))}
    text = "".join(stand_in.get(piece, piece) for piece in pieces)
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    spans = [span for span in zip(ends[::2], ends[1::2], strict=False) if span[0] < span[1]]
    assert session.restore(take_out(session, text, spans)) == text


@given(st.lists(st.text(alphabet="[]AB_ c", max_size=8), max_size=8))
def test_a_conversation_of_redacted_texts_stays_exact(texts: list[str]) -> None:
    session = new()
    sent = ""
    for text in texts:
        given_text = text + sent  # what was sent before comes back as plain text
        spans = [match.span() for match in re.finditer("AB", given_text)]
        sent = take_out(session, given_text, spans)
        assert session.restore(sent) == given_text


def test_what_looks_like_a_token_is_never_given_out_later() -> None:
    drawn = Session(None, KEY)
    first = next(iter(look_alikes(drawn.token("URL", "x")))).code
    again = Session(None, KEY)
    again._salt = drawn._salt
    assert again.reserve(f"see [EMAIL_ADDRESS_{first.lower()}] here") == []
    other = again.token("URL", "x")
    assert first not in other
    assert again.restore(f"[URL_{first}] {other}") == f"[URL_{first}] x"


def test_only_live_tokens_are_literals() -> None:
    session = new()
    token = session.token("URL", "x")
    texts = ["nothing", f"a {token} b {spell('URL', code(5))}"]
    assert [(one.part, one.start, one.end, one.type) for one in session.literals(texts)] == [
        (1, 2, 2 + len(token), LITERAL)
    ]


def test_tokens_in_says_where_they_stand() -> None:
    session = new()
    token = session.token("URL", "x")
    assert session.tokens_in(f"  {token}, {token}") == [(2, 2 + len(token)), (4 + len(token), 4 + 2 * len(token))]


def test_a_cleared_session_restores_nothing_and_gives_no_old_token_out() -> None:
    session = new()
    token = session.token("URL", "x")
    session.clear()
    assert session.restore(token) == token
    assert session.token("URL", "x") != token
    assert session.size == 1


@pytest.mark.parametrize(
    ("bounds", "values"),
    [({"max_values": 2}, ["a", "b", "c"]), ({"max_chars": 5}, ["abc", "def"])],
)
def test_a_full_session_refuses_and_keeps_what_it_has(bounds: dict[str, int], values: list[str]) -> None:
    session = new(**bounds)
    kept = [session.token("URL", value) for value in values[:-1]]
    with pytest.raises(SessionFull):
        session.token("URL", values[-1])
    assert session.restore("".join(kept)) == "".join(values[:-1])
    assert session.token("URL", values[0]) == kept[0]


def test_a_text_with_too_many_look_alikes_is_refused() -> None:
    session = new(max_reserved=10)
    with pytest.raises(SessionFull):
        session.reserve("".join(spell("URL", code(number)) for number in range(11)))


@pytest.mark.parametrize("entity", ["", "email", "A-B", "É", "A" * 65, "A]"])
def test_a_type_that_could_not_come_back_is_refused(entity: str) -> None:
    with pytest.raises(ValueError, match="entity type") as caught:
        new().token(entity, CANARY)
    assert CANARY not in str(caught.value)


def test_nothing_shows_a_value_or_the_key() -> None:
    session = Session("who-asks", KEY, max_values=1)
    session.token("EMAIL_ADDRESS", CANARY)
    with pytest.raises(SessionFull) as caught:
        session.token("EMAIL_ADDRESS", CANARY + "x")
    shown = f"{session!r} {session!s} {caught.value!r} {caught.value}"
    assert "canary" not in shown
    assert "who-asks" not in shown
    assert repr(KEY) not in shown


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_session_is_not_copied_or_pickled(take) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match="not to be copied"):
        take(new())


def test_threads_share_a_session() -> None:
    session = new()
    values = [f"user{number}@example.com" for number in range(50)]
    gate = threading.Barrier(32)

    def work() -> list[str]:
        gate.wait()
        return [session.token("EMAIL_ADDRESS", value) for value in values]

    with ThreadPoolExecutor(32) as pool:
        results = [future.result() for future in [pool.submit(work) for _ in range(32)]]
    assert all(result == results[0] for result in results)
    assert len(set(results[0])) == session.size == 50
    assert session.restore(" ".join(results[0])) == " ".join(values)


def test_threads_get_the_same_of_what_is_made_once() -> None:
    session, gate = new(), threading.Barrier(8)
    made = iter(range(1_000))

    def work() -> list[str]:
        gate.wait()
        return [session.once(("encrypt", "URL", str(number)), lambda: str(next(made))) for number in range(50)]

    with ThreadPoolExecutor(8) as pool:
        results = [future.result() for future in [pool.submit(work) for _ in range(8)]]
    assert all(result == results[0] for result in results)
    assert len(set(results[0])) == 50
    session.clear()
    assert session.once(("encrypt", "URL", "0"), lambda: "anew") == "anew"

"""Personal data in any shape: found at its place, replaced whole, put back exactly, exempt where the policy says so."""

from __future__ import annotations

import base64
import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigov.privacy.engine import Engine, load
from aigov.privacy.sight import Sight
from aigov.testing import ScriptedProvider, Trial, governor
from aigov.types import Part, Principal

DANA = Principal(id="dana", roles=("support-agent",), tenant="retail")
CHAT = {"action": "chat", "resource": "model:gpt-4o-mini", "principal": DANA}
MAIL, CARD = "jane@example.com", "4111 1111 1111 1111"


class AccountId(int):
    """As an application may have one for each kind of number."""


@pytest.fixture(scope="module")
def exempting() -> Iterator[Trial]:
    change = {"  min_score: 0.4": "  exempt: ['/question/metadata/**', '/*/id', '/question/to']\n  min_score: 0.4"}
    with governor(change=change) as trial:
        yield trial


def seen(trial: Trial, value: Any, answer: Any = None) -> tuple[Any, Any]:
    """What the provider saw of a question, and what came back when it answered with that or with `answer`."""
    model = ScriptedProvider((lambda question: question) if answer is None else answer)
    back = trial.gov.call(model.ask, value, **CHAT)
    return model.seen[0], back


def test_tool_arguments_as_a_json_string_stay_json(shared: Trial) -> None:
    arguments = (
        '{ "to":"'
        + MAIL
        + '",  "n": 1.50, "card": "4111\\u00201111 1111 1111", "note": "line\\n'
        + MAIL
        + '\\t\\"x\\"" }'
    )
    sent, back = seen(shared, {"arguments": arguments})
    plain = json.loads(sent["arguments"])
    assert list(plain) == ["to", "n", "card", "note"]
    assert '"n": 1.50,' in sent["arguments"]
    assert sent["arguments"].startswith('{ "to":"[EMAIL_ADDRESS_')
    assert plain["note"].startswith("line\n[EMAIL_ADDRESS_")
    assert plain["note"].endswith(']\t"x"')
    assert plain["card"].startswith("[CREDIT_CARD_")
    assert json.loads(back["arguments"]) == json.loads(arguments)


def test_a_number_in_json_becomes_text_and_a_number_again(shared: Trial) -> None:
    text = '{"account_number": 8471625536, "items": [1, 2.50]}'
    sent, back = seen(shared, text)
    assert json.loads(sent)["account_number"].startswith("[")
    assert sent.endswith('"items": [1, 2.50]}')
    assert back == text


@pytest.mark.parametrize(
    "text",
    ['\ufeff{"card": 4111111111111111}', '{"a": NaN, "card": 4111111111111111}',
     '{"a": "\\ud800", "card": 4111111111111111}'],
)  # fmt: skip
def test_what_programs_write_for_json_stays_what_they_read(shared: Trial, text: str) -> None:
    redacted = shared.gov.redact(text)
    assert json.loads(redacted.text.removeprefix("\ufeff"))["card"].startswith("[CREDIT_CARD_")
    assert shared.gov.restore(redacted.text, redacted.session) == text


def test_json_lines_with_one_that_was_cut_off_stay_json(shared: Trial) -> None:
    whole = '{"card": 4111111111111111, "n": 1.50}'
    text = f'{whole}\n{whole[:-3]}\nsaid "{MAIL}"\n{whole}\n'
    redacted = shared.gov.redact(text)
    first, cut, said, last, _ = redacted.text.split("\n")
    assert json.loads(first) == json.loads(last)
    assert json.loads(first)["card"].startswith("[CREDIT_CARD_")
    assert re.fullmatch(r'\{"card": \[CREDIT_CARD_[A-Z]{8}\], "n": 1\.', cut)
    assert re.fullmatch(r'said "\[EMAIL_ADDRESS_[A-Z]{8}\]"', said)
    assert shared.gov.restore(redacted.text, redacted.session) == text


def test_keys_count(shared: Trial) -> None:
    sent, back = seen(shared, json.dumps({MAIL: {"x": 1}}))
    assert next(iter(json.loads(sent))).startswith("[EMAIL_ADDRESS_")
    assert back == json.dumps({MAIL: {"x": 1}})


def test_json_in_json_in_json(shared: Trial) -> None:
    text = json.dumps({"a": json.dumps({"b": json.dumps({"to": f'"Jane"\n<{MAIL}>', "card": 4111111111111111})})})
    sent, back = seen(shared, text)
    inner = json.loads(json.loads(json.loads(sent)["a"])["b"])
    assert "\n<[EMAIL_ADDRESS_" in inner["to"]
    assert inner["card"].startswith("[CREDIT_CARD_")
    assert back == text


def test_a_value_with_a_quotation_mark_comes_back_escaped_where_json_needs_it(shared: Trial) -> None:
    gov = shared.gov
    with gov.session() as talk:
        token = talk.vault(DANA).token("EMAIL_ADDRESS", 'j"x\\y@example.com')
        answer = gov.call(ScriptedProvider(f'{{"to": "{token}"}}').ask, "x", **CHAT)
    assert json.loads(answer) == {"to": 'j"x\\y@example.com'}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("account_number", 8471625536), ("bankAccount", "8471625536"), ("card", 4111111111111111),
        ("phone", 2125550199), ("customer phone", "2125550199"), ("card", 4111111111111111.0),
        ("card", Decimal("4111111111111111")), ("account_number", AccountId(8471625536)),
    ],
)  # fmt: skip
def test_whole_numbers_and_short_values_are_read_with_their_key(shared: Trial, key: str, value: Any) -> None:
    sent, back = seen(shared, {key: value, "n": 7})
    assert str(sent[key]).startswith("[")
    assert str(value) not in str(sent)
    assert sent["n"] == 7
    assert str(back[key]) == str(int(value))


@pytest.mark.parametrize("key", ["created", "id", "bytes", "count"])
@pytest.mark.parametrize("value", [1734567890, 7000000, 10**41, -1734567890123])
def test_other_whole_numbers_are_left_alone(shared: Trial, key: str, value: int) -> None:
    assert seen(shared, {key: value})[0] == {key: value}


@pytest.mark.parametrize("value", [1734567890, 7000000, 1734567890123, -1734567890])
@pytest.mark.parametrize(
    "text",
    ['{"created": {}, "n": 1.50}', '{"a": [{}, {}], "to": "jane@example.com"}', '{"x": "{\\"at\\": {}}"}', "[[{}]]",
     '{"at":{}}\n{"at":{}}', '{\n  "bytes": {}\n}'],
)  # fmt: skip
def test_other_numbers_of_json_texts_are_left_alone_too(shared: Trial, text: str, value: int) -> None:
    """A tool that is given a phone number's token in the place of a time breaks."""
    text = text.replace("{}", str(value))
    sent, back = seen(shared, {"arguments": text})
    assert sent["arguments"].count(str(value)) == text.count(str(value))
    assert ("jane" in text) == ("[EMAIL_ADDRESS_" in sent["arguments"])
    assert back == {"arguments": text}


@pytest.mark.parametrize(
    "text",
    ['{"account_number": 8471625536}', '{"card": 4111111111111111}', '{"x": 4111111111111111}',
     '[{"phone": 2125550198}]', '{"x": "{\\"bank account\\": 8471625536}"}', '{"phone": [2125550198]}',
     '{"note": "2125550198"}'],
)  # fmt: skip
def test_numbers_of_json_texts_that_their_name_or_digits_speak_for_count(shared: Trial, text: str) -> None:
    redacted = shared.gov.redact(text)
    assert not re.search("8471625536|4111111111111111|2125550198", redacted.text)
    json.loads(redacted.text)
    assert shared.gov.restore(redacted.text, redacted.session) == text


ENCODED = {
    "base64": base64.b64encode(b"Dear jane@example.com, hello").decode(),
    "per cent": "to=jane%40example.com",
    "hexadecimal": b"jane@example.com".hex(),
    "entity": "jane&#64;example.com",
    "quoted-printable": "jane=40example.com",
    "full-width digits": "４１１１ １１１１ １１１１ １１１１",
    "zero-width": "4111\u200b1111\u200b1111\u200b1111",
    "Cyrillic": "jаnе@example.com",
    "u escapes": "jane\\u0040example.com",
    "encoded words": "=?utf-8?Q?jane=40exam?= =?utf-8?Q?ple.com_now?=",
    "no-break hyphens": "4111\u20111111\u20111111\u20111111",
    "dashes": "4111–1111–1111–1111",
    "full-width digits, per cent": urllib.parse.quote("４１１１１１１１１１１１１１１１"),
    "no-break spaces by name": "4111&nbsp;1111&nbsp;1111&nbsp;1111",
    "zero-width by number": "4111&#8203;1111&#8203;1111&#8203;1111",
    "soft hyphen by name": "jane@exam&shy;ple.com",
    "full-width, base64": base64.b64encode("ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ".encode()).decode(),
}  # fmt: skip


@pytest.mark.parametrize(
    "disguised",
    [
        "４１１１１１１１１１１１１１１１",
        "4111\u200b1111\u200b1111\u200b1111",
        "4111\u00a01111\u00a01111\u00a01111",
        "jane\u200b@exam\u00adple.com",
        "ｊａｎｅ＠ｅｘａｍｐｌｅ．ｃｏｍ",
    ],
)
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_what_json_escapes_is_seen_as_what_it_stands_for(shared: Trial, disguised: str, levels: int) -> None:
    """As a program writes tool arguments that hold what is not ASCII: `json.dumps` escapes it by number."""
    text = f"a {disguised} b"
    for _ in range(levels):
        text = json.dumps({"note": text, "n": 1.50})
    redacted = shared.gov.redact(text)
    said = json.loads(redacted.text)
    for _ in range(levels - 1):
        said = json.loads(said["note"])
    assert re.fullmatch(r"a \[(EMAIL_ADDRESS|CREDIT_CARD)_[A-Z]{8}\] b", said["note"])
    assert shared.gov.restore(redacted.text, redacted.session) == text


@pytest.mark.parametrize("way", ENCODED)
def test_what_is_encoded_is_found_at_its_place_replaced_whole_and_put_back(shared: Trial, way: str) -> None:
    written = ENCODED[way]
    text = f"see {written} ok"
    spans = [text[one.start : one.end] for one in shared.gov.inspect(text) if one.kind == "pii"]
    assert any(written.endswith(span) and len(span) >= 16 for span in spans)
    redacted = shared.gov.redact(text)
    assert not any(part in redacted.text for part in ("example.com", "1111", "１１", written))
    assert shared.gov.restore(redacted.text, redacted.session) == text


@pytest.mark.parametrize("written", [MAIL, "jane%40example.com", "jane&#64;example.com", "jаnе@example.com"])
@pytest.mark.parametrize(
    "place",
    ["GET /users/{}/orders HTTP/1.1", "GET /u?a=1&email={}&x=1 HTTP/1.1", "https://x.example/?to={}", "see a/b/{} ok",
     "https://x.example/a?b#{}", "//{}/{}", "was it?{}"],
)  # fmt: skip
def test_an_address_in_a_url_is_found_although_presidio_refuses_it(shared: Trial, place: str, written: str) -> None:
    text = place.replace("{}", written)
    found = [text[one.start : one.end] for one in shared.gov.inspect(text) if one.type == "EMAIL_ADDRESS"]
    assert found == [written] * place.count("{}")
    redacted = shared.gov.redact(text)
    assert not any(part in redacted.text for part in (written, "jane", "jаnе", "example.com"))
    assert shared.gov.restore(redacted.text, redacted.session) == text


def test_an_address_in_a_url_is_not_looked_at_twice(shared: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio finds most of them: only what it refused is asked about by itself."""
    asked: list[str] = []
    real = Engine.patterns
    monkeypatch.setattr(Engine, "patterns", lambda engine, text, *rest: asked.append(text) or real(engine, text, *rest))
    engine = Engine.build(load())
    sight = Sight(engine.findings, (), engine.patterns)
    found = sight.findings(Part(path="", text="see /jane@example.com and x/bob@example.org"))
    assert len([one for one in found if one.type == "EMAIL_ADDRESS"]) == 2
    assert asked == ["bob@example.org"]


def test_addresses_in_urls_take_linear_time(shared: Trial) -> None:
    for piece in ("/", "/a", "?=", "/a=b", "/@", "/" + "a" * 499, "?" + "=" * 70):
        began = time.monotonic()
        shared.gov.inspect((piece * 100_000)[:100_000] + "@")
        assert time.monotonic() - began < 10


SHAPES = {
    "Markdown": f"# To\n\n* **{MAIL}** and [mail](mailto:{MAIL})\n",
    "HTML": f"<p>To <b>{MAIL}</b><a href='mailto:{MAIL}'>x</a></p>",
    "code": f'send(to="{MAIL}", n=3)',
    "CSV": f'id,mail\n1,{MAIL}\n2,"Doe, {MAIL}"\n',
    "e-mail": f"From: Jane <{MAIL}>\nTo: us@acme.example.com\n\nhello\n> On Monday {MAIL} wrote:\n> > call {CARD}\n",
    "log": f"2026-01-02T03:04:05Z INFO user={MAIL} card={CARD} ok",
    "JSON lines": f'{{"a": "{MAIL}"}}\n{{"a": "{CARD}", "n": 1.0}}\n',
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_redacted_and_restored(shared: Trial, shape: str) -> None:
    redacted = shared.gov.redact(SHAPES[shape])
    assert MAIL not in redacted.text
    assert CARD not in redacted.text
    assert shared.gov.restore(redacted.text, redacted.session) == SHAPES[shape]
    if shape == "JSON lines":
        assert [list(json.loads(line)) for line in redacted.text.splitlines()] == [["a"], ["a", "n"]]


json_pieces = st.sampled_from(
    [MAIL, CARD, f'a "{MAIL}" b', f"x\n{CARD}\\", "é😀", "", 8471625536, 4111111111111111, 1.5, None, True]
)
json_trees = st.recursive(
    json_pieces,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["to", "account", MAIL, "n"]), inner, max_size=3),
        st.dictionaries(st.sampled_from(["to", "card"]), inner, max_size=2).map(json.dumps),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(json_trees, st.booleans(), st.sampled_from([None, 1]))
def test_json_is_redacted_to_json_and_restored_exactly(
    shared: Trial, tree: Any, ascii: bool, indent: int | None
) -> None:
    text = json.dumps({"x": tree}, ensure_ascii=ascii, indent=indent)
    redacted = shared.gov.redact(text)
    json.loads(redacted.text)
    assert "jane@" not in redacted.text
    assert shared.gov.restore(redacted.text, redacted.session) == text


def test_what_is_exempt_is_left_alone_and_recorded(exempting: Trial) -> None:
    given_value = {"metadata": {"a": {"b": MAIL}}, "id": CARD, "text": MAIL, "to": json.dumps({"x": MAIL})}
    sent, back = seen(exempting, given_value)
    assert sent["metadata"] == given_value["metadata"]
    assert sent["text"].startswith("[EMAIL_ADDRESS_")
    assert MAIL not in sent["to"]
    counts = {(one["kind"], one["type"]): one["count"] for one in exempting.records("call.intent")[-1]["findings"]}
    assert counts[("exempt", "EMAIL_ADDRESS")] == 1
    assert back["text"] == MAIL


def test_exempt_reaches_into_json_texts(exempting: Trial) -> None:
    text = json.dumps({"metadata": {"x": MAIL}, "to": MAIL, "cc": MAIL})
    model = ScriptedProvider("ok")
    exempting.gov.call(model.ask, text, **CHAT)
    plain = json.loads(model.seen[0])
    assert plain["metadata"] == {"x": MAIL}
    assert plain["to"] == MAIL
    assert plain["cc"].startswith("[EMAIL_ADDRESS_")

"""Why a finding is one, and texts by the batch."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from aigov.errors import Denied
from aigov.testing import Trial


def test_an_explanation_names_pattern_check_context_word_and_score(shared: Trial) -> None:
    text = "account number 8471625536, card 4111 1111 1111 1111, ORD-12345678"
    told = {one.finding.type: one for one in reversed(shared.gov.explain(text))}
    bank, card, order = told["US_BANK_NUMBER"], told["CREDIT_CARD"], told["ORDER_ID"]
    assert (bank.base, bank.context, bank.validated) == (0.05, "account", None)
    assert bank.finding.score == pytest.approx(0.4)
    assert bank.pattern
    assert bank.expression
    assert (card.validated, card.finding.score) == (True, 1.0)
    assert (order.base, order.context, order.expression) == (0.9, "", r"\bORD-\d{8}\b")
    assert "8471625536" not in repr(told)


def test_every_personal_finding_of_a_plain_text_is_explained(shared: Trial) -> None:
    text = "Write to jane@example.com or call +1 212 555 0199, 10.0.0.7, https://example.com/a"
    found = [one for one in shared.gov.inspect(text, all=True) if one.kind == "pii"]
    assert [one.finding for one in shared.gov.explain(text)] == found
    assert shared.gov.explain("nothing here") == []


@pytest.mark.parametrize(
    "text",
    ["card ４１１１ １１１１ １１１１ １１１１", "4111\u200b1111\u200b1111\u200b1111", "to jane%40example.com",
     "jаnе@example.com", '{"c": "4111\\u00201111 1111 1111"}', "amFuZUBleGFtcGxlLmNvbQ==", "GET /u/jane@example.com",
     '{"x": "{\\"account number\\": 8471625536}"}'],
)  # fmt: skip
def test_what_is_encoded_or_disguised_is_explained_as_well(shared: Trial, text: str) -> None:
    found = [one for one in shared.gov.inspect(text, all=True) if one.kind == "pii"]
    told = shared.gov.explain(text)
    assert found
    assert [one.finding for one in told] == found
    for one in told:
        surer = one.finding.score > one.base
        assert surer == bool(one.context or one.validated) or one.finding.score <= one.base


def test_a_batch_is_inspected_as_its_texts_are(shared: Trial) -> None:
    texts = ["jane@example.com", "nothing", "jane@example.com", "", "ORD-12345678"]
    assert list(shared.gov.inspect_many(texts)) == [shared.gov.inspect(text) for text in texts]


def test_a_batch_is_read_as_it_is_asked_for_and_stops_at_what_is_malformed(shared: Trial) -> None:
    taken: list[str] = []

    def texts():  # type: ignore[no-untyped-def]
        for text in ("a", "\ud800", "b"):
            taken.append(text)
            yield text

    batch = shared.gov.inspect_many(texts())
    assert next(batch) == []
    assert taken == ["a"]
    with pytest.raises(Denied, match=r"input\.not_utf8"):
        next(batch)


def test_a_batch_of_any_length_is_looked_at_in_constant_memory(shared: Trial) -> None:
    """Findings of short texts alone are remembered, and of so many: a thousand long ones would be a gigabyte."""

    def most(count: int) -> int:
        batch = shared.gov.inspect_many(f"{number} " + "and so on " * 5_000 for number in range(count))
        next(batch)
        tracemalloc.start()
        held = [tracemalloc.get_traced_memory()[0] for _ in batch]
        tracemalloc.stop()
        return max(held)

    assert most(12) < most(3) + 100_000


@pytest.mark.parametrize("texts", ["jane@example.com", None, 7, [["a"]], [b"a"], [None]])
def test_a_batch_of_what_is_no_text_is_refused(shared: Trial, texts: Any) -> None:
    """One text in the place of many would be looked at letter by letter, and nothing found."""
    with pytest.raises(TypeError):
        list(shared.gov.inspect_many(texts))

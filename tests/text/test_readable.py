"""What models are given to read is what guards ask about."""

from __future__ import annotations

import base64

import pytest

from aigov.text.readable import plain, readable


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Jane\\nDoe", "Jane\\nDoe"),
        ('{"a": "Jane\\nDoe"}', '{"a": "Jane\nDoe"}'),
        ('{"a": "\\u004aane"}', '{"a": "Jane"}'),
        ('{"a": "Ja\\u200bne\\u00ad \\uff2a\\uff4f\\uff45 4111\\u00a01111"}', '{"a": "Jane Joe 4111 1111"}'),
        ("plain", "plain"),
    ],
)
def test_escapes_of_json_are_undone_and_mapped_back(text: str, form: str) -> None:
    made = plain(text)
    assert made.text == form
    assert made.original(0, len(form)) == (0, len(text))


def test_what_is_encoded_is_read_beside_the_text() -> None:
    encoded = base64.b64encode(b"Jane Doe is in Lyon").decode()
    assert list(readable(f"see {encoded}")) == [f"see {encoded}", "Jane Doe is in Lyon"]
    assert list(readable("from%20Jane")) == ["from%20Jane", "from Jane"]
    assert list(readable("hello")) == ["hello"]

"""Reading lines: any bytes come back as the same lines, within the limit."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.cli.exits import Exit, Stop
from aigov.cli.lines import opened, read, texts


class Counting(io.BytesIO):
    """A stream that remembers the most that it was asked for at once."""

    most = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.most = max(self.most, size or 0)
        return super().readline(size)


@given(st.lists(st.text(st.characters(exclude_characters="\n", codec="utf-8")), max_size=8), st.booleans())
def test_lines_and_their_ends_joined_are_the_text(texts: list[str], ended: bool) -> None:
    given_text = "\n".join(texts) + ("\n" if ended else "")
    assert "".join(line.text + line.end for line in read(io.BytesIO(given_text.encode()))) == given_text


@given(st.binary(max_size=200), st.integers(1, 20))
def test_every_byte_is_accounted_for_and_no_line_is_over_the_limit(data: bytes, limit: int) -> None:
    found = list(read(io.BytesIO(data), limit))
    assert sum(line.size for line in found) == len(data)
    assert [line.number for line in found] == list(range(1, len(found) + 1))
    assert len(found) == len(data.splitlines()) or b"\r" in data or any(b in data for b in b"\x0b\x0c\x1c\x1d\x1e\x85")
    for line in found:
        assert len(line.text.encode()) <= limit
        assert not (line.why and line.text)


DOCUMENTS = ['{\n "a": 1\n}', '[\r\n  {"a": "x"},\r\n  2\r\n]\r\n', '\ufeff{"a": [\n1]}\n\n', '{"a": 1,\n"b": NaN}']
OTHERS = [
    '{"a": 1}\n{"a": 2}\n', "[INFO] a\n[INFO] b\n", "[2026-01-02 03:04] x\n]\n", "{\n", '{\n "a": 1\n}\n{\n}\n',
    "a\n{\n}\n", '["a\nb"]', "[\n" * 20_000,
]  # fmt: skip


@pytest.mark.parametrize("text", DOCUMENTS)
def test_a_json_document_is_one_text(text: str) -> None:
    data = text.encode()
    [one] = texts(io.BytesIO(data))
    assert (one.text + one.end, one.size, one.why) == (text, len(data), "")
    assert len(list(texts(io.BytesIO(data), len(data) - 1))) > 1


@pytest.mark.parametrize("text", OTHERS)
def test_what_is_no_json_document_comes_by_the_line(text: str) -> None:
    assert list(texts(io.BytesIO(text.encode()))) == list(read(io.BytesIO(text.encode())))


@given(st.binary(max_size=60) | st.text('{}[]",:1 \n\r', max_size=40).map(str.encode), st.integers(1, 20))
def test_by_text_or_by_line_every_byte_is_accounted_for(data: bytes, limit: int) -> None:
    found = list(texts(io.BytesIO(data), limit))
    assert sum(line.size for line in found) == len(data)
    assert len(found) == 1 or found == list(read(io.BytesIO(data), limit))


def test_a_log_that_goes_on_is_not_read_ahead() -> None:
    """As of `tail -f`: its lines are wanted as they come."""
    for first in (b"[INFO] a\n", b'{"a": 1}\n', b"a\n"):
        stream = Counting(first + b"b\n")
        assert next(texts(stream)).text == first.decode().strip()
        assert stream.tell() == len(first)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
@pytest.mark.parametrize("extra", [0, 1, 2, 3, 100])
def test_a_line_is_too_large_exactly_beyond_the_limit(extra: int, end: str) -> None:
    data = b"x" * (10 + extra) + end.encode() + b"next"
    found = list(read(io.BytesIO(data if end else data[:-4]), 10))
    assert found[0].why == ("input.too_large" if extra else "")
    assert found[0].end == end
    assert [line.text for line in found[1:]] == (["next"] if end else [])


def test_a_line_that_never_ends_is_read_in_pieces() -> None:
    stream = Counting(b"x" * 1_000_000)
    assert [line.why for line in read(stream, 100)] == ["input.too_large"]
    assert stream.most <= 65536


def test_what_is_not_utf8_is_reported_and_the_rest_is_read() -> None:
    found = list(read(io.BytesIO(b"good\n\xff\xfe bad\ngood\n")))
    assert [(line.text, line.why) for line in found] == [("good", ""), ("", "input.not_utf8"), ("good", "")]


def test_a_missing_file_stops_with_its_name(tmp_path) -> None:
    with pytest.raises(Stop) as stopped, opened(str(tmp_path / "none.txt")):
        pass
    assert stopped.value.code is Exit.CANNOT
    assert "none.txt" in stopped.value.lines[0]


def test_a_folder_is_no_text(tmp_path) -> None:
    with pytest.raises(Stop), opened(str(tmp_path)):
        pass


def test_the_size_of_a_file_is_known(tmp_path) -> None:
    (tmp_path / "a.txt").write_bytes(b"12345")
    with opened(str(tmp_path / "a.txt")) as source:
        assert source.size == 5

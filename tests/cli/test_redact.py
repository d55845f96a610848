"""`aigov redact`: the text without its personal values, whatever the text is, and nothing that could not be checked."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from aigov.cli.exits import Exit

EMAIL = rb"\[EMAIL_ADDRESS_[A-Z]{8}\]"


@pytest.fixture
def redact(aigov, here):
    """Redact bytes: exit code, bytes on stdout, text on stderr."""

    def run(data: bytes, *more: str) -> tuple[int, bytes, str]:
        ran = aigov("redact", *more, stdin=data)
        return ran.code, ran.out.encode(), ran.err

    return run


def test_values_become_tokens_and_everything_else_stays(redact) -> None:
    code, out, _ = redact("naïve jane@example.com 👋\r\n\n\tsame jane@example.com, jane@example.com".encode())
    assert code == Exit.OK
    assert re.sub(EMAIL, b"@", out).decode() == "naïve @ 👋\r\n\n\tsame @, @"
    tokens = re.findall(EMAIL, out)
    assert tokens[1] == tokens[2]


def test_what_cannot_be_read_is_marked_and_never_written(redact) -> None:
    code, out, err = redact(b"good\n\xffjane@example.com\n" + b"x" * 1_000_001 + b"\r\nend")
    assert code == Exit.INCOMPLETE
    assert out == b"good\n[REFUSED input.not_utf8]\n[REFUSED input.too_large]\r\nend"
    assert "jane" not in err


DOCUMENT = (
    '{\n  "account_number": 8471625536,\n  "mail": ["jane@example.com", "jane\\u0040example.com"],\n  "n": 1.50\n}\n'
)


def test_a_json_file_stays_json(redact) -> None:
    code, out, err = redact(DOCUMENT.encode(), "--json")
    told = json.loads(out)
    assert (code, list(told), out.count(b"\n")) == (Exit.OK, ["account_number", "mail", "n"], DOCUMENT.count("\n"))
    assert b'"n": 1.50\n' in out
    assert told["account_number"].startswith("[")
    assert all(re.fullmatch(EMAIL.decode(), mail) for mail in told["mail"])
    assert b"jane" not in out
    assert json.loads(err)["lines"] == 5


def test_a_json_file_that_is_too_long_for_one_text_is_redacted_by_the_line(redact) -> None:
    rows = ",\n".join('"jane@example.com' + " and so on" * 250 + '"' for _ in range(90))
    code, out, _ = redact(f"[\n{rows}\n]\n".encode())
    assert (code, len(json.loads(out))) == (Exit.OK, 90)
    assert b"jane" not in out


def test_the_summary_counts_entities(redact) -> None:
    code, _, err = redact(b"jane@example.com\njohn@example.com 203.0.113.7\n\xff\n", "--json")
    assert code == Exit.INCOMPLETE
    assert json.loads(err.splitlines()[0]) == {
        "lines": 3,
        "found": {"EMAIL_ADDRESS": 2, "IP_ADDRESS": 1},
        "refused": {"input.not_utf8": 1},
    }


def test_a_text_within_another_is_counted_once(redact) -> None:
    """The domain of an address is found as a web address too."""
    _, _, err = redact(b"jane@example.com or www.example.com\n", "--json")
    assert json.loads(err)["found"] == {"EMAIL_ADDRESS": 1, "URL": 1}


def test_what_to_do_about_a_refused_line_is_said(redact) -> None:
    _, _, err = redact("jane@example.com".encode("utf-16") + b"\n")
    assert "iconv" in err
    assert "jane" not in err


def test_an_output_file_is_there_whole_or_not_at_all(redact, here) -> None:
    code, out, _ = redact(b"jane@example.com\n", "-o", "out.txt")
    assert (code, out) == (Exit.OK, b"")
    assert re.fullmatch(EMAIL + b"\n", (here / "out.txt").read_bytes())
    (here / "policies" / "organisation.yaml").write_text("aigov: 2\n")
    code, _, _ = redact(b"john@example.com\n", "-o", "new.txt")
    assert code == Exit.CANNOT
    assert not (here / "new.txt").exists()
    assert not [path for path in here.iterdir() if path.name.startswith(".new")]


def test_an_output_that_cannot_be_written_exits_3(redact) -> None:
    code, out, err = redact(b"hello\n", "-o", "no/such/folder/out.txt")
    assert (code, out) == (Exit.CANNOT, b"")
    assert "cannot write" in err


def test_a_reader_that_leaves_is_no_traceback(here) -> None:
    """As in `aigov redact FILE | head -1`."""
    (here / "text.txt").write_text("hello there\n" * 20_000)
    command = f"{sys.executable} -m aigov.cli redact text.txt | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stdout == b"hello there\n"
    assert b"Traceback" not in done.stderr
    assert done.returncode == Exit.INCOMPLETE


def test_a_closed_stdin_is_said(here) -> None:
    command = f"{sys.executable} -m aigov.cli redact <&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False, text=True)
    assert (done.returncode, done.stdout) == (Exit.CANNOT, "")
    assert done.stderr == "aigov: there is nothing to read: stdin is closed\n"


def test_a_denied_entity_is_hidden_not_passed(redact, here) -> None:
    layer = here / "policies" / "organisation.yaml"
    layer.write_text(layer.read_text().replace("default: tokenise", "default: deny"))
    code, out, _ = redact(b"jane@example.com\n")
    assert b"jane" not in out
    assert code in (Exit.OK, Exit.INCOMPLETE)

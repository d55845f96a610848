"""Signed notes and checkpoints: the published examples byte for byte, and nothing that only looks like them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigov.audit import note
from aigov.audit.note import Checkpoint, NoteError, VerifierKey
from aigov.crypto import public_ed25519

# The example key, text and signature of Go's sumdb/note, on which C2SP's signed-note is based.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PRIVATE = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = (
    TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()
# The examples that stand in C2SP's signed-note and tlog-checkpoint; the keys are not published with them.
VERSE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore "
    "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()
KEY = VerifierKey.parse(VKEY)
OTHER = VerifierKey("other.example/log", public_ed25519(b"o" * 32))


def test_the_published_example_opens_and_is_signed_again_byte_for_byte() -> None:
    assert note.open_note(SIGNED, [KEY]) == TEXT
    assert note.sign(TEXT, [(KEY, PRIVATE)]) == SIGNED
    assert str(KEY) == VKEY
    assert public_ed25519(PRIVATE) == KEY.public


def test_the_examples_of_the_specifications_are_read_and_written_as_they_stand() -> None:
    text, signatures = note.split(VERSE)
    assert text.endswith("sera.\n")
    assert [(name, len(signature)) for name, _, signature in signatures] == [("quasimodo.example/salvatore", 64)]
    text, _ = note.split(SOFA)
    checkpoint = Checkpoint.parse(text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.text() == text


def test_a_note_of_an_unknown_key_is_refused_and_its_lines_are_ignored_beside_a_known_one() -> None:
    with pytest.raises(NoteError, match="no trusted key"):
        note.open_note(SIGNED, [OTHER])
    both = SIGNED + note.sign(TEXT, [(OTHER, b"o" * 32)])[len(TEXT) + 1 :]
    assert note.open_note(both, [KEY]) == note.open_note(both, [OTHER]) == TEXT


def test_a_bad_signature_of_a_known_key_spoils_the_note() -> None:
    bad = bytearray(note.sign(TEXT, [(OTHER, b"x" * 32)])[len(TEXT) + 1 :])
    with pytest.raises(NoteError, match="not that of the key"):
        note.open_note(SIGNED + bytes(bad), [KEY, OTHER])


@pytest.mark.parametrize("position", range(0, len(SIGNED), 3))
def test_a_changed_byte_is_refused(position: int) -> None:
    changed = bytearray(SIGNED)
    changed[position] ^= 1
    with pytest.raises(NoteError):
        note.open_note(bytes(changed), [KEY])


@given(st.binary(max_size=300) | st.text().map(str.encode))
def test_any_bytes_are_refused_with_our_own_error(garbage: bytes) -> None:
    with pytest.raises(NoteError):
        note.open_note(garbage, [KEY])


@pytest.mark.parametrize(
    "vkey",
    [
        "", "x", "a+b", VKEY[:-1], VKEY + "=", VKEY.replace("c74f20a3", "c74f20a4"), VKEY.replace("c74", "C74"),
        "Peter Neumann" + VKEY[12:], "+" + VKEY, VKEY.replace("+AR", "+AB"), VKEY + "\n", "é" + VKEY[1:],
    ],
)  # fmt: skip
def test_what_is_no_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.parse(vkey)


ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="


@pytest.mark.parametrize(
    "text",
    [
        "", "o\n", "o\n1\n", f"o\n1\n{ROOT}", f"\n1\n{ROOT}\n", f"o\n01\n{ROOT}\n", f"o\n-1\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n", f"o\n1_0\n{ROOT}\n", f"o\n１\n{ROOT}\n", f"o\n\n{ROOT}\n", f"o\n1\n{ROOT}\nmore\n",
        f"o\n{2**63}\n{ROOT}\n", f"o\n1\n{ROOT[:-2]}J=\n", "o\n1\nAAAA\n", f"o\n1\n {ROOT}\n",
        f"o\n{'9' * 5000}\n{ROOT}\n",
        f"o\n1\n{ROOT[:20]}\n{ROOT[20:]}\n",
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_reads_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(OTHER.name, size, root)
    signed = note.sign(checkpoint.text(), [(OTHER, b"o" * 32)])
    assert note.open_checkpoint(signed, OTHER) == checkpoint


def test_a_checkpoint_about_another_log_is_refused() -> None:
    signed = note.sign(Checkpoint("another", 1, bytes(32)).text(), [(OTHER, b"o" * 32)])
    with pytest.raises(NoteError, match="another log"):
        note.open_checkpoint(signed, OTHER)


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n", "nul\0\n"])
def test_what_cannot_be_signed_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        note.sign(text, [(KEY, PRIVATE)])

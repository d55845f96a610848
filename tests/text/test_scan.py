"""The scanner: the same matches as in the whole text, for every expression and every text."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aigov.text import scan as scanning
from aigov.text.outline import outline
from aigov.text.scan import Expression, Scanner, Window, matches
from aigov.text.signs import Signs

FLAGS = int(regex.I | regex.M | regex.S)
EXPRESSIONS = (
    r"\b\d{3}[- .]?\d{2,4}\b", r"[a-c]{2,5}x", r"(?<![\w:])::(?:1{1,3})?(?![\w:])", r"a+b", r"(ab|a)(c|bcd)(d*)",
    r"\b[\w.+]+@\w+(?:\.\w+)+\b", r"(?:a|aa|a.)+(?:b|c)d", r"https?://[a-z.]{1,9}[.](?:com|co|de)(?:/[^\s]*)?",
    r"^a.{1,3}$", r"(\w)\1", r"(?P<q>['\"])x*(?P=q)", r"\bk\w", r"[^\sa-y]{2}", r"x(?=.*y)", r"x(?!.{0,3}y)",
    r"(?<=z.{1,4})a", r"\Ba\B", r"(?:\d\d)??1", r"a(?>b*)b?c", r"\w++-\w", r"(?i:K)[sſ]", r"(?-i:K)S", r"[^k]s",
    r"(?:^|(?<=\W))(é|ab|ſ)(?:(?=\W)|$)", r"\D\d{2}\D", r"\S\s\S", r"[١-٣]+", r"(a)?(?(1)b|c)d", r"I[ıİ]?1", r".{2}b",
    r"(?s:.)\Z", r"\Aa", r"\b(?=[a-z1-]*1)(?=[a-z1]{3,9}\b)[a-z]{1,3}-?\w{2,5}\b", r"a(?!\w*1)[bc]",
    r"(?<=\b(?:ab|xx)\s*(?::\s*)?)\d{2,4}\b", r"\b((?=.*?[xy])(?=.*?1{2})[\w@]{3})\b",
    r"(?:(?=1)\d|(?=a)\w){2}b", r"ab?c?d?", r"[ab.]{1,60}[.](?:co|de)(?:/[^\s]*)?", r"(?=a+b)[a-c]{1,30}d",
    r"(?:a{2}){2,}b?",
)  # fmt: skip
PIECES = [
    "a", "b", "c", "d", "x", "y", "z", "k", "K", "s", "ſ", "\u212a", "ı", "İ", "I", "1", "12", "123", "-", ".", " ",
    "@", "::", ":", "/", "https://", "com", "co", "de", "'", '"', "é", "١", "٢", "\u00a0", "\u200d", "_", "\n", "\t",
    "\ud800", "😀", "a@b.c", "ab", "\x1c", "ß", "\u0345",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text(max_size=60)


def spans(found: Any) -> list[tuple[int, int]]:
    return [match.span() for match in found]


def narrow(compiled: Any, text: str, windows: list[Window]) -> list[Any]:
    if windows and windows[0].last == len(text):  # no gate: such an expression may match the empty string
        return list(compiled.finditer(text))
    return matches(compiled.search, text, windows, compiled.match)


def narrowed(scanner: Scanner, index: int, compiled: Any, text: str) -> list[tuple[int, int]]:
    return spans(narrow(compiled, text, scanner.scan(text).get(index, [])))


@pytest.fixture(scope="module")
def scanner() -> Scanner:
    return Scanner([Expression(one, FLAGS) for one in EXPRESSIONS] + [Expression(one, 0) for one in EXPRESSIONS])


COMPILED = [regex.compile(one, FLAGS) for one in EXPRESSIONS] + [regex.compile(one) for one in EXPRESSIONS]


@settings(max_examples=400, deadline=None)
@given(texts)
def test_every_expression_finds_in_its_windows_what_it_finds_in_the_whole(scanner: Scanner, text: str) -> None:
    places = scanner.scan(text)
    for index, compiled in enumerate(COMPILED):
        found = spans(narrow(compiled, text, places.get(index, [])))
        assert found == [span for span in spans(compiled.finditer(text)) if span[0] < span[1]], compiled.pattern


def test_most_of_these_expressions_have_a_gate(scanner: Scanner) -> None:
    without = [one for one in EXPRESSIONS if outline(one, FLAGS) is None]
    assert without == []
    assert scanner.whole == 0


atoms = st.sampled_from([
    "a", "b", "k", "1", r"\d", r"\w", r"\s", ".", "[ab]", "[^a]", "[^a1]", r"\b", "(?=a)", "(?!b)", "(?<=a)",
    "(?<!1)", "^", "$", r"\W", r"[\d_]", "é", r"(?=\w*1)", "(?=a*b)", r"(?!a+\b)", "(?=.*1)", "(?<=a.)",
    r"(?=\d+$)", "s", r"\B", r"(?<=\b..)",
])  # fmt: skip
counts = st.sampled_from(["", "", "", "?", "*", "+", "{2}", "{1,3}", "{2,}", "+?", "*?", "{0,2}", "++"])


def branches(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    row = st.lists(st.tuples(inner, counts).map(lambda pair: pair[0] + pair[1]), min_size=1, max_size=4).map("".join)
    return row | st.tuples(row, row).map(lambda pair: f"(?:{pair[0]}|{pair[1]})") | row.map(lambda one: f"({one})")


@settings(max_examples=400, deadline=None)
@given(st.recursive(atoms, branches, max_leaves=8), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_expression_finds_the_same(expression: str, text: str) -> None:
    try:
        compiled = regex.compile(expression, FLAGS)
    except regex.error:
        assume(False)
    scanner = Scanner([Expression(expression, FLAGS)])
    expected = spans(compiled.finditer(text))
    if scanner.whole == 0:
        expected = [span for span in expected if span[0] < span[1]]
    assert narrowed(scanner, 0, compiled, text) == expected


@pytest.mark.parametrize("letter", [chr(code) for code in range(128)])
def test_no_character_of_any_script_equals_a_letter_unseen(letter: str, everything: str, kin: str) -> None:
    """Whatever the exact expression accepts, case ignored, is written as a byte that the gate accepts."""
    signs = Signs()
    for expression, among in ((regex.escape(letter), everything), (f"[^{regex.escape(letter)}]", kin)):
        seen = outline(expression, FLAGS)
        assert seen is not None
        assert set(signs.write("".join(regex.findall(expression, among, FLAGS)))) <= seen.alphabet


@pytest.mark.parametrize(
    "kind", [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", r"[^\W_]", r"[^\d\s]", r"[\w.-]", r"[^\w]"]
)
def test_kinds_of_characters_are_those_of_the_engine(kind: str, everything: str) -> None:
    seen = outline(kind, FLAGS)
    assert seen is not None
    accepted = set("".join(regex.findall(kind, everything, FLAGS)))
    assert set(Signs().write("".join(accepted))) <= seen.alphabet


def test_word_characters_are_written_as_such_and_others_not(everything: str) -> None:
    written = Signs().write(everything).decode("latin-1")
    word = regex.compile(r"\w")
    assert len(written) == len(everything)
    wrong = [char for char, sign in zip(everything, written, strict=True)
             if bool(word.match(char)) != bool(regex.match(r"(?a)\w", sign))]  # fmt: skip
    assert wrong == []


@pytest.fixture(scope="module")
def everything() -> str:
    return "".join(map(chr, range(0x110000)))


@pytest.fixture(scope="module")
def kin(everything: str) -> str:
    """ASCII, all that is ASCII in another case, and some of every kind."""
    related = [char for char in everything if (char.upper() + char.lower() + char.casefold()).encode("ascii", "ignore")]
    return "".join(related) + "".join(regex.findall(r"[\x00-\x7f]", everything, FLAGS)) + "é١\u00a0\u200d😀\ud800"


@pytest.mark.parametrize(
    "expression",
    [r"[[:alpha:]]1", r"\p{L}1", r"(?:ab){e<=1}", r"(?x) a b", r"(?a)\w1", r"a{,2}b{,}", r"\Kab", r"(?V1)[a--b]1",
     "(?r)ab", r"\L<x>", r"a*", r"\bx?", r"[a&&b]1", r"(?|a|b)", "(?i", r"(?R)?a", r"\N{DIGIT ONE}", "(?e)(?:ab){i}"],
)  # fmt: skip
def test_what_is_not_understood_has_no_outline(expression: str) -> None:
    assert outline(expression, FLAGS) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([one for one in PIECES if not regex.search(r"\d", one)]), max_size=40).map("".join))
def test_a_text_without_digits_is_read_as_any_other(scanner: Scanner, text: str) -> None:
    places = scanner.scan(text)
    for index, compiled in enumerate(COMPILED):
        found = spans(narrow(compiled, text, places.get(index, [])))
        assert found == [span for span in spans(compiled.finditer(text)) if span[0] < span[1]], compiled.pattern


@pytest.mark.parametrize(
    ("expression", "digit"),
    [(r"a\d?", False), (r"(?:a|\d)b", False), (r"a(?:1|[2-4]){2}", True), (r"(?=\w*\d)\w{3}", True),
     (r"(?!\d)\w", False),
     (r"(?:\d|b9)c", True), (r"[\dx]", False), (r"(?<=\d)a", True), (r"٣", False)],
)  # fmt: skip
def test_what_needs_a_digit_is_known(expression: str, digit: bool) -> None:
    seen = outline(expression, FLAGS)
    assert seen is not None
    assert seen.digit == digit


def test_a_flag_in_the_middle_that_says_nothing_new_is_understood() -> None:
    expression = r"\b(?i)(ab|K1)"
    compiled = regex.compile(expression, FLAGS)
    assert outline(expression, FLAGS) is not None
    assert outline(expression, 0) is None
    scanner = Scanner([Expression(expression, FLAGS)])
    for text in ("xAB ab k1 \u212a1", "x", "Ab"):
        assert narrowed(scanner, 0, compiled, text) == spans(compiled.finditer(text))


def test_what_an_assertion_wants_must_stand_somewhere() -> None:
    scanner = Scanner([Expression(r"(?<=claim\s)\d{4}", FLAGS), Expression(r"(?=[a-z]*9)\w{4}", FLAGS)])
    assert scanner.scan("the number 1234 is here") == {}
    assert scanner.scan("a claim for 1234").keys() == {0}


def test_what_is_wanted_near_takes_linear_time() -> None:
    """Every `a` opens a window up to the end of all, and in none of them stands a 1."""
    scanner = Scanner([Expression(r"\ba(?=[ a-z]*1)", FLAGS)])
    looked: list[int] = []
    (members,) = scanner._members.values()
    (search,) = members[0].edges.near

    def counting(data: bytes, first: int, *stop: int) -> Any:
        looked.append((stop[0] if stop else len(data)) - first)
        return search(data, first, *stop)

    members[0] = members[0]._replace(edges=members[0].edges._replace(near=(counting,)))
    text = "1 . " + "a b " * 5_000
    assert scanner.scan(text) == {}
    assert sum(looked) <= 2 * len(text)


@pytest.mark.parametrize("wanted", ["c(?:a+)+b", "x[a-z]*1", "(?:a|a?b){9}c", "c.{90}d"])
def test_what_would_be_slow_to_look_for_is_looked_for_by_the_one_pass_alone(wanted: str) -> None:
    seen = outline(f"x(?={wanted})", FLAGS)
    assert seen is not None
    assert seen.near == ()
    assert len(seen.also) == 1
    scanner = Scanner([Expression(f"x(?={wanted})", FLAGS)])
    began = time.monotonic()
    scanner.scan("cab x11 " + "xc" + "a" * 40 + "x" * 20_000)
    assert time.monotonic() - began < 2


def test_an_expression_without_outline_reads_the_whole_text() -> None:
    scanner = Scanner([Expression(r"\p{L}1", FLAGS), Expression("ab", FLAGS)])
    assert scanner.scan("xx") == {0: [Window(0, 2, 2)]}
    assert scanner.whole == 1


def test_clean_text_has_no_windows(scanner: Scanner) -> None:
    only = Scanner([Expression(r"\b\d{9}\b", FLAGS), Expression(r"\w+@\w+\.\w+", FLAGS)])
    assert only.scan("the parcel came late, at 12345678 or so, and é too") == {}


def test_windows_stay_near_the_matches() -> None:
    only = Scanner([Expression(r"\b\d{3}-\d{4}\b", FLAGS), Expression(r"\b\w+@\w+\b", FLAGS)])
    text = "a" * 500 + " 555-0100 jane@example " + "b" * 500
    assert only.scan(text) == {0: [Window(501, 501, 510)], 1: [Window(510, 519, 523)]}


def test_without_hyperscan_the_same_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hyperscan", None)
    plain = Scanner([Expression(one, FLAGS) for one in EXPRESSIONS])
    assert (plain.made, plain.whole) == ("absent", len(EXPRESSIONS))
    text = "ab 555-0100 a@b.c https://a.com/x"
    for index, compiled in enumerate(COMPILED[: len(EXPRESSIONS)]):
        assert narrowed(plain, index, compiled, text) == spans(compiled.finditer(text))


def test_threads_scan_at_once(scanner: Scanner) -> None:
    text = "ab 555-0100 a@b.c https://a.com/x é " * 50
    alone, wrong = scanner.scan(text), []

    def work() -> None:
        for _ in range(20):
            if scanner.scan(text) != alone:
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


def test_a_database_is_compiled_once_and_read_afterwards(tmp_path: Path) -> None:
    some = [Expression(one, FLAGS) for one in EXPRESSIONS]
    first, second = Scanner(some, tmp_path), Scanner(some, tmp_path)
    assert (first.made, second.made) == ("compiled", "cached")
    text = "ab 555-0100 a@b.c https://a.com/x"
    assert first.scan(text) == second.scan(text)
    assert Scanner(some[1:], tmp_path).made == "compiled"


def test_compiling_is_said_aloud_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = [Expression("ab+c", FLAGS)]
    Scanner(some, tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        "compiling 1 patterns, which takes some seconds, once for each set of them"
    ]
    caplog.clear()
    Scanner(some, tmp_path)
    Scanner(some)
    assert caplog.records == []


def test_that_nothing_can_be_kept_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    assert Scanner([Expression("ab+c", FLAGS)], tmp_path / "file" / "folder").made == "compiled"
    assert "cannot be kept" in caplog.text


def test_a_flipped_byte_is_refused_and_compiled_anew(tmp_path: Path) -> None:
    some = [Expression("ab+c", FLAGS)]
    Scanner(some, tmp_path)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for at in (0, 40, len(whole) // 2, len(whole) - 1):
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert Scanner(some, tmp_path).made == "compiled"
        assert Scanner(some, tmp_path).made == "cached"
    kept.write_bytes(whole[: len(whole) // 2])
    assert Scanner(some, tmp_path).made == "compiled"


def test_a_database_of_another_build_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [Expression("ab+c", FLAGS)]
    Scanner(some, tmp_path)
    (kept,) = tmp_path.iterdir()
    scanning.cache.write(tmp_path, kept.name, b"\nnot a database")
    assert Scanner(some, tmp_path).made == "compiled"
    monkeypatch.setattr(scanning, "FORMAT", "0")
    assert Scanner(some, tmp_path).made == "compiled"
    assert len(list(tmp_path.iterdir())) == 2


def test_an_expression_that_the_scanner_refuses_reads_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "|".join(
        "".join(map(chr, (97 + n % 26, 97 + n // 26 % 26, 97 + n // 676 % 26, 97 + n % 7))) for n in range(9000)
    )
    scanner = Scanner([Expression(rf"x(?:{many})", FLAGS), Expression("ab", FLAGS)])
    assert scanner.whole == 1
    assert set(scanner.scan("ab")) == {0, 1}


@pytest.mark.parametrize(
    ("expression", "count"),
    [(r"\b\d{3}-\d\b", 1), (r"\d{8,17}", 10), (r"(?:a|b|cd)[- ]?x", 6), (r"(?:a|aa){1,3}", 14), (r"(?!a?b{2,4})\w", 6),
     (r"(a)\1", 1), (r"(?:(?:a|b1)c?){3}", 64), (r"a?+b", 2), (r"(?:a|b){3}", 1),
     (r"a+", None), (r"(?=a*b)a", None), (r"(?:a|b1){1,80}", None)],
)  # fmt: skip
def test_the_ways_of_an_expression_are_counted(expression: str, count: int | None) -> None:
    seen = outline(expression, FLAGS)
    assert seen is not None
    assert seen.ways == count


@settings(max_examples=200, deadline=None)
@given(st.recursive(atoms, branches, max_leaves=8), st.text("ab1k. ", max_size=9))
def test_no_text_is_matched_in_more_ways_than_are_counted(expression: str, text: str) -> None:
    """Every end that a match from the beginning may have is a way of its own."""
    seen = outline(expression, FLAGS)
    assume(seen is not None and seen.ways is not None)
    ends = [end for end in range(len(text) + 1) if regex.fullmatch(f"(?:{expression})", text, FLAGS, 0, end)]
    assert len(ends) <= seen.ways

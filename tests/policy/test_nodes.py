"""YAML into nodes: every place is right, and nothing is constructed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aigov.errors import PolicyError
from aigov.policy import nodes
from aigov.policy.nodes import MAX_CHARS, MAX_NODES, MAX_PROBLEMS, Entries, Items, Node, Scalar, locate, parse, shown

Problems = Callable[[Callable[[], object]], list[str]]
NAMES = st.text("abcdefgh", min_size=1, max_size=4)
LEAVES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=12)
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))


def plain(node: Node) -> object:
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    if isinstance(node, Entries):
        return {key.text: plain(value) for key, value in node.pairs}
    return node.text


def scalars(node: Node) -> list[Scalar]:
    if isinstance(node, Items):
        return [leaf for item in node.items for leaf in scalars(item)]
    if isinstance(node, Entries):
        return [leaf for key, value in node.pairs for leaf in (key, *scalars(value))]
    return [node]


@given(TREES, st.booleans())
def test_what_is_written_is_what_is_read(tree: object, flow: bool) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    try:
        read = parse(text, "f")
    except PolicyError:
        # The dumper may repeat no object here, so that only characters can be refused.
        assert nodes._UNWELCOME.search(text)
    else:
        assert plain(read) == tree


@given(TREES)
def test_every_place_holds_what_was_read_there(tree: object) -> None:
    text = yaml.safe_dump(tree, default_style=None, allow_unicode=True, width=1000)
    if nodes._UNWELCOME.search(text):
        return
    lines = text.split("\n")
    for leaf in scalars(parse(text, "f")):
        here = lines[leaf.where.line - 1][leaf.where.column - 1 :]
        assert here.startswith(leaf.raw.split("\n")[0])
        assert leaf.style or leaf.raw == leaf.text


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(PolicyError):
        parse(text, "f")


def test_places_count_characters_not_bytes() -> None:
    root = parse('{"é😀": ü}', "f")
    assert isinstance(root, Entries)
    assert root.pairs[0][1].where == ("f", 1, 8)


class TestInside:
    """Where a place inside of a text stands in the file."""

    def place(self, text: str, line: int, column: int) -> tuple[int, int]:
        root = parse(text, "f")
        assert isinstance(root, Entries)
        value = root.pairs[0][1]
        assert isinstance(value, Scalar)
        found = value.inside(line, column)
        return found.line, found.column

    def test_a_plain_text(self) -> None:
        assert self.place("a: xyz", 1, 3) == (1, 6)

    def test_a_single_quoted_text(self) -> None:
        assert self.place("a: 'xyz'", 1, 3) == (1, 7)

    def test_doubled_quotes_count_twice(self) -> None:
        assert self.place("a: 'x''y''z'", 1, 5) == (1, 11)

    def test_a_double_quoted_text_without_escapes(self) -> None:
        assert self.place('a: "xyz"', 1, 3) == (1, 7)

    def test_a_double_quoted_text_with_escapes_gives_its_start(self) -> None:
        assert self.place('a: "x\\nyz"', 1, 3) == (1, 4)

    def test_a_folded_text_gives_its_start(self) -> None:
        assert self.place("a: >\n  xy\n  z\n", 1, 3) == (1, 4)
        assert self.place("a: x\n  y\n", 1, 3) == (1, 4)

    def test_a_block_text(self) -> None:
        assert self.place("a: |\n    x\n      yz\n", 2, 3) == (3, 7)

    def test_a_block_text_with_its_indent_given_gives_its_start(self) -> None:
        assert self.place("a: |2\n    x\n  yz\n", 2, 1) == (1, 4)

    def test_a_line_that_is_not_there_gives_its_start(self) -> None:
        assert self.place("a: |\n  x\n", 9, 1) == (1, 4)
        assert self.place("a: x", 2, 1) == (1, 4)


class TestLocate:
    ROOT = parse("a:\n  b: {c: [x, {d: y}]}\n  e: z\n", "f")

    @pytest.mark.parametrize(
        ("path", "place"),
        [
            ((), (1, 1)),
            (("a",), (1, 1)),  # a map stands at its key
            (("a", "b"), (2, 3)),
            (("a", "b", "c"), (2, 7)),
            (("a", "b", "c", 0), (2, 11)),
            (("a", "b", "c", 1), (2, 14)),
            (("a", "b", "c", 1, "d"), (2, 18)),  # a text stands at itself
            (("a", "b", "c", 1, "d#"), (2, 15)),  # its key, where that is asked for
            (("a", "e"), (3, 6)),
            (("a", "e#"), (3, 3)),
            (("a", "missing"), (1, 1)),  # the nearest that is there
            (("a", "b", "missing", "deeper"), (2, 3)),
            (("a", "b", "c", 7), (2, 7)),
            (("a", "e", "deeper"), (3, 6)),
            (("missing",), (1, 1)),
            (("a", 0), (1, 1)),
        ],
    )
    def test_a_path_leads_to_its_place(self, path: tuple[str | int, ...], place: tuple[int, int]) -> None:
        assert locate(self.ROOT, path)[1:] == place


def test_a_key_that_ends_in_a_hash_is_found_itself() -> None:
    assert locate(parse("{a: x, a#: y}", "f"), ("a#",)) == ("f", 1, 12)


@pytest.mark.parametrize("text", ["[" * 40 + "]" * 40, "{a: " * 40 + "}" * 40, "- " * 40 + "x", "[" * 100_000])
def test_deep_nesting_is_refused_before_it_exhausts_the_stack(text: str, problems_of: Problems) -> None:
    assert "levels deep" in problems_of(lambda: parse(text, "f"))[-1]


def test_too_many_characters_are_refused(problems_of: Problems) -> None:
    assert "characters" in problems_of(lambda: parse("#" * (MAX_CHARS + 1), "f"))[0]


def test_too_many_entries_are_refused(problems_of: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MAX_NODES", 50)
    assert MAX_NODES > 50
    assert "over 50 entries" in problems_of(lambda: parse("[" + "a," * 60 + "]", "f"))[0]


def test_a_flood_of_problems_is_cut(problems_of: Problems) -> None:
    assert len(problems_of(lambda: parse("a: &x 1\n" * 500, "f"))) == MAX_PROBLEMS
    assert len(problems_of(lambda: parse("\t\n" * 500, "f"))) == MAX_PROBLEMS


def test_problems_before_a_break_in_the_form_are_told_too(problems_of: Problems) -> None:
    told = problems_of(lambda: parse("a: &x 1\nb: 'open\n", "f"))
    assert [line.split(" ")[0] for line in told] == ["1:4", "2:4"]


@pytest.mark.parametrize("char", ["\t", "\x00", "\x7f", "\x85", "\u200b", "\u202e", "\u2066", "\u2028", "\U000e0041"])
def test_a_character_that_hides_is_refused_at_its_place(char: str, problems_of: Problems) -> None:
    assert problems_of(lambda: parse(f"a: b\nc: d{char}e\n", "f"))[0].startswith("2:5 ")


def test_a_lone_carriage_return_is_refused(problems_of: Problems) -> None:
    assert "carriage return" in problems_of(lambda: parse("a: b\rc: d\n", "f"))[0]


def test_escapes_say_what_bare_characters_may_not() -> None:
    root = parse('"\\u202e\\t"', "f")
    assert isinstance(root, Scalar)
    assert root.text == "\u202e\t"


@given(st.text(max_size=200))
def test_a_shown_name_is_one_short_printable_line(text: str) -> None:
    name = shown(text)
    assert name.isprintable()
    assert len(name) <= 60 * 6 + 3

"""Casbin's matcher text as a Python expression tree, read the way pycasbin reads it.

Invariants:
* Nothing is executed: the text is parsed, and the tree is only looked at.
* `r.sub` and `p.obj` are the names `r_sub` and `p_obj`, as inside Casbin; only the first suffix that
  occurs (`r2.` say) is known to it, and so it is here.
* `eval(p.rule)` stands for the text of that field of the rule at hand, in brackets.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

PATTERN_FUNCTIONS = frozenset({
    "keyMatch", "keyMatch2", "keyMatch3", "keyMatch4", "keyMatch5", "regexMatch", "globMatch", "ipMatch",
})  # fmt: skip
FUNCTIONS = PATTERN_FUNCTIONS | {"timeMatch"}
EVAL = re.compile(r"\beval\((?P<rule>[^)]*)\)")
MAX_CHARS = 8192
MAX_DEPTH = 64


class Unreadable(ValueError):
    """A matcher that is no expression. The message says why, and quotes nothing."""


def names(text: str) -> str:
    """`r.x` as `r_x` and `p.x` as `p_x`, for the first suffix of each that occurs, as Casbin does."""
    for letter in "pr":
        first = re.search(rf"\b{letter}(\d*)\.", text)
        if first:
            prefix = letter + first.group(1)
            text = re.sub(rf"\b{prefix}\.", f"{prefix}_", text)
    return text


def evaluated(text: str) -> list[str]:
    """The names of the rule fields that `eval(...)` asks for, in order: `p_sub_rule`."""
    return [found.group("rule") for found in EVAL.finditer(names(text))]


def tree(text: str, rules: Sequence[str] = ()) -> ast.expr:
    """The expression of a matcher. `rules` are the texts that each `eval(...)` stands for, in order.

    Raises Unreadable. Where `rules` is empty an `eval(x)` stays a call in the tree.
    """
    text = names(text)
    if rules:
        given = iter(rules)
        text = EVAL.sub(lambda _: "(" + names(next(given)) + ")", text)
    if len(text) > MAX_CHARS:
        raise Unreadable("the matcher is too long")
    text = re.sub(r"!(?!=)", "not ", text.replace("&&", "and").replace("||", "or"))
    problem = ""
    try:
        with warnings.catch_warnings():
            # A backslash in a text, as regular expressions have it, is what Casbin takes it for.
            warnings.simplefilter("ignore")
            body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        problem = f"no expression: {error.msg}" if isinstance(error, SyntaxError) else "no expression"
        body = []
    if problem or len(body) != 1 or not isinstance(body[0], ast.Expr):
        raise Unreadable(problem or "not one expression")
    if _deeper(body[0].value, MAX_DEPTH):
        raise Unreadable(f"nested over {MAX_DEPTH} deep")
    return body[0].value


def referenced(node: ast.AST) -> set[str]:
    """Every name in an expression: request fields, rule fields and functions."""
    return {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}


def _deeper(node: ast.AST, limit: int) -> bool:
    """Whether a tree is nested deeper than `limit`; gone through level by level, so that depth costs no stack."""
    level: list[ast.AST] = [node]
    for _ in range(limit):
        level = [child for each in level for child in ast.iter_child_nodes(each)]
    return bool(level)

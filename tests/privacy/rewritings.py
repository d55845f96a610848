"""Ways in which a model, a program or a person hands a token back. Each keeps the eight letters of its code in order.

`REWRITINGS[name](entity, code)` is the token rewritten; `SENTENCES` is what it stands in. `UNTOUCHED` are near
misses, from which nothing may come back, as functions of the token's entity and code and of another live code.
"""

from __future__ import annotations

import base64
import html
import json
import urllib.parse
from collections.abc import Callable

Rewriting = Callable[[str, str], str]


def _token(entity: str, code: str) -> str:
    return f"[{entity}_{code}]"


def _bare(entity: str, code: str) -> str:
    return f"{entity}_{code}"


def _wide(text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _camel(entity: str, code: str) -> str:
    return "".join(word.capitalize() for word in entity.split("_")) + "_" + code


def _alternate(text: str) -> str:
    return "".join(char.lower() if at % 2 else char.upper() for at, char in enumerate(text))


def _quoted_all(text: str) -> str:
    return "".join(f"%{ord(char):02X}" if not char.isalnum() else char for char in text)


REWRITINGS: dict[str, Rewriting] = {
    # as it was, and in another case
    "as it was": _token,
    "lower case": lambda e, c: _token(e, c).lower(),
    "title case": lambda e, c: _token(e, c).title(),
    "case of every other letter": lambda e, c: _alternate(_token(e, c)),
    "lower-case label": lambda e, c: _token(e.lower(), c),
    "lower-case code": lambda e, c: _token(e, c.lower()),
    # brackets
    "no brackets": _bare,
    "no brackets, lower case": lambda e, c: _bare(e, c).lower(),
    "opening bracket lost": lambda e, c: _bare(e, c) + "]",
    "closing bracket lost": lambda e, c: "[" + _bare(e, c),
    "double brackets": lambda e, c: f"[{_token(e, c)}]",
    "round brackets": lambda e, c: f"({_bare(e, c)})",
    "curly brackets": lambda e, c: f"{{{_bare(e, c)}}}",
    "template brackets": lambda e, c: f"{{{{ {_bare(e, c)} }}}}",
    "shell variable": lambda e, c: f"${{{_bare(e, c)}}}",
    "angle brackets": lambda e, c: f"<{_bare(e, c)}>",
    "empty tag": lambda e, c: f"<{_bare(e, c)} />",
    "lenticular brackets": lambda e, c: f"【{_bare(e, c)}】",
    "mathematical brackets": lambda e, c: f"⟦{_bare(e, c)}⟧",
    "corner brackets": lambda e, c: f"「{_bare(e, c)}」",
    "space inside the brackets": lambda e, c: f"[ {_bare(e, c)} ]",
    "per cent signs": lambda e, c: f"%{_bare(e, c)}%",
    "at sign": lambda e, c: f"@{_bare(e, c)}",
    # full-width and other forms
    "full-width brackets": lambda e, c: f"［{_bare(e, c)}］",
    "full-width throughout": lambda e, c: _wide(_token(e, c)),
    "full-width code": lambda e, c: _token(e, _wide(c)),
    "full-width low line": lambda e, c: _token(e, c).replace("_", "＿"),
    # Markdown
    "bold": lambda e, c: f"**{_token(e, c)}**",
    "bold inside the brackets": lambda e, c: f"[**{_bare(e, c)}**]",
    "bold, no brackets": lambda e, c: f"**{_bare(e, c)}**",
    "bold with low lines": lambda e, c: f"__{_bare(e, c)}__",
    "italic": lambda e, c: f"*{_token(e, c)}*",
    "italic with low lines": lambda e, c: f"_{_bare(e, c)}_",
    "struck out": lambda e, c: f"~~{_bare(e, c)}~~",
    "code": lambda e, c: f"`{_token(e, c)}`",
    "code, no brackets": lambda e, c: f"`{_bare(e, c)}`",
    "code block": lambda e, c: f"\n```text\n{_bare(e, c)}\n```\n",
    "link text": lambda e, c: f"[{_token(e, c)}](https://example.com)",
    "link text, no brackets of its own": lambda e, c: f"[{_bare(e, c)}](https://example.com)",
    "link target": lambda e, c: f"[write to them](mailto:{_bare(e, c)})",
    "automatic link": lambda e, c: f"<mailto:{_bare(e, c)}>",
    "heading": lambda e, c: f"\n## {_bare(e, c)}\n",
    "list entry": lambda e, c: f"\n- {_bare(e, c)}\n",
    "table cell": lambda e, c: f"\n|to|{_bare(e, c)}|\n",
    "escaped low lines": lambda e, c: _token(e, c).replace("_", "\\_"),
    "escaped brackets": lambda e, c: f"\\[{_bare(e, c)}\\]",
    "all of it escaped": lambda e, c: f"\\[{_bare(e, c)}\\]".replace("_", "\\_"),
    # grammar
    "possessive": lambda e, c: f"{_token(e, c)}'s",
    "possessive, no brackets": lambda e, c: f"{_bare(e, c)}'s",
    "possessive, curly apostrophe": lambda e, c: f"{_bare(e, c)}’s",
    "plural": lambda e, c: f"{_token(e, c)}s",
    "plural, no brackets": lambda e, c: f"{_bare(e, c)}s",
    "hyphenated after": lambda e, c: f"{_bare(e, c)}-based",
    "hyphenated before": lambda e, c: f"non-{_bare(e, c)}",
    "quoted": lambda e, c: f'"{_bare(e, c)}"',
    "guillemets": lambda e, c: f"«{_bare(e, c)}»",
    "end of a sentence": lambda e, c: f"{_bare(e, c)}.",
    "slash": lambda e, c: f"{_bare(e, c)}/fax",
    # the label
    "no label": lambda e, c: f"[{c}]",
    "no label, no brackets": lambda e, c: c,
    "no label, lower case": lambda e, c: c.lower(),
    "first word of the label": lambda e, c: f"[{e.split('_')[0]}_{c}]",
    "last word of the label": lambda e, c: f"[{e.split('_')[-1]}_{c}]",
    "spaces for low lines": lambda e, c: _token(e, c).replace("_", " "),
    "spaces for low lines, no brackets": lambda e, c: _bare(e, c).replace("_", " "),
    "hyphens for low lines": lambda e, c: _token(e, c).replace("_", "-"),
    "a slug": lambda e, c: _bare(e, c).replace("_", "-").lower(),
    "en dashes for low lines": lambda e, c: _token(e, c).replace("_", "–"),
    "dots for low lines": lambda e, c: _bare(e, c).replace("_", "."),
    "no low lines": lambda e, c: _token(e, c).replace("_", ""),
    "camel case": _camel,
    "a colon": lambda e, c: f"{e}: {c}",
    "a colon in brackets": lambda e, c: f"[{e}: {c}]",
    "a longer name": lambda e, c: f"CUSTOMER_{_bare(e, c)}",
    "prose before the code": lambda e, c: f"{e.replace('_', ' ').lower()} {c}",
    # lines and spaces
    "split after the label": lambda e, c: f"[{e}_\n{c}]",
    "split in the code": lambda e, c: f"[{e}_{c[:4]}\n{c[4:]}]",
    "split in the code, indented": lambda e, c: f"[{e}_{c[:3]}\r\n    {c[3:]}]",
    "split in the label": lambda e, c: f"[{e.replace('_', chr(10) + '_', 1)}_{c}]",
    "split with a hyphen": lambda e, c: f"{e}_{c[:5]}-\n{c[5:]}",
    "split in a quoted reply": lambda e, c: f"> so [{e}_{c[:2]}\n> {c[2:]}] wrote",
    "spaced code": lambda e, c: f"[{e}_{c[:4]} {c[4:]}]",
    "spelt": lambda e, c: f"[{e}_{' '.join(c)}]",
    "spelt with hyphens": lambda e, c: f"{e}: {'-'.join(c)}",
    "non-breaking space": lambda e, c: f"[{e}_{c[:4]}\u00a0{c[4:]}]",
    "zero-width space": lambda e, c: f"[{e}_{c[:4]}\u200b{c[4:]}]",
    "zero-width joiners all through": lambda e, c: "\u200d".join(_token(e, c)),
    "soft hyphen": lambda e, c: f"[{e}_{c[:4]}\u00ad{c[4:]}]",
    "byte order mark before the code": lambda e, c: f"[{e}_\ufeff{c}]",
    "soft break entity": lambda e, c: f"[{e}_{c[:4]}&#8203;{c[4:]}]",
    # escapes
    "JSON string": lambda e, c: json.dumps({"to": _token(e, c)}),
    "JSON in a JSON string": lambda e, c: json.dumps(json.dumps({"to": _token(e, c)})),
    "JSON, brackets by number": lambda e, c: f'"\\u005b{e}_{c}\\u005d"',
    "JSON, all signs by number": lambda e, c: f'"\\u005b{e}_{c}\\u005d"'.replace("_", "\\u005f"),
    "JSON, after a line end": lambda e, c: f'"Dear\\n{_bare(e, c)}\\nHello"',
    "HTML entities": lambda e, c: f"&#91;{e}_{c}&#93;",
    "HTML entities, hexadecimal": lambda e, c: f"&#x5B;{e}_{c}&#x5D;",
    "HTML entities by name": lambda e, c: f"&lbrack;{e}_{c}&rsqb;".replace("_", "&lowbar;"),
    "HTML escaped angle brackets": lambda e, c: html.escape(f"<{_bare(e, c)}>"),
    "HTML tags": lambda e, c: f"<b>{_bare(e, c)}</b>",
    "HTML tags inside": lambda e, c: f"[{e}_<b>{c}</b>]",
    "URL": lambda e, c: f"https://example.com/?to={urllib.parse.quote(_token(e, c))}&x=1",
    "URL, no brackets": lambda e, c: f"https://example.com/?to={_bare(e, c)}&x=1",
    "URL, every sign": lambda e, c: _quoted_all(_token(e, c)),
    "URL, twice": lambda e, c: urllib.parse.quote(urllib.parse.quote(_token(e, c))),
    # programs
    "file name": lambda e, c: f"{_bare(e, c)}.txt",
    "path": lambda e, c: f"/home/{_bare(e, c).lower()}/inbox",
    "assignment": lambda e, c: f"TO={_bare(e, c)}",
    "call": lambda e, c: f'send("{_token(e, c)}")',
    "CSV": lambda e, c: f'"1","{_bare(e, c)}","x"',
    "XML element": lambda e, c: f"<to>{_bare(e, c)}</to>",
    "diff": lambda e, c: f"\n-to: nobody\n+to: {_bare(e, c)}\n",
}

SENTENCES = ("{}", "I have written to {} and will be in touch.", "Dear {},\n\nthank you. {}\n", '{{"note": "{}"}}')

Near = Callable[[str, str, str], str]


def _next_letter(letter: str) -> str:
    alphabet = "BCDFGHJKMNPQRSTVWXZ"
    return alphabet[(alphabet.index(letter) + 1) % len(alphabet)]


UNTOUCHED: dict[str, Near] = {
    "a letter changed": lambda e, c, o: f"[{e}_{_next_letter(c[0])}{c[1:]}]",
    "a letter changed, no brackets": lambda e, c, o: f"{e}_{c[:7]}{_next_letter(c[7])}",
    "a letter lost": lambda e, c, o: f"[{e}_{c[1:]}]",
    "another letter more": lambda e, c, o: f"{e}_{c}B",
    "a digit more": lambda e, c, o: f"{e}_{c}7",
    "an accent on the last letter": lambda e, c, o: f"[{e}_{c}\u0301]",
    "an accent in front": lambda e, c, o: f"cafe\u0301{c}",
    "letters in front": lambda e, c, o: f"abc{c}",
    "inside of a word": lambda e, c, o: f"ab{c}ab",
    "backwards": lambda e, c, o: f"[{e}_{c[::-1]}]" if c[::-1] != c else "",
    "another type": lambda e, c, o: f"[OF_ANOTHER_KIND_{c}]",
    "another type, no brackets": lambda e, c, o: f"OF_ANOTHER_KIND_{c}",
    "another type, lower case": lambda e, c, o: f"of_another_kind_{c.lower()}",
    "another type, spaces": lambda e, c, o: f"OF ANOTHER KIND {c}",
    "another word": lambda e, c, o: f"ticket_{c}",
    "another word with a hyphen": lambda e, c, o: f"ticket-{c}",
    "vowels between": lambda e, c, o: f"[{e}_{c[:4]}a{c[4:]}]",
    "the code alone in base64": lambda e, c, o: base64.b64encode(c.encode()).decode(),
    "two codes without a break": lambda e, c, o: f"{c}{o}",
    "the type alone": lambda e, c, o: f"[{e}]",
    "Kelvin and long s": lambda e, c, o: f"[{e}_{c[:7]}\u212a]",
}

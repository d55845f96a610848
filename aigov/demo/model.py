"""A scripted language model: answers and streams, on this machine, the same way every time.

Invariants:
* It knows nothing but the text that it is given.
* It refers to people and orders by what stands in the text, so a token stays a token.
* Now and then it brings an address of its own, as real models do: that one is nobody's to restore.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

FOREIGN = "fraud.desk@cardwatch.example.net"
TOKEN = re.compile(r"\[[A-Z][A-Z0-9_]*_[B-Z]{8}\]")
CHUNK_CHARS = 7


class Script(NamedTuple):
    """What to say when one of `words` occurs. `{order}` and `{contact}` are what the text offers."""

    words: tuple[str, ...]
    text: str
    confidence: float = 0.96


SCRIPTS = (
    Script(
        ("do not recognise", "signed in to my account", "declined but"),
        "I have stopped {order} and told our fraud desk. Write to {foreign} if you see another charge; "
        "we will call {contact} today.",
    ),
    Script(
        ("right of access", "article 17"),
        "Our privacy desk has your request. The answer goes to {contact} within a month.",
    ),
    Script(("unsubscribe",), "Done: no newsletter goes to {contact} any more, nor to {other}."),
    Script(("log in",), "A new sign-in link is on its way to {contact}. It works for one hour."),
    Script(
        ("refund", "all of it back", "dollars back", "erstatten", "zwrot", "twice", "hole in them", "virer"),
        "I have checked {order}: you are right. The money goes back to {account}. I have sent {contact} a note.",
    ),
    Script(
        ("factura", "bank details", "unpaid invoice"),
        "The invoice desk has {order}. They write to {contact} by tomorrow and check {account} by telephone first.",
    ),
    Script(
        ("returnere", "wrong size", "返送", "not a repair", "boots"),
        "A return label for {order} is on its way to {contact}. Please keep the box.",
    ),
    Script(
        ("webhook", "app crashes", "screen reader"),
        "Our developers have it, with your report. They will write to {contact} when it is mended.",
    ),
    Script(("sold out",), "Two pairs are left in the shop in town. Shall I put one aside for you?"),
    Script(("gift card",), "The card is valid again. I have told {contact} too."),
    Script(("add a 2nd",), "Added to {order}, and the new number {contact} is on it."),
    Script(("amazing",), "How kind! I will tell Sam. Enjoy {order}."),
    Script(("a call",), "A person calls {contact} within the hour, about {order}. I am sorry."),
    Script(
        ("parcel", "my stuff", "paket", "gelmedi", "driver", "arriv", "kayak", "arrive"),
        "I am looking for {order}. As soon as the carrier answers I tell {contact}.",
    ),
    Script(("anyone there",), "Hello! What can I do for you?"),
)
LOST = Script((), "I think this is about a delivery. Shall I start a search?", 0.41)


class LocalModel:
    """The model. `answer` and `stream` take a text as a provider gets it.

    `seen` and `said` hold the last text that it was given and the last that it answered, to be shown.
    """

    def __init__(self) -> None:
        self.seen = ""
        self.said = ""

    def answer(self, text: str) -> dict[str, Any]:
        """The whole reply at once: its `text`, and the `confidence` in it, 0 to 1."""
        script = next((one for one in SCRIPTS if any(word in text.lower() for word in one.words)), LOST)
        self.seen, self.said = text, script.text.format_map(_offers(text))
        return {"text": self.said, "confidence": script.confidence}

    def stream(self, text: str) -> Iterator[str]:
        """The same reply in pieces of a few characters, cut without regard to words or tokens."""
        said = self.answer(text)["text"]
        yield from (said[at : at + CHUNK_CHARS] for at in range(0, len(said), CHUNK_CHARS))


def _offers(text: str) -> dict[str, str]:
    """What a reply can refer to, in the words of `text`."""
    tokens = list(dict.fromkeys(TOKEN.findall(text)))
    contacts = [token for token in tokens if "EMAIL" in token] + [token for token in tokens if "PHONE" in token]
    accounts = [token for kind in ("IBAN", "CREDIT_CARD") for token in tokens if kind in token]
    orders = [token for token in tokens if "ORDER_ID" in token]
    return {
        "order": " and ".join(orders) or "your order",
        "contact": contacts[0] if contacts else "you",
        "other": contacts[1] if len(contacts) > 1 else "anyone else",
        "account": accounts[0] if accounts else "where it came from",
        "foreign": FOREIGN,
    }

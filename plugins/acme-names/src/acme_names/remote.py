"""The recogniser itself: one question to the service for each text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec
from presidio_analyzer import RecognizerResult, RemoteRecognizer

MOST_BYTES = 1_000_000


class Found(msgspec.Struct, frozen=True):
    """One entry of an answer."""

    type: str
    start: int
    end: int
    score: float


class NoAnswer(Exception):
    """The service did not answer as it should. Holds nothing of what it said."""


class Remote(RemoteRecognizer):
    """What the service at `url` finds. `timeout_s`: seconds that it may take to say something."""

    def __init__(self, url: str, entities: Sequence[str], context: Sequence[str], timeout_s: float) -> None:
        self._url, self._timeout_s = urlsplit(url), timeout_s
        super().__init__(list(entities), name="acme-names", supported_language="en", version="1", context=list(context))

    def get_supported_entities(self) -> list[str]:
        """The types that it may answer with."""
        return list(self.supported_entities)

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any) -> list[RecognizerResult]:
        """Ask about one text. Raises NoAnswer, and what the connection raises: then the call is refused."""
        del entities, nlp_artifacts
        found = msgspec.json.decode(self._asked(text), type=list[Found])
        return [RecognizerResult(one.type, one.start, one.end, one.score) for one in found]

    def _asked(self, text: str) -> bytes:
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "", self._url.port, timeout=self._timeout_s)
        try:
            body = json.dumps({"text": text}).encode()
            connection.request("POST", self._url.path or "/", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read(MOST_BYTES + 1)
        finally:
            connection.close()
        if answer.status != 200 or len(data) > MOST_BYTES:
            raise NoAnswer
        return data

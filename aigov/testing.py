"""What applications and plugins test with: a real governor in a temporary folder, and a scripted provider.

    from aigov.testing import ScriptedProvider, governor

    with governor() as trial:
        model = ScriptedProvider("Done, {0}")
        ask = trial.gov.guard(action="chat", resource="model:gpt-4o-mini")(model.ask)
        with trial.acting_as("dana", roles=("support-agent",), tenant="retail"):
            ask("Write to jane@example.com")
        assert "jane@example.com" not in model.seen[0]
        assert [record["kind"] for record in trial.calls()] == ["call.intent", "call.outcome"]

What it is not: it switches nothing off and stubs nothing, so it is as strict as production, and as slow. Only its log
is more patient, where the policy does not say how patient it is: a machine that runs tests is busier than a server.
Its keys and its log live in a temporary folder that goes with it, so nothing of a trial can be verified,
restored or resumed later. A test that passes says that the application and *this* policy agree; it does
not say that the policy is right: that is what `policies/cases/` is for. The provider is a script: it says
nothing about what a model would answer.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aigov.audit.reader import records
from aigov.cli.starter import starter_folder
from aigov.crypto import KeyRing
from aigov.governor import Governor
from aigov.types import Principal

AUDIT_SECTION = re.compile(r"^audit:[^\S\n]*(?:#[^\n]*)?\n(?:[ ]{2}[^\n]*\n)+", re.MULTILINE)
Answer = str | Mapping[str, Any] | BaseException | Callable[..., Any] | None


class ScriptedProvider:
    """A model that answers from a script and remembers what it was shown.

    Each answer is used once, the last one for ever: text, in which `{0}` stands for the first argument, a
    JSON-like value, None, a function of the arguments, or an exception to raise. `chunk`: how many
    characters a streamed chunk has.
    """

    def __init__(self, *answers: Answer, chunk: int = 7) -> None:
        self.answers: list[Answer] = list(answers) or ["{0}"]
        self.seen: list[Any] = []
        self.chunk = chunk

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.seen)

    def ask(self, question: Any) -> Any:
        """Answer a question."""
        return self._next(question)

    async def aask(self, question: Any) -> Any:
        """Answer a question, asynchronously."""
        return self._next(question)

    def stream(self, question: Any) -> Iterator[str]:
        """Answer a question in chunks."""
        yield from self._cut(self._next(question))

    async def astream(self, question: Any) -> AsyncIterator[str]:
        """Answer a question in chunks, asynchronously."""
        for piece in self._cut(self._next(question)):
            yield piece

    def _next(self, question: Any) -> Any:
        self.seen.append(question)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return answer(question)
        return answer.replace("{0}", str(question)) if isinstance(answer, str) else answer

    def _cut(self, answer: Any) -> Sequence[str]:
        text = str(answer)
        return [text[at : at + self.chunk] for at in range(0, len(text), self.chunk)]


class Trial:
    """A governor under test, its folder, and the records that it wrote."""

    def __init__(self, folder: Path, gov: Governor) -> None:
        self.folder = folder
        self.gov = gov

    @property
    def policies(self) -> Path:
        """The policy folder; change it and call `gov.reload()`."""
        return self.folder / "policies"

    @property
    def audit(self) -> Path:
        """The folder of the log."""
        return self.folder / "audit"

    def acting_as(
        self, id: str, *, roles: Sequence[str] = (), tenant: str = "", **more: Any
    ) -> contextlib.AbstractContextManager[Principal]:
        """`Governor.acting_as` of a new principal."""
        return self.gov.acting_as(Principal(id=id, roles=tuple(roles), tenant=tenant, **more))

    def records(self, *kinds: str) -> list[Mapping[str, Any]]:
        """What the log says so far, in order; only these kinds where any are named."""
        return [record for record in records(self.audit) if not kinds or record["kind"] in kinds]

    def calls(self) -> list[Mapping[str, Any]]:
        """The records of calls and streams."""
        return [record for record in self.records() if record["kind"].startswith(("call.", "stream."))]


@contextlib.contextmanager
def governor(policies: str | Path | None = None, *, change: Mapping[str, str] | None = None) -> Iterator[Trial]:
    """A governor on a copy of `policies` (the starter policy without one), with keys of its own.

    `change`: texts in `organisation.yaml` and what stands there instead, each of which must occur.
    """
    with tempfile.TemporaryDirectory(prefix="aigov-trial-") as name:
        folder = Path(name)
        shutil.copytree(starter_folder() if policies is None else policies, folder / "policies")
        _change(folder / "policies" / "organisation.yaml", change or {})
        _be_patient(folder / "policies" / "organisation.yaml")
        KeyRing.create(folder / "keys")
        gov = Governor.from_policies(folder / "policies", audit=folder / "audit")
        try:
            yield Trial(folder, gov)
        finally:
            gov.close()


def _change(layer: Path, change: Mapping[str, str]) -> None:
    text = layer.read_text(encoding="utf-8") if change else ""
    for old, new in change.items():
        if old not in text:
            raise ValueError("a text to change is not in organisation.yaml")
        text = text.replace(old, new)
    if change:
        layer.write_text(text, encoding="utf-8")


def _be_patient(layer: Path) -> None:
    """Have calls wait longer for their records, after the last line of the policy's `audit` section."""
    text = layer.read_text(encoding="utf-8") if layer.exists() else ""
    section = AUDIT_SECTION.search(text)
    if section is not None and "patience_ms" not in text:
        layer.write_text(f"{text[: section.end()]}  patience_ms: 10000\n{text[section.end() :]}", encoding="utf-8")

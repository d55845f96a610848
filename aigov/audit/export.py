"""Records for other programs: JSON lines, or OCSF events, each with the proof that it is in the log.

Invariants:
* A record leaves as it stands in the log, byte for byte; kept content never leaves this way.
* Proofs come from `prove`, a function of the record; where there is none, `proof` is null and nobody is
  led to think that there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from aigov.audit.ocsf import event

Format = Literal["jsonl", "ocsf"]
FORMATS: Final = ("jsonl", "ocsf")
Prove = Callable[[Mapping[str, Any]], str | None]

_CANONICAL: Final = msgspec.json.Encoder(order="sorted")


def exported(records: Iterable[Mapping[str, Any]], form: Format, prove: Prove | None = None) -> Iterator[bytes]:
    """The lines of an export, without newlines, one a record.

    `jsonl`: `{"proof": TEXT or null, "record": RECORD}`, the record in its canonical form, so that its bytes
    are those of the log; `ocsf`: an event with the same line as `raw_data`.
    """
    for record in records:
        proof = prove(record) if prove is not None else None
        line = _CANONICAL.encode(record)
        if form == "ocsf":
            yield _CANONICAL.encode(event(record, line.decode(), proof))
        else:
            yield b'{"proof":' + msgspec.json.encode(proof) + b',"record":' + line + b"}"

"""`aigov audit init | prove | check-proof | prove-consistency | check-consistency | schema`: for who checks a log."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from aigov.audit import checkpoints, proof, reader, schema
from aigov.audit.cosigning import CosignerKey
from aigov.audit.disk import reason
from aigov.audit.log import Log
from aigov.audit.merkle import ProofError
from aigov.audit.note import Checkpoint, NoteError, VerifierKey, split
from aigov.audit.records import MAX_BYTES
from aigov.cli import options, show, telling
from aigov.cli.exits import Exit, cannot
from aigov.crypto import KeyRing
from aigov.errors import AuditUnavailable
from aigov.stores import LOG_LABEL

MAX_FILE = 1 << 20
Key = TypeVar("Key", bound=VerifierKey)
Vkey = Annotated[str, typer.Option("--vkey", metavar="KEY", help="The log's public key: the line, or a file of it.")]
ProofFile = Annotated[Path, typer.Argument(metavar="PROOF", help="The proof's file.")]


def add(app: typer.Typer) -> None:
    """Put these commands under `aigov audit`."""
    app.command("init")(init)
    app.command("prove")(prove)
    app.command("check-proof")(check_proof)
    app.command("prove-consistency")(prove_consistency)
    app.command("check-consistency")(check_consistency)
    app.command("schema")(print_schema)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the record.")] = options.AUDIT,
    keys: Annotated[Path | None, typer.Option("--keys", metavar="DIR", help="The keys, if not beside DIR.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Begin a log, unless one is there, and print its public key: keep that where nobody writes who writes here."""
    ring, why, key = KeyRing.load(options.keys_of(folder, keys)), "", None
    try:
        if checkpoints.vkey(folder) is None:
            Log.open(folder, key=ring.derive(LOG_LABEL)).close()
        key = checkpoints.vkey(folder)
    except AuditUnavailable as fault:
        why = fault.why
    except OSError as error:
        why = reason(error)
    if key is None:
        raise cannot(f"cannot begin a log in `{folder}`: {why}")
    if as_json:
        show.json_line({"folder": str(folder), "vkey": str(key)})
    else:
        sys.stdout.write(f"{key}\n")


def prove(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="The record's id, or its number.")],
    folder: options.Audit = options.AUDIT,
) -> None:
    """Write the proof that a record is in the log, for `check-proof`: `prove ID > record.tlog-proof`."""
    with telling.reading(folder):
        seq = int(wanted) if wanted.isascii() and wanted.isdigit() else _seq(folder, wanted)
        _write(lambda: proof.Prover(folder).prove(seq))


def check_proof(
    file: ProofFile,
    vkey: Vkey,
    record: Annotated[str, typer.Option("--record", metavar="FILE", help="The record's line; `-` reads stdin.")] = "-",
    as_json: options.AsJson = False,
) -> None:
    """Say whether a record is in the log of a key. Needs no log. Exits 1 where it is not."""
    line = (_read_stdin() if record == "-" else _read(Path(record))).removesuffix(b"\n")
    key, data = read_vkey(vkey), _read(file)
    _judge(lambda: proof.check(data, line, key), as_json)


def prove_consistency(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A checkpoint from earlier.")],
    folder: options.Audit = options.AUDIT,
) -> None:
    """Write the proof that the log only grew since an earlier checkpoint."""
    before = _read(old)
    with telling.reading(folder):
        _write(lambda: proof.Prover(folder).prove_since(Checkpoint.parse(split(before)[0])))


def check_consistency(
    file: ProofFile,
    old: Annotated[Path, typer.Option("--old", metavar="FILE", help="The checkpoint from earlier.")],
    vkey: Vkey,
    as_json: options.AsJson = False,
) -> None:
    """Say whether a log of a key only grew. Needs no log. Exits 1 where it did not."""
    key, data, before = read_vkey(vkey), _read(file), _read(old)
    _judge(lambda: proof.check_since(data, before, key), as_json)


def print_schema() -> None:
    """Print the JSON Schema of a record."""
    sys.stdout.write(schema.text())


def _seq(folder: Path, wanted: str) -> int:
    for record in reader.find(folder, wanted):
        if record["id"] == wanted:
            return int(record["seq"])
    raise cannot(f"no record has the id `{show.visible(wanted)}`")


def _write(make: Callable[[], bytes]) -> None:
    """Print a proof, or say why there is none."""
    why = ""
    try:
        sys.stdout.write(make().decode())
    except (ProofError, NoteError) as fault:
        why = fault.why
    if why:
        raise cannot(why)


def _judge(check: Callable[[], Checkpoint], as_json: bool) -> None:
    """Print what a check says, and end in its exit code."""
    checkpoint, why = None, ""
    try:
        checkpoint = check()
    except (ProofError, NoteError) as fault:
        why = fault.why
    if as_json:
        size = checkpoint.size if checkpoint else None
        show.json_line({"proven": checkpoint is not None, "records": size, "why": why})
    elif checkpoint is not None:
        show.console().print(f"proven, in a log of {checkpoint.size} records", style="bold green")
    else:
        show.console().print(f"not proven: {why}", style="bold red")
    raise typer.Exit(Exit.OK if checkpoint is not None else Exit.NO)


def read_vkey(text: str) -> VerifierKey:
    """The key of a line, or of a file that holds the line. Raises Stop."""
    return _key(VerifierKey, "--vkey", text)


def read_cosigner(text: str) -> CosignerKey:
    """The same of the key that cosigns."""
    return _key(CosignerKey, "--cosigner", text)


def _key(kind: type[Key], option: str, text: str) -> Key:
    given = text if "+" in text else _read(Path(text)).decode("utf-8", "replace").strip()
    why = ""
    try:
        return kind.parse(given)
    except NoteError as fault:
        why = fault.why
    raise cannot(f"`{option}`: {why}")


def _read(path: Path) -> bytes:
    why = ""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        why = error.strerror or "unknown fault"
    raise cannot(f"cannot read `{path}`: {why}")


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read(MAX_BYTES + 2)

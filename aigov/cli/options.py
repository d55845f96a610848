"""The options that several commands share, spelt once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

Policies = Annotated[Path, typer.Option("--policies", metavar="DIR", help="The policy folder.")]
Audit = Annotated[Path, typer.Option("--audit", metavar="DIR", help="The folder of the record.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines: one JSON object a line.")]
Input = Annotated[str, typer.Argument(metavar="FILE", help="The text; `-` or nothing reads stdin.")]
Inputs = Annotated[list[str] | None, typer.Argument(metavar="FILE|DIR", help="Texts; `-` or nothing reads stdin.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=64, help="How many processes share the files.")]
As = Annotated[str, typer.Option("--as", metavar="ID", help="Who acts: a principal's id.")]
Roles = Annotated[list[str] | None, typer.Option("--role", metavar="ROLE", help="A role they hold; may be repeated.")]
Tenant = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="The tenant that they act in.")]

POLICIES = Path("policies")
AUDIT = Path("audit")


def keys_of(audit: Path, named: Path | None) -> Path:
    """Where the keys are: in the folder that is named, or beside the record, wherever that is seen from."""
    return named or Path(os.path.abspath(audit)).parent / "keys"

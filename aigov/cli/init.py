"""`aigov init DIR`: a starter policy, keys, and nothing overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aigov.cli import options, show, starter

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where `policies` and `keys` go.")],
    as_json: options.AsJson = False,
) -> None:
    """Write a starter policy and keys into a folder.

    Only what is missing is added; nothing is overwritten. Run it again after an update to get new files.
    """
    steps = starter.write(folder)
    if as_json:
        for step in steps:
            show.json_line({"path": step.path, "done": step.done, "why": step.why})
        return
    out = show.console()
    out.print(show.table(("file", "", "why"), steps))
    added = sum(step.done == "added" for step in steps)
    out.print(f"{added} of {len(steps)} files added in `{folder}`. Next: edit policies/, then `aigov policy check`.")

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
    out.print(show.table(("", "file", "why"), _rows(steps)))
    added = sum(step.done == "added" for step in steps)
    out.print(f"{added} of {len(steps)} files added in `{folder}`")
    out.print(f"next: edit {folder / 'policies' / starter.LAYER}, then run `aigov policy check`", soft_wrap=True)


def _rows(steps: list[starter.Step]) -> list[tuple[str, str, str]]:
    """A row a file at the top of `policies` and outside of it, a row a folder below."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for step in steps:
        top = "/".join(step.path.split("/")[:2])
        groups.setdefault((step.done, top, step.why), []).append(step.path)
    return [
        (done, f"{top}/ ({show.counted(len(paths), 'file')})" if paths != [top] else top, why)
        for (done, top, why), paths in groups.items()
    ]

"""Many files at once: what the arguments name, worked on in several processes, summed up by file and entity.

Invariants:
* Files are taken in the order of their names; links and hidden files of a folder are passed over.
* Each process has a governor of its own; what a file holds stays in the process that reads it: counts come back.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from multiprocessing.util import Finalize
from pathlib import Path
from typing import NamedTuple

from aigov.cli import lines, opening, show
from aigov.cli.exits import cannot
from aigov.governor import Governor


class Source(NamedTuple):
    """One file: where it is, and its path below the folder that was named (its own name where it was named itself)."""

    path: str
    name: str


class Counted(NamedTuple):
    """What was found in one file: lines, findings by (kind, type), lines left out by reason."""

    name: str
    lines: int
    found: Counter[tuple[str, str]]
    left_out: Counter[str]


Work = Callable[[Governor, Source], Counted]


def sources(named: Iterable[str]) -> list[Source]:
    """The files that the arguments name, folders looked through. Raises Stop where there is no such file."""
    found: list[Source] = []
    for name in named:
        path = Path(name)
        if name == lines.STDIN or not path.is_dir():
            if name != lines.STDIN and not path.exists():
                raise cannot(f"cannot read `{name}`: there is no such file or folder")
            found.append(Source(name, path.name))
            continue
        inside = sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
        found += (Source(str(one), str(one.relative_to(path))) for one in inside if not _hidden(one.relative_to(path)))
    return found


def several(named: Iterable[str]) -> bool:
    """Whether the arguments are more than one text."""
    given = list(named)
    return len(given) > 1 or any(Path(name).is_dir() for name in given)


class Opening(NamedTuple):
    """How a process opens its governor: over which policy, and whether it needs the keys."""

    policies: str
    keyless: bool

    def governor(self) -> AbstractContextManager[Governor]:
        """A governor for looking."""
        return opening.keyless(Path(self.policies)) if self.keyless else opening.governor(Path(self.policies))


def each(what: str, found: list[Source], how: Opening, jobs: int, work: Work) -> list[Counted]:
    """`work` done on every file, in `jobs` processes; `work` is a function of a module. In the order of `found`."""
    done: dict[Source, Counted] = {}
    with show.meter(what, len(found)) as meter, _runner(how, min(jobs, len(found)), work) as run:
        for source, counted in run(found):
            done[source] = counted
            meter.advance(1)
    return [done[source] for source in found]


@contextmanager
def _runner(
    how: Opening, jobs: int, work: Work
) -> Iterator[Callable[[list[Source]], Iterator[tuple[Source, Counted]]]]:
    if jobs <= 1:
        with how.governor() as gov:
            yield lambda found: ((source, work(gov, source)) for source in found)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy threads' locks as they are
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:

        def run(found: list[Source]) -> Iterator[tuple[Source, Counted]]:
            waiting = {pool.submit(_one, how, work, source): source for source in found}
            for future in as_completed(waiting):
                yield waiting[future], _answer(future)

        yield run


def _answer(future: Future[Counted]) -> Counted:
    """What came of a file. Raises Stop where its process died, as it does for want of memory."""
    with suppress(BrokenProcessPool):
        return future.result()
    raise cannot("a process that worked on the files died; with fewer `--jobs` each has more memory")


@functools.cache
def _own(how: Opening) -> Governor:
    """The governor of this worker process, closed with it."""
    stack = ExitStack()
    gov = stack.enter_context(how.governor())
    Finalize(None, stack.close, exitpriority=10)  # a worker runs no `atexit`
    return gov


def _one(how: Opening, work: Work, source: Source) -> Counted:
    return work(_own(how), source)


def totals(counted: Iterable[Counted]) -> Iterator[tuple[str, str, int, int]]:
    """By kind and type: how many findings, in how many files."""
    found: Counter[tuple[str, str]] = Counter()
    files: Counter[tuple[str, str]] = Counter()
    for one in counted:
        found.update(one.found)
        files.update(one.found.keys())
    for (kind, name), count in sorted(found.items()):
        yield kind, name, count, files[kind, name]


def rows(counted: Iterable[Counted]) -> Iterator[tuple[str, str, int]]:
    """By file and type: how many findings."""
    for one in counted:
        for (_, name), count in sorted(one.found.items()):
            yield one.name, name, count


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)

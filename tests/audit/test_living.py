"""Who of a log's writers is alive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aigov.audit.living import Living
from aigov.audit.records import new_id


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Living, Living]]:
    (tmp_path / "writers").mkdir()
    made = Living(tmp_path, new_id()), Living(tmp_path, new_id())
    for each in made:
        each.join()
    yield made
    for each in made:
        each.drop()


def test_the_living_are_not_dead(pair: tuple[Living, Living]) -> None:
    first, _ = pair
    assert first.dead() == frozenset()
    assert not first.alone()


def test_who_ends_without_leaving_is_dead_until_seen_to(pair: tuple[Living, Living]) -> None:
    first, second = pair
    second.drop()
    (dead,) = first.dead()
    assert first.dead() == {dead}
    first.forget([dead])
    assert first.dead() == frozenset()
    assert first.alone()


def test_one_sees_to_the_dead_and_the_others_wait(pair: tuple[Living, Living], tmp_path: Path) -> None:
    first, second = pair
    third = Living(tmp_path, new_id())
    third.join()
    third.drop()
    assert len(first.dead()) == 1
    assert second.dead() == frozenset()
    first.drop()  # it dies before it is done: the next one takes over, and sees to it as well
    assert len(second.dead()) == 2


def test_who_left_is_not_counted(pair: tuple[Living, Living]) -> None:
    first, second = pair
    second.leave()
    assert first.alone()
    assert first.dead() == frozenset()


def test_files_that_no_writer_made_are_not_touched(pair: tuple[Living, Living], tmp_path: Path) -> None:
    first, second = pair
    second.leave()
    strange = tmp_path / "writers" / "readme.lock"
    strange.write_text("x")
    assert first.dead() == frozenset()
    assert first.alone()
    assert strange.exists()


def test_what_the_dead_noted_tells_where_to_begin(pair: tuple[Living, Living], tmp_path: Path) -> None:
    first, second = pair
    third = Living(tmp_path, new_id())
    third.join(7)
    second.mark(5)
    assert first.since() == 0
    third.drop()
    first.dead()
    assert first.since() == 7
    second.mark(9)
    second.drop()
    first.dead()
    assert first.since() == 7
    (tmp_path / "writers" / f"{new_id()}.lock").write_bytes(b"-1")
    first.dead()
    assert first.since() == 0

"""The bell of a query that follows tables: rings at the start, for every new version, and when it is told to."""

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.delta.table import OwnedTable
from runtime.storage import StorageError
from streaming import bell as module
from streaming.bell import Bell, newest_version

SCHEMA = pa.schema({"x": pa.int32()})
PATIENCE_SECONDS = 10.0


def commit(uri: Path) -> None:
    OwnedTable.ensure(str(uri), SCHEMA, [], {}).append(pa.table({"x": pa.array([1], pa.int32())}), {}, "")


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    return [str(tmp_path / "a"), str(tmp_path / "b")]


@pytest.fixture
def bell(tables: list[str]) -> Iterator[Bell]:
    made = Bell("test", tables, 0.01)
    yield made
    made.stop()


def rung(bell: Bell) -> list[str]:
    return sorted(each.name for each in Path(bell.checkpoint.removeprefix("file://")).parent.glob("bells/[0-9]*"))


def test_it_has_rung_once_when_it_is_made(bell: Bell) -> None:
    assert rung(bell) == ["0"]


def test_it_keeps_the_last_two_rings_only(bell: Bell) -> None:
    for _ in range(5):
        bell.ring()
    assert rung(bell) == ["4", "5"]


def test_a_look_finds_tables_that_come_and_versions_that_are_new(bell: Bell, tables: list[str]) -> None:
    assert bell.look()
    assert not bell.look()
    commit(Path(tables[1]))
    assert bell.look()
    assert not bell.look()
    for _ in range(3):
        commit(Path(tables[1]))
    assert bell.look()
    assert not bell.look()


def test_a_look_makes_no_folder(bell: Bell, tables: list[str]) -> None:
    bell.look()
    assert not any(Path(table).exists() for table in tables)


def test_the_newest_version_is_found_from_any_version_that_is_known(tmp_path: Path) -> None:
    assert newest_version(str(tmp_path / "a"), -1) == -1
    for _ in range(4):
        commit(tmp_path / "a")
    assert [newest_version(str(tmp_path / "a"), known) for known in (-1, 0, 3, 4)] == [4, 4, 4, 4]


def test_the_watch_rings_for_a_new_version(bell: Bell, tables: list[str]) -> None:
    bell.watch()
    time.sleep(0.1)
    before = rung(bell)
    commit(Path(tables[0]))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while rung(bell) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rung(bell) != before


def test_a_store_that_does_not_answer_rings_too(bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The query meets the same, and says what to do."""

    def refuse(table: str, known: int) -> int:
        raise StorageError("503")

    monkeypatch.setattr(module, "newest_version", refuse)
    before = rung(bell)
    bell.watch()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while rung(bell) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert rung(bell) != before


def test_it_ends_with_its_query(bell: Bell) -> None:
    bell.watch(lambda: False)
    bell._thread.join(PATIENCE_SECONDS)
    assert not bell._thread.is_alive()

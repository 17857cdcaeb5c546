"""Compaction keeps a table's files few while commits keep coming, and changes no row."""

from datetime import timedelta
from pathlib import Path

import pytest

from lakehouse.delta import compaction
from lakehouse.delta.compaction import merges
from lakehouse.delta.log import milliseconds, of_kind, read_actions
from lakehouse.delta.snapshot import DataFile
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import CommitConflictError, OwnedTable
from tests.unit.delta_tables import KEY, NOTHING, START, assert_all_see, made, row, rows_of

MEGABYTE = 2**20


def file(size: int, place: int = 0, deleted: int = 0, partition: str = "uk", age: float = 0) -> DataFile:
    vector = {"cardinality": deleted} if deleted else None
    modified = milliseconds() - int(age * 1000)
    return DataFile(f"{partition}-{size}-{place}", {"region": partition}, size, modified, '{"numRecords":100}', vector)


def test_small_files_become_few_and_rows_stay(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    for number in range(0, 90, 3):
        table.append(rows_of(range(number, number + 3)), {"a": number}, "")
    table.replace_rows(rows_of([1, 4]), NOTHING, NOTHING, KEY, {}, "")
    before = table.live_files()
    version = table.compact(MEGABYTE, sort_by=["at"])
    assert version == table.version == 32
    actions = read_actions(TableStore(table.uri), version) or []
    assert not any(each["dataChange"] for kind in ("add", "remove") for each in of_kind(actions, kind))
    assert not of_kind(actions, "txn")
    assert table.transactions() == {"a": 87}
    assert table.live_files() < before / 8
    assert_all_see(table, [row(number) for number in range(90) if number not in (1, 4)])
    assert table.compact(MEGABYTE) is None, "there is nothing left to do"
    assert OwnedTable.open(table.uri).live_files() == table.live_files()


def test_a_commit_since_is_not_overwritten(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    for number in range(20):
        table.append(rows_of([number]), {}, "")
    other = OwnedTable.open(table.uri)
    other.append(rows_of([100]), {}, "")
    with pytest.raises(CommitConflictError):
        table.compact(MEGABYTE)
    assert_all_see(other, [row(number) for number in [*range(20), 100]])


def test_files_stay_few_while_commits_keep_coming(tmp_path: Path) -> None:
    """As a job that commits each second, compacting every tenth time: what is rewritten grows with the logarithm."""
    table = made(tmp_path / "t")
    written, most = 0, 0
    for number in range(300):
        table.append(rows_of([2 * number, 2 * number + 1]), {}, "")
        if number % 10 == 9 and table.compact(MEGABYTE, sort_by=["at"]) is not None:
            written += sum(int(each.rows or 0) for each in table.files() if each.path.endswith("zstd.parquet"))
        most = max(most, table.live_files())
    assert most < 80
    assert table.read(["number"]).sort_by("number")["number"].to_pylist() == list(range(600))
    months = {each.partition_values["month"] for each in table.files()}
    assert months == {f"{START + timedelta(minutes=number):%Y-%m}" for number in range(600)}


def test_tiers_are_merged_when_they_are_full() -> None:
    small, larger = [file(10_000, place) for place in range(8)], [file(300_000, place) for place in range(7)]
    assert merges([*small[:7], *larger], 16 * MEGABYTE) == []
    (merge,) = merges([*small, *larger], 16 * MEGABYTE)
    assert {each.path for each in merge.files} == {each.path for each in small}
    (merge,) = merges([*small[:3], *larger, file(400_000)], 16 * MEGABYTE)
    assert len(merge.files) == 11, "a full tier takes the smaller ones along"


def test_large_files_are_left_and_what_is_merged_is_not_larger_than_wanted() -> None:
    assert merges([file(9 * MEGABYTE, place) for place in range(20)], 16 * MEGABYTE) == []
    found = merges([file(MEGABYTE, place) for place in range(20)], 4 * MEGABYTE, most_bytes=100 * MEGABYTE)
    assert [len(each.files) for each in found] == [4, 4, 4, 4, 4]


def test_a_partition_that_nothing_comes_to_any_more_is_merged_to_one() -> None:
    quiet = compaction.QUIET_SECONDS + 10
    files = [file(10_000, age=quiet), file(300_000, age=quiet), file(3_000_000, age=quiet + 5)]
    (merge,) = merges(files, 16 * MEGABYTE)
    assert len(merge.files) == 3
    assert merges(files[:1], 16 * MEGABYTE) == []
    assert merges([*files, file(20_000)], 16 * MEGABYTE) == []


def test_files_with_many_deleted_rows_are_written_anew() -> None:
    many, few = file(30 * MEGABYTE, deleted=21), file(31 * MEGABYTE, deleted=20)
    assert [list(each.files) for each in merges([many, few], 16 * MEGABYTE)] == [[many]]
    assert len(merges([many, few], 16 * MEGABYTE, most_bytes=100 * MEGABYTE, most_deleted=0)) == 2


def test_one_call_takes_a_bite_oldest_first() -> None:
    old = [file(60_000, place, partition="old", age=60) for place in range(8)]
    new = [file(60_000, place, partition="new", age=30) for place in range(8)]
    (merge,) = merges([*new, *old], 16 * MEGABYTE, most_bytes=500_000)
    assert merge.files[0].partition_values == {"region": "old"}
    assert len(merges([*new, *old], 16 * MEGABYTE)) == 2

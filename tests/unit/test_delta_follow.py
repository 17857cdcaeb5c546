"""A follower sees each row that came or went exactly once, in bites of whole versions, or says why it cannot."""

import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.delta import follow
from lakehouse.delta.follow import AlteredTableError, Bite, LogGoneError, MissingTableError, TableLog
from lakehouse.delta.log import UnreadableLogError, commit, commit_info
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import OwnedTable
from tests.unit.delta_tables import (
    KEY,
    NOTHING,
    PARTITIONS,
    SCHEMA,
    SILVER,
    Row,
    made,
    row,
    rows_of,
    seen_by_us,
    sorted_rows,
    table_of,
)

ALL = 2**60


def bites(log: TableLog, after: int = -1, most_bytes: int = 1) -> list[Bite]:
    found = []
    while (bite := log.changed(after, most_bytes)) is not None:
        found.append(bite)
        after = bite.last
    return found


def summed(found: list[Bite]) -> list[Row]:
    """The rows that are left when all changes are counted."""
    counts: Counter[str] = Counter()
    rows: dict[str, Row] = {}
    for bite in found:
        for each in bite.rows.to_pylist():
            sign = each.pop("_sign")
            name = repr(sorted((key, str(value)) for key, value in each.items()))
            counts[name] += sign
            rows[name] = each
    assert set(counts.values()) <= {0, 1}
    return sorted_rows(table_of([rows[name] for name, count in counts.items() if count]))


def test_rows_come_in_bites_of_whole_versions(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {"delta.appendOnly": "true"})
    log = TableLog(table.uri)
    assert (log.newest(), log.id) == (0, table.id)
    for number in range(6):
        table.append(rows_of(range(number * 10, number * 10 + 10)), {"a": number}, "")
    assert log.newest() == 6
    size = sum(each.size for each in table.files()) // 6
    places = []
    after = 0
    while (bite := log.added(after, 2 * size)) is not None:
        places.append((bite.first, bite.last))
        expected = [row(number) for number in range((bite.first - 1) * 10, bite.last * 10)]
        assert sorted_rows(bite.rows) == sorted_rows(table_of(expected))
        assert bite.rows.schema.equals(SCHEMA)
        after = bite.last
    assert [first for first, _ in places] == [1, *(last + 1 for _, last in places[:-1])]
    assert places[-1][1] == 6
    assert 2 < len(places) < 6
    assert log.added(6, ALL) is None


def test_what_changes_no_rows_is_passed_over(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {"delta.appendOnly": "true"})
    for number in range(40):
        table.append(rows_of([number]), {}, "")
    log = TableLog(table.uri)
    assert table.compact(2**20) == 41
    table.append(NOTHING, {"a": 1}, "")
    assert log.newest() == 42
    bite = log.added(40, ALL)
    assert bite is not None
    assert (bite.first, bite.last, len(bite.rows)) == (41, 42, 0)
    assert bite.rows.schema.equals(SCHEMA)
    whole = log.added(-1, ALL)
    assert whole is not None
    assert sorted_rows(whole.rows) == seen_by_us(table)


def test_a_replaced_row_goes_once_and_comes_once(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(20)), {}, "")
    log = TableLog(table.uri)
    new = [row(3) | {"number": 33}, row(4) | {"region": None}]
    table.replace_rows(rows_of([3, 4, 5]), table_of(new), rows_of([100]), KEY, {}, "")
    bite = log.changed(1, ALL)
    assert bite is not None
    expected = [each | {"_sign": 1} for each in [*new, row(100)]] + [row(each) | {"_sign": -1} for each in (3, 4, 5)]
    assert sorted_rows(bite.rows) == sorted_rows(table_of(expected, bite.rows.schema))
    assert bite.rows.schema.field("_sign").type == pa.int8()
    table.replace_rows(rows_of([7]), NOTHING, NOTHING, KEY, {}, "")
    again = log.changed(2, ALL)
    assert again is not None
    assert [(each["id"], each["_sign"]) for each in again.rows.to_pylist()] == [("r00007", -1)]


def test_all_changes_add_up_to_the_table(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    for number in range(0, 300, 30):
        table.append(rows_of(range(number, number + 30)), {}, "")
        old = [row(each) for each in range(number, number + 30, 4)]
        table.replace_rows(table_of(old), table_of([each | {"sure": None} for each in old]), NOTHING, KEY, {}, "")
        table.compact(2**20)
        whole = [row(each) for each in range(number + 1, number + 30, 4)]
        table.replace_rows(table_of(whole), NOTHING, NOTHING, KEY, {}, "")
    table.overwrite_where("region = 'uk' and number < 50", NOTHING, {}, "")
    log = TableLog(table.uri)
    for most_bytes in (1, 20_000, ALL):
        found = bites(log, most_bytes=most_bytes)
        assert summed(found) == seen_by_us(table)
        assert [each.first for each in found[1:]] == [each.last + 1 for each in found[:-1]]
        assert (found[0].first, found[-1].last) == (0, table.version)


def test_where_the_log_no_longer_begins_at_0_all_rows_come_at_once(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    for number in range(12):
        table.append(rows_of(range(number * 5, number * 5 + 5)), {}, "")
    table.replace_rows(rows_of([7]), NOTHING, NOTHING, KEY, {}, "")
    for version in range(9):
        (tmp_path / "t" / "_delta_log" / f"{version:020}.json").unlink()
    log = TableLog(table.uri)
    for bite in (log.added(-1, 1), log.changed(-1, 1)):
        assert bite is not None
        assert (bite.first, bite.last) == (0, table.version)
        rows = bite.rows.drop_columns(["_sign"]) if "_sign" in bite.rows.column_names else bite.rows
        assert sorted_rows(rows) == seen_by_us(table)
    with pytest.raises(LogGoneError, match="version 6 is gone from its log, which begins at 9, and was not"):
        log.added(5, ALL)


def test_columns_that_came_later_are_null_in_older_rows(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(4)), {}, "")
    log = TableLog(table.uri)
    wider = SCHEMA.append(pa.field("note", pa.string()))
    table = OwnedTable.ensure(table.uri, wider, PARTITIONS, SILVER)
    table.append(table_of([row(9) | {"note": "new"}], wider), {}, "")
    bite = log.added(0, ALL)
    assert bite is not None
    assert bite.rows.schema.equals(wider)
    assert {each["id"]: each["note"] for each in bite.rows.to_pylist()} == {
        **{f"r{number:05}": None for number in range(4)},
        "r00009": "new",
    }


def test_a_table_that_only_grows_may_lose_no_rows(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    log = TableLog(table.uri)
    table.replace_rows(rows_of([1]), NOTHING, NOTHING, KEY, {}, '{"job":"erasure"}')
    told = r"version 2 took rows away.*operation MERGE, by shopware-lakehouse/.*, job erasure.*TO VERSION AS OF 1"
    for _ in range(2):
        with pytest.raises(AlteredTableError, match=told):
            log.added(1, ALL)


def test_a_restored_table_is_told(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    log = TableLog(table.uri)
    commit(TableStore(table.uri), 2, [commit_info("RESTORE", {"version": "0"}, {}, 1)])
    for look in (log.added, log.changed):
        with pytest.raises(AlteredTableError, match="version 2 restored an older state.*TO VERSION AS OF 1"):
            look(1, ALL)


def test_another_table_in_its_place_is_told(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    log = TableLog(table.uri)
    metadata = table._snapshot.metadata | {"id": "another"}
    commit(TableStore(table.uri), 2, [commit_info("REPLACE TABLE", {}, {}, 1), {"metaData": metadata}])
    for _ in range(2):
        with pytest.raises(AlteredTableError, match="version 2 made another table of it"):
            log.newest()

    shutil.rmtree(tmp_path / "t")
    other = TableLog(made(tmp_path / "t").uri)
    with pytest.raises(AlteredTableError, match="ends at version 0, but version 7 of it was taken in"):
        other.added(7, ALL)


def test_a_table_that_vanishes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SECONDS_BETWEEN_LOOKS", -1.0)
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    log = TableLog(table.uri)
    assert log.newest() == 1
    shutil.rmtree(tmp_path / "t")
    with pytest.raises(LogGoneError, match="its version 1 is gone, and nothing is after it: the table is deleted"):
        log.newest()
    with pytest.raises(MissingTableError):
        TableLog(table.uri)


def test_a_table_that_would_be_misread_is_told(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    more = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["columnMapping"], "writerFeatures": []}
    commit(TableStore(table.uri), 1, [commit_info("x", {}, {}, 0), {"protocol": more}])
    with pytest.raises(UnreadableLogError, match="uses columnMapping, which the lake's jobs do not"):
        TableLog(table.uri)


def test_a_data_file_that_is_gone_is_told(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    next((tmp_path / "t").rglob("*.parquet")).unlink()
    with pytest.raises(LogGoneError, match="is gone, but was not yet taken in: VACUUM removed it"):
        TableLog(table.uri).added(0, ALL)

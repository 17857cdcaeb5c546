"""An owned table: commits are the next version or nothing, and hold exactly the rows that were given."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.delta.log import read_actions
from lakehouse.delta.store import TableStore
from lakehouse.delta.table import CommitConflictError, MissingTableError, OwnedTable
from lakehouse.errors import LakehouseError
from tests.unit.delta_tables import (
    NOTHING,
    PARTITIONS,
    SCHEMA,
    SILVER,
    assert_all_see,
    made,
    row,
    rows_of,
    schema_of,
    seen_by_us,
    table_of,
)

STRANGE = [
    "a b", "c%d", "e/f", "g%2Fh", "ü=ö:", "x'\"#?", "{[^]}", "plus+&", "back\\slash", "tab\there", "日本 🛒",
    "no\u00a0break", "a`b|<>~!()*,;$@", "", None,
]  # fmt: skip


def test_what_is_appended_is_there_with_its_transactions_and_metadata(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    assert (table.version, table.transactions()) == (0, {})
    assert table.append(rows_of(range(100)), {"bronze.web@1": 7, "other": 1}, '{"job":"silver"}') == 1

    assert_all_see(table, [row(number) for number in range(100)])
    assert table.transaction("bronze.web@1") == 7
    assert table.transaction("unknown") is None
    again = OwnedTable.open(table.uri)
    assert (again.version, again.transactions(), again.id) == (1, {"bronze.web@1": 7, "other": 1}, table.id)
    actions = read_actions(TableStore(table.uri), 1)
    assert actions is not None
    assert actions[0]["commitInfo"]["userMetadata"] == '{"job":"silver"}'


def test_a_commit_without_rows_holds_the_transactions_alone(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    assert table.append(NOTHING, {"bronze.web@1": 3}, "") == 1
    assert (OwnedTable.open(table.uri).transaction("bronze.web@1"), table.live_files()) == (3, 0)
    assert_all_see(table, [])


def test_partitions_may_be_called_anything(tmp_path: Path) -> None:
    """An empty text is null in a partition column of any Delta table."""
    rows = [row(number, region=region) for number, region in enumerate(STRANGE)]
    table = made(tmp_path / "folder with spaces and ü" / "t")
    table.append(table_of(rows), {}, "")
    assert_all_see(table, [each | {"region": each["region"] or None} for each in rows])
    one = table.read(SCHEMA.names, "region = 'g%2Fh'")
    assert one.to_pylist() == [row(3, region="g%2Fh")]
    table.overwrite_where("number in (0, 4, 10)", NOTHING, {}, "")
    left = [each | {"region": each["region"] or None} for each in rows if each["number"] not in (0, 4, 10)]
    assert_all_see(table, left)
    assert_all_see(OwnedTable.open(table.uri), left)


def test_a_commit_is_the_next_version_or_nothing(tmp_path: Path) -> None:
    first = made(tmp_path / "t")
    second = OwnedTable.open(first.uri)
    first.append(rows_of([1]), {"a": 1}, "")
    files = sorted(tmp_path.rglob("*.parquet"))
    attempts: list[Callable[[], int]] = [
        lambda: second.append(rows_of([2]), {"b": 1}, ""),
        lambda: second.replace_rows(NOTHING, NOTHING, rows_of([2]), ["id"], {"b": 1}, ""),
        lambda: second.overwrite_where("region = 'uk'", NOTHING, {"b": 1}, ""),
        lambda: second.set_property("lakehouse.x", "1"),
    ]
    for attempt in attempts:
        with pytest.raises(CommitConflictError, match="version 1 "):
            attempt()
    assert sorted(tmp_path.rglob("*.parquet")) == files, "what was not committed is taken away"
    assert_all_see(first, [row(1)])
    assert second.refresh() == 1
    assert second.append(rows_of([2]), {"b": 1}, "") == 2
    assert second.transactions() == {"a": 1, "b": 1}


def test_of_writers_at_once_each_version_is_of_one(tmp_path: Path) -> None:
    uri = made(tmp_path / "t").uri

    def write(writer: int) -> list[int]:
        table, done = OwnedTable.open(uri), []
        for number in range(writer * 100, writer * 100 + 20):
            try:
                table.append(rows_of([number]), {f"w{writer}": number}, "")
                done.append(number)
            except CommitConflictError:
                table.refresh()
        return done

    with ThreadPoolExecutor(3) as pool:
        done = [number for numbers in pool.map(write, range(3)) for number in numbers]
    table = OwnedTable.open(uri)
    assert table.version == len(done) >= 20
    assert_all_see(table, [row(number) for number in done])


def test_a_table_is_the_same_from_its_checkpoint(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    for number in range(0, 240, 20):
        table.append(rows_of(range(number, number + 20)), {"a": number}, "")
        old = rows_of([number + 3, number + 4])
        table.replace_rows(old, old, NOTHING, ["id", "at"], {"b": number}, "")
    log = tmp_path / "t" / "_delta_log"
    assert json.loads((log / "_last_checkpoint").read_text())["version"] == 20
    for version in range(20):
        (log / f"{version:020}.json").unlink()
    again = OwnedTable.open(table.uri)
    assert (again.version, again.id, again.transactions()) == (24, table.id, {"a": 220, "b": 220})
    assert again.schema.equals(table.schema, check_metadata=True)
    assert {each.path: each for each in again.files()} == {each.path: each for each in table.files()}
    assert_all_see(again, [row(number) for number in range(240)])


def test_a_log_is_cleaned_up_to_a_checkpoint(tmp_path: Path) -> None:
    table = made(tmp_path / "t", SILVER | {"delta.logRetentionDuration": "interval 1 days"})
    for number in range(25):
        table.append(rows_of([number]), {"a": number}, "")
    log = tmp_path / "t" / "_delta_log"
    table.clean_log()
    assert (log / f"{0:020}.json").exists(), "nothing is old enough"
    for file in log.iterdir():
        os.utime(file, (0, 0))
    for number in range(25, 32):
        table.append(rows_of([number]), {"a": number}, "")
    table.clean_log()
    assert not (log / f"{0:020}.json").exists()
    again = OwnedTable.open(table.uri)
    assert (again.version, again.transactions()) == (32, {"a": 31})
    assert_all_see(again, [row(number) for number in range(32)])


def test_a_checkpoint_that_is_named_but_gone_is_not_needed(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    for number in range(12):
        table.append(rows_of([number]), {}, "")
    for file in (tmp_path / "t" / "_delta_log").glob("*.checkpoint.parquet"):
        file.unlink()
    assert seen_by_us(OwnedTable.open(table.uri)) == seen_by_us(table)


def test_overwriting_puts_rows_in_place_of_those_of_a_predicate(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {})
    table.append(rows_of(range(20)), {}, "")
    assert table.overwrite_where("region = 'uk'", rows_of([100, 102]), {"silver.x@1": 5}, "m") == 2
    assert_all_see(table, [row(number) for number in [100, 102, *range(1, 20, 2)]])
    assert table.transaction("silver.x@1") == 5
    assert table.append(rows_of([30]), {}, "") == 3


def test_whole_files_give_way_to_others(tmp_path: Path) -> None:
    table = made(tmp_path / "t", {})
    table.append(rows_of(range(20)), {}, "")
    uk = [each for each in table.files() if each.partition_values["region"] == "uk"]
    assert {each for file in uk for each in table.read_file(file)["number"].to_pylist()} == set(range(0, 20, 2))
    (new,) = table.replace_files(uk, [rows_of([100])], {"silver.x@1": 5}, "m")
    assert new in table.files()
    assert_all_see(table, [row(number) for number in [100, *range(1, 20, 2)]])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.datetimes(datetime(1999, 1, 1), datetime(2100, 1, 1)).map(lambda each: each.replace(tzinfo=UTC)),
        min_size=1,
        max_size=6,
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=70),
)
def test_a_predicate_never_loses_a_row(
    tmp_path_factory: pytest.TempPathFactory, times: list[datetime], name: str
) -> None:
    """Each of its own file, with bounds that are told in milliseconds, and texts that are cut."""
    schema = schema_of(id=pa.string(), at=pa.timestamp("us", "UTC"))
    table = OwnedTable.ensure(str(tmp_path_factory.mktemp("t")), schema, (), {})
    for at in times:
        table.append(pa.table({"id": [name], "at": [at]}, schema=schema), {}, "")
    told = name.replace("'", "''")
    for at in times:
        literal = f"timestamp '{at:%Y-%m-%d %H:%M:%S.%f}'"
        assert table.read(["at"], f"at = {literal}")["at"].to_pylist().count(at) == times.count(at)
        assert len(table.read(["at"], f"at >= {literal} and id = '{told}'")) == sum(each >= at for each in times)
        assert len(table.read(["at"], f"at <= {literal}")) == sum(each <= at for each in times)


def test_rows_of_an_older_contract_have_no_value_in_later_columns_and_unknown_columns_are_refused(
    tmp_path: Path,
) -> None:
    table = made(tmp_path / "t")
    wider = OwnedTable.ensure(table.uri, SCHEMA.append(pa.field("note", pa.string())), PARTITIONS, SILVER)
    wider.append(rows_of([1]), {}, "")
    assert wider.read(["id", "note"]).to_pylist() == [{"id": "r00001", "note": None}]
    with pytest.raises(LakehouseError, match="has no column typo: start the job again"):
        wider.append(rows_of([2]).append_column("typo", pa.array(["x"])), {}, "")
    assert wider.version == 2


def test_where_no_table_is_there_is_none(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert not OwnedTable.exists(str(nothing))
    with pytest.raises(MissingTableError, match="there is no Delta table at"):
        OwnedTable.open(str(nothing))
    assert not nothing.exists(), "looking makes no folder"


def test_bounds_are_no_narrower_than_the_values(tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    long = "ö" * 100
    at = datetime(2026, 5, 1, 12, 0, 0, 999_999, UTC)
    table.append(table_of([row(1, id=long, at=at, month="2026-05"), row(3, id=long, at=at, month="2026-05")]), {}, "")
    (file,) = table.files()
    assert file.stats["minValues"]["at"] == "2026-05-01T12:00:00.999Z"
    assert file.stats["maxValues"]["at"] == "2026-05-01T12:00:01.000Z"
    assert file.stats["minValues"]["id"] <= long <= file.stats["maxValues"]["id"]
    assert file.stats["maxValues"]["amount"] == -2.25
    assert (file.rows, file.stats["nullCount"]["number"]) == (2, 0)

"""Owned tables on S3: conditional puts make each version once, whatever partitions are called."""

import os
from concurrent.futures import ThreadPoolExecutor

import pyarrow.compute as pc
import pytest

from lakehouse.delta import store
from lakehouse.delta.follow import TableLog
from lakehouse.delta.manifests import FOLDER, write_manifests
from lakehouse.delta.store import TableStore, storage_options
from lakehouse.delta.table import CommitConflictError, OwnedTable
from lakehouse.settings import Settings
from local.stress.proxy import Proxy
from tests.unit.delta_tables import KEY, NOTHING, PARTITIONS, SCHEMA, SILVER, row, rows_of, sorted_rows, table_of


@pytest.fixture
def options(emulator: Settings) -> dict[str, str]:
    return storage_options("s3://any", os.environ["AWS_ENDPOINT_URL"], emulator.region)


@pytest.mark.parametrize("whole_bytes", [store.WHOLE_BYTES, 0], ids=["whole files", "parts of files"])
def test_a_table_in_a_bucket(
    bucket: str, options: dict[str, str], whole_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WHOLE_BYTES", whole_bytes)
    uri = f"s3://{bucket}/some lake/silver/t"
    assert not OwnedTable.exists(uri, options)
    table = OwnedTable.ensure(uri, SCHEMA, PARTITIONS, SILVER | {"delta.checkpointInterval": "3"}, options)
    log = TableLog(uri, options)
    regions = ["a b", "c%d", "e/f", "ü=:#?", "+&", None]
    rows = [row(number, region=region) for number, region in enumerate(2 * regions)]
    table.append(table_of(rows), {"a": 1}, "")
    table.replace_rows(table_of(rows[1:4]), table_of(rows[1:3]), rows_of([50]), KEY, {"a": 2}, "")
    table.append(NOTHING, {"a": 3}, "")
    expected = sorted_rows(table_of([*rows[:3], *rows[4:], row(50)]))
    again = OwnedTable.open(uri, options)
    assert (again.version, again.transactions()) == (3, {"a": 3})
    assert sorted_rows(again.read(SCHEMA.names)) == expected
    assert TableStore(uri, options).exists(f"_delta_log/{3:020}.checkpoint.parquet")

    bite = log.changed(-1, 2**30)
    assert bite is not None
    assert (bite.last, pc.sum(bite.rows["_sign"]).as_py()) == (3, len(expected))
    assert again.compact(2**20, most_deleted=0) == 4
    write_manifests(uri, again.files(), options=options)
    objects = TableStore(uri, options)
    for key in objects.listing(FOLDER):
        for line in (objects.read(key) or b"").decode().splitlines():
            assert objects.exists(line.removeprefix(f"{uri}/")), line
    with pytest.raises(CommitConflictError):
        table.append(rows_of([60]), {}, "")
    assert sorted_rows(again.read(SCHEMA.names)) == expected


def test_a_store_that_answers_late_holds_up_no_other_thread(bucket: str, emulator: Settings) -> None:
    """The store is a thread of this process here: were it held up, it could not answer."""
    with Proxy(os.environ["AWS_ENDPOINT_URL"]) as store:
        uri = f"s3://{bucket}/t"
        options = storage_options(uri, store.endpoint, emulator.region)
        table = OwnedTable.ensure(uri, SCHEMA, PARTITIONS, SILVER, options)
        table.append(rows_of(range(9)), {}, "")
        assert table.read(["id"], "number > 3").num_rows == 5
        table.overwrite_where("id = 'r00001'", NOTHING, {}, "")
        assert table.read(["id"]).num_rows == 8


def test_of_writers_at_once_each_version_is_of_one(bucket: str, options: dict[str, str]) -> None:
    uri = f"s3://{bucket}/t"
    OwnedTable.ensure(uri, SCHEMA, PARTITIONS, SILVER, options)

    def write(writer: int) -> list[int]:
        table, done = OwnedTable.open(uri, options), []
        for number in range(writer * 100, writer * 100 + 6):
            try:
                table.append(rows_of([number]), {f"w{writer}": number}, "")
                done.append(number)
            except CommitConflictError:
                table.refresh()
        return done

    with ThreadPoolExecutor(3) as pool:
        done = [number for numbers in pool.map(write, range(3)) for number in numbers]
    table = OwnedTable.open(uri, options)
    assert table.version == len(done)
    assert sorted_rows(table.read(SCHEMA.names)) == sorted_rows(table_of([row(number) for number in done]))

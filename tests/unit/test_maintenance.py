"""Upkeep: fewer files with the same rows, nothing that a reader of changes or of the past would miss, and only by the
owner of a table.
"""

import os
import time
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import DataFrameReader, SparkSession

from batch.maintenance import Maintained, maintain
from lakehouse.contracts import ContractError
from runtime.leases import Leases
from runtime.tables import open_table, read_version, table_version
from tests.unit.oracle_deliveries import records
from tests.unit.silver_lake import SilverLake, copied, with_references
from tests.unit.test_silver_batches import basket_line

LINE = basket_line(Random(1)) | {"store_id": 1, "product_id": "A", "unit_price": "2.50"}
SILVER, REJECTED = "silver.validated_pos", "rejected.pos"
# As many as compaction takes for worth a merge.
BATCHES = 8
WEEK = 7 * 24 * 3600


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> SilverLake:
    """Eight batches of a line and a broken record each: eight small files in silver, eight in rejected."""
    found = with_references(tmp_path_factory.mktemp("filled"))
    delivered = records("pos", *(part for n in range(BATCHES) for part in (LINE | {"line_number": n + 1}, b"{")))
    for number in range(BATCHES):
        found.process(delivered[2 * number : 2 * number + 2], number)
    return found


@pytest.fixture
def lake(filled: SilverLake, tmp_path: Path) -> SilverLake:
    return copied(filled, tmp_path)


@pytest.fixture
def reader(spark: SparkSession) -> DataFrameReader:
    """What a stranger reads the tables with."""
    return spark.read.format("delta")


def files(lake: SilverLake, table: str) -> int:
    return open_table(lake.layout.table(table)).live_files()


def rows(lake: SilverLake, table: str, version: int | None = None) -> list[str]:
    uri = lake.layout.table(table)
    return sorted(map(str, read_version(uri, table_version(uri) if version is None else version).to_pylist()))


def kept(spark: SparkSession, lake: SilverLake, *tables: str) -> list[Maintained]:
    return list(maintain(spark, lake.settings, lake.contracts, tables))


def test_small_files_become_one_with_the_same_rows_and_no_change_is_seen(
    spark: SparkSession, reader: DataFrameReader, lake: SilverLake
) -> None:
    uri = lake.layout.table(SILVER)
    before, version = rows(lake, SILVER), table_version(uri)
    assert files(lake, SILVER) == BATCHES

    assert kept(spark, lake, SILVER, REJECTED) == [Maintained(SILVER, True, None), Maintained(REJECTED, True, None)]

    assert (files(lake, SILVER), files(lake, REJECTED)) == (1, 1)
    assert rows(lake, SILVER) == before
    changes = reader.option("readChangeFeed", "true").option("startingVersion", version + 1)
    assert changes.load(uri).collect() == []
    assert rows(lake, SILVER, version) == before, "the past can still be read"
    assert kept(spark, lake, SILVER) == [Maintained(SILVER, False, None)], "there is nothing left to do"


def test_what_a_dead_writer_left_is_removed_once_it_is_old(spark: SparkSession, lake: SilverLake) -> None:
    folder = Path(lake.layout.table(SILVER))
    old, young = (folder / f"part-{name}.snappy.parquet" for name in ("old", "young"))
    for orphan, age in ((old, WEEK + 3600), (young, WEEK - 3600)):
        orphan.write_bytes(b"half a file")
        os.utime(orphan, (time.time() - age,) * 2)
    before = rows(lake, SILVER)
    kept(spark, lake, SILVER)
    assert (old.exists(), young.exists()) == (False, True)
    assert rows(lake, SILVER) == before


@pytest.mark.parametrize("table", [SILVER, REJECTED])
def test_a_table_that_a_job_writes_is_left_to_that_job(spark: SparkSession, lake: SilverLake, table: str) -> None:
    """Rejected rows belong to the job of their silver table."""
    orphan = Path(lake.layout.table(table)) / "part-old.snappy.parquet"
    orphan.write_bytes(b"half a file")
    os.utime(orphan, (time.time() - WEEK - 3600,) * 2)
    with Leases(str(lake.settings.root), "stream silver", [SILVER]):
        [found] = kept(spark, lake, table)
    assert (found.table, found.compacted) == (table, False)
    assert found.held_by is not None
    assert found.held_by.startswith(f"{SILVER} is written by stream silver (process {os.getpid()} on ")
    assert files(lake, table) == BATCHES
    assert not orphan.exists(), "old files go beside the owner"


def test_tables_that_are_not_there_are_passed_over_and_unknown_ones_refused(
    spark: SparkSession, lake: SilverLake
) -> None:
    done = {each.table for each in kept(spark, lake)}
    assert {SILVER, REJECTED, "silver.stores"} <= done
    assert "gold.sales_kpis" not in done
    with pytest.raises(ContractError, match="silver.nowhere"):
        kept(spark, lake, SILVER, "silver.nowhere")

"""Schemas that change under running jobs: an added column goes through on its own, anything else ends the job with what
to do, and once that is done the lake is exact.

The queries of silver and gold run in a job on a folder; bronze is appended to beside them, as its query does it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from lakehouse import gold as declared
from local.oracle.deliveries import DeliveredRecord
from runtime.tables import IncompatibleTableError, table_exists, table_version
from streaming.job import Declaration
from tests.integration.background_job import GOLD, SILVER, BackgroundJob, silver_and_gold
from tests.integration.queried_lake import QueriedLake, case, later
from tests.unit.oracle_deliveries import contact

BRONZE, REJECTED = "bronze.crm", "rejected.crm"


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> QueriedLake:
    return QueriedLake(spark, tmp_path / "lake")


@pytest.fixture
def run(
    lake: QueriedLake, run_beside: Callable[[Sequence[Declaration], int], BackgroundJob]
) -> Callable[[], BackgroundJob]:
    """Starts the queries of silver and gold."""
    trigger = {"processingTime": "0 seconds"}
    return lambda: run_beside(silver_and_gold(lake.spark, lake.settings, lake.contracts, trigger), 2)


def delivery(number: int) -> list[DeliveredRecord]:
    """A case, its resolution, a correction of the delivery before, one more of it, and a record that is none."""
    first = 6 * number + 1
    hour = f"2010-12-{1 + number // 20:02}T{number % 20:02}"
    opened, resolved = case(f"o{number}", f"{hour}:00:00Z", "opened"), case(f"r{number}", f"{hour}:30:00Z", "resolved")
    for each in (opened, resolved):
        each["case_id"] = f"case {number}"
    before = f"2010-12-{1 + (number - 1) // 20:02}T{(number - 1) % 20:02}:45:00Z" if number else f"{hour}:45:00Z"
    corrected = contact(f"i{max(0, number - 1)}", before, rating=1 + number % 5)
    made = later("crm", first, opened, resolved, corrected, contact(f"i{number}", f"{hour}:45:00Z", rating=3), hours=0)
    return [*made, *later("crm", first + 4, {"interaction_id": "none"}, hours=0)]


def exact(lake: QueriedLake, delivered: Sequence[DeliveredRecord]) -> bool:
    """Whether all of it is through silver and gold."""
    return through(lake, delivered) and differences(lake, delivered) == []


def through(lake: QueriedLake, delivered: Sequence[DeliveredRecord]) -> bool:
    """Whether silver and rejected hold so many records, and gold has seen some."""
    if not all(table_exists(lake.spark, lake.layout.table(each)) for each in (SILVER, REJECTED, GOLD)):
        return False
    count = sum(lake.spark.read.format("delta").load(lake.layout.table(each)).count() for each in (SILVER, REJECTED))
    return count == len(delivered) and table_version(lake.spark, lake.layout.table(GOLD)) > 0


def differences(lake: QueriedLake, delivered: Sequence[DeliveredRecord]) -> list[str]:
    """What is not as the oracle says, and gold rows that are not what a recomputation gives."""
    contract = lake.contracts[GOLD.partition(".")[2]]
    rows = rows_of(lake, GOLD).select(*contract.column_names).collect()
    recomputed = declared.recompute(contract, {SILVER: rows_of(lake, SILVER)}).collect()
    gold_differs = ["gold is empty"] if not rows else []
    gold_differs += {str(tuple(row)) for row in rows} ^ {str(tuple(row)) for row in recomputed}
    return [*map(str, lake.compared(delivered).differences), *gold_differs]


def rows_of(lake: QueriedLake, table: str) -> DataFrame:
    return lake.spark.read.format("delta").load(lake.layout.table(table))


def test_a_column_added_before_the_others_goes_through_under_running_jobs_with_a_restart_each_at_most(
    lake: QueriedLake, run: Callable[[], BackgroundJob]
) -> None:
    delivered = delivery(0)
    lake.deliver(delivered)
    running = run()
    running.until(lambda: through(lake, delivered))
    # What a query writes before what it reads: its restart meets the column that it does not know.
    for number, table in enumerate((GOLD, REJECTED, SILVER, BRONZE)):
        before, after = delivery(2 * number + 1), delivery(2 * number + 2)
        lake.deliver(before)
        lake.change(table, "ALTER TABLE {table} ADD COLUMN till BIGINT FIRST")
        lake.deliver(after)
        delivered = [*delivered, *before, *after]
        time.sleep(2)
    running.drained()
    assert differences(lake, delivered) == []
    # A restart for each table that a query reads or writes.
    assert running.starts[SILVER] <= 1 + len((REJECTED, SILVER, BRONZE)), running.starts
    assert running.starts[GOLD] <= 1 + len((GOLD, SILVER)), running.starts
    for table in (BRONZE, SILVER, REJECTED, GOLD):
        assert [row["till"] for row in rows_of(lake, table).select("till").distinct().collect()] == [None]


@dataclass(frozen=True)
class Rewrite:
    """A table rewritten with other columns: what happens to `column`, and how it is told."""

    what: str
    column: str
    now: str

    def of(self, rows: DataFrame) -> DataFrame:
        if self.what == "dropped":
            return rows.drop(self.column)
        if self.what == "renamed":
            return rows.withColumnRenamed(self.column, f"{self.column}_new")
        return rows.withColumn(self.column, F.col(self.column).cast(self.what))


REWRITES = {
    SILVER: (
        Rewrite("dropped", "rating", "is gone"),
        Rewrite("renamed", "rating", "is gone"),
        Rewrite("string", "rating", "is string instead of int"),
        Rewrite("bigint", "rating", "is bigint instead of int"),
    ),
    REJECTED: (
        Rewrite("dropped", "batch_number", "is gone"),
        Rewrite("string", "batch_number", "is string instead of bigint"),
    ),
    GOLD: (
        Rewrite("dropped", "contributions", "is gone"),
        Rewrite("string", "contributions", "is string instead of bigint"),
    ),
}


@pytest.mark.parametrize("table", REWRITES)
def test_a_table_rewritten_with_other_columns_ends_its_job_and_goes_on_exact_once_it_is_brought_back(
    lake: QueriedLake, run: Callable[[], BackgroundJob], table: str
) -> None:
    delivered = delivery(0)
    lake.deliver(delivered)
    uri = lake.layout.table(table)
    for number, rewrite in enumerate(REWRITES[table], 1):
        running = run()
        running.until(lambda: exact(lake, delivered))  # noqa: B023
        version = table_version(lake.spark, uri)
        overwrite(lake, table, rewrite.of(rows_of(lake, table)))
        lake.deliver(delivery(number))
        delivered = [*delivered, *delivery(number)]
        running.ended()
        assert isinstance(running.failure, IncompatibleTableError), running.failure
        assert str(running.failure) == (
            f"{uri}: column {rewrite.column} {rewrite.now} since version {version + 1}, which no job of the lake "
            f"wrote: bring it back with RESTORE TABLE delta.`{uri}` TO VERSION AS OF {version} (docs/operating.md)"
        )
        again = run()
        again.ended()
        assert str(again.failure) == str(running.failure), "a job that starts anew says the same"
        lake.spark.sql(f"RESTORE TABLE delta.`{uri}` TO VERSION AS OF {version}")
    run().drained()
    assert differences(lake, delivered) == []


def test_bronze_cannot_be_rewritten_and_its_readers_go_on(lake: QueriedLake, run: Callable[[], BackgroundJob]) -> None:
    delivered = delivery(0)
    lake.deliver(delivered)
    running = run()
    running.until(lambda: exact(lake, delivered))
    for what in ("dropped", "renamed", "binary"):
        with pytest.raises(PySparkException, match="DELTA_CANNOT_MODIFY_APPEND_ONLY"):
            overwrite(lake, BRONZE, Rewrite(what, "payload", "").of(rows_of(lake, BRONZE)))
    lake.deliver(delivery(1))
    running.drained()
    assert running.starts == {SILVER: 1, GOLD: 1}
    assert differences(lake, [*delivered, *delivery(1)]) == []


def overwrite(lake: QueriedLake, table: str, rows: DataFrame) -> None:
    """Puts the rows in place of the table's, columns and all, as a person does it."""
    uri = lake.layout.table(table)
    detail = DeltaTable.forPath(lake.spark, uri).detail().first()
    assert detail is not None
    writer = rows.localCheckpoint().write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.partitionBy(*detail["partitionColumns"]).save(uri)

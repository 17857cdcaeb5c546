"""Gold from 10 000 changed silver rows, against computing the whole table again in Spark and in DuckDB."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import psutil
import pyarrow as pa
from pyspark.sql import SparkSession

from batch.reconciliation.gold_tables import computed
from bench.result import Goal, Result, Table, thousands
from bench.web_silver import QUICK_SIZES, SIZES, WebSilver
from lakehouse.delta.table import OwnedTable
from lakehouse.engine import gold
from lakehouse.engine.schemas import arrow_schema
from local.duckdb_reader import extension_path
from runtime.spark import create_session
from streaming.gold import GoldTable

TABLE = "marketing_funnel"
WARM_UP, ROUNDS, RECOMPUTATIONS = 2, 4, 2
QUICK_ROUNDS = 2
SPARK_FACTOR, DUCKDB_FACTOR = 500.0, 20.0
Cost = tuple[float, float]


class GoldOfLake:
    """The gold table over one lake, kept by changes, with recomputations beside it."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Makes silver, and fills the gold table from it."""
        self.silver = WebSilver(folder, rows, TABLE)
        self.contract = self.silver.contracts[TABLE]
        self._root = self.silver.settings.root
        self._table = GoldTable(self.silver.settings, self.silver.contracts, TABLE)
        self._table.follow()

    def follow(self) -> Cost:
        """Takes one more batch of silver into gold: from reading silver's log to gold's commit."""
        self.silver.change()
        return _timed(self._table.follow)

    def in_spark(self, spark: SparkSession) -> Cost:
        """Computes the table again from all of silver, and writes it out."""

        def compute() -> None:
            frames = {name: spark.read.format("delta").load(uri) for name, uri in self.silver.uris.items()}
            rows = computed(spark, self.contract, frames)
            rows.write.format("delta").mode("overwrite").save(f"{self._root}/by-spark")

        return _timed(compute)

    def in_duckdb(self) -> Cost:
        """The same in DuckDB, which reads the Delta tables by itself, with as many threads as it likes."""

        def compute() -> None:
            connection = duckdb.connect()
            connection.execute(f"LOAD '{extension_path('delta')}'")
            connection.execute("SET TimeZone = 'UTC'")
            silver = {}
            for name, uri in self.silver.uris.items():
                columns = gold.columns_of(self.contract, self.silver.contracts.table(name))
                whole = f"SELECT {', '.join(columns)} FROM delta_scan('{uri}')"  # noqa: S608
                silver[name] = connection.execute(whole).to_arrow_table()
            rows = gold.recompute(self.contract, silver, connection)
            target = f"{self._root}/by-duckdb"
            table = OwnedTable.ensure(target, arrow_schema(self.contract), self.contract.partitions, {})
            table.overwrite_where("true", rows, {}, "{}")

        return _timed(compute)

    def check(self) -> None:
        """All three are the same rows: else the figures compare different things."""
        kept, *others = (
            _rows(OwnedTable.open(uri), self.contract.column_names)
            for uri in (self._table.uri, f"{self._root}/by-spark", f"{self._root}/by-duckdb")
        )
        assert all(kept == other for other in others), (
            f"{TABLE} differs from a recomputation at {self.silver.rows} rows"
        )


def _rows(table: OwnedTable, columns: tuple[str, ...]) -> list[str]:
    rows: pa.Table = table.read(columns)
    return sorted(str(tuple(row.values())) for row in rows.to_pylist())


def _timed(do: Callable[[], object]) -> Cost:
    """Seconds on the clock, and processor seconds of this process and its JVM."""
    processor, clock = _processor_seconds(), time.monotonic()
    do()
    return time.monotonic() - clock, _processor_seconds() - processor


def _processor_seconds() -> float:
    this = psutil.Process(os.getpid())
    times = [each.cpu_times() for each in (this, *this.children())]
    return float(sum(each.user + each.system for each in times))


def run(quick: bool, folder: Path) -> Result:
    """Times batches and recomputations on lakes of three sizes, side by side and in turn."""
    sizes = QUICK_SIZES if quick else SIZES
    golds = {rows: GoldOfLake(folder, rows) for rows in sizes}
    rounds, again = (QUICK_ROUNDS, 1) if quick else (ROUNDS, RECOMPUTATIONS)
    for _ in range(1 if quick else WARM_UP):
        for each in golds.values():
            each.follow()
    batches = _taken(golds, rounds, GoldOfLake.follow)
    by_duckdb = _taken(golds, again, GoldOfLake.in_duckdb)
    spark = create_session("bench gold merge", golds[sizes[0]].silver.settings)
    try:
        by_spark = _taken(golds, again, lambda each: each.in_spark(spark))
    finally:
        spark.stop()
    for each in golds.values():
        each.check()
    return _result(batches, by_spark, by_duckdb, rounds, again)


def _taken(golds: dict[int, GoldOfLake], rounds: int, do: Callable[[GoldOfLake], Cost]) -> dict[int, Cost]:
    """The median seconds for each size, and the median processor seconds."""
    costs: dict[int, list[Cost]] = {rows: [] for rows in golds}
    for _ in range(rounds):
        for rows, each in golds.items():
            costs[rows].append(do(each))
    return {
        rows: (statistics.median(wall for wall, _ in taken), statistics.median(cpu for _, cpu in taken))
        for rows, taken in costs.items()
    }


def _result(
    batches: dict[int, Cost], by_spark: dict[int, Cost], by_duckdb: dict[int, Cost], rounds: int, again: int
) -> Result:
    def row(size: int) -> tuple[str, ...]:
        costs = (batches[size], by_spark[size], by_duckdb[size])
        factors = (f"{each[size][0] / batches[size][0]:.0f}" for each in (by_spark, by_duckdb))
        return (thousands(size), *(f"{number:.2f}" for cost in costs for number in cost), *factors)

    largest = max(batches)
    goals = []
    for name, costs, wanted in (("Spark", by_spark, SPARK_FACTOR), ("DuckDB", by_duckdb, DUCKDB_FACTOR)):
        factor = costs[largest][0] / batches[largest][0]
        what = f"recomputation in {name} over a batch at {thousands(largest)} rows, wall clock"
        goals.append(Goal(what, f">= {wanted:.0f} x", f"{factor:.0f} x", factor >= wanted))
    return Result(
        title="Gold: 10 000 changed silver rows against a full recomputation",
        method=(
            f"`GoldTable.follow` of `{TABLE}` (six KPIs) on one silver commit of 9 000 new and 500 corrected rows, "
            "from reading silver's log to gold's commit; against the queries of `lakehouse/kpi_checks.py` over all of "
            "silver in Spark, and `lakehouse.engine.gold.recompute` over all of silver as DuckDB reads it, each "
            "written as a Delta table. At the end all three are compared: they hold the same rows. Seconds, and "
            f"processor seconds of this process and its JVM: medians of {rounds} batches and {again} recomputations, "
            "after a warm-up."
        ),
        goals=tuple(goals),
        tables=(
            Table(
                (
                    *("rows in silver", "batch, s", "CPU, s", "Spark, s", "CPU, s", "DuckDB, s", "CPU, s"),
                    *("Spark / batch", "DuckDB / batch"),
                ),
                tuple(row(size) for size in batches),
            ),
        ),
    )

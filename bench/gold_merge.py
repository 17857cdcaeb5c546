"""Gold from 10 000 changed silver rows, against computing the whole table again."""

import statistics
import uuid
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.result import Goal, Result, Table, thousands
from bench.web_lake import QUICK_SIZES, SIZES, Cost, Stopwatch, WebLake, session
from lakehouse import gold
from lakehouse.layout import spark_path
from runtime.storage import Storage
from runtime.tables import table_version
from streaming.gold import ADDED, GoldTable

TABLE = "marketing_funnel"
WEB = "silver.sessionized_web_logs"
WARM_UP, ROUNDS, RECOMPUTATIONS = 2, 4, 2
QUICK_ROUNDS = 2
FACTOR = 50.0


class GoldOfLake:
    """The gold table over one lake, kept by merges, with a recomputation beside it."""

    def __init__(self, spark: SparkSession, lake: WebLake) -> None:
        """Fills the gold table from the silver that is there."""
        self._spark = spark
        self._lake = lake
        self._table = GoldTable(lake.settings, lake.contracts, TABLE)
        self._again = f"{lake.settings.root}/recomputed"
        checkpoint = Storage.open(self._table.prepare(spark))
        if checkpoint.read("metadata") is None:
            checkpoint.put("metadata", f'{{"id": "{uuid.uuid4()}"}}'.encode())
        self._checkpoint = checkpoint
        self._batch = 0
        self._computed().write.format("delta").mode("append").save(spark_path(self._table.uri))

    def merge(self) -> Cost:
        """Takes the change feed of one more silver batch into gold: from reading the feed to gold's commit."""
        spark = self._spark
        self._lake.process()
        version = table_version(spark, self._lake.table.silver_uri)
        before = table_version(spark, self._table.uri)
        with Stopwatch() as watch:
            feed = (
                spark.read.format("delta")
                .option("readChangeFeed", "true")
                .option("startingVersion", version)
                .option("endingVersion", version)
                .load(spark_path(self._lake.table.silver_uri))
            )
            sign = F.when(F.col("_change_type").isin(*ADDED), 1).otherwise(-1)
            changes = gold.contributions(feed, WEB, self._table.contract, sign)
            self._table.merge(changes, self._batch, self._checkpoint, recover=False)
        assert table_version(spark, self._table.uri) == before + 1, "a batch changes this gold table"
        self._batch += 1
        return watch.cost

    def recompute(self) -> Cost:
        """Computes the table again from all of silver, and writes it out."""
        with Stopwatch() as watch:
            self._computed().write.format("delta").mode("overwrite").save(self._again)
        return watch.cost

    def check(self) -> None:
        """Merged and recomputed are the same rows: else the figures compare different things."""
        merged = self._spark.read.format("delta").load(spark_path(self._table.uri))
        again = self._spark.read.format("delta").load(self._again)
        different = merged.exceptAll(again).count() + again.exceptAll(merged).count()
        assert different == 0, f"{different} rows of {TABLE} differ from the recomputation at {self._lake.rows} rows"

    def _computed(self) -> DataFrame:
        silver = {
            source: self._spark.read.format("delta").load(spark_path(uri)) for source, uri in self._table.silver.items()
        }
        return gold.recompute(self._table.contract, silver)


def run(quick: bool, folder: Path) -> Result:
    """Times merges and recomputations on lakes of three sizes, side by side and in turn."""
    sizes = QUICK_SIZES if quick else SIZES
    spark = session(folder, "gold merge")
    try:
        golds = {rows: GoldOfLake(spark, WebLake(spark, folder, rows)) for rows in sizes}
        for _ in range(1 if quick else WARM_UP):
            for each in golds.values():
                each.merge()
        merges: dict[int, list[Cost]] = {rows: [] for rows in sizes}
        for _ in range(QUICK_ROUNDS if quick else ROUNDS):
            for rows, each in golds.items():
                merges[rows].append(each.merge())
        recomputations: dict[int, list[Cost]] = {rows: [] for rows in sizes}
        for _ in range(1 if quick else RECOMPUTATIONS):
            for rows, each in golds.items():
                recomputations[rows].append(each.recompute())
        for each in golds.values():
            each.check()
    finally:
        spark.stop()
    return _result(merges, recomputations)


def _result(merges: dict[int, list[Cost]], recomputations: dict[int, list[Cost]]) -> Result:
    merged = {rows: statistics.median(each.wall for each in taken) for rows, taken in merges.items()}
    full = {rows: statistics.median(each.wall for each in taken) for rows, taken in recomputations.items()}
    rows = tuple(
        (
            thousands(size),
            f"{merged[size]:.2f}",
            f"{statistics.median(each.cpu for each in merges[size]):.2f}",
            f"{full[size]:.2f}",
            f"{statistics.median(each.cpu for each in recomputations[size]):.2f}",
            f"{full[size] / merged[size]:.1f}",
        )
        for size in merges
    )
    largest = max(merges)
    factor = full[largest] / merged[largest]
    return Result(
        title="Gold: 10 000 changed silver rows against a full recomputation",
        method=(
            f"`GoldTable.merge` of `{TABLE}` (five KPIs) on the change feed of one silver batch of 10 000 rows, from "
            "reading the feed to the commit; against `lakehouse.gold.recompute` from all of silver, written as a Delta "
            "table. Same lakes as for silver. At the end both tables are compared: they hold the same rows. Medians of "
            f"{len(merges[largest])} merges and {len(recomputations[largest])} recomputations, after a warm-up."
        ),
        goals=(
            Goal(
                f"recomputation over merge at {thousands(largest)} rows, wall clock",
                f">= {FACTOR:.0f} x",
                f"{factor:.1f} x",
                factor >= FACTOR,
            ),
        ),
        tables=(
            Table(
                ("rows in silver", "merge, s", "JVM CPU, s", "recomputation, s", "JVM CPU, s", "recomputation / merge"),
                rows,
            ),
        ),
    )

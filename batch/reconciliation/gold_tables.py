"""One gold table at pinned versions against independent SQL over silver at the versions that it was made of."""

import re
from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.reconciliation.cached import cached
from batch.reconciliation.pins import GoldPins
from batch.reconciliation.recomputed.dialect import spark_sql
from lakehouse.contracts import Contract, Contracts
from lakehouse.kpi_checks import CHECKS
from lakehouse.kpi_tables import kpis_of, sources_of
from lakehouse.layout import Layout, spark_path

AMOUNT, VALUE = "decimal(28,4)", "decimal(38,10)"


def computed(spark: SparkSession, gold: Contract, silver: Mapping[str, DataFrame]) -> DataFrame:
    """The gold table as `CHECKS` give it over whole silver tables (`silver.validated_pos` -> rows), with the contract's
    columns.
    """
    named = {word for kpi in kpis_of(gold.name) for word in re.findall(r"\w+", CHECKS[kpi.name])}
    for source, rows in silver.items():
        # Each check reads them again: planning that costs more than reading.
        asked = cached(rows.select(*(name for name in rows.columns if name in named)))
        asked.createOrReplaceTempView(source.removeprefix("silver."))
    return reduce(DataFrame.unionByName, (_check(spark, kpi.name, gold) for kpi in kpis_of(gold.name)))


def _check(spark: SparkSession, kpi: str, gold: Contract) -> DataFrame:
    rows = spark.sql(CHECKS[kpi])
    numerator = F.round(F.col("numerator").cast("decimal(38,8)"), 4).cast(AMOUNT)
    denominator = (F.col("denominator") if "denominator" in rows.columns else F.lit(1)).cast(AMOUNT)
    made = {
        "kpi_name": F.lit(kpi),
        "period_start": F.col("day"),
        "month": F.date_format("day", "yyyy-MM"),
        "numerator": numerator,
        "denominator": denominator,
        "value": F.when(denominator != 0, numerator / denominator).cast(VALUE),
        "contributions": F.col("contributions"),
    }
    columns = []
    for column in gold.columns:
        found = F.col(column.name) if column.name in rows.columns else F.lit(None)
        columns.append(made.get(column.name, found).cast(column.type).alias(column.name))
    return rows.select(*columns)


class GoldAtPins:
    """A gold table and the silver tables behind it, read as of versions."""

    def __init__(self, spark: SparkSession, root: str, contracts: Contracts, pins: GoldPins) -> None:
        layout = Layout(root)
        self.spark, self.pins = spark, pins
        self.contract = contracts[pins.table]
        self.uri = layout.table(f"gold.{pins.table}")
        self._silver = {source: layout.table(source) for source in sources_of(pins.table)}

    def expected(self) -> DataFrame:
        """What the table must hold, by SQL of its own."""
        silver = {source: self._at(uri, self.pins.silver[source]) for source, uri in self._silver.items()}
        return computed(self.spark, self.contract, silver)

    def found(self, version: int | None = None) -> DataFrame:
        """What the table holds, at its pin or at another version."""
        return self._at(self.uri, self.pins.gold if version is None else version).select(*self.contract.column_names)

    def changed_days(self, since: Mapping[str, int]) -> DataFrame:
        """The days that silver's changes after the versions `since` can touch; column `day`."""
        days = [
            self._changes(source, since[source]).select(F.explode(F.array(*map(F.expr, sorted(names)))).alias("day"))
            for source, names in self._day_columns().items()
            if since[source] < self.pins.silver[source]
        ]
        if not days:
            return self.spark.createDataFrame([], "day date")
        return reduce(DataFrame.unionByName, days).select(F.to_date("day").alias("day")).distinct()

    def _changes(self, source: str, since: int) -> DataFrame:
        feed = self.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since + 1)
        return feed.option("endingVersion", self.pins.silver[source]).load(spark_path(self._silver[source]))

    def _day_columns(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for kpi in kpis_of(self.contract.name):
            for each in kpi.contributions:
                found.setdefault(each.source, set()).add(f"to_date({spark_sql(each.day)})")
        return found

    def _at(self, uri: str, version: int) -> DataFrame:
        rows = self.spark.read.format("delta").option("versionAsOf", max(version, 0)).load(spark_path(uri))
        return rows if version >= 0 else rows.limit(0)

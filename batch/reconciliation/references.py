"""The reference tables of a lake, read once for all sources that look something up in them."""

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.reconciliation.recomputed.enrich import versions_of
from batch.reconciliation.recomputed.parsing import parse
from lakehouse.contracts import Contract, Contracts
from lakehouse.layout import Layout, spark_path
from runtime.tables import open_table


class References:
    """The rows of reference tables as they were when they were first asked for."""

    def __init__(self, spark: SparkSession, root: str, contracts: Contracts) -> None:
        self._spark, self._layout, self._contracts = spark, Layout(root), contracts
        self._rows: dict[str, DataFrame] = {}
        self._read: dict[str, int] = {}

    def of(self, source: Contract) -> Mapping[str, DataFrame]:
        """Of each reference table that a source names the rows of `versions_of`, as a local relation."""
        names = {column.reference[0] for column in source.columns if column.reference}
        return {name: self._versions(name) for name in names}

    def ahead_of(self, looked_up: Mapping[str, int]) -> set[str]:
        """Which of the tables that were asked for hold more by now than the versions that silver was looked up in."""
        return {name for name, version in self._read.items() if version > looked_up.get(name, -1)}

    def deliveries(self, name: str) -> DataFrame:
        """All rows of a reference source that passed its rules, as bronze holds them now."""
        bronze = self._spark.read.format("delta").load(spark_path(self._layout.table(f"bronze.{name}")))
        return parse(bronze, self._contracts.source(name)).where(F.size("errors") == 0)

    def _versions(self, name: str) -> DataFrame:
        if name not in self._rows:
            uri = self._layout.table(f"silver.{name}")
            version = open_table(uri).version
            table = self._spark.read.format("delta").option("versionAsOf", version).load(spark_path(uri))
            rows = versions_of(table, self._contracts.source(name))
            # In one piece: Spark drops rows of a table whose first piece is empty.
            self._rows[name] = self._spark.createDataFrame(rows.toArrow().combine_chunks(), rows.schema)
            self._read[name] = version
        return self._rows[name]

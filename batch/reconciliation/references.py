"""The reference tables of a lake, read once for all sources that look something up in them."""

from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.reconciliation.recomputed.enrich import versions_of
from batch.reconciliation.recomputed.parsing import parse
from lakehouse.contracts import Contract, Contracts
from lakehouse.layout import Layout, spark_path


class References:
    """The rows of reference tables as they were when they were first asked for."""

    def __init__(self, spark: SparkSession, root: str, contracts: Contracts) -> None:
        self._spark, self._layout, self._contracts = spark, Layout(root), contracts
        self._rows: dict[str, DataFrame] = {}

    def of(self, source: Contract) -> Mapping[str, DataFrame]:
        """Of each reference table that a source names the rows of `versions_of`, as a local relation."""
        names = {column.reference[0] for column in source.columns if column.reference}
        return {name: self._versions(name) for name in names}

    def deliveries(self, name: str) -> DataFrame:
        """All rows of a reference source that passed its rules, as bronze holds them now."""
        bronze = self._spark.read.format("delta").load(spark_path(self._layout.table(f"bronze.{name}")))
        return parse(bronze, self._contracts.source(name)).where(F.size("errors") == 0)

    def _versions(self, name: str) -> DataFrame:
        if name not in self._rows:
            table = self._spark.read.format("delta").load(spark_path(self._layout.table(f"silver.{name}")))
            rows = versions_of(table, self._contracts.source(name))
            # In one piece: Spark drops rows of a table whose first piece is empty.
            self._rows[name] = self._spark.createDataFrame(rows.toArrow().combine_chunks(), rows.schema)
        return self._rows[name]

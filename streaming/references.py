"""The reference tables (stores, products, …) as the fact queries join them: small, in memory, never stale."""

from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession

from lakehouse.contracts import Contracts
from lakehouse.layout import Layout, spark_path
from lakehouse.silver import versions_of
from runtime.tables import table_version


class References:
    """The reference rows at their newest version; a table is read again only when its version moved.

    The rows become a local relation: joining them costs no Spark job.
    """

    def __init__(self, contracts: Contracts, layout: Layout) -> None:
        self._contracts = contracts
        self._layout = layout
        self._held: dict[str, tuple[int, DataFrame]] = {}

    def current(self, spark: SparkSession, names: Iterable[str]) -> dict[str, DataFrame]:
        """For each named reference source its rows with `valid_from` and `valid_to`."""
        return {name: self._rows(spark, name) for name in names}

    def version(self, name: str) -> int:
        """The table version that `current` gave last."""
        return self._held[name][0]

    def _rows(self, spark: SparkSession, name: str) -> DataFrame:
        uri = self._layout.table(f"silver.{name}")
        version = table_version(spark, uri)
        if name not in self._held or self._held[name][0] != version:
            table = spark.read.format("delta").option("versionAsOf", version).load(spark_path(uri))
            rows = versions_of(table, self._contracts.source(name))
            self._held[name] = version, spark.createDataFrame(rows.toArrow(), rows.schema)
        return self._held[name][1]

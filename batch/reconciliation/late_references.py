"""Silver rows that a reference row came too late for: the one way in which the order of arrival shows
(docs/guarantees.md), and no difference.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.contracts import Contract


def without_late(
    cells: DataFrame, in_silver: DataFrame, source: Contract, silver: Contract, references: dict[str, DataFrame]
) -> tuple[DataFrame, int]:
    """The differing values that no late reference row explains, and how many silver rows one does.

    `cells` has the columns of a difference, `in_silver` the silver rows. A row that was enriched arrived before a
    reference row of one of its keys; only looked-up and computed columns may differ for that reason.
    """
    derived = [column.stored_as for column in silver.columns if column.lookup or column.expression]
    keys = {column.stored_as: column.reference for column in source.columns if column.reference}
    if not derived or not keys:
        return cells, 0
    excused = cells.where(F.col("column").isin(derived)).select(F.col("key").alias("record_id")).distinct()
    rows = in_silver.join(excused, "record_id", how="left_semi").select("record_id", "arrived_at", *keys)
    late = reduce(
        DataFrame.unionByName,
        (_late(rows, name, references[table], column) for name, (table, column) in keys.items()),
    ).distinct()
    explained = F.col("column").isin(derived) & (F.col("key") == F.col("record_id"))
    left = cells.join(late, explained, how="left_anti")
    return left, late.count()


def _late(rows: DataFrame, key: str, reference: DataFrame, column: str) -> DataFrame:
    newer = reference.groupBy(F.col(column).alias("_key")).agg(F.max("arrived_at").alias("_newest"))
    after: Column = (F.col(key) == F.col("_key")) & (F.col("_newest") > F.col("arrived_at"))
    return rows.join(newer, after, how="left_semi").select("record_id")

"""Silver rows that a reference row came too late for, and that their job has not looked up again yet: no difference.

Only what a look-up gave at an earlier time is excused: values that no delivery had then, and columns that no look-up
reaches, stay differences whatever arrived since.
"""

from collections.abc import Callable, Collection, Mapping
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from batch.reconciliation.cached import cached
from batch.reconciliation.recomputed.dialect import spark_sql
from lakehouse.contracts import Contract, Contracts


class LateReferences:
    """What the look-ups of one source gave when its rows arrived.

    `behind` names the reference tables that hold more than silver has been looked up in: the others explain nothing.
    `deliveries` gives the rows of a reference source that passed its rules, all that were ever delivered.
    """

    def __init__(
        self,
        contracts: Contracts,
        source: Contract,
        silver: Contract,
        behind: Collection[str],
        deliveries: Callable[[str], DataFrame],
    ) -> None:
        self._contracts, self._source, self._silver, self._deliveries = contracts, source, silver, deliveries
        self._behind = behind
        self._looked_up = [column.stored_as for column in silver.columns if column.lookup]
        self._computed = [column for column in silver.columns if column.expression]

    def without_late(self, cells: DataFrame, wanted: DataFrame, in_silver: DataFrame) -> tuple[DataFrame, int]:
        """The differing values that no late reference row explains, and how many silver rows one does.

        `cells` has the columns of a difference, `wanted` and `in_silver` are the silver rows as they must be and are.

        1. Of each row with another looked-up value, and each reference table that gives one: was what it has, all its
           columns together, the answer of a look-up at some time since the row arrived?
        2. A computed column is explained if today's expression gives what is found from the values that 1 explains.
        """
        known = F.col("column").isin(self._looked_up)
        ids = cached(cells.where(known).select(F.col("key").alias("record_id")).distinct())
        if not self._tables() or ids.isEmpty():
            return cells, 0
        rows = cached(self._differing(ids, wanted, in_silver))
        # 1
        explained = cached(reduce(DataFrame.unionByName, (self._answers(rows, table) for table in self._tables())))
        # 2
        reasons = explained.unionByName(self._computed_from(rows, explained, cells)) if self._computed else explained
        same = (F.col("key") == F.col("record_id")) & (F.col("column") == F.col("_column"))
        left = cells.join(reasons.withColumnRenamed("column", "_column"), same, how="left_anti")
        late = cells.join(left.select("key", "column"), ["key", "column"], how="left_anti")
        return left, late.select("key").distinct().count()

    def _tables(self) -> Mapping[str, tuple[str, str]]:
        """Of each reference table that gives columns: the key's column in the rows, and its own."""
        asked = {column.lookup[0] for column in self._silver.columns if column.lookup}.intersection(self._behind)
        keys = [(column.stored_as, column.reference) for column in self._source.columns if column.reference]
        return {table: (name, key) for name, (table, key) in keys if table in asked}

    def _taken(self, table: str) -> dict[str, str]:
        """The columns that are looked up in a reference table, with their names there."""
        return {c.stored_as: c.lookup[1] for c in self._silver.columns if c.lookup and c.lookup[0] == table}

    def _differing(self, ids: DataFrame, wanted: DataFrame, in_silver: DataFrame) -> DataFrame:
        """The wanted rows of some records, with the looked-up values that silver has as `f_…`."""
        found = in_silver.select("record_id", *(F.col(name).alias(f"f_{name}") for name in self._looked_up))
        return wanted.join(ids, "record_id", how="left_semi").join(found, "record_id")

    def _answers(self, rows: DataFrame, table: str) -> DataFrame:
        """The columns of `rows` that a look-up in the table explains: `record_id`, `column`.

        A delivery answers from its arrival until one that holds later, or replaces it, arrives: the row must have
        arrived before that.
        """
        name, key = self._tables()[table]
        taken = self._taken(table)
        reference = self._contracts.source(table)
        since = str(reference.event_time)
        delivered = self._deliveries(table).select(
            F.col(key).alias("_key"),
            F.struct(since, *reference.precedence).alias("_order"),
            F.col(since).alias("_since"),
            F.col("arrived_at").alias("_arrived"),
            F.struct(*(F.col(origin).alias(each) for each, origin in taken.items())).alias("_answer"),
        )
        asked = rows.select(
            "record_id",
            F.col(name).alias("_key"),
            F.col(str(self._silver.event_time)).alias("_at"),
            F.col("arrived_at"),
            F.struct(*(F.col(f"f_{each}").alias(each) for each in taken)).alias("_found"),
        ).distinct()
        later = Window.partitionBy("record_id", "_found").orderBy(F.col("_order").desc())
        over = F.min("_arrived").over(later.rowsBetween(Window.unboundedPreceding, -1))
        answers = asked.join(delivered, "_key").where("_since <= _at").withColumn("_over", over)
        answered = F.col("_answer").eqNullSafe(F.col("_found"))
        then = answers.where(answered & (F.col("_over") > F.col("arrived_at")) & (F.col("_over") >= F.col("_arrived")))
        names = F.explode(F.array(*map(F.lit, taken))).alias("column")
        return then.select("record_id", names).distinct()

    def _computed_from(self, rows: DataFrame, explained: DataFrame, cells: DataFrame) -> DataFrame:
        """The computed columns that the explained values explain: `record_id`, `column`."""
        computed = [column.stored_as for column in self._computed]
        known = explained.groupBy("record_id").agg(F.collect_set("column").alias("_explained"))
        values = {
            name: F.when(F.array_contains("_explained", name), F.col(f"f_{name}")).otherwise(F.col(name))
            for name in self._looked_up
        }
        then = rows.join(known, "record_id").withColumns(values).drop(*computed)
        again = then.select(
            "*", *(F.expr(spark_sql(str(c.expression))).cast(c.type).alias(c.stored_as) for c in self._computed)
        )
        texts = (
            F.struct(F.lit(name).alias("column"), F.coalesce(F.col(name).cast("string"), F.lit("null")).alias("found"))
            for name in computed
        )
        given = again.select("record_id", F.explode(F.array(*texts)).alias("cell")).select("record_id", "cell.*")
        there = cells.select(F.col("key").alias("record_id"), "column", "found")
        return given.join(there, ["record_id", "column", "found"], how="left_semi").select("record_id", "column")

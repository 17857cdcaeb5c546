"""The columns of a silver contract that need no other row: looked up in reference data, then computed."""

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from batch.reconciliation.recomputed.dialect import spark_sql
from lakehouse.contracts import Contract


def versions_of(reference: DataFrame, contract: Contract) -> DataFrame:
    """A reference table's rows with `valid_to`, from when on the next one of the key holds (null: still valid)."""
    order = Window.partitionBy(contract.reference_key).orderBy("valid_from")
    return reference.withColumn("valid_to", F.lead("valid_from").over(order))


def enrich(parsed: DataFrame, source: Contract, silver: Contract, references: Mapping[str, DataFrame]) -> DataFrame:
    """Parsed rows plus every looked-up and computed column of the silver contract.

    `references` holds for each reference table the rows of `versions_of`. A key that is not known at the row's event
    time adds an error of rule `reference`.
    """
    rows = parsed
    for column in source.columns:
        if column.reference:
            rows = _look_up(rows, column.stored_as, silver, references[column.reference[0]], column.reference)
    return rows.select(
        "*",
        *(
            F.expr(spark_sql(column.expression)).cast(column.type).alias(column.stored_as)
            for column in silver.columns
            if column.expression
        ),
    )


def _look_up(rows: DataFrame, key: str, silver: Contract, versions: DataFrame, reference: tuple[str, str]) -> DataFrame:
    table, column = reference
    time = F.col(str(silver.event_time))
    taken = {each.stored_as: each.lookup[1] for each in silver.columns if each.lookup and each.lookup[0] == table}
    found = versions.select(
        F.col(column).alias("_key"),
        F.col("valid_from").alias("_from"),
        F.col("valid_to").alias("_to"),
        *(F.col(origin).alias(name) for name, origin in taken.items()),
    )
    holds = (F.col(key) == F.col("_key")) & (time >= F.col("_from")) & (F.col("_to").isNull() | (time < F.col("_to")))
    unknown = F.array(F.struct(F.lit("reference").alias("rule"), F.lit(key).alias("column")))
    missing = F.col(key).isNotNull() & F.col("_key").isNull() & time.isNotNull()
    errors = F.when(missing, F.concat("errors", unknown)).otherwise(F.col("errors"))
    joined = rows.join(F.broadcast(found), holds, how="left").withColumn("errors", errors)
    return joined.drop("_key", "_from", "_to")

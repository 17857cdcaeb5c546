"""Delta tables as their contracts say: made at the first start, widened by nullable columns, else refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql.types import StructField, StructType

from lakehouse.errors import LakehouseError
from lakehouse.layout import spark_path
from runtime.commits import delta_log


class IncompatibleTableError(LakehouseError):
    """A table holds something that its contract no longer allows; the message names column and types."""


def ensure_table(
    spark: SparkSession, uri: str, schema: StructType, partitions: Sequence[str], properties: Mapping[str, str]
) -> None:
    """Makes the table at `uri`, or brings the one that is there up to `schema` without rewriting it.

    A nullable column that is new in `schema` is added. Raises IncompatibleTableError for a column whose type changed,
    that is gone, that is new and required, or for other partitions.
    """
    if not table_exists(spark, uri):
        builder = DeltaTable.createIfNotExists(spark).location(spark_path(uri)).addColumns(schema)
        for name, value in properties.items():
            builder = builder.property(name, value)
        if partitions:
            builder = builder.partitionedBy(*partitions)
        builder.execute()
        return
    metadata = delta_log(spark, uri).update(False, _none(spark), _none(spark)).metadata()
    additions = _additions(uri, StructType.fromJson(json.loads(metadata.schemaString())), schema)
    found = metadata.partitionColumns()
    partitioned_by = [found.apply(place) for place in range(found.size())]
    if partitioned_by != list(partitions):
        raise IncompatibleTableError(
            f"{uri} is partitioned by {partitioned_by}, its contract says {list(partitions)}: "
            "a new partitioning needs a new table and a replay"
        )
    if additions:
        columns = ", ".join(f"`{each.name}` {each.dataType.simpleString()}" for each in additions)
        spark.sql(f"ALTER TABLE delta.`{spark_path(uri)}` ADD COLUMNS ({columns})")
    present = metadata.configuration()
    changed = {
        name: value for name, value in properties.items() if not present.contains(name) or present.apply(name) != value
    }
    if changed:
        assignments = ", ".join(f"'{name}' = '{value}'" for name, value in changed.items())
        spark.sql(f"ALTER TABLE delta.`{spark_path(uri)}` SET TBLPROPERTIES ({assignments})")


def _additions(uri: str, present: StructType, wanted: StructType) -> list[StructField]:
    """The columns to add; raises for every other difference. Order does not matter to Delta, nor here."""
    types = {each.name: each for each in present}
    for column in wanted:
        found = types.get(column.name)
        if found is not None and found.dataType != column.dataType:
            raise IncompatibleTableError(
                f"{uri}: column {column.name} is {found.dataType.simpleString()} in the table and "
                f"{column.dataType.simpleString()} in its contract: give the changed column a new name, or replay "
                "into a new table"
            )
        if found is None and not column.nullable:
            raise IncompatibleTableError(
                f"{uri}: column {column.name} ({column.dataType.simpleString()}) is new and required, but rows that "
                "are there have no value for it: make it nullable"
            )
    gone = [each for each in present if each.name not in {column.name for column in wanted}]
    if gone:
        columns = ", ".join(f"{each.name} ({each.dataType.simpleString()})" for each in gone)
        raise IncompatibleTableError(f"{uri}: its contract no longer has {columns}: keep columns, mark them deprecated")
    return [column for column in wanted if column.name not in types]


def table_exists(spark: SparkSession, uri: str) -> bool:
    """Whether there is a Delta table at `uri`."""
    return bool(DeltaTable.isDeltaTable(spark, spark_path(uri)))


def table_version(spark: SparkSession, uri: str) -> int:
    """The newest version of the table at `uri`; -1 where no table is."""
    return int(delta_log(spark, uri).update(False, _none(spark), _none(spark)).version())


def _none(spark: SparkSession) -> Any:
    jvm = spark._jvm
    assert jvm is not None, "a session without a JVM cannot read Delta logs"
    return jvm.scala.Option.empty()

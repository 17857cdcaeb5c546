"""Delta tables as their contracts say: made at the first start, widened by nullable columns, else refused."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from lakehouse.errors import LakehouseError
from lakehouse.layout import spark_path
from runtime.commits import delta_log

# Tables with the columns that they were found to have, or given, in this process. A column that one has more by now was
# added under the running job, by somebody who knows a newer contract: its restarting queries go on without it.
_FITTED: set[tuple[str, str]] = set()


class IncompatibleTableError(LakehouseError):
    """A table holds something that its contract no longer allows; the message names column and types."""


def ensure_table(
    spark: SparkSession, uri: str, schema: StructType, partitions: Sequence[str], properties: Mapping[str, str]
) -> None:
    """Makes the table at `uri`, or brings the one that is there up to `schema` without rewriting it.

    A nullable column that is new in `schema` is added; one that came to a table which fitted `schema` before in this
    process stays. Raises IncompatibleTableError for a column whose type changed, that is gone, that is new and
    required, that somebody took out of the table, or for other partitions.
    """
    fitted = (uri, schema.json())
    if not table_exists(spark, uri):
        builder = DeltaTable.createIfNotExists(spark).location(spark_path(uri)).addColumns(schema)
        for name, value in properties.items():
            builder = builder.property(name, value)
        if partitions:
            builder = builder.partitionedBy(*partitions)
        builder.execute()
        _FITTED.add(fitted)
        return
    metadata = delta_log(spark, uri).update(False, _none(spark), _none(spark)).metadata()
    present = StructType.fromJson(json.loads(metadata.schemaString()))
    _refuse_lost(spark, uri, present, schema)
    additions = _additions(uri, present, schema, more=fitted in _FITTED)
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
    _FITTED.add(fitted)
    held = metadata.configuration()
    changed = {
        name: value for name, value in properties.items() if not held.contains(name) or held.apply(name) != value
    }
    if changed:
        assignments = ", ".join(f"'{name}' = '{value}'" for name, value in changed.items())
        spark.sql(f"ALTER TABLE delta.`{spark_path(uri)}` SET TBLPROPERTIES ({assignments})")


def refuse_altered(spark: SparkSession, uri: str, schema: StructType, read_anew: bool = True) -> None:
    """Raises IncompatibleTableError where somebody took a column of `schema` out of the table or changed its type:
    writing on would cast values or lose them. Without `read_anew` by what this session has read of the table last.
    """
    log = delta_log(spark, uri)
    snapshot = log.update(False, _none(spark), _none(spark)) if read_anew else log.unsafeVolatileSnapshot()
    _refuse_lost(spark, uri, StructType.fromJson(json.loads(snapshot.metadata().schemaString())), schema)


def _refuse_lost(spark: SparkSession, uri: str, present: StructType, wanted: StructType) -> None:
    """Raises IncompatibleTableError for a column that an earlier version had as it is wanted: somebody took it out of
    the table or changed its type, and added again it would be null in all rows.
    """
    types = {each.name: each.dataType for each in present}
    missing = [each for each in wanted if types.get(each.name) != each.dataType]
    if not missing:
        return
    versions = _schemas(spark, uri)
    for column in missing:
        whole = [version for version, had in versions.items() if had.get(column.name) == column.dataType]
        if not whole:
            continue
        since = next(version for version in versions if version > whole[-1])
        found = types.get(column.name)
        now = "is gone" if found is None else f"is {found.simpleString()} instead of {column.dataType.simpleString()}"
        raise IncompatibleTableError(
            f"{uri}: column {column.name} {now} since version {since}, which no job of the lake wrote: bring it back "
            f"with RESTORE TABLE delta.`{uri}` TO VERSION AS OF {since - 1} (docs/operating.md)"
        )


def _schemas(spark: SparkSession, uri: str) -> dict[int, dict[str, DataType]]:
    """The columns with their types as of each version that set any, oldest first, as far back as the log goes."""
    lines = spark.read.text(f"{spark_path(uri)}/_delta_log/*.json").where(F.col("value").startswith('{"metaData"'))
    rows = lines.select("value", F.col("_metadata.file_name").alias("file")).collect()
    found = {}
    for row in sorted(rows, key=lambda each: str(each["file"])):
        schema = StructType.fromJson(json.loads(json.loads(row["value"])["metaData"]["schemaString"]))
        found[int(row["file"].partition(".")[0])] = {each.name: each.dataType for each in schema}
    return found


def _additions(uri: str, present: StructType, wanted: StructType, more: bool) -> list[StructField]:
    """The columns to add; raises for every other difference, but for columns that are not wanted where the table may
    have `more`. Order does not matter to Delta, nor here.
    """
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
    if gone and not more:
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

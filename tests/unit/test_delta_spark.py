"""Spark and `lakehouse.delta` on one table: each reads what the other wrote, and writes on top of it."""

import random
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from lakehouse.delta import deletion_vectors
from lakehouse.delta.follow import AlteredTableError, TableLog
from lakehouse.delta.table import OwnedTable
from tests.unit.delta_tables import (
    KEY,
    NOTHING,
    PARTITIONS,
    SCHEMA,
    SILVER,
    Row,
    assert_all_see,
    made,
    row,
    rows_of,
    seen_by_us,
    sorted_rows,
    table_of,
)
from tests.unit.test_delta_follow import bites, summed

ROUNDS = 30


def seen_by_spark(spark: SparkSession, uri: str) -> list[Row]:
    return sorted_rows(spark.read.format("delta").load(uri).toArrow().cast(SCHEMA))


def feed(spark: SparkSession, table: OwnedTable) -> dict[str, list[str]]:
    """The ids in Spark's change feed of the newest version, by kind of change."""
    changes = (
        spark.read.format("delta")
        .option("readChangeFeed", "true")
        .option("startingVersion", table.version)
        .option("endingVersion", table.version)
        .load(table.uri)
    )
    found: dict[str, list[str]] = {}
    for each in changes.select("_change_type", "id").collect():
        found.setdefault(each[0], []).append(each[1])
    return {kind: sorted(ids) for kind, ids in found.items()}


def test_spark_sees_columns_comments_rows_and_changes(spark: SparkSession, tmp_path: Path) -> None:
    regions = [
        "a b",
        "c%d",
        "e/f",
        "ü=ö:",
        "x'\"#?",
        "{[^]}",
        "",
        None,
        "~!()*,;$&+=@_-.",
        "日本 🛒",
        "no\u00a0break",
        "a`b|<>",
    ]
    rows = [row(number, region=region) for number, region in enumerate(regions)]
    table = made(tmp_path / "a folder" / "t")
    table.append(table_of(rows), {"a": 1}, '{"job":"x"}')
    rows = [each | {"region": each["region"] or None} for each in rows]
    assert seen_by_spark(spark, table.uri) == sorted_rows(table_of(rows))
    described = {each["col_name"]: each for each in spark.sql(f"DESCRIBE delta.`{table.uri}`").collect()}
    assert described["id"]["comment"] == 'What "it" is called: ü.'
    assert [described[each]["data_type"] for each in SCHEMA.names] == [
        "string", "timestamp", "decimal(18,4)", "int", "bigint", "date", "boolean", "string", "string",
        "array<struct<rule:string>>",
    ]  # fmt: skip
    history = spark.sql(f"DESCRIBE HISTORY delta.`{table.uri}` LIMIT 1").collect()[0]
    assert (history["operation"], history["userMetadata"]) == ("WRITE", '{"job":"x"}')

    table.replace_rows(table_of(rows[2:5]), table_of(rows[2:4]), rows_of([20]), KEY, {"a": 2}, "")
    assert feed(spark, table) == {
        "delete": ["r00002", "r00003", "r00004"],
        "insert": ["r00002", "r00003", "r00020"],
    }
    expected = sorted_rows(table_of([*rows[:4], *rows[5:], row(20)]))
    assert seen_by_spark(spark, table.uri) == expected
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    spark.sql(f"VACUUM delta.`{table.uri}` RETAIN 0 HOURS")
    spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
    assert seen_by_us(table) == expected, "VACUUM knows which files are in use"


def test_both_write_in_turns(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(7)
    table = made(tmp_path / "t", SILVER | {"delta.checkpointInterval": "7"})
    uri, model = table.uri, dict[int, Row]()
    log = TableLog(uri)

    def by_spark(attempt: int) -> None:
        new = [row(number) for number in range(attempt * 100, attempt * 100 + 20)]
        chosen = chance.sample(sorted(model), min(len(model), 5))
        listed = ", ".join(map(str, chosen)) or "-1"
        kind = ("append", "delete", "merge", "optimize", "merge", "reorg")[attempt // 3 % 6]
        if kind == "append":
            spark.createDataFrame(table_of(new)).write.format("delta").mode("append").save(uri)
            model.update({each["number"]: each for each in new})
        elif kind == "delete":
            spark.sql(f"DELETE FROM delta.`{uri}` WHERE number IN ({listed})")
            for number in chosen:
                del model[number]
        elif kind == "merge":
            changed = [model[number] | {"large": attempt} for number in chosen]
            spark.createDataFrame(table_of([*changed, *new])).createOrReplaceTempView("source")
            spark.sql(
                f"MERGE INTO delta.`{uri}` t USING source s ON t.id = s.id AND t.at = s.at "
                "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
            )
            model.update({each["number"]: each for each in [*changed, *new]})
        elif kind == "optimize":
            spark.sql(f"OPTIMIZE delta.`{uri}`")
        else:
            spark.sql(f"REORG TABLE delta.`{uri}` APPLY (PURGE)")

    def by_us(attempt: int) -> None:
        monkeypatch.setattr(deletion_vectors, "MOST_INLINE_BYTES", chance.choice([0, 16_000]))
        new = [row(number) for number in range(attempt * 100, attempt * 100 + 20)]
        chosen = chance.sample(sorted(model), min(len(model), 7))
        later = [model[number] | {"large": -attempt, "region": chance.choice(["uk", None])} for number in chosen]
        old = table_of([model[number] for number in chosen])
        table.replace_rows(old, table_of(later), table_of(new), KEY, {"a": attempt}, "")
        model.update({each["number"]: each for each in [*later, *new]})
        if attempt % 4 == 0:
            table.compact(2**20)

    for attempt in range(ROUNDS):
        if attempt % 3 == 2:
            by_spark(attempt)
            table.refresh()
        else:
            by_us(attempt)
        if attempt % 10 == 9:
            assert seen_by_spark(spark, uri) == sorted_rows(table_of(list(model.values())))
    assert_all_see(table, list(model.values()))
    assert seen_by_spark(spark, uri) == sorted_rows(table_of(list(model.values())))
    assert_all_see(OwnedTable.open(uri), list(model.values()))
    assert summed(bites(log)) == sorted_rows(table_of(list(model.values())))
    spark.createDataFrame(rows_of([1])).limit(0).write.format("delta").mode("append").option(
        "txnAppId", "spark"
    ).option("txnVersion", 4).save(uri)
    table.refresh()
    assert table.transaction("spark") == 4
    last = spark.read.format("delta").load(uri).agg(F.count("*")).collect()[0][0]
    assert last == len(model)


def test_a_restore_by_spark_is_told(spark: SparkSession, tmp_path: Path) -> None:
    table = made(tmp_path / "t")
    table.append(rows_of(range(10)), {}, "")
    table.append(rows_of(range(10, 20)), {}, "")
    log = TableLog(table.uri)
    spark.sql(f"RESTORE TABLE delta.`{table.uri}` TO VERSION AS OF 1")
    with pytest.raises(AlteredTableError, match="version 3 restored an older state .operation RESTORE, by Apache"):
        log.changed(2, 1)
    table.refresh()
    table.replace_rows(rows_of([3]), NOTHING, NOTHING, KEY, {}, "")
    expected = [row(number) for number in range(10) if number != 3]
    assert_all_see(table, expected)
    assert seen_by_spark(spark, table.uri) == sorted_rows(table_of(expected))


def test_a_table_of_spark_is_brought_up_to_its_contract(spark: SparkSession, tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    frame = spark.createDataFrame(rows_of(range(10)))
    frame.write.format("delta").partitionBy(*PARTITIONS).save(uri)
    table = OwnedTable.ensure(uri, SCHEMA, PARTITIONS, SILVER)
    table.replace_rows(rows_of([1]), NOTHING, rows_of([11]), KEY, {}, "")
    expected = sorted_rows(table_of([row(number) for number in [*range(12)] if number not in (1, 10)]))
    assert seen_by_spark(spark, uri) == expected
    spark.sql(f"DELETE FROM delta.`{uri}` WHERE number = 11")
    assert len(seen_by_spark(spark, uri)) == 9

"""MERGE in foreachBatch, as the documentation of Delta and of Iceberg shows it, on the product's Spark."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from runtime.cache import cache_directory
from runtime.jars import Jar, fetch
from runtime.java import java_home
from runtime.log_store import class_path
from runtime.spark import SMALL_BATCHES

ICEBERG = Jar(
    "org.apache.iceberg",
    "iceberg-spark-runtime-4.1_2.13",
    "1.12.0",
    "3123c3798af642dd537230923548e013ef41cc28b6626e5225808cf5670a0f82",
)
FIELDS = (
    *("event_id", "session_id", "user_id", "client_ip", "user_agent", "page", "event_type", "product_id"),
    *("campaign_id", "transaction_id", "order_value", "referrer", "country", "timestamp"),
)
SCHEMA = ", ".join(f"{name} STRING" for name in FIELDS)
DOES = "parse, drop duplicates within the batch, MERGE by event_id: no checks, visits, rejected rows or KPIs"


class SparkPeer(Protocol):
    """A table that takes batches in."""

    name: str
    does: str

    def process(self, files: Sequence[str]) -> None:
        """Takes the records of some bronze files in."""


class DeltaMerge:
    """`foreachBatch` with MERGE into a Delta table with deletion vectors."""

    name, does = "Spark: Delta MERGE", DOES

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self._spark, self._path = spark, f"{folder}/delta"
        spark.sql(
            f"CREATE TABLE delta.`{self._path}` ({SCHEMA}, arrived_at TIMESTAMP) USING delta "
            "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')"
        )

    def process(self, files: Sequence[str]) -> None:
        """Takes the records of some bronze files in."""
        target = DeltaTable.forPath(self._spark, self._path).alias("target")
        merge = target.merge(_parsed(self._spark, files).alias("source"), "target.event_id = source.event_id")
        merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()


class IcebergMerge:
    """The same into an Iceberg table, by copy-on-write (format 2) or merge-on-read (format 3)."""

    does = DOES

    def __init__(self, spark: SparkSession, mode: str, version: int) -> None:
        self.name = f"Spark: Iceberg MERGE, {mode} v{version}"
        self._spark, self._table = spark, f"iceberg.bench.{mode.replace('-', '_')}"
        properties = ", ".join(f"'write.{each}.mode' = '{mode}'" for each in ("merge", "update", "delete"))
        spark.sql("CREATE NAMESPACE IF NOT EXISTS iceberg.bench")
        spark.sql(
            f"CREATE TABLE {self._table} ({SCHEMA}, arrived_at TIMESTAMP) USING iceberg "
            f"TBLPROPERTIES ('format-version' = '{version}', {properties})"
        )

    def process(self, files: Sequence[str]) -> None:
        """Takes the records of some bronze files in."""
        _parsed(self._spark, files).createOrReplaceTempView("source")
        self._spark.sql(
            f"MERGE INTO {self._table} AS target USING source ON target.event_id = source.event_id "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        )


def _parsed(spark: SparkSession, files: Sequence[str]) -> DataFrame:
    records = spark.read.parquet(*files)
    parsed = records.select(F.from_json("payload", SCHEMA).alias("event"), "arrived_at")
    return parsed.select("event.*", "arrived_at").dropDuplicates(["event_id"])


def session(folder: Path) -> SparkSession:
    """Spark with Delta and Iceberg, set up as the product found it to be fastest for small batches on few cores."""
    os.environ["JAVA_HOME"] = str(java_home())
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    jars = [*class_path(), *fetch([ICEBERG], cache_directory() / "jars")]
    extensions = (
        "io.delta.sql.DeltaSparkSessionExtension",
        "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    )
    settings = {
        "spark.driver.extraClassPath": os.pathsep.join(map(str, jars)),
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.extensions": ",".join(extensions),
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalog.iceberg": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.iceberg.type": "hadoop",
        "spark.sql.catalog.iceberg.warehouse": f"{folder}/iceberg",
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        **SMALL_BATCHES,
    }
    builder = SparkSession.builder.appName("bench peers").master("local[*]")
    spark = builder.config(map=dict(settings)).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark

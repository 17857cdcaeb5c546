"""What a Delta commit carries besides rows: a transaction id that makes a retry a no-op, and its lineage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from pyspark.sql import SparkSession

from lakehouse.layout import spark_path

APP_ID = "spark.databricks.delta.write.txnAppId"
VERSION = "spark.databricks.delta.write.txnVersion"
METADATA = "spark.databricks.delta.commitInfo.userMetadata"
# Read once: it is looked up in the installation's files.
PACKAGE_VERSION = version("shopware-lakehouse")


def code_version() -> str:
    """Which code writes, for lineage: LAKEHOUSE_CODE_VERSION, as the estate sets it, else the package's version."""
    return os.environ.get("LAKEHOUSE_CODE_VERSION") or PACKAGE_VERSION


def last_transaction(spark: SparkSession, uri: str, app_id: str) -> int | None:
    """The highest transaction version that the table at `uri` has committed for `app_id`; None if it has none."""
    found = delta_log(spark, uri).update(False, _none(spark), _none(spark)).transactions().get(app_id)
    return int(found.get()) if found.isDefined() else None


def transaction_ids(spark: SparkSession, uri: str) -> list[str]:
    """All app ids that have committed to the table at `uri`."""
    ids = delta_log(spark, uri).update(False, _none(spark), _none(spark)).transactions().keysIterator()
    found = []
    while ids.hasNext():
        found.append(str(ids.next()))
    return found


@contextmanager
def transaction(spark: SparkSession, app_id: str | None, number: int, metadata: str) -> Iterator[None]:
    """Every Delta write inside carries (`app_id`, `number`) and the lineage `metadata`.

    Delta skips a write whose version is not above the last of its app id, so write each table once inside.
    Without an app id only the metadata is set.
    """
    values = {METADATA: metadata} | ({APP_ID: app_id, VERSION: str(number)} if app_id else {})
    for name, value in values.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in values:
            spark.conf.unset(name)


def delta_log(spark: SparkSession, uri: str) -> Any:
    """Delta's own log of the table at `uri`: the JVM object, for what the Python API does not offer."""
    jvm = spark._jvm
    assert jvm is not None, "a session without a JVM cannot read Delta logs"
    # Delta asks the thread's active session for settings, and a thread has none before its first query.
    jvm.org.apache.spark.sql.classic.SparkSession.setActiveSession(spark._jsparkSession)
    return jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, spark_path(uri))


def _none(spark: SparkSession) -> Any:
    jvm = spark._jvm
    assert jvm is not None, "a session without a JVM cannot read Delta logs"
    return jvm.scala.Option.empty()

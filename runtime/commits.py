"""What a Delta commit carries besides rows: a transaction id that makes a retry a no-op, and its lineage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from pyspark.sql import SparkSession

APP_ID = "spark.databricks.delta.write.txnAppId"
VERSION = "spark.databricks.delta.write.txnVersion"
METADATA = "spark.databricks.delta.commitInfo.userMetadata"
# Read once: it is looked up in the installation's files.
PACKAGE_VERSION = version("shopware-lakehouse")


def code_version() -> str:
    """Which code writes, for lineage: LAKEHOUSE_CODE_VERSION, as the estate sets it, else the package's version."""
    return os.environ.get("LAKEHOUSE_CODE_VERSION") or PACKAGE_VERSION


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

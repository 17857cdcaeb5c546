"""Drivers that pass by the leases and write the same tables: none of their commits is lost.

Two write as owners of tables do, with puts of S3 that fail where an object is. The third is a session, for large files
are committed by Spark, through the log store: with Delta's own for S3 in its place (`S3SingleDriverLogStore`) it would
write over the others' commits (docs/adr/0016).
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from lakehouse.layout import spark_path
from runtime.tables import ensure_table, open_table, table_version
from tests.integration.writing_driver import COUNTER, ROWS

ROOT = Path(__file__).resolve().parents[2]
DRIVERS, COMMITS = ("first", "second"), 12
LONGEST_SECONDS = 200


@pytest.mark.usefixtures("emulator")
def test_drivers_that_write_side_by_side_lose_no_commit(spark: SparkSession, bucket: str, tmp_path: Path) -> None:
    root = f"s3://{bucket}/lake"
    ensure_table(f"{root}/rows", ROWS, [], {})
    counter = ensure_table(f"{root}/counter", COUNTER, [], {"delta.enableDeletionVectors": "true"})
    counter.append(pa.table({"key": [0], "value": [0]}, COUNTER), {}, "")
    running = {name: driver(root, tmp_path, name) for name in DRIVERS}
    by_spark = 0
    try:
        deadline = time.monotonic() + LONGEST_SECONDS
        while not all((tmp_path / f"{name} is ready").exists() for name in DRIVERS):
            assert time.monotonic() < deadline, "the drivers do not start"
            time.sleep(0.05)
        (tmp_path / "go").touch()
        # At least as long as the others write, for the session is the slowest.
        while by_spark < 2 or any(each.poll() is None for each in running.values()):
            append(spark, f"{root}/rows", by_spark)
            by_spark += 1
        for name, process in running.items():
            _, errors = process.communicate(timeout=LONGEST_SECONDS)
            assert process.returncode == 0, f"{name}: {errors[-3000:]}"
    finally:
        for process in running.values():
            process.kill()
    written = [(name, number) for name in DRIVERS for number in range(COMMITS)]
    written += [("spark", number) for number in range(by_spark)]
    found = open_table(f"{root}/rows").read(ROWS.names).to_pylist()
    assert sorted((row["driver"], row["number"]) for row in found) == sorted(written)
    assert table_version(f"{root}/rows") == len(written)
    assert open_table(f"{root}/counter").read(["value"]).to_pylist() == [{"value": len(DRIVERS) * COMMITS}]


def append(spark: SparkSession, uri: str, number: int) -> None:
    row = spark.sql(f"SELECT 'spark' AS driver, CAST({number} AS INT) AS number")
    row.write.format("delta").mode("append").save(spark_path(uri))


def driver(root: str, folder: Path, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.writing_driver", root, str(folder), name, str(COMMITS)],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

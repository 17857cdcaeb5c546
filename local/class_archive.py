"""Makes the archive of the classes that Spark loads: `python -m local.class_archive`, once for a Java and its jars.

It runs a small lake through files, silver and gold, with everything that the jobs load, and lets Java write down which
classes that took.
"""

import logging
import os
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from batch.ingest import ingest
from lakehouse.contracts import load_contracts
from lakehouse.settings import CONTRACTS, Settings
from local.generator.produce import land
from local.generator.production import plan
from runtime.class_archive import class_archive
from runtime.spark import create_session
from runtime.storage import Storage
from streaming.job import Job, Requests
from streaming.layers import declarations

WRITE_SECONDS = 300
# Nothing listens there: the S3 client is loaded, and gives up at once.
NOWHERE = "http://127.0.0.1:9"


def main() -> None:
    """Makes the archive unless it is there; a machine where that fails only starts Spark more slowly."""
    archive = class_archive()
    if archive.exists():
        return
    print("archiving the classes of Spark, once, so that it starts faster …", flush=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        made = Path(folder) / archive.name
        _run_a_lake(Path(folder), made)
        if made.exists():
            made.rename(archive)
            print(f"{archive.stat().st_size // 1_000_000} MB in {archive}")
        else:
            print("this Java made no archive: Spark starts without one")


def _run_a_lake(folder: Path, archive: Path) -> None:
    logging.disable(logging.WARNING)
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        os.environ[name] = NOWHERE
    os.environ |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
    settings = Settings(root=str(folder / "lake"), landing=str(folder / "landing"), state_directory=folder)
    contracts = load_contracts(CONTRACTS)
    production = plan(1, 7, visits=8, log_lines=1)
    land(production, Storage.open(settings.landing), folder / "ledger.jsonl")
    spark = create_session("class archive", settings, archive_classes_to=archive)
    try:
        for source in ("stores", "products", "warehouses", "campaigns", "pos"):
            ingest(lambda: spark, contracts, source, settings.landing, settings.root, lambda: datetime.now(UTC))
        for layer in ("silver", "gold"):
            Job(declarations(spark, settings, contracts, layer, True), 0, Requests(drain=True)).run()
        _load_s3(spark)
    finally:
        spark.stop()
        _end_java(spark)


def _load_s3(spark: SparkSession) -> None:
    jvm = spark._jvm
    assert jvm is not None, "a session has a JVM"
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    configuration.set("fs.s3a.attempts.maximum", "1")
    configuration.set("fs.s3a.retry.limit", "0")
    path = jvm.org.apache.hadoop.fs.Path("s3a://nowhere/")
    try:
        path.getFileSystem(configuration).exists(path)
    except Py4JJavaError:
        return


def _end_java(spark: SparkSession) -> None:
    """Java writes the archive when it ends: waits for that."""
    process: subprocess.Popen[bytes] = spark.sparkContext._gateway.proc  # type: ignore[union-attr]
    spark.sparkContext._gateway.shutdown()  # type: ignore[union-attr]
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(WRITE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    main()

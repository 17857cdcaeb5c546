"""`python -m tests.integration.writing_driver make|write|read ROOT FOLDER [NAME COUNT]`: one driver among several.

`write` appends COUNT rows and adds one COUNT times to a counter by a merge, each in a commit of its own, as soon as the
file FOLDER/go is there, and asks nobody for a lease. `read` prints what the tables hold.
"""

import json
import sys
import time
from pathlib import Path

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from lakehouse.layout import spark_path
from lakehouse.settings import Settings
from runtime.spark import create_session

MOST_TRIES = 60


def main() -> None:
    what, root, folder = sys.argv[1:4]
    spark = create_session(f"driver {what}", Settings(root=root, state_directory=Path(folder)))
    rows, counter = f"{root}/rows", f"{root}/counter"
    if what == "make":
        spark.createDataFrame([], "driver STRING, number INT").write.format("delta").save(spark_path(rows))
        spark.createDataFrame([(0, 0)], "key INT, value INT").write.format("delta").save(spark_path(counter))
    elif what == "write":
        name, count = sys.argv[4], int(sys.argv[5])
        (Path(folder) / f"{name} is ready").touch()
        while not (Path(folder) / "go").exists():
            time.sleep(0.02)
        for number in range(count):
            append(spark, rows, name, number)
            add_one(spark, counter)
    else:
        found = spark.read.format("delta").load(spark_path(rows)).collect()
        value = spark.read.format("delta").load(spark_path(counter)).collect()
        told = {"rows": sorted((row["driver"], row["number"]) for row in found), "counter": value[0]["value"]}
        print(json.dumps(told))
    spark.stop()


def append(spark: SparkSession, uri: str, name: str, number: int) -> None:
    row = spark.createDataFrame([(name, number)], "driver STRING, number INT")
    row.write.format("delta").mode("append").save(spark_path(uri))


def add_one(spark: SparkSession, uri: str) -> None:
    """Another driver's merge may come first: Delta then refuses this one, which is made again from what is there."""
    for _ in range(MOST_TRIES):
        try:
            one = spark.createDataFrame([(0, 1)], "key INT, more INT").alias("s")
            merge = DeltaTable.forPath(spark, spark_path(uri)).alias("t").merge(one, "t.key = s.key")
            merge.whenMatchedUpdate(set={"value": "t.value + s.more"}).execute()
        except Py4JJavaError as error:
            if not error.java_exception.getClass().getName().startswith("io.delta.exceptions.Concurrent"):
                raise
            continue
        return
    raise TimeoutError(f"{MOST_TRIES} merges in a row met another one")


if __name__ == "__main__":
    main()

"""What a query that has nothing to do costs the store."""

import time
from collections import Counter
from pathlib import Path
from typing import override

from pyspark.sql import DataFrame, SparkSession

from local.stress.proxy import Proxy, Request

SECONDS = 4.0


class CountingS3(Proxy):
    """Counts the requests by their method."""

    @override
    def meet(self, request: Request, body: bytes) -> None:
        self.done[request.command] += 1
        request.pass_on(body)


def test_a_query_without_an_interval_looks_for_news_twice_a_second(
    spark: SparkSession, bucket: str, tmp_path: Path
) -> None:
    """As each query of a drain does, until the last one is through."""
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    table = f"s3a://{bucket}/table"
    seen: list[int] = []

    def keep(rows: DataFrame, _: int) -> None:
        seen.extend(row["id"] for row in rows.collect())

    with CountingS3(configuration.get("fs.s3a.endpoint")) as s3:
        configuration.set(f"fs.s3a.bucket.{bucket}.endpoint", s3.endpoint)
        spark.range(3).write.format("delta").save(table)
        writer = spark.readStream.format("delta").load(table).writeStream.foreachBatch(keep)
        query = writer.option("checkpointLocation", str(tmp_path)).trigger(processingTime="0 seconds").start()
        try:
            query.processAllAvailable()
            s3.done.clear()
            time.sleep(SECONDS)
            idle = Counter(s3.done)
            spark.range(3, 5).write.format("delta").mode("append").save(table)
            query.processAllAvailable()
        finally:
            query.stop()
    assert sorted(seen) == [0, 1, 2, 3, 4]
    looks = SECONDS / 0.5
    assert set(idle) <= {"GET", "HEAD"}
    assert 0 < idle["GET"] <= 2 * looks, idle
    assert idle["HEAD"] <= 2 * looks, idle

"""What a job that has nothing to do costs the services that it reads from."""

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, override

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from local.stress.proxy import Proxy, Request
from runtime.tables import ensure_table
from streaming.bell import Bell
from tests.integration.test_kinesis_source import Lake, Producer

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SECONDS = 4.0
SCHEMA = pa.schema({"id": pa.int64()})


class Counting(Proxy):
    """Counts the requests by their action (of Kinesis) or method (of S3)."""

    @override
    def meet(self, request: Request, body: bytes) -> None:
        self.done[request.headers.get("X-Amz-Target", request.command).rpartition(".")[2]] += 1
        request.pass_on(body)


@pytest.mark.usefixtures("emulator")
def test_a_look_at_tables_without_news_is_one_small_request_each(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the bells of silver and gold do at each look."""
    tables = [f"s3://{bucket}/lake/{name}" for name in ("first", "second", "missing")]
    with Counting(os.environ["AWS_ENDPOINT_URL"]) as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        first, _ = (ensure_table(uri, SCHEMA, [], {}) for uri in tables[:2])
        bell = Bell("idle", tables, SECONDS)
        assert bell.look()
        s3.done.clear()
        for _ in range(3):
            assert not bell.look()
        # The second kind is the listing of what is not there yet.
        assert s3.done == {"HEAD": 3 * 2, "GET": 3}
        for number in range(2):
            first.append(pa.table({"id": [number]}, SCHEMA), {}, "")
        assert bell.look()
        assert not bell.look()
        bell.stop()


def test_a_query_without_an_interval_looks_for_news_twice_a_second(
    spark: SparkSession, kinesis: "KinesisClient", stream_name: str, tmp_path: Path
) -> None:
    """As each query of a drain does, until the last one is through. In a session, for its triggers are Spark's."""
    producer = Producer(kinesis, stream_name)
    with Counting(kinesis.meta.endpoint_url) as service:
        lake = Lake(spark, stream_name, tmp_path, endpoint=service.endpoint, minPollSeconds="0")
        producer.put(3)
        query = lake.start()
        try:
            query.processAllAvailable()
            service.done.clear()
            time.sleep(SECONDS)
            idle = Counter(service.done)
            producer.put(2)
            query.processAllAvailable()
        finally:
            query.stop()
    assert lake.records() == sorted(producer.records)
    looks = SECONDS / 0.5
    # A look at each of the two shards, whose iterators last.
    assert 0 < idle["GetRecords"] <= 2 * looks, idle
    assert idle.total() <= 2 * looks + 4, idle
